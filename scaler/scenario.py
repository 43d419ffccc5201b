"""The world that a policy is tried in, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from scaler.state import DEFAULT_VERSION

# The traces in scaler/traces/: those that every comparison is made on, and one at another scale.
USUAL = ("bursts", "steady", "burst-416")
TRACE_NAMES = (*USUAL, "million")


@dataclass(frozen=True)
class Scenario:
    """The world that a policy is tried in.

    Attributes:
        task_s: seconds of a task; beyond a tick rounded to whole ticks.
        slots: tasks that a node runs at a time.
        boot_s: seconds from launch to the first task.
        boot_spread: the share of it by which boots differ, at random both ways.
        power_off_s: seconds from the order to power off to the end of billing.
        visibility_s: seconds until the tasks of a killed node are delivered again.
        tick_s: seconds from one decision to the next.
        count_noise: the share by which the queue's counts are wrong, at random both ways.
        missing: the share of ticks at which the counts cannot be read.
        refused: the share of launches that EC2 refuses for want of capacity.
        never_join: the share of nodes that never join.
        roll_at_s: when the launch template's version that is wanted changes from 1 to 2; None if it does not.
        broken_version: the version whose nodes never join; empty if there is none.
        seed: of everything that happens at random.
    """

    task_s: float = 10.0
    slots: int = 8
    boot_s: float = 90.0
    boot_spread: float = 0.1
    power_off_s: float = 20.0
    visibility_s: float = 60.0
    tick_s: float = 5.0
    count_noise: float = 0.0
    missing: float = 0.0
    refused: float = 0.0
    never_join: float = 0.0
    roll_at_s: float | None = None
    broken_version: str = ""
    seed: int = 4

    def version_at(self, now_s: float) -> str:
        """Return the version that is wanted then."""
        if self.roll_at_s is None:
            return DEFAULT_VERSION
        return "1" if now_s < self.roll_at_s else "2"

    @property
    def ticks_per_task(self) -> int:
        """Whole ticks that a task takes."""
        return max(1, round(self.task_s / self.tick_s))

    @property
    def true_task_s(self) -> float:
        """Seconds that a task takes here."""
        return self.task_s if self.task_s < self.tick_s else self.ticks_per_task * self.tick_s

    @property
    def starts_per_tick(self) -> int:
        """Tasks that an empty node can start in a tick."""
        return self.slots if self.task_s >= self.tick_s else max(1, int(self.slots * self.tick_s / self.task_s))
