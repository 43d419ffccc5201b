"""One scaler acts at a time; another takes over when it is gone."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from scaler.lease import Lease
from tasks.names import LEASE_KEY
from tasks.objects import Bucket

pytestmark = pytest.mark.stack

LEASE_S = 30.0


@dataclass
class Clock:
    """A clock that the test turns."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """The contenders' clock."""
    return Clock()


def test_the_first_gets_it_and_keeps_it(bucket: Bucket, clock: Clock) -> None:
    """Renewed in time, the lease stays with its holder however long."""
    first, second = Lease(bucket, "first", LEASE_S, clock), Lease(bucket, "second", LEASE_S, clock)
    for _ in range(5):
        assert first.acquire_or_renew(clock())
        assert not second.acquire_or_renew(clock())
        clock.now_s += LEASE_S / 2
    assert first.still_held()
    assert not second.still_held()


def test_a_lease_that_is_not_renewed_is_taken_over(bucket: Bucket, clock: Clock) -> None:
    """A contender waits the whole lease on its own clock, and then the late holder does not get it back."""
    first, second = Lease(bucket, "first", LEASE_S, clock), Lease(bucket, "second", LEASE_S, clock)
    assert first.acquire_or_renew(clock())
    clock.now_s += 10 * LEASE_S
    assert not second.acquire_or_renew(clock()), "seen for the first time, whatever its age"
    assert not first.still_held(), "its own clock tells it"
    clock.now_s += LEASE_S + 1
    assert second.acquire_or_renew(clock())
    assert not first.acquire_or_renew(clock())


def test_of_two_that_take_over_at_once_one_gets_it(bucket: Bucket, clock: Clock) -> None:
    """The conditional write lets one pass."""
    Lease(bucket, "gone", LEASE_S, clock).acquire_or_renew(clock())
    contenders = [Lease(bucket, f"contender-{number}", LEASE_S, clock) for number in range(3)]
    for contender in contenders:
        contender.acquire_or_renew(clock())
    clock.now_s += LEASE_S + 1
    assert [contender.acquire_or_renew(clock()) for contender in contenders].count(True) == 1


def test_a_lease_given_up_is_free_at_once(bucket: Bucket, clock: Clock) -> None:
    """After a clean end nobody waits; what is another's is not given up."""
    first, second = Lease(bucket, "first", LEASE_S, clock), Lease(bucket, "second", LEASE_S, clock)
    first.acquire_or_renew(clock())
    second.release()
    assert first.acquire_or_renew(clock())
    first.release()
    assert second.acquire_or_renew(clock())


def test_a_lease_that_cannot_be_read_runs_out(bucket: Bucket, clock: Clock) -> None:
    """Damage does not stop scaling for ever."""
    bucket.put(LEASE_KEY, b"\x00 no JSON")
    lease = Lease(bucket, "first", LEASE_S, clock)
    assert not lease.acquire_or_renew(clock())
    clock.now_s += LEASE_S + 1
    assert lease.acquire_or_renew(clock())
