"""Trains the bundled model: ``python -m tasks.inference.train --data cifar10.zip --out model.safetensors``.

Every epoch ends with a checkpoint; ``--resume`` goes on from it as if the run had not stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from tasks.inference.augment import augment
from tasks.inference.checkpoint import fit, read_checkpoint, write_checkpoint
from tasks.inference.dataset import DatasetError, load_split
from tasks.inference.errors import BadImage, ModelError
from tasks.inference.labels import EVERYDAY10_LABELS
from tasks.inference.network import EverydayNet

LABEL_SMOOTHING = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 7e-4
WARM_UP_SHARE = 0.2
WHITENING_IMAGES = 5000
EVALUATION_BATCH = 1000
# What a shell reports for a command that Ctrl-C ended.
STOPPED = 130


@dataclass(frozen=True)
class Recipe:
    """All that decides the outcome of a run, beside the data."""

    epochs: int
    batch_size: int
    peak_rate: float
    average_decay: float
    seed: int
    precision: str
    device: str
    init: str  # the weights that it begins with; empty for random ones

    def rate(self, progress: float) -> float:
        """Return the learning rate at `progress` (0 to 1): up to the peak, then down to 0, both in a line."""
        if progress < WARM_UP_SHARE:
            return self.peak_rate * progress / WARM_UP_SHARE
        return self.peak_rate * (1 - progress) / (1 - WARM_UP_SHARE)


class RecipeError(ValueError):
    """A run cannot go on with another recipe than it began with."""


class Training:
    """The state of one run: network, its running average, optimiser and epochs done."""

    def __init__(self, recipe: Recipe, images: Tensor, labels: Tensor) -> None:
        self.recipe = recipe
        self.epochs_done = 0
        self._images, self._labels = images, labels
        torch.manual_seed(recipe.seed)
        self._net = EverydayNet(len(EVERYDAY10_LABELS))
        self._net.set_whitening(images[:WHITENING_IMAGES])
        if recipe.init:
            fit(self._net, read_checkpoint(Path(recipe.init)).state, recipe.init)
        self._net.to(recipe.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in its stubs
        decay = torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average_decay)
        self.average = torch.optim.swa_utils.AveragedModel(self._net, multi_avg_fn=decay, use_buffers=True)
        trained = [parameter for parameter in self._net.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.SGD(trained, lr=0, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)

    def epoch(self) -> float:
        """Train one epoch with progress shown; return the mean loss."""
        recipe = self.recipe
        # Seeded anew each epoch, so that a resumed run draws the same numbers as one that never stopped.
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + self.epochs_done)
        batches = torch.randperm(len(self._images), generator=generator).split(recipe.batch_size)
        self._net.train()
        losses = []
        bar = tqdm(batches, desc=f"epoch {self.epochs_done + 1}/{recipe.epochs}", unit="batch", mininterval=1)
        for step, batch in enumerate(bar):
            progress = (self.epochs_done + step / len(batches)) / recipe.epochs
            losses.append(self._step(batch, recipe.rate(progress), generator))
            bar.set_postfix(loss=f"{losses[-1]:.3f}")
        self.epochs_done += 1
        return sum(losses) / len(losses)

    def _step(self, batch: Tensor, rate: float, generator: torch.Generator) -> float:
        device = self.recipe.device
        images = augment(self._images[batch].to(device), generator).contiguous(memory_format=torch.channels_last)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            scores = self._net(images)
        loss = nn.functional.cross_entropy(
            scores.float(), self._labels[batch].to(device), label_smoothing=LABEL_SMOOTHING
        )
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self.average.update_parameters(self._net)
        return loss.item()

    def state(self) -> dict[str, object]:
        """Return all that `load` needs."""
        return {
            "recipe": asdict(self.recipe),
            "epochs_done": self.epochs_done,
            "net": self._net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            RecipeError: it was written by a run with another recipe.
        """
        state = torch.load(path, map_location=self.recipe.device, weights_only=True)
        for name, value in asdict(self.recipe).items():
            if state["recipe"][name] != value:
                raise RecipeError(
                    f"{path}: begun with {name}={state['recipe'][name]}, not {value}; go on with the same"
                )
        self.epochs_done = state["epochs_done"]
        self._net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])

    @torch.inference_mode()
    def accuracy(self, images: Tensor, labels: Tensor) -> float:
        """Return the averaged network's share of right answers."""
        self.average.eval()
        right = 0
        for batch, expected in zip(images.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True):
            with torch.autocast(
                torch.device(self.recipe.device).type, torch.bfloat16, enabled=self.recipe.precision == "bf16"
            ):
                scores = self.average(batch.to(self.recipe.device, memory_format=torch.channels_last))
            right += int((scores.argmax(1).cpu() == expected).sum())
        return right / len(images)


def train(recipe: Recipe, data: Path, out: Path, checkpoint: Path, *, resume: bool) -> None:
    """Train to the last epoch, with a checkpoint and the test accuracy after each; then write the model.

    Raises:
        BadImage: a file of the data is not an image.
        DatasetError: the data is not laid out as expected.
        ModelError: the weights to begin with cannot be read or do not fit.
        RecipeError: the checkpoint is of a run with another recipe.
    """
    images, labels = load_split(data, "train", EVERYDAY10_LABELS)
    test_images, test_labels = load_split(data, "test", EVERYDAY10_LABELS)
    training = Training(recipe, images, labels)
    if resume and checkpoint.exists():
        training.load(checkpoint)
    while training.epochs_done < recipe.epochs:
        begin_s = time.monotonic()
        loss = training.epoch()
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        unfinished = checkpoint.with_suffix(".unfinished")
        torch.save(training.state(), unfinished)
        unfinished.replace(checkpoint)
        accuracy = training.accuracy(test_images, test_labels)
        print(
            f"epoch {training.epochs_done}/{recipe.epochs}: loss {loss:.4f}, test accuracy {100 * accuracy:.2f} %, "
            f"{time.monotonic() - begin_s:.0f} s",
            flush=True,
        )
    write_checkpoint(training.average.module, EVERYDAY10_LABELS, out)
    print(f"wrote {out} ({out.stat().st_size:,} bytes)")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tasks.inference.train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder or zip: {train,test}/<class>/<file>.jpg")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    parser.add_argument("--checkpoint", type=Path, default=Path("train.checkpoint"), help="written every epoch")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint if there is one")
    parser.add_argument("--init", default="", help="a .safetensors file to begin with, instead of random weights")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--peak-rate", type=float, default=0.5, help="learning rate at its highest")
    parser.add_argument("--average-decay", type=float, default=0.99, help="of the weights' running average, a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    recipe = Recipe(
        epochs=options.epochs,
        batch_size=options.batch_size,
        peak_rate=options.peak_rate,
        average_decay=options.average_decay,
        seed=options.seed,
        precision=options.precision,
        device=options.device,
        init=options.init,
    )
    try:
        train(recipe, options.data, options.out, options.checkpoint, resume=options.resume)
    except (BadImage, DatasetError, ModelError, RecipeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"stopped; --resume goes on from the last whole epoch in {options.checkpoint}", file=sys.stderr)
        return STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main())
