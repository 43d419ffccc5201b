"""The channel's half for remote control and events: exchanges, bindings and queues that come and go."""

from __future__ import annotations


class ControlChannel:
    """Fanout and reply routing on top of kombu's SQS channel."""
