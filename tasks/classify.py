"""The classify task: photo in S3 to label, with how long each part took.

It says what happens to a photo; the stores, the decoder and the model do it. Who imports it to know the task, as Flower
does, needs no torch: a worker loads the model before its first task.
"""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any, cast

from celery.signals import worker_init

from celeryconfig import settings
from tasks.app import app
from tasks.names import CLASSIFY
from tasks.objects import StoreUnavailable
from tasks.retries import RetriedTask
from tasks.store import image_store

if TYPE_CHECKING:
    from celery import Task

    from tasks.results import S3ResultBackend

RETRY_BACKOFF_S = 1
RETRY_BACKOFF_MAX_S = 60


@app.task(
    name=CLASSIFY,
    base=RetriedTask,
    bind=True,
    autoretry_for=(StoreUnavailable,),
    retry_backoff=RETRY_BACKOFF_S,
    retry_backoff_max=RETRY_BACKOFF_MAX_S,
    retry_jitter=True,
    max_retries=settings.task_max_retries,
)
def classify(task: Task[..., Any], key: str, *, name: str, request_id: str = "") -> dict[str, object]:
    """Classify the photo stored under `key`; `name` is what its owner called it.

    `request_id` is the HTTP request's that brought it: logs of the web tier and results can be told to belong together.

    Returns:
        What the user reads: name, label, confidence (0 to 1), the five likeliest labels, the model's name, the
        seconds that each part took, the wait in the queue included, how many photos the model saw together, and the CPU
        seconds of decoding and of the photo's share of the model's run. How long storing takes is not known when a
        result is stored: `previous_store_s` is that of the worker's last one.

    Raises:
        BadImage: the photo cannot be decoded; it is not tried again.
        ImageMissing: nothing is stored under `key` (expired or reset); it is not tried again.
        StoreUnavailable: S3 could not be reached, after all retries.
        InferenceTimeout: the model did not answer within TASK_TIME_LIMIT_S.
    """
    from tasks.engine import engine

    sent_at_s = task.request.sqs["sent_at_s"]  # type: ignore[attr-defined]  # set by the transport
    queue_s = max(0.0, time.time() - sent_at_s)  # two machines' clocks may differ
    classified = engine().classify(lambda: image_store(settings).get(key))
    prediction = classified.prediction
    return {
        "name": name,
        "label": prediction.label,
        "confidence": prediction.confidence,
        "top": [{"label": label, "confidence": confidence} for label, confidence in prediction.top],
        "model": engine().model_name,
        "timings": {"queue_s": round(queue_s, 3), **classified.timings_s},
        "batch_size": classified.batch_size,
        "cpu_s": classified.cpu_s,
        "request_id": request_id,
        **_store_timing(task),
    }


@worker_init.connect
def _load_before_the_first_task(**_signal: Any) -> None:
    from tasks.engine import load_or_exit

    load_or_exit()
    # What has been loaded stays: no garbage collection need go through it while all tasks wait.
    gc.freeze()


def _store_timing(task: Task[..., Any]) -> dict[str, float]:
    last_store_s = cast("S3ResultBackend", task.backend).last_store_s
    return {} if last_store_s is None else {"previous_store_s": round(last_store_s, 6)}
