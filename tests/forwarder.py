"""A TCP forwarder that a test can cut and mend, to take one service away from one process."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from local.ports import LOOPBACK

CHUNK_BYTES = 65_536


class Forwarder:
    """Forwards connections from a port of its own to another port while `open` is set; refuses them while not."""

    def __init__(self, target_port: int) -> None:
        self.open = threading.Event()
        self._target_port = target_port
        self._listener = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop taking connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            if not self.open.is_set():
                client.close()
                continue
            server = socket.create_connection((LOOPBACK, self._target_port))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either side may hang up at any time
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextlib.contextmanager
def forwarding(target_port: int) -> Iterator[Forwarder]:
    """Run a forwarder that is closed at first."""
    forwarder = Forwarder(target_port)
    try:
        yield forwarder
    finally:
        forwarder.close()
