"""Nodes that exist in numbers only: they boot, work, drain and leave, a thousand of them in arrays."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from scaler.scenario import Scenario
from scaler.state import Node, Phase, WorkerReport

GONE, BOOTING, TAKING, DRAINING, COMMITTED = range(5)
PHASES = {BOOTING: Phase.BOOTING, TAKING: Phase.READY, DRAINING: Phase.DRAINING, COMMITTED: Phase.COMMITTED}
HOUR_S = 3600.0
# EC2 bills seconds, and at least a minute: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/concepts.html
LEAST_BILLED_S = 60.0


class SimulatedFleet:
    """The nodes, each at a place in arrays; a place is used again when its node is gone."""

    def __init__(self, places: int, scenario: Scenario, rng: np.random.Generator) -> None:
        self._scenario = scenario
        self._rng = rng
        self._ids, self._versions = [""] * places, [""] * places
        self._places: dict[str, int] = {}
        self._state = np.zeros(places, dtype=np.int8)
        self._launched_s, self._since_s, self._idle_since_s = (np.zeros(places) for _ in range(3))
        # When the node's present state ends by itself: it joins, or is gone.
        self._until_s = np.full(places, np.inf)
        self._running, self._active, self._tasks = (np.zeros(places, dtype=np.int64) for _ in range(3))
        # Tasks by the tick of their end, modulo the ticks of a task, and by node.
        self._ends = np.zeros((scenario.ticks_per_task, places), dtype=np.int64)
        self._serial = 0
        self.billed_s = 0.0
        self.launches = 0
        self.interrupted = 0

    @property
    def count(self) -> int:
        """Nodes that are not gone."""
        return len(self._places)

    @property
    def taking(self) -> int:
        """Nodes that take tasks."""
        return int(np.count_nonzero(self._state == TAKING))

    @property
    def in_flight(self) -> int:
        """Tasks that run at this moment."""
        return int(self._active.sum())

    def advance(self, now_s: float) -> None:
        """Let nodes join and leave whose time has come."""
        if not self._places:
            return
        due = self._until_s <= now_s
        joining = due & (self._state == BOOTING)
        self._state[joining] = TAKING
        self._since_s[joining] = self._idle_since_s[joining] = now_s
        self._until_s[joining] = np.inf
        for place in np.flatnonzero(due & (self._state == COMMITTED)):
            self._remove(int(place), float(self._until_s[place]))

    def work(self, waiting: int, tick: int) -> int:
        """Let one tick pass: tasks end, and free slots take up to `waiting` new ones at random. Return how many."""
        scenario = self._scenario
        ends = self._ends[tick % scenario.ticks_per_task]
        now_s, end_s = tick * scenario.tick_s, (tick + 1) * scenario.tick_s
        self._running -= ends
        self._tasks += ends
        self._idle_since_s[ends > 0] = now_s
        ends[:] = 0
        free = np.where(self._state == TAKING, scenario.starts_per_tick - self._running, 0)
        started = min(waiting, int(free.sum()))
        if started:
            shares = (
                free
                if started == free.sum()
                else self._rng.multivariate_hypergeometric(free, started, method="marginals")
            )
            ends += shares
            self._running += shares
        self._active = self._running if scenario.task_s >= scenario.tick_s else self._seen_running(end_s)
        return started

    def _seen_running(self, end_s: float) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return the tasks that a look at the end of the tick finds running, if tasks are shorter than a tick."""
        scenario = self._scenario
        expected = self._running * scenario.task_s / scenario.tick_s
        seen = np.minimum(scenario.slots, np.floor(expected + self._rng.random(expected.shape))).astype(np.int64)
        self._idle_since_s[self._running > 0] = end_s
        return seen

    def nodes(self, now_s: float) -> tuple[Node, ...]:
        """Return the nodes as the scaler sees them."""
        states, launched_s, since_s = self._state.tolist(), self._launched_s.tolist(), self._since_s.tolist()
        idle_s, active = (now_s - self._idle_since_s).tolist(), self._active.tolist()
        tasks, task_s, slots = self._tasks.tolist(), self._scenario.true_task_s, self._scenario.slots
        seen = []
        for node, place in self._places.items():
            state, report = states[place], None
            if state in {TAKING, DRAINING}:
                idle = 0.0 if active[place] else idle_s[place]
                done = tasks[place]
                report = WorkerReport(slots, active[place], 0, idle, state == TAKING, done, done * task_s)
            seen.append(
                Node(
                    node,
                    PHASES[state],
                    launched_s[place],
                    since_s[place],
                    report,
                    template_version=self._versions[place],
                )
            )
        return tuple(seen)

    def launch(self, number: int, now_s: float, version: str) -> tuple[str, ...]:
        """Launch nodes from a version of the launch template and return their ids."""
        free = np.flatnonzero(self._state == GONE)[:number]
        return tuple(self._launch(int(place), now_s, version) for place in free)

    def _launch(self, place: int, now_s: float, version: str) -> str:
        scenario = self._scenario
        node = f"i-{self._serial:06d}"
        self._serial += 1
        self.launches += 1
        self._ids[place], self._places[node], self._versions[place] = node, place, version
        self._state[place] = BOOTING
        self._launched_s[place] = self._since_s[place] = now_s
        boot_s = scenario.boot_s * (1 + scenario.boot_spread * self._rng.uniform(-1, 1))
        never = self._rng.random() < scenario.never_join or version == scenario.broken_version
        self._until_s[place] = np.inf if never else now_s + boot_s
        self._tasks[place] = 0
        return node

    def change(self, nodes: Sequence[str], state: int, now_s: float) -> None:
        """Revert (`TAKING`), drain (`DRAINING`) or commit (`COMMITTED`) nodes."""
        for place in (self._places[node] for node in nodes):
            self._state[place] = state
            self._since_s[place] = now_s
            if state == COMMITTED:
                self._until_s[place] = now_s + self._scenario.power_off_s

    def kill(self, nodes: Collection[str], now_s: float) -> int:
        """End nodes at once, and return how many tasks that interrupts."""
        places = [self._places[node] for node in nodes]
        lost = int(self._running[places].sum())
        self.interrupted += lost
        for place in places:
            self._remove(place, now_s)
        return lost

    def settle(self, now_s: float) -> None:
        """Bill the nodes that are there still."""
        for place in list(self._places.values()):
            self._remove(place, now_s)

    def _remove(self, place: int, now_s: float) -> None:
        self.billed_s += max(LEAST_BILLED_S, now_s - float(self._launched_s[place]))
        del self._places[self._ids[place]]
        self._state[place] = GONE
        self._until_s[place] = np.inf
        self._running[place] = self._active[place] = 0
        self._ends[:, place] = 0
