"""What all connections of a process to one deployment share for remote control and events.

kombu opens connections and channels as it likes, in several threads; queues, replies and events belong to the process.
"""

from __future__ import annotations

import atexit
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from celery.signals import worker_process_shutdown

from tasks.sqs.control_queues import ControlQueue, ControlQueues
from tasks.sqs.event_publisher import EventPublisher
from tasks.sqs.names import EVENTS_EXCHANGE, Kind, checked_prefix, kind_of, node_of
from tasks.sqs.replies import ReplyQueues, ReplyRoutes
from tasks.sqs.subscription import ClosedError, Subscription
from tasks.sqs.topics import Topics

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient

DEFAULT_PREFIX = "celery"
DEFAULT_EVENT_INTERVAL_S = 1.0


@dataclass(frozen=True)
class ControlOptions:
    """How a deployment wants its remote control, from ``broker_transport_options``."""

    prefix: str = DEFAULT_PREFIX
    topic_arns: Mapping[str, str] = field(default_factory=dict)
    queue_tags: Mapping[str, str] = field(default_factory=dict)
    event_interval_s: float = DEFAULT_EVENT_INTERVAL_S

    @classmethod
    def of(cls, transport_options: Mapping[str, object]) -> ControlOptions:
        """Read the options ``control_prefix``, ``topic_arns``, ``queue_tags`` and ``event_interval_s``.

        Raises:
            ValueError: the prefix cannot stand in names.
        """
        known = {
            name: transport_options[name]
            for name in ("topic_arns", "queue_tags", "event_interval_s")
            if transport_options.get(name) is not None
        }
        return cls(checked_prefix(str(transport_options.get("control_prefix") or DEFAULT_PREFIX)), **known)  # type: ignore[arg-type]  # the user's types


class ControlPlane:
    """The control queues, replies and events of this process.

    Args:
        quick_sqs: a client for requests that are answered at once.
        polling_sqs: a client that waits for a long poll to end.
        sns: the client for topics.
        options: the deployment's wishes.
    """

    def __init__(self, quick_sqs: SQSClient, polling_sqs: SQSClient, sns: SNSClient, options: ControlOptions) -> None:
        self.prefix = options.prefix
        self.sqs = quick_sqs
        self.polling_sqs = polling_sqs
        self.topics = Topics(sns, options.prefix, options.topic_arns)
        self.queues = ControlQueues(quick_sqs, self.topics, options.prefix, options.queue_tags)
        self.replies = ReplyQueues(lambda: self.queues.create(Kind.REPLIES, process_name()), self.queues.has)
        self.routes = ReplyRoutes()
        self.events = EventPublisher(lambda text: self.topics.publish(EVENTS_EXCHANGE, text), options.event_interval_s)
        self._lock = threading.Lock()
        self._inboxes: dict[str, ControlQueue] = {}
        self._exchanges: dict[str, str] = {}
        self._subscriptions: dict[str, Subscription] = {}

    def open_inbox(self, queue: str, exchange: str) -> None:
        """Make the queue, by Celery's name, of a node or a subscriber, subscribed to an exchange's topic."""
        with self._lock:
            self._exchanges[queue] = exchange
        self.inbox(queue)

    def inbox(self, queue: str) -> ControlQueue:
        """Return the queue that stands behind Celery's name; one that somebody deleted is made anew.

        Raises:
            ClosedError: no queue was opened under this name, or it was closed.
        """
        if kind_of(queue) is Kind.REPLIES:
            return self.replies.lend(queue)
        with self._lock:
            exchange = self._exchanges.get(queue)
            if exchange is None:
                raise ClosedError(f"no control queue is open for {queue}")
            known = self._inboxes.get(queue)
            if known is None or not self.queues.has(known):
                kind = kind_of(queue) or Kind.EVENTS
                owner = node_of(queue) if kind is Kind.NODE else process_name()
                known = self._inboxes[queue] = self.queues.create(kind, owner, exchange)
            return known

    def url_beside(self, queue: str, name: str) -> str:
        """Return the URL of a queue in the account and region of one of ours."""
        return f"{self.inbox(queue).url.rpartition('/')[0]}/{name}"

    def close_inbox(self, queue: str) -> None:
        """Delete the queue of a subscriber that went away."""
        with self._lock:
            self._exchanges.pop(queue, None)
            known = self._inboxes.pop(queue, None)
            subscription = self._subscriptions.pop(queue, None)
        if subscription is not None:
            subscription.stop()
        if known is not None:
            self.queues.delete(known)

    def subscription(self, queue: str) -> Subscription:
        """Return the receiving from the queue of a node or a subscriber."""
        with self._lock:
            if queue not in self._subscriptions:
                self._subscriptions[queue] = Subscription(
                    self.polling_sqs, lambda: self.inbox(queue), self.queues.forget
                )
            return self._subscriptions[queue]

    def close(self) -> None:
        """Publish the last events and delete the queues of this process."""
        self.events.close()
        for queue in list(self._exchanges):
            self.close_inbox(queue)
        self.queues.close()


def process_name() -> str:
    """Return what tells this process from others, for names of its queues."""
    return f"{os.getpid()}-{socket.gethostname()}"


_planes: dict[tuple[object, ...], ControlPlane] = {}
_lock = threading.Lock()


def plane_of_process(key: tuple[object, ...], make: Callable[[], ControlPlane]) -> ControlPlane:
    """Return this process's plane for `key`; it is closed when the process ends."""
    with _lock:
        if key not in _planes:
            _planes[key] = make()
        return _planes[key]


@atexit.register
def close_planes(**_signal: object) -> None:
    """Delete all control queues of this process; for a clean exit, and for tests that outlive their broker."""
    for plane in list(_planes.values()):
        plane.close()
    _planes.clear()


def _forget() -> None:
    # A forked child has queues of its own and must not delete its parent's.
    global _lock  # noqa: PLW0603 - another thread of the parent may have held it
    _lock = threading.Lock()
    _planes.clear()


os.register_at_fork(after_in_child=_forget)
# A process of the prefork pool, whose tasks may ask workers, ends without Python's exit handlers.
worker_process_shutdown.connect(close_planes, weak=False)
