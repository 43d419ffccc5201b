"""Every kind of photo comes out as its owner sees it; everything else is refused with a sentence."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps

from tasks.inference.decode import decode, probe
from tasks.inference.errors import BadImage

MAX_PIXELS = 100_000_000
RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the image as a file's bytes."""
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def huge_png(side_px: int) -> bytes:
    """Return a valid PNG of a few kB whose header promises side × side pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1024 * 1024), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def half_red_half_green(mode: str = "RGB") -> Image.Image:
    """Return a 40×20 image, red on the left and green on the right."""
    image = Image.new("RGB", (40, 20), RED)
    image.paste(GREEN, (20, 0, 40, 20))
    return image.convert(mode)


def close(pixel: object, colour: tuple[int, ...], tolerance: int = 40) -> bool:
    """Tell whether a pixel looks like a colour, lossy compression granted."""
    return bool((np.abs(np.array(pixel, int) - np.array(colour)) <= tolerance).all())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_every_format_in_every_common_mode_becomes_rgb(kind: str, mode: str) -> None:
    """Colour, grey and palette come out as RGB of the same size."""
    image = half_red_half_green(mode)
    data = encode(image.convert("RGB") if (kind, mode) == ("JPEG", "P") else image, kind)
    assert (decode(data, max_pixels=MAX_PIXELS).mode, decode(data, max_pixels=MAX_PIXELS).size) == ("RGB", (40, 20))


def test_cmyk_keeps_its_colours() -> None:
    """A print shop's JPEG is not shown inverted."""
    data = encode(half_red_half_green("CMYK"), "JPEG", quality=95)
    assert close(decode(data, max_pixels=MAX_PIXELS).getpixel((5, 10)), RED, 60)


def test_transparency_is_shown_on_white() -> None:
    """What is transparent looks white, as on a page, not black."""
    image = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    assert decode(encode(image, "PNG"), max_pixels=MAX_PIXELS).getpixel((5, 5)) == WHITE


def test_a_transparent_palette_colour_is_shown_on_white() -> None:
    """A GIF's transparent colour looks white too."""
    image = Image.new("P", (10, 10), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    assert decode(encode(image, "GIF", transparency=0), max_pixels=MAX_PIXELS).getpixel((5, 5)) == WHITE


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    """Half grey stays half grey; it is scaled, not cut off at 255."""
    image = Image.fromarray(np.full((10, 10), 32768, np.uint16))
    assert close(decode(encode(image, "PNG"), max_pixels=MAX_PIXELS).getpixel((5, 5)), (128, 128, 128), 1)


def test_of_an_animation_the_first_frame_is_taken() -> None:
    """An animated GIF counts as the picture that it starts with."""
    frames = [Image.new("RGB", (10, 10), colour) for colour in (RED, GREEN)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert close(decode(data, max_pixels=MAX_PIXELS).getpixel((5, 5)), RED)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_its_camera_was_held(orientation: int) -> None:
    """Each of EXIF's eight orientations comes out as Pillow's own tool turns it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = half_red_half_green()
    stored.paste(WHITE, (0, 0, 8, 8))
    data = encode(stored, "PNG", exif=exif)
    with Image.open(io.BytesIO(data)) as image:
        expected = ImageOps.exif_transpose(image)
    found = decode(data, max_pixels=MAX_PIXELS)
    assert (found.size, found.tobytes()) == (expected.size, expected.tobytes())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Tag data larger than file")
@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12", id="cut-off"),
        pytest.param(b"Exif\0\0MM\xff\0\0\0\0\x08\0\x05\x01\x12", id="no-exif"),
        pytest.param(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\0\0\0\x06\0\0\0", id="wrong-count"),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_damaged_metadata_does_not_spoil_a_photo(kind: str, exif: bytes) -> None:
    """A photo whose EXIF data cannot be read is taken as it is stored."""
    data = encode(half_red_half_green(), kind, exif=exif, quality=95)
    assert close(decode(data, max_pixels=MAX_PIXELS).getpixel((3, 10)), RED)


def test_a_large_jpeg_is_decoded_smaller_but_never_below_twice_the_side() -> None:
    """Drafting saves time without taking detail that the model would see."""
    data = encode(Image.new("RGB", (1600, 1200)), "JPEG")
    assert decode(data, max_pixels=MAX_PIXELS, min_side_px=224).size == (800, 600)


def test_the_header_tells_format_and_size() -> None:
    """Probing needs no decoding: it works on a file cut off after its header."""
    info = probe(io.BytesIO(encode(half_red_half_green(), "PNG")[:60]), max_pixels=MAX_PIXELS)
    assert (info.content_type, info.width_px, info.height_px) == ("image/png", 40, 20)


def cut(data: bytes) -> bytes:
    """Return the first half of a file."""
    return data[: len(data) // 2]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda: b"", "empty", id="empty"),
        pytest.param(lambda: b"Dear diary, today", "not a photo", id="text"),
        pytest.param(lambda: b"%PDF-1.7 ...", "not a photo", id="pdf"),
        pytest.param(lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a photo", id="svg"),
        pytest.param(lambda: cut(encode(half_red_half_green(), "JPEG")), "damaged", id="truncated-jpeg"),
        pytest.param(lambda: cut(encode(Image.effect_noise((64, 64), 50), "PNG")), "damaged", id="truncated-png"),
        pytest.param(lambda: huge_png(30_000), "too many pixels", id="bomb"),
    ],
)
def test_what_is_not_a_photo_is_refused_in_a_sentence(make: Callable[[], bytes], said: str) -> None:
    """The photo's owner reads what is wrong with the file."""
    with pytest.raises(BadImage, match=said):
        decode(make(), max_pixels=MAX_PIXELS)


def test_a_bomb_is_known_by_its_header() -> None:
    """A few kB that would unpack to gigabytes are refused without unpacking them."""
    data = huge_png(30_000)
    assert len(data) < 10_000
    with pytest.raises(BadImage, match="at most 100,000,000"):
        probe(io.BytesIO(data), max_pixels=MAX_PIXELS)


def test_the_limit_on_pixels_is_the_settings() -> None:
    """One pixel more than is allowed is refused; the same photo passes under a higher limit."""
    data = encode(half_red_half_green(), "PNG")
    assert probe(io.BytesIO(data), max_pixels=800).width_px == 40
    with pytest.raises(BadImage, match="at most 799"):
        probe(io.BytesIO(data), max_pixels=799)
