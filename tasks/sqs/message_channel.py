"""The channel's half for task messages: how they are sent, received, kept invisible, acknowledged and given back.

Stock kombu makes one blocking request for each send and each acknowledgement, stops polling for good when SQS answers
in a way it does not expect, hides a dead worker's messages for the whole visibility timeout, and takes the messages
of a poll that is open at shutdown along. See docs/transport-messages.md.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property, partial
from queue import Empty
from typing import TYPE_CHECKING, Any

from celery.states import SUCCESS
from kombu.transport import SQS

from tasks.sqs import worker
from tasks.sqs.burial import Burial
from tasks.sqs.inbox import Inbox
from tasks.sqs.incoming import ATTRIBUTES, Incoming, TaskMessage, UnreadableError
from tasks.sqs.poison import PoisonMessage, store_failure
from tasks.sqs.quotas import MAX_BATCH_ENTRIES
from tasks.sqs.receiver import Receiver
from tasks.sqs.sends import Entry, PublishBatch, request

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

DEFAULT_VISIBILITY_TIMEOUT_S = 60
# A request is worth its price for this part of what may be prefetched; for less, others are waited for a moment.
WORTH_A_REQUEST = 0.75
# A worker that ends waits for its last poll, this much longer than the poll may take.
POLL_MARGIN_S = 3.0

log = logging.getLogger(__name__)


class MessageChannel(SQS.Channel):
    """Batched sends and acks, own receivers and the visibility heartbeat on top of kombu's SQS channel."""

    Message = TaskMessage
    default_visibility_timeout = DEFAULT_VISIBILITY_TIMEOUT_S
    supports_batch_publish = True
    do_restore = False  # `close` gives the messages back itself

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._receivers: dict[str, Receiver] = {}
        self._last_callbacks: dict[str, Callable[[dict[str, Any]], object]] = {}
        self._finishing: set[str] = set()
        self._longest_wait_s: float = math.inf
        super().__init__(*args, **kwargs)

    @cached_property
    def _inbox(self) -> Inbox:
        return self.connection.inbox  # type: ignore[no-any-return]  # the transport is MessageTransport

    @cached_property
    def _burial(self) -> Burial:
        return Burial(self.sqs())

    @cached_property
    def max_receives(self) -> float:
        """How often a message is handed to a worker before it is taken for the cause of the workers' deaths."""
        return float(self.transport_options.get("max_receives", math.inf))

    # Sending

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        batch: PublishBatch | None = kwargs.get("publish_batch")
        sent = request(message, datetime.now(UTC), in_base64=self.sqs_base64_encoding)
        url = self._new_queue(queue)
        if batch is None:
            self.sqs().send_message(QueueUrl=url, **sent)
        else:
            task_id = str((message.get("headers") or {}).get("id", ""))
            batch.add(self.sqs(), Entry(task_id, url, sent))

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """Return what `kombu.Producer.batch` collects messages in."""
        return PublishBatch(self, max_size)

    # Receiving

    @property
    def get_message_attributes(self) -> dict[str, Any]:
        """Ask, with every message, for how often it was received and when it was sent."""
        return {"MessageAttributeNames": [], "MessageSystemAttributeNames": list(ATTRIBUTES)}

    def _schedule_queue(self, queue: str) -> None:
        """Start to receive; kombu calls this in the event loop after `basic_consume`."""
        if queue in self._active_queues:
            self._finishing.discard(queue)
            if queue not in self._receivers:
                self._receivers[queue] = self._new_receiver(queue, self._new_queue(queue))
            self._receivers[queue].start(*self._room())

    def _new_receiver(self, queue: str, url: str) -> Receiver:
        inbox = self._inbox
        return Receiver(
            queue,
            receive=self._receive_function(url, self.wait_time_seconds),
            post=self.hub.call_soon,
            deliver=partial(self._deliver, queue, url),
            give_back=partial(inbox.give_back, url),
        )

    def _receive_function(self, url: str, wait_s: int) -> Callable[[int], list[Incoming]]:
        """Return a function that needs the channel no more: a receiver's thread may outlive it by one poll."""
        sqs: SQSClient = self.sqs()
        visibility_timeout_s = self.visibility_timeout

        def receive(room: int) -> list[Incoming]:
            answer = sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=room,
                WaitTimeSeconds=wait_s,
                VisibilityTimeout=visibility_timeout_s,
                MessageSystemAttributeNames=list(ATTRIBUTES),
            )
            return [Incoming.of(message) for message in answer.get("Messages", [])]

        return receive

    def _room(self) -> tuple[int, int]:
        """Return how many messages may come, and how many make a request worth its price."""
        most = min(self.qos.prefetch_count or MAX_BATCH_ENTRIES, MAX_BATCH_ENTRIES)
        free = self.qos.can_consume_max_estimate()
        return min(most if free is None else free, MAX_BATCH_ENTRIES), math.ceil(most * WORTH_A_REQUEST)

    def _tell_receivers(self) -> None:
        for receiver in self._receivers.values():
            receiver.set_room(*self._room())

    def basic_qos(self, *args: Any, **kwargs: Any) -> None:
        """Change how many messages may be prefetched."""
        super().basic_qos(*args, **kwargs)
        self._tell_receivers()

    def drain_events(self, timeout: float | None = None, callback: Any = None, **kwargs: Any) -> Any:
        """Wait for messages, without an event loop, no longer than `timeout` seconds rounded up."""
        self._longest_wait_s = math.inf if timeout is None else timeout
        return super().drain_events(timeout=timeout, callback=callback, **kwargs)

    def _get_bulk(self, queue: str, *_args: Any, **_kwargs: Any) -> None:
        url = self._new_queue(queue)
        wait_s = math.ceil(min(self.wait_time_seconds, self._longest_wait_s))
        room = self._room()[0]
        messages = self._receive_function(url, wait_s)(room) if room else []
        if not messages:
            raise Empty
        self._deliver(queue, url, messages)

    def _deliver(self, queue: str, url: str, messages: list[Incoming]) -> None:
        waiting = deque(messages)
        try:
            callback = self.connection._callbacks.get(queue)  # noqa: SLF001 - kombu's channels work on their transport
            callback = callback or self._last_callbacks.get(queue)
            while waiting and callback is not None:
                self._deliver_one(url, waiting.popleft(), callback)
        finally:  # the consumer is gone, or a task of the solo pool ends its worker
            self._inbox.give_back(url, waiting)
            self._tell_receivers()
            # The solo pool has ended tasks meanwhile; their acknowledgements wait in the loop.
            self.connection.wake_event_loop()

    def _deliver_one(self, url: str, message: Incoming, callback: Callable[[dict[str, Any]], object]) -> None:
        if not self._inbox.take(url, message):
            log.info("message %s came again and is in work here already", message.message_id)
            return
        try:
            envelope = message.envelope()
        except UnreadableError as error:
            self._bury(url, message.receipt_handle, message.body, f"it cannot be read: {error}")
            return
        if message.receive_count > self.max_receives:
            self._end_poison(url, message, envelope)
            return
        envelope["properties"]["delivery_info"]["sqs_queue"] = url
        try:
            callback(envelope)
        except Exception:
            log.exception("message %s could not be handed over; it will come again", message.message_id)
            self._inbox.leave(message.receipt_handle)
            self.qos.ack(message.receipt_handle)

    # Ending

    def _end_poison(self, url: str, message: Incoming, envelope: dict[str, Any]) -> None:
        error = PoisonMessage.after(message.receive_count - 1)
        app = worker.app()
        try:
            state = "" if app is None else store_failure(app, envelope, error)
        except Exception:  # whatever the result store raises
            log.exception("the failure of message %s could not be stored; it will come again", message.message_id)
            self._inbox.leave(message.receipt_handle)
            return
        if state == SUCCESS:  # what failed, each time, was its acknowledgement
            self._inbox.delete(message.receipt_handle)
        else:
            self._bury(url, message.receipt_handle, message.body, str(error))

    def _bury(self, url: str, tag: str, body: str, cause: str) -> None:
        if self._burial.bury(url, body, cause):
            self._inbox.delete(tag)
        else:
            self._inbox.leave(tag)

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Acknowledge a message: free its place at once, delete it from SQS with others soon."""
        if not self._inbox.holds(delivery_tag):
            super().basic_ack(delivery_tag, multiple)
            return
        self._inbox.delete(delivery_tag)
        self._free(delivery_tag)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Give a message back at once, or, without `requeue`, make it a dead letter."""
        if not self._inbox.holds(delivery_tag):
            super().basic_reject(delivery_tag, requeue)
            return
        if requeue:
            self._inbox.release([delivery_tag])
        else:
            message = self.qos.get(delivery_tag)
            sent = request(message.serializable(), datetime.now(UTC), in_base64=self.sqs_base64_encoding)
            self._bury(message.delivery_info["sqs_queue"], delivery_tag, sent["MessageBody"], "its worker rejected it")
        self._free(delivery_tag)

    def _free(self, delivery_tag: str) -> None:
        self.qos.ack(delivery_tag)
        self._tell_receivers()

    def _restore(self, message: Any, *_args: Any) -> None:
        self._inbox.release([message.delivery_tag])

    def basic_cancel(self, consumer_tag: str) -> None:
        """Stop to receive; what the open poll brings is given back, unless `finish` was called before."""
        queue = self._tag_to_queue.get(consumer_tag)
        callback = self.connection._callbacks.get(queue)  # noqa: SLF001 - kombu's channels work on their transport
        super().basic_cancel(consumer_tag)
        if queue not in self._receivers or queue in self._active_queues:
            return
        if queue in self._finishing and not worker.is_ending():
            self._last_callbacks[queue] = callback
            self._receivers[queue].finish()
        else:
            self._receivers[queue].stop()

    def finish(self, queue: str) -> None:
        """Let the next cancel of this queue's consumer still take what the open poll brings.

        Given back it would go to the open poll of the next worker that is stopping, and count as a delivery each time,
        until the message is taken for poison.
        """
        self._finishing.add(queue)

    def receives(self, queue: str) -> bool:
        """Tell whether a queue's messages may still come: it is consumed from, or its last poll is open."""
        return queue in self._active_queues or (queue in self._receivers and self._receivers[queue].open)

    def close(self) -> None:
        """Give back what does not run. A worker that ends waits for its open polls; one that reconnects does not."""
        if not self.closed and "_inbox" in self.__dict__:
            self._stop_receiving()
        super().close()

    def _stop_receiving(self) -> None:
        self._last_callbacks.clear()
        for receiver in self._receivers.values():
            receiver.stop()
        kept: frozenset[str] = frozenset()
        if worker.is_ending():
            for receiver in self._receivers.values():
                receiver.join(self.wait_time_seconds + POLL_MARGIN_S)
        else:
            kept = worker.running_tags()
        unacked = [tag for tag in list(self.qos._delivered) if tag not in kept and self._inbox.holds(tag)]  # noqa: SLF001 - kombu's own, by tag
        if released := self._inbox.release(unacked):
            log.info("gave back %d messages whose tasks have not ended", released)
