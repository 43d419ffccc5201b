"""What the scaler decides, rule by rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scaler.decide import decide
from scaler.state import Decision, History, Limits, Node, Phase, Sample
from tests.scaler.fleets import NOW_S, booting, draining, phase, ready, report, sample

# A new node does 720 s of work within the target of 180 s, a ready one 1440 s; a task takes 10 s.
LIMITS = Limits(max_nodes=19, max_launches_per_tick=10, target_drain_s=180, initial_task_s=10, initial_boot_s=90)
# The nodes i-1 to i-9 are candidates since the tick before, and the surplus is old enough.
RIPE = History(
    candidates={f"i-{number}": NOW_S - 5 for number in range(1, 10)}, surplus_ticks=5, surplus_since_s=NOW_S - 25
)
BUSY = report(active=8)


def made(decision: Decision) -> dict[str, object]:
    """What a decision does, without what it does not."""
    actions = ("launch", "revert", "drain", "commit", "replace")
    return {action: getattr(decision, action) for action in actions if getattr(decision, action)}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(sample(), {}, id="nothing to do"),
        pytest.param(sample(visible=1), {"launch": 1}, id="from zero at the first message"),
        pytest.param(sample(visible=416), {"launch": 6}, id="a burst"),
        pytest.param(sample(visible=100_000), {"launch": 10}, id="at most so many at a time"),
        pytest.param(sample(booting("i-1"), visible=72), {}, id="one boots for it already"),
        pytest.param(
            sample(*(ready(f"i-{n}", BUSY) for n in range(15)), visible=100_000), {"launch": 4}, id="up to the cap"
        ),
        pytest.param(
            sample(
                *(phase(f"s-{n}", Phase.SILENT, 30) for n in range(5)),
                *(phase(f"t-{n}", Phase.STOPPING, 30) for n in range(5)),
                *(phase(f"c-{n}", Phase.COMMITTED, 30) for n in range(5)),
                ready("i-1", BUSY),
                visible=100_000,
            ),
            {"launch": 3},
            id="nodes that stop, are silent or end count against the cap",
        ),
        pytest.param(
            sample(*(phase(f"t-{n}", Phase.STOPPING, 30) for n in range(25)), visible=9), {}, id="beyond the cap"
        ),
        pytest.param(
            sample(ready("i-1", report(idle_s=5, consuming=False)), visible=1),
            {"launch": 1},
            id="takes no tasks: no capacity",
        ),
        pytest.param(
            sample(replace(ready("i-1"), report=None), visible=1), {}, id="one report is late: capacity still"
        ),
    ],
)
def test_launches(seen: Sample, expected: dict[str, object]) -> None:
    """Launches fill what is missing, within every bound."""
    assert made(decide(seen, History(), LIMITS)[0]) == expected


@pytest.mark.parametrize(
    ("history", "launch", "words"),
    [
        pytest.param(History(), 6, "launch 6", id="nothing in the way"),
        pytest.param(
            History(launch_failures=2, launch_not_before_s=NOW_S + 20), 0, "the next is in 20 s", id="backs off"
        ),
        pytest.param(History(launch_failures=2, launch_not_before_s=NOW_S), 6, "launch 6", id="tries again"),
        pytest.param(History(launch_failures=3), 1, "one at a time after 3 failures", id="feels its way"),
        pytest.param(
            History(lowered_cap=2, lowered_cap_until_s=NOW_S + 1), 2, "account's limit of 2", id="account's limit"
        ),
        pytest.param(History(lowered_cap=2, lowered_cap_until_s=NOW_S), 6, "launch 6", id="limit is tried again"),
        pytest.param(
            History(stopped="EC2 forbids launches: x", stopped_until_s=NOW_S + 1),
            0,
            "launch none: EC2 forbids launches: x",
            id="stopped",
        ),
        pytest.param(
            History(stopped="EC2 forbids launches: x", stopped_until_s=NOW_S),
            6,
            "launch 6",
            id="what was forbidden is tried again",
        ),
    ],
)
def test_what_holds_launches_back(history: History, launch: int, words: str) -> None:
    """Failed launches bound the next ones, and the reason says so."""
    decision = decide(sample(visible=416), history, LIMITS)[0]
    assert decision.launch == launch
    assert words in decision.reason


@pytest.mark.parametrize(
    ("seen", "history", "expected"),
    [
        pytest.param(sample(ready("i-1"), ready("i-2"), visible=1), RIPE, {"drain": ("i-1",)}, id="candidate stays"),
        pytest.param(sample(draining("i-1"), visible=1), History(), {"revert": ("i-1",)}, id="revert, no launch"),
        pytest.param(
            sample(draining("i-1", 8), draining("i-2", 2), draining("i-3", 4), visible=100),
            History(),
            {"revert": ("i-2",)},
            id="no more reverts than needed",
        ),
        pytest.param(
            sample(draining("i-1"), ready("i-2", BUSY), visible=400),
            History(),
            {"revert": ("i-1",), "launch": 2},
            id="what reverts do not fill is launched",
        ),
        pytest.param(
            sample(replace(draining("i-1"), report=None), visible=1),
            History(),
            {"launch": 1},
            id="a drained node that does not answer cannot be reverted",
        ),
        pytest.param(
            sample(phase("i-1", Phase.COMMITTED, 5, report(consuming=False)), visible=1),
            History(),
            {"launch": 1},
            id="a committed node has no way back",
        ),
        pytest.param(
            sample(draining("i-1", 20), draining("i-2", 30), visible=1),
            History(),
            {"revert": ("i-1",), "commit": ("i-2",)},
            id="what is not needed goes on leaving",
        ),
    ],
)
def test_bursts(seen: Sample, history: History, expected: dict[str, object]) -> None:
    """A burst is met by candidates, then by reverts, and only then by launches."""
    assert made(decide(seen, history, LIMITS)[0]) == expected


def test_a_burst_clears_candidates() -> None:
    """When nodes are missing, nobody is a candidate any more."""
    _, history = decide(sample(ready("i-1"), visible=1000), RIPE, LIMITS)
    assert (history.candidates, history.surplus_ticks, history.surplus_since_s) == ({}, 0, None)


@pytest.mark.parametrize(
    ("nodes", "in_flight", "expected"),
    [
        pytest.param([ready("i-1"), ready("i-2")], 0, ("i-1", "i-2"), id="all idle, nothing to do"),
        pytest.param(
            [ready("i-1", report(idle_s=70)), ready("i-2", report(idle_s=90))], 1, ("i-2",), id="longest idle"
        ),
        pytest.param([ready("i-1", BUSY), ready("i-2", BUSY)], 0, (), id="busy, whatever the queue's counts say"),
        pytest.param([ready("i-1", report(reserved=1))], 0, (), id="holds a task that has not begun"),
        pytest.param([ready("i-1", report(idle_s=59))], 0, (), id="not idle for long enough"),
        pytest.param([replace(ready("i-1"), report=None)], 0, (), id="no report at this tick"),
        pytest.param([phase("i-1", Phase.SILENT, 60)], 0, (), id="silent"),
        pytest.param([ready("i-1", report(consuming=False))], 0, (), id="takes no tasks already"),
        pytest.param([booting("i-1", 60)], 0, (), id="boots"),
        pytest.param(
            [ready("i-1"), booting("i-2")], 1, (), id="a node that boots does not make one that works surplus"
        ),
        pytest.param([ready("i-1"), ready("new")], 0, ("i-1",), id="not a candidate since the tick before"),
    ],
)
def test_drains(nodes: list[Node], in_flight: int, expected: tuple[str, ...]) -> None:
    """Only nodes that say that they have been idle for long, and that are not wanted, are drained."""
    assert decide(sample(*nodes, in_flight=in_flight), RIPE, LIMITS)[0].drain == expected


def test_the_minimum_is_kept() -> None:
    """Idle nodes up to the minimum stay."""
    limits = replace(LIMITS, min_nodes=2)
    assert decide(sample(ready("i-1"), ready("i-2"), ready("i-3")), RIPE, limits)[0].drain == ("i-1",)


def test_a_node_is_candidate_before_it_drains() -> None:
    """Surplus for three ticks makes a candidate, and the tick after it is drained: four ticks in a row."""
    history, drained = History(), []
    for tick in range(5):
        decision, history = decide(sample(ready("i-1"), now_s=NOW_S + 5 * tick), history, LIMITS)
        drained.append((bool(history.candidates), decision.drain))
    assert drained == [(False, ()), (False, ()), (True, ()), (True, ("i-1",)), (True, ("i-1",))]


def test_a_thin_steady_flow_lets_nodes_go() -> None:
    """Where no node is idle for long, one after the other leaves when the surplus has lasted twice the idle time."""
    nodes = [ready(f"i-{number}", report(idle_s=number)) for number in (1, 2, 3)]
    early = replace(RIPE, surplus_since_s=NOW_S - 119)
    late = replace(RIPE, surplus_since_s=NOW_S - 120)
    seen = sample(*nodes, in_flight=1)
    assert [decide(seen, history, LIMITS)[0].drain for history in (early, late)] == [(), ("i-3",)]


@pytest.mark.parametrize(
    ("node", "committed"),
    [
        pytest.param(draining("i-1", 10), True, id="empty after the grace time"),
        pytest.param(draining("i-1", 9), False, id="within the grace time"),
        pytest.param(draining("i-1", 60, report(active=1, consuming=False)), False, id="a task runs"),
        pytest.param(draining("i-1", 60, report(reserved=1, consuming=False)), False, id="a task waits"),
        pytest.param(draining("i-1", 60, report(consuming=True)), False, id="has not heard that it drains"),
        pytest.param(replace(draining("i-1", 60), report=None), False, id="no report at this tick"),
    ],
)
def test_commits(node: Node, *, committed: bool) -> None:
    """A drained node powers off only when it has just said that it takes no tasks and holds none."""
    assert decide(sample(node), History(), LIMITS)[0].commit == (("i-1",) if committed else ())


@pytest.mark.parametrize(
    ("node", "replaced"),
    [
        pytest.param(booting("i-1", 300), False, id="may still join"),
        pytest.param(booting("i-1", 301), True, id="never joined"),
        pytest.param(phase("i-1", Phase.SILENT, 180), False, id="may still answer"),
        pytest.param(phase("i-1", Phase.SILENT, 181), True, id="silent past the deadline"),
        pytest.param(phase("i-1", Phase.COMMITTED, 600), False, id="may still power off"),
        pytest.param(phase("i-1", Phase.COMMITTED, 601), True, id="does not power off"),
        pytest.param(phase("i-1", Phase.COMMITTED, 601, report(active=1)), False, id="a long task ends in peace"),
        pytest.param(phase("i-1", Phase.COMMITTED, 601, report()), True, id="idle and does not power off"),
        pytest.param(phase("i-1", Phase.STOPPING, 9999), False, id="EC2 sees to it"),
        pytest.param(ready("i-1"), False, id="ready"),
    ],
)
def test_replacements(node: Node, *, replaced: bool) -> None:
    """A node past its deadline is replaced, wherever it got stuck."""
    assert decide(sample(node, ready("i-2")), History(), LIMITS)[0].replace == (("i-1",) if replaced else ())


def test_a_silent_node_is_made_up_for_before_its_deadline() -> None:
    """Work does not wait for a node that may be dead."""
    seen = sample(phase("i-1", Phase.SILENT, 30), ready("i-2", BUSY), visible=200, in_flight=8)
    assert made(decide(seen, History(), LIMITS)[0]) == {"launch": 1}


def test_when_nobody_answers_the_channel_is_suspected() -> None:
    """If all nodes fall silent together they count as capacity, and one alone is replaced at a time."""
    silent = [phase(f"i-{number}", Phase.SILENT, 200 + number) for number in range(4)]
    alone, _ = decide(sample(*silent), History(), LIMITS)
    successor, _ = decide(sample(*silent, booting("new", 10)), History(), LIMITS)
    worked, _ = decide(sample(*silent, visible=400), History(), LIMITS)
    assert [made(decision) for decision in (alone, successor, worked)] == [
        {"replace": ("i-3",)},
        {},
        {"replace": ("i-3",)},
    ]


def test_unheard_nodes_are_not_replaced_while_their_successors_cannot_come() -> None:
    """At the cap, one that stops still takes its successor's place: the next waits."""
    silent = [phase(f"i-{number}", Phase.SILENT, 300) for number in range(3)]
    first, _ = decide(sample(*silent), History(), Limits(max_nodes=3))
    assert first.replace == ("i-0",)
    gone = phase("i-0", Phase.STOPPING, 300)
    assert decide(sample(gone, *silent[1:]), History(), Limits(max_nodes=3))[0].replace == ()
    for held_off in (History(launch_not_before_s=NOW_S + 60), History(stopped="no", stopped_until_s=NOW_S + 60)):
        assert decide(sample(*silent), held_off, Limits(max_nodes=3))[0].replace == ()
    tried_again = History(stopped="no", stopped_until_s=NOW_S)
    assert decide(sample(*silent), tried_again, Limits(max_nodes=3))[0].replace == ("i-0",)


