"""AWS's errors on request: a real client whose requests are answered before they leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape

from botocore.awsrequest import AWSResponse

EC2_ERROR = "<Response><Errors><Error><Code>{code}</Code><Message>{text}</Message></Error></Errors></Response>"


class _Body:
    """A response's body, as botocore reads it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        """Yield it whole."""
        yield self._content

    def read(self) -> bytes:
        """Return it whole."""
        return self._content


@contextmanager
def ec2_answers_error(
    client: Any, operation: str, code: str, status: int = 400, times: int = 1000
) -> Iterator[list[str]]:
    """Let an operation of EC2 be refused a number of times; the list gets an entry for each."""
    refused: list[str] = []

    def refuse(request: Any, **_event: Any) -> AWSResponse | None:
        if len(refused) >= times:
            return None
        refused.append(str(request.body))
        body = EC2_ERROR.format(code=escape(code), text=f"refused with {code}").encode()
        return AWSResponse(request.url, status, {"content-type": "text/xml"}, _Body(body))

    event = f"before-send.ec2.{operation}"
    client.meta.events.register(event, refuse)
    try:
        yield refused
    finally:
        client.meta.events.unregister(event, refuse)
