"""Finds the photos that are meant by paths, and packs them into requests of bounded size."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# In folders only what looks like a photo is taken: the server judges by content, and would refuse the rest one by one.
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
# What one request carries: large enough that its overhead is small, small enough that a lost one costs little.
PIECE_FILES = 50
PIECE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class File:
    """A file to send; `number` is its place in the order that the user gave."""

    number: int
    path: Path
    size_bytes: int


def find(paths: Iterable[Path]) -> list[File]:
    """Return the files at `paths`, those of folders sorted, none twice.

    Raises:
        OSError: something is not there, or cannot be read.
    """
    found: dict[Path, int] = {}
    for path in paths:
        for file in _in_folder(path) if path.is_dir() else (path,):
            found.setdefault(file, file.stat().st_size)
    return [File(number, path, size_bytes) for number, (path, size_bytes) in enumerate(found.items())]


def _in_folder(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(here, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith(".") and path.is_file():
                yield path


def _raise(error: OSError) -> None:
    raise error


def pieces(
    files: Iterable[File], *, most_files: int = PIECE_FILES, most_bytes: int = PIECE_BYTES
) -> Iterator[tuple[File, ...]]:
    """Pack files into requests, in order; one that is larger than `most_bytes` goes alone.

    >>> files = [File(n, Path(str(n)), size) for n, size in enumerate((2, 2, 9, 1))]
    >>> [[file.number for file in piece] for piece in pieces(files, most_bytes=4)]
    [[0, 1], [2], [3]]
    """
    piece: list[File] = []
    for file in files:
        if piece and (len(piece) == most_files or sum(one.size_bytes for one in piece) + file.size_bytes > most_bytes):
            yield tuple(piece)
            piece = []
        piece.append(file)
    if piece:
        yield tuple(piece)


def halves(piece: Sequence[File]) -> tuple[tuple[File, ...], tuple[File, ...]]:
    """Split a request in two."""
    middle = len(piece) // 2
    return tuple(piece[:middle]), tuple(piece[middle:])
