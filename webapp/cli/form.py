"""Reads files as the body of an HTML form, a bit at a time: what is sent is never in memory as a whole.

https://www.rfc-editor.org/rfc/rfc7578
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence

from urllib3.fields import RequestField

from webapp.cli.files import File

FIELD = "img"
CHUNK_BYTES = 64 * 1024
CHANGED = "It changed while it was sent."


class Unreadable(Exception):
    """A file cannot be sent.

    Attributes:
        file: the file.
    """

    def __init__(self, file: File, reason: str) -> None:
        super().__init__(reason)
        self.file = file


class Form:
    """A form with files in the field `img`."""

    def __init__(self, files: Sequence[File]) -> None:
        self._boundary = secrets.token_hex(16)
        self._parts = [(self._head(file), file) for file in files]
        self._end = f"--{self._boundary}--\r\n".encode()

    @property
    def headers(self) -> dict[str, str]:
        """What the request must say of its body."""
        parts_bytes = sum(len(head) + file.size_bytes + len(b"\r\n") for head, file in self._parts)
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(parts_bytes + len(self._end)),
        }

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body.

        Raises:
            Unreadable: a file is not there any more, or not what it was.
        """
        for head, file in self._parts:
            yield head
            yield from _read(file)
            yield b"\r\n"
        yield self._end

    def _head(self, file: File) -> bytes:
        # A name that is no Unicode text, as Linux allows, is sent with its odd bytes replaced.
        name = file.path.name.encode("utf-8", "replace").decode()
        field = RequestField(FIELD, b"", filename=name)
        field.make_multipart(content_type="application/octet-stream")
        return f"--{self._boundary}\r\n{field.render_headers()}".encode()


def _read(file: File) -> Iterator[bytes]:
    left_bytes = file.size_bytes
    try:
        with file.path.open("rb") as opened:
            while chunk := opened.read(min(CHUNK_BYTES, left_bytes)):
                left_bytes -= len(chunk)
                yield chunk
            grown = opened.read(1)
    except OSError as error:
        raise Unreadable(file, f"It cannot be read: {error.strerror}.") from error
    if left_bytes or grown:
        raise Unreadable(file, CHANGED)
