"""A worker app like `tasks.app`, whose classify task takes a set time and no CPU: for drills and tests of scaling.

It fetches its photo and looks at nothing. With it nodes are the limit, and not the cores of the one machine that all
of them share; and a worker starts without torch. Start a worker with ``celery -A local.stand_in worker``; nodes take it
from the setting WORKER_APP. STAND_IN_S is the seconds of a task.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from celeryconfig import settings
from tasks.app import app
from tasks.names import CLASSIFY
from tasks.objects import StoreUnavailable
from tasks.store import image_store

if TYPE_CHECKING:
    from celery import Task

MODEL = "stand-in"
DEFAULT_S = "1"

app.conf.imports = ("tasks.report",)


@app.task(name=CLASSIFY, bind=True, autoretry_for=(StoreUnavailable,), max_retries=settings.task_max_retries)
def classify(task: Task[..., Any], key: str, *, name: str, request_id: str = "") -> dict[str, object]:
    """Wait, then say which worker did."""
    image_store(settings).get(key)
    time.sleep(float(os.environ.get("STAND_IN_S", DEFAULT_S)))
    label = str(task.request.hostname)
    top = [{"label": label, "confidence": 1.0}]
    told = {"name": name, "label": label, "confidence": 1.0, "top": top, "model": MODEL, "timings": {}, "batch_size": 1}
    return told | ({"request_id": request_id} if request_id else {})
