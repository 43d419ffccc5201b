"""A new version of the nodes: who makes room for it, how fast, and what is done when it does not work."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.decide import decide
from scaler.loop import Tick
from scaler.memory import Memory, from_json, to_json
from scaler.roll import OVERDUE_S, learn_versions, words_of
from scaler.scenario import Scenario
from scaler.simulate import Run, simulate
from scaler.state import Decision, History, Limits, Node, Phase, Sample, Versions
from scaler.status import status
from scaler.tell import line
from tests.scaler.fleets import NOW_S, booting, draining, phase, ready, report, sample

LIMITS = Limits(max_nodes=19, target_drain_s=180, initial_task_s=10, template_version="2")
UNPROVEN = History(versions=Versions("2", fallback="1"))
PROVEN = History(versions=Versions("2", joined=True, fallback="1", hold=2))
OVERDUE = History(versions=replace(UNPROVEN.versions, outdated=3, since_s=NOW_S - OVERDUE_S))
HALTED = History(versions=Versions("2", failures=3, fallback="1"))
BUSY = report(active=8)
WORLD = Scenario(task_s=10, tick_s=5, roll_at_s=3600)
STEADY = np.full(2 * 720, 20, dtype=np.int64)
STILL = np.zeros(2 * 720, dtype=np.int64)


def old(node: Node) -> Node:
    """The same node, launched from version 1."""
    return replace(node, template_version="1")


def new(node: Node) -> Node:
    """The same node, launched from version 2."""
    return replace(node, template_version="2")


def made(decision: Decision) -> dict[str, object]:
    """What a decision does, without what it does not."""
    actions = ("launch", "revert", "drain", "commit", "replace")
    return {action: getattr(decision, action) for action in actions if getattr(decision, action)}


def many(number: int, said: str = "busy") -> list[Node]:
    """Old nodes, all busy or all idle."""
    return [old(ready(f"i-{index:02}", BUSY if said == "busy" else None)) for index in range(number)]


@pytest.mark.parametrize(
    ("seen", "history", "limits", "expected"),
    [
        pytest.param(sample(*many(2), in_flight=16), UNPROVEN, LIMITS, {"launch": 1}, id="one new node tries it"),
        pytest.param(
            sample(*many(2), new(booting("n-1")), in_flight=16), UNPROVEN, LIMITS, {}, id="it boots: nothing else moves"
        ),
        pytest.param(
            sample(*many(2), booting("n-1"), in_flight=16), UNPROVEN, LIMITS, {}, id="not listed yet: no second one"
        ),
        pytest.param(sample(*many(2, "idle")), UNPROVEN, LIMITS, {}, id="no node is needed: none tries it"),
        pytest.param(
            sample(*many(2), new(ready("n-1", BUSY)), in_flight=24),
            PROVEN,
            LIMITS,
            {"drain": ("i-00",)},
            id="it has joined: an old one goes",
        ),
        pytest.param(
            sample(old(draining("i-00", said=BUSY)), *many(2)[1:], new(ready("n-1", BUSY)), in_flight=24),
            PROVEN,
            LIMITS,
            {"launch": 1},
            id="the next new one comes while the old one finishes what it holds",
        ),
        pytest.param(
            sample(*many(20), *(new(ready(f"n-{index}", BUSY)) for index in range(6)), in_flight=208),
            PROVEN,
            replace(LIMITS, max_nodes=40),
            {"drain": ("i-00", "i-01", "i-02", "i-03", "i-04", "i-05")},
            id="a quarter at a time",
        ),
        pytest.param(
            sample(
                old(ready("i-1", report(active=3))), old(ready("i-2", report(idle_s=9))), new(ready("n-1")), in_flight=3
            ),
            PROVEN,
            LIMITS,
            {"drain": ("i-2",)},
            id="who holds nothing goes first",
        ),
        pytest.param(
            sample(*many(3), in_flight=24), PROVEN, replace(LIMITS, max_nodes=3), {"drain": ("i-00",)}, id="a full cap"
        ),
        pytest.param(
            sample(*many(3, "idle")),
            UNPROVEN,
            replace(LIMITS, min_nodes=3, max_nodes=3),
            {"drain": ("i-00",)},
            id="a full cap that only the minimum fills",
        ),
        pytest.param(
            sample(*many(2, "idle"), phase("i-9", Phase.STOPPING, 5)),
            UNPROVEN,
            replace(LIMITS, min_nodes=3, max_nodes=3),
            {},
            id="a full cap: the last one must be gone",
        ),
        pytest.param(
            sample(*many(3), visible=99_999, in_flight=24),
            PROVEN,
            replace(LIMITS, max_nodes=3),
            {},
            id="all are needed: the roll waits",
        ),
        pytest.param(
            sample(*many(3), visible=99_999, in_flight=24),
            OVERDUE,
            replace(LIMITS, max_nodes=3),
            {"drain": ("i-00",)},
            id="it has waited for too long: one yields",
        ),
        pytest.param(
            sample(*many(3), visible=99_999, in_flight=24),
            replace(OVERDUE, versions=replace(OVERDUE.versions, since_s=NOW_S - OVERDUE_S + 1)),
            replace(LIMITS, max_nodes=3),
            {},
            id="not yet",
        ),
        pytest.param(
            sample(*many(1), visible=99_999, in_flight=8),
            OVERDUE,
            replace(LIMITS, min_nodes=1, max_nodes=1),
            {"drain": ("i-00",)},
            id="the only node yields",
        ),
        pytest.param(
            sample(*many(3), visible=99_999, in_flight=24),
            replace(OVERDUE, lowered_cap=3, lowered_cap_until_s=NOW_S + 1),
            LIMITS,
            {"drain": ("i-00",)},
            id="one yields under the account's limit too",
        ),
        pytest.param(
            sample(*many(2), old(draining("i-9", said=report(consuming=False))), visible=99_999, in_flight=24),
            OVERDUE,
            replace(LIMITS, max_nodes=3),
            {},
            id="who has yielded is not taken back, and no second one goes",
        ),
        pytest.param(
            sample(*many(2), new(booting("n-1")), visible=99_999, in_flight=16),
            OVERDUE,
            replace(LIMITS, max_nodes=3),
            {},
            id="overdue, and a node is on its way",
        ),
        pytest.param(
            sample(*many(3), visible=99_999, in_flight=24),
            replace(OVERDUE, launch_failures=1),
            replace(LIMITS, max_nodes=3),
            {},
            id="overdue, and launches fail",
        ),
        pytest.param(
            sample(*many(3), visible=99_999, in_flight=24),
            replace(OVERDUE, versions=replace(OVERDUE.versions, failures=3)),
            replace(LIMITS, max_nodes=3),
            {},
            id="overdue, and halted",
        ),
        pytest.param(
            sample(*many(1), visible=400, in_flight=8), PROVEN, LIMITS, {"launch": 4}, id="a burst comes first"
        ),
        pytest.param(
            sample(old(draining("i-1", said=report(consuming=False))), new(ready("n-1", BUSY)), visible=200),
            PROVEN,
            LIMITS,
            {"revert": ("i-1",)},
            id="a burst takes an old node's drain back",
        ),
        pytest.param(
            sample(old(draining("i-1", said=report(consuming=False)))),
            UNPROVEN,
            replace(LIMITS, min_nodes=1, max_nodes=1),
            {},
            id="the minimum does not",
        ),
        pytest.param(
            sample(old(draining("i-1", 20, report(active=1, consuming=False))), new(ready("n-1", BUSY)), in_flight=9),
            PROVEN,
            LIMITS,
            {},
            id="a node that holds a task is not ended",
        ),
        pytest.param(
            sample(replace(many(1)[0], report=None), new(ready("n-1", BUSY)), in_flight=9),
            PROVEN,
            LIMITS,
            {},
            id="silent",
        ),
        pytest.param(sample(*many(2), in_flight=16), HALTED, LIMITS, {}, id="halted: old nodes stay"),
        pytest.param(
            sample(*many(1, "idle"), old(draining("i-09"))),
            HALTED,
            replace(LIMITS, min_nodes=2),
            {"revert": ("i-09",)},
            id="halted: the minimum takes an old node back, none is launched",
        ),
        pytest.param(
            sample(ready("i-1", BUSY), in_flight=8), UNPROVEN, LIMITS, {}, id="not known which version: not outdated"
        ),
        pytest.param(
            sample(replace(ready("i-1", BUSY), template_version=""), in_flight=8),
            UNPROVEN,
            LIMITS,
            {"launch": 1},
            id="launched without a number: outdated",
        ),
        pytest.param(
            sample(*many(2), in_flight=16),
            History(),
            replace(LIMITS, template_version="$Default"),
            {},
            id="without a number nothing is replaced",
        ),
    ],
)
def test_steps(seen: Sample, history: History, limits: Limits, expected: dict[str, object]) -> None:
    """New nodes come before old ones go, and what messages need comes before both."""
    assert made(decide(seen, history, limits)[0]) == expected


@pytest.mark.parametrize(
    ("seen", "history", "version"),
    [
        pytest.param(sample(*many(1), in_flight=8), UNPROVEN, "2", id="the one that tries it"),
        pytest.param(sample(*many(1), visible=400), UNPROVEN, "1", id="a burst, and nobody knows whether 2 works"),
        pytest.param(sample(*many(1), visible=400), PROVEN, "2", id="a burst, and 2 works"),
        pytest.param(
            sample(*many(18), visible=9999),
            replace(UNPROVEN, versions=replace(UNPROVEN.versions, yielded=True)),
            "2",
            id="in the place of one that has yielded",
        ),
        pytest.param(
            sample(*many(17), visible=9999),
            replace(UNPROVEN, versions=replace(UNPROVEN.versions, yielded=True)),
            "1",
            id="in more places than that",
        ),
        pytest.param(sample(visible=400), UNPROVEN, "2", id="no old node is there"),
        pytest.param(sample(*many(1), visible=400), HALTED, "1", id="halted"),
        pytest.param(sample(visible=400), HALTED, "1", id="halted, and no node is left"),
        pytest.param(
            sample(visible=400),
            History(versions=Versions("2", failures=3, fallback="")),
            "2",
            id="no number to go back to",
        ),
    ],
)
def test_versions_that_are_launched(seen: Sample, history: History, version: str) -> None:
    """What messages need is launched from a version that works, as far as one is known."""
    decision, _ = decide(seen, history, LIMITS)
    assert (decision.launch > 0, decision.template_version) == (True, version)


def test_the_minimum_is_filled_with_the_new_version() -> None:
    """Where the cap leaves no room to try it beside the old nodes, the place that was made is for the new version."""
    seen = sample(*many(2, "idle"))
    decision, _ = decide(seen, UNPROVEN, replace(LIMITS, min_nodes=3, max_nodes=3))
    assert (decision.launch, decision.template_version) == (1, "2")


def learned(*timeline: tuple[Node, ...], history: History = UNPROVEN) -> Versions:
    """What is known of versions after samples of these nodes."""
    previous = None
    for tick, nodes in enumerate(timeline):
        seen = sample(*nodes, now_s=NOW_S + tick)
        history, previous = learn_versions(history, seen, previous, LIMITS), seen
    return history.versions


TRIED, JOINED, OLD = new(booting("n-1")), new(ready("n-1")), old(ready("i-1"))


@pytest.mark.parametrize(
    ("timeline", "history", "expected"),
    [
        pytest.param([(OLD,)], History(), Versions("2", fallback="1"), id="old nodes work"),
        pytest.param([(OLD, TRIED), (OLD,)], UNPROVEN, Versions("2", failures=1, fallback="1"), id="lost in its boot"),
        pytest.param(
            [(OLD, TRIED), (OLD, new(phase("n-1", Phase.STOPPING, 0))), (OLD,)],
            UNPROVEN,
            Versions("2", failures=1, fallback="1"),
            id="counted once",
        ),
        pytest.param([(OLD, old(booting("i-2"))), (OLD,)], UNPROVEN, UNPROVEN.versions, id="an old one is lost"),
        pytest.param(
            [(OLD, TRIED), (OLD, JOINED)],
            HALTED,
            Versions("2", joined=True, fallback="1"),
            id="one has joined after all",
        ),
        pytest.param([(JOINED,)], UNPROVEN, Versions("2", joined=True), id="done: nothing to go back to"),
        pytest.param([()], PROVEN, Versions("2", joined=True, hold=2), id="done, and no node left"),
        pytest.param([()], UNPROVEN, UNPROVEN.versions, id="no node left, and not known whether it works"),
        pytest.param(
            [()],
            History(versions=Versions("1", joined=True)),
            Versions("2", fallback="1"),
            id="a new version when no node is there",
        ),
        pytest.param(
            [()],
            History(versions=Versions("3", failures=3, fallback="1")),
            Versions("2", fallback="1"),
            id="another version after one that did not work",
        ),
        pytest.param(
            [(replace(OLD, template_version=""),)],
            History(),
            Versions("2", fallback=""),
            id="old nodes without a number",
        ),
    ],
)
def test_versions_are_learned(timeline: list[tuple[Node, ...]], history: History, expected: Versions) -> None:
    """Which version works is seen by nodes that join, and that one does not by nodes that are lost in their boot."""
    known = learned(*timeline, history=history)
    assert replace(known, outdated=0, since_s=None) == expected


@pytest.mark.parametrize(
    ("timeline", "since_s"),
    [
        pytest.param([(OLD,), (OLD,)], NOW_S, id="nothing"),
        pytest.param([(OLD, *many(1)), (OLD,), (OLD,)], NOW_S + 1, id="one old node fewer"),
        pytest.param([(OLD,), (OLD, *many(1))], NOW_S, id="one more"),
        pytest.param([(OLD, TRIED), (OLD, JOINED), (OLD, JOINED)], NOW_S + 1, id="a new one has joined"),
        pytest.param([(OLD, TRIED), (OLD,)], NOW_S, id="a new one was lost"),
        pytest.param([(OLD,), (JOINED,)], None, id="done"),
    ],
)
def test_when_a_roll_last_came_further(timeline: list[tuple[Node, ...]], since_s: float | None) -> None:
    """It does with each old node that is gone and each new one that joins; what is known of it is stored."""
    known = learned(*timeline)
    assert known.since_s == since_s
    memory = Memory(History(versions=known))
    assert from_json(to_json(memory)) == memory


def test_a_roll_of_before_there_were_times_begins_to_wait_now() -> None:
    """A memory without the time is read, and nothing yields at once."""
    data = b'{"version": 1, "history": {"versions": {"wanted": "2", "joined": true, "fallback": "1", "hold": 1}}}'
    assert learned((OLD,), history=from_json(data).history).since_s == NOW_S


def test_what_is_known_of_versions_outlives_the_scaler() -> None:
    """It is stored and read back; a memory of before there were versions is read too."""
    memory = Memory(HALTED)
    assert from_json(to_json(memory)) == memory
    assert from_json(b'{"version": 1, "history": {"task_s": 2.0}}').history == History(task_s=2.0)


def test_a_halted_roll_is_told() -> None:
    """The tick's line has an alarm and a reason, and `scaler status` says so."""
    seen = sample(*many(1), in_flight=8)
    decision, history = decide(seen, HALTED, LIMITS)
    words = "roll to version 2 halted: 3 of its nodes never joined in a row; launches use version 1"
    told = line(Tick(seen, decision, history=history))
    assert words in told
    assert '"alarms": ["the roll to version 2 is halted: 3 of its nodes never joined' in told
    assert decision.values["roll_halted"] == decision.values["outdated"] == 1
    assert (
        f"roll     {words.removeprefix('roll ')}" in status(seen, "me", words_of(["i-1"], HALTED, LIMITS)).splitlines()
    )


