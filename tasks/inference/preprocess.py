"""What the bundled model does to an image before it looks at it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from tasks.inference.network import MEAN, SIDE_PX, STD

_MEAN, _STD = (np.array(values, dtype=np.float32) for values in (MEAN, STD))


def everyday10_transform(image: Image.Image) -> Tensor:
    """Shrink an RGB image's middle square to 32×32; return it normalised, (3, 32, 32) float32."""
    small = ImageOps.fit(image, (SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    pixels = (np.asarray(small, dtype=np.float32) / 255 - _MEAN) / _STD
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())
