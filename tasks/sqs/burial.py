"""Moves a message that no worker can or may handle to the dead-letter queue of its queue's redrive policy."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

# How long a queue's redrive policy is taken for true.
POLICY_TTL_S = 300.0
# A dead letter's attribute that says why it is one. One that SQS moved by itself has none.
CAUSE = "cause"
MAX_CAUSE_CHARS = 500
MAX_LOGGED_CHARS = 1000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RedrivePolicy:
    """What a queue does with messages that are received too often."""

    dead_letter_url: str
    max_receives: int


def redrive_policy(sqs: SQSClient, queue_url: str) -> RedrivePolicy | None:
    """Return a queue's redrive policy, None if it has none.

    Raises:
        botocore.exceptions.BotoCoreError: SQS cannot be reached.
        botocore.exceptions.ClientError: SQS refuses.
    """
    answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["RedrivePolicy"])
    policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy", "{}"))
    if not policy:
        return None
    # A dead-letter queue is in its queue's own account and region.
    name = str(policy["deadLetterTargetArn"]).rpartition(":")[2]
    return RedrivePolicy(sqs.get_queue_url(QueueName=name)["QueueUrl"], int(policy["maxReceiveCount"]))


class Burial:
    """Sends dead letters."""

    def __init__(self, sqs: SQSClient) -> None:
        self._sqs = sqs
        self._policies: dict[str, tuple[float, RedrivePolicy | None]] = {}

    def bury(self, queue_url: str, body: str, cause: str) -> bool:
        """Send a copy of a message to the dead-letter queue; tell whether the message itself may be deleted.

        A queue without a dead-letter queue gets a log line with the message instead: it would come back for ever.
        """
        queue = queue_url.rpartition("/")[2]
        try:
            policy = self._policy(queue_url)
            if policy is not None:
                self._sqs.send_message(
                    QueueUrl=policy.dead_letter_url,
                    MessageBody=body,
                    MessageAttributes={CAUSE: {"DataType": "String", "StringValue": _sendable(cause)}},
                )
        except Exception:  # see tasks.sqs.failures; it would end the worker's loop
            log.exception("a message of %s could not become a dead letter now: %s", queue, cause)
            return False
        if policy is None:
            log.error("a message of %s is dropped, for there is no dead-letter queue: %s: %.*s", queue, cause, MAX_LOGGED_CHARS, body)  # fmt: skip
        else:
            log.error("a message of %s is a dead letter now: %s", queue, cause)
        return True

    def _policy(self, queue_url: str) -> RedrivePolicy | None:
        read_at_s, policy = self._policies.get(queue_url, (-POLICY_TTL_S, None))
        if time.monotonic() - read_at_s >= POLICY_TTL_S:
            policy = redrive_policy(self._sqs, queue_url)
            self._policies[queue_url] = (time.monotonic(), policy)
        return policy


def _sendable(cause: str) -> str:
    """Return a text that SQS takes as an attribute's value: not empty, no control characters."""
    printable = "".join(char if char.isprintable() else " " for char in cause)
    return printable[:MAX_CAUSE_CHARS] or "unknown"
