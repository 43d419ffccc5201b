"""What the queues and topics of remote control and events are called in AWS, and what a name tells. Pure.

``<prefix>_<kind>_<owner>_<start>-<token>`` is a queue that lives as long as its owner, for instance
``classifier_node_worker-i-0a1b2c_20261121T041500-9f3c2a``; ``<prefix>_<exchange>`` is a topic. The prefix keeps two
deployments in one account apart: it holds no underscore, so ``blue`` is never taken for ``blue-2``. The start and the
token make a name unique: AWS refuses the name of a deleted queue for 60 seconds, and a worker that is restarted at
once must not wait for that
(https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
MAX_QUEUE_NAME_CHARS = 80
MAX_PREFIX_CHARS = 20
# What is left of 80 for the owner: 20 for the prefix, 7 for the kind, 22 for start and token, 3 underscores.
MAX_OWNER_CHARS = 28
DIGEST_CHARS = 6
TOKEN_BYTES = 3
START_FORMAT = "%Y%m%dT%H%M%S"
EVENTS_EXCHANGE = "celeryev"
PIDBOX = ".pidbox"
# Celery's name, unless its setting `control_exchange` says otherwise.
COMMANDS_EXCHANGE = f"celery{PIDBOX}"
REPLY = "reply."

_PREFIX = re.compile(rf"[A-Za-z][A-Za-z0-9-]{{0,{MAX_PREFIX_CHARS - 1}}}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]+")
_QUEUE = re.compile(r"(?P<kind>[a-z]+)_(?P<owner>[A-Za-z0-9-]+)_(?P<start>\d{8}T\d{6})-(?P<token>[0-9a-f]+)")


class Kind(StrEnum):
    """What a queue of remote control or events is for."""

    NODE = "node"  # a worker's inbox of control commands
    REPLIES = "replies"  # a client's inbox of replies
    EVENTS = "events"  # a subscriber's inbox of events


@dataclass(frozen=True)
class QueueName:
    """The parts of a control queue's name in SQS."""

    prefix: str
    kind: Kind
    owner: str
    started_at_s: int
    token: str

    def __str__(self) -> str:
        start = datetime.fromtimestamp(self.started_at_s, UTC).strftime(START_FORMAT)
        return f"{self.prefix}_{self.kind}_{self.owner}_{start}-{self.token}"


def checked_prefix(prefix: str) -> str:
    """Return the prefix.

    Raises:
        ValueError: it is too long, or holds characters that would make names ambiguous.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"control_prefix: use a letter, then letters, digits and hyphens, {MAX_PREFIX_CHARS} at most (got {prefix!r})"
        )
    return prefix


def new_name(prefix: str, kind: Kind, owner: str, now_s: float) -> QueueName:
    """Return a name that no queue had before."""
    return QueueName(prefix, kind, slug(owner), int(now_s), secrets.token_hex(TOKEN_BYTES))


def parse(name: str, prefix: str) -> QueueName | None:
    """Return the parts of a control queue's name; None for any other queue, other deployments' included."""
    if not name.startswith(f"{prefix}_"):
        return None
    match = _QUEUE.fullmatch(name.removeprefix(f"{prefix}_"))
    if match is None or match["kind"] not in set(Kind):
        return None
    try:
        started_at = datetime.strptime(match["start"], START_FORMAT).replace(tzinfo=UTC)
    except ValueError:  # eight digits that are no date: not a name of ours
        return None
    return QueueName(prefix, Kind(match["kind"]), match["owner"], int(started_at.timestamp()), match["token"])


def slug(owner: str) -> str:
    """Return an owner as it stands in a name; a long one is cut and told apart by a digest.

    >>> slug("worker1@i-0a1b2c")
    'worker1-i-0a1b2c'
    """
    plain = _NOT_IN_NAMES.sub("-", owner).strip("-") or "unnamed"
    if len(plain) <= MAX_OWNER_CHARS:
        return plain
    digest = hashlib.sha256(owner.encode()).hexdigest()[:DIGEST_CHARS]
    return f"{plain[: MAX_OWNER_CHARS - DIGEST_CHARS - 1]}-{digest}"


def topic_name(prefix: str, exchange: str) -> str:
    """Return the name of an exchange's topic.

    >>> topic_name("blue", "celery.pidbox")
    'blue_celery-pidbox'
    """
    return f"{prefix}_{_NOT_IN_NAMES.sub('-', exchange)}"


def is_control_exchange(exchange: str) -> bool:
    """Tell whether an exchange carries control commands, replies or events rather than tasks."""
    return exchange.endswith(PIDBOX) or exchange == EVENTS_EXCHANGE


def is_reply_exchange(exchange: str) -> bool:
    """Tell whether an exchange carries replies to control commands."""
    return exchange.startswith(REPLY) and exchange.endswith(PIDBOX)


def kind_of(queue: str) -> Kind | None:
    """Return the kind of a queue by Celery's name for it; None for a queue of tasks."""
    if queue.endswith(PIDBOX):
        return Kind.REPLIES if f".{REPLY}" in queue else Kind.NODE
    return Kind.EVENTS if queue.startswith(f"{EVENTS_EXCHANGE}.") else None


def is_control_queue(queue: str) -> bool:
    """Tell whether a queue, by Celery's name for it, is one of remote control or events."""
    return kind_of(queue) is not None


def node_of(queue: str) -> str:
    """Return the node whose inbox this is, by Celery's name for the queue.

    >>> node_of("worker1@ip-10-0-0-7.ec2.internal.celery.pidbox")
    'worker1@ip-10-0-0-7.ec2.internal'
    """
    return queue.rsplit(".", 2)[0]


def reply_queue(exchange: str, routing_key: str) -> str:
    """Return Celery's name for a client's queue of replies, which kombu binds in the client's memory alone."""
    return f"{routing_key}.{exchange}"
