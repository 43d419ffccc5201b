"""A network that takes pixels as they come from the decoder: it normalises a whole batch at once, where the net runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

BYTE_MAX = 255


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of a network's training pixels, by channel, on a scale of 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class PixelNet(nn.Module):
    """Maps pixels (N, side, side, 3), uint8, to the scores of `net`, float32.

    The channels come last in memory, as the fast convolutions want them, so no value is moved.

    Args:
        net: maps normalised images (N, 3, side, side) to scores (N, classes).
        normalisation: of its images.
        dtype: of the net's numbers. Pixels are normalised in float32 whatever it is.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, net: nn.Module, normalisation: Normalisation, dtype: torch.dtype) -> None:
        super().__init__()
        self.net = net.eval().to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
        self.eval()
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (normalisation.mean, normalisation.std))
        self.register_buffer("scale", 1 / (BYTE_MAX * std))
        self.register_buffer("shift", -mean / std)
        self.dtype = dtype

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the scores."""
        images = torch.addcmul(self.shift, pixels.permute(0, 3, 1, 2).float(), self.scale)
        scores: Tensor = self.net(images.to(self.dtype))
        return scores.float()