def run(limits: Limits, world: Scenario = WORLD, arrivals: np.ndarray[tuple[int], np.dtype[np.int64]] = STEADY) -> Run:
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
def test_a_roll_ends_and_costs_no_wait(
    policy: str, limits: Limits, arrivals: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> None:
    """Every old node is replaced within half an hour, under the cap, and tasks wait no longer than without."""
    limits = replace(limits, policy=policy)
    rolled, calm = run(limits, arrivals=arrivals), run(limits, replace(WORLD, roll_at_s=None), arrivals)
    assert rolled.roll_s is not None
    assert rolled.roll_s < 1800
    assert rolled.rolled >= 3
    assert (rolled.left, rolled.interrupted) == (0, 0)
    assert rolled.series.nodes.max() <= limits.max_nodes
    assert rolled.wait_s[2] <= calm.wait_s[2] + WORLD.tick_s


@settings(max_examples=10, deadline=None)
@given(
    cap=st.integers(1, 16),
    load=st.floats(0.05, 0.6),
    least=st.integers(0, 16),
    world=st.builds(
        Scenario,
        task_s=st.sampled_from([1.0, 10.0, 60.0]),
        count_noise=st.sampled_from([0.0, 0.3]),
        refused=st.sampled_from([0.0, 0.3]),
        roll_at_s=st.just(1800.0),
        seed=st.integers(0, 99),
    ),
)
def test_every_roll_ends_within_the_cap_and_interrupts_nothing(
    cap: int, load: float, least: int, world: Scenario
) -> None:
    """Whatever the fleet and the load it can bear: under the cap, no task interrupted, and all nodes new in an hour."""
    mean = load * cap * world.slots * world.tick_s / world.task_s
    arrivals = np.random.default_rng(world.seed).poisson(mean, size=1080).astype(np.int64)
    result = run(Limits(min_nodes=min(least, cap), max_nodes=cap, initial_task_s=world.task_s), world, arrivals)
    assert (result.interrupted, result.left) == (0, 0)
    assert result.series.nodes.max() <= cap
    assert result.roll_s is not None
    assert result.roll_s < 3600


@settings(max_examples=10, deadline=None)
@given(
    cap=st.integers(1, 4),
    load=st.floats(0.85, 1.1),
    least=st.integers(0, 4),
    world=st.builds(
        Scenario,
        task_s=st.sampled_from([1.0, 10.0, 60.0]),
        count_noise=st.sampled_from([0.0, 0.3]),
        roll_at_s=st.just(1800.0),
        seed=st.integers(0, 99),
    ),
)
def test_a_roll_ends_though_every_node_is_needed(cap: int, load: float, least: int, world: Scenario) -> None:
    """At loads about and beyond what the cap bears, each old node goes within a wait, its last tasks and two boots."""
    bound_s = cap * (OVERDUE_S + 2 * world.task_s + 2 * world.boot_s + 60)
    mean = load * cap * world.slots * world.tick_s / world.task_s
    ticks = int((1800 + bound_s) / world.tick_s)
    arrivals = np.random.default_rng(world.seed).poisson(mean, size=ticks).astype(np.int64)
    result = run(Limits(min_nodes=min(least, cap), max_nodes=cap, initial_task_s=world.task_s), world, arrivals)
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
