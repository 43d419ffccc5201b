"""Turns a photo's bytes into an upright RGB image, or says in a sentence why that is not possible.

Judges by the content, never by a file name, and by the header before it decodes a pixel. Imports no torch, so
that the web tier can look at headers too.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from PIL import ExifTags, Image, UnidentifiedImageError

from tasks.inference.errors import BadImage

CONTENT_TYPES = {
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
}
# What several phones write: a JPEG with more pictures behind the first. Pillow opens it as a JPEG and renames it.
SEVERAL_JPEGS = "MPO"
# 16-bit grey values are told apart by these modes; Pillow would clip them to 255 instead of scaling.
DEEP_GREY_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
WHITE = (255, 255, 255, 255)
# A draft no smaller than this many times the side that the model looks at leaves the resize enough to average.
DRAFT_MARGIN = 2
# Pillow's plugins raise all of these on damaged files: https://pillow.readthedocs.io/en/stable/reference/
DAMAGED = (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError, ArithmeticError, struct.error)
# What undoes each orientation that a camera notes: https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class ImageInfo:
    """What a photo's header says."""

    content_type: str
    width_px: int
    height_px: int


def probe(file: IO[bytes], *, max_pixels: int) -> ImageInfo:
    """Read a photo's header without decoding its pixels; the file is read from where it stands.

    Raises:
        BadImage: empty, not a photo of a known format, or with more pixels than `max_pixels`.
    """
    with _readable_errors(), _open(file, max_pixels) as image:
        kind = "JPEG" if image.format == SEVERAL_JPEGS else str(image.format)
        return ImageInfo(CONTENT_TYPES[kind], image.width, image.height)


def decode(data: bytes, *, max_pixels: int, min_side_px: int | None = None) -> Image.Image:
    """Decode a photo to RGB as its owner sees it: turned by its EXIF orientation, transparency on white.

    Of an animation the first frame is taken. With `min_side_px`, a large JPEG is decoded at a half, a quarter or
    an eighth of its size, as long as both sides stay at least twice `min_side_px`.

    Raises:
        BadImage: empty, not a photo of a known format, damaged, or with more pixels than `max_pixels`.
    """
    with _readable_errors(), _open(io.BytesIO(data), max_pixels) as image:
        if min_side_px is not None:
            image.draft(None, (DRAFT_MARGIN * min_side_px,) * 2)
        image.load()
        return _to_rgb(upright(image))


def _open(file: IO[bytes], max_pixels: int) -> Image.Image:
    begin = file.tell()
    if not file.read(1):
        raise BadImage("The file is empty.")
    file.seek(begin)
    too_many = f"The photo has too many pixels; at most {max_pixels:,} are decoded. Please make it smaller."
    try:
        image = Image.open(file, formats=tuple(CONTENT_TYPES))
    except Image.DecompressionBombError:  # beyond Pillow's own limit, which settings stay below
        raise BadImage(too_many) from None
    if image.width * image.height > max_pixels:
        raise BadImage(too_many)
    return image


def upright(image: Image.Image) -> Image.Image:
    """Return a picture turned as its EXIF orientation says."""
    # Not ImageOps.exif_transpose: it also rewrites the metadata, and fails on what it cannot rewrite.
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except DAMAGED:  # damaged metadata does not spoil the picture: it is taken as it is stored
        return image
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in DEEP_GREY_MODES:
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, WHITE), layer).convert("RGB")
    return image.convert("RGB")


@contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except BadImage:
        raise
    except UnidentifiedImageError:
        raise BadImage("The file is not a photo: it should be JPEG, PNG, GIF, WebP, BMP or TIFF.") from None
    except MemoryError:
        raise BadImage("The photo needs more memory than there is. Please make it smaller.") from None
    except DAMAGED as error:
        raise BadImage("The photo is damaged or incomplete and cannot be decoded.") from error
