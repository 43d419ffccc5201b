"""The worker process's one model: loaded before the worker takes tasks, run with a deadline."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import torch
from celery.signals import worker_init
from PIL import Image

from celeryconfig import settings
from tasks.inference.classifier import Classifier, Prediction
from tasks.inference.errors import ModelError
from tasks.inference.registry import load_classifier
from tasks.weights import download


class InferenceTimeout(Exception):
    """The model did not answer in time."""


class Engine:
    """Runs one classifier, one call at a time: threads that wait for the model release the interpreter lock."""

    def __init__(self, classifier: Classifier, time_limit_s: float) -> None:
        self._classifier = classifier
        self._time_limit_s = time_limit_s
        self._runner = ThreadPoolExecutor(1, thread_name_prefix="model")

    @property
    def model_name(self) -> str:
        """The name that results carry."""
        return self._classifier.name

    @property
    def input_side_px(self) -> int:
        """The side of the square that the model looks at."""
        return self._classifier.input_side_px

    def classify(self, image: Image.Image) -> Prediction:
        """Return the model's prediction for one image.

        Raises:
            InferenceTimeout: the answer took longer than the time limit, queueing for the model included.
        """
        future = self._runner.submit(self._classifier.predict, [self._classifier.preprocess(image)])
        try:
            return future.result(self._time_limit_s)[0]
        except FutureTimeoutError:
            future.cancel()
            raise InferenceTimeout(f"The model gave no answer within {self._time_limit_s:g} s.") from None


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
    )
    classifier.warm_up()
    return Engine(classifier, settings.task_time_limit_s)


@worker_init.connect
def _load_before_the_first_task(**_signal: Any) -> None:
    try:
        engine()
    except ModelError as error:
        raise SystemExit(f"error: {error}") from None
