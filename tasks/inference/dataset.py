"""Reads a labelled image set: `<split>/<class>/<file>`, from a folder or a zip of it."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor
from tqdm import tqdm

from tasks.inference.decode import decode
from tasks.inference.preprocess import everyday10_transform

LAYOUT = "<split>/<class>/<file>.jpg"
MAX_PIXELS = 100_000_000
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


class DatasetError(ValueError):
    """The data is not laid out as expected; the message says what is missing."""


def class_names(data: Path, split: str) -> tuple[str, ...]:
    """Return the names of a split's classes, in alphabetical order.

    Raises:
        DatasetError: the split has no images.
    """
    classes = tuple(sorted({path.parent.name for path in _paths(data) if path.parent.parent == PurePosixPath(split)}))
    if not classes:
        raise DatasetError(f"{data}: no images in {split}; expected {LAYOUT}")
    return classes


def labelled_files(data: Path, split: str, labels: tuple[str, ...]) -> Iterator[tuple[bytes, int]]:
    """Yield each image file of a split with its label's index, in a fixed order.

    Raises:
        DatasetError: the split has no image of some class.
    """
    by_folder: dict[PurePosixPath, list[PurePosixPath]] = defaultdict(list)
    for path in _paths(data):
        by_folder[path.parent].append(path)
    folders = [PurePosixPath(split, label) for label in labels]
    for folder in folders:
        if not by_folder[folder]:
            raise DatasetError(f"{data}: no images in {folder}; expected {LAYOUT}")
    with ExitStack() as stack:
        archive = None if data.is_dir() else stack.enter_context(zipfile.ZipFile(data))
        for index, folder in enumerate(folders):
            for path in by_folder[folder]:
                yield archive.read(str(path)) if archive else (data / path).read_bytes(), index


def _paths(data: Path) -> list[PurePosixPath]:
    if data.is_dir():
        names = [PurePosixPath(*path.relative_to(data).parts) for path in data.glob("*/*/*")]
    else:
        try:
            with zipfile.ZipFile(data) as archive:
                names = [PurePosixPath(name) for name in archive.namelist()]
        except zipfile.BadZipFile as error:
            raise DatasetError(f"{data}: neither a folder nor a zip; expected {LAYOUT}") from error
    return sorted(name for name in names if name.suffix.lower() in IMAGE_SUFFIXES)


def load_split(data: Path, split: str, labels: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Load a whole split into memory, each image prepared as a user's photo is.

    Returns:
        Images (N, 3, 32, 32), normalised float32, and labels (N,), int64.

    Raises:
        BadImage: a file is not an image.
        DatasetError: the split has no image of some class.
    """
    images, targets = [], []
    for content, index in tqdm(labelled_files(data, split, labels), desc=f"reading {split}", unit="image"):
        images.append(everyday10_transform(decode(content, max_pixels=MAX_PIXELS)))
        targets.append(index)
    return torch.stack(images), torch.tensor(targets)
