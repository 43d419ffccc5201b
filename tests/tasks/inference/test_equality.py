"""What the service answers is what torchvision's own preprocessing and eager model answer."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from PIL import Image

from tasks.inference.decode import decode
from tasks.inference.registry import load_classifier
from tasks.inference.torchvision_ops import import_torchvision

import_torchvision()
from torchvision import models  # noqa: E402 - only after its import has been made to work

IMAGES = 300
BATCH = 8
TOLERANCE = 1e-3
MAX_SIDE_PX = 400
MAX_PIXELS = 100_000_000


def crops(photos: Mapping[str, bytes]) -> Iterator[bytes]:
    """Yield parts of real photographs, of many sizes and shapes, as PNGs."""
    chance = random.Random(5)  # noqa: S311 - not for secrets
    pictures = [Image.open(io.BytesIO(data)).convert("RGB") for data in photos.values()]
    for number in range(IMAGES):
        picture = pictures[number % len(pictures)]
        width, height = (chance.randint(64, min(side, MAX_SIDE_PX)) for side in picture.size)
        left, top = chance.randint(0, picture.width - width), chance.randint(0, picture.height - height)
        file = io.BytesIO()
        picture.crop((left, top, left + width, top + height)).save(file, "PNG", compress_level=1)
        yield file.getvalue()


def test_batches_give_torchvisions_own_answers(photos: Mapping[str, bytes], resnet_that_tells_apart: Path) -> None:
    """Of 300 images every top-1 is the same, and every probability within a thousandth."""
    weights = models.ResNet18_Weights.DEFAULT
    eager = models.resnet18(weights=None).eval()
    eager.load_state_dict(torch.load(resnet_that_tells_apart, weights_only=True))
    classifier = load_classifier("resnet18", weights=str(resnet_that_tells_apart), device="cpu", download=Path)
    labels, transform = weights.meta["categories"], weights.transforms()
    images = list(crops(photos))
    kinds: set[str] = set()
    for first in range(0, IMAGES, BATCH):
        batch = [decode(data, max_pixels=MAX_PIXELS, min_side_px=224) for data in images[first : first + BATCH]]
        ours = classifier.predict([classifier.preprocess(image) for image in batch])
        plain = torch.stack([transform(Image.open(io.BytesIO(data))) for data in images[first : first + BATCH]])
        with torch.inference_mode():
            theirs = eager(plain).softmax(1)
        likeliest = theirs.topk(5)
        for prediction, values, places in zip(ours, likeliest.values, likeliest.indices, strict=True):
            kinds.add(prediction.label)
            assert prediction.label == labels[int(places[0])]
            confidences = torch.tensor([confidence for _, confidence in prediction.top])
            torch.testing.assert_close(confidences, values, atol=TOLERANCE, rtol=0)
    assert len(kinds) > 5  # the network does tell them apart
