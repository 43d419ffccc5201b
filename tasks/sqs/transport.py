"""The kombu transport: puts the channel's two halves together and names the exchange types it supports.

Start Celery with ``broker_url = "tasks.sqs.transport:Transport://"``.
"""

from __future__ import annotations

from kombu.transport import SQS

from tasks.sqs.control_channel import ControlChannel
from tasks.sqs.message_channel import MessageChannel


class Channel(ControlChannel, MessageChannel, SQS.Channel):
    """One SQS channel: task messages by `MessageChannel`, control and events by `ControlChannel`."""


class Transport(SQS.Transport):
    """Amazon SQS with direct, topic and fanout exchanges."""

    Channel = Channel
    implements = SQS.Transport.implements.extend(exchange_type=frozenset({"direct", "topic", "fanout"}))
