"""Runs a network with OpenVINO on the CPU.

https://docs.openvino.ai/2025/openvino-workflow/running-inference/inference-devices-and-modes/cpu-device.html
"""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from tasks.inference.runtime_net import PixelNet
from tasks.inference.runtime_onnx import onnx_graph, optional_package

NAME = "openvino"
# OpenVINO computes in bfloat16 by itself wherever the CPU can, so full precision has to be asked for.
# https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/precision-control.html
HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}


class OpenVinoRuntime:
    """A network on the CPU. Safe to call from several threads, one of which runs at a time.

    Args:
        net: maps pixels to scores, float32 on the CPU.
        side_px: of the pixels.
        threads: of one run.
        precision: of its numbers where the CPU has such instructions: ``fp32``, ``fp16`` or ``bf16``.

    Raises:
        ModelError: a package is missing, or the network cannot be exported.
    """

    def __init__(self, net: PixelNet, side_px: int, threads: int, precision: str) -> None:
        core = optional_package(NAME, NAME).Core()
        compiled = core.compile_model(
            core.read_model(onnx_graph(net, side_px)),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": HINTS[precision],
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                # Several workers share a node: each would pin its threads to the same first cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._request = compiled.create_infer_request()
        self._alone = threading.Lock()

    def scores(self, pixels: Tensor) -> Tensor:
        """Return the scores (N, classes), float32, of pixels (N, side, side, 3)."""
        with self._alone:
            outputs = self._request.infer([pixels.numpy()], share_inputs=True)
        return torch.from_numpy(outputs[0])
