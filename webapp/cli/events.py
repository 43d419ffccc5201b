"""Reads server-sent events out of a stream of bytes. Pure.

https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """An event; one without a name is a comment, which only says that the sender is still there."""

    name: str
    data: str = ""


def parse(chunks: Iterable[bytes]) -> Iterator[Event]:
    r"""Yield the events of a stream; what its end cuts off is dropped.

    >>> list(parse([b"event: end\nda", b"ta: {}\n\n: here\n\nevent: cut"]))
    [Event(name='end', data='{}'), Event(name='', data='')]
    """
    name = ""
    data: list[str] = []
    for line in _lines(chunks):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(name or "message", "\n".join(data))
            name = ""
            data = []
        elif not field:
            yield Event("")
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
