"""Replays arrivals through the same `decide` and `learn` that the scaler runs. Pure but for chance, which has a seed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scaler.arrivals import Counts
from scaler.measure import after_launch, learn
from scaler.roll import learn_versions
from scaler.scenario import Scenario
from scaler.simulated_fleet import COMMITTED, DRAINING, HOUR_S, TAKING, SimulatedFleet
from scaler.state import Backlog, Decision, History, LaunchOutcome, Limits, Meaning, Sample

# Every policy is watched for as long after the last arrival, so that late nodes are billed.
AFTER_S = 3600.0

Decide = Callable[[Sample, History, Limits], tuple[Decision, History]]


@dataclass(frozen=True)
class Series:
    """What is drawn, tick by tick: instants, messages in the queue, nodes, nodes that take tasks, longest wait.

    The wait is that of the tasks that began in the tick, and NaN if none did.
    """

    at_s: NDArray[np.float64]
    backlog: NDArray[np.int64]
    nodes: NDArray[np.int64]
    taking: NDArray[np.int64]
    wait_s: NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """What came of a trace under a policy.

    Attributes:
        policy: its name.
        billed_h: node-hours that EC2 bills.
        work_h: node-hours that the tasks need on nodes with every slot taken.
        wait_s: the waits from arrival to start that 50, 95 and 99 of 100 tasks stay within.
        tasks: tasks that arrived.
        launches: nodes launched.
        interrupted: tasks that a node was killed under; each of them ran again and waited twice.
        left: tasks that had not begun when the watching ended.
        held: ticks at which nothing could be decided.
        roll_s: seconds from a new version of the launch template to the end of the last node of another; None if there
            was none, or it was not reached by nodes of the new one.
        rolled: nodes that were there when it came.
        series: what is drawn.
    """

    policy: str
    billed_h: float
    work_h: float
    wait_s: tuple[float, float, float]
    tasks: int
    launches: int
    interrupted: int
    left: int
    held: int
    roll_s: float | None
    rolled: int
    series: Series = field(repr=False)


class Queue:
    """Tasks that wait, first come first served, in cohorts that arrived together."""

    def __init__(self) -> None:
        self._cohorts: deque[list[float]] = deque()
        self._returning: deque[tuple[float, int]] = deque()
        self.visible = 0
        self.hidden = 0
        self._waits_s: list[float] = []
        self._weights: list[int] = []

    def add(self, tasks: int, now_s: float) -> None:
        """Add tasks that arrive."""
        if tasks:
            self._cohorts.append([now_s, tasks])
            self.visible += tasks

    def hide(self, tasks: int, until_s: float) -> None:
        """Add tasks of a killed node, which come back at the end of their visibility timeout."""
        if tasks:
            self._returning.append((until_s, tasks))
            self.hidden += tasks

    def come_back(self, now_s: float) -> None:
        """Show tasks whose visibility timeout is over."""
        while self._returning and self._returning[0][0] <= now_s:
            _, tasks = self._returning.popleft()
            self.hidden -= tasks
            self.add(tasks, now_s)

    def take(self, tasks: int, now_s: float) -> float:
        """Start the oldest tasks and return the longest wait among them."""
        self.visible -= tasks
        longest_s = 0.0
        while tasks > 0:
            arrived_s, there = self._cohorts[0]
            taken = min(tasks, int(there))
            wait_s = max(0.0, now_s - arrived_s)
            self._waits_s.append(wait_s)
            self._weights.append(taken)
            longest_s = max(longest_s, wait_s)
            tasks -= taken
            if taken == there:
                self._cohorts.popleft()
            else:
                self._cohorts[0][1] -= taken
        return longest_s

    def percentiles(self, shares: tuple[float, ...]) -> tuple[float, ...]:
        """Return the waits that these shares of the started tasks stay within; 0 if none was started."""
        if not self._waits_s:
            return (0.0,) * len(shares)
        waits_s, weights = np.array(self._waits_s), np.array(self._weights)
        order = np.argsort(waits_s)
        reached = np.cumsum(weights[order])
        places = np.searchsorted(reached, np.array(shares) * reached[-1])
        return tuple(waits_s[order][places].tolist())


def simulate(name: str, decide: Decide, arrivals: Counts, limits: Limits, scenario: Scenario) -> Run:
    """Return what comes of arrivals under a policy.

    Args:
        name: the policy's, for the table.
        decide: `scaler.decide.decide` or a rival.
        arrivals: tasks that arrive in each tick.
        limits: the operator's settings.
        scenario: the world.
    """
    world = _World(decide, limits, scenario)
    after = int(AFTER_S / scenario.tick_s)
    rows = [world.tick(tick, tasks) for tick, tasks in enumerate([*arrivals.tolist(), *[0] * after])]
    world.fleet.settle(len(rows) * scenario.tick_s)
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    tasks = int(arrivals.sum())
    p50_s, p95_s, p99_s = world.queue.percentiles((0.5, 0.95, 0.99))
    return Run(
        policy=name,
        billed_h=world.fleet.billed_s / HOUR_S,
        work_h=tasks * scenario.true_task_s / scenario.slots / HOUR_S,
        wait_s=(p50_s, p95_s, p99_s),
        tasks=tasks,
        launches=world.fleet.launches,
        interrupted=world.fleet.interrupted,
        left=world.queue.visible + world.queue.hidden,
        held=world.held,
        roll_s=world.roll_s,
        rolled=world.rolled,
        series=Series(*columns),
    )


class _World:
    """The queue, the fleet, and the scaler between them."""

    def __init__(self, decide: Decide, limits: Limits, scenario: Scenario) -> None:
        self._decide, self._limits, self._scenario = decide, limits, scenario
        self._rng = np.random.default_rng(scenario.seed)
        self.queue = Queue()
        self.fleet = SimulatedFleet(limits.max_nodes, scenario, self._rng)
        self._history = History()
        self._previous: Sample | None = None
        self.held = 0
        self.roll_s: float | None = None
        self.rolled = 0

    def tick(self, tick: int, arriving: int) -> tuple[float, int, int, int, float]:
        """Decide, act, and let the tick pass."""
        now_s = tick * self._scenario.tick_s
        self.fleet.advance(now_s)
        self.queue.come_back(now_s)
        sample = Sample(now_s, self._counts(), self.fleet.nodes(now_s))
        limits = replace(self._limits, template_version=self._scenario.version_at(now_s))
        self._history = learn(self._history, sample, self._previous)
        self._history = learn_versions(self._history, sample, self._previous, limits)
        decision, self._history = self._decide(sample, self._history, limits)
        self._previous = sample
        self._watch_roll(sample)
        self._act(decision, now_s)
        middle_s = now_s + self._scenario.tick_s / 2
        self.queue.add(arriving, middle_s)
        started = self.fleet.work(self.queue.visible, tick)
        wait_s = self.queue.take(started, middle_s) if started else math.nan
        return now_s, self.queue.visible + self.fleet.in_flight, self.fleet.count, self.fleet.taking, wait_s

    def _watch_roll(self, sample: Sample) -> None:
        roll_at_s = self._scenario.roll_at_s
        if roll_at_s is None or sample.now_s < roll_at_s or self.roll_s is not None:
            return
        outdated = sum(node.template_version != "2" for node in sample.nodes or ())
        self.rolled = max(self.rolled, outdated)
        if not outdated and self._history.versions.joined:
            self.roll_s = sample.now_s - roll_at_s

    def _counts(self) -> Backlog | None:
        scenario = self._scenario
        if scenario.missing and self._rng.random() < scenario.missing:
            return None
        in_flight = self.fleet.in_flight + self.queue.hidden
        if not scenario.count_noise:
            return Backlog(self.queue.visible, in_flight, 0)
        wrong = 1 + scenario.count_noise * self._rng.uniform(-1, 1, size=2)
        return Backlog(round(self.queue.visible * wrong[0]), round(in_flight * wrong[1]), 0)

    def _act(self, decision: Decision, now_s: float) -> None:
        self.held += decision.held
        self.fleet.change(decision.revert, TAKING, now_s)
        self.fleet.change(decision.drain, DRAINING, now_s)
        self.fleet.change(decision.commit, COMMITTED, now_s)
        if decision.replace:
            self.queue.hide(self.fleet.kill(decision.replace, now_s), now_s + self._scenario.visibility_s)
        if decision.launch:
            self._launch(decision.launch, decision.template_version, now_s)

    def _launch(self, number: int, version: str, now_s: float) -> None:
        before = self.fleet.count
        if self._scenario.refused and self._rng.random() < self._scenario.refused:
            outcome = LaunchOutcome(number, (), ((Meaning.NO_CAPACITY, "simulated"),))
        else:
            outcome = LaunchOutcome(number, self.fleet.launch(number, now_s, version))
        self._history = after_launch(
            self._history, outcome, now_s=now_s, nodes=before, jitter=float(self._rng.random())
        )
