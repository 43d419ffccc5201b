"""A network as an ONNX graph, which the optional runtimes read, and what to install for them."""

from __future__ import annotations

import importlib
import types
import warnings

import torch

from tasks.inference.errors import ModelError
from tasks.inference.runtime_net import PixelNet

REQUIREMENTS = "requirements-runtimes.txt"
# torch writes graphs with these two.
EXPORTERS = ("onnx", "onnxscript")
# A batch of one would be taken for a constant. https://docs.pytorch.org/docs/stable/export.html
EXPORTED_BATCH = 2
INPUT, OUTPUT = "pixels", "scores"


def optional_package(name: str, runtime: str) -> types.ModuleType:
    """Import a package that only `runtime` needs, once the exporters that it needs too are known to be there.

    Raises:
        ModelError: one of them is not installed; the message names the setting and the command.
    """
    try:
        modules = [importlib.import_module(package) for package in (*EXPORTERS, name)]
    except ImportError as error:
        raise ModelError(
            f"MODEL_RUNTIME={runtime}: {error}; install it with `.venv/bin/pip install -r {REQUIREMENTS}`, "
            "or set MODEL_RUNTIME=torch"
        ) from error
    return modules[-1]


@torch.no_grad()
def onnx_graph(net: PixelNet, side_px: int) -> bytes:
    """Return the network as ONNX: `INPUT` (N, side, side, 3) uint8 to `OUTPUT` (N, classes), for any N.

    Raises:
        ModelError: torch cannot export it.
    """
    pixels = torch.zeros(EXPORTED_BATCH, side_px, side_px, 3, dtype=torch.uint8)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter uses what torch itself has deprecated
            program = torch.onnx.export(
                net,
                (pixels,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"the model cannot be exported to ONNX ({reason}); set MODEL_RUNTIME=torch") from error
    shape = program.model.graph.inputs[0].shape if program else None
    if program is None or shape is None or isinstance(shape[0], int):  # it fell back to the batch size of the example
        raise ModelError("the model cannot be exported to ONNX for any batch size; set MODEL_RUNTIME=torch")
    graph: bytes = program.model_proto.SerializeToString()
    return graph
