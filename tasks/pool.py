"""Celery's thread pool, less two holes: it can grow, and an error outside the task's own code reaches the request.

Celery's prefork pool hands such an error to the request, which then gives the message back or settles it. Its thread
pool leaves it in a future that nobody reads: the message is neither acknowledged nor given back, and its place among
the prefetched ones is gone, for as long as the worker lives.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.concurrency import thread


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
