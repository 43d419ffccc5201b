"""What the scaler learns from what happened."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scaler.measure import (
    BACKOFF_MOST_S,
    FORBIDDEN_RETRY_S,
    QUOTA_RETRY_S,
    after_launch,
    alarms,
    backed_off,
    boot_s,
    learn,
    measured,
)
from scaler.state import History, LaunchOutcome, Limits, Meaning, Node, Phase, Sample
from tests.scaler.fleets import NOW_S, booting, ready, report, sample


def told(name: str, tasks: int, task_s: float) -> Node:
    """A node whose worker ended some tasks."""
    return ready(name, replace(report(), tasks=tasks, task_s=task_s))


@pytest.mark.parametrize(
    ("before", "nodes", "task_s", "tallies"),
    [
        pytest.param(History(), [told("a", 0, 0)], None, {"a": (0, 0)}, id="no task yet"),
        pytest.param(History(), [told("a", 4, 8), told("b", 6, 22)], 3, {"a": (4, 8), "b": (6, 22)}, id="first"),
        pytest.param(
            History(task_s=1, tallies={"a": (50, 99)}),
            [told("a", 150, 399)],
            2,
            {"a": (150, 399)},
            id="100 go half way",
        ),
        pytest.param(
            History(task_s=1, tallies={"a": (500, 99)}),
            [told("a", 100, 300)],
            2,
            {"a": (100, 300)},
            id="worker restarts",
        ),
        pytest.param(History(task_s=1, tallies={"a": (5, 9)}), [told("a", 5, 9)], 1, {"a": (5, 9)}, id="nothing new"),
        pytest.param(History(task_s=1, tallies={"gone": (5, 9)}), [], 1, {}, id="a node that is gone is forgotten"),
        pytest.param(
            History(task_s=1, tallies={"a": (5, 9)}),
            [replace(ready("a"), report=None)],
            1,
            {"a": (5, 9)},
            id="a missing report forgets nothing",
        ),
    ],
)
def test_seconds_of_a_task(
    before: History, nodes: list[Node], task_s: float | None, tallies: dict[str, tuple[int, float]]
) -> None:
    """The mean moves with the tasks that are new, each counted once."""
    history = learn(before, sample(*nodes))
    assert history.task_s == pytest.approx(task_s)
    assert history.tallies == tallies


def test_unknown_nodes_teach_nothing() -> None:
    """A sample without nodes leaves the history as it is."""
    before = History(task_s=1, tallies={"a": (5, 9)})
    assert learn(before, Sample(NOW_S, None, None)) == before


def test_a_boot_is_timed_from_launch_to_first_report() -> None:
    """A node that was seen booting and reports now tells a boot's time, and that launches work."""
    before = History(launch_failures=4, launch_not_before_s=NOW_S + 99)
    joined = replace(ready("a"), launched_at_s=NOW_S - 70)
    history = learn(before, sample(joined, ready("old")), sample(booting("a", 70)))
    assert list(history.boots_s) == [70]
    assert (history.launch_failures, history.launch_not_before_s) == (0, 0)


def test_nodes_that_were_there_before_tell_no_boot_time() -> None:
    """After the scaler's restart, the age of a node is not taken for its boot time."""
    assert learn(History(), sample(ready("a")), None).boots_s == ()


def test_the_latest_boots_are_kept() -> None:
    """Twenty boots are kept; nine of ten are within the time that is counted on."""
    history = History(boots_s=tuple(range(20)))
    joined = replace(ready("a"), launched_at_s=NOW_S - 100)
    history = learn(history, sample(joined), sample(booting("a")))
    assert history.boots_s == (*range(1, 20), 100)
    assert boot_s(history, Limits()) == 18


