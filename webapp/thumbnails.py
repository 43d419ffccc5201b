"""Makes small pictures of photos. Pure: bytes in, bytes out."""

from __future__ import annotations

import io

from PIL import Image

from tasks import api as tasks_api

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
SIDE_PX = 480
QUALITY = 80
# A thumbnail is a courtesy: it must not cost the web process more memory than this many decoded pixels.
MAX_DECODED_PIXELS = 24_000_000
WHITE = (255, 255, 255)


def thumbnail(data: bytes) -> bytes | None:
    """Return a JPEG of a photo, at most 480 pixels wide and high, upright; None if that cannot be had cheaply."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            image.draft("RGB", (SIDE_PX, SIDE_PX))  # JPEG's own way to decode at a fraction of the size
            if image.width * image.height > MAX_DECODED_PIXELS:
                return None
            image.thumbnail((SIDE_PX, SIDE_PX))
            small = _on_white(tasks_api.upright(image))
    except (*tasks_api.DAMAGED, Image.DecompressionBombError):
        return None
    output = io.BytesIO()
    small.save(output, "JPEG", quality=QUALITY)
    return output.getvalue()


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    paper = Image.new("RGB", image.size, WHITE)
    rgba = image.convert("RGBA")
    paper.paste(rgba, mask=rgba)
    return paper
