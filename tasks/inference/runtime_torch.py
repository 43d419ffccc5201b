"""Runs a network with torch: as a frozen graph on the CPU, as it is on CUDA."""

from __future__ import annotations

import logging
import warnings

import torch
from torch import Tensor, nn

from tasks.inference.runtime_net import PixelNet

logger = logging.getLogger(__name__)

TRACED_BATCH = 2
# A graph is tried at batch sizes other than the one it was traced with.
TRIED_BATCHES = (1, 3)
# Of the largest score. A graph that took the batch size for a constant is far beyond, rounding is not: fusing layers
# leaves out some steps of it, each as large as the number format's.
AGREEMENT = 1e-3
AGREEMENT_ROUNDINGS = 10


class TorchRuntime:
    """A network on the CPU or a GPU. Safe to call from several threads.

    Args:
        net: maps pixels to scores.
        side_px: of the pixels.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, net: PixelNet, side_px: int, device: str) -> None:
        self._device = torch.device(device)
        self._net: nn.Module = net.to(self._device)
        if self._device.type == "cpu":
            self._net = frozen_graph(net, side_px) or net

    @torch.inference_mode()
    def scores(self, pixels: Tensor) -> Tensor:
        """Return the scores (N, classes), float32 on the CPU, of pixels (N, side, side, 3)."""
        if self._device.type == "cuda":
            # From page-locked memory the GPU fetches by itself, a quarter of the bytes that floats would be.
            pixels = pixels.pin_memory().to(self._device, non_blocking=True)
        scores: Tensor = self._net(pixels)
        return scores.cpu()


@torch.inference_mode()
def frozen_graph(net: PixelNet, side_px: int) -> nn.Module | None:
    """Return a graph that answers as `net` does, without Python and the interpreter lock between its layers.

    `torch.jit.optimize_for_inference` is left out: it speeds some networks up and slows others down by a third.
    None if no graph holds for each batch size; the network then runs as it is.
    """
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (max(TRIED_BATCHES), side_px, side_px, 3), dtype=torch.uint8, generator=generator)
    with warnings.catch_warnings():
        # torch points to torch.compile, which needs a C++ compiler on the node and some 20 s at each start.
        warnings.simplefilter("ignore", DeprecationWarning)
        # What a trace leaves out is found by trying the graph.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # not in its __all__
        graph: nn.Module = torch.jit.freeze(torch.jit.trace(net, images[:TRACED_BATCH], check_trace=False))
    limit = max(AGREEMENT, AGREEMENT_ROUNDINGS * torch.finfo(net.dtype).eps)
    try:
        agree = all(_difference(graph(images[:size]), net(images[:size])) <= limit for size in TRIED_BATCHES)
    except RuntimeError:
        logger.warning("the network's graph takes one batch size only; it runs without", exc_info=True)
        return None
    if not agree:
        logger.warning("the network's graph gives other scores at other batch sizes; it runs without")
        return None
    return graph


def _difference(scores: Tensor, expected: Tensor) -> float:
    return float((scores - expected).abs().max() / expected.abs().max())
