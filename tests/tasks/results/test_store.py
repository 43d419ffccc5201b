"""Photos in S3."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.counting_proxy import CountingProxy
from local.emulators import REGION
from tasks.objects import PART_BYTES, Bucket
from tasks.store import MAX_QUOTED_NAME_CHARS, ImageMissing, ImageStore, quoted_name

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def images(bucket: str, proxy: CountingProxy) -> ImageStore:
    """A store of photos in a bucket of the test's own."""
    return ImageStore(Bucket(bucket, region=REGION, endpoint_url=proxy.url))


def put(images: ImageStore, *, name: str) -> None:
    """Store a photo under "id"."""
    images.put("id", io.BytesIO(b"photo"), size_bytes=5, name=name, content_type="image/jpeg")


@pytest.mark.stack
def test_a_photo_goes_in_and_out(images: ImageStore, s3: S3Client, bucket: str, proxy: CountingProxy) -> None:
    """Its id is its key, its name and type are with it, and each step is one request."""
    put(images, name="Katze & Hund/日本 🐈.jpg")
    assert images.exists("id")
    assert images.get("id") == b"photo"
    assert proxy.take() == ["PUT", "HEAD", "GET"]
    head = s3.head_object(Bucket=bucket, Key="id")
    assert head["ContentType"] == "image/jpeg"
    assert unquote(head["Metadata"]["name"]) == "Katze & Hund/日本 🐈.jpg"


@pytest.mark.stack
def test_a_photo_that_is_gone_is_missing(images: ImageStore) -> None:
    """Asking says no; reading raises what the user reads."""
    put(images, name="a.jpg")
    images.delete("id")
    images.delete("id")
    assert not images.exists("id")
    with pytest.raises(ImageMissing, match="upload it again"):
        images.get("id")


@pytest.mark.stack
def test_a_large_photo_goes_in_part_by_part(images: ImageStore, proxy: CountingProxy) -> None:
    """It never is in memory as a whole, and comes back as it was, with its name."""
    photo = os.urandom(2 * PART_BYTES + 1)
    images.put("id", io.BytesIO(photo), size_bytes=len(photo), name="a.jpg", content_type="image/jpeg")
    assert proxy.take() == ["POST", "PUT", "PUT", "PUT", "POST"]
    found = images.find("id")
    assert found is not None
    assert (found.name, found.content_type, found.data) == ("a.jpg", "image/jpeg", photo)


@pytest.mark.stack
@pytest.mark.parametrize("name", ["", "🐈" * 5000, "\udc80.jpg", "a\r\nb: c", "\x00"])
def test_any_name_can_be_stored(images: ImageStore, name: str) -> None:
    """Empty, endless, broken or hostile: the name never keeps a photo out."""
    put(images, name=name)
    assert images.get("id") == b"photo"


@given(st.text(st.characters(codec="utf-8"), max_size=2000))
def test_a_quoted_name_is_short_ascii_and_comes_back(name: str) -> None:
    """What fits comes back whole; of the rest comes back as much as fits, in whole characters."""
    quoted = quoted_name(name)
    assert quoted.isascii()
    assert len(quoted) <= MAX_QUOTED_NAME_CHARS
    back = unquote(quoted, errors="strict")
    assert name.startswith(back)
    assert back == name or len(quoted) > MAX_QUOTED_NAME_CHARS - len("%F0%9F%90%88")
