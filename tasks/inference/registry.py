"""Finds a model by name, with its weights, its preprocessing and its labels: the bundled one or torchvision's.

Weights are loaded without pickle's power to run code. https://docs.pytorch.org/vision/stable/models.html
"""

from __future__ import annotations

import difflib
import types
import urllib.error
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from tasks.inference.checkpoint import fit, labels_file, read_checkpoint
from tasks.inference.classifier import Classifier, Precision
from tasks.inference.errors import ModelError
from tasks.inference.folding import fold_batch_norms
from tasks.inference.network import SIDE_PX, EverydayNet
from tasks.inference.preprocess import everyday10_transform
from tasks.inference.torchvision_ops import import_torchvision

BUNDLED = "everyday10"
BUNDLED_WEIGHTS = Path(__file__).parent / "weights" / "everyday10.safetensors"

# torchvision warns about these two models' random weights, which a checkpoint replaces anyway.
INITIALISED_SLOWLY = frozenset({"googlenet", "inception_v3"})

Download = Callable[[str], Path]


def load_classifier(
    name: str, *, weights: str, device: str, download: Download, precision: Precision = "auto"
) -> Classifier:
    """Load the model `name`, ready to classify.

    Args:
        name: ``everyday10`` or a torchvision classifier, e.g. ``resnet18``.
        weights: a file (.pth or .safetensors), an ``s3://`` URL of one, or the name of a member of the model's
            weights enum; empty for the bundled weights, or the enum's default.
        device: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is one.
        download: fetches a URL that is not torchvision's own, returns the local file.
        precision: of the network's numbers; ``auto`` for half precision on CUDA and full precision on the CPU.

    Raises:
        ModelError: no such model, or its weights cannot be had or do not fit; the message says what to do.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if "://" in weights:
        weights = str(download(weights))
    if name == BUNDLED:
        path = Path(weights) if weights else BUNDLED_WEIGHTS
        return _bundled(path, device, precision)
    return _torchvision(name, weights, device, precision)


def _bundled(path: Path, device: str, precision: Precision) -> Classifier:
    checkpoint = read_checkpoint(path)
    labels = checkpoint.labels
    if not labels:
        raise ModelError(f"{path}: no labels in the file's metadata; train it with tasks.inference.train")
    net = EverydayNet(len(labels))
    fit(net, checkpoint.state, path)
    return Classifier(
        BUNDLED,
        net,
        transform=everyday10_transform,
        input_side_px=SIDE_PX,
        labels=labels,
        device=device,
        precision=precision,
    )


def _torchvision(name: str, weights: str, device: str, precision: Precision) -> Classifier:
    import_torchvision()
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name, [BUNDLED, *known], n=3) or [BUNDLED, "resnet18"]
        raise ModelError(f"MODEL={name}: there is no such model; did you mean {' or '.join(near)}?")
    enum = models.get_model_weights(name)
    if weights and weights not in enum.__members__:
        net, labels = _from_file(models, name, Path(weights), tuple(enum.DEFAULT.meta["categories"]))
        member = enum.DEFAULT
    else:
        member = enum[weights] if weights else enum.DEFAULT
        net, labels = _from_the_web(models, name, member), tuple(member.meta["categories"])
    net = fold_batch_norms(net)
    side_px: int = member.transforms.keywords["crop_size"]
    return Classifier(
        name,
        net,
        transform=member.transforms(),
        input_side_px=side_px,
        labels=labels,
        device=device,
        precision=precision,
    )


def _from_the_web(models: types.ModuleType, name: str, member: object) -> nn.Module:
    try:
        net: nn.Module = models.get_model(name, weights=member, progress=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:  # RuntimeError: the file's hash is wrong
        url = getattr(member, "url", "")
        raise ModelError(
            f"the weights of {name} could not be downloaded ({error}); set MODEL_WEIGHTS to a file or an s3:// URL, "
            f"or put {url} into {torch.hub.get_dir()}/checkpoints"
        ) from error
    return net


def _from_file(
    models: types.ModuleType, name: str, path: Path, categories: tuple[str, ...]
) -> tuple[nn.Module, tuple[str, ...]]:
    checkpoint = read_checkpoint(path)
    state = checkpoint.state
    empty = {"init_weights": False} if name in INITIALISED_SLOWLY else {}
    net = models.get_model(name, weights=None, **empty)
    last, output = list(net.state_dict().items())[-1]
    if last not in state:
        raise ModelError(f"{path}: these are not weights of {name} ({last} is missing)")
    classes = len(state[last])
    labels = checkpoint.labels or (categories if classes == len(categories) else ())
    if len(labels) != classes:
        raise ModelError(
            f"{path}: {classes} classes but {len(labels)} labels; name them in {labels_file(path).name}, one a line"
        )
    if classes != len(output):
        net = models.get_model(name, weights=None, num_classes=classes, **empty)
    if hasattr(net, "transform_input"):  # torchvision sets it with its own weights of GoogLeNet and Inception
        net.transform_input = True
    fit(net, state, path)
    return net, labels
