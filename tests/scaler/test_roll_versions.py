"""Which version works: how it is learned and remembered, what is launched by it, and what is told of one that does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scaler.decide import decide
from scaler.loop import Tick
from scaler.memory import Memory, from_json, to_json
from scaler.roll import learn_versions, words_of
from scaler.state import History, Node, Phase, Sample, Versions
from scaler.status import status
from scaler.tell import line
from tests.scaler.fleets import NOW_S, booting, phase, ready, sample
from tests.scaler.rolls import HALTED, LIMITS, PROVEN, UNPROVEN, many, new, old

TRIED, JOINED, OLD = new(booting("n-1")), new(ready("n-1")), old(ready("i-1"))


def learned(*timeline: tuple[Node, ...], history: History = UNPROVEN) -> Versions:
    """What is known of versions after samples of these nodes."""
    previous = None
    for tick, nodes in enumerate(timeline):
        seen = sample(*nodes, now_s=NOW_S + tick)
        history, previous = learn_versions(history, seen, previous, LIMITS), seen
    return history.versions


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
