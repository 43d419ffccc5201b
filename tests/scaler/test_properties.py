"""What holds for every decision, whatever is observed and remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scaler.decide import decide
from scaler.roll import OVERDUE_S, is_overdue
from scaler.roster import is_outdated
from scaler.state import (
    DEFAULT_VERSION,
    HALT_FAILURES,
    Backlog,
    Decision,
    History,
    Limits,
    Node,
    Phase,
    Sample,
    Versions,
    WorkerReport,
)

NOW_S = 10_000.0
AGES_S = st.floats(0, 2000)
COUNTS = st.integers(0, 2000)
REPORTS = st.builds(
    WorkerReport,
    slots=st.integers(1, 32),
    active=st.integers(0, 2),
    reserved=st.integers(0, 2),
    idle_s=AGES_S,
    consuming=st.booleans(),
    tasks=st.integers(0, 100),
    task_s=AGES_S,
)
BACKLOGS = st.builds(Backlog, COUNTS, COUNTS, COUNTS)


@st.composite
def fleets(draw: Any) -> tuple[Node, ...]:
    """Any nodes: every phase with any age, with and without reports."""
    nodes = []
    for number in range(draw(st.integers(0, 12))):
        age_s = draw(AGES_S)
        phase = draw(st.sampled_from(Phase))
        said = None if phase is Phase.BOOTING else draw(st.none() | REPORTS)
        version = draw(st.sampled_from([None, "", "1", "2"]))
        since_s = NOW_S - draw(st.floats(0, age_s))
        nodes.append(Node(f"i-{number}", phase, NOW_S - age_s, since_s, said, template_version=version))
    return tuple(nodes)


SAMPLES = st.builds(Sample, st.just(NOW_S), BACKLOGS, fleets())
HISTORIES = st.builds(
    History,
    candidates=st.dictionaries(st.sampled_from([f"i-{number}" for number in range(12)]), st.floats(NOW_S - 99, NOW_S)),
    surplus_ticks=st.integers(0, 9),
    surplus_since_s=st.none() | st.floats(NOW_S - 999, NOW_S),
    slots=st.none() | st.integers(1, 64),
    task_s=st.none() | st.floats(0.01, 500),
    boots_s=st.lists(st.floats(1, 400), max_size=5).map(tuple),
    launch_failures=st.integers(0, 9),
    launch_not_before_s=st.floats(NOW_S - 99, NOW_S + 99),
    lowered_cap=st.none() | st.integers(0, 12),
    lowered_cap_until_s=st.floats(NOW_S - 99, NOW_S + 99),
    stopped=st.sampled_from(["", "EC2 forbids launches"]),
    stopped_until_s=st.floats(NOW_S - 99, NOW_S + 99),
    versions=st.builds(
        Versions,
        wanted=st.just("2"),
        joined=st.booleans(),
        failures=st.integers(0, 4),
        fallback=st.sampled_from([None, "", "1"]),
        hold=st.none() | st.integers(0, 20),
        outdated=st.integers(0, 12),
        since_s=st.none() | st.floats(NOW_S - 2 * OVERDUE_S, NOW_S),
        yielded=st.booleans(),
    ),
)


@st.composite
def some_limits(draw: Any, versions: tuple[str, ...] = (DEFAULT_VERSION,)) -> Limits:
    """Any limits that are consistent; without a roll, if no version is given."""
    least = draw(st.integers(0, 5))
    return Limits(
        policy=draw(st.sampled_from(["drain_time", "load_factor"])),
        min_nodes=least,
        max_nodes=draw(st.integers(max(1, least), 20)),
        max_launches_per_tick=draw(st.integers(1, 10)),
        target_drain_s=draw(st.floats(1, 900)),
        surplus_ticks=draw(st.integers(1, 4)),
        template_version=draw(st.sampled_from(versions)),
    )


ANY_LIMITS = some_limits((DEFAULT_VERSION, "2"))
ROLLS = some_limits(("2",))


def gone_from(decision: Decision) -> set[str]:
    """The nodes that a decision takes out of service."""
    assert len(decision.drain + decision.commit) == len({*decision.drain, *decision.commit})
    return {*decision.drain, *decision.commit}


def acts(decision: Decision) -> tuple[object, ...]:
    """What a decision does."""
    return (decision.launch, decision.revert, decision.drain, decision.commit, decision.replace)


@given(SAMPLES, HISTORIES, ANY_LIMITS)
def test_never_above_the_cap(sample: Sample, history: History, limits: Limits) -> None:
    """A launch never takes the count of all nodes beyond the cap, nor beyond the account's limit, nor a tick's bound."""
    decision, _ = decide(sample, history, limits)
    assert sample.nodes is not None
    cap = limits.max_nodes
    if history.lowered_cap is not None and history.lowered_cap_until_s > NOW_S:
        cap = min(cap, history.lowered_cap)
    assert 0 <= decision.launch <= max(0, cap - len(sample.nodes))
    assert decision.launch <= limits.max_launches_per_tick
    assert decision.desired is not None
    assert limits.min_nodes <= decision.desired <= limits.max_nodes


@given(SAMPLES, HISTORIES, some_limits())
def test_never_below_the_minimum(sample: Sample, history: History, limits: Limits) -> None:
    """Drains leave as many nodes that report and take tasks as the minimum, and as are desired."""
    decision, _ = decide(sample, history, limits)
    assert sample.nodes is not None
    taking = [n.id for n in sample.nodes if n.phase is Phase.READY and n.report is not None and n.report.consuming]
    if decision.drain:
        assert decision.desired is not None
        assert len(set(taking) - set(decision.drain)) >= max(limits.min_nodes, decision.desired)


@given(SAMPLES, HISTORIES, ANY_LIMITS)
def test_never_a_busy_or_unknown_node(sample: Sample, history: History, limits: Limits) -> None:
    """Only a node that says at this very tick that it holds no task is committed; or drained, if it is not outdated."""
    decision, _ = decide(sample, history, limits)
    assert sample.nodes is not None
    nodes = {node.id: node for node in sample.nodes}
    for node in gone_from(decision):
        report = nodes[node].report
        assert report is not None
        assert report.idle or (node in decision.drain and is_outdated(nodes[node], limits))
        assert report.consuming == (node in decision.drain)
    for node in decision.replace:
        assert nodes[node].phase in {Phase.BOOTING, Phase.SILENT, Phase.COMMITTED}


@given(SAMPLES, HISTORIES, some_limits(), COUNTS, COUNTS)
def test_monotone_in_backlog(
    sample: Sample, history: History, limits: Limits, more_visible: int, more_in_flight: int
) -> None:
    """More messages never lead to fewer desired nodes, fewer reverts or launches, or more drains."""
    assert sample.backlog is not None
    longer = replace(
        sample.backlog,
        visible=sample.backlog.visible + more_visible,
        in_flight=sample.backlog.in_flight + more_in_flight,
    )
    less, _ = decide(sample, history, limits)
    more, _ = decide(replace(sample, backlog=longer), history, limits)
    assert less.desired is not None
    assert more.desired is not None
    assert more.launch >= less.launch
    assert set(more.revert) >= set(less.revert)
    assert len(more.drain) <= len(less.drain)
    assert set(more.commit) <= set(less.commit)
    assert more.replace == less.replace
    # With more reverts the same work needs fewer nodes, so only equal reverts compare.
    assert more.desired >= less.desired or len(more.revert) > len(less.revert)


@given(SAMPLES, HISTORIES, ANY_LIMITS)
def test_idempotent_on_an_unchanged_sample(sample: Sample, history: History, limits: Limits) -> None:
    """Deciding again on the same sample, with the history that came of it, decides the same."""
    first, after = decide(sample, history, limits)
    second, _ = decide(sample, after, limits)
    assert acts(second) == acts(first)


@settings(max_examples=200)
@given(SAMPLES, HISTORIES, ANY_LIMITS)
def test_what_was_done_is_not_done_again(sample: Sample, history: History, limits: Limits) -> None:
    """Once launches are listed as booting and reverts as ready, the same backlog asks for no more than the rest."""
    first, after = decide(sample, history, limits)
    assert sample.nodes is not None
    new = tuple(Node(f"new-{number}", Phase.BOOTING, NOW_S, NOW_S) for number in range(first.launch))
    nodes = tuple(
        replace(node, phase=Phase.READY, report=replace(node.report, consuming=True))
        if node.id in first.revert and node.report is not None
        else node
        for node in sample.nodes
    )
    second, _ = decide(replace(sample, nodes=nodes + new), after, limits)
    assert second.values["missing"] <= max(0, first.values["missing"] - first.launch)
    assert not set(second.revert) & set(first.revert)


@given(SAMPLES, HISTORIES, ANY_LIMITS, st.sampled_from(["backlog", "nodes"]))
def test_unknown_changes_nothing(sample: Sample, history: History, limits: Limits, part: str) -> None:
    """A sample that lacks a part leads to no action and leaves the history as it was."""
    decision, after = decide(replace(sample, **{part: None}), history, limits)  # type: ignore[arg-type] # one of two fields
    assert (acts(decision), decision.held, after) == ((0, (), (), (), ()), True, history)


@given(SAMPLES, HISTORIES, ROLLS)
def test_what_a_roll_drains_is_not_asked_back(sample: Sample, history: History, limits: Limits) -> None:
    """Once the drained nodes drain, none of them is taken back, and no message needs another but for an overdue roll."""
    first, after = decide(sample, history, limits)
    assert sample.nodes is not None
    nodes = tuple(
        replace(node, phase=Phase.DRAINING, since_s=NOW_S, report=replace(node.report, consuming=False))
        if node.id in first.drain and node.report is not None
        else node
        for node in sample.nodes
    )
    second, _ = decide(replace(sample, nodes=nodes), after, replace(limits, min_nodes=0))
    if first.drain:
        assert not set(first.drain) & set(second.revert)
        yielded = is_overdue(history, NOW_S) and len(first.drain) == 1
        assert second.values["missing"] == 0 or yielded


@given(SAMPLES, HISTORIES, ROLLS)
def test_a_roll_is_gradual(sample: Sample, history: History, limits: Limits) -> None:
    """Beyond what scale-in takes, one old node or a quarter of the nodes goes at a time, and as many more come."""
    decision, _ = decide(sample, history, limits)
    without, _ = decide(sample, history, replace(limits, template_version=DEFAULT_VERSION))
    share = max(1, int(0.25 * decision.values["taking"]))
    assert len(decision.drain) <= max(share, len(without.drain))
    assert decision.launch <= without.launch + share
    assert decision.replace == without.replace


@given(SAMPLES, HISTORIES, ROLLS)
def test_a_halted_roll_moves_nothing(sample: Sample, history: History, limits: Limits) -> None:
    """When the new version does not work, the same is done as if there were none."""
    history = replace(history, versions=replace(history.versions, failures=HALT_FAILURES, fallback="1"))
    decision, _ = decide(sample, history, limits)
    without, _ = decide(sample, history, replace(limits, template_version=DEFAULT_VERSION))
    assert decision.drain == without.drain
    assert decision.launch == without.launch
    assert decision.template_version == "1"
