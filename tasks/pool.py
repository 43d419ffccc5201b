"""Celery's thread pool, less three holes: it can grow, a cold shutdown ends it, and errors reach the request.

Celery's prefork pool hands such an error to the request, which then gives the message back or settles it. Its thread
pool leaves it in a future that nobody reads: the message is neither acknowledged nor given back, and its place among
the prefetched ones is gone, for as long as the worker lives.

A cold shutdown is carried out by a signal handler, amid whatever the main thread is at. Celery's pool raises an error
there, and would wait for its threads with a lock that the main thread may hold: now and then the worker never ends.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.concurrency import thread
from celery.utils import log


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
        """Wait for the tasks that run; a cold shutdown only once its signal's handler has ended, see `on_terminate`."""
        if not _in_signal_handler():
            super().on_stop()

    def on_terminate(self) -> None:
        """Begin nothing more. The process ends with the tasks that run."""
        self.executor.shutdown(wait=False, cancel_futures=True)

    def _resize(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"a pool of {self.limit} threads cannot be made one of {threads}")
        self.limit = threads
        self.executor._max_workers = threads  # noqa: SLF001 - a pool has no other way to grow

    def on_apply(  # type: ignore[override]  # the request always passes error_callback
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        *,
        error_callback: Callable[[ExceptionInfo], Any],
        **options: Any,
    ) -> Any:
        """Run `target` in a thread; `callback` gets what it returns, `error_callback` what it raises."""

        def reporting(*target_args: Any, **target_kwargs: Any) -> Any:
            try:
                return target(*target_args, **target_kwargs)
            except Exception:
                error_callback(ExceptionInfo())
                raise

        return super().on_apply(reporting, args, kwargs, callback, accept_callback, **options)


def _in_signal_handler() -> bool:
    return bool(vars(log)["_in_sighandler"])  # Celery has no public way to ask
