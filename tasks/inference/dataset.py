"""Reads a labelled image set: `<split>/<class>/<file>`, from a folder or a zip of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from tasks.inference.network import MEAN, SIDE_PX, STD

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


class DatasetError(ValueError):
    """The data is not laid out as expected; the message says what is missing."""


def labelled_files(data: Path, split: str, labels: tuple[str, ...]) -> Iterator[tuple[bytes, int]]:
    """Yield each image file of a split with its label's index, in a fixed order.

    Raises:
        DatasetError: the split has no image of some class.
    """
    for index, label in enumerate(labels):
        found = 0
        for content in _files(data, f"{split}/{label}"):
            found += 1
            yield content, index
        if not found:
            raise DatasetError(f"{data}: no images in {split}/{label}; expected <split>/<class>/<file>.jpg")


def _files(data: Path, folder: str) -> Iterator[bytes]:
    if data.is_dir():
        names = sorted(path for path in (data / folder).glob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        yield from (path.read_bytes() for path in names)
        return
    with zipfile.ZipFile(data) as archive:
        for name in sorted(archive.namelist()):
            path = PurePosixPath(name)
            if str(path.parent) == folder and path.suffix.lower() in IMAGE_SUFFIXES:
                yield archive.read(name)


def load_split(data: Path, split: str, labels: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Load a whole split into memory.

    Returns:
        Images (N, 3, 32, 32), normalised float32, and labels (N,), int64.

    Raises:
        DatasetError: the split has no image of some class.
    """
    pixels, targets = [], []
    for content, index in tqdm(labelled_files(data, split, labels), desc=f"reading {split}", unit="image"):
        with Image.open(io.BytesIO(content)) as image:
            pixels.append(np.asarray(image.convert("RGB").resize((SIDE_PX, SIDE_PX))))
        targets.append(index)
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255
    return normalise(images), torch.tensor(targets)


def normalise(images: Tensor) -> Tensor:
    """Shift and scale images (N, 3, H, W) on a scale of 0 to 1 to mean 0 and standard deviation 1."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images - mean) / std
