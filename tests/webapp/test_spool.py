"""Where a request's files are kept while they arrive."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import IO, cast

import pytest
from PIL import Image

from webapp.spool import MEMORY_BYTES, Spool, SpooledFile


def write(spool: Spool, *pieces: bytes) -> SpooledFile:
    """Write a file in pieces, as they come from the network."""
    file = spool.begin()
    for piece in pieces:
        file.write(piece)
    file.seek(0)
    return file


@pytest.fixture
def spool() -> Spool:
    """A spool that keeps files of up to 1,000 bytes; its disk space goes with the test."""
    return Spool(max_file_bytes=1000)


def test_files_are_read_as_they_were_written_by_any_thread(spool: Spool) -> None:
    """Several files in one temporary file do not mix, whoever reads them when."""
    contents = [bytes([number]) * (number + 1) * 10 for number in range(20)]
    files = [write(spool, content[:7], content[7:]) for content in contents]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda file: file.read(), files)) == contents
    spool.close()


@pytest.mark.parametrize(
    "size_bytes", [pytest.param(MEMORY_BYTES, id="all in memory"), pytest.param(MEMORY_BYTES + 1, id="all on disk")]
)
def test_a_file_is_the_same_in_memory_and_on_disk(size_bytes: int) -> None:
    """What came while there was room in memory is not lost when there is none any more."""
    spool = Spool(max_file_bytes=2 * MEMORY_BYTES)
    content = os.urandom(size_bytes)
    file = write(spool, content[:1000], content[1000:])
    assert file.read(10) + file.read() == content
    spool.close()


def test_of_a_file_that_is_too_large_only_its_size_is_kept(spool: Spool) -> None:
    """However much is sent, the disk holds no more than the limit, and what follows is intact."""
    large = write(spool, *[b"x" * 300] * 50)
    small = write(spool, b"small")
    assert large.size_bytes == 15_000
    assert large.read() == b""
    assert small.read() == b"small"
    assert os.fstat(spool.fileno()).st_size <= 1000
    spool.close()


def test_a_photo_is_opened_from_the_spool(spool: Spool) -> None:
    """What looks at photos finds an ordinary file."""
    picture = io.BytesIO()
    Image.new("1", (3, 2)).save(picture, "PNG")
    write(spool, b"something before")
    with Image.open(cast("IO[bytes]", write(spool, picture.getvalue()))) as opened:
        assert opened.size == (3, 2)
    spool.close()


def test_a_closed_spool_gives_its_disk_space_back(spool: Spool) -> None:
    """The temporary file has no name: closing it is all."""
    write(spool, b"content")
    number = spool.fileno()
    spool.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
