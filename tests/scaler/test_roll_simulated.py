"""Rolls from their first node to their last, simulated: they end, under the cap, and no task is interrupted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.arrivals import Counts
from scaler.decide import decide
from scaler.roll import OVERDUE_S
from scaler.scenario import Scenario
from scaler.simulate import Run, simulate
from scaler.state import Limits

WORLD = Scenario(task_s=10, tick_s=5, roll_at_s=3600)
STEADY = np.full(2 * 720, 20, dtype=np.int64)
STILL = np.zeros(2 * 720, dtype=np.int64)
# By then a fleet has the size that its load needs.
SETTLED_S = 1800.0


def run(limits: Limits, world: Scenario = WORLD, arrivals: Counts = STEADY) -> Run:
    """Simulate two hours, and a new version after the first."""
    return simulate("x", decide, arrivals, limits, world)


@pytest.mark.parametrize("policy", ["drain_time", "load_factor"])
@pytest.mark.parametrize(
    ("limits", "arrivals"),
    [
        pytest.param(Limits(initial_task_s=10), STEADY, id="room under the cap"),
        pytest.param(Limits(initial_task_s=10, max_nodes=6, load_factor=30), STEADY, id="one place under the cap"),
        pytest.param(Limits(min_nodes=3, max_nodes=3), STILL, id="the minimum fills the cap"),
    ],
)
def test_a_roll_ends_and_costs_no_wait(policy: str, limits: Limits, arrivals: Counts) -> None:
    """Every old node is replaced within half an hour, under the cap, and tasks wait no longer than without."""
    limits = replace(limits, policy=policy)
    rolled, calm = run(limits, arrivals=arrivals), run(limits, replace(WORLD, roll_at_s=None), arrivals)
    assert rolled.roll_s is not None
    assert rolled.roll_s < 1800
    assert rolled.rolled >= 3
    assert (rolled.left, rolled.interrupted) == (0, 0)
    assert rolled.series.nodes.max() <= limits.max_nodes
    assert rolled.wait_s[2] <= calm.wait_s[2] + WORLD.tick_s


@dataclass(frozen=True)
class Roll:
    """A fleet that gets a new version under a load that stays the same but for chance."""

    limits: Limits
    world: Scenario
    arrivals_per_tick: float

    def run(self, for_s: float) -> Run:
        """Simulate it from the scaler's start to a while after the new version came."""
        ticks = int((SETTLED_S + for_s) / self.world.tick_s)
        chance = np.random.default_rng(self.world.seed)
        arrivals = chance.poisson(self.arrivals_per_tick, size=ticks).astype(np.int64)
        return simulate("x", decide, arrivals, self.limits, self.world)


@st.composite
def rolls(draw: Any, most_nodes: int, load: tuple[float, float], refused: tuple[float, ...] = (0.0,)) -> Roll:
    """Fleets of any size up to `most_nodes`; `load` is the share of what the full cap bears, from and to."""
    world = Scenario(
        task_s=draw(st.sampled_from([1.0, 10.0, 60.0])),
        count_noise=draw(st.sampled_from([0.0, 0.3])),
        refused=draw(st.sampled_from(refused)),
        roll_at_s=SETTLED_S,
        seed=draw(st.integers(0, 99)),
    )
    cap = draw(st.integers(1, most_nodes))
    limits = Limits(min_nodes=draw(st.integers(0, cap)), max_nodes=cap, initial_task_s=world.task_s)
    return Roll(limits, world, draw(st.floats(*load)) * cap * world.slots * world.tick_s / world.task_s)


@settings(max_examples=10, deadline=None)
@given(rolls(most_nodes=16, load=(0.05, 0.6), refused=(0.0, 0.3)))
def test_every_roll_ends_within_the_cap_and_interrupts_nothing(roll: Roll) -> None:
    """Whatever the fleet and the load it can bear: under the cap, no task interrupted, and all nodes new in an hour."""
    result = roll.run(3600)
    assert (result.interrupted, result.left) == (0, 0)
    assert result.series.nodes.max() <= roll.limits.max_nodes
    assert result.roll_s is not None
    assert result.roll_s < 3600


@settings(max_examples=10, deadline=None)
@given(rolls(most_nodes=4, load=(0.85, 1.1)))
def test_a_roll_ends_though_every_node_is_needed(roll: Roll) -> None:
    """At loads about and beyond what the cap bears, each old node goes within a wait, its last tasks and two boots."""
    cap, world = roll.limits.max_nodes, roll.world
    bound_s = cap * (OVERDUE_S + 2 * world.task_s + 2 * world.boot_s + 60)
    result = roll.run(bound_s)
    assert result.interrupted == 0
    assert result.series.nodes.max() <= cap
    assert result.roll_s is not None
    assert result.roll_s <= bound_s


def test_a_version_that_does_not_work_halts_under_a_full_cap_too() -> None:
    """Where all nodes are needed, three of it are tried one at a time, and then old ones fill the cap."""
    world = replace(WORLD, broken_version="2", roll_at_s=1800.0)
    arrivals = np.full(3 * 720, 17, dtype=np.int64)
    broken = run(Limits(initial_task_s=10, max_nodes=4), world, arrivals)
    assert broken.interrupted == 0
    assert broken.series.nodes.max() == 4
    assert broken.series.taking[720:2160].min() >= 3
    assert broken.series.taking[1600:2160].min() == 4


def test_a_version_that_does_not_work_costs_no_wait() -> None:
    """Its nodes never join: three are tried, the old ones stay, and a burst in the middle is met by old ones."""
    arrivals = STEADY.copy()
    arrivals[730:740] += 300
    broken, calm = (
        run(Limits(initial_task_s=10), world, arrivals)
        for world in (replace(WORLD, broken_version="2"), replace(WORLD, roll_at_s=None))
    )
    assert (broken.left, broken.interrupted) == (0, 0)
    assert broken.wait_s[2] <= calm.wait_s[2] + 2 * WORLD.tick_s
    assert broken.launches <= calm.launches + 6
