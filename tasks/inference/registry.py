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
from PIL import Image
from torch import nn

from tasks.inference.checkpoint import fit, labels_file, read_checkpoint
from tasks.inference.classifier import Classifier
from tasks.inference.errors import ModelError
from tasks.inference.folding import fold_batch_norms
from tasks.inference.network import MEAN, SIDE_PX, STD, EverydayNet
from tasks.inference.preprocess import CentreCrop, everyday10_pixels
from tasks.inference.runtime import Device, Execution, Precision, RuntimeName, start
from tasks.inference.runtime_net import Normalisation
from tasks.inference.torchvision_ops import import_torchvision

BUNDLED = "everyday10"
BUNDLED_WEIGHTS = Path(__file__).parent / "weights" / "everyday10.safetensors"

# torchvision warns about these two models' random weights, which a checkpoint replaces anyway.
INITIALISED_SLOWLY = frozenset({"googlenet", "inception_v3"})

Download = Callable[[str], Path]


def load_classifier(
    name: str,
    *,
    weights: str,
    device: Device,
    download: Download,
    precision: Precision = "auto",
    runtime: RuntimeName = "auto",
) -> Classifier:
    """Load the model `name`, ready to classify.

    Args:
        name: ``everyday10`` or a torchvision classifier, e.g. ``resnet18``.
        weights: a file (.pth or .safetensors), an ``s3://`` URL of one, or the name of a member of the model's
            weights enum; empty for the bundled weights, or the enum's default.
        device: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is one and the runtime uses it.
        download: fetches a URL that is not torchvision's own, returns the local file.
        precision: of the network's numbers; ``auto`` for half precision on CUDA and full precision on the CPU.
        runtime: the library that runs it; ``auto`` for torch.

    Raises:
        ModelError: no such model, its weights cannot be had or do not fit, or the runtime is not there or cannot run
            it; the message says what to do.
    """
    execution = Execution(runtime, device, precision)
    if "://" in weights:
        weights = str(download(weights))
    if name == BUNDLED:
        path = Path(weights) if weights else BUNDLED_WEIGHTS
        return _bundled(path, execution)
    return _torchvision(name, weights, execution)


def model_names() -> list[str]:
    """Return the names of all models that can be loaded, the bundled one first."""
    import_torchvision()
    from torchvision import models

    return [BUNDLED, *models.list_models(module=models)]


def _bundled(path: Path, execution: Execution) -> Classifier:
    checkpoint = read_checkpoint(path)
    labels = checkpoint.labels
    if not labels:
        raise ModelError(f"{path}: no labels in the file's metadata; train it with tasks.inference.train")
    net = EverydayNet(len(labels))
    fit(net, checkpoint.state, path)
    runtime = start(net, Normalisation(MEAN, STD), SIDE_PX, execution)
    return Classifier(BUNDLED, runtime, crop=everyday10_pixels, input_side_px=SIDE_PX, labels=labels)


def _torchvision(name: str, weights: str, execution: Execution) -> Classifier:
    known = model_names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or [BUNDLED, "resnet18"]
        raise ModelError(f"MODEL={name}: there is no such model; did you mean {' or '.join(near)}?")
    from torchvision import models

    enum = models.get_model_weights(name)
    if weights and weights not in enum.__members__:
        net, labels = _from_file(models, name, Path(weights), tuple(enum.DEFAULT.meta["categories"]))
        member = enum.DEFAULT
    else:
        member = enum[weights] if weights else enum.DEFAULT
        net, labels = _from_the_web(models, name, member), tuple(member.meta["categories"])
    preset = member.transforms()
    (side_px,), (resize_px,) = preset.crop_size, preset.resize_size
    crop = CentreCrop(resize_px, side_px, Image.Resampling[preset.interpolation.name])
    normalisation = Normalisation(tuple(preset.mean), tuple(preset.std))
    runtime = start(fold_batch_norms(net), normalisation, side_px, execution)
    return Classifier(name, runtime, crop=crop, input_side_px=side_px, labels=labels)


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
