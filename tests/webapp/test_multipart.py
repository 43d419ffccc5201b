"""How the bodies of forms are split: as werkzeug does, only faster."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from webapp.multipart import MAX_HEADER_BYTES, MAX_HEADERS, FormParser

MAX_FIELD_BYTES, MAX_PARTS = 100_000, 5
JPEG = 'Content-Disposition: form-data; name="img"; filename="a.jpg"\r\nContent-Type: image/jpeg'


class Pieces(io.BytesIO):
    """A body of which a read brings a few bytes."""

    def __init__(self, body: bytes, piece_bytes: int) -> None:
        super().__init__(body)
        self._piece_bytes = piece_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on."""
        return super().read(min(size or -1, self._piece_bytes))


@dataclass(frozen=True)
class Form:
    """What a body was split into."""

    fields: list[tuple[str, str]]
    files: list[tuple[str, str | None, str | None, bytes]]


NOTHING = Form([], [])


def split(parser: type[FormDataParser], body: bytes, piece_bytes: int = 65_536, boundary: str = "x") -> Form | int:
    """Split a body; return an HTTP status if it is refused."""
    stream = Pieces(body, piece_bytes)
    try:
        _, form, files = parser(lambda *_, **__: io.BytesIO(), MAX_FIELD_BYTES, max_form_parts=MAX_PARTS).parse(
            stream, "multipart/form-data", len(body), {"boundary": boundary}
        )
    except RequestEntityTooLarge as error:
        return error.code
    return Form(
        [(name or "", value) for name, value in form.items(multi=True)],
        [(file.name or "", file.filename, file.content_type, file.read()) for file in files.values()],
    )


def written(*parts: tuple[str, bytes], end: bytes = b"--x--\r\n") -> bytes:
    """Write a form of parts: their headers, and what is in them."""
    bodies = [b"--x\r\n%s\r\n\r\n%s\r\n" % (head.encode(), content) for head, content in parts]
    return b"".join([*bodies, end])


def field(name: str, value: bytes, head: str = "") -> tuple[str, bytes]:
    """Return the part of a field."""
    return f'Content-Disposition: form-data; name="{name}"{head}', value


@pytest.mark.parametrize("piece_bytes", [pytest.param(count, id=f"{count}-at-a-time") for count in (1, 7, 65_536)])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(written((JPEG, b"photo")), id="a-photo"),
        pytest.param(written((JPEG, b"1"), field("batch", b"b"), (JPEG, b"2")), id="fields-beside-files"),
        pytest.param(written((JPEG, b"")), id="an-empty-file"),
        pytest.param(written(field("img", b"", '; filename=""')), id="no-file-chosen"),
        pytest.param(written((JPEG, b"\r\n\r\n--\r\n--y\r\n--x--x\r\n-")), id="nearly-boundaries"),
        pytest.param(written(field("a", "käse 🧀".encode())), id="text-that-is-no-ascii"),
        pytest.param(written(field("a", b"\xe4", "\r\nContent-Type: text/plain; charset=iso-8859-1")), id="latin-1"),
        pytest.param(written(field("a", b"\xff", "\r\nContent-Type: text/plain; charset=rot13")), id="other-charset"),
        pytest.param(written(field("img", b"1", '; filename="Käse 🧀.jpg"')), id="name-that-is-no-ascii"),
        pytest.param(written(field("img", b"1", '; filename="a \\"b\\" \\\\ c.jpg"')), id="name-with-quotes"),
        pytest.param(written(field("img", b"1", '; filename="100%22%41.jpg"')), id="name-with-percent-signs"),
        pytest.param(written(field("img", b"1", '; filename="a;b=c, d.jpg"')), id="name-with-separators"),
        pytest.param(written(field("img", b"1", "; filename*=utf-8''K%C3%A4se.jpg")), id="name-of-rfc-2231"),
        pytest.param(
            written(field("img", b"1", "; filename=\"K.jpg\"; filename*=utf-8''K%C3%A4.jpg")), id="both-names"
        ),
        pytest.param(written(field("img", b"1", '; filename*0="a"; filename*1="b.jpg"')), id="name-in-two"),
        pytest.param(written(field("img", b"1", '; filename="C:\\photos\\a.jpg"')), id="path-of-windows"),
        pytest.param(
            written(("content-disposition:form-data;NAME=img;filename=a.jpg", b"1")), id="no-quotes-no-spaces"
        ),
        pytest.param(written(('Content-Disposition: form-data;\r\n name="a";\r\n\tfilename="b"', b"1")), id="folded"),
        pytest.param(written((f"{JPEG} ; x=y\r\nContent-Length: 3\r\nX-More: 1", b"123")), id="more-headers"),
        pytest.param(written(("Content-Disposition: form-data", b"1")), id="no-name"),
        pytest.param(b"--x\r\n\r\n1\r\n--x--\r\n", id="no-headers"),
        pytest.param(written(("Content-Type: image/jpeg", b"1")), id="no-disposition"),
        pytest.param(b"before\r\n" + written((JPEG, b"1"), end=b"--x--\r\nafter"), id="text-around-it"),
        pytest.param(written((JPEG, b"1"), end=b"--x--"), id="no-last-line-break"),
        pytest.param(b"--x--\r\n", id="no-parts"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"no form at all", id="no-form"),
        pytest.param(written((JPEG, b"1"), end=b""), id="no-end"),
        pytest.param(written((JPEG, b"1"))[:20], id="half-a-header"),
        pytest.param(written(field("a", b"1" * MAX_FIELD_BYTES)), id="as-long-a-field-as-may-be"),
        pytest.param(written(field("a", b"1" * (MAX_FIELD_BYTES + 1))), id="too-long-a-field"),
        pytest.param(written(*[(JPEG, b"1")] * MAX_PARTS), id="as-many-parts-as-may-be"),
        pytest.param(written(*[(JPEG, b"1")] * (MAX_PARTS + 1)), id="too-many-parts"),
    ],
)
def test_a_body_is_split_as_werkzeug_splits_it(body: bytes, piece_bytes: int) -> None:
    """Names, types, contents and refusals are the same, in whatever pieces it comes; werkzeug's comes in one."""
    assert split(FormParser, body, piece_bytes) == split(FormDataParser, body)


