"""What the agent does next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.node.judge import Ending, Limits, Memory, Observation, Verdict, judge

W1, W2 = "w1@i-1", "w2@i-1"
BOTH = frozenset({W1, W2})
LIMITS = Limits(max_crashes=3, crash_window_s=100.0, stop_deadline_s=60.0)
# Both workers run, nothing has happened.
CALM = Memory({})
QUIET = Observation(1000.0, BOTH)
ENDING = Memory({}, ending=Ending("spot interruption"), ending_since_s=1000.0)


@pytest.mark.parametrize(
    ("seen", "memory", "expected"),
    [
        pytest.param(
            Observation(0.0, frozenset()), Memory.of((W1, W2)), Verdict(start=(W1, W2)), id="starts its workers"
        ),
        pytest.param(QUIET, CALM, Verdict(), id="leaves them alone"),
        pytest.param(
            Observation(1000.0, frozenset({W2}), {W1: -9}),
            CALM,
            Verdict(reason=f"{W1} ended with status -9"),
            id="waits after a crash",
        ),
        pytest.param(
            Observation(1001.0, frozenset({W2})),
            Memory({W1: 1001.0}, crashes_s=(1000.0,)),
            Verdict(start=(W1,)),
            id="starts it again when its pause is over",
        ),
        pytest.param(
            Observation(1000.0, frozenset({W2}), {W1: 0}),
            CALM,
            Verdict(stop=(W2,), reason=f"{W1} was shut down"),
            id="a worker that was shut down takes the others with it",
        ),
        pytest.param(
            Observation(1000.0, frozenset(), {W1: 0, W2: 0}),
            CALM,
            Verdict(end=Ending(f"{W1}, {W2} was shut down")),
            id="powers off when all were shut down",
        ),
        pytest.param(
            replace(QUIET, notice="spot interruption"),
            CALM,
            Verdict(stop=(W1, W2), reason="spot interruption"),
            id="drains on a notice",
        ),
        pytest.param(
            replace(QUIET, abandoned=True),
            CALM,
            Verdict(stop=(W1, W2), reason="no scaler and no messages for too long"),
            id="drains when nobody needs it",
        ),
        pytest.param(
            replace(QUIET, asked=True),
            CALM,
            Verdict(stop=(W1, W2), reason="the agent was told to stop"),
            id="drains when it is told to",
        ),
        pytest.param(
            Observation(1000.0, frozenset({W2}), {W1: 1}),
            Memory({}, crashes_s=(950.0, 980.0)),
            Verdict(stop=(W2,), reason="3 crashes in 100 s"),
            id="gives up after many crashes",
        ),
        pytest.param(
            Observation(1000.0, frozenset({W2}), {W1: 1}),
            Memory({}, crashes_s=(800.0, 850.0, 980.0)),
            Verdict(reason=f"{W1} ended with status 1"),
            id="forgets old crashes",
        ),
        pytest.param(replace(QUIET, now_s=1059.0), ENDING, Verdict(), id="waits for tasks to end"),
        pytest.param(
            Observation(1010.0, frozenset({W2}), {W1: -15}), ENDING, Verdict(), id="starts nothing while it ends"
        ),
        pytest.param(
            replace(QUIET, now_s=1060.0),
            ENDING,
            Verdict(kill=(W1, W2), reason="workers did not end in time"),
            id="kills what does not end",
        ),
        pytest.param(
            Observation(1010.0, frozenset(), {W1: 0, W2: -9}),
            ENDING,
            Verdict(end=ENDING.ending),
            id="ends when none runs",
        ),
    ],
)
def test_each_situation_has_its_verdict(seen: Observation, memory: Memory, expected: Verdict) -> None:
    """One look and what is remembered decide what is done."""
    assert judge(seen, memory, LIMITS)[0] == expected


def test_pauses_double_up_to_the_longest() -> None:
    """A worker that crashes at once each time is started after 1, 2, 4, 8, 16, 30 and 30 seconds."""
    limits, memory, pauses = replace(LIMITS, max_crashes=100, crash_window_s=1000.0), CALM, []
    for _ in range(7):
        _, memory = judge(Observation(50.0, frozenset(), {W1: 1}), memory, limits)
        pauses.append(memory.due_s[W1] - 50.0)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_machine_that_is_told_to_stop_is_not_powered_off() -> None:
    """Whoever stops the agent by a signal has the machine's power in hand."""
    verdict, _ = judge(Observation(0.0, frozenset(), asked=True), CALM, LIMITS)
    assert verdict.end == Ending("the agent was told to stop", power_off=False)


def test_a_node_that_gives_up_says_that_it_failed() -> None:
    """It is powered off, and its agent's exit status tells."""
    verdict, _ = judge(Observation(0.0, frozenset(), {W1: 1, W2: 1}), Memory({}, crashes_s=(-1.0,)), LIMITS)
    assert verdict.end == Ending("3 crashes in 100 s", power_off=True, failed=True)


def test_nothing_calls_a_node_back_once_it_ends() -> None:
    """A second reason changes neither the first nor its deadline."""
    _, memory = judge(replace(QUIET, now_s=1005.0, notice="rebalance", asked=True), ENDING, LIMITS)
    assert memory == ENDING
