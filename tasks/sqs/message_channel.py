"""The channel's half for task messages: how they are sent, kept invisible, acknowledged and given back.

Stock kombu makes one blocking request for each send and each acknowledgement, hides a dead worker's messages for the
whole visibility timeout, and forgets a long poll that is open at shutdown. See docs/transport.md.
"""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from kombu.asynchronous.aws.sqs.connection import AsyncSQSConnection
from kombu.asynchronous.aws.sqs.message import AsyncMessage
from kombu.transport import SQS
from kombu.utils.json import dumps

from tasks.sqs.acks import AckBatcher
from tasks.sqs.http import TimedCurlClient, client_of
from tasks.sqs.names import is_control_queue
from tasks.sqs.quotas import MAX_DELAY_S
from tasks.sqs.sends import current_batch
from tasks.sqs.visibility import VisibilityHeartbeat

RECEIVED_ATTRIBUTES = ("ApproximateReceiveCount", "SentTimestamp")
# After a poll that failed, the next ones wait 0.5 s, 1 s, 2 s, … at most this long.
MAX_POLL_PAUSE_S = 10.0
FIRST_POLL_PAUSE_S = 0.5

log = logging.getLogger(__name__)


class DelayTooLongError(ValueError):
    """A countdown or ETA is farther away than SQS can hold a message back."""


def delay_s(eta: str | None, now: datetime) -> int:
    """Return the DelaySeconds for a task's ETA (ISO 8601, UTC unless it says otherwise); 0 for none.

    Raises:
        DelayTooLongError: more than 15 minutes ahead.
    """
    if eta is None:
        return 0
    due = datetime.fromisoformat(eta)
    ahead_s = math.ceil(((due if due.tzinfo else due.replace(tzinfo=UTC)) - now).total_seconds())
    if ahead_s > MAX_DELAY_S:
        raise DelayTooLongError(
            f"countdown or eta is {ahead_s} s ahead; SQS holds a message back for {MAX_DELAY_S} s at most"
        )
    return max(0, ahead_s)


class MessageChannel(SQS.Channel):
    """Batched sends and acks and the visibility heartbeat on top of kombu's SQS channel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._failed_polls = 0
        super().__init__(*args, **kwargs)

    @cached_property
    def _acks(self) -> AckBatcher:
        return AckBatcher(self.sqs)

    @cached_property
    def _heartbeat(self) -> VisibilityHeartbeat:
        return VisibilityHeartbeat(self.sqs, self.visibility_timeout)

    # Sending

    def _put(self, queue: str, message: dict[str, Any], **_kwargs: Any) -> None:
        headers = message.get("headers") or {}
        request: dict[str, Any] = {"MessageBody": self._encode(message)}
        if delay := delay_s(headers.get("eta"), datetime.now(UTC)):
            request["DelaySeconds"] = delay
        url = self._new_queue(queue)
        batch = current_batch()
        if batch is None or is_control_queue(queue):
            self.sqs().send_message(QueueUrl=url, **request)
        else:
            batch.add(self.sqs(), url, str(headers.get("id")), request)

    def _encode(self, message: dict[str, Any]) -> str:
        return str(AsyncMessage().encode(dumps(message)))

    # Receiving

    @property
    def get_message_attributes(self) -> dict[str, Any]:
        """Ask for how often a message was received and when it was sent."""
        return {"MessageAttributeNames": [], "MessageSystemAttributeNames": list(RECEIVED_ATTRIBUTES)}

    def _envelope_payload(self, payload: Any, raw_text: str, message: Any, q_url: str) -> Any:
        enveloped = super()._envelope_payload(payload, raw_text, message, q_url)
        attributes = message.get("Attributes", {}) if isinstance(message, dict) else {}
        if "SentTimestamp" in attributes:
            enveloped.setdefault("headers", {})["sqs"] = {
                "sent_at_s": int(attributes["SentTimestamp"]) / 1000,
                "receive_count": int(attributes["ApproximateReceiveCount"]),
            }
        self._heartbeat.hold(q_url, message["ReceiptHandle"])
        return enveloped

    def asynsqs(self, queue: str | None = None) -> Any:  # noqa: ARG002 - kombu has clients by queue
        """Return the event loop's SQS client, with timeouts."""
        return self._async_client

    @cached_property
    def _async_client(self) -> Any:
        return AsyncSQSConnection(
            sqs_connection=self.sqs(),
            region=self.region,
            message_system_attribute_names=list(RECEIVED_ATTRIBUTES),
            http_client=self._http_client,
        )

    @cached_property
    def _http_client(self) -> TimedCurlClient:
        return client_of(self.hub)

    def _get_async(self, queue: str, *args: Any, **kwargs: Any) -> Any:
        if not is_control_queue(queue):
            self._http_client.open_polls += 1
        return super()._get_async(queue, *args, **kwargs)

    def _on_messages_ready(self, queue: str, qname: str, messages: Any) -> int:
        if not is_control_queue(qname):
            self._http_client.open_polls -= 1
        if not isinstance(messages, dict):  # kombu's word for a request that failed
            self._failed_polls += 1
            return 0
        if self._failed_polls:
            log.info("queue %s answers again", qname)
            self._failed_polls = 0
        if self._ending and not is_control_queue(qname):
            self._release_messages(queue, qname, messages.get("Messages", []))
        if self._ending:
            return 0
        return int(super()._on_messages_ready(queue, qname, messages))

    @property
    def _ending(self) -> bool:
        return bool(self.closed or self._http_client.closing)

    def _loop1(self, queue: str, messages_fetched: Any = None) -> None:
        if self._ending:
            return
        if not self._failed_polls:
            super()._loop1(queue, messages_fetched)
            return
        pause_s = min(MAX_POLL_PAUSE_S, FIRST_POLL_PAUSE_S * 2 ** (self._failed_polls - 1))
        log.warning("queue %s does not answer; trying again in %g s", queue, pause_s)
        self.hub.call_later(pause_s, self._schedule_queue, queue)

    # Finishing

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Acknowledge a message: free its place at once, delete it from SQS with others soon."""
        held = self._held(delivery_tag)
        if held is not None:
            self._heartbeat.release(held[1])
            self._acks.add(*held)
        super(SQS.Channel, self).basic_ack(delivery_tag, multiple)

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Give a message back, at once with `requeue`, else for SQS to count and to move to the dead letters."""
        held = self._held(delivery_tag)
        if held is not None:
            self._heartbeat.release(held[1])
        super().basic_reject(delivery_tag, requeue)

    def _held(self, delivery_tag: str) -> tuple[str, str] | None:
        try:
            info = self.qos.get(delivery_tag).delivery_info
            return info["sqs_queue"], info["sqs_message"]["ReceiptHandle"]
        except KeyError:
            return None

    def _restore(self, message: Any, *_args: Any) -> None:
        info = message.delivery_info
        self._release_messages(info["sqs_queue"], info["routing_key"], [info["sqs_message"]])

    def _release_messages(self, queue: str, qname: str, messages: list[Any]) -> None:
        """Make messages visible to others at once (here one by one: a shutdown returns a handful)."""
        for message in messages:
            self._heartbeat.release(message["ReceiptHandle"])
            try:
                self.sqs().change_message_visibility(
                    QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )
            except (BotoCoreError, ClientError) as error:
                log.warning("a message of %s is back only after its visibility timeout: %s", qname, error)

    def close(self) -> None:
        """Give back what is not finished, send all acknowledgements."""
        super().close()
        if "_acks" in self.__dict__:
            self._acks.flush()
        if "_heartbeat" in self.__dict__:
            self._heartbeat.stop()
