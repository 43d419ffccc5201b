"""The channel's half for remote control and events: fanout over SNS, replies, and queues that come and go.

Stock kombu binds replies in the client's memory only, declares events as an exchange type that SNS lacks, deletes the
reply queue after every call (AWS refuses its name for 60 s then) and acknowledges control messages by a client that
exists only beside an event loop. See docs/transport.md.
"""

from __future__ import annotations

import logging
import math
import os
import time
from typing import Any

from botocore.exceptions import ClientError
from kombu.transport import SQS
from kombu.transport.SQS.exceptions import DoesNotExistQueueException
from kombu.utils.json import dumps

from tasks.sqs.names import (
    EVENTS_EXCHANGE,
    PIDBOX,
    REPLY,
    bounded,
    is_control_queue,
    is_node_queue,
    is_reply_queue,
    reply_queue,
)

# Control messages are worth nothing after a minute or so: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/
# APIReference/API_SetQueueAttributes.html allows 60 s at least.
CONTROL_RETENTION_S = 300
CONTROL_VISIBILITY_TIMEOUT_S = 30
# How often the owner of a control queue says in a tag that it lives; the sweep takes three missed ones for a death.
ALIVE_INTERVAL_S = 300.0
ALIVE_TAG = "alive-at"
MAX_BATCH = 10
NO_SUCH_QUEUE = ("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue")

log = logging.getLogger(__name__)


