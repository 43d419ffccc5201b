"""Flower's broker page and queue lengths for SQS, and the refusal to serve Flower to everybody.

Call `install` in ``flowerconfig.py``, the file that ``celery flower`` reads before it serves. It adds to Flower's list
of pages, ahead of Flower's own, which knows no SQS; nothing of Flower is replaced.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from flower.api.tasks import GetQueueLengths
from flower.urls import handlers
from flower.views import BaseHandler
from flower.views.broker import BrokerView
from tornado import web
from tornado.options import options

from tasks.sqs.counts import DELAYED, IN_FLIGHT, VISIBLE

if TYPE_CHECKING:
    from celery import Celery
    from mypy_boto3_sqs.literals import QueueAttributeNameType

TEMPLATE = Path(__file__).with_name("flower_broker.html")
REDRIVE: QueueAttributeNameType = "RedrivePolicy"
PURGE_OFFLINE_WORKERS_S = 3600


class SqsBroker:
    """What Flower asks a broker.

    Args:
        app: the Celery app.
        consumers: the names of the queues that each online worker consumes; None for a worker not asked yet.
    """

    def __init__(self, app: Celery, consumers: Mapping[str, set[str] | None]) -> None:
        self._app = app
        self._consumers = consumers

    async def queues(self, names: Iterable[str]) -> list[dict[str, object]]:
        """Return the counts of queues, under the names that Flower has for them.

        Raises:
            tornado.web.HTTPError: SQS does not answer.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self._counts, list(names))
        except (BotoCoreError, ClientError) as error:
            raise web.HTTPError(503, f"SQS does not answer: {error}") from error

    def _counts(self, names: list[str]) -> list[dict[str, object]]:
        with self._app.connection_or_acquire() as connection:
            channel = connection.default_channel
            sqs = channel.plane.sqs

            def attributes(url: str) -> dict[str, str]:
                asked = [VISIBLE, IN_FLIGHT, DELAYED, REDRIVE]
                return dict(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)["Attributes"])

            def dead_letters(redrive_policy: str) -> int:
                name = json.loads(redrive_policy)["deadLetterTargetArn"].rpartition(":")[2]
                return int(attributes(sqs.get_queue_url(QueueName=name)["QueueUrl"])[VISIBLE])

            counts: list[dict[str, object]] = []
            for name in names:
                found = attributes(channel._new_queue(name))  # noqa: SLF001 - kombu's lookup of a URL
                entry = row(name, found, consumers_of(name, self._consumers))
                entry["dead_letters"] = dead_letters(found[REDRIVE]) if REDRIVE in found else None
                counts.append(entry)
            return counts


def consumers_of(queue: str, consumers: Mapping[str, set[str] | None]) -> int | None:
    """Return how many workers consume a queue; None if one of them was not asked yet.

    >>> consumers_of("q", {"one": {"q"}, "two": {"other"}}), consumers_of("q", {"one": {"q"}, "two": None})
    (1, None)
    """
    known = [queues for queues in consumers.values() if queues is not None]
    return sum(queue in queues for queues in known) if len(known) == len(consumers) else None


def row(name: str, attributes: Mapping[str, str], consumers: int | None) -> dict[str, object]:
    """Return a queue's counts, under the names that Flower has for them.

    >>> attributes = {VISIBLE: "3", IN_FLIGHT: "2", DELAYED: "1"}
    >>> row("q", attributes, 4)["messages"]
    6
    """
    visible, in_flight, delayed = (int(attributes[key]) for key in (VISIBLE, IN_FLIGHT, DELAYED))
    return {
        "name": name,
        "messages": visible + in_flight + delayed,
        "messages_ready": visible,
        "messages_unacknowledged": in_flight,
        "messages_delayed": delayed,
        "consumers": consumers,
    }


class SqsPage(BaseHandler):
    """What the pages on SQS have in common."""

    def get_broker(self) -> SqsBroker:
        """Return SQS instead of the brokers that Flower knows."""
        return SqsBroker(self.capp, self._consumers())

    async def ask_new_workers(self) -> None:
        """Ask the workers what they consume if one has come since they were asked; Flower asks when it starts."""
        if None in self._consumers().values():
            await self.application.update_workers()

    def _consumers(self) -> dict[str, set[str] | None]:
        asked = self.application.workers
        return {
            name: {queue["name"] for queue in asked[name]["active_queues"]}
            if "active_queues" in asked.get(name, {})
            else None
            for name, worker in self.application.events.state.workers.items()
            if worker.alive
        }


class BrokerPage(SqsPage, BrokerView):
    """Flower's broker page, with the counts that SQS has."""

    @web.authenticated
    async def get(self) -> None:
        """Show the queues."""
        await self.ask_new_workers()
        await super().get()

    def render(self, template_name: str, **names: Any) -> Any:
        """Render Flower's page by our template, which is built on Flower's."""
        return super().render(str(TEMPLATE) if template_name == "broker.html" else template_name, **names)


class QueueLengths(SqsPage, GetQueueLengths):
    """Flower's ``/api/queues/length``, with the counts that SQS has."""

    @web.authenticated
    async def get(self) -> None:
        """Return the queues as JSON."""
        await self.ask_new_workers()
        await super().get()


def refusal(address: str, *, has_credentials: bool, unix_socket: str = "") -> str:
    """Return why Flower must not be served, or an empty string.

    >>> refusal("127.0.0.1", has_credentials=False)
    ''
    """
    if has_credentials or unix_socket or _is_loopback(address):
        return ""
    return (
        f"error: FLOWER_BASIC_AUTH is not set: Flower on {address or 'all addresses'} would let anyone stop workers; "
        "set FLOWER_BASIC_AUTH=user:password, or FLOWER_ADDRESS=127.0.0.1"
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def install() -> None:
    """Add SQS's pages to Flower, and set what suits SQS where nothing else is chosen.

    Raises:
        SystemExit: Flower would be open to everybody; the message says so in one line.
    """
    reason = refusal(
        options.address, has_credentials=bool(options.basic_auth or options.auth), unix_socket=options.unix_socket
    )
    if reason:
        raise SystemExit(reason)
    handlers[:0] = [
        web.url("/broker", BrokerPage),
        web.url("/api/queues/length", QueueLengths),
    ]
    # Flower would ask all workers for events every five seconds, at two requests for each of them; they send them
    # by setting. And workers of an elastic fleet come and go.
    _default("enable_events", value=False)
    _default("purge_offline_workers", value=PURGE_OFFLINE_WORKERS_S)


def _default(name: str, *, value: object) -> None:
    if f"FLOWER_{name.upper()}" not in os.environ:
        setattr(options, name, value)
