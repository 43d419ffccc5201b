"""Which files are taken, and what is said of the others."""

from __future__ import annotations

import io
from typing import IO

import pytest

from webapp.uploads import Accepted, Received, Refused, display_name, validate


def sniff_jpeg(file: IO[bytes]) -> str:
    """Take what starts like a JPEG for one."""
    if not file.read(2).startswith(b"\xff\xd8"):
        raise ValueError("The file is not a photo.")
    return "image/jpeg"


def received(name: str, data: bytes) -> Received:
    """Build a received file."""
    return Received(name, len(data), io.BytesIO(data))


def test_a_photo_is_taken_by_its_content_whatever_its_name() -> None:
    """A JPEG named .txt is a JPEG."""
    photo = received("holiday.txt", b"\xff\xd8...")
    verdict = validate(photo, max_bytes=100, sniff=sniff_jpeg)
    assert verdict == Accepted("holiday.txt", 5, photo.file, "image/jpeg")


@pytest.mark.parametrize(
    ("file", "status", "said"),
    [
        pytest.param(received("a.jpg", b""), 400, "empty", id="empty"),
        pytest.param(received("a.jpg", b"hello"), 415, "not a photo", id="no-photo"),
        pytest.param(Received("a.jpg", 3 * 1024 * 1024, io.BytesIO()), 413, "3 MB; at most 1 MB", id="too-large"),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_with_a_reason(file: Received, status: int, said: str) -> None:
    """The owner reads what is wrong; the status says the same to programs."""
    verdict = validate(file, max_bytes=1024 * 1024, sniff=sniff_jpeg)
    assert isinstance(verdict, Refused)
    assert verdict.status == status
    assert said in verdict.error


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        pytest.param("cat.jpg", "cat.jpg", id="plain"),
        pytest.param("../../etc/passwd", "passwd", id="path"),
        pytest.param("C:\\photos\\cat.jpg", "cat.jpg", id="windows-path"),
        pytest.param("кот 猫.jpg", "кот 猫.jpg", id="unicode"),
        pytest.param("a\x00b\nc.jpg", "abc.jpg", id="control-characters"),
        pytest.param("a\u202egpj.exe", "agpj.exe", id="direction-override"),
        pytest.param("", "photo", id="none"),
        pytest.param("x" * 1000, "x" * 255, id="long"),
    ],
)
def test_a_name_is_data_to_show_never_a_path(given: str, shown: str) -> None:
    """What is shown has no folders, nothing unprintable and a bounded length."""
    assert display_name(given) == shown
