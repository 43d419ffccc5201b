"""Hands the worker's task events to their publisher several times a second, rather than whenever there is one.

Celery gathers task events until its loop turns, and wakes the loop for each of them. They are published once in an
interval (see `event_publisher`), so that they may as well be gathered meanwhile where it costs nothing.
"""

from __future__ import annotations

from typing import Any

from celery.bootsteps import StartStopStep

# Well below the interval in which events are published: it comes on top of it.
FLUSH_S = 0.2


class EventFlush(StartStopStep):
    """A step of the worker's consumer: a timer of its loop flushes the dispatcher of the current connection."""

    requires = ("celery.worker.consumer.events:Events",)
    _dispatcher: Any = None
    _timer_entry: Any = None

    def include_if(self, consumer: Any) -> bool:
        """Tell whether there is a loop; without, Celery gathers no events."""
        return consumer.hub is not None

    def start(self, consumer: Any) -> None:
        """Flush by the clock alone, and at Celery's own limit of events."""
        self._dispatcher = consumer.event_dispatcher
        if self._dispatcher is not None:  # a worker that sends no events at all has none
            self._dispatcher.on_send_buffered = None
            self._timer_entry = consumer.timer.call_repeatedly(FLUSH_S, self._dispatcher.flush)

    def stop(self, _consumer: Any) -> None:
        """Flush now, and at each event that still comes: the loop stands still until the end, or the next connection.

        Celery gives a new connection's dispatcher what the old one could not send, not what it gathered.
        """
        if self._dispatcher is not None:
            self._timer_entry.cancel()
            self._dispatcher.on_send_buffered = self._dispatcher.flush
            self._dispatcher.flush()
            self._dispatcher = None
