"""The transport's decisions: batches, delays, how long a message is kept invisible."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.sqs.batches import split
from tasks.sqs.custody import Lease
from tasks.sqs.delay import DelayTooLongError, delay_s
from tasks.sqs.visibility import extension_s

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
KIB = 1024


@pytest.mark.parametrize(
    ("sizes_bytes", "lengths"),
    [
        pytest.param([], [], id="none"),
        pytest.param([1], [1], id="one"),
        pytest.param([1] * 10, [10], id="ten"),
        pytest.param([1] * 23, [10, 10, 3], id="more-than-ten"),
        pytest.param([100 * KIB] * 5, [2, 2, 1], id="by-size"),
        pytest.param([128 * KIB, 128 * KIB, 1], [2, 1], id="just-256-KiB"),
        pytest.param([1, 300 * KIB, 1], [1, 1, 1], id="one-too-large-goes-alone"),
    ],
)
def test_batches_keep_to_ten_entries_and_256_kib(sizes_bytes: list[int], lengths: list[int]) -> None:
    """No batch is refused whole because of its size, and none is smaller than it need be."""
    assert [len(batch) for batch in split(sizes_bytes, sizes_bytes)] == lengths


@pytest.mark.parametrize(
    ("eta", "expected_s"),
    [
        pytest.param(None, 0, id="no-eta"),
        pytest.param("2026-11-21T12:00:10+00:00", 10, id="ten-seconds"),
        pytest.param("2026-11-21T12:00:00.2+00:00", 1, id="rounded-up"),
        pytest.param("2026-11-21T11:59:00+00:00", 0, id="past"),
        pytest.param("2026-11-21T12:15:00", 900, id="naive-is-utc"),
        pytest.param("2026-11-21T13:01:00+01:00", 60, id="other-zone"),
    ],
)
def test_an_eta_becomes_seconds_of_delay(eta: str | None, expected_s: int) -> None:
    """SQS holds the message back, no worker does."""
    assert delay_s(eta, NOW) == expected_s


def test_an_eta_beyond_sqs_s_limit_is_refused() -> None:
    """The caller reads how far ahead it was and what the limit is."""
    with pytest.raises(DelayTooLongError, match=r"901 s ahead.*900 s at most"):
        delay_s("2026-11-21T12:15:01+00:00", NOW)


@pytest.mark.parametrize(
    ("held_s", "expected_s"),
    [
        pytest.param(0, 60, id="new"),
        pytest.param(3600, 60, id="an-hour"),
        pytest.param(43_190, 10, id="last-ten-seconds"),
        pytest.param(43_300, 0, id="beyond-12-hours"),
    ],
)
def test_a_message_is_kept_invisible_for_12_hours_at_most(held_s: float, expected_s: int) -> None:
    """SQS counts 12 hours from the receive and refuses more."""
    assert extension_s(Lease("queue", "id", "tag", "handle", received_at_s=0.0), 60, held_s) == expected_s
