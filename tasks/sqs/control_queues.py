"""The queues of remote control and events that this process owns: made, kept marked as alive, and deleted.

A control queue lives as long as its owner. It is never shared, so its policy is written once, when it is made. Its
messages are never deleted one by one: a received one stays invisible for longer than the queue retains it, so it is
delivered once and then expires. That saves a request for each poll that brings something; what it costs is that
retained messages count as in flight, of which a queue may have 120,000:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tasks.sqs.failures import log_failure
from tasks.sqs.names import Kind, new_name
from tasks.sqs.quotas import MAX_IN_FLIGHT_S
from tasks.sqs.topics import Topics, policy, queue_arn

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

# How long a message is worth something. A worker whose only process runs a long task reads its commands after it; a
# client asks for replies at once; a subscriber that is minutes behind is better off with what is new. SQS allows 60 s
# at least: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
RETENTION_S = {Kind.NODE: 3600, Kind.REPLIES: 60, Kind.EVENTS: 300}
# How often an owner says, in a tag of its queues, that it lives. The sweep waits for several of these.
ALIVE_INTERVAL_S = 300.0
DEPLOYMENT_TAG = "celery-deployment"
OWNER_TAG = "celery-owner"
HOST_TAG = "celery-host"
PID_TAG = "celery-pid"
ALIVE_TAG = "celery-alive"
MAX_TAG_CHARS = 256
NO_SUCH_QUEUE = ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ControlQueue:
    """A queue of this process, and the exchange whose topic it is subscribed to, if to any."""

    name: str
    url: str
    exchange: str | None = None


def is_missing(error: Exception) -> bool:
    """Tell whether SQS says that there is no such queue."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in NO_SUCH_QUEUE


class ControlQueues:
    """The control queues of this process. Safe to share between threads.

    Args:
        sqs: the client.
        topics: the deployment's topics.
        prefix: the deployment's prefix of names.
        tags: tags that the deployment wants on every queue.
    """

    def __init__(self, sqs: SQSClient, topics: Topics, prefix: str, tags: Mapping[str, str]) -> None:
        self._sqs = sqs
        self._topics = topics
        self._prefix = prefix
        self._tags = dict(tags)
        self._lock = threading.Lock()
        self._subscriptions: dict[ControlQueue, str] = {}
        self._undeleted: set[ControlQueue] = set()
        self._marker: threading.Thread | None = None
        self._closed = threading.Event()

    def create(self, kind: Kind, owner: str, exchange: str | None = None) -> ControlQueue:
        """Make a queue and, with `exchange`, subscribe it to its topic.

        Raises:
            botocore.exceptions.BotoCoreError: AWS cannot be reached.
            botocore.exceptions.ClientError: AWS refuses.
        """
        name = str(new_name(self._prefix, kind, owner, time.time()))
        attributes: dict[QueueAttributeNameType, str] = {
            "MessageRetentionPeriod": str(RETENTION_S[kind]),
            "VisibilityTimeout": str(MAX_IN_FLIGHT_S),
        }
        if exchange is not None:
            topic_arn = self._topics.arn(exchange)
            attributes["Policy"] = json.dumps(policy(queue_arn(topic_arn, name), topic_arn))
        tags = {
            **self._tags,
            DEPLOYMENT_TAG: self._prefix,
            OWNER_TAG: owner[:MAX_TAG_CHARS],
            HOST_TAG: socket.gethostname()[:MAX_TAG_CHARS],
            PID_TAG: str(os.getpid()),
            ALIVE_TAG: str(int(time.time())),
        }
        queue = ControlQueue(
            name, self._sqs.create_queue(QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"], exchange
        )
        with self._lock:
            self._subscriptions[queue] = ""
            if self._marker is None:
                self._marker = threading.Thread(target=self._keep_marking, name="sqs-control-alive", daemon=True)
                self._marker.start()
        try:
            self._subscribe(queue)
        except Exception:
            self.delete(queue)
            raise
        return queue

    def has(self, queue: ControlQueue) -> bool:
        """Tell whether a queue is this process's and not known to be gone."""
        with self._lock:
            return queue in self._subscriptions

    def forget(self, queue: ControlQueue) -> None:
        """Note that somebody deleted a queue, and end its subscription; its owner makes another."""
        with self._lock:
            subscription_arn = self._subscriptions.pop(queue, "")
        if subscription_arn:
            try:
                self._topics.unsubscribe(subscription_arn)
            except Exception as error:  # noqa: BLE001 - see tasks.sqs.failures
                log_failure(log, error, "the subscription of %s is left to the sweep: %s", queue.name, error)

    def delete(self, queue: ControlQueue) -> None:
        """Delete a queue and its subscription; if AWS does not answer that is tried again, at last by the sweep."""
        try:
            self._delete(queue)
        except Exception as error:  # noqa: BLE001 - see tasks.sqs.failures
            log_failure(log, error, "control queue %s could not be deleted yet: %s", queue.name, error)

    def close(self) -> None:
        """Delete all queues of this process; if AWS cannot be reached leave them to the sweep at once."""
        self._closed.set()
        with self._lock:
            queues = [*self._subscriptions, *self._undeleted]
        for queue in queues:
            try:
                self._delete(queue)
            except ClientError as error:
                log.warning("control queue %s is left to the sweep: %s", queue.name, error)
            except Exception as error:  # noqa: BLE001 - see tasks.sqs.failures
                log_failure(log, error, "%d control queues are left to the sweep: %s", len(queues), error)
                return

    def _delete(self, queue: ControlQueue) -> None:
        with self._lock:
            subscription_arn = self._subscriptions.pop(queue, "")
            self._undeleted.add(queue)
        if subscription_arn:
            self._topics.unsubscribe(subscription_arn)
        try:
            self._sqs.delete_queue(QueueUrl=queue.url)
        except ClientError as error:
            if not is_missing(error):
                raise
        with self._lock:
            self._undeleted.discard(queue)

    def mark_alive(self) -> None:
        """Say that the owner lives, and renew subscriptions in case somebody removed one."""
        with self._lock:
            queues, undeleted = list(self._subscriptions), list(self._undeleted)
        for queue in queues:
            try:
                self._sqs.tag_queue(QueueUrl=queue.url, Tags={ALIVE_TAG: str(int(time.time()))})
                self._subscribe(queue)
            except Exception as error:  # noqa: BLE001 - see tasks.sqs.failures
                if is_missing(error):
                    self.forget(queue)
                else:
                    log_failure(log, error, "control queue %s could not be marked as alive: %s", queue.name, error)
        for queue in undeleted:
            self.delete(queue)

    def _subscribe(self, queue: ControlQueue) -> None:
        if queue.exchange is None:
            return
        topic_arn = self._topics.arn(queue.exchange)
        subscription_arn = self._topics.subscribe(queue.exchange, queue_arn(topic_arn, queue.name))
        with self._lock:
            if queue in self._subscriptions:
                self._subscriptions[queue] = subscription_arn

    def _keep_marking(self) -> None:
        while not self._closed.wait(ALIVE_INTERVAL_S):
            self.mark_alive()
