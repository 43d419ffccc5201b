"""The channel's half for remote control and events: fanout over SNS, replies, and queues that come and go.

Stock kombu binds replies in the client's memory alone, declares events as an exchange type that SNS lacks, deletes the
reply queue after every call, waits for a full long poll whatever the timeout, and acknowledges control messages by a
client that exists only beside an event loop. See docs/transport-control.md.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from functools import cached_property
from queue import Empty
from typing import Any, ClassVar

from botocore.exceptions import BotoCoreError, ClientError
from kombu.serialization import loads as load_body
from kombu.transport import SQS
from kombu.transport.virtual.base import queue_declare_ok_t
from kombu.utils.json import dumps

from tasks.sqs.clients import CONFIG, QUICK_CONFIG
from tasks.sqs.control_messages import MAX_MESSAGES, WAIT_S, Opener, Payload
from tasks.sqs.control_plane import ControlOptions, ControlPlane, plane_of_process
from tasks.sqs.control_queues import is_missing
from tasks.sqs.names import (
    EVENTS_EXCHANGE,
    Kind,
    is_control_exchange,
    is_control_queue,
    is_reply_exchange,
    kind_of,
    parse,
    reply_queue,
)

# Which queue a client waits on for replies, as it stands in the properties of its command.
REPLY_QUEUE_PROPERTY = "sqs_reply_queue"

log = logging.getLogger(__name__)


class ControlChannel(SQS.Channel):
    """Remote control and events on top of kombu's SQS channel; leaves task queues to the classes after it."""

    supports_fanout: ClassVar[bool] = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._drain_timeout_s: float | None = None
        self._replies: dict[str, deque[Payload]] = {}
        super().__init__(*args, **kwargs)

    @cached_property
    def plane(self) -> ControlPlane:
        """What this process's channels to the deployment share."""
        options = ControlOptions.of(self.transport_options)
        key = (options.prefix, self.region, self.endpoint_url, self.conninfo.userid)
        return plane_of_process(key, lambda: self._new_plane(options))

    def _new_plane(self, options: ControlOptions) -> ControlPlane:
        def client(service: str, config: Any) -> Any:
            return self._new_boto_client(
                service, self.region, self.conninfo.userid, self.conninfo.password, config=config
            )

        return ControlPlane(client("sqs", QUICK_CONFIG), client("sqs", CONFIG), client("sns", QUICK_CONFIG), options)

    # Exchanges and queues

    def exchange_declare(self, exchange: str | None = None, type: str = "direct", **kwargs: Any) -> None:  # noqa: A002 - kombu's name
        """Declare an exchange; events, a topic exchange in Celery, as fanout: SNS has no routing keys."""
        super().exchange_declare(exchange, "fanout" if exchange == EVENTS_EXCHANGE else type, **kwargs)

    def queue_declare(self, queue: str | None = None, passive: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - kombu's signature
        """Declare a queue; a control queue is made when it is bound, and empty then."""
        if queue is not None and is_control_queue(queue):
            return queue_declare_ok_t(queue, 0, 0)
        return super().queue_declare(queue, passive, **kwargs)

    def queue_bind(self, queue: str, *args: Any, **kwargs: Any) -> None:
        """Bind a queue; not one of replies, of which every call has another and whose names tell everything."""
        if kind_of(queue) is not Kind.REPLIES:
            super().queue_bind(queue, *args, **kwargs)

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        if is_control_exchange(exchange):
            self.plane.open_inbox(queue, exchange)
        else:
            super()._queue_bind(exchange, routing_key, pattern, queue)

    def _subscribe_queue_to_fanout_exchange_if_required(self, queue_name: str) -> None:
        if not is_control_queue(queue_name):  # those are subscribed since they were bound
            super()._subscribe_queue_to_fanout_exchange_if_required(queue_name)

    def _new_queue(self, queue: str, **kwargs: Any) -> str:
        return self.plane.inbox(queue).url if is_control_queue(queue) else str(super()._new_queue(queue, **kwargs))

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        if is_control_queue(queue):
            self.plane.close_inbox(queue)
        else:
            super()._delete(queue, *args, **kwargs)

    def after_reply_message_received(self, queue: str) -> None:
        """Keep the queue of replies for the next call."""
        self._replies.pop(queue, None)
        self.plane.replies.give_back(queue)

    # Sending

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any) -> None:
        if exchange == EVENTS_EXCHANGE:
            self.plane.events.add(message)
        elif is_control_exchange(exchange):
            call = self._name_reply_queue(message)
            try:
                self.plane.topics.publish(exchange, dumps(message))
            except BaseException:  # kombu tells of a call's end only where its command was published
                self.plane.replies.give_back(call)
                raise
        else:
            super()._put_fanout(exchange, message, routing_key, **kwargs)

    def _name_reply_queue(self, message: dict[str, Any]) -> str:
        """Note in a command where its client waits for replies; return the call's name, empty if nobody waits."""
        body = self.decode_body(message["body"], message["properties"].get("body_encoding"))
        content_type = message["content-type"]
        command = load_body(body, content_type, message["content-encoding"], accept={content_type})
        reply_to = command.get("reply_to")
        if not reply_to:
            return ""
        call = reply_queue(reply_to["exchange"], reply_to["routing_key"])
        message["properties"][REPLY_QUEUE_PROPERTY] = {"call": call, "name": self.plane.replies.lend(call).name}
        return call

    def _lookup(self, exchange: str, routing_key: str, default: str | None = None) -> list[str]:
        if is_reply_exchange(exchange):
            return [reply_queue(exchange, routing_key)]
        return list(super()._lookup(exchange, routing_key, default))

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if kind_of(queue) is Kind.REPLIES:
            self._send_reply(queue, message)
        else:
            super()._put(queue, message, **kwargs)

    def _send_reply(self, call: str, message: dict[str, Any]) -> None:
        url = self.plane.routes.url(call)
        if url is None:
            log.warning("the reply to %s is dropped: its command named no queue", call)
            return
        try:
            self.plane.sqs.send_message(QueueUrl=url, MessageBody=dumps(message))
        except (BotoCoreError, ClientError) as error:
            # A client that went away, or will time out: not a reason for the worker to open its connection anew.
            log.log(
                logging.INFO if is_missing(error) else logging.WARNING, "the reply to %s is dropped: %s", call, error
            )

    # Receiving

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        """Consume from a queue; beside an event loop a node's commands are handed over to the loop."""
        tag = super().basic_consume(queue, *args, **kwargs)
        if self.hub and kind_of(queue) is Kind.NODE:
            self.hub.call_soon(self._consume_commands, queue)
        return tag

    def _consume_commands(self, queue: str) -> None:
        if queue in self._active_queues:
            deliver = self.connection._callbacks[queue]  # noqa: SLF001 - where kombu keeps the consumer
            self.plane.subscription(queue).consume(self.hub, lambda payload: deliver(self._noted(queue, payload)))

    def _schedule_queue(self, queue: str) -> None:
        if not is_control_queue(queue):
            super()._schedule_queue(queue)

    def basic_cancel(self, consumer_tag: str) -> Any:
        """Cancel a consumer; a subscriber's queue goes with it, a node's waits for the next consumer."""
        queue = self._tag_to_queue.get(consumer_tag, "")
        cancelled = super().basic_cancel(consumer_tag)
        if kind_of(queue) is Kind.NODE:
            self.plane.subscription(queue).pause()
        elif kind_of(queue) is Kind.EVENTS:
            self.plane.close_inbox(queue)
        return cancelled

    def drain_events(self, timeout: float | None = None, callback: Any = None, **kwargs: Any) -> Any:
        """Wait for messages, without an event loop, no longer than `timeout` seconds."""
        self._drain_timeout_s = timeout
        return super().drain_events(timeout=timeout, callback=callback, **kwargs)

    def _get_bulk(self, queue: str, *args: Any, **kwargs: Any) -> None:
        kind = kind_of(queue)
        if kind is None:
            super()._get_bulk(queue, *args, **kwargs)
        elif kind is Kind.REPLIES:
            self._deliver_reply(queue)
        else:
            payload = self.plane.subscription(queue).get(self._drain_timeout_s)
            self.connection._deliver(self._noted(queue, payload), queue)  # noqa: SLF001 - as kombu's own channels do

    def _deliver_reply(self, call: str) -> None:
        """Hand over one reply: kombu counts the replies it waits for by the times that it waits."""
        if call not in self._replies:
            self._replies[call] = deque()
        replies = self._replies[call]
        if not replies:
            replies.extend(reply for reply in self._receive_replies(call) if _answers(reply, call))
        if not replies:
            raise Empty
        self.connection._deliver(replies.popleft(), call)  # noqa: SLF001 - as kombu's own channels do

    def _receive_replies(self, call: str) -> list[Payload]:
        """Wait for replies; SQS waits in whole seconds."""
        timeout_s = self._drain_timeout_s
        found = self.plane.inbox(call)
        try:
            answer = self.plane.polling_sqs.receive_message(
                QueueUrl=found.url,
                MaxNumberOfMessages=MAX_MESSAGES,
                WaitTimeSeconds=WAIT_S if timeout_s is None else min(WAIT_S, math.ceil(timeout_s)),
            )
        except ClientError as error:
            if not is_missing(error):
                raise
            log.warning("queue %s of replies was deleted: this call is not answered, the next one will be", found.name)
            self.plane.queues.forget(found)
            return []
        return self._opener.open(answer.get("Messages", []))

    @cached_property
    def _opener(self) -> Opener:
        return Opener()

    def _noted(self, queue: str, payload: Payload) -> Payload:
        """Note where the sender of a command waits for replies."""
        named = payload["properties"].get(REPLY_QUEUE_PROPERTY)
        if kind_of(queue) is Kind.NODE and isinstance(named, dict) and parse(named["name"], self.plane.prefix):
            self.plane.routes.note(named["call"], self.plane.url_beside(queue, named["name"]))
        return payload


def _answers(reply: Payload, call: str) -> bool:
    """Tell whether a reply is to this call, not to one that had the queue before and gave up waiting."""
    info = reply["properties"]["delivery_info"]
    return reply_queue(info["exchange"], info["routing_key"]) == call
