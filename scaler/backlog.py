"""Reads the queue's counts from SQS. "Don't know" is an error, never 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from scaler.state import Backlog
from tasks.sqs.counts import DELAYED, IN_FLIGHT, VISIBLE

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

# The counts are approximate, for up to a minute after the last change, and may be 0 while there are messages. A queue
# that had messages is taken for empty when it has said so this many times in a row.
EMPTY_READS = 3


class ReadError(Exception):
    """Something could not be read; the message is one line."""


class Backlogs:
    """The counts of one queue.

    Args:
        sqs: the client.
        queue: the queue's name.
    """

    def __init__(self, sqs: SQSClient, queue: str) -> None:
        self._sqs = sqs
        self._queue = queue
        self._url = ""

    def read(self) -> Backlog:
        """Return the counts.

        Raises:
            ReadError: SQS failed, or the answer lacks a count or has one that is none.
        """
        try:
            self._url = self._url or self._sqs.get_queue_url(QueueName=self._queue)["QueueUrl"]
            names: list[QueueAttributeNameType] = [VISIBLE, IN_FLIGHT, DELAYED]
            attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]
            return counts(attributes)
        except (ClientError, BotoCoreError) as error:
            raise ReadError(f"the counts of {self._queue} cannot be read: {error}") from error
        # The last two are botocore's own, over a body of another shape than SQS's.
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ReadError(f"the counts of {self._queue} cannot be understood: {error!r}") from error


def counts(attributes: Mapping[QueueAttributeNameType, str]) -> Backlog:
    """Return the backlog from SQS's attributes.

    Raises:
        KeyError: a count is missing.
        ValueError: a count is not a whole number from 0.
    """
    # A body that is not SQS's may hold null or 1.7 there, of which neither is a count.
    numbers = [int(str(attributes[name])) for name in (VISIBLE, IN_FLIGHT, DELAYED)]
    if min(numbers) < 0:
        raise ValueError(f"negative count: {numbers}")
    return Backlog(*numbers)


@dataclass(frozen=True)
class Believed:
    """The backlog that decisions are made on, and how often in a row SQS has called the queue empty."""

    backlog: Backlog | None = None
    empty_reads: int = 0

    def after(self, read: Backlog) -> Believed:
        """Return what to believe after a read: the counts, but for a 0 that is too fresh to be trusted.

        >>> full = Believed().after(Backlog(5, 1, 0))
        >>> full.after(Backlog(0, 0, 0)).backlog
        Backlog(visible=5, in_flight=1, delayed=0)
        """
        if read.messages:
            return Believed(read)
        empty_reads = self.empty_reads + 1
        believed = self.backlog if self.backlog is not None and empty_reads < EMPTY_READS else read
        return Believed(believed, empty_reads)
