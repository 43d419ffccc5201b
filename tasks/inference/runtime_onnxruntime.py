"""Runs a network with ONNX Runtime on the CPU.

https://onnxruntime.ai/docs/performance/tune-performance/threading.html
"""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.inference.runtime_net import PixelNet
from tasks.inference.runtime_onnx import INPUT, OUTPUT, onnx_graph, optional_package

NAME = "onnxruntime"


class OnnxRuntime:
    """A network in float32. Safe to call from several threads.

    Args:
        net: maps pixels to scores, on the CPU.
        side_px: of the pixels.
        threads: of one run.

    Raises:
        ModelError: a package is missing, or the network cannot be exported.
    """

    def __init__(self, net: PixelNet, side_px: int, threads: int) -> None:
        onnxruntime = optional_package(NAME, NAME)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait for work would otherwise keep their cores busy, which decoding needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            onnx_graph(net, side_px), options, providers=["CPUExecutionProvider"]
        )

    def scores(self, pixels: Tensor) -> Tensor:
        """Return the scores (N, classes), float32, of pixels (N, side, side, 3)."""
        (scores,) = self._session.run([OUTPUT], {INPUT: pixels.numpy()})
        return torch.from_numpy(scores)