@given(
    parts=st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=20),
            st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--", b"abc", b"\r\n--y", b"y--x"])).map(b"".join),
        ),
        max_size=MAX_PARTS,
    ),
    piece_bytes=st.integers(1, 100),
)
def test_any_names_and_contents_are_read_as_werkzeug_reads_them(
    parts: list[tuple[str, bytes]], piece_bytes: int
) -> None:
    """What clients escape in names, and what they do not, means the same; no content is taken for a boundary."""
    body = written(*(field("img", content, f'; filename="{name}"') for name, content in parts))
    assert split(FormParser, body, piece_bytes) == split(FormDataParser, body)


@given(
    body=st.lists(
        st.sampled_from([*b'\r\n-:; =%*\\"\xff']).map(lambda byte: bytes([byte]))
        | st.sampled_from([b"--x\r\n", b"\r\n--x", b"\r\n", b"Content-Disposition: form-data", b'; name="img"'])
        | st.sampled_from([b"; filename*0*=utf-8''", b"Content-Length: 1"])
    ).map(b"".join),
    piece_bytes=st.integers(1, 20),
)
def test_what_is_no_form_ends_in_no_other_error(body: bytes, piece_bytes: int) -> None:
    """It holds what it seems to hold, or nothing, whatever pieces it comes in."""
    assert split(FormParser, body, piece_bytes) == split(FormParser, body)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(written((JPEG, b"1")).replace(b"\r\n", b"\n"), id="other-line-breaks"),
        pytest.param(written((f"{JPEG}\r\nContent-Length: 2", b"1")), id="another-length"),
        pytest.param(written((JPEG.replace("form-data", "attachment"), b"1")), id="another-disposition"),
        pytest.param(written((JPEG, b"\r\n--xy")), id="boundary-in-the-content"),
        pytest.param(b"before" + written((JPEG, b"1")), id="boundary-within-a-line"),
    ],
)
def test_a_body_that_breaks_the_rules_holds_nothing(body: bytes) -> None:
    """Where werkzeug guesses what is meant, nothing is taken.

    https://www.rfc-editor.org/rfc/rfc7578#section-4
    """
    assert split(FormParser, body) == NOTHING
    assert split(FormDataParser, body) != NOTHING


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(f"{JPEG}\r\nX-More: {'1' * MAX_HEADER_BYTES}", id="too-long-a-header"),
        pytest.param(JPEG + "\r\nX-More: 1" * MAX_HEADERS, id="too-many-headers"),
    ],
)
def test_headers_are_bounded(head: str) -> None:
    """What is kept in memory of a part is small: 413."""
    assert split(FormParser, written((head, b"1"))) == 413


def test_a_body_is_read_to_its_end() -> None:
    """What follows the last boundary would look like the next request."""
    stream = Pieces(written((JPEG, b"1")) + b"after" * 1000, 100)
    FormParser(lambda *_, **__: io.BytesIO()).parse(stream, "multipart/form-data", None, {"boundary": "x"})
    assert stream.read() == b""


@pytest.mark.parametrize("boundary", [pytest.param("", id="none"), pytest.param("ä", id="no-ascii")])
def test_a_body_whose_boundary_is_not_known_holds_nothing(boundary: str) -> None:
    """As with werkzeug."""
    body = written((JPEG, b"1"))
    assert split(FormParser, body, boundary=boundary) == split(FormDataParser, body, boundary=boundary) == NOTHING
