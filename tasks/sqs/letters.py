"""The dead letters of an app's queue: looked at, sent again, and given a result.

A look hides the letters from other looks for as long as it lasts, and never deletes one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from celery import states
from kombu.transport.SQS.exceptions import DoesNotExistQueueException

from tasks.sqs.batches import split
from tasks.sqs.burial import CAUSE, RedrivePolicy, redrive_policy
from tasks.sqs.incoming import ATTRIBUTES, UnreadableError, read
from tasks.sqs.poison import PoisonMessage, store_failure
from tasks.sqs.quotas import MAX_BATCH_ENTRIES

if TYPE_CHECKING:
    from celery import Celery
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# Letters are shown again when the look is over, and after this long if it never is.
LOOK_S = 120
# An answer may be empty though there are messages, as SQS asks only some of its servers for a short poll:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
WAIT_S = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeadLetter:
    """A message that no worker could end.

    Attributes:
        envelope: kombu's message; empty if it cannot be read.
        cause: why it is here, as the worker that put it here said; empty if SQS did.
    """

    message_id: str
    receipt_handle: str
    body: str
    sent_at: datetime
    receive_count: int
    envelope: Mapping[str, Any]
    cause: str

    @classmethod
    def of(cls, message: MessageTypeDef) -> Self:
        """Take over what ReceiveMessage returned."""
        try:
            envelope = read(message["Body"])
        except UnreadableError:
            envelope = {}
        attributes = message.get("Attributes", {})
        cause: Mapping[str, Any] = message.get("MessageAttributes", {}).get(CAUSE, {})
        return cls(
            message_id=message["MessageId"],
            receipt_handle=message["ReceiptHandle"],
            body=message["Body"],
            sent_at=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
            receive_count=int(attributes["ApproximateReceiveCount"]),
            envelope=envelope,
            cause=cause.get("StringValue", ""),
        )

    @property
    def headers(self) -> Mapping[str, Any]:
        """The task's headers; empty if the message is no task."""
        headers: Mapping[str, Any] = self.envelope.get("headers", {})
        return headers

    @property
    def task(self) -> str:
        """The task's name; empty if the message is no task."""
        return str(self.headers.get("task") or "")

    @property
    def task_id(self) -> str:
        """The task's id; empty if the message is no task."""
        return str(self.headers.get("id") or "")

    @property
    def id(self) -> str:
        """What the letter is called here: the task's id, else SQS's."""
        return self.task_id or self.message_id


class DeadLetters:
    """The dead letters of one of an app's queues, by default of its default queue.

    Raises:
        LookupError: there is no such queue, or it has no dead-letter queue.
    """

    def __init__(self, app: Celery[Any], queue: str = "") -> None:
        self._app = app
        with app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            self._sqs: SQSClient = channel.sqs()
            try:
                self._url: str = channel._new_queue(queue or app.conf.task_default_queue)  # noqa: SLF001 - kombu has no public name for it
            except DoesNotExistQueueException as error:
                raise LookupError(str(error)) from error
        policy = redrive_policy(self._sqs, self._url)
        if policy is None:
            raise LookupError(f"queue {self._url.rpartition('/')[2]} has no dead-letter queue")
        self._policy: RedrivePolicy = policy

    @contextmanager
    def look(self) -> Iterator[list[DeadLetter]]:
        """Yield all letters; those that are still in the list afterwards are shown to others again."""
        letters: dict[str, DeadLetter] = {}
        while new := [letter for letter in self._receive() if letter.message_id not in letters]:
            letters |= {letter.message_id: letter for letter in new}
        found = list(letters.values())
        try:
            yield found
        finally:
            self._show(found)

    def _receive(self) -> list[DeadLetter]:
        answer = self._sqs.receive_message(
            QueueUrl=self._policy.dead_letter_url,
            MaxNumberOfMessages=MAX_BATCH_ENTRIES,
            VisibilityTimeout=LOOK_S,
            WaitTimeSeconds=WAIT_S,
            MessageSystemAttributeNames=list(ATTRIBUTES),
            MessageAttributeNames=[CAUSE],
        )
        return [DeadLetter.of(message) for message in answer.get("Messages", [])]

    def _show(self, letters: list[DeadLetter]) -> None:
        for part in split(letters):
            entries: Any = [
                {"Id": str(number), "ReceiptHandle": letter.receipt_handle, "VisibilityTimeout": 0}
                for number, letter in enumerate(part)
            ]
            answer = self._sqs.change_message_visibility_batch(QueueUrl=self._policy.dead_letter_url, Entries=entries)
            for failure in answer.get("Failed", []):
                log.warning("a dead letter is hidden for up to %d s more: %s", LOOK_S, failure.get("Message", ""))

    def redrive(self, ids: Collection[str] | None) -> list[str]:
        """Send letters (all of them for None) to their queue again, without the results that said they failed.

        Returns:
            The ids of those sent.
        """
        sent = []
        with self.look() as letters:
            for letter in list(letters):
                if ids is None or letter.id in ids:
                    self._send_again(letter)
                    letters.remove(letter)
                    sent.append(letter.id)
        return sent

    def _send_again(self, letter: DeadLetter) -> None:
        if letter.task_id and self._app.backend.get_state(letter.task_id) != states.SUCCESS:
            self._app.AsyncResult(letter.task_id).forget()
        self._sqs.send_message(QueueUrl=self._url, MessageBody=letter.body)
        self._sqs.delete_message(QueueUrl=self._policy.dead_letter_url, ReceiptHandle=letter.receipt_handle)

    def settle(self, known: set[str]) -> list[str]:
        """Store a FAILURE for each letter whose task has not ended; the letters stay.

        Args:
            known: message ids of letters that need no second look; those settled now are added.

        Returns:
            The ids of the tasks whose failure was stored.
        """
        settled = []
        with self.look() as letters:
            for letter in letters:
                if letter.task_id and letter.message_id not in known:
                    error = (
                        PoisonMessage(letter.cause) if letter.cause else PoisonMessage.after(self._policy.max_receives)
                    )
                    if store_failure(self._app, letter.envelope, error) not in states.READY_STATES:
                        settled.append(letter.task_id)
                known.add(letter.message_id)
            known &= {letter.message_id for letter in letters}
        return settled
