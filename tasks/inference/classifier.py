"""A model that is ready to classify: images in, predictions out. Safe to call from several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from tasks.inference.runtime import Runtime

TOP = 5

Crop = Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class Prediction:
    """The likeliest label, its probability (0 to 1), and the five likeliest in falling order."""

    label: str
    confidence: float
    top: tuple[tuple[str, float], ...]


class Classifier:
    """A network with its preprocessing and its labels.

    Args:
        name: what results call the model.
        runtime: runs the network, which has a score for each label.
        crop: maps an RGB image to the pixels that the network looks at, (side, side, 3), uint8.
        input_side_px: the side.
        labels: the names of the outputs.
    """

    def __init__(self, name: str, runtime: Runtime, *, crop: Crop, input_side_px: int, labels: tuple[str, ...]) -> None:
        self.name = name
        self.input_side_px = input_side_px
        self.labels = labels
        self._runtime = runtime
        self._crop = crop

    def preprocess(self, image: Image.Image) -> Tensor:
        """Turn an RGB image of any size into what `predict` takes."""
        return self._crop(image)

    def predict(self, batch: Sequence[Tensor]) -> list[Prediction]:
        """Return a prediction for each preprocessed image, in order.

        Raises:
            RuntimeError: the network gave another number of answers than there were images.
        """
        scores = self._runtime.scores(torch.stack(list(batch)))
        if len(scores) != len(batch):
            raise RuntimeError(f"{self.name} gave {len(scores)} answers for {len(batch)} images")
        values, indices = scores.softmax(1).topk(min(TOP, len(self.labels)))
        return [
            self._prediction(probabilities, places)
            for probabilities, places in zip(values.tolist(), indices.tolist(), strict=True)
        ]

    def warm_up(self, largest_batch: int = 1) -> None:
        """Run the network alone and full, so that the first photos do not pay for what a runtime sets up on first use."""
        blank = torch.zeros(self.input_side_px, self.input_side_px, 3, dtype=torch.uint8)
        for size in sorted({1, largest_batch}):
            self.predict([blank] * size)

    def _prediction(self, probabilities: list[float], places: list[int]) -> Prediction:
        top = tuple((self.labels[place], value) for value, place in zip(probabilities, places, strict=True))
        return Prediction(*top[0], top)
