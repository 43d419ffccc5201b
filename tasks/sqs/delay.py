"""How a task's ETA becomes a delay that SQS keeps, so that no worker holds a message that is not due. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from tasks.sqs.quotas import MAX_DELAY_S


class DelayTooLongError(ValueError):
    """A countdown or ETA is farther away than SQS can hold a message back."""


def delay_s(eta: str | None, now: datetime) -> int:
    """Return the DelaySeconds for a task's ETA (ISO 8601, UTC unless it says otherwise); 0 for none.

    >>> delay_s("2026-01-01T00:00:01.5", datetime(2026, 1, 1, tzinfo=UTC))
    2

    Raises:
        DelayTooLongError: more than 15 minutes ahead.
    """
    if eta is None:
        return 0
    due = datetime.fromisoformat(eta)
    ahead_s = math.ceil(((due if due.tzinfo else due.replace(tzinfo=UTC)) - now).total_seconds())
    if ahead_s > MAX_DELAY_S:
        raise DelayTooLongError(
            f"countdown or eta is {ahead_s} s ahead; SQS holds a message back for {MAX_DELAY_S} s at most"
        )
    return max(0, ahead_s)
