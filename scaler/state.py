"""What the scaler observes, remembers and decides, as frozen values. Knows no clock, no AWS and no Celery.

Times are seconds; instants are Unix time. None means "not known", which is never the same as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

# EC2's name of whichever version is the launch template's default at that moment.
DEFAULT_VERSION = "$Default"
# So many nodes of a version that are lost in their boot, none joining between them, are not chance any more.
HALT_FAILURES = 3


class Phase(StrEnum):
    """Where a node is in its life. Each edge is made by one side alone.

    BOOTING -> READY: its worker reports for the first time.
    READY -> DRAINING: the scaler tells it to take no more tasks. DRAINING -> READY: the scaler takes that back.
    DRAINING -> COMMITTED: the scaler tells it to finish and power off; there is no way back.
    READY, DRAINING, COMMITTED -> SILENT: its worker does not answer. SILENT -> where it was: it answers again.
    any -> STOPPING: EC2 shuts the instance down, whoever asked for it. A terminated instance is no node any more.
    """

    BOOTING = "booting"
    READY = "ready"
    DRAINING = "draining"
    COMMITTED = "committed"
    SILENT = "silent"
    STOPPING = "stopping"


@dataclass(frozen=True)
class Backlog:
    """The counts of the queue of tasks, as SQS gives them: approximate."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def messages(self) -> int:
        """All messages in the queue."""
        return self.visible + self.in_flight + self.delayed


@dataclass(frozen=True)
class WorkerReport:
    """What a node's worker says of itself.

    Attributes:
        slots: tasks that it runs at a time.
        active: tasks that run.
        reserved: tasks that it holds and has not begun.
        idle_s: seconds since its last task ended (or since its start, before the first); 0 while it holds tasks.
        consuming: whether it takes tasks from the queue.
        tasks: tasks ended since its start.
        task_s: seconds that those took, together.
    """

    slots: int
    active: int
    reserved: int
    idle_s: float
    consuming: bool
    tasks: int
    task_s: float

    @property
    def idle(self) -> bool:
        """Whether it holds no task at all."""
        return self.active == 0 and self.reserved == 0


@dataclass(frozen=True)
class Node:
    """One instance that is not terminated, with what its worker said at this tick.

    Attributes:
        id: EC2's instance id.
        phase: where it is in its life.
        launched_at_s: when EC2 launched it.
        since_s: when it came into its phase (draining and committed: from its tag; silent: its last report).
        report: its worker's report of this tick; None if it gave none.
        spot: whether it is a spot instance.
        instance_type: for example ``c7i.large``.
        template_version: number of the launch template's version that it was launched from; empty if it was launched
            without one, None if it is not known.
    """

    id: str
    phase: Phase
    launched_at_s: float
    since_s: float
    report: WorkerReport | None = None
    spot: bool = False
    instance_type: str = ""
    template_version: str | None = None


@dataclass(frozen=True)
class Sample:
    """What one tick observed. A part that could not be read is None, and `failures` says why.

    Attributes:
        now_s: when it was taken.
        backlog: the queue.
        nodes: every non-terminated instance, those included that were launched and are not listed by EC2 yet.
        failures: one line for each read that failed, and each report that could not be understood.
    """

    now_s: float
    backlog: Backlog | None
    nodes: tuple[Node, ...] | None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Limits:
    """What the operator set; see `scaler.settings` for each."""

    policy: str = "drain_time"
    min_nodes: int = 0
    max_nodes: int = 19
    max_launches_per_tick: int = 10
    target_drain_s: float = 120.0
    load_factor: float = 5.0
    idle_s: float = 60.0
    surplus_ticks: int = 3
    drain_grace_s: float = 10.0
    boot_deadline_s: float = 300.0
    silent_deadline_s: float = 180.0
    poweroff_deadline_s: float = 600.0
    template_version: str = DEFAULT_VERSION
    initial_task_s: float = 1.0
    initial_boot_s: float = 90.0
    node_slots: int = 8


