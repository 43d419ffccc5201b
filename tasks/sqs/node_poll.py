"""Receives a worker's control commands beside its event loop: one long poll after the other, whatever goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from kombu.asynchronous.aws.sqs.connection import AsyncSQSConnection
from vine import promise

from tasks.sqs.control_messages import MAX_MESSAGES, WAIT_S, Opener, Pauses, Payload
from tasks.sqs.control_queues import NO_SUCH_QUEUE, ControlQueue
from tasks.sqs.http import client_of

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FailedRequest:
    """What came instead of an answer."""

    status: int
    text: str

    @property
    def queue_is_missing(self) -> bool:
        """Tell whether SQS says that there is no such queue."""
        return any(code in self.text for code in NO_SUCH_QUEUE)


class AsyncClient(AsyncSQSConnection):
    """kombu's client for the event loop, which reports a failed receive instead of raising it.

    Raised in a callback of the loop it would end the worker.
    """

    def _on_list_ready(self, parent: Any, markers: Any, operation: str, response: Any) -> Any:
        if response.status == self.STATUS_CODE_OK:
            return super()._on_list_ready(parent, markers, operation, response)
        body = response.read() or b""
        reason = response.reason if response.response.error else ""
        return FailedRequest(response.status, f"{reason} {body.decode(errors='replace')}".strip())


class NodePoll:
    """The polling of one node's queue. Lives on the loop's thread alone.

    It outlives the consumer: a worker that opens its channel anew must lose no command that comes meanwhile.

    Args:
        sqs: the client whose endpoint and credentials are used.
        find: returns the node's queue, made anew if it is gone.
        gone: is told of a queue that somebody deleted.
    """

    def __init__(self, sqs: SQSClient, find: Callable[[], ControlQueue], gone: Callable[[ControlQueue], None]) -> None:
        self._sqs, self._find, self._gone = sqs, find, gone
        self._opener = Opener()
        self._pauses = Pauses()
        self._unclaimed: list[Payload] = []
        self._deliver: Callable[[Payload], object] | None = None
        self._hub: Any = None
        self._client: AsyncClient | None = None

    def start(self, hub: Any, deliver: Callable[[Payload], object]) -> None:
        """Deliver commands to a consumer from now on."""
        self._deliver = deliver
        http_client = client_of(hub)
        if self._client is None or self._client._httpclient is not http_client:  # noqa: SLF001 - kombu's only record
            # The first consumer, or the loop was reset: its old client, and with it the poll, is closed.
            self._hub = hub
            self._client = AsyncClient(self._sqs, region=self._sqs.meta.region_name, http_client=http_client)
            self._poll(self._client)
        self._hand_over()

    def stop(self) -> None:
        """Keep commands for the next consumer."""
        self._deliver = None

    def _poll(self, client: AsyncClient) -> None:
        if client is not self._client:
            return
        if self._deliver is None:
            self._client = None
            return
        try:
            found = self._find()
        except (BotoCoreError, ClientError) as error:
            self._try_again(client, str(error))
            return
        client.receive_message(
            found.name,
            found.url,
            number_messages=MAX_MESSAGES,
            wait_time_seconds=WAIT_S,
            callback=promise(self._on_answer, (client, found)),
        )

    def _on_answer(self, client: AsyncClient, found: ControlQueue, answer: Any) -> None:
        if isinstance(answer, FailedRequest):
            if answer.queue_is_missing:
                self._gone(found)
            self._try_again(client, f"HTTP {answer.status} {answer.text}")
            return
        if self._pauses.succeeded():
            log.info("control commands are received again")
        # The next poll first: a command may end the worker by an exception that passes through here.
        self._hub.call_soon(self._poll, client)
        self._unclaimed += self._opener.open(answer.get("Messages", []))
        self._hand_over()

    def _try_again(self, client: AsyncClient, reason: str) -> None:
        pause_s = self._pauses.failed()
        log.warning("control commands cannot be received, trying again in %g s: %s", pause_s, reason)
        self._hub.call_later(pause_s, self._poll, client)

    def _hand_over(self) -> None:
        while self._unclaimed and self._deliver is not None:
            self._deliver(self._unclaimed.pop(0))
