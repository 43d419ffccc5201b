"""AWS's errors on request: a real client whose requests are answered before they leave."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.sax.saxutils import escape

from botocore.awsrequest import AWSResponse

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
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
    body = EC2_ERROR.format(code=escape(code), text=f"refused with {code}")
    with _ec2_answers(client, operation, body, status, times) as refused:
        yield refused


@contextmanager
def a_fleet_has_errors(client: Any, *codes: str) -> Iterator[list[str]]:
    """Let one CreateFleet be accepted, and launch nothing: an error for each type, as an instant fleet has them."""
    errors = "".join(
        f"<item><errorCode>{escape(code)}</errorCode><errorMessage>no</errorMessage></item>" for code in codes
    )
    body = f'<CreateFleetResponse xmlns="{EC2_NAMESPACE}"><errorSet>{errors}</errorSet></CreateFleetResponse>'
    with _ec2_answers(client, "CreateFleet", body, 200, times=1) as answered:
        yield answered


@contextmanager
def _ec2_answers(client: Any, operation: str, body: str, status: int, times: int) -> Iterator[list[str]]:
    answered: list[str] = []

    def answer(request: Any, **_event: Any) -> AWSResponse | None:
        if len(answered) >= times:
            return None
        answered.append(str(request.body))
        return AWSResponse(request.url, status, {"content-type": "text/xml"}, _Body(body.encode()))

    event = f"before-send.ec2.{operation}"
    client.meta.events.register(event, answer)
    try:
        yield answered
    finally:
        client.meta.events.unregister(event, answer)
