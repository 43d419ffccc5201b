"""What the queues and topics of remote control and events are called in AWS, and what a name tells.

``<prefix>-<node>-celery-pidbox-<token>`` a node's control queue; ``<prefix>-<uuid>-reply-celery-pidbox`` a client's
queue of replies; ``<prefix>-celeryev-receiver-<uuid>`` a subscriber's queue of events; ``<prefix>-celery-pidbox`` and
``<prefix>-celeryev`` the topics. Pure: knows no AWS.
"""

from __future__ import annotations

import hashlib

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queues.html
MAX_QUEUE_NAME_CHARS = 80
DIGEST_CHARS = 8
EVENTS_EXCHANGE = "celeryev"
PIDBOX = ".pidbox"
REPLY = "reply."


def is_control_exchange(exchange: str) -> bool:
    """Tell whether an exchange carries control messages, replies or events rather than tasks."""
    return exchange.endswith(PIDBOX) or exchange.startswith(EVENTS_EXCHANGE)


def is_control_queue(queue: str) -> bool:
    """Tell whether a queue, by Celery's name for it, is one of remote control or events."""
    return queue.endswith(PIDBOX) or queue.startswith(EVENTS_EXCHANGE)


def is_reply_queue(queue: str) -> bool:
    """Tell whether a queue, by Celery's name for it, holds the replies to one client."""
    return queue.endswith(PIDBOX) and f".{REPLY}" in queue


def is_node_queue(queue: str) -> bool:
    """Tell whether a queue, by Celery's name for it, is a worker node's inbox of control messages."""
    return queue.endswith(PIDBOX) and not is_reply_queue(queue)


def reply_queue(exchange: str, routing_key: str) -> str:
    """Return the queue that kombu's pidbox binds to a reply exchange in the client's memory alone."""
    return f"{routing_key}.{exchange}"


def bounded(name: str) -> str:
    """Return a name that fits SQS: a long one is cut and told apart by a digest of the whole.

    >>> len(bounded("x" * 100))
    80
    """
    if len(name) <= MAX_QUEUE_NAME_CHARS:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:DIGEST_CHARS]
    return f"{name[: MAX_QUEUE_NAME_CHARS - DIGEST_CHARS - 1]}-{digest}"
