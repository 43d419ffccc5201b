"""Reads and writes a network's weights and labels, without pickle's power to run code. Knows no model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tasks.inference.errors import ModelError

# Where a .safetensors file's metadata, which holds only strings, has the labels: a list in JSON.
LABELS_KEY = "labels"


@dataclass(frozen=True)
class Checkpoint:
    """A network's tensors by name, and the names of its outputs where they came with it."""

    state: dict[str, Tensor]
    labels: tuple[str, ...]


def labels_file(weights: Path) -> Path:
    """Return where the labels of a checkpoint are looked for: beside it, one label a line."""
    return weights.with_suffix(".labels.txt")


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a .safetensors file, or what `torch.save(model.state_dict(), path)` wrote.

    Labels come from the file beside it if there is one, else from a .safetensors file's metadata.

    Raises:
        ModelError: the file is missing, damaged, or holds more than tensors.
    """
    if not path.is_file():
        raise ModelError(f"MODEL_WEIGHTS={path}: there is no such file, and no weights of torchvision's by this name")
    try:
        found = _read_safetensors(path) if path.suffix == ".safetensors" else Checkpoint(_read_pickle(path), ())
        return Checkpoint(found.state, _labels_beside(path) or found.labels)
    except (SafetensorError, RuntimeError, OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path}: not readable as weights: {str(error).splitlines()[0]}") from error


def _labels_beside(path: Path) -> tuple[str, ...]:
    beside = labels_file(path)
    lines = beside.read_text(encoding="utf-8").splitlines() if beside.is_file() else []
    return tuple(line.strip() for line in lines if line.strip())


def _read_safetensors(path: Path) -> Checkpoint:
    with safe_open(path, framework="pt") as file:
        labels = json.loads((file.metadata() or {}).get(LABELS_KEY, "[]"))
        return Checkpoint({key: file.get_tensor(key) for key in file.keys()}, tuple(labels))  # noqa: SIM118 - not a dict


def _read_pickle(path: Path) -> dict[str, Tensor]:
    refusal = f"{path}: not readable as weights; save model.state_dict(), nothing else"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError):  # the file cannot be read, or is cut off
        raise
    except Exception as error:  # torch.load raises pickle's errors, and pickle's may be anything
        raise ModelError(refusal) from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(refusal)
    return state


def fit(net: nn.Module, state: dict[str, Tensor], path: Path | str) -> None:
    """Load weights read from `path` into a network.

    Raises:
        ModelError: tensors are missing, unknown or of another shape.
    """
    counters = {key for key in net.state_dict() if key.endswith("num_batches_tracked")}
    try:
        missing, unexpected = net.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ModelError(f"{path}: the weights do not fit: {str(error).splitlines()[-1].strip()}") from error
    if wrong := [*(set(missing) - counters), *unexpected]:
        raise ModelError(f"{path}: the weights do not fit: {len(wrong)} tensors missing or unknown, e.g. {wrong[0]}")


def write_checkpoint(net: nn.Module, labels: tuple[str, ...], path: Path) -> None:
    """Write a network's weights in half precision as .safetensors, with its labels in the metadata."""
    tensors = {
        name: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for name, value in net.state_dict().items()
        if not name.endswith("num_batches_tracked")  # of use to training only
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, metadata={LABELS_KEY: json.dumps(labels)})