def test_a_node_that_never_joined_counts_as_a_failed_launch() -> None:
    """Nodes that never join hold the next launch back, once for all that failed in that time."""
    decision, history = decide(sample(booting("i-1", 301), booting("i-2", 302), visible=9), History(), LIMITS)
    assert made(decision) == {"replace": ("i-1", "i-2")}
    assert (history.launch_failures, history.launch_not_before_s) == (1, NOW_S + 15)
    _, again = decide(sample(booting("i-1", 306), now_s=NOW_S + 5), history, LIMITS)
    assert again.launch_failures == 1


@pytest.mark.parametrize("part", ["backlog", "nodes"])
def test_unknown_is_held(part: str) -> None:
    """What could not be read changes nothing, and the reason says what it was."""
    seen = replace(sample(ready("i-1"), visible=9999), **{part: None}, failures=("SQS: timed out",))  # type: ignore[arg-type] # one of two fields
    decision, history = decide(seen, RIPE, LIMITS)
    assert (made(decision), decision.held, decision.desired) == ({}, True, None)
    assert decision.reason == "held: SQS: timed out"
    assert history == RIPE


def test_the_reason_tells_all() -> None:
    """One line says what was found, what is wanted, and what is done."""
    seen = sample(draining("i-1"), booting("i-2", 301), phase("i-3", Phase.SILENT, 500), visible=200)
    assert decide(seen, History(), LIMITS)[0].reason == (
        "2000 s of work, 1440 s of capacity within 180 s: 2 desired, 0 there; revert i-1; replace i-2, i-3; "
        "launch none: after 1 failed launches in a row the next is in 15 s"
    )
