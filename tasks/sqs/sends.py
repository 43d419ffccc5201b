"""Sends many task messages in few requests, and tells which of them were not taken."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from tasks.sqs.batches import split

if TYPE_CHECKING:
    from celery import Celery
    from mypy_boto3_sqs import SQSClient


class SendError(Exception):
    """A message was not taken by SQS; the message says why."""


@dataclass(frozen=True)
class Call:
    """A task to send."""

    task: str
    task_id: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    task_id: str
    queue_url: str
    request: Mapping[str, Any]

    @property
    def size_bytes(self) -> int:
        return len(self.request["MessageBody"].encode())


class Batch:
    """Messages that wait to be sent together."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._client: SQSClient | None = None

    def add(self, client: SQSClient, queue_url: str, task_id: str, request: Mapping[str, Any]) -> None:
        """Take one SendMessage request, without its queue."""
        self._client = client
        self._entries.append(_Entry(task_id, queue_url, request))

    def send(self) -> dict[str, SendError]:
        """Send all; return the errors of those not taken, by task id."""
        errors: dict[str, SendError] = {}
        for queue_url in dict.fromkeys(entry.queue_url for entry in self._entries):
            entries = [entry for entry in self._entries if entry.queue_url == queue_url]
            for part in split(entries, [entry.size_bytes for entry in entries]):
                errors |= self._send_batch(queue_url, part)
        return errors

    def _send_batch(self, queue_url: str, part: list[_Entry]) -> dict[str, SendError]:
        requests = [{"Id": str(number), **entry.request} for number, entry in enumerate(part)]
        assert self._client is not None  # noqa: S101 - there is no entry without a client
        try:
            answer = self._client.send_message_batch(QueueUrl=queue_url, Entries=requests)  # type: ignore[arg-type]  # dicts of the right shape
        except (BotoCoreError, ClientError) as error:
            return {entry.task_id: SendError(str(error)) for entry in part}
        return {
            part[int(failure["Id"])].task_id: SendError(f"{failure['Code']}: {failure.get('Message', '')}")
            for failure in answer.get("Failed", [])
        }


_collecting: ContextVar[Batch | None] = ContextVar("collecting", default=None)


def current_batch() -> Batch | None:
    """Return the batch that this thread collects messages for, if it does."""
    return _collecting.get()


@contextlib.contextmanager
def _collect() -> Iterator[Batch]:
    batch = Batch()
    token = _collecting.set(batch)
    try:
        yield batch
    finally:
        _collecting.reset(token)


def send_many(app: Celery[Any], calls: Sequence[Call], *, queue: str) -> list[SendError | None]:
    """Send tasks with as few SendMessageBatch requests as SQS's limits allow; safe in several threads.

    Returns:
        For each call, in order, None if it was sent, else why it was not.

    Raises:
        kombu.exceptions.OperationalError: SQS cannot be reached at all; nothing was sent.
    """
    with _collect() as batch, app.producer_or_acquire() as producer:
        for call in calls:
            app.send_task(
                call.task,
                call.args,
                dict(call.kwargs),
                task_id=call.task_id,
                queue=queue,
                headers=dict(call.headers),
                producer=producer,
            )
    errors = batch.send()
    return [errors.get(call.task_id) for call in calls]
