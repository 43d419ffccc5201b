"""What to do now: `decide` turns what was observed and what is remembered into a decision. Pure.

It knows no clock, no AWS and no Celery: the loop and the simulation call the same function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from scaler.measure import ALARM_FAILURES, backed_off, measured
from scaler.policy import POLICIES, Desired, Measured
from scaler.roll import (
    Spare,
    first_step,
    given_up,
    held,
    is_rolling,
    next_step,
    overdue_step,
    version_to_launch,
    words_of,
)
from scaler.roster import Roster, roster_of
from scaler.scale_in import ScaleIn, commits, no_surplus, scale_in
from scaler.state import Backlog, Decision, History, Limits, Node, Sample


def decide(sample: Sample, history: History, limits: Limits) -> tuple[Decision, History]:
    """Return what to do now, and the history that the next decision needs.

    A backlog that cannot be read is not an empty one: then everything stays as it is. A burst is met first by nodes
    that are about to leave, cheapest first: candidates stay, drains are taken back, and what is then missing is
    launched. Nodes leave by phases, see `scaler.scale_in`.

    The same sample gives the same decision again. The nodes of a launch have to be in the next sample, as booting.

    416 photos of 4 s wait, no node runs, a node has 8 slots and boots in 90 s:

    >>> sample = Sample(now_s=0, backlog=Backlog(visible=416, in_flight=0, delayed=0), nodes=())
    >>> decision, _ = decide(sample, History(task_s=4), Limits())
    >>> decision.launch, decision.reason
    (7, '1664 s of work, 0 s of capacity within 120 s: 7 desired, 0 there; launch 7')
    """
    if sample.backlog is None or sample.nodes is None:
        why = "; ".join(sample.failures) or "not everything could be read"
        return Decision(held=True, reason=f"held: {why}"), history
    roster = roster_of(sample.nodes, sample.now_s, limits)
    # Failures that come while launches are held off tell nothing new.
    if roster.never_joined and sample.now_s >= history.launch_not_before_s:
        history = backed_off(history, sample.now_s, jitter=1.0)
    learned = measured(history, sample, limits)
    room = _cap(history, limits, sample.now_s)[0] - roster.total
    stays_out = given_up(roster, history, now_s=sample.now_s, room=room)
    halted = history.versions.halted
    need = _need(sample.backlog, roster, learned, limits, sample.now_s, stays_out=stays_out, halted=halted)
    history = held(history, roster, there=need.there + len(need.reverts), missing=need.missing)
    leaving, surge = _leaving(sample.backlog, roster, learned, history, limits, need=need, now_s=sample.now_s)
    launches = _launches(need.missing + surge, roster, history, limits, sample.now_s)
    # Among nodes of which none is heard, none goes before the last one's successor has come.
    stopped = history.is_stopped(sample.now_s)
    held_off = bool(launches.number) or stopped or sample.now_s < history.launch_not_before_s
    lost = () if roster.deaf and held_off else roster.lost
    decision = Decision(
        launch=launches.number,
        template_version=version_to_launch(history, roster, limits, urgent=need.urgent, number=launches.number),
        revert=_ids(need.reverts),
        drain=leaving.drain,
        commit=commits([node for node in roster.draining if node not in need.reverts], limits, sample.now_s),
        replace=_ids(lost),
        desired=need.desired.nodes,
        values=MappingProxyType(_values(sample.backlog, roster, learned, need, leaving.history)),
    )
    words = _reason(decision, need, launches, words_of(roster.outdated, history, limits))
    return replace(decision, reason=words), leaving.history


def _leaving(
    backlog: Backlog, roster: Roster, learned: Measured, history: History, limits: Limits, *, need: Need, now_s: float
) -> tuple[ScaleIn, int]:
    """Return who is drained, and how many nodes are launched to replace others.

    A burst comes first, unless the roll is overdue. While no node is wanted, none tries a new version.
    """
    room = _cap(history, limits, now_s)[0] - roster.total
    yields = overdue_step(roster, history, now_s=now_s, room=room) if need.desired.nodes else ()
    if yields:
        versions = replace(history.versions, yielded=not history.versions.joined)
        return ScaleIn(yields, replace(no_surplus(history), versions=versions)), 0
    if need.missing > 0 or need.reverts:
        return ScaleIn((), no_surplus(history)), 0
    desired = need.desired.nodes
    leaving = scale_in(roster.taking, desired, history, limits, now_s, first=roster.outdated)
    if not desired or not is_rolling(history, roster):
        return leaving, 0
    spare = Spare(backlog, learned, limits)
    if history.versions.joined:
        step = next_step(roster, leaving.history, spare, desired=desired, now_s=now_s, room=room)
    else:
        step = first_step(roster, history, spare, room=room)
    return replace(leaving, drain=step.drain or leaving.drain), step.surge


@dataclass(frozen=True)
class Need:
    """What the policy wants, and how it can be had.

    Attributes:
        desired: what the policy wants.
        there: nodes that count as capacity, before anything is done.
        reverts: draining nodes that are to take tasks again.
        missing: nodes that are then still missing.
        urgent: whether messages need those, and not the minimum alone.
    """

    desired: Desired
    there: int
    reverts: tuple[Node, ...]
    missing: int
    urgent: bool


def _need(
    backlog: Backlog,
    roster: Roster,
    learned: Measured,
    limits: Limits,
    now_s: float,
    *,
    stays_out: str,
    halted: bool,
) -> Need:
    """Return the need with as few reverts as fill it; a node that does not answer cannot be told to take tasks.

    A node that drains because it is outdated is taken back for messages, and not for the minimum alone, unless the roll
    is halted: nothing better will come. `stays_out` is one that is not taken back.
    """
    policy = POLICIES[limits.policy]
    capacity = roster.capacity(now_s, learned.boot_s)
    # The latest to drain has the longest way still to go.
    revertible = sorted(
        (node for node in roster.draining if node.report is not None and node.id != stays_out),
        key=lambda node: (node.id in roster.outdated, -node.since_s, node.id),
    )
    for number in range(len(revertible) + 1):
        with_reverts = replace(capacity, ready=capacity.ready + number)
        desired = policy(backlog, with_reverts, learned, limits)
        missing = desired.nodes - with_reverts.nodes
        urgent = policy(backlog, with_reverts, learned, replace(limits, min_nodes=0)).nodes > with_reverts.nodes
        stays = not halted and number < len(revertible) and revertible[number].id in roster.outdated
        if missing <= 0 or (stays and not urgent):
            break
    return Need(desired, capacity.nodes, tuple(revertible[:number]), max(0, missing), urgent)


@dataclass(frozen=True)
class Launches:
    """How many nodes to launch, and what kept it from being more; empty if nothing did."""

    number: int
    bound: str = ""


def _launches(missing: int, roster: Roster, history: History, limits: Limits, now_s: float) -> Launches:
    if missing == 0:
        return Launches(0)
    if history.is_stopped(now_s):
        return Launches(0, history.stopped)
    if now_s < history.launch_not_before_s:
        wait_s = history.launch_not_before_s - now_s
        return Launches(0, f"after {history.launch_failures} failed launches in a row the next is in {wait_s:.0f} s")
    cap, whose = _cap(history, limits, now_s)
    bounds = [
        (missing, ""),
        (limits.max_launches_per_tick, f"at most {limits.max_launches_per_tick} at a time"),
        (cap - roster.total, f"{whose} of {cap}, {roster.total} there"),
    ]
    if history.launch_failures >= ALARM_FAILURES:
        bounds.append((1 - len(roster.booting), f"one at a time after {history.launch_failures} failures in a row"))
    number, bound = min(bounds, key=lambda choice: choice[0])
    return Launches(max(0, number), bound)


def _cap(history: History, limits: Limits, now_s: float) -> tuple[int, str]:
    """Return the cap on nodes, and whose it is."""
    cap = limits.max_nodes
    if history.lowered_cap is not None and history.lowered_cap < cap and now_s < history.lowered_cap_until_s:
        return history.lowered_cap, "account's limit"
    return cap, "cap"


def _reason(decision: Decision, need: Need, launches: Launches, roll_words: str) -> str:
    actions = [
        f"{action} {', '.join(nodes)}"
        for action, nodes in (
            ("revert", decision.revert),
            ("drain", decision.drain),
            ("commit", decision.commit),
            ("replace", decision.replace),
        )
        if nodes
    ]
    if decision.launch:
        actions.append(f"launch {decision.launch}")
    if launches.bound:
        actions.append(f"launch no more: {launches.bound}" if decision.launch else f"launch none: {launches.bound}")
    found = f"{need.desired.reason}: {need.desired.nodes} desired, {need.there} there"
    return "; ".join([found, *actions, *([roll_words] if roll_words else [])])


def _values(backlog: Backlog, roster: Roster, learned: Measured, need: Need, history: History) -> dict[str, float]:
    return {
        "visible": backlog.visible,
        "in_flight": backlog.in_flight,
        "delayed": backlog.delayed,
        "taking": len(roster.taking),
        "booting": len(roster.booting),
        "draining": len(roster.draining),
        "total": roster.total,
        "task_s": learned.task_s,
        "boot_s": learned.boot_s,
        "slots": learned.slots,
        "missing": need.missing,
        "candidates": len(history.candidates),
        "surplus_ticks": history.surplus_ticks,
        "launch_failures": history.launch_failures,
        "outdated": len(roster.outdated),
        "roll_halted": history.versions.halted,
        **need.desired.values,
    }


def _ids(nodes: Sequence[Node]) -> tuple[str, ...]:
    return tuple(node.id for node in nodes)
