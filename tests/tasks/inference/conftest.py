"""Fixtures of the model's tests."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image

from tasks.inference.torchvision_ops import import_torchvision

import_torchvision()
from torchvision import models  # noqa: E402 - only after its import has been made to work

# Of an untrained network's scores over photographs: about what a trained one's are.
SPREAD = 2.0


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Run models on one core: files of tests run beside each other."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def resnet_that_tells_apart(photos: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded weights of ResNet-18 with scores moved and stretched so that photographs get labels of many kinds."""
    torch.manual_seed(0)
    net = models.resnet18(weights=None).eval()
    transform = models.ResNet18_Weights.DEFAULT.transforms()
    with torch.no_grad():
        scores = net(torch.stack([transform(Image.open(io.BytesIO(data)).convert("RGB")) for data in photos.values()]))
        stretch = SPREAD / scores.std(0).mean()
        net.fc.weight.mul_(stretch)
        net.fc.bias.sub_(scores.mean(0)).mul_(stretch)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(net.state_dict(), path)
    return path
