"""Decides which of the files of a request are photos that can be taken, and says why another cannot.

Pure: knows no HTTP, no AWS and no model.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

MAX_NAME_CHARS = 255
UNNAMED = "photo"
MIB = 1024 * 1024


@dataclass(frozen=True)
class Received:
    """A file as it came: its name is the sender's word, its type is not even asked for."""

    name: str
    size_bytes: int
    file: IO[bytes] = field(repr=False)


@dataclass(frozen=True)
class Refused:
    """A file that is not taken, with the reason in words for its owner and the HTTP status that fits."""

    name: str
    error: str
    status: int


@dataclass(frozen=True)
class Accepted:
    """A file whose header is a photo's."""

    name: str
    size_bytes: int
    file: IO[bytes] = field(repr=False)
    content_type: str


def display_name(name: str) -> str:
    r"""Return the name to show for a file: the last part of a path, printable, of bounded length.

    >>> display_name("C:\\photos\\cat.jpg")
    'cat.jpg'
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    printable = "".join(char for char in last if unicodedata.category(char)[0] != "C").strip()
    return printable[:MAX_NAME_CHARS] or UNNAMED


def validate(received: Received, *, max_bytes: int, sniff: Callable[[IO[bytes]], str]) -> Accepted | Refused:
    """Judge one file by its size and its content's header, never by its name.

    Args:
        received: the file.
        max_bytes: the largest photo that is taken.
        sniff: returns the content type, or raises ValueError with a sentence for the file's owner.
    """
    name = display_name(received.name)
    if received.size_bytes > max_bytes:
        size = f"{received.size_bytes / MIB:.3g} MB"
        return Refused(name, f"The file has {size}; at most {max_bytes / MIB:.3g} MB are taken.", 413)
    if received.size_bytes == 0:
        return Refused(name, "The file is empty.", 400)
    try:
        content_type = sniff(received.file)
    except ValueError as error:
        return Refused(name, str(error), 415)
    return Accepted(name, received.size_bytes, received.file, content_type)
