"""The kombu transport: puts the channel's parts together and names the exchange types it supports.

Select it by ``broker_url = "sqs://"`` and ``broker_transport = "tasks.sqs.transport:Transport"``. Options in
``broker_transport_options``, beside kombu's own: ``control_prefix`` (what names of control queues and topics start
with), ``topic_arns`` (by exchange, for topics that the deployment made), ``event_interval_s`` (how long events are
gathered before they are published together).
"""

from __future__ import annotations

from typing import Any

from botocore.config import Config

from tasks.sqs.clients import CONFIG, shared
from tasks.sqs.control_channel import ControlChannel
from tasks.sqs.message_channel import MessageChannel
from tasks.sqs.message_transport import MessageTransport
from tasks.sqs.queue_urls import QueueUrls


class Channel(ControlChannel, MessageChannel, QueueUrls):
    """One SQS channel: control and events by `ControlChannel`, task messages by `MessageChannel`."""

    def _new_boto_client(self, *args: Any, config: Config | None = None, **kwargs: Any) -> Any:
        """Return the process's client, with our timeouts where the option ``client-config`` has none."""
        chosen = self.transport_options.get("client-config") or {}
        base = config or CONFIG
        key = (args, *sorted(kwargs.items()), self.endpoint_url, self.is_secure, id(base), repr(sorted(chosen.items())))
        make = super()._new_boto_client
        return shared(key, lambda: make(*args, config=base.merge(Config(**chosen)), **kwargs))


class Transport(MessageTransport):
    """Amazon SQS with direct, topic and fanout exchanges."""

    Channel = Channel
    implements = MessageTransport.implements.extend(exchange_type=frozenset({"direct", "topic", "fanout"}))
    polling_interval = 0  # every poll is a long one
