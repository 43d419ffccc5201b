"""Cuts off clients that send too slowly: a socket that is overdue gets no more of its sender, and its reader wakes up.

Knows no HTTP. The server's main loop calls `cut_overdue` every second or so.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Deadline:
    """By when a socket must have brought what is read from it.

    Attributes:
        at_s: on `time.monotonic`.
        passed: whether the socket was cut off.
    """

    at_s: float
    passed: bool = False


class Deadlines:
    """The sockets that are read from. Safe to share between threads."""

    def __init__(self) -> None:
        self._of: dict[socket.socket, Deadline] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def reading(self, sock: socket.socket, seconds: float) -> Iterator[Deadline]:
        """Cut the socket off if the block takes longer."""
        deadline = self.set(sock, seconds)
        try:
            yield deadline
        finally:
            self.clear(sock)

    def set(self, sock: socket.socket, seconds: float) -> Deadline:
        """Begin to watch a socket."""
        deadline = Deadline(time.monotonic() + seconds)
        with self._lock:
            self._of[sock] = deadline
        return deadline

    def clear(self, sock: socket.socket) -> None:
        """End watching a socket."""
        with self._lock:
            self._of.pop(sock, None)

    def cut_overdue(self) -> int:
        """Cut off the sockets that are overdue; return how many there were."""
        now_s = time.monotonic()
        with self._lock:
            overdue = [(sock, deadline) for sock, deadline in self._of.items() if deadline.at_s <= now_s]
            for sock, deadline in overdue:
                deadline.passed = True
                del self._of[sock]
                # The reader gets what has arrived and then the end, as if the sender had ended; it can still answer.
                with contextlib.suppress(OSError):  # the client has gone by itself
                    sock.shutdown(socket.SHUT_RD)
        return len(overdue)


deadlines = Deadlines()
