"""Models by name: the bundled one, and torchvision's with weights from a file."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tasks.inference.classifier import Classifier
from tasks.inference.decode import decode
from tasks.inference.errors import ModelError
from tasks.inference.registry import load_classifier
from tasks.inference.torchvision_ops import import_torchvision

import_torchvision()
from torchvision import models, transforms  # noqa: E402 - only after its import has been made to work


def no_download(url: str) -> Path:
    """Fail: these tests name files."""
    raise AssertionError(url)


def load(name: str, weights: object = "") -> Classifier:
    """Load a model on the CPU."""
    return load_classifier(name, weights=str(weights), device="cpu", download=no_download)


def seeded(name: str, **options: object) -> torch.nn.Module:
    """Return a torchvision model with random weights, the same each time."""
    torch.manual_seed(0)
    net: torch.nn.Module = models.get_model(name, weights=None, **options)
    return net.eval()


def torchvision_normalised(pixels: torch.Tensor, mean: list[float], std: list[float]) -> torch.Tensor:
    """Return pixels (side, side) of three channels as torchvision hands them to a network."""
    normalised: torch.Tensor = transforms.functional.normalize(pixels / 255, mean, std)
    return normalised


@pytest.fixture
def resnet_file(tmp_path: Path) -> Path:
    """A checkpoint of ResNet-18 as torchvision's own are: a pickled state dict."""
    path = tmp_path / "resnet18.pth"
    torch.save(seeded("resnet18").state_dict(), path)
    return path


def test_the_bundled_model_knows_a_cat(photos: dict[str, bytes]) -> None:
    """The photograph of a cat is labelled cat, with five labels in falling order."""
    classifier = load("everyday10")
    image = decode(photos["chelsea.png"], max_pixels=10**8)
    prediction = classifier.predict([classifier.preprocess(image)])[0]
    assert prediction.label == "cat"
    confidences = [confidence for _, confidence in prediction.top]
    assert len(confidences) == 5
    assert confidences == sorted(confidences, reverse=True)


def test_the_bundled_model_is_small_and_loads_without_a_network() -> None:
    """A fresh interpreter loads it with every socket refused."""
    program = (
        "import socket; socket.socket.connect = lambda *a: (_ for _ in ()).throw(OSError('no network'))\n"
        "from tasks.inference.registry import BUNDLED_WEIGHTS, load_classifier\n"
        "load_classifier('everyday10', weights='', device='cpu', download=None).warm_up()\n"
        "print(BUNDLED_WEIGHTS.stat().st_size)"
    )
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(output.stdout) <= 5_000_000


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file_give_torchvisions_own_answers(
    tmp_path: Path, photos: dict[str, bytes], suffix: str
) -> None:
    """Preprocessing, labels and probabilities are those of the model's weights enum and its eager network."""
    net = seeded("resnet18")
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(net.state_dict(), path)
    image = decode(photos["coffee.png"], max_pixels=10**8)
    enum = models.ResNet18_Weights.DEFAULT
    with torch.inference_mode():
        expected = net(enum.transforms()(image)[None]).softmax(1)[0]
    classifier = load("resnet18", path)
    prediction = classifier.predict([classifier.preprocess(image)])[0]
    assert prediction.label == enum.meta["categories"][int(expected.argmax())]
    assert prediction.confidence == pytest.approx(float(expected.max()), abs=1e-5)


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_large", "convnext_tiny", "vit_b_32", "googlenet", "regnet_y_400mf", "squeezenet1_1"]
)
def test_any_torchvision_classifier_works_by_name(tmp_path: Path, name: str) -> None:
    """Other families load the same way, each with the side that its weights were trained for."""
    options = {"init_weights": False} if name == "googlenet" else {}
    path = tmp_path / f"{name}.safetensors"
    save_file(seeded(name, **options).state_dict(), path)
    classifier = load(name, path)
    image = Image.new("RGB", (300, 200), (90, 120, 30))
    assert len(classifier.predict([classifier.preprocess(image)] * 2)) == 2


def test_a_checkpoint_with_classes_of_its_own_takes_labels_from_the_file_beside_it(tmp_path: Path) -> None:
    """A model trained for three classes answers with their names."""
    path = tmp_path / "pets.pth"
    torch.save(seeded("resnet18", num_classes=3).state_dict(), path)
    (tmp_path / "pets.labels.txt").write_text("cat\ndog\nfish\n")
    assert load("resnet18", path).labels == ("cat", "dog", "fish")


