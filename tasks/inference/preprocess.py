"""Turns an upright RGB image into the square of pixels that a model looks at: uint8, (side, side, RGB).

Pixels stay whole bytes, a quarter of what floats take; `tasks.inference.runtime_net` normalises them with their batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from tasks.inference.network import MEAN, SIDE_PX, STD

_MEAN, _STD = (np.array(values, dtype=np.float32) for values in (MEAN, STD))


@dataclass(frozen=True)
class CentreCrop:
    """What torchvision's classification preset does: the shorter side to `resize_px`, then the middle square.

    The square alone could be resized at three quarters of the cost, but Pillow rounds its edges, and that is seen in
    the third digit of probabilities. https://docs.pytorch.org/vision/stable/models.html#classification
    """

    resize_px: int
    side_px: int
    resampling: Image.Resampling

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the square's pixels."""
        shorter_px = min(image.size)
        width_px, height_px = (self.resize_px * length_px // shorter_px for length_px in image.size)
        left, top = (round((length_px - self.side_px) / 2) for length_px in (width_px, height_px))
        resized = image.resize((width_px, height_px), self.resampling)
        return _pixels(resized.crop((left, top, left + self.side_px, top + self.side_px)))


def everyday10_pixels(image: Image.Image) -> Tensor:
    """Shrink an RGB image's middle square to 32×32 pixels."""
    return _pixels(ImageOps.fit(image, (SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))


def everyday10_transform(image: Image.Image) -> Tensor:
    """Shrink an RGB image's middle square to 32×32; return it normalised, (3, 32, 32) float32, as training wants it."""
    pixels = (everyday10_pixels(image).numpy().astype(np.float32) / 255 - _MEAN) / _STD
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))