class ControlChannel(SQS.Channel):
    """Fanout and reply routing, control queues and their naming, on top of kombu's SQS channel."""

    supports_fanout = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._finished: dict[str, list[str]] = {}
        self._drain_timeout_s: float | None = None
        super().__init__(*args, **kwargs)

    # Names

    def canonical_queue_name(self, queue_name: str) -> str:
        """Return a queue's name in SQS.

        A node's queue ends in a token of its connection: AWS refuses the name of a deleted queue for 60 seconds, and
        a worker that is restarted at once must not wait for that.
        """
        if not is_control_queue(queue_name):
            return str(super().canonical_queue_name(queue_name))
        suffix = f"-{self.connection.token}" if is_node_queue(queue_name) else ""
        return bounded(self.entity_name(f"{self.control_prefix}-{queue_name}{suffix}"))

    @property
    def control_prefix(self) -> str:
        """What names of control queues and topics start with: keeps two deployments in one account apart."""
        return str(self.transport_options.get("control_prefix", "celery"))

    def _topic(self, exchange: str) -> str:
        return str(self.entity_name(f"{self.control_prefix}-{exchange}"))

    # Queues

    def _update_queue_cache(self, queue_name_prefix: str) -> None:
        """List nothing: stock lists up to 1,000 queues for each channel that is opened; we look up by name."""

    def _resolve_queue_url(self, queue: str) -> str:
        name = self.canonical_queue_name(queue)
        if name not in self._queue_cache:
            try:
                self._queue_cache[name] = self.sqs().get_queue_url(QueueName=name)["QueueUrl"]
            except ClientError as error:
                if error.response["Error"]["Code"] not in NO_SUCH_QUEUE:
                    raise
                raise DoesNotExistQueueException(f"SQS queue {name!r} does not exist") from error
        return str(self._queue_cache[name])

    def _new_queue(self, queue: str, **_kwargs: Any) -> str:
        if not is_control_queue(queue):
            # Made by the deployment, with its dead-letter queue: one made here would lack that.
            return self._resolve_queue_url(queue)
        name = self.canonical_queue_name(queue)
        if name not in self._queue_cache:
            self._queue_cache[name] = self._create_control_queue(queue, name)
        return str(self._queue_cache[name])

    def _create_control_queue(self, queue: str, name: str) -> str:
        attributes = {
            "MessageRetentionPeriod": str(CONTROL_RETENTION_S),
            "VisibilityTimeout": str(CONTROL_VISIBILITY_TIMEOUT_S),
        }
        tags = {"celery": queue[:256], "pid": str(os.getpid()), ALIVE_TAG: str(int(time.time()))}
        url = str(self.sqs().create_queue(QueueName=name, Attributes=attributes, tags=tags)["QueueUrl"])
        self.connection.owned.add(url, keep_until_exit=is_reply_queue(queue))
        self.connection.alive_at_s[url] = time.monotonic()
        return url

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        """Delete a task queue; control queues go when their connection or process ends."""
        if not is_control_queue(queue):
            super()._delete(queue, *args, **kwargs)

    def after_reply_message_received(self, queue: str) -> None:
        """Keep the reply queue: the next call uses it, and AWS would refuse to make it anew for 60 s."""

    def _mark_alive(self, queue: str) -> None:
        url = self._new_queue(queue)
        now_s = time.monotonic()
        if is_control_queue(queue) and now_s - self.connection.alive_at_s.get(url, now_s) >= ALIVE_INTERVAL_S:
            self.connection.alive_at_s[url] = now_s
            self.sqs().tag_queue(QueueUrl=url, Tags={ALIVE_TAG: str(int(time.time()))})

    # Exchanges

    def exchange_declare(self, exchange: str | None = None, type: str = "direct", **kwargs: Any) -> None:  # noqa: A002 - kombu's name
        """Declare an exchange; events, a topic exchange in Celery, as fanout: SNS has no routing keys."""
        is_events = (exchange or "").startswith(EVENTS_EXCHANGE)
        super().exchange_declare(exchange, "fanout" if is_events else type, **kwargs)

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        if exchange.startswith(REPLY) and exchange.endswith(PIDBOX):
            return [reply_queue(exchange, routing_key)]
        return list(super()._lookup(exchange, routing_key, default))

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        """Subscribe nothing yet: that is done when the queue is consumed, on each connection."""

    def _subscribe_queue_to_fanout_exchange_if_required(self, queue_name: str) -> None:
        url = self._new_queue(queue_name)
        bindings = list(self.state.queue_bindings(queue_name))
        fanouts = [binding.exchange for binding in bindings if self._exchange_is_fanout(binding.exchange)]
        if fanouts and not self.connection.owned.is_subscribed(url):
            subscription = self.connection.topics.subscribe(self._topic(fanouts[0]), url, self.sqs())
            self.connection.owned.subscribed(url, subscription)

    def _put_fanout(self, exchange: str, message: dict[str, Any], *_args: Any, **_kwargs: Any) -> None:
        self.connection.topics.publish(self._topic(exchange), dumps(message))

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if not is_reply_queue(queue):
            super()._put(queue, message, **kwargs)
            return
        try:
            self.sqs().send_message(QueueUrl=self._resolve_queue_url(queue), MessageBody=dumps(message))
        except (DoesNotExistQueueException, ClientError) as error:
            # The client asked and went away; a worker must not stumble over that.
            self._queue_cache.pop(self.canonical_queue_name(queue), None)
            log.info("reply to a client that is gone is dropped: %s", error)

    # Receiving

    def drain_events(self, timeout: float | None = None, callback: Any = None, **kwargs: Any) -> Any:
        """Wait for messages, without an event loop, no longer than `timeout` seconds rounded up."""
        self._drain_timeout_s = timeout
        return super().drain_events(timeout=timeout, callback=callback, **kwargs)

    def _receive_message(
        self, queue: str, max_number_of_messages: int = 1, wait_time_seconds: int | None = None
    ) -> dict[str, Any]:
        """Receive with boto3; SQS waits in whole seconds, and no longer than the caller may."""
        self._mark_alive(queue)
        longest_s = self.wait_time_seconds if wait_time_seconds is None else wait_time_seconds
        timeout_s = self._drain_timeout_s
        return dict(
            self.sqs().receive_message(
                QueueUrl=self._new_queue(queue),
                MaxNumberOfMessages=max_number_of_messages,
                WaitTimeSeconds=longest_s if timeout_s is None else min(longest_s, math.ceil(timeout_s)),
                **{name: value for name, value in self.get_message_attributes.items() if value},
            )
        )

    def _get_bulk(self, queue: str, *args: Any, **kwargs: Any) -> None:
        try:
            super()._get_bulk(queue, *args, **kwargs)
        finally:
            self._delete_finished(queue)

    def _get_async(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        self._mark_alive(queue)
        return super()._get_async(queue, *args, **kwargs)

    def _on_messages_ready(self, queue: str, qname: str, messages: Any) -> int:
        try:
            return int(super()._on_messages_ready(queue, qname, messages))
        finally:
            self._delete_finished(qname)

    def _delete_message(self, queue_name: str, message: Any) -> None:
        """Note a message that needs no acknowledgement; those of one poll are deleted in one request."""
        self._finished.setdefault(queue_name, []).append(message["ReceiptHandle"])

    def _delete_finished(self, queue: str) -> None:
        handles = self._finished.pop(queue, [])
        for start in range(0, len(handles), MAX_BATCH):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle}
                for number, handle in enumerate(handles[start : start + MAX_BATCH])
            ]
            self.sqs().delete_message_batch(QueueUrl=self._new_queue(queue), Entries=entries)
