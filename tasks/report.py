"""The worker's answer to the scaler's `node_report`: what it holds, since when it is idle, how long tasks take.

Counted where tasks run, so the pool must run them in the worker's own process, as `tasks.pool` does.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from celery.signals import task_postrun, task_prerun
from celery.worker import state
from celery.worker.control import control_command, inspect_command

from celeryconfig import settings
from tasks.names import NODE_DRAIN, NODE_REPORT


@dataclass
class Tally:
    """Tasks ended in this process. Safe to share between threads."""

    tasks: int = 0
    task_s: float = 0.0
    last_end_s: float = field(default_factory=time.monotonic)
    _begun_s: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, task_id: str) -> None:
        """Note that a task begins."""
        with self._lock:
            self._begun_s[task_id] = time.monotonic()

    def end(self, task_id: str) -> None:
        """Note that a task ended, however it did."""
        with self._lock:
            self.last_end_s = time.monotonic()
            begun_s = self._begun_s.pop(task_id, None)
            if begun_s is not None:
                self.tasks += 1
                self.task_s += self.last_end_s - begun_s


_tally = Tally()


@task_prerun.connect
def _begin(task_id: str, **_signal: Any) -> None:
    _tally.begin(task_id)


@task_postrun.connect
def _end(task_id: str, **_signal: Any) -> None:
    _tally.end(task_id)


@inspect_command(name=NODE_REPORT)
def node_report(panel: Any) -> dict[str, object]:
    """Tell what the scaler asks: see `scaler.state.WorkerReport`, and how many workers the node has."""
    held, active = len(state.reserved_requests), len(state.active_requests)
    return {
        "slots": panel.consumer.pool.num_processes,
        "active": active,
        "reserved": max(0, held - active),
        "idle_s": 0.0 if held or active else time.monotonic() - _tally.last_end_s,
        # As long as its last poll is open it may get a task.
        "consuming": panel.consumer.task_consumer.channel.receives(settings.queue),
        "tasks": _tally.tasks,
        "task_s": _tally.task_s,
        "workers": settings.node_workers,
    }


@control_command(name=NODE_DRAIN)
def node_drain(panel: Any) -> dict[str, str]:
    """Take no more tasks, but for those that the open poll brings; Celery's `add_consumer` takes that back."""
    consumer = panel.consumer

    def drain() -> None:
        consumer.task_consumer.channel.finish(settings.queue)
        consumer.cancel_task_queue(settings.queue)

    consumer.call_soon(drain)
    return {"ok": f"no longer consuming from {settings.queue}"}
