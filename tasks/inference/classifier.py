"""A model that is ready to classify: images in, predictions out. Safe to call from several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image
from torch import Tensor, nn

TOP = 5

# What `auto` stands for, by device. On a GPU half precision halves the memory traffic and uses the tensor cores. On
# a CPU it pays only where the CPU multiplies such numbers itself (AMX), and answers differ in the third digit.
AUTO_PRECISION = {"cuda": "fp16", "cpu": "fp32"}
PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

Precision = Literal["auto", "fp32", "fp16", "bf16"]
Transform = Callable[[Image.Image], Tensor]


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
        net: maps (N, 3, side, side) to scores (N, len(labels)).
        transform: maps an RGB image to a tensor (3, side, side).
        input_side_px: the side.
        labels: the names of the outputs.
        device: where the network runs, ``cpu`` or ``cuda``.
        precision: of the network's numbers; ``auto`` for half precision on CUDA and full precision on the CPU.
    """

    def __init__(
        self,
        name: str,
        net: nn.Module,
        *,
        transform: Transform,
        input_side_px: int,
        labels: tuple[str, ...],
        device: str,
        precision: Precision = "auto",
    ) -> None:
        self.name = name
        self.input_side_px = input_side_px
        self.labels = labels
        self._transform = transform
        self._device = torch.device(device)
        self._dtype = PRECISIONS[AUTO_PRECISION[self._device.type] if precision == "auto" else precision]
        self._net = net.eval().to(self._device, self._dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs

    def preprocess(self, image: Image.Image) -> Tensor:
        """Turn an RGB image of any size into what `predict` takes."""
        return self._transform(image)

    @torch.inference_mode()
    def predict(self, batch: Sequence[Tensor]) -> list[Prediction]:
        """Return a prediction for each preprocessed image, in order.

        Raises:
            RuntimeError: the network gave another number of answers than there were images.
        """
        images = torch.stack(list(batch)).to(self._device, self._dtype, memory_format=torch.channels_last)
        scores = self._net(images)
        if len(scores) != len(batch):
            raise RuntimeError(f"{self.name} gave {len(scores)} answers for {len(batch)} images")
        values, indices = scores.float().softmax(1).topk(min(TOP, len(self.labels)))
        return [
            self._prediction(probabilities, places)
            for probabilities, places in zip(values.tolist(), indices.tolist(), strict=True)
        ]

    def warm_up(self) -> None:
        """Run the network once, so that the first photo does not pay for what torch sets up on first use."""
        self.predict([torch.zeros(3, self.input_side_px, self.input_side_px)])

    def _prediction(self, probabilities: list[float], places: list[int]) -> Prediction:
        top = tuple((self.labels[place], value) for value, place in zip(probabilities, places, strict=True))
        return Prediction(*top[0], top)
