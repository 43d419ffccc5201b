"""What an operator, or a process that tidies up, does with dead letters.

``python -m tasks.sqs.dead_letters list | show ID | redrive ID … | redrive --all | settle``
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from celery.app import app_or_default
from celery.app.utils import find_app
from kombu.exceptions import OperationalError

from tasks.sqs.letters import DeadLetter, DeadLetters

if TYPE_CHECKING:
    from celery import Celery


def settle_dead_letters(app: Celery[Any], queue: str = "", *, known: set[str]) -> list[str]:
    """See that every dead letter of a queue has a result: call this every minute or so, in one process.

    A message that SQS itself moved, when no worker was alive to say so, has none until then.

    Args:
        app: the Celery app that the tasks belong to.
        queue: one of its queues, by default its default queue.
        known: what the calls share; start with an empty set.

    Returns:
        The ids of the tasks whose failure was stored now.

    Raises:
        LookupError: there is no such queue, or it has no dead-letter queue.
        kombu.exceptions.OperationalError: SQS cannot be reached.
        botocore.exceptions.BotoCoreError: SQS cannot be reached.
        botocore.exceptions.ClientError: SQS refuses.
    """
    return DeadLetters(app, queue).settle(known)


def _line(letter: DeadLetter) -> str:
    what = letter.task or "(no task)"
    return f"{letter.id}  {what}  sent {letter.sent_at:%Y-%m-%d %H:%M:%S} UTC  {letter.cause or 'received too often'}"


def _whole(letter: DeadLetter) -> str:
    facts = {
        "id": letter.id,
        "message_id": letter.message_id,
        "sent_at": letter.sent_at.isoformat(),
        "receive_count": letter.receive_count,
        "cause": letter.cause,
        "headers": letter.headers,
        "body": letter.envelope.get("body", letter.body),
    }
    return json.dumps(facts, indent=2)


def _list(letters: DeadLetters) -> str:
    with letters.look() as found:
        return "\n".join([*map(_line, found), f"{len(found)} dead letters"])


def _show(letters: DeadLetters, wanted: str) -> str:
    with letters.look() as found:
        shown = [_whole(letter) for letter in found if letter.id == wanted]
    if not shown:
        raise LookupError(f"there is no dead letter {wanted}")
    return "\n".join(shown)


def _redrive(letters: DeadLetters, ids: Sequence[str], *, every: bool) -> str:
    sent = letters.redrive(None if every else ids)
    if missing := set(ids) - set(sent):
        raise LookupError(f"there is no dead letter {', '.join(sorted(missing))}; sent again: {len(sent)}")
    return "\n".join([*sent, f"{len(sent)} sent again"])


def _settle(letters: DeadLetters) -> str:
    settled = letters.settle(set())
    return "\n".join([*settled, f"{len(settled)} given a result"])


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tasks.sqs.dead_letters", description="Look after dead letters.")
    parser.add_argument("-A", "--app", default=os.environ.get("CELERY_APP"), help="default: celeryconfig.py's")
    parser.add_argument("-Q", "--queue", default="", help="the queue they come from (default: the app's default queue)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="a line for each")
    commands.add_parser("show", help="one, whole").add_argument("id", metavar="ID")
    redrive = commands.add_parser("redrive", help="send them to their queue again")
    redrive.add_argument("ids", nargs="*", metavar="ID")
    redrive.add_argument("--all", action="store_true", help="all of them")
    commands.add_parser("settle", help="store a FAILURE for those whose task has no result")
    chosen = parser.parse_args(argv)
    if chosen.command == "redrive" and bool(chosen.ids) == chosen.all:
        parser.error("redrive takes either IDs or --all")
    return chosen


def main(argv: Sequence[str] | None = None) -> str:
    """Run the command line; return what it prints."""
    chosen = _options(argv)
    app = find_app(chosen.app) if chosen.app else app_or_default()
    try:
        letters = DeadLetters(app, chosen.queue)
        match chosen.command:
            case "show":
                return _show(letters, chosen.id)
            case "redrive":
                return _redrive(letters, chosen.ids, every=chosen.all)
            case "settle":
                return _settle(letters)
            case _:
                return _list(letters)
    except (LookupError, OperationalError, BotoCoreError, ClientError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    print(main())
