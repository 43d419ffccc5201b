"""Removes the control queues and subscriptions of nodes and clients that died: ``python -m tasks.sqs.sweep``.

A live owner says so in a tag of its queue every five minutes. The sweep removes a queue whose owner has been silent
for half an hour, six times as long; what it cannot tell it leaves. Should a live owner's queue go all the same, after
a pause of the whole machine for instance, the owner notices and makes another. On its way out a node that is shut
down cleanly removes its own.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from celery.app import app_or_default
from celery.app.utils import find_app

from tasks.sqs.control_channel import ControlChannel
from tasks.sqs.control_plane import ControlPlane
from tasks.sqs.control_queues import ALIVE_INTERVAL_S, ALIVE_TAG, OWNER_TAG, is_missing
from tasks.sqs.names import Kind, QueueName, parse

if TYPE_CHECKING:
    from celery import Celery

OLDER_THAN_S = 1800
# Two marks of life may go wrong before an owner counts as dead.
MIN_OLDER_THAN_S = int(2 * ALIVE_INTERVAL_S)


@dataclass(frozen=True)
class Found:
    """A control queue, and what its tags say: its owner, and when that was last alive (None: unreadable)."""

    name: QueueName
    url: str
    owner: str
    alive_at_s: int | None


@dataclass(frozen=True)
class Swept:
    """What was removed, or would be."""

    queues: tuple[Found, ...]
    subscriptions: tuple[str, ...]


class SweepError(Exception):
    """The sweep cannot run; the message says why."""


def orphans(found: Sequence[Found], now_s: float, older_than_s: float) -> list[Found]:
    """Return the queues whose owner has been silent for too long; one whose tag cannot be read is not among them."""
    return [queue for queue in found if queue.alive_at_s is not None and now_s - queue.alive_at_s > older_than_s]


def of_node(found: Sequence[Found], node: str) -> list[Found]:
    """Return the inboxes of a node, named as Celery does (``worker@host``) or by its host alone."""
    return [
        queue
        for queue in found
        if queue.name.kind is Kind.NODE and (queue.owner == node or queue.owner.rpartition("@")[2] == node)
    ]


def dangling(
    subscriptions: Mapping[str, str], queue_names: set[str], prefix: str, now_s: float, older_than_s: float
) -> list[str]:
    """Return the subscriptions, of those given with the ARN of their queue, whose queue is gone.

    A queue that was made a moment ago may not be listed yet, so the start in its name must be long past too.
    """
    orphaned = []
    for subscription_arn, endpoint in subscriptions.items():
        name = endpoint.rpartition(":")[2]
        parsed = parse(name, prefix)
        if parsed is not None and name not in queue_names and now_s - parsed.started_at_s > older_than_s:
            orphaned.append(subscription_arn)
    return orphaned


def sweep(app: Celery, *, older_than_s: float = OLDER_THAN_S, dry_run: bool = False) -> Swept:
    """Remove the queues of owners that have been silent for `older_than_s`, and subscriptions without a queue.

    Raises:
        SweepError: the app uses another transport.
        botocore.exceptions.BotoCoreError: AWS cannot be reached.
        botocore.exceptions.ClientError: AWS refuses.
    """
    with _plane(app) as plane:
        now_s = time.time()
        # Subscriptions first: a queue that is made meanwhile is then in the list of queues for sure.
        subscriptions = plane.topics.subscriptions()
        urls = dict(_control_queues(plane))
        found = [_found(plane, name, url) for name, url in urls.items() if now_s - name.started_at_s > older_than_s]
        dead = orphans(found, now_s, older_than_s)
        names = {str(name) for name in urls} - {str(queue.name) for queue in dead}
        swept = Swept(tuple(dead), tuple(dangling(subscriptions, names, plane.prefix, now_s, older_than_s)))
        if not dry_run:
            _remove(plane, swept)
        return swept


def sweep_node(app: Celery, node: str) -> Swept:
    """Remove at once the queues and subscriptions of a node that is known to be dead.

    Raises:
        SweepError: the app uses another transport.
        botocore.exceptions.BotoCoreError: AWS cannot be reached.
        botocore.exceptions.ClientError: AWS refuses.
    """
    with _plane(app) as plane:
        urls = [(name, url) for name, url in _control_queues(plane) if name.kind is Kind.NODE]
        dead = of_node([_found(plane, name, url) for name, url in urls], node)
        names = {str(queue.name) for queue in dead}
        subscriptions = plane.topics.subscriptions() if dead else {}
        theirs = [arn for arn, endpoint in subscriptions.items() if endpoint.rpartition(":")[2] in names]
        swept = Swept(tuple(dead), tuple(theirs))
        _remove(plane, swept)
        return swept


@contextmanager
def _plane(app: Celery) -> Iterator[ControlPlane]:
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        if not isinstance(channel, ControlChannel):
            raise SweepError(f"{app.main or 'this app'} does not use this transport; name another app with -A")
        yield channel.plane


def _control_queues(plane: ControlPlane) -> Iterator[tuple[QueueName, str]]:
    pages = plane.sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=f"{plane.prefix}_", PaginationConfig={"PageSize": 1000}
    )
    for page in pages:
        for url in page.get("QueueUrls", []):
            name = parse(url.rpartition("/")[2], plane.prefix)
            if name is not None:
                yield name, url


def _found(plane: ControlPlane, name: QueueName, url: str) -> Found:
    try:
        tags = plane.sqs.list_queue_tags(QueueUrl=url).get("Tags", {})
    except ClientError as error:
        if not is_missing(error):
            raise
        return Found(name, url, name.owner, None)
    alive = tags.get(ALIVE_TAG, "")
    return Found(name, url, tags.get(OWNER_TAG, name.owner), int(alive) if alive.isdecimal() else None)


def _remove(plane: ControlPlane, swept: Swept) -> None:
    for subscription_arn in swept.subscriptions:
        plane.topics.unsubscribe(subscription_arn)
    for queue in swept.queues:
        try:
            plane.sqs.delete_queue(QueueUrl=queue.url)
        except ClientError as error:
            if not is_missing(error):
                raise


def main(argv: Sequence[str] | None = None) -> None:
    """Sweep, and print a line for each thing removed.

    Raises:
        SystemExit: with a line that says why, if it cannot be done.
    """
    parser = argparse.ArgumentParser(prog="python -m tasks.sqs.sweep", description=sweep.__doc__)
    parser.add_argument("-A", "--app", default=os.environ.get("CELERY_APP"), help="default: celeryconfig.py's")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be removed and leave it")
    parser.add_argument("--older-than-s", type=int, default=OLDER_THAN_S, help=f"default: {OLDER_THAN_S}")
    chosen = parser.parse_args(argv)
    if chosen.older_than_s < MIN_OLDER_THAN_S:
        parser.error(f"--older-than-s {chosen.older_than_s}: live owners are silent for up to {MIN_OLDER_THAN_S} s")
    try:
        app = find_app(chosen.app) if chosen.app else app_or_default()
        swept = sweep(app, older_than_s=chosen.older_than_s, dry_run=chosen.dry_run)
    except (SweepError, BotoCoreError, ClientError) as error:
        raise SystemExit(f"error: {error}") from None
    verb = "would remove" if chosen.dry_run else "removed"
    lines = [f"{verb} queue {queue.name} of {queue.owner}, last alive {_time(queue)}" for queue in swept.queues]
    lines += [f"{verb} subscription {arn}" for arn in swept.subscriptions]
    lines.append(f"{verb} {len(swept.queues)} queues and {len(swept.subscriptions)} subscriptions")
    sys.stdout.write("\n".join(lines) + "\n")


def _time(queue: Found) -> str:
    return datetime.fromtimestamp(queue.alive_at_s or 0, UTC).isoformat(timespec="seconds")


if __name__ == "__main__":
    main()
