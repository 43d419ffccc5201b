"""The transport's half for task messages: what a connection's channels share, and the event loop they work in."""

from __future__ import annotations

import socket
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from kombu.asynchronous import set_event_loop
from kombu.transport import SQS

from tasks.sqs import worker
from tasks.sqs.clients import QUICK_CONFIG
from tasks.sqs.inbox import Inbox

WAKE_BYTES = 4096
# Asked for to see whether SQS answers; that there is no such queue is an answer.
PROBE_QUEUE = "celery-probe"


class MessageTransport(SQS.Transport):
    """What the channels of a connection share for task messages."""

    implements = SQS.Transport.implements.extend(batch_publish=True)
    _event_loop: Any = None
    _sockets: tuple[socket.socket, ...] = ()

    def establish_connection(self) -> Any:
        """Open a connection; a worker's only if SQS answers.

        Celery waits between attempts to connect, and says so in a line. A connection that opens and then fails it
        would open again at once, over and over.

        Raises:
            botocore.exceptions.BotoCoreError: SQS cannot be reached.
        """
        connection = super().establish_connection()
        if worker.app() is not None:
            channel = self._avail_channels[-1]
            try:
                channel.sqs().get_queue_url(QueueName=PROBE_QUEUE)
            except ClientError:
                pass  # "no such queue" and "access denied" are answers
            except BotoCoreError:
                self._avail_channels.remove(channel)
                channel.close()
                raise
        return connection

    @cached_property
    def inbox(self) -> Inbox:
        """The messages that this connection received."""
        channel = self.channels[0]
        # One that does not wait long: a request that hangs must not cost the messages in hand their invisibility.
        client = channel._new_boto_client(  # noqa: SLF001 - kombu has no other way to make one
            "sqs", channel.region, channel.conninfo.userid, channel.conninfo.password, config=QUICK_CONFIG
        )
        return Inbox(client, channel.visibility_timeout)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let the connection's channels work in an event loop that can be woken.

        When Celery opens a connection anew it resets its loop, and kombu forgets by that which loop is current: no
        channel would ever poll again. And without a socket to watch a loop sleeps, whoever wants to wake it.
        """
        super().register_with_event_loop(connection, loop)
        set_event_loop(loop)
        for channel in self.channels:
            channel.hub = loop
        self._event_loop, self._sockets = loop, socket.socketpair()
        loop.add_reader(self._sockets[0].fileno(), self._sockets[0].recv, WAKE_BYTES)

    def wake_event_loop(self) -> None:
        """Let the loop look for what its own thread has put off: it does so only after something happened."""
        if self._sockets:
            self._sockets[1].send(b"\0")

    def close_connection(self, connection: Any) -> None:
        """Close the channels, then settle what is left of their messages."""
        super().close_connection(connection)
        for end in self._sockets:
            if end.fileno() in self._event_loop.readers:
                self._event_loop.remove(end.fileno())
            end.close()
        self._sockets = ()
        if "inbox" in self.__dict__:
            self.inbox.close()
