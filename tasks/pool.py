"""Celery's thread pool, less three holes: it can grow, a cold shutdown ends it, and errors reach the request.

Celery's prefork pool hands what is raised outside a task's code to the request, which then gives the message back or
settles it. Its thread pool leaves it in a future that nobody reads: the message is neither acknowledged nor given back,
and its place among the prefetched ones is gone, for as long as the worker lives. So does what is no `Exception`, such as
`SystemExit` or the panic of a library in Rust, and whatever the request itself raises when it is told how a task ended.

A cold shutdown is carried out by a signal handler, amid whatever the main thread is at. Celery's pool raises an error
there, and would wait for its threads with a lock that the main thread may hold: now and then the worker never ends.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.concurrency import thread
from celery.exceptions import Reject
from celery.utils import log as celery_log
from celery.worker import state

log = logging.getLogger(__name__)


class TaskPool(thread.TaskPool):
    """The pool to set as `worker_pool`, for as many tasks at a time as there are threads."""

    executor: ThreadPoolExecutor

    def grow(self, n: int = 1) -> None:
        """Run `n` more tasks at a time; Celery's remote control calls this, and fetches more messages itself."""
        self._resize(self.limit + n)

    def shrink(self, n: int = 1) -> None:
        """Run `n` fewer tasks at a time. Threads stay, and have nothing to do: fewer messages are fetched.

        Raises:
            ValueError: no thread would be left.
        """
        self._resize(self.limit - n)

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Let a cold shutdown go on: a thread cannot be stopped; its task's message is given back all the same.

        Raises:
            NotImplementedError: a single task was to be ended, as by `revoke(terminate=True)`.
        """
        if not _in_signal_handler():
            super().terminate_job(pid, signal)

    def on_stop(self) -> None:
        """Wait for the tasks that run; a cold shutdown must not within its signal's handler, see `on_terminate`."""
        if not state.should_terminate:
            super().on_stop()

    def on_terminate(self) -> None:
        """Begin nothing more. The process ends with the tasks that run."""
        self.executor.shutdown(wait=False, cancel_futures=True)

    def _resize(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"a pool of {self.limit} threads cannot be made one of {threads}")
        self.limit = threads
        self.executor._max_workers = threads  # noqa: SLF001 - a pool has no other way to grow

    def on_apply(  # type: ignore[override]  # the request always passes all of these
        self,
        target: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        callback: Callable[[Any], Any],
        accept_callback: Callable[[int, float], Any],
        error_callback: Callable[[ExceptionInfo], Any],
        correlation_id: str = "",
        **_options: Any,
    ) -> None:
        """Run `target` in a thread; `callback` gets what it returns, `error_callback` the `Exception` that it raises.

        Whatever else goes wrong, in the callbacks too, is logged, and `error_callback` is told to give the message back.
        """

        def run() -> None:
            try:
                accept_callback(os.getpid(), time.monotonic())
                try:
                    value = target(*args, **kwargs)
                except Exception:  # noqa: BLE001 - the request settles it and says so
                    error_callback(ExceptionInfo())
                else:
                    callback(value)
            except BaseException as error:  # noqa: BLE001 - logged there; a future would swallow it
                _give_back(correlation_id, error, error_callback)

        self.executor.submit(run)


def _give_back(task_id: str, error: BaseException, error_callback: Callable[[ExceptionInfo], Any]) -> None:
    """Free a task's place and return its message, unless that is settled; `max_receives` ends what always comes here."""
    reject = Reject(repr(error), requeue=True)
    try:
        error_callback(ExceptionInfo((Reject, reject, error.__traceback__)))
    except BaseException:
        log.exception("the message of task %s could not be given back", task_id)
        raise
    finally:
        log.error(
            "task %s broke off with what no task should raise; its message goes back, unless it was settled before",
            task_id,
            exc_info=error,
        )


def _in_signal_handler() -> bool:
    return bool(vars(celery_log)["_in_sighandler"])  # Celery has no public way to ask
