"""Imports torchvision, also beside a torch build that its compiled operators do not load with.

Importing torchvision registers shape functions for its operators `nms` and `qnms`; where the compiled operators
did not load that fails with "operator torchvision::nms does not exist". Classification needs neither: declaring
them is enough.
"""

from __future__ import annotations

import importlib
import sys

from torch.library import Library

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# torch forgets the declarations when the object that made them goes.
_declared: list[Library] = []


def import_torchvision() -> None:
    """Make `import torchvision` work from here on.

    Raises:
        RuntimeError: torchvision does not fit this torch for another reason.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # what the failed import left behind
        library = Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            library.define(schema)
        _declared.append(library)
        importlib.import_module("torchvision")
