"""Runtimes: whichever runs the network, a photo gets the same answer."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tasks.inference.classifier import Classifier
from tasks.inference.decode import decode
from tasks.inference.errors import ModelError
from tasks.inference.network import EverydayNet
from tasks.inference.registry import load_classifier
from tasks.inference.runtime import RUNTIMES, Precision, RuntimeName
from tasks.inference.runtime_net import Normalisation, PixelNet
from tasks.inference.runtime_onnx import REQUIREMENTS, onnx_graph
from tasks.inference.runtime_torch import frozen_graph

ROOT = Path(__file__).resolve().parents[3]
IMAGES = 48
BATCH_SIZES = (1, 2, 3, 5, 8, 13, 16)  # 48 in all
TOLERANCE = 1e-3
# The package that each optional runtime cannot do without.
PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino"}


@pytest.fixture
def weights(resnet_that_tells_apart: Path) -> Mapping[str, str]:
    """Weights' files of the models that are compared."""
    return {"everyday10": "", "resnet18": str(resnet_that_tells_apart)}


@pytest.fixture(scope="module")
def pictures(photos: Mapping[str, bytes]) -> list[Image.Image]:
    """Parts of real photographs, of many sizes and shapes."""
    chance = random.Random(7)  # noqa: S311 - not for secrets
    whole = [Image.open(io.BytesIO(data)).convert("RGB") for data in photos.values()]
    parts = []
    for number in range(IMAGES):
        picture = whole[number % len(whole)]
        width, height = (chance.randint(64, min(side, 400)) for side in picture.size)
        left, top = chance.randint(0, picture.width - width), chance.randint(0, picture.height - height)
        parts.append(picture.crop((left, top, left + width, top + height)))
    return parts


class BoundToItsBatch(nn.Module):
    """A network whose answer depends on Python's view of the batch size."""

    def forward(self, images: Tensor) -> Tensor:
        """Return one score for each image."""
        return images.mean((1, 2, 3)).reshape(-1, 1) * (1.0 if len(images) > 1 else 2.0)


def load(model: str, weights: str, runtime: RuntimeName, precision: Precision = "auto") -> Classifier:
    """Load a model to be run by a runtime on the CPU."""
    return load_classifier(model, weights=weights, device="cpu", download=Path, precision=precision, runtime=runtime)


def batches(items: list[Tensor]) -> Iterator[list[Tensor]]:
    """Yield the items in batches of many sizes."""
    rest = iter(items)
    for size in BATCH_SIZES:
        yield [next(rest) for _ in range(size)]


@pytest.mark.parametrize("model", ["everyday10", "resnet18"])
def test_all_runtimes_agree(model: str, weights: Mapping[str, str], pictures: list[Image.Image]) -> None:
    """At batch sizes 1 to 16 every runtime gives the same top-1, and every probability within a thousandth."""
    by_runtime = {runtime: load(model, weights[model], runtime) for runtime in get_args(RuntimeName)}
    pixels = [by_runtime["torch"].preprocess(picture) for picture in pictures]
    assert sum(BATCH_SIZES) == len(pixels)
    labels: set[str] = set()
    for batch in batches(pixels):
        expected = [by_runtime["torch"].predict([one])[0] for one in batch]
        labels.update(prediction.label for prediction in expected)
        for runtime, classifier in by_runtime.items():
            for found, alone in zip(classifier.predict(batch), expected, strict=True):
                assert found.label == alone.label, runtime
                confidences = [confidence for _, confidence in alone.top]
                assert [confidence for _, confidence in found.top] == pytest.approx(confidences, abs=TOLERANCE), runtime
    assert len(labels) > 3  # it is not a network that answers everything alike


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.02), ("bf16", 0.1)])
def test_openvino_computes_in_lower_precision_where_asked(
    photos: Mapping[str, bytes], precision: Precision, tolerance: float
) -> None:
    """The cat stays a cat, with about the same confidence."""
    exact, rough = load("everyday10", "", "openvino"), load("everyday10", "", "openvino", precision)
    pixels = exact.preprocess(decode(photos["chelsea.png"], max_pixels=10**8))
    (expected,), (found,) = exact.predict([pixels]), rough.predict([pixels])
    assert found.label == expected.label == "cat"
    assert found.confidence == pytest.approx(expected.confidence, abs=tolerance)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
@pytest.mark.parametrize("runtime", sorted(PACKAGES))
def test_without_its_packages_a_runtime_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, runtime: RuntimeName, missing: str
) -> None:
    """The operator reads the setting, the package and the command, in one line; the file it names exists."""
    for package in (missing, PACKAGES[runtime]):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ModelError, match=f"MODEL_RUNTIME={runtime}: .*{package}.*pip install -r") as refused:
            load("everyday10", "", runtime)
        assert "\n" not in str(refused.value)
        assert REQUIREMENTS in str(refused.value)
        monkeypatch.undo()
    assert (ROOT / REQUIREMENTS).is_file()


def test_what_a_runtime_cannot_do_is_refused_before_the_first_photo() -> None:
    """A CPU runtime does not take CUDA, nor ONNX Runtime half precision: the message names the settings."""
    with pytest.raises(ModelError, match=r"MODEL_RUNTIME=openvino.*DEVICE=cpu"):
        load_classifier("everyday10", weights="", device="cuda", download=Path, runtime="openvino")
    with pytest.raises(ModelError, match=r"MODEL_PRECISION=bf16: MODEL_RUNTIME=onnxruntime"):
        load("everyday10", "", "onnxruntime", "bf16")


def test_a_network_bound_to_its_batch_is_not_exported() -> None:
    """A graph that would take one batch size only is refused at the start, not at the first photo."""
    pixel_net = PixelNet(BoundToItsBatch(), Normalisation((0.5,) * 3, (0.25,) * 3), torch.float32)
    with pytest.raises(ModelError, match="MODEL_RUNTIME=torch"):
        onnx_graph(pixel_net, 32)


def test_every_documented_runtime_can_be_chosen() -> None:
    """The names that the code knows are those that settings and commands take."""
    assert get_args(RuntimeName) == ("auto", *RUNTIMES)


@pytest.mark.parametrize(
    ("net", "frozen"),
    [pytest.param(EverydayNet(3), True, id="any-batch"), pytest.param(BoundToItsBatch(), False, id="one-batch")],
)
def test_a_graph_is_used_only_if_it_holds_for_each_batch_size(net: nn.Module, *, frozen: bool) -> None:
    """A network that looks at the batch size keeps running as Python."""
    pixel_net = PixelNet(net, Normalisation((0.5,) * 3, (0.25,) * 3), torch.float32)
    assert (frozen_graph(pixel_net, 32) is not None) == frozen
