"""Clients that send too slowly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, cast

import pytest
from werkzeug.exceptions import RequestTimeout

from webapp.deadlines import Deadlines
from webapp.pace import Pace, PacedInput

PATIENT = Pace(grace_s=10.0, min_bytes_per_s=1)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's and the server's end of a connection."""
    client, server = socket.socketpair()
    with client, server:
        yield client, server


@contextmanager
def cutting(deadlines: Deadlines) -> Iterator[None]:
    """Cut off who is overdue, as the server's main loop does."""
    ended = threading.Event()

    def cut() -> None:
        while not ended.wait(0.02):
            deadlines.cut_overdue()

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def body(server: socket.socket, pace: Pace, deadlines: Deadlines, **head: str) -> PacedInput:
    """Return the body that comes in at the server's end."""
    stream = cast("IO[bytes]", server.makefile("rb", buffering=0))
    return PacedInput(stream, server, deadlines, pace, head={"SERVER_PROTOCOL": "HTTP/1.1", **head})


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(lambda _client: None, id="nothing-comes"),
        pytest.param(lambda client: client.sendall(b"x"), id="a-byte-comes-and-no-more"),
    ],
)
def test_a_client_that_is_too_slow_is_cut_off_and_can_still_be_told(
    pair: tuple[socket.socket, socket.socket], send: Callable[[socket.socket], None]
) -> None:
    """The reader wakes up with the answer 408, which the client gets."""
    client, server = pair
    deadlines = Deadlines()
    send(client)
    reader = body(server, Pace(grace_s=0.1, min_bytes_per_s=1_000_000), deadlines)
    with cutting(deadlines), pytest.raises(RequestTimeout, match="too slowly"):
        reader.readall()
    server.sendall(b"408")
    assert client.recv(3) == b"408"


def test_a_client_that_keeps_pace_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    """What comes in time is read to its end."""
    client, server = pair
    deadlines = Deadlines()
    client.sendall(b"photo")
    client.shutdown(socket.SHUT_WR)
    with cutting(deadlines):
        assert body(server, PATIENT, deadlines).read(100) == b"photo"
    assert deadlines.cut_overdue() == 0


def test_a_client_is_told_to_go_on_only_when_its_body_is_wanted(pair: tuple[socket.socket, socket.socket]) -> None:
    """Before the first read nothing is sent; then 100 Continue, once."""
    client, server = pair
    client.settimeout(0.05)
    reader = body(server, PATIENT, Deadlines(), HTTP_EXPECT="100-continue")
    with pytest.raises(TimeoutError):
        client.recv(100)
    client.sendall(b"photo")
    assert reader.read(5) == b"photo"
    assert client.recv(100).startswith(b"HTTP/1.1 100 ")
    client.sendall(b"more")
    assert reader.read(4) == b"more"
    with pytest.raises(TimeoutError):
        client.recv(100)


def test_only_what_is_overdue_is_cut(pair: tuple[socket.socket, socket.socket]) -> None:
    """A deadline that was kept, or is still to come, cuts nobody."""
    client, server = pair
    deadlines = Deadlines()
    with deadlines.reading(client, 60.0) as later, deadlines.reading(server, 0.0) as now:
        time.sleep(0.001)
        assert deadlines.cut_overdue() == 1
    assert (later.passed, now.passed) == (False, True)
    assert deadlines.cut_overdue() == 0


def test_a_body_is_unread_until_all_of_it_has_come(pair: tuple[socket.socket, socket.socket]) -> None:
    """Whoever answers before knows that the connection cannot be used again."""
    client, server = pair
    client.sendall(b"photo")
    reader = body(server, PATIENT, Deadlines(), CONTENT_LENGTH="5")
    seen = [reader.unread]
    for _ in range(2):
        reader.read(4)
        seen.append(reader.unread)
    assert seen == [True, True, False]


def test_a_request_without_a_body_has_nothing_unread(pair: tuple[socket.socket, socket.socket]) -> None:
    """Its connection is kept."""
    assert not body(pair[1], PATIENT, Deadlines()).unread
