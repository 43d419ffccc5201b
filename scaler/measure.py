"""Learns from what happened: seconds of a task and of a boot, a node's slots, when launching is worth another try.

Pure: a history and news make the next history. Chance comes in as a number.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from types import MappingProxyType

from scaler.policy import Measured
from scaler.state import History, LaunchOutcome, Limits, Meaning, Node, Phase, Sample

# After this many new tasks the mean has moved half the way to theirs.
TASKS_HALF = 100
BOOTS_KEPT = 20
BOOT_QUANTILE = 0.9
BACKOFF_S = 15.0
BACKOFF_MOST_S = 900.0
# From here on a person should look, and launches are tried with one node at a time.
ALARM_FAILURES = 3
# An account's limit is lifted by people, and instances of others that fill it come and go.
QUOTA_RETRY_S = 900.0
# A role is mended by people, and what EC2 forbids for the moment comes right by itself.
FORBIDDEN_RETRY_S = 900.0
# The tally of a worker that has ended no task.
NOTHING = (0, 0.0)


def measured(history: History, sample: Sample, limits: Limits) -> Measured:
    """Return what the policy needs, from the operator's first guesses as long as nothing was measured."""
    slots = _slots(sample) or history.slots
    return Measured(
        task_s=limits.initial_task_s if history.task_s is None else history.task_s,
        boot_s=boot_s(history, limits),
        slots=limits.node_slots if slots is None else slots,
    )


def _slots(sample: Sample) -> int | None:
    slots = [node.report.slots for node in sample.nodes or () if node.report is not None]
    return max(1, round(statistics.fmean(slots))) if slots else None


def boot_s(history: History, limits: Limits) -> float:
    """Return the seconds from launch to first report that nine of ten of the latest nodes kept within.

    >>> boot_s(History(boots_s=tuple(range(1, 11))), Limits())
    9
    """
    if not history.boots_s:
        return limits.initial_boot_s
    ordered = sorted(history.boots_s)
    return ordered[math.ceil(BOOT_QUANTILE * len(ordered)) - 1]


def learn(history: History, sample: Sample, previous: Sample | None = None) -> History:
    """Return the history with what a sample tells of tasks, boots and slots.

    Args:
        history: what is known.
        sample: the news.
        previous: the latest sample before that knew the nodes; None at the start. Only a node that was seen booting
            tells how long a boot takes: of others it is not known when they joined.
    """
    if sample.nodes is None:
        return history
    news = joined(sample, previous)
    history = replace(_learn_tasks(history, sample.nodes), slots=_slots(sample) or history.slots)
    # Failures that come while launches are held off tell nothing new.
    if lost_in_boot(sample, previous) and sample.now_s >= history.launch_not_before_s:
        history = backed_off(history, sample.now_s, jitter=1.0)
    if not news:
        return history
    boots_s = (*history.boots_s, *(sample.now_s - node.launched_at_s for node in news))
    return replace(history, boots_s=boots_s[-BOOTS_KEPT:], launch_failures=0, launch_not_before_s=0.0)


def joined(sample: Sample, previous: Sample | None) -> list[Node]:
    """Return the nodes that were booting and report now."""
    if previous is None or previous.nodes is None or sample.nodes is None:
        return []
    booting = {node.id for node in previous.nodes if node.phase is Phase.BOOTING}
    return [node for node in sample.nodes if node.id in booting and node.report is not None]


def lost_in_boot(sample: Sample, previous: Sample | None) -> list[Node]:
    """Return the nodes that were booting and are gone or going: they have failed, whoever ended them."""
    if previous is None or previous.nodes is None or sample.nodes is None:
        return []
    there = {node.id for node in sample.nodes if node.phase is not Phase.STOPPING}
    return [node for node in previous.nodes if node.phase is Phase.BOOTING and node.id not in there]


def _learn_tasks(history: History, nodes: tuple[Node, ...]) -> History:
    tallies = {node.id: history.tallies[node.id] for node in nodes if node.id in history.tallies}
    tasks, task_s = 0, 0.0
    for node in nodes:
        if node.report is not None:
            known_tasks, known_s = history.tallies.get(node.id, NOTHING)
            tallies[node.id] = (node.report.tasks, node.report.task_s)
            if node.report.tasks < known_tasks or node.report.task_s < known_s:
                known_tasks, known_s = NOTHING  # the worker was started again, and counts from 0
            tasks += node.report.tasks - known_tasks
            task_s += node.report.task_s - known_s
    mean_s = history.task_s
    if tasks:
        kept = 0.0 if mean_s is None else 0.5 ** (tasks / TASKS_HALF)
        mean_s = kept * (mean_s or 0.0) + (1 - kept) * task_s / tasks
    return replace(history, tallies=MappingProxyType(tallies), task_s=mean_s)


def after_launch(history: History, outcome: LaunchOutcome, *, now_s: float, nodes: int, jitter: float) -> History:
    """Return the history with what came of a launch.

    Args:
        history: what is known.
        outcome: what EC2 gave and refused.
        now_s: when.
        nodes: non-terminated nodes before the launch.
        jitter: from 0 to 1, by chance.
    """
    refusals = dict(outcome.refusals)
    if outcome.forbidden:
        why = f"EC2 forbids launches: {refusals[Meaning.FORBIDDEN]}"
        return replace(history, stopped=why, stopped_until_s=now_s + FORBIDDEN_RETRY_S)
    if outcome.launched or refusals.keys() & {Meaning.NO_CAPACITY, Meaning.QUOTA}:
        history = replace(history, stopped="")
    if len(outcome.launched) >= outcome.asked:
        return history
    if Meaning.QUOTA in refusals:
        history = replace(history, lowered_cap=nodes + len(outcome.launched), lowered_cap_until_s=now_s + QUOTA_RETRY_S)
    if refusals.keys() == {Meaning.QUOTA}:
        return history
    return backed_off(history, now_s, jitter, some_came=bool(outcome.launched))


def backed_off(history: History, now_s: float, jitter: float, *, some_came: bool = False) -> History:
    """Return the history after a launch that failed: no other one before a time that doubles with each in a row.

    Args:
        history: what is known.
        now_s: when.
        jitter: from 0 to 1: the wait is between half of the full time and all of it.
        some_came: whether some of the nodes came, which starts the row anew.
    """
    failures = 1 if some_came else history.launch_failures + 1
    wait_s = min(BACKOFF_MOST_S, BACKOFF_S * 2 ** min(failures - 1, 30)) * (0.5 + jitter / 2)
    return replace(history, launch_failures=failures, launch_not_before_s=now_s + wait_s)


def alarms(history: History, now_s: float) -> tuple[str, ...]:
    """Return what a person should look at, a line each."""
    lines = []
    if history.stopped:
        lines.append(
            f"{history.stopped}; mend it: a launch is tried again {FORBIDDEN_RETRY_S / 60:.0f} min after the last"
        )
    if history.lowered_cap is not None and now_s < history.lowered_cap_until_s:
        lines.append(f"the account's limit allows {history.lowered_cap} nodes; ask AWS for more or lower MAX_NODES")
    if history.launch_failures >= ALARM_FAILURES:
        lines.append(f"{history.launch_failures} launches in a row failed, or their nodes never joined")
    if history.versions.halted:
        lines.append(
            f"the roll to version {history.versions.wanted} is halted: {history.versions.failures} of its nodes never "
            "joined; set another LAUNCH_TEMPLATE_VERSION, or mend it and restart the scaler"
        )
    return tuple(lines)