def test_first_guesses_stand_until_there_are_measurements() -> None:
    """Before the first report the operator's numbers are used, then what was measured."""
    limits = Limits(initial_task_s=3, initial_boot_s=40, node_slots=4)
    guessed = measured(History(), sample(), limits)
    known = measured(History(task_s=5, boots_s=(60,)), sample(ready("a")), limits)
    assert (guessed.task_s, guessed.boot_s, guessed.slots) == (3, 40, 4)
    assert (known.task_s, known.boot_s, known.slots) == (5, 60, 8)


def test_the_slots_of_nodes_outlive_them() -> None:
    """When no node is there, what the latest ones said counts, and not the guess; a boot that ends tells anew."""
    limits = Limits(node_slots=4)
    seen = learn(History(), sample(ready("a"), ready("b", replace(report(), slots=16))))
    gone = learn(seen, sample(booting("c")))
    assert (seen.slots, measured(gone, sample(booting("c")), limits).slots) == (12, 12)
    assert measured(gone, sample(ready("c")), limits).slots == 8
    assert learn(gone, Sample(NOW_S, None, None)).slots == 12


def outcome(*meanings: Meaning, launched: int = 0) -> LaunchOutcome:
    """What came of asking for three nodes."""
    return LaunchOutcome(3, tuple(f"i-{n}" for n in range(launched)), tuple((what, f"{what}!") for what in meanings))


@pytest.mark.parametrize(
    ("result", "changes"),
    [
        pytest.param(outcome(launched=3), {}, id="all came"),
        pytest.param(outcome(Meaning.NO_CAPACITY, launched=3), {}, id="all came, of another type"),
        pytest.param(
            outcome(Meaning.NO_CAPACITY), {"launch_failures": 3, "launch_not_before_s": NOW_S + 60}, id="no capacity"
        ),
        pytest.param(
            outcome(Meaning.NO_CAPACITY, launched=1),
            {"launch_failures": 1, "launch_not_before_s": NOW_S + 15},
            id="a part came",
        ),
        pytest.param(
            outcome(Meaning.THROTTLED), {"launch_failures": 3, "launch_not_before_s": NOW_S + 60}, id="throttled"
        ),
        pytest.param(
            outcome(Meaning.UNAVAILABLE), {"launch_failures": 3, "launch_not_before_s": NOW_S + 60}, id="unavailable"
        ),
        pytest.param(outcome(), {"launch_failures": 3, "launch_not_before_s": NOW_S + 60}, id="no reason given"),
        pytest.param(
            outcome(Meaning.QUOTA, launched=1),
            {"lowered_cap": 6, "lowered_cap_until_s": NOW_S + QUOTA_RETRY_S},
            id="account's limit",
        ),
        pytest.param(
            outcome(Meaning.FORBIDDEN),
            {"stopped": "EC2 forbids launches: forbidden!", "stopped_until_s": NOW_S + FORBIDDEN_RETRY_S},
            id="forbidden",
        ),
        pytest.param(
            outcome(Meaning.NO_CAPACITY, Meaning.FORBIDDEN),
            {"launch_failures": 3, "launch_not_before_s": NOW_S + 60},
            id="one of the types is forbidden",
        ),
        pytest.param(
            outcome(Meaning.FORBIDDEN, launched=1),
            {"launch_failures": 1, "launch_not_before_s": NOW_S + 15},
            id="a part came, the rest is forbidden",
        ),
    ],
)
def test_what_comes_of_a_launch(result: LaunchOutcome, changes: dict[str, float]) -> None:
    """Each meaning of a refusal has its own reaction."""
    before = History(launch_failures=2)
    expected = replace(before, **changes)  # type: ignore[arg-type] # fields by name
    assert after_launch(before, result, now_s=NOW_S, nodes=5, jitter=1.0) == expected


