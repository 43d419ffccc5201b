"""boto3's clients for one process: made once, shared by all its channels and threads, with timeouts.

Making a client takes tens of milliseconds and a pool of sockets; kombu makes one for each channel. Clients are safe to
share between threads: https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from botocore.config import Config
from botocore.session import Session

CONNECT_TIMEOUT_S = 3
# SQS waits up to 20 s for messages: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
# sqs-short-and-long-polling.html; a socket that is silent for longer than this is dead.
READ_TIMEOUT_S = 30
CONFIG = Config(
    connect_timeout=CONNECT_TIMEOUT_S,
    read_timeout=READ_TIMEOUT_S,
    retries={"mode": "standard", "max_attempts": 3},
    # Threads that wait for long polls hold a connection each.
    max_pool_connections=50,
    # Without, botocore puts its name together anew, twice a request: a tenth of what a request costs.
    user_agent=Session().user_agent(),
)
# For requests that are answered at once, some of them made on the worker's loop.
QUICK_CONFIG = CONFIG.merge(Config(read_timeout=5, retries={"mode": "standard", "max_attempts": 2}))

_clients: dict[tuple[object, ...], Any] = {}
_lock = threading.Lock()


def shared(key: tuple[object, ...], make: Callable[[], Any]) -> Any:
    """Return this process's client for `key`."""
    with _lock:
        if key not in _clients:
            _clients[key] = make()
        return _clients[key]


def _forget() -> None:
    # A forked child must not use its parent's sockets, nor a lock that another of its threads may have held.
    global _lock  # noqa: PLW0603 - one per process
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_forget)
