"""A model that is ready to classify: images in, predictions out. Safe to call from several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

TOP = 5

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
        device: where the network runs.
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
    ) -> None:
        self.name = name
        self.input_side_px = input_side_px
        self.labels = labels
        self._transform = transform
        self._device = torch.device(device)
        # Half the memory traffic and the tensor cores on a GPU; on CPUs it was measured to be no faster.
        self._dtype = torch.float16 if self._device.type == "cuda" else torch.float32
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
