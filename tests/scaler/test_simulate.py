"""The simulation: what comes in goes out, and the policies compare as the documentation says."""

from __future__ import annotations

import argparse
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scaler.arrivals import SHIPPED, TRACES, TraceError, per_tick, read, write_shipped
from scaler.decide import decide
from scaler.report import compared, table
from scaler.rivals import Keda, TargetTracking
from scaler.scenario import Scenario
from scaler.simulate import Decide, Queue, Run, simulate
from scaler.simulate_cli import add_arguments, main
from scaler.state import Backlog, Decision, History, Limits, Node, Phase, Sample

WORLD = Scenario(task_s=10, tick_s=5)
LIMITS = Limits(initial_task_s=10)


def run(decider: Decide, trace: str, limits: Limits = LIMITS, world: Scenario = WORLD) -> Run:
    """Simulate a shipped trace."""
    return simulate("x", decider, per_tick(read(TRACES / f"{trace}.csv", 60), 60, world.tick_s), limits, world)


def test_a_third_of_the_cost_for_the_same_wait() -> None:
    """On the day with bursts `drain_time` needs a third of what a node per message costs, at 1.1 of its p95 wait."""
    ours, theirs = run(decide, "bursts"), run(Keda(1), "bursts")
    assert ours.billed_h <= theirs.billed_h / 3
    assert ours.wait_s[1] <= theirs.wait_s[1] * 1.1
    assert ours.tasks == theirs.tasks == 29_564
    assert (ours.left, theirs.left, ours.interrupted) == (0, 0, 0)


@pytest.mark.parametrize("policy", ["drain_time", "load_factor"])
@pytest.mark.parametrize(
    ("world", "holds"),
    [
        pytest.param(WORLD, False, id="nothing goes wrong"),
        pytest.param(replace(WORLD, count_noise=0.5), False, id="counts are wrong by half"),
        pytest.param(replace(WORLD, missing=0.5), True, id="every other count is missing"),
        pytest.param(replace(WORLD, refused=0.7), False, id="EC2 refuses most launches"),
        pytest.param(replace(WORLD, never_join=0.5), False, id="half of the nodes never join"),
        pytest.param(replace(WORLD, task_s=0.3), False, id="tasks shorter than a tick"),
    ],
)
def test_no_task_is_lost_or_interrupted(policy: str, world: Scenario, *, holds: bool) -> None:
    """Whatever goes wrong, every task of a burst is done, and no node is ended under one."""
    result = run(decide, "burst-416", replace(LIMITS, policy=policy), world)
    assert (result.left, result.interrupted) == (0, 0)
    assert (result.held > 0) == holds
    assert result.series.nodes[-1] == 0
    assert result.series.nodes.max() <= LIMITS.max_nodes


def test_a_simulation_can_be_repeated() -> None:
    """The same seed gives the same run, chance included."""
    world = replace(WORLD, count_noise=0.2, refused=0.3)
    assert table([run(decide, "burst-416", world=world)]) == table([run(decide, "burst-416", world=world)])


def test_the_steady_flow_keeps_its_nodes() -> None:
    """On the steady day nodes come and go with the day, not with every swing."""
    result = run(decide, "steady")
    assert result.launches < 30
    assert result.billed_h < 1.5 * result.work_h


def test_billing() -> None:
    """A node that one task needs is billed for boot, task, idle time, grace and power-off."""
    one = np.zeros(1, dtype=np.int64)
    one[0] = 1
    world = replace(WORLD, boot_spread=0)
    result = simulate("x", decide, one, LIMITS, world)
    expected_s = world.boot_s + world.task_s + LIMITS.idle_s + LIMITS.drain_grace_s + world.power_off_s
    assert expected_s <= result.billed_h * 3600 <= expected_s + 4 * world.tick_s
    assert result.wait_s[0] == pytest.approx(world.boot_s, abs=2 * world.tick_s)


def killer(sample: Sample, history: History, limits: Limits) -> tuple[Decision, History]:  # noqa: ARG001 - the interface's arguments
    """Launch one node, end it while it works, and launch another."""
    assert sample.nodes is not None
    busy = [node.id for node in sample.nodes if node.report is not None and node.report.active]
    if sample.now_s == 100.0:
        return Decision(replace=tuple(busy)), history
    return Decision(launch=1 - len(sample.nodes)), history


def test_tasks_of_a_killed_node_run_again() -> None:
    """A node that is ended under its tasks interrupts them; they come back after the visibility timeout."""
    eight = np.array([8], dtype=np.int64)
    world = replace(WORLD, boot_spread=0, boot_s=90, visibility_s=60)
    result = simulate("x", killer, eight, LIMITS, world)
    assert (result.interrupted, result.launches, result.left) == (8, 2, 0)


