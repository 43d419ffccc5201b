"""How messages of control queues are asked for and opened, and when to ask again after a failure."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

from kombu.utils.json import loads

# The longest that SQS lets a request wait, hence the cheapest: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/
# SQSDeveloperGuide/sqs-short-and-long-polling.html
WAIT_S = 20
MAX_MESSAGES = 10
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 10.0
REMEMBERED_TAGS = 1000

log = logging.getLogger(__name__)

Payload = dict[str, Any]


class Pauses:
    """How long to wait after a failed request: 0.5 s, then twice as long each time, 10 s at most."""

    def __init__(self) -> None:
        self._failures = 0

    def succeeded(self) -> bool:
        """Note an answer; tell whether it is the first one after failures."""
        again, self._failures = self._failures > 0, 0
        return again

    def failed(self) -> float:
        """Note a failure; return the seconds to wait."""
        self._failures += 1
        return min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (self._failures - 1))


class Opener:
    """Reads messages as kombu wrote them. SQS may deliver a message twice; the second one is dropped here.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/standard-queues-at-least-once-delivery.html
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[str, None] = OrderedDict()

    def open(self, messages: list[Any]) -> list[Payload]:
        """Return the contents of messages, without those that are not kombu's."""
        return [payload for message in messages if (payload := self._payload(message)) is not None]

    def _payload(self, message: Any) -> Payload | None:
        try:
            payload = dict(loads(message["Body"]))
            tag = payload["properties"]["delivery_tag"]
            if tag in self._seen:
                return None
        except Exception as error:  # noqa: BLE001 - kombu's decoders raise what they like over what is not kombu's
            log.warning("a message in a control queue is not kombu's and is dropped: %r: %.200s", error, message)
            return None
        self._seen[tag] = None
        if len(self._seen) > REMEMBERED_TAGS:
            self._seen.popitem(last=False)
        return payload
