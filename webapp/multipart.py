"""Splits the bodies of forms into fields and files while they arrive, with the library `multipart`.

werkzeug's own parser costs a small photo several times as much: it compiles expressions for each request's boundary.
What a part is called, and in which characters it is written, is read as werkzeug does. Line breaks must be CRLF:
https://www.rfc-editor.org/rfc/rfc7578#section-4.1
"""

from __future__ import annotations

import math
import re
from typing import IO, TYPE_CHECKING

from multipart import MultipartSegment, ParserLimitReached, PushMultipartParser
from werkzeug.datastructures import FileStorage, Headers
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser, MultiPartParser
from werkzeug.http import parse_options_header

if TYPE_CHECKING:
    from werkzeug.formparser import t_parse_result

# A part has three headers at most that mean anything; these are kept with its file until the request ends.
MAX_HEADERS = 8
MAX_HEADER_BYTES = 8 * 1024
PIECE_BYTES = 64 * 1024
# What nearly all clients send: nothing to unescape, to decode or to put together.
PLAIN = re.compile(r'form-data; name="([^"\\%]*)"(?:; filename="([^"\\%]*)")?')


class FormParser(FormDataParser):
    """werkzeug's parser of forms, faster where they carry files."""

    def _parse_multipart(
        self,
        stream: IO[bytes],
        mimetype: str,  # noqa: ARG002 - werkzeug's signature
        content_length: int | None,
        options: dict[str, str],
    ) -> t_parse_result:
        parser = PushMultipartParser(
            options.get("boundary", "").encode("ascii"),
            max_header_size=MAX_HEADER_BYTES,
            max_header_count=MAX_HEADERS,
            max_segment_count=math.inf if self.max_form_parts is None else self.max_form_parts,
        )
        try:
            fields, files = self._split(parser, stream, content_length)
        except ParserLimitReached:
            raise RequestEntityTooLarge from None
        for _, file in files:
            file.stream.seek(0)
        return stream, self.cls([(name, field.text) for name, field in fields]), self.cls(files)

    def _split(
        self, parser: PushMultipartParser, stream: IO[bytes], content_length: int | None
    ) -> tuple[list[tuple[str, _Field]], list[tuple[str, FileStorage]]]:
        fields: list[tuple[str, _Field]] = []
        files: list[tuple[str, FileStorage]] = []
        for event in parser.parse_blocking(stream.read, PIECE_BYTES):
            if isinstance(event, MultipartSegment):
                headers = Headers(event.headerlist)
                name, filename = _names(headers["Content-Disposition"])
                part: _Field | IO[bytes]
                if filename is None:
                    part = _Field(headers, self.max_form_memory_size)
                    fields.append((name, part))
                else:
                    part = self.stream_factory(content_length, headers.get("Content-Type"), filename)
                    files.append((name, FileStorage(part, filename, name, headers=headers)))
            elif event is not None:
                part.write(event)
        return fields, files


class _Field:
    """A part that is no file, while it arrives."""

    def __init__(self, headers: Headers, max_bytes: int | None) -> None:
        self._headers, self._max_bytes = headers, max_bytes
        self._content = bytearray()

    def write(self, data: bytes) -> None:
        """Add to the end.

        Raises:
            RequestEntityTooLarge: it is longer than a field may be.
        """
        self._content += data
        if self._max_bytes is not None and len(self._content) > self._max_bytes:
            raise RequestEntityTooLarge

    @property
    def text(self) -> str:
        """All of it."""
        return self._content.decode(MultiPartParser().get_part_charset(self._headers), "replace")


def _names(disposition: str) -> tuple[str, str | None]:
    """Return the names of a part's field and of its file; None without a file."""
    plain = PLAIN.fullmatch(disposition)
    if plain:
        return plain[1], plain[2]
    options = parse_options_header(disposition)[1]
    return options.get("name", ""), options.get("filename")
