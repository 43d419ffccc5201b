"""What a message from SQS says: a task's envelope, or nothing that can be read. Pure but for kombu's decoding."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu.transport import virtual
from kombu.utils.json import loads

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import MessageSystemAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageTypeDef

ATTRIBUTES: tuple[MessageSystemAttributeNameType, ...] = ("ApproximateReceiveCount", "SentTimestamp")
# Where a task finds, as `self.request.sqs`, how often its message was received and when it was sent.
HEADER = "sqs"


class UnreadableError(ValueError):
    """A message that no Celery client can have sent; the text says what is wrong with it."""


@dataclass(frozen=True)
class Incoming:
    """A message as it was received."""

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_at_s: float

    @classmethod
    def of(cls, message: MessageTypeDef) -> Incoming:
        """Take over what ReceiveMessage returned."""
        attributes = message.get("Attributes", {})
        return cls(
            message_id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            body=message["Body"],
            receive_count=int(attributes["ApproximateReceiveCount"]),
            sent_at_s=int(attributes["SentTimestamp"]) / 1000,
        )

    def envelope(self) -> dict[str, Any]:
        """Return kombu's message with SQS's facts in it.

        Raises:
            UnreadableError: this is no message of kombu's.
        """
        envelope = read(self.body)
        headers, properties = envelope["headers"], envelope["properties"]
        headers[HEADER] = {"receive_count": self.receive_count, "sent_at_s": self.sent_at_s}
        properties["delivery_tag"] = self.receipt_handle
        properties["delivery_info"]["redelivered"] = self.receive_count > 1
        return envelope


def read(body: str) -> dict[str, Any]:
    """Return the envelope that a message's body holds, as JSON or as base64 of it, with its own body in plain text.

    Raises:
        UnreadableError: this is no message of kombu's.
    """
    envelope = _loaded(body)
    if not isinstance(envelope, dict):
        raise UnreadableError(f"a JSON {type(envelope).__name__}, not an object")
    for name, wanted in (("headers", Mapping), ("properties", Mapping), ("body", str)):
        if not isinstance(envelope.get(name), wanted):
            raise UnreadableError(f"{name!r} is missing or no {wanted.__name__}")
    properties = envelope["properties"]
    delivery_info = properties.get("delivery_info") or {}
    if not isinstance(delivery_info, Mapping):
        raise UnreadableError("'delivery_info' is no Mapping")
    properties["delivery_info"] = dict(delivery_info)
    if properties.pop("body_encoding", None) == "base64":
        try:
            envelope["body"] = base64.b64decode(envelope["body"], validate=True).decode()
        except ValueError as error:
            raise UnreadableError(f"its body is no base64 of text: {error}") from error
    return envelope


def _loaded(body: str) -> Any:
    try:
        return loads(body if body.lstrip().startswith("{") else base64.b64decode(body, validate=True))
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"neither JSON nor base64 of it: {error}") from error
    except Exception as error:  # what kombu's decoders of dates, decimals and bytes raise
        raise UnreadableError(f"a value in it is none of kombu's: {error!r}") from error


class TaskMessage(virtual.Message):
    """A message that is rejected, so that it ends as a dead letter, where Celery acknowledges what it cannot decode."""

    _undecodable = False

    def _decode(self) -> Any:
        try:
            return super()._decode()
        except Exception:
            self._undecodable = True
            raise

    def ack(self, multiple: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Acknowledge the message, or reject it if it could not be decoded."""
        if self._undecodable or self.errors:
            self.reject()
        else:
            super().ack(multiple)
