"""Sends many task messages in few requests, and tells which of them were not taken."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from kombu.asynchronous.aws.sqs.message import AsyncMessage
from kombu.exceptions import EncodeError
from kombu.utils.json import dumps

from tasks.sqs.batches import split
from tasks.sqs.delay import DelayTooLongError, delay_s
from tasks.sqs.incoming import HEADER

if TYPE_CHECKING:
    from celery import Celery
    from mypy_boto3_sqs import SQSClient

# How often an entry is sent that SQS failed to take, though nothing is wrong with it.
ATTEMPTS = 3
PAUSE_S = 0.2
# Parameters of SendMessage that a task's caller may set: `task.apply_async(MessageGroupId=...)`.
PASSED_ON = ("DelaySeconds", "MessageGroupId", "MessageDeduplicationId")


class SendError(Exception):
    """A message was not taken; the text says why."""


class BatchSendError(Exception):
    """Messages of a batch were not taken.

    Attributes:
        errors: by task id.
    """

    def __init__(self, errors: Mapping[str, SendError]) -> None:
        super().__init__(f"{len(errors)} messages were not sent, the first because: {next(iter(errors.values()))}")
        self.errors = dict(errors)


@dataclass(frozen=True)
class Call:
    """A task to send."""

    task: str
    task_id: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)
    countdown: float | None = None


def request(message: Mapping[str, Any], now: datetime, *, in_base64: bool) -> dict[str, Any]:
    """Return the SendMessage request, but for its queue, that carries kombu's message. Pure.

    SQS keeps the message until its ETA; the message itself has none, so that no worker waits for it again.

    Raises:
        DelayTooLongError: its ETA is farther away than SQS holds a message back.
    """
    headers, properties = dict(message.get("headers") or {}), dict(message["properties"])
    headers.pop(HEADER, None)  # of the receipt that a retry comes from
    sent: dict[str, Any] = {name: properties[name] for name in PASSED_ON if name in properties}
    if attributes := properties.pop("message_attributes", None):
        sent["MessageAttributes"] = attributes
    if delay := delay_s(headers.get("eta"), now):
        sent["DelaySeconds"] = delay
    if headers.get("eta"):
        headers["eta"] = None
    text = dumps({**message, "headers": headers, "properties": properties})
    sent["MessageBody"] = AsyncMessage().encode(text) if in_base64 else text
    return sent


@dataclass(frozen=True)
class Entry:
    """A message that waits to be sent with others."""

    task_id: str
    queue_url: str
    request: Mapping[str, Any]

    @property
    def size_bytes(self) -> int:
        """What the entry counts towards SQS's limit: its body and its attributes' names, types and values."""
        attributes = self.request.get("MessageAttributes", {})
        values = (str(part) for name, value in attributes.items() for part in (name, *value.values()))
        return len(self.request["MessageBody"].encode()) + sum(len(value.encode()) for value in values)


class PublishBatch:
    """What `kombu.Producer.batch` collects messages in: they are sent when it ends, or whenever `max_size` wait."""

    def __init__(self, channel: Any, max_size: int) -> None:
        self.channel = channel
        self._max_size = max_size
        self._entries: list[Entry] = []
        self._errors: dict[str, SendError] = {}

    def publish(self, message: dict[str, Any], **options: Any) -> None:
        """Route a message; its queue's channel then calls `add`."""
        self.channel.basic_publish(message, publish_batch=self, **options)

    def add(self, client: SQSClient, entry: Entry) -> None:
        """Take a message for sending."""
        self._entries.append(entry)
        if len(self._entries) >= self._max_size:
            self._errors |= send(client, self._take())

    def flush(self) -> None:
        """Send all.

        Raises:
            BatchSendError: some were not taken, now or before.
        """
        if self._entries:
            self._errors |= send(self.channel.sqs(), self._take())
        errors, self._errors = self._errors, {}
        if errors:
            raise BatchSendError(errors)

    def discard(self) -> None:
        """Forget what was not sent yet."""
        self._take()

    def close(self) -> None:
        """Do nothing: there is nothing to free."""

    def _take(self) -> list[Entry]:
        entries, self._entries = self._entries, []
        return entries


def send(client: SQSClient, entries: Sequence[Entry]) -> dict[str, SendError]:
    """Send messages in as few requests as SQS's limits allow; return the errors of those not taken, by task id."""
    errors: dict[str, SendError] = {}
    for queue_url in dict.fromkeys(entry.queue_url for entry in entries):
        of_queue = [entry for entry in entries if entry.queue_url == queue_url]
        for part in split(of_queue, [entry.size_bytes for entry in of_queue]):
            errors |= _send_batch(client, queue_url, part)
    return errors


def _send_batch(client: SQSClient, queue_url: str, part: list[Entry]) -> dict[str, SendError]:
    errors: dict[str, SendError] = {}
    for attempt in range(ATTEMPTS):
        requests: Any = [{"Id": str(number), **entry.request} for number, entry in enumerate(part)]
        try:
            failed = client.send_message_batch(QueueUrl=queue_url, Entries=requests).get("Failed", [])
        except (BotoCoreError, ClientError) as error:  # boto3 has tried several times
            return errors | {entry.task_id: SendError(str(error)) for entry in part}
        for failure in failed:
            errors[part[int(failure["Id"])].task_id] = SendError(f"{failure['Code']}: {failure.get('Message', '')}")
        part = [part[int(failure["Id"])] for failure in failed if not failure["SenderFault"]]
        if not part or attempt == ATTEMPTS - 1:
            break
        for entry in part:
            del errors[entry.task_id]
        time.sleep(PAUSE_S * (attempt + 1))
    return errors


def send_many(app: Celery[Any], calls: Sequence[Call], *, queue: str) -> list[SendError | None]:
    """Send tasks with as few SendMessageBatch requests as SQS's limits allow; safe in several threads.

    Returns:
        For each call, in order, None if it was sent, else why it was not.

    Raises:
        kombu.exceptions.OperationalError: SQS cannot be reached at all; nothing was sent.
        botocore.exceptions.ClientError: SQS refuses to tell the queue's URL; nothing was sent.
    """
    errors: dict[str, SendError] = {}
    with app.producer_or_acquire() as producer:
        try:
            with producer.batch():
                declares = True
                for call in calls:
                    try:
                        _send_one(app, call, queue, producer, declares=declares)
                    except (DelayTooLongError, EncodeError) as error:
                        errors[call.task_id] = SendError(str(error))
                    else:
                        declares = False
        except BatchSendError as error:
            errors |= error.errors
    return [errors.get(call.task_id) for call in calls]


def _send_one(app: Celery[Any], call: Call, queue: str, producer: Any, *, declares: bool) -> None:
    app.send_task(
        call.task,
        call.args,
        dict(call.kwargs),
        task_id=call.task_id,
        queue=queue,
        headers=dict(call.headers),
        countdown=call.countdown,
        producer=producer,
        # kombu copies and compares the queue for this; a batch's first one finds out whether SQS can be reached.
        declare=None if declares else (),
    )
