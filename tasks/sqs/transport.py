"""The kombu transport: puts the channel's two halves together and holds what a connection's channels share.

Select it by ``broker_url = "sqs://"`` and ``broker_transport = "tasks.sqs.transport:Transport"``. Options, beside
kombu's own: ``control_prefix`` (of control queues and topics), ``topic_arns`` (by topic name, made by a deployment).
"""

from __future__ import annotations

import secrets
from functools import cached_property
from typing import Any

from botocore.config import Config
from kombu.transport import SQS

from tasks.sqs.control_channel import ControlChannel
from tasks.sqs.message_channel import MessageChannel
from tasks.sqs.owned import OwnedQueues
from tasks.sqs.topics import Topics

CONNECT_TIMEOUT_S = 3
# SQS waits up to 20 s for messages: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
# sqs-short-and-long-polling.html; a socket that is silent for longer than this is dead.
READ_TIMEOUT_S = 30
CLIENT_CONFIG = Config(
    connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S, retries={"mode": "standard", "max_attempts": 3}
)
TOKEN_BYTES = 4


class Channel(ControlChannel, MessageChannel):
    """One SQS channel: task messages by `MessageChannel`, control and events by `ControlChannel`."""

    def _new_boto_client(self, *args: Any, config: Config | None = None, **kwargs: Any) -> Any:
        return super()._new_boto_client(
            *args, config=CLIENT_CONFIG if config is None else CLIENT_CONFIG.merge(config), **kwargs
        )


class Transport(SQS.Transport):
    """Amazon SQS with direct, topic and fanout exchanges."""

    Channel = Channel
    implements = SQS.Transport.implements.extend(exchange_type=frozenset({"direct", "topic", "fanout"}))
    polling_interval = 0  # every poll is a long one

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.token = secrets.token_hex(TOKEN_BYTES)
        self.alive_at_s: dict[str, float] = {}

    def _client(self, service: str) -> Any:
        channel = self.channels[0] if self.channels else self.create_channel(self)
        return channel.sqs() if service == "sqs" else channel.fanout.get_client()

    @cached_property
    def topics(self) -> Topics:
        """The topics of this connection."""
        return Topics(self._client("sns"), self.client.transport_options.get("topic_arns", {}))

    @cached_property
    def owned(self) -> OwnedQueues:
        """The control queues that this connection made."""
        return OwnedQueues(self._client("sqs"), self.topics)

    def close_connection(self, connection: Any) -> None:
        """Close the channels, then remove the control queues that only this connection used."""
        super().close_connection(connection)
        if "owned" in self.__dict__:
            self.owned.remove(all_of_them=False)
