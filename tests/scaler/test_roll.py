"""The steps of a roll: who makes room for nodes of a new version, how many at a time, and who waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scaler.decide import decide
from scaler.roll import OVERDUE_S
from scaler.state import Decision, History, Limits, Phase, Sample
from tests.scaler.fleets import NOW_S, booting, draining, phase, ready, report, sample
from tests.scaler.rolls import BUSY, HALTED, LIMITS, PROVEN, UNPROVEN, many, new, old

OVERDUE = History(versions=replace(UNPROVEN.versions, outdated=3, since_s=NOW_S - OVERDUE_S))


def made(decision: Decision) -> dict[str, object]:
    """What a decision does, without what it does not."""
    actions = ("launch", "revert", "drain", "commit", "replace")
    return {action: getattr(decision, action) for action in actions if getattr(decision, action)}


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
