"""Looks at the dead letters of an app's queue, sends them again, and sees that each has a result.

``python -m tasks.sqs.dead_letters list | show ID | redrive ID … | redrive --all | settle``
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from celery import states
from celery.app.utils import find_app
from kombu.asynchronous.aws.sqs.message import AsyncMessage
from kombu.utils.json import loads

from tasks.sqs.poison import PoisonMessage
from tasks.sqs.quotas import MAX_BATCH_ENTRIES

if TYPE_CHECKING:
    from celery import Celery
    from mypy_boto3_sqs import SQSClient

# A look hides a letter from other looks for this long at most; it is shown again as soon as the look is over.
LOOK_S = 60


@dataclass(frozen=True)
class DeadLetter:
    """A message that no worker survived or that could not be read."""

    message_id: str
    receipt_handle: str
    body: str
    sent_at: datetime
    receive_count: int
    headers: dict[str, Any]

    @property
    def task_id(self) -> str:
        """The task's id; empty if the message is no task."""
        return str(self.headers.get("id", ""))

    @property
    def id(self) -> str:
        """What the letter is called here: the task's id, else SQS's."""
        return self.task_id or self.message_id


class DeadLetters:
    """The dead letters of an app's default queue."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._queue = str(app.conf.task_default_queue)

    @contextmanager
    def look(self) -> Iterator[tuple[Any, list[DeadLetter]]]:
        """Yield the channel and all dead letters, hidden from others meanwhile; those left in the list are shown again."""
        with self._app.connection_for_read() as connection:
            channel = connection.default_channel
            sqs, url = channel.sqs(), self._url(channel)
            letters: dict[str, DeadLetter] = {}
            while batch := _receive(sqs, url):
                letters |= {letter.message_id: letter for letter in batch}
            found = list(letters.values())
            try:
                yield channel, found
            finally:
                for letter in found:
                    sqs.change_message_visibility(
                        QueueUrl=url, ReceiptHandle=letter.receipt_handle, VisibilityTimeout=0
                    )

    def redrive(self, ids: list[str] | None) -> list[str]:
        """Send letters (all of them for None) to the queue again; return the ids of those sent."""
        sent = []
        with self.look() as (channel, letters):
            for letter in list(letters):
                if ids is None or letter.id in ids:
                    channel.sqs().send_message(QueueUrl=channel._new_queue(self._queue), MessageBody=letter.body)  # noqa: SLF001 - our own
                    channel.sqs().delete_message(QueueUrl=self._url(channel), ReceiptHandle=letter.receipt_handle)
                    sent.append(letter.id)
                    letters.remove(letter)
        return sent

    def settle(self) -> list[str]:
        """Store a FAILURE for each letter whose task has no result yet; return their ids. The letters stay."""
        settled = []
        with self.look() as (_, letters):
            for letter in letters:
                if letter.task_id and self._app.backend.get_state(letter.task_id) in states.UNREADY_STATES:
                    error = PoisonMessage(f"Received {letter.receive_count} times and never finished.")
                    self._app.backend.mark_as_failure(letter.task_id, error)
                    settled.append(letter.id)
        return settled

    def _url(self, channel: Any) -> str:
        source = channel._new_queue(self._queue)  # noqa: SLF001 - our own
        answer = channel.sqs().get_queue_attributes(QueueUrl=source, AttributeNames=["RedrivePolicy"])
        policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "{}"))
        if not policy:
            raise LookupError(f"queue {self._queue} has no dead-letter queue")
        name = str(policy["deadLetterTargetArn"]).rpartition(":")[2]
        return str(channel.sqs().get_queue_url(QueueName=name)["QueueUrl"])


def _receive(sqs: SQSClient, url: str) -> list[DeadLetter]:
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=MAX_BATCH_ENTRIES,
        VisibilityTimeout=LOOK_S,
        WaitTimeSeconds=1,
        MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
    )
    return [_read(message) for message in answer.get("Messages", [])]


def _read(message: Any) -> DeadLetter:
    try:
        headers = loads(AsyncMessage(body=message["Body"]).decode()).get("headers") or {}
    except (ValueError, AttributeError):
        headers = {}
    attributes = message["Attributes"]
    return DeadLetter(
        message_id=message["MessageId"],
        receipt_handle=message["ReceiptHandle"],
        body=message["Body"],
        sent_at=datetime.fromtimestamp(int(attributes["SentTimestamp"]) / 1000, UTC),
        receive_count=int(attributes["ApproximateReceiveCount"]),
        headers=headers,
    )


def _print_list(letters: list[DeadLetter]) -> None:
    for letter in letters:
        print(f"{letter.id}  {letter.headers.get('task', '(no task)')}  sent {letter.sent_at:%Y-%m-%d %H:%M:%S} UTC")
    print(f"{len(letters)} dead letters")


def _show(letters: list[DeadLetter], wanted: str) -> int:
    found = [letter for letter in letters if letter.id == wanted]
    for letter in found:
        shown = {"id": letter.id, "sent_at": letter.sent_at.isoformat(), "receive_count": letter.receive_count}
        print(json.dumps({**shown, "headers": letter.headers, "body": letter.body}, indent=2))
    if not found:
        print(f"error: no dead letter {wanted}", file=sys.stderr)
    return 0 if found else 1


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tasks.sqs.dead_letters", description=__doc__)
    parser.add_argument("-A", "--app", default="tasks.app", help="the Celery app, as for `celery -A` (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="a line for each")
    commands.add_parser("show", help="one, whole").add_argument("id")
    redrive = commands.add_parser("redrive", help="send them to the queue again")
    redrive.add_argument("ids", nargs="*", metavar="ID")
    redrive.add_argument("--all", action="store_true")
    commands.add_parser("settle", help="store a FAILURE for those that have no result")
    options = parser.parse_args(argv)
    if options.command == "redrive" and bool(options.ids) == options.all:
        parser.error("redrive takes either ids or --all")
    letters = DeadLetters(find_app(options.app))
    if options.command == "redrive":
        print("\n".join(["sent again:", *letters.redrive(None if options.all else options.ids)]))
        return 0
    if options.command == "settle":
        print("\n".join(["settled:", *letters.settle()]))
        return 0
    with letters.look() as (_, found):
        if options.command == "show":
            return _show(found, options.id)
        _print_list(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
