"""Nodes of another launch template version make room for new ones: how many, which, and when not. Pure.

One new node tries the version; when it has joined, old nodes go as new ones come, a quarter of the nodes at a time. What
a backlog needs comes first, but not for ever: see `overdue_step`. When nodes of the version do not join, the roll is
halted and launches use the version that worked before.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from scaler.measure import joined, lost_in_boot
from scaler.policy import POLICIES, Capacity, Measured
from scaler.roster import Roster, is_outdated
from scaler.state import Backlog, History, Limits, Node, Phase, Sample, Versions

# Of the nodes, replaced at the same time, like Kubernetes' default of a Deployment's surge:
# https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-surge
SHARE = 0.25
# A roll that waits so long for messages to need less costs more than one node that is missing for a boot: what is
# deployed may be what makes the service fast again. Ten boots of 90 s: at most a tenth of one node's time is lost.
OVERDUE_S = 900.0


@dataclass(frozen=True)
class Step:
    """What a roll does at this tick: outdated nodes to drain, and nodes to launch beyond what is needed."""

    drain: tuple[str, ...] = ()
    surge: int = 0


def learn_versions(history: History, sample: Sample, previous: Sample | None, limits: Limits) -> History:
    """Return the history with what a sample tells of the launch template's versions.

    The fallback is what nodes report with that are to be replaced, and before the first sample the version before this
    one, if a node of it had joined. A roll that is done has none.
    """
    wanted = limits.template_version
    if not wanted.isdecimal():
        return replace(history, versions=Versions())
    if sample.nodes is None:
        return history
    known = history.versions
    if known.wanted != wanted:
        known = Versions(wanted, fallback=known.wanted if known.joined else known.fallback)
    reporting = [node for node in sample.nodes if node.report is not None and node.template_version is not None]
    has_joined = known.joined or any(node.template_version == wanted for node in reporting)
    others = [node for node in reporting if node.template_version != wanted]
    fallback = known.fallback
    if others:
        fallback = max(others, key=lambda node: (node.launched_at_s, node.id)).template_version
    elif has_joined and not any(is_outdated(node, limits) for node in sample.nodes):
        fallback = None
    lost, came = _of(wanted, lost_in_boot(sample, previous)), _of(wanted, joined(sample, previous))
    failures = 0 if came else known.failures + lost
    outdated = sum(is_outdated(node, limits) and node.phase is not Phase.STOPPING for node in sample.nodes)
    since_s = sample.now_s if known.since_s is None or came or outdated < known.outdated else known.since_s
    return replace(
        history,
        versions=Versions(
            wanted,
            has_joined,
            failures,
            fallback,
            known.hold,
            outdated,
            since_s if outdated else None,
            yielded=known.yielded and not has_joined and not lost,
        ),
    )


def _of(version: str, nodes: Sequence[Node]) -> int:
    return sum(node.template_version == version for node in nodes)


def version_to_launch(history: History, roster: Roster, limits: Limits, *, urgent: bool, number: int) -> str:
    """Return the version that launches use: the wanted one, unless messages wait and only an older is known to work.

    The one node for which another had to go tries the wanted one all the same.

    Args:
        history: what is remembered.
        roster: the nodes, sorted.
        limits: the operator's settings.
        urgent: whether messages need the nodes, and not the roll or the minimum.
        number: nodes that are launched.
    """
    known = history.versions
    tries = known.yielded and number == 1 and all(node.id in roster.outdated for node in roster.booting)
    unproven = urgent and not known.joined and not tries and any(node.id in roster.outdated for node in roster.taking)
    return (known.fallback if known.halted or unproven else None) or limits.template_version


def words_of(outdated: Collection[str], history: History, limits: Limits) -> str:
    """Return what is to be said of a roll in one line; empty if there is none."""
    wanted, known = limits.template_version, history.versions
    if known.halted:
        launches = f"launches use version {known.fallback}" if known.fallback else "old nodes stay"
        return f"roll to version {known.wanted} halted: {known.failures} of its nodes never joined in a row; {launches}"
    return f"roll to version {wanted}: {len(outdated)} outdated" if outdated else ""


def held(history: History, roster: Roster, *, there: int, missing: int) -> History:
    """Return the history with the nodes that a roll leaves as many of: those it found, and what bursts have added.

    Args:
        history: what is remembered.
        roster: the nodes, sorted.
        there: nodes that take tasks or boot.
        missing: nodes that are missing then.
    """
    hold = None
    if is_rolling(history, roster):
        found = there if history.versions.hold is None else history.versions.hold
        hold = there + missing if missing else min(found, there)
    return replace(history, versions=replace(history.versions, hold=hold))


def is_rolling(history: History, roster: Roster) -> bool:
    """Return whether there are old nodes to be replaced, and the roll is not halted."""
    return not history.versions.halted and any(node.id in roster.outdated for node in roster.taking)


@dataclass(frozen=True)
class Spare:
    """Tells how many of some ready nodes could go without one missing for the backlog."""

    backlog: Backlog
    learned: Measured
    limits: Limits

    def of(self, capacity: Capacity, most: int) -> int:
        """Return how many can go, and at most so many."""
        most = max(0, min(most, capacity.ready))
        for number in range(1, most + 1):
            rest = replace(capacity, ready=capacity.ready - number)
            if POLICIES[self.limits.policy](self.backlog, rest, self.learned, self.limits).nodes > rest.nodes:
                return number - 1
        return most


def first_step(roster: Roster, history: History, spare: Spare, *, room: int) -> Step:
    """Return the step that tries the new version: one node of it, before any old one goes.

    If the cap leaves no room for that, one old node is drained which no message needs, though the minimum may: when
    nothing else is on its way, and launches succeed.

    Args:
        roster: the nodes, sorted.
        history: what is remembered.
        spare: tells how many nodes can go.
        room: nodes that may be launched below the cap.
    """
    tried = any(node.id not in roster.outdated for node in roster.booting)
    return Step(_make_room(roster, history, spare) if room <= 0 else (), 0 if tried else 1)


def next_step(roster: Roster, history: History, spare: Spare, *, desired: int, now_s: float, room: int) -> Step:
    """Return the next step when the new version is known to work.

    Old nodes are drained as new ones have joined beyond those that the roll found, or beyond those that are desired if
    that has lasted, and if the backlog can do without them; those that boot do not count. As many are launched as are
    still missing for the next drains. A drained node finishes what it holds.

    Args:
        roster: the nodes, sorted.
        history: what is remembered, this tick's surplus included.
        spare: tells how many nodes can go.
        desired: what the policy wants.
        now_s: the time now.
        room: nodes that may be launched below the cap.
    """
    old = _old(roster)
    share = max(1, int(SHARE * len(roster.taking)))
    step = min(share, len(old))
    reporting = sum(node.report is not None for node in roster.taking)
    soon = roster.capacity(now_s, spare.learned.boot_s)
    hold = soon.nodes if history.versions.hold is None else history.versions.hold
    least = min(hold, desired)
    lasting = history.surplus_ticks >= spare.limits.surplus_ticks
    above = reporting - (least if lasting else hold)
    drain = spare.of(Capacity(reporting), min(step, share - roster.making_room, above))
    surge = step - spare.of(soon, min(step, soon.nodes - least))
    if not drain and room <= 0:
        return Step(_make_room(roster, history, spare), surge)
    return Step(tuple(node.id for node in old[:drain]), surge)


def overdue_step(roster: Roster, history: History, *, now_s: float, room: int) -> tuple[str, ...]:
    """Return the one old node that is drained although messages need it, because the roll has waited too long.

    Args:
        roster: the nodes, sorted.
        history: what is remembered.
        now_s: the time now.
        room: nodes that may be launched below the cap.
    """
    due = is_overdue(history, now_s) and room <= 0 and _is_quiet(roster, history)
    return tuple(node.id for node in _old(roster)[:1]) if due else ()


def is_overdue(history: History, now_s: float) -> bool:
    """Return whether a roll that is not halted has not come further for too long."""
    since_s = history.versions.since_s
    return not history.versions.halted and since_s is not None and now_s - since_s >= OVERDUE_S


def given_up(roster: Roster, history: History, *, now_s: float, room: int) -> str:
    """Return the draining node that is not taken back even for messages, as an overdue roll needs its place; or empty."""
    if room > 0 or not is_overdue(history, now_s):
        return ""
    draining = [(node.since_s, node.id) for node in roster.draining if node.id in roster.outdated]
    return min(draining)[1] if draining else ""


def _is_quiet(roster: Roster, history: History) -> bool:
    """Return whether nothing is on its way, and launches succeed."""
    return len(roster.taking) == roster.total and not history.launch_failures and not history.stopped


def _make_room(roster: Roster, history: History, spare: Spare) -> tuple[str, ...]:
    reporting = sum(node.report is not None for node in roster.taking)
    for_messages = replace(spare, limits=replace(spare.limits, min_nodes=0))
    can_go = for_messages.of(Capacity(reporting), 1) if _is_quiet(roster, history) else 0
    return tuple(node.id for node in _old(roster)[:can_go])


def _old(roster: Roster) -> list[Node]:
    """Return the old nodes that report and take tasks: first those that hold least, of the idle the longest idle."""
    return sorted((node for node in roster.taking if node.report and node.id in roster.outdated), key=_leaves_first)


def _leaves_first(node: Node) -> tuple[float, float, float, str]:
    held = node.report.active + node.report.reserved if node.report else 0
    return (held, -node.report.idle_s if node.report else 0.0, node.launched_at_s, node.id)