@dataclass(frozen=True)
class Versions:
    """What is known of the launch template's versions.

    Attributes:
        wanted: the number that the rest is about.
        joined: whether a node of it has ever reported.
        failures: nodes of it that were lost in their boot since the last one joined.
        fallback: the version that worked before, as long as the roll is not done: empty if it has no number, None if
            there is none.
        hold: nodes that a roll leaves as many of, those that boot included; None while there is none.
        outdated: nodes of other versions at the last sample.
        since_s: when the roll began or last came further; None while there is none.
        yielded: whether a node had to go for one that tries the version, which has neither joined nor been lost yet.
    """

    wanted: str = ""
    joined: bool = False
    failures: int = 0
    fallback: str | None = None
    hold: int | None = None
    outdated: int = 0
    since_s: float | None = None
    yielded: bool = False

    @property
    def halted(self) -> bool:
        """Whether too many nodes of the wanted version were lost in their boot while there was another to keep."""
        return self.failures >= HALT_FAILURES and self.fallback is not None


@dataclass(frozen=True)
class History:
    """What a decision needs to know of the past. All of it can be lost: that costs time, never a node or a task.

    Attributes:
        candidates: nodes that may be drained, and since when each has been idle and surplus.
        surplus_ticks: ticks in a row with more nodes than desired.
        surplus_since_s: when the first of those was; None if the last tick had no such nodes.
        slots: tasks that a node runs at a time, of the latest nodes that reported; None before the first.
        task_s: mean seconds of one task, exponentially weighted; None before the first.
        tallies: each worker's (tasks, task_s) at its last report, to tell what is new.
        boots_s: seconds from launch to first report of the latest nodes, newest last.
        launch_failures: launches in a row that failed, or whose nodes never joined.
        launch_not_before_s: no launch before then.
        lowered_cap: a cap below the operator's, found by hitting an account's limit; None if there is none.
        lowered_cap_until_s: when the account's limit is tried again.
        stopped: why EC2 forbids launches, as far as is known; empty if it does not.
        stopped_until_s: when a launch is tried all the same.
        versions: of the launch template.
    """

    candidates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    surplus_ticks: int = 0
    surplus_since_s: float | None = None
    slots: int | None = None
    task_s: float | None = None
    tallies: Mapping[str, tuple[int, float]] = field(default_factory=lambda: MappingProxyType({}))
    boots_s: tuple[float, ...] = ()
    launch_failures: int = 0
    launch_not_before_s: float = 0.0
    lowered_cap: int | None = None
    lowered_cap_until_s: float = 0.0
    stopped: str = ""
    stopped_until_s: float = 0.0
    versions: Versions = field(default_factory=Versions)

    def is_stopped(self, now_s: float) -> bool:
        """Tell whether no launch is tried now, because EC2 has forbidden the last one."""
        return bool(self.stopped) and now_s < self.stopped_until_s


@dataclass(frozen=True)
class Decision:
    """What to do now, and why. Nodes are named by instance id.

    Attributes:
        launch: number of nodes to launch.
        template_version: of the launch template that they are launched from.
        revert: draining nodes that are to take tasks again.
        drain: ready nodes that are to take no more tasks.
        commit: drained nodes that are to power off.
        replace: nodes that never joined or fell silent past their deadline: asked once more, then terminated.
        desired: the number of nodes that the policy wants, between minimum and cap; None if it cannot be told.
        held: whether something that could not be read kept the scaler from deciding.
        reason: in words.
        values: every intermediate value, by name.
    """

    launch: int = 0
    template_version: str = DEFAULT_VERSION
    revert: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()
    commit: tuple[str, ...] = ()
    replace: tuple[str, ...] = ()
    desired: int | None = None
    held: bool = False
    reason: str = ""
    values: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


class Meaning(StrEnum):
    """What EC2's refusal of a launch means to the scaler."""

    NO_CAPACITY = "no capacity"  # this type, here, now: another type or zone may do
    QUOTA = "quota"  # the account may have no more: the cap is lower than thought
    THROTTLED = "throttled"  # too many requests: later
    UNAVAILABLE = "unavailable"  # EC2 does not answer, or fails, or the keys have run out: later
    FORBIDDEN = "forbidden"  # the role or the request is wrong: only a person can mend it


@dataclass(frozen=True)
class LaunchOutcome:
    """What came of a launch: EC2 may give a part of what was asked for, and say why not the rest."""

    asked: int
    launched: tuple[str, ...] = ()
    refusals: tuple[tuple[Meaning, str], ...] = ()

    @property
    def forbidden(self) -> bool:
        """Whether only a person can mend it: one type or subnet may be wrong while others are not."""
        return not self.launched and {meaning for meaning, _ in self.refusals} == {Meaning.FORBIDDEN}
