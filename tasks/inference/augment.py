"""Varies training images as photographs of the same thing vary: place, size, shape, light, a hidden part."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

SHIFT = 0.2  # of half a side: about 3 of 32 pixels
SCALE = 0.2
ASPECT = 0.1
LIGHT = 0.2
HIDDEN_PX = 8
FLIP_SHARE = 0.5
# The share of images that are moved by whole pixels only, so that the net sees them as sharp as they are.
SHARP_SHARE = 0.5
PAD_PX = 3


class _Uniform(Protocol):
    def __call__(self, low: float, high: float, *shape: int) -> Tensor: ...


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return a variation of each of the images (N, 3, S, S), normalised float32.

    Works on the device of `images`; the generator is the CPU's, so that a seed gives the same run everywhere.
    """
    count = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (torch.rand(count, *shape, generator=generator) * (high - low) + low).to(images.device)

    flipped = torch.where(uniform(0, 1, 1, 1, 1) < FLIP_SHARE, images, images.flip(3))
    sharp = uniform(0, 1, 1, 1, 1) < SHARP_SHARE
    moved = torch.where(sharp, _shift(flipped, generator), _warp(flipped, uniform))
    lit = moved * (1 + uniform(-LIGHT, LIGHT, 1, 1, 1)) + uniform(-LIGHT, LIGHT, 1, 1, 1)
    return _hide(lit, uniform)


def _shift(images: Tensor, generator: torch.Generator) -> Tensor:
    side = images.shape[-1]
    padded = nn.functional.pad(images, (PAD_PX,) * 4, mode="reflect")
    starts = torch.randint(0, 2 * PAD_PX + 1, (2, len(images), 1), generator=generator).to(images.device)
    rows, columns = starts + torch.arange(side, device=images.device)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _warp(images: Tensor, uniform: _Uniform) -> Tensor:
    scale = 1 + uniform(-SCALE, SCALE)
    aspect = 1 + uniform(-ASPECT, ASPECT)
    matrix = torch.zeros(len(images), 2, 3, device=images.device)
    matrix[:, 0, 0], matrix[:, 1, 1] = scale * aspect, scale / aspect
    matrix[:, :, 2] = uniform(-SHIFT, SHIFT, 2)
    grid = nn.functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return nn.functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _hide(images: Tensor, uniform: _Uniform) -> Tensor:
    side = images.shape[-1]
    centre = uniform(0, side, 2)
    place = torch.arange(side, device=images.device)
    rows = (place - centre[:, :1]).abs() < HIDDEN_PX / 2
    columns = (place - centre[:, 1:]).abs() < HIDDEN_PX / 2
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