@pytest.mark.parametrize(
    ("result", "stopped"),
    [
        pytest.param(outcome(launched=3), "", id="all came"),
        pytest.param(outcome(Meaning.NO_CAPACITY, launched=1), "", id="a part came"),
        pytest.param(outcome(Meaning.NO_CAPACITY), "", id="allowed, and no capacity"),
        pytest.param(outcome(Meaning.QUOTA), "", id="allowed, up to the account's limit"),
        pytest.param(outcome(Meaning.UNAVAILABLE), "no", id="no answer"),
        pytest.param(outcome(Meaning.THROTTLED), "no", id="throttled"),
        pytest.param(outcome(), "no", id="no reason given"),
    ],
)
def test_launches_are_forbidden_until_ec2_has_shown_otherwise(result: LaunchOutcome, stopped: str) -> None:
    """The alarm stays while it is not known whether it was mended."""
    history = after_launch(History(stopped="no"), result, now_s=NOW_S, nodes=5, jitter=1.0)
    assert history.stopped == stopped


def test_backing_off_doubles_to_a_bound() -> None:
    """Each failure in a row doubles the wait, up to a quarter of an hour; jitter takes off at most half."""
    history, waits = History(), []
    for _ in range(9):
        history = backed_off(history, NOW_S, jitter=1.0)
        waits.append(history.launch_not_before_s - NOW_S)
    assert waits == [15, 30, 60, 120, 240, 480, BACKOFF_MOST_S, BACKOFF_MOST_S, BACKOFF_MOST_S]
    assert backed_off(History(), NOW_S, jitter=0.0).launch_not_before_s == NOW_S + 7.5


@pytest.mark.parametrize(
    ("history", "words"),
    [
        pytest.param(History(launch_failures=2), [], id="a passing failure"),
        pytest.param(History(launch_failures=3), ["3 launches in a row failed"], id="failures in a row"),
        pytest.param(History(stopped="no", stopped_until_s=NOW_S + 1), ["no; mend it"], id="stopped"),
        pytest.param(
            History(stopped="no", stopped_until_s=NOW_S), ["no; mend it"], id="stopped, and to be tried again"
        ),
        pytest.param(History(lowered_cap=4, lowered_cap_until_s=NOW_S + 1), ["limit allows 4 nodes"], id="limit"),
        pytest.param(History(lowered_cap=4, lowered_cap_until_s=NOW_S), [], id="limit is over"),
    ],
)
def test_alarms(history: History, words: list[str]) -> None:
    """What a person should look at is said, and nothing else."""
    lines = alarms(history, NOW_S)
    assert len(lines) == len(words)
    assert all(word in line for word, line in zip(words, lines, strict=True))


def test_silence_teaches_no_boot() -> None:
    """A node that boots and has not reported tells nothing yet."""
    still = Node("a", Phase.BOOTING, NOW_S - 70, NOW_S - 70)
    assert learn(History(launch_failures=1), sample(still), sample(still)).launch_failures == 1


@pytest.mark.parametrize(
    ("now", "failures"),
    [
        pytest.param(sample(), 1, id="gone"),
        pytest.param(sample(replace(booting("i-1"), phase=Phase.STOPPING)), 1, id="powers itself off"),
        pytest.param(sample(booting("i-1")), 0, id="boots on"),
        pytest.param(sample(ready("i-1")), 0, id="joined"),
    ],
)
def test_a_node_that_ends_before_it_joins_is_a_failed_launch(now: Sample, failures: int) -> None:
    """A node that dies while it boots, of a bad image or model, holds the next launch off."""
    history = learn(History(), now, previous=sample(booting("i-1")))
    assert history.launch_failures == failures
    assert (history.launch_not_before_s > NOW_S) == bool(failures)


def test_nodes_that_keep_dying_raise_an_alarm() -> None:
    """Each one in a row waits longer, and the third is for a person to look at."""
    history, now_s, waits_s = History(), NOW_S, []
    for number in range(3):
        before = replace(sample(booting(f"i-{number}")), now_s=now_s)
        history = learn(history, replace(sample(), now_s=now_s), before)
        waits_s.append(history.launch_not_before_s - now_s)
        now_s = history.launch_not_before_s
    assert waits_s == sorted(set(waits_s))
    assert alarms(history, now_s)