def test_weights_from_a_url_are_fetched_by_the_callers_means(resnet_file: Path) -> None:
    """An s3:// URL is handed over as it is; what comes back is loaded like a file."""
    asked = []

    def fetch(url: str) -> Path:
        asked.append(url)
        return resnet_file

    load_classifier("resnet18", weights="s3://models/r.pth", device="cpu", download=fetch).warm_up()
    assert asked == ["s3://models/r.pth"]


@pytest.mark.parametrize("member", ["", "IMAGENET1K_V1", "IMAGENET1K_V2"])
def test_weights_in_torchs_cache_need_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, member: str) -> None:
    """A file that the operator put there is taken, with its own enum member's preprocessing and labels."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    enum = models.MobileNet_V3_Large_Weights
    weights = enum[member] if member else enum.DEFAULT
    path = tmp_path / "hub" / "checkpoints" / weights.url.rsplit("/", 1)[1]
    path.parent.mkdir(parents=True)
    net = seeded("mobilenet_v3_large")
    torch.save(net.state_dict(), path)
    classifier = load("mobilenet_v3_large", member)
    image = Image.effect_noise((300, 400), 80).convert("RGB")
    preset = weights.transforms()
    pixels = classifier.preprocess(image).permute(2, 0, 1)
    torch.testing.assert_close(torchvision_normalised(pixels, preset.mean, preset.std), preset(image))
    assert classifier.labels == tuple(weights.meta["categories"])


def test_a_download_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The operator reads which file goes where, or which setting to use."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ModelError, match=r"MODEL_WEIGHTS.*resnet18-f37072fd\.pth"):
        load("resnet18")


def test_a_code_carrying_pickle_is_not_run(tmp_path: Path) -> None:
    """A checkpoint that would run code when unpickled is refused and does not run it."""
    proof = tmp_path / "ran"

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (proof,)

    torch.save({"fc.bias": Attack()}, tmp_path / "evil.pth")
    with pytest.raises(ModelError, match="nothing else"):
        load("resnet18", tmp_path / "evil.pth")
    assert not proof.exists()


@pytest.mark.parametrize(
    ("name", "file", "said"),
    [
        pytest.param("resnet81", "", "did you mean resnet18", id="misspelt"),
        pytest.param("resnet18", "missing.pth", "no such file", id="no-file"),
        pytest.param("resnet18", "garbage.pth", "not readable as weights", id="garbage"),
        pytest.param("mobilenet_v3_large", "resnet18.pth", "not weights of mobilenet_v3_large", id="other-model"),
        pytest.param("resnet34", "resnet18.pth", "do not fit", id="near-model"),
        pytest.param("everyday10", "resnet18.pth", "no labels", id="not-bundled"),
    ],
)
def test_weights_that_cannot_be_used_are_refused_in_one_line(
    resnet_file: Path, name: str, file: str, said: str
) -> None:
    """The operator reads what is wrong with the file."""
    (resnet_file.parent / "garbage.pth").write_bytes(b"not weights")
    with pytest.raises(ModelError, match=said) as refused:
        load(name, resnet_file.parent / file if file else "")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp16", 0.02), ("bf16", 0.1)])
def test_lower_precision_changes_confidences_little(
    photos: dict[str, bytes], precision: Literal["fp16", "bf16"], tolerance: float
) -> None:
    """What is faster on some CPUs gives the cat the same label with about the same confidence."""
    exact = load("everyday10")
    rough = load_classifier("everyday10", weights="", device="cpu", download=no_download, precision=precision)
    tensor = exact.preprocess(decode(photos["chelsea.png"], max_pixels=10**8))
    (expected,), (found,) = exact.predict([tensor]), rough.predict([tensor])
    assert found.label == expected.label
    assert found.confidence == pytest.approx(expected.confidence, abs=tolerance)
    assert found.confidence != expected.confidence


def test_predictions_from_several_threads_are_those_of_one(photos: dict[str, bytes]) -> None:
    """Threads that share the model do not mix up their images."""
    classifier = load("everyday10")
    some = list(photos.values())[:6]
    tensors = [classifier.preprocess(decode(data, max_pixels=10**8)) for data in some]
    alone = [classifier.predict([tensor])[0].label for tensor in tensors]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda tensor: classifier.predict([tensor])[0].label, tensors * 3))
    assert together == alone * 3
