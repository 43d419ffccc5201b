"""Small pictures of photos."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from PIL import Image

from webapp.thumbnails import SIDE_PX, thumbnail

RED, WHITE = (255, 0, 0), (255, 255, 255)
ROTATED = 6  # EXIF: the camera was held upright, the picture lies on its side
ORIENTATION, WIDTH, PAGE_NUMBER = 0x0112, 0x0100, 0x0129
# How TIFF writes a field's type: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
ASCII, SHORT = 2, 3


def photo(size: tuple[int, int], kind: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    """Return a photo of one colour; with a transparent mode, of none."""
    output = io.BytesIO()
    Image.new(mode, size, RED if mode == "RGB" else 0).save(output, kind, **options)
    return output.getvalue()


def opened(data: bytes | None) -> Image.Image:
    """Open what must be a JPEG."""
    assert data is not None
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    return image


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_every_kind_of_photo_becomes_a_small_jpeg(kind: str) -> None:
    """Also the kinds that browsers do not show."""
    assert opened(thumbnail(photo((1000, 500), kind))).size == (SIDE_PX, SIDE_PX // 2)


def test_a_photo_taken_upright_is_shown_upright() -> None:
    """The camera's orientation is applied."""
    exif = Image.Exif()
    exif[ORIENTATION] = ROTATED
    assert opened(thumbnail(photo((1000, 500), exif=exif))).size == (SIDE_PX // 2, SIDE_PX)


@pytest.mark.parametrize("tag", [WIDTH, PAGE_NUMBER])
def test_a_text_where_a_number_should_be_in_the_metadata_costs_nothing(tag: int) -> None:
    """Pillow itself cannot rewrite such metadata; nobody needs it to."""
    fields = sorted([(ORIENTATION, SHORT, 1, struct.pack("<HH", ROTATED, 0)), (tag, ASCII, 4, b"abc\0")])
    written = b"".join(struct.pack("<HHI4s", *field) for field in fields)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(fields)) + written + bytes(4)
    assert opened(thumbnail(photo((1000, 500), exif=exif))).size == (SIDE_PX // 2, SIDE_PX)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    """JPEG knows no transparency; black would hide a drawing."""
    options = {"transparency": 0} if mode == "P" else {}
    assert opened(thumbnail(photo((10, 10), "PNG", mode, **options))).getpixel((5, 5)) == WHITE


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no photo", id="text"),
        pytest.param(photo((400, 400), "PNG")[:200], id="half"),
        pytest.param(photo((5000, 5000), "PNG"), id="too-large-to-decode"),
    ],
)
def test_what_cannot_be_had_cheaply_is_none(data: bytes) -> None:
    """A broken photo, or one whose pixels would fill the memory, has no thumbnail."""
    assert thumbnail(data) is None


def test_a_large_jpeg_is_decoded_small() -> None:
    """JPEG can be decoded at an eighth of its size: a camera's photo costs little."""
    assert opened(thumbnail(photo((6000, 5000)))).size == (SIDE_PX, 400)
