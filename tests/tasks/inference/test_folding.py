"""A folded network gives the answers of the one it was made from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tasks.inference.folding import fold_batch_norms
from tasks.inference.torchvision_ops import import_torchvision

import_torchvision()
from torchvision import models  # noqa: E402 - only after its import has been made to work


class CalledTwice(nn.Module):
    """Sends the image and its mirror image through the same layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both."""
        return self.layers(x) + self.layers(x.flip(3))  # type: ignore[no-any-return]  # nn.Module's call gives Any


class SeenTwice(nn.Module):
    """Uses the convolution's output beside the batch norm's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both."""
        x = self.conv(x)
        return x + self.norm(x)  # type: ignore[no-any-return]  # nn.Module's call gives Any


def batch_norms(net: nn.Module) -> int:
    """Count the batch norms of a network."""
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())


@pytest.mark.parametrize(
    ("make", "left"),
    [
        pytest.param(lambda: models.resnet18(num_classes=10), 0, id="resnet18"),
        pytest.param(lambda: models.mobilenet_v3_small(num_classes=10), 0, id="mobilenet"),
        # A dense block normalises what several convolutions gave, before the next one.
        pytest.param(lambda: models.densenet121(num_classes=10), 62, id="densenet"),
        pytest.param(CalledTwice, 1, id="called-twice"),
        pytest.param(SeenTwice, 1, id="seen-twice"),
    ],
)
def test_answers_stay_the_same(make: type[nn.Module], left: int) -> None:
    """Batch norms go where that changes nothing, and stay where it would."""
    torch.manual_seed(0)
    net = make()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean, 0, 0.1)  # type: ignore[arg-type]  # tracked unless told otherwise
            nn.init.uniform_(layer.running_var, 0.5, 2)  # type: ignore[arg-type]  # tracked unless told otherwise
    folded = fold_batch_norms(net)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), net.eval()(images), atol=1e-4, rtol=1e-4)
    assert batch_norms(folded) == left
