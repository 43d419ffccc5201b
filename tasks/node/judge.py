"""Decides what a node's agent does next: pure, over what it has seen. Knows no process, no cloud and no clock.

A worker that ends with status 0 was shut down: the node is on its way out, and no worker is started any more. One that
ends otherwise has crashed, and is started again after a pause that doubles; too many crashes end the node.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Limits:
    """How much the agent bears.

    Attributes:
        max_crashes: of all workers together within `crash_window_s`; with that many the node gives up.
        crash_window_s: after so long a crash is forgotten.
        stop_deadline_s: what a worker that was told to stop has to end by itself.
    """

    max_crashes: int = 5
    crash_window_s: float = 300.0
    stop_deadline_s: float = 110.0


@dataclass(frozen=True)
class Observation:
    """What the agent sees at one moment.

    Attributes:
        now_s: on a clock that never goes back.
        running: the workers that run.
        ended: the exit statuses of those that have ended since the last look.
        asked: whether the agent itself was told to stop.
        notice: what EC2 announces, in words; empty if nothing.
        abandoned: whether the safety net says that nobody needs this node.
    """

    now_s: float
    running: frozenset[str]
    ended: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    asked: bool = False
    notice: str = ""
    abandoned: bool = False


@dataclass(frozen=True)
class Ending:
    """Why the node ends, and how.

    Attributes:
        reason: in words.
        power_off: whether the machine is powered off, too.
        failed: whether it ends because it does not work.
    """

    reason: str
    power_off: bool = True
    failed: bool = False


@dataclass(frozen=True)
class Memory:
    """What the agent remembers from one look to the next.

    Attributes:
        due_s: when to start each worker that does not run and is to run.
        crashes_s: when workers crashed, within the window.
        ending: set once the node is to end.
        ending_since_s: since when.
    """

    due_s: Mapping[str, float]
    crashes_s: tuple[float, ...] = ()
    ending: Ending | None = None
    ending_since_s: float = 0.0

    @classmethod
    def of(cls, workers: tuple[str, ...]) -> Memory:
        """Return the memory of an agent that has not started its workers yet."""
        return cls(dict.fromkeys(workers, 0.0))


@dataclass(frozen=True)
class Verdict:
    """What to do now.

    Attributes:
        start: workers to start.
        stop: workers to tell to finish what they run and end.
        kill: workers to end at once.
        end: set when nothing is left but to end the agent.
        reason: in words; empty if there is nothing new.
    """

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    kill: tuple[str, ...] = ()
    end: Ending | None = None
    reason: str = ""


def judge(seen: Observation, memory: Memory, limits: Limits) -> tuple[Verdict, Memory]:
    """Return what to do and what to remember.

    For example a worker whose second crash was at 100 s is started again at 102 s.
    """
    memory = _learn(seen, memory, limits)
    if memory.ending is None:
        ending = _ending(seen, memory, limits)
        if ending is None:
            return _start(seen, memory)
        memory = replace(memory, due_s={}, ending=ending, ending_since_s=seen.now_s)
        if seen.running:
            return Verdict(stop=tuple(sorted(seen.running)), reason=ending.reason), memory
    if not seen.running:
        return Verdict(end=memory.ending), memory
    if seen.now_s - memory.ending_since_s >= limits.stop_deadline_s:
        return Verdict(kill=tuple(sorted(seen.running)), reason="workers did not end in time"), memory
    return Verdict(), memory


def _learn(seen: Observation, memory: Memory, limits: Limits) -> Memory:
    """Note what crashed, and when to start it again."""
    crashed = [name for name, status in seen.ended.items() if status != 0]
    recent = tuple(at_s for at_s in memory.crashes_s if seen.now_s - at_s < limits.crash_window_s)
    crashes_s = recent + (seen.now_s,) * len(crashed)
    pause_s = min(FIRST_PAUSE_S * 2 ** max(len(crashes_s) - 1, 0), LONGEST_PAUSE_S)
    due_s = {**memory.due_s, **dict.fromkeys(crashed, seen.now_s + pause_s)}
    return replace(memory, crashes_s=crashes_s, due_s=due_s)


def _ending(seen: Observation, memory: Memory, limits: Limits) -> Ending | None:
    """Return why the node is to end now, if it is; the first reason that holds."""
    shut_down = sorted(name for name, status in seen.ended.items() if status == 0)
    crashes = len(memory.crashes_s)
    reasons = (
        (seen.asked, Ending("the agent was told to stop", power_off=False)),
        (bool(seen.notice), Ending(seen.notice)),
        # Whoever shut one worker down wants the node gone: the scaler always tells all of them.
        (bool(shut_down), Ending(f"{', '.join(shut_down)} was shut down")),
        (crashes >= limits.max_crashes, Ending(f"{crashes} crashes in {limits.crash_window_s:g} s", failed=True)),
        (seen.abandoned, Ending("no scaler and no messages for too long")),
    )
    return next((ending for holds, ending in reasons if holds), None)


def _start(seen: Observation, memory: Memory) -> tuple[Verdict, Memory]:
    start = tuple(name for name, at_s in memory.due_s.items() if at_s <= seen.now_s)
    waiting = {name: at_s for name, at_s in memory.due_s.items() if name not in start}
    reason = ", ".join(f"{name} ended with status {status}" for name, status in seen.ended.items())
    return Verdict(start=start, reason=reason), replace(memory, due_s=waiting)
