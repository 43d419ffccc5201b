"""What schemathesis should know of this API beside its document: files are photos as often as not."""

from __future__ import annotations

import io

import schemathesis
from hypothesis import strategies as st
from PIL import Image

SIDE_PX = 8


def photo(kind: str) -> bytes:
    """Make a photo of a few bytes: a case is about the API, not about what the photo shows."""
    made = io.BytesIO()
    Image.new("RGB", (SIDE_PX, SIDE_PX), "teal").save(made, kind)
    return made.getvalue()


PHOTOS = tuple(photo(kind) for kind in ("PNG", "JPEG", "GIF"))
TRUNCATED = PHOTOS[0][: len(PHOTOS[0]) // 2]

schemathesis.openapi.format("binary", st.sampled_from((*PHOTOS, TRUNCATED)) | st.binary(max_size=64))
