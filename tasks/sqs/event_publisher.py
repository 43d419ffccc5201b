"""Publishes Celery's events off the worker's loop, many in one message.

Stock Celery makes one blocking request for nearly every event, three or more for a task. Here events are gathered for
an interval and published together, as the list of events that Celery's receivers understand. So their cost depends
on time, not on the number of tasks, and an SNS that does not answer delays no task.
"""

from __future__ import annotations

import base64
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kombu.utils.json import dumps

from tasks.sqs.failures import log_failure

# SNS takes 256 KiB: https://docs.aws.amazon.com/general/latest/gr/sns.html. Quotes are escaped in a message; that at
# most doubles its size.
MAX_EVENTS_BYTES = 112 * 1024
# What is kept while SNS does not answer; older events are dropped, for they are news and not records.
MAX_WAITING_MESSAGES = 1000
CLOSE_DEADLINE_S = 5.0
JSON = "application/json"

log = logging.getLogger(__name__)

Message = dict[str, Any]


def merged(messages: Iterable[Message]) -> Iterator[Message]:
    """Join messages of events, in order, into as few as their sizes allow.

    Their JSON is joined as text: nobody looks into it here. What is not JSON is passed on as it is.
    """
    envelope: Message | None = None
    events: list[bytes] = []
    size_bytes = 0
    for message in messages:
        body = _json_body(message)
        if body is None:
            yield message
            continue
        if envelope is not None and size_bytes + len(body) > MAX_EVENTS_BYTES:
            yield _with_events(envelope, events)
            envelope, events, size_bytes = None, [], 0
        events.append(_items(body))
        size_bytes += len(body)
        envelope = envelope or message
    if envelope is not None:
        yield _with_events(envelope, events)


def _json_body(message: Message) -> bytes | None:
    if message.get("content-type") != JSON:
        return None
    body = message["body"]
    if message["properties"].get("body_encoding") == "base64":
        return base64.b64decode(body)
    return str(body).encode()


def _items(body: bytes) -> bytes:
    """Return JSON as it stands between the brackets of a list: a list's items, or whatever else it is.

    >>> _items(b'[{"n": 1}, {"n": 2}]'), _items(b'{"n": 3}'), _items(b"[]")
    (b'{"n": 1}, {"n": 2}', b'{"n": 3}', b'')
    """
    body = body.strip()
    return body[1:-1].strip() if body.startswith(b"[") else body


def _with_events(envelope: Message, events: Iterable[bytes]) -> Message:
    # Not in base64, kombu's custom: SNS takes text, and its price goes by 64 KiB.
    properties = {**envelope["properties"], "body_encoding": "utf-8"}
    body = f"[{b', '.join(filter(None, events)).decode()}]"
    return {**envelope, "body": body, "content-encoding": "utf-8", "properties": properties}


class EventPublisher:
    """Takes messages of events from any thread; one thread of its own publishes them.

    Args:
        publish: sends the text of a message to the topic of events.
        interval_s: how long events are gathered.
    """

    def __init__(self, publish: Callable[[str], None], interval_s: float) -> None:
        self._publish = publish
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._waiting: list[Message] = []
        self._dropped = 0
        self._failing: type[Exception] | None = None
        self._any = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, message: Message) -> None:
        """Publish a message soon; never blocks, never fails."""
        with self._lock:
            self._waiting.append(message)
            self._drop_oldest()
            if self._thread is None:
                self._closing = threading.Event()
                self._thread = threading.Thread(target=self._run, args=(self._closing,), name="sqs-events", daemon=True)
                self._thread.start()
        self._any.set()

    def close(self) -> None:
        """Publish what waits, for no longer than a few seconds, and end the thread; a later `add` starts another."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._closing.set()
            self._any.set()
            thread.join(CLOSE_DEADLINE_S)

    def _run(self, closing: threading.Event) -> None:
        while not closing.is_set():
            self._any.wait()
            closing.wait(self._interval_s)
            self._any.clear()
            self._publish_waiting()
        self._publish_waiting()

    def _publish_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        unpublished = list(merged(waiting))
        while unpublished:
            try:
                self._publish(dumps(unpublished[0]))
            except Exception as error:  # noqa: BLE001 - see tasks.sqs.failures
                self._put_back(unpublished, error)
                return
            del unpublished[0]
            if self._failing:
                log.info("events are published again; %d messages of events were dropped", self._dropped)
                self._failing, self._dropped = None, 0

    def _put_back(self, unpublished: list[Message], error: Exception) -> None:
        if type(error) is not self._failing:  # one line for as long as it lasts
            log_failure(log, error, "events cannot be published and wait: %s", error)
        self._failing = type(error)
        with self._lock:
            self._waiting[:0] = unpublished
            self._drop_oldest()
        self._any.set()

    def _drop_oldest(self) -> None:
        excess = max(0, len(self._waiting) - MAX_WAITING_MESSAGES)
        del self._waiting[:excess]
        self._dropped += excess
