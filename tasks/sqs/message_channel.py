"""The channel's half for task messages: how they are sent, kept invisible, acknowledged and given back."""

from __future__ import annotations

from kombu.transport import SQS


class MessageChannel(SQS.Channel):
    """Batched sends and acks and the visibility heartbeat on top of kombu's SQS channel."""