def test_the_queue_is_first_come_first_served() -> None:
    """The oldest tasks start first, and the waits are weighted by tasks."""
    queue = Queue()
    queue.add(90, 0)
    queue.add(10, 50)
    assert queue.take(95, 100) == 100
    assert queue.visible == 5
    assert queue.percentiles((0.04, 0.5, 0.99)) == (50, 100, 100)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        pytest.param("minute,tasks\n0,3\n1,0\n2,5\n", [3, 0, 5], id="rows follow one another"),
        pytest.param("tasks\n3\n5\n", [3, 5], id="counts alone"),
        pytest.param(
            "period,count\n1998-04-30 21:30:00,2\n1998-04-30 21:33:00,7\n", [2, 0, 0, 7], id="minutes without a row"
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_traces_are_read(tmp_path: Path, text: str, counts: list[int], suffix: str) -> None:
    """A trace is CSV with the count last, packed or not."""
    path = tmp_path / f"trace{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    assert read(path, 60).tolist() == counts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("minute,tasks\n", "no rows", id="empty"),
        pytest.param("minute,tasks\n0,many\n", "line 2: the last column should be a count", id="no number"),
        pytest.param("minute,tasks\n0,-1\n", "line 2: a count should not be negative", id="negative"),
        pytest.param("minute,tasks\n0,nan\n", "line 2: the last column should be a count", id="not a number"),
        pytest.param(
            "t,n\n2026-01-01 00:05:00,1\n2026-01-01 00:06:00,1\n2026-01-01 00:01:00,1\n", "line 4", id="out of order"
        ),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """A file that is no trace is refused with its line."""
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(TraceError, match=words):
        read(path, 60)


@pytest.mark.parametrize("tick_s", [5, 60, 120])
def test_arrivals_are_spread_over_ticks(tick_s: float) -> None:
    """No arrival is lost or moved to another period, whichever is longer."""
    spread = per_tick(np.array([60, 0, 7], dtype=np.int64), 60, tick_s)
    assert spread.sum() == 67
    assert spread[: max(1, int(60 / tick_s))].sum() == 60


def test_shipped_traces_are_what_makes_them(tmp_path: Path) -> None:
    """The shipped files are those that the seeded functions make."""
    made = {path.name: path.read_text() for path in write_shipped(tmp_path)}
    assert made == {f"{name}.csv": (TRACES / f"{name}.csv").read_text() for name in SHIPPED}


def seen(now_s: float, visible: int, ready: int = 0) -> Sample:
    """A sample for a rival."""
    nodes = tuple(Node(f"i-{number}", Phase.READY, float(number), 0.0) for number in range(ready))
    return Sample(now_s, Backlog(visible, 0, 0), nodes)


def test_keda_keeps_the_highest_wish_of_five_minutes() -> None:
    """The KEDA-like rule launches at once, and takes nodes away when five minutes have asked for fewer."""
    keda = Keda(1)
    timeline = [(0, 3, 0), (5, 0, 3), (299, 1, 3), (300, 1, 3)]
    made = [keda(seen(now_s, visible, ready), History(), LIMITS)[0] for now_s, visible, ready in timeline]
    assert [(decision.launch, decision.replace) for decision in made] == [
        (3, ()),
        (0, ()),
        (0, ()),
        (0, ("i-0", "i-1")),
    ]


def test_target_tracking_waits_for_three_minutes() -> None:
    """The AWS-like rule starts with one node and adds nodes when the third minute in a row is above the target."""
    rule = TargetTracking()
    # 120 s for 10 s tasks on 8 slots: 96 messages for each node.
    made = [rule(seen(60.0 * minute, 960, ready=1), History(), LIMITS)[0] for minute in range(3)]
    assert [decision.launch for decision in made] == [0, 0, 9]


def command(*options: str) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(options)


def test_the_command_prints_a_table_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command compares all policies on a trace and draws both pictures."""
    assert main(command("--scenario", "burst-416", "--sweep", "--plots", str(tmp_path))) == 0
    printed = capsys.readouterr().out
    assert "burst-416: 416 tasks of 10 s in 1.0 h" in printed
    assert all(policy in printed for policy in ("drain_time", "load_factor", "keda-1", "keda-5", "target-tracking"))
    assert "drain_time against keda-1: " in printed
    pictures = [tmp_path / "burst-416-timeline.png", tmp_path / "burst-416-cost.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_the_command_tells_of_a_roll(capsys: pytest.CaptureFixture[str]) -> None:
    """With a new version in the middle the command says how long it took, or that it did not end."""
    roll = ("--scenario", "burst-416", "--policy", "drain_time", "--min-nodes", "2", "--roll-at-s", "1800")
    assert main(command(*roll)) == 0
    assert "drain_time: 2 nodes replaced in " in capsys.readouterr().out
    assert main(command(*roll, "--roll-broken")) == 0
    assert "drain_time: the roll of 2 nodes did not end" in capsys.readouterr().out


def test_the_command_refuses_what_is_no_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace that cannot be read ends the command with one line."""
    assert main(command("--trace", str(tmp_path / "none.csv"))) == 2
    assert capsys.readouterr().out.startswith("error: ")


def test_the_comparison_is_a_quotient() -> None:
    """One run is set against another by cost and by wait."""
    result = run(decide, "burst-416")
    other = replace(result, policy="other", billed_h=result.billed_h * 2, wait_s=(0, result.wait_s[1] * 4, 0))
    assert compared(result, other) == "x against other: 0.50 of the node-hours, 0.25 of the p95 wait"
