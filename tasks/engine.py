"""The worker process's one model: loaded before the worker takes tasks, run on batches, with a deadline."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass

import torch
from torch import Tensor

from celeryconfig import settings
from tasks.inference.batcher import Batcher
from tasks.inference.classifier import Classifier, Prediction
from tasks.inference.decode import decode
from tasks.inference.errors import ModelError
from tasks.inference.registry import load_classifier
from tasks.inference.window import WindowLimits
from tasks.stopwatch import Stopwatch
from tasks.weights import download


class InferenceTimeout(Exception):
    """The model did not answer in time."""


@dataclass(frozen=True)
class Classified:
    """A prediction, how many photos were classified together, and what it took.

    Attributes:
        prediction: the model's.
        batch_size: photos.
        timings_s: the seconds of each part.
        cpu_s: CPU seconds of decoding and of the photo's share of its batch; those of a model's further threads, and of
            a GPU, are not in it.
    """

    prediction: Prediction
    batch_size: int
    timings_s: Mapping[str, float]
    cpu_s: float


class Engine:
    """Runs one classifier on batches of the photos that a worker's threads bring.

    Args:
        classifier: the model.
        limits: of a batch.
        time_limit_s: how long a photo waits for its prediction.
        max_image_pixels: of a photo that is decoded.
    """

    def __init__(
        self, classifier: Classifier, limits: WindowLimits, *, time_limit_s: float, max_image_pixels: int
    ) -> None:
        self._classifier = classifier
        self._time_limit_s = time_limit_s
        self._max_image_pixels = max_image_pixels
        self._batcher = Batcher[Tensor, Prediction](classifier.predict, limits)

    @property
    def model_name(self) -> str:
        """The name that results carry."""
        return self._classifier.name

    def classify(self, fetch: Callable[[], bytes]) -> Classified:
        """Return the model's prediction for the photo whose bytes `fetch` brings.

        Batches may wait for a photo while it is fetched and decoded.

        Raises:
            BadImage: the photo cannot be decoded.
            InferenceTimeout: the answer took longer than the time limit, waiting for the model included.
        """
        watch = Stopwatch(time.perf_counter)
        with self._batcher.coming():
            data = fetch()
            watch.lap("fetch_s")
            begin_cpu_s = time.thread_time()
            side_px = self._classifier.input_side_px
            image = decode(data, max_pixels=self._max_image_pixels, min_side_px=side_px)
            item = self._classifier.preprocess(image)
            watch.lap("decode_s")
            decode_cpu_s = time.thread_time() - begin_cpu_s
            future = self._batcher.submit(item)
        try:
            answered = future.result(self._time_limit_s)
        except FutureTimeoutError:
            future.cancel()
            raise InferenceTimeout(f"The model gave no answer within {self._time_limit_s:g} s.") from None
        batch = {"batch_wait_s": round(answered.wait_s, 6), "inference_s": round(answered.run_s, 6)}
        cpu_s = round(decode_cpu_s + answered.cpu_s / answered.batch_size, 6)
        return Classified(answered.answer, answered.batch_size, watch.laps | batch, cpu_s)


@functools.cache
def engine() -> Engine:
    """Load the configured model, once per process.

    Raises:
        ModelError: the model or its weights cannot be had; the message says what to do.
    """
    torch.set_num_threads(settings.torch_threads)
    classifier = load_classifier(
        settings.model,
        weights=settings.model_weights,
        device=settings.device,
        download=download,
        precision=settings.model_precision,
        runtime=settings.model_runtime,
    )
    classifier.warm_up(settings.batch_size)
    limits = WindowLimits(settings.batch_size, settings.batch_wait_s)
    return Engine(
        classifier, limits, time_limit_s=settings.task_time_limit_s, max_image_pixels=settings.max_image_pixels
    )


def load_or_exit() -> None:
    """Load the configured model, or end the process with one line that says why it cannot be had."""
    try:
        engine()
    except ModelError as error:
        raise SystemExit(f"error: {error}") from None
