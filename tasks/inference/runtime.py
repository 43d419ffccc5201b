"""What runs a network, behind one interface: torch, ONNX Runtime or OpenVINO. Knows no photos and no labels.

docs/inference.md has what was measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from tasks.inference.errors import ModelError
from tasks.inference.runtime_net import Normalisation, PixelNet
from tasks.inference.runtime_onnxruntime import OnnxRuntime
from tasks.inference.runtime_openvino import OpenVinoRuntime
from tasks.inference.runtime_torch import TorchRuntime

# What `auto` stands for, by device. On a GPU half precision halves the memory traffic and uses the tensor cores. On
# a CPU it pays only where the CPU multiplies such numbers itself (AMX), and answers differ in the third digit.
AUTO_PRECISION = {"cuda": "fp16", "cpu": "fp32"}
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# The fastest that is always installed.
AUTO_RUNTIME = "torch"
RUNTIMES = ("torch", "onnxruntime", "openvino")

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "fp16", "bf16"]
RuntimeName = Literal["auto", "torch", "onnxruntime", "openvino"]


class Runtime(Protocol):
    """A network that is ready to run. Safe to call from several threads."""

    def scores(self, pixels: Tensor) -> Tensor:
        """Return the scores (N, classes), float32 on the CPU, of pixels (N, side, side, 3), uint8; any N."""


@dataclass(frozen=True)
class Execution:
    """How a network is to be run; every field may be ``auto``.

    Attributes:
        runtime: the library that runs it.
        device: where; ``auto`` for CUDA where there is one and the runtime uses it.
        precision: of its numbers; ``auto`` for half precision on CUDA and full precision on the CPU.
    """

    runtime: RuntimeName = "auto"
    device: Device = "auto"
    precision: Precision = "auto"


def start(net: nn.Module, normalisation: Normalisation, side_px: int, execution: Execution) -> Runtime:
    """Make a network ready to run, on as many threads as torch is set to. It is not to be used elsewhere afterwards.

    Args:
        net: maps normalised images (N, 3, side, side) to scores (N, classes).
        normalisation: of its images.
        side_px: the side.
        execution: how.

    Raises:
        ModelError: it cannot be run so; the message names the setting and says what to do.
    """
    runtime = AUTO_RUNTIME if execution.runtime == "auto" else execution.runtime
    device = _device(runtime, execution.device)
    precision = AUTO_PRECISION[device] if execution.precision == "auto" else execution.precision
    if runtime == "torch":
        return TorchRuntime(PixelNet(net, normalisation, PRECISIONS[precision]), side_px, device)
    pixel_net = PixelNet(net, normalisation, torch.float32)
    if runtime == "openvino":
        return OpenVinoRuntime(pixel_net, side_px, torch.get_num_threads(), precision)
    if precision != "fp32":
        raise ModelError(
            f"MODEL_PRECISION={precision}: MODEL_RUNTIME=onnxruntime computes in fp32; take torch or openvino"
        )
    return OnnxRuntime(pixel_net, side_px, torch.get_num_threads())


def _device(runtime: str, device: Device) -> str:
    if runtime == "torch":
        return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if device == "cuda":
        raise ModelError(f"MODEL_RUNTIME={runtime} runs on the CPU: set DEVICE=cpu, or MODEL_RUNTIME=torch for CUDA")
    return "cpu"
