"""Photos in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.counting_proxy import CountingProxy
from local.emulators import REGION
from tasks.objects import Bucket
from tasks.store import MAX_QUOTED_NAME_CHARS, ImageMissing, ImageStore, quoted_name

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@pytest.fixture
def images(bucket: str, proxy: CountingProxy) -> ImageStore:
    """A store of photos in a bucket of the test's own."""
    return ImageStore(Bucket(bucket, region=REGION, endpoint_url=proxy.url))


@pytest.mark.stack
def test_a_photo_goes_in_and_out(images: ImageStore, s3: S3Client, bucket: str, proxy: CountingProxy) -> None:
    """Its id is its key, its name and type are with it, and each step is one request."""
    images.put("id", b"photo", name="Katze & Hund/日本 🐈.jpg", content_type="image/jpeg")
    assert images.exists("id")
    assert images.get("id") == b"photo"
    assert proxy.take() == ["PUT", "HEAD", "GET"]
    head = s3.head_object(Bucket=bucket, Key="id")
    assert head["ContentType"] == "image/jpeg"
    assert unquote(head["Metadata"]["name"]) == "Katze & Hund/日本 🐈.jpg"


@pytest.mark.stack
def test_a_photo_that_is_gone_is_missing(images: ImageStore) -> None:
    """Asking says no; reading raises what the user reads."""
    images.put("id", b"photo", name="a.jpg", content_type="image/jpeg")
    images.delete("id")
    images.delete("id")
    assert not images.exists("id")
    with pytest.raises(ImageMissing, match="upload it again"):
        images.get("id")


@pytest.mark.stack
@pytest.mark.parametrize("name", ["", "🐈" * 5000, "\udc80.jpg", "a\r\nb: c", "\x00"])
def test_any_name_can_be_stored(images: ImageStore, name: str) -> None:
    """Empty, endless, broken or hostile: the name never keeps a photo out."""
    images.put("id", b"photo", name=name, content_type="image/jpeg")
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
