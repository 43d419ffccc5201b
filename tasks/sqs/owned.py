"""The control queues that this process made, and their removal when the process ends cleanly."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, ClassVar

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from tasks.sqs.topics import Topics

log = logging.getLogger(__name__)


class OwnedQueues:
    """Queues with their subscriptions, made by one connection of this process."""

    _all: ClassVar[weakref.WeakSet[OwnedQueues]] = weakref.WeakSet()

    def __init__(self, sqs: SQSClient, topics: Topics) -> None:
        self._sqs, self._topics = sqs, topics
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._subscriptions: dict[str, str] = {}
        self._kept: set[str] = set()
        OwnedQueues._all.add(self)

    def add(self, queue_url: str, *, keep_until_exit: bool) -> None:
        """Take a queue into care; with `keep_until_exit` it outlives the connection."""
        with self._lock:
            self._subscriptions.setdefault(queue_url, "")
            if keep_until_exit:
                self._kept.add(queue_url)

    def subscribed(self, queue_url: str, subscription_arn: str) -> None:
        """Note a queue's subscription."""
        with self._lock:
            self._subscriptions[queue_url] = subscription_arn

    def is_subscribed(self, queue_url: str) -> bool:
        """Tell whether a queue's subscription is noted."""
        with self._lock:
            return bool(self._subscriptions.get(queue_url))

    def remove(self, *, all_of_them: bool) -> None:
        """Delete the queues and their subscriptions; what cannot be deleted now is left to the sweep."""
        if os.getpid() != self._pid:
            return  # a forked child: they are the parent's
        with self._lock:
            chosen = {url: arn for url, arn in self._subscriptions.items() if all_of_them or url not in self._kept}
            for url in chosen:
                del self._subscriptions[url]
        for queue_url, subscription_arn in chosen.items():
            try:
                if subscription_arn:
                    self._topics.unsubscribe(subscription_arn)
                self._sqs.delete_queue(QueueUrl=queue_url)
            except (BotoCoreError, ClientError) as error:
                log.warning("control queue %s is left to the sweep: %s", queue_url, error)

    @classmethod
    def remove_all(cls) -> None:
        """Delete what this process still has; called when the interpreter ends."""
        for owned in list(cls._all):
            owned.remove(all_of_them=True)


atexit.register(OwnedQueues.remove_all)
