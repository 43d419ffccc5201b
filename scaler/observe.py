"""Puts together what EC2 and the workers say of each node. Pure: no clock, no AWS, no Celery."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaler.state import Node, Phase, WorkerReport

if TYPE_CHECKING:
    from scaler.instances import Instance

# One report that is late is no news; a node that has given none for this long is silent.
SILENT_AFTER_S = 20.0
# Not "stopped": such an instance does not terminate by itself, and would take a place for ever. It is replaced like any
# other that does not answer.
STOPPING_STATES = frozenset({"shutting-down", "stopping"})


@dataclass(frozen=True)
class Seen:
    """When this scaler process saw a node first, and when it had the first and the last report of it."""

    first_s: float
    joined_s: float | None = None
    report_s: float | None = None

    def and_report(self, now_s: float) -> Seen:
        """Return what is known after a report at `now_s`."""
        return Seen(self.first_s, self.joined_s if self.joined_s is not None else now_s, now_s)

    def later(self, seconds: float) -> Seen:
        """Return what is known, as if the last report had come so much later."""
        return self if self.report_s is None else replace(self, report_s=self.report_s + seconds)


def look(
    seen: Mapping[str, Seen], instances: Iterable[Instance], reports: Iterable[str], now_s: float
) -> dict[str, Seen]:
    """Return when each of the instances was seen, those included that are seen for the first time now."""
    reporting = set(reports)
    noted = {instance.id: seen.get(instance.id, Seen(now_s)) for instance in instances}
    return {node: past.and_report(now_s) if node in reporting else past for node, past in noted.items()}


def node_of(
    instance: Instance, report: WorkerReport | None, seen: Seen, *, now_s: float, boot_deadline_s: float
) -> Node:
    """Return the node with its phase.

    EC2's tags tell what the scaler has told a node, and its reports whether it is there. A node that this process
    has first seen after the boot deadline (the scaler was restarted) has not failed to join: it is silent since then.
    """
    phase, since_s = _phase(instance, seen, now_s, boot_deadline_s)
    return Node(
        id=instance.id,
        phase=phase,
        launched_at_s=instance.launched_at_s,
        since_s=since_s,
        report=report,
        spot=instance.spot,
        instance_type=instance.instance_type,
        template_version=instance.template_version,
    )


def _phase(instance: Instance, seen: Seen, now_s: float, boot_deadline_s: float) -> tuple[Phase, float]:
    if instance.state in STOPPING_STATES:
        return Phase.STOPPING, seen.first_s
    if instance.phase_tag is Phase.COMMITTED:
        return Phase.COMMITTED, instance.phase_since_s
    if seen.report_s is None or seen.joined_s is None:
        watched = seen.first_s < instance.launched_at_s + boot_deadline_s
        return (Phase.BOOTING, instance.launched_at_s) if watched else (Phase.SILENT, seen.first_s)
    if now_s - seen.report_s > SILENT_AFTER_S:
        return Phase.SILENT, seen.report_s
    if instance.phase_tag is Phase.DRAINING:
        return Phase.DRAINING, instance.phase_since_s
    return Phase.READY, seen.joined_s


@dataclass(frozen=True)
class Reminders:
    """What nodes were told and do not do: a command that was lost is sent again."""

    drain: tuple[str, ...]
    shut_down: tuple[str, ...]
    revert: tuple[str, ...]


def reminders(nodes: Iterable[Node], just_told: Collection[str] = ()) -> Reminders:
    """Return the nodes whose reports contradict their tags, without those told something new at this very tick.

    Commands to one node may overtake each other, in SQS and in the worker: one that was told to take tasks again and
    does not, must be told again, or it would neither work nor leave for ever.
    """
    reporting = [
        (node.id, node.phase, node.report) for node in nodes if node.report is not None and node.id not in just_told
    ]
    return Reminders(
        revert=tuple(node for node, phase, report in reporting if phase is Phase.READY and not report.consuming),
        drain=tuple(node for node, phase, report in reporting if phase is Phase.DRAINING and report.consuming),
        shut_down=tuple(node for node, phase, _ in reporting if phase is Phase.COMMITTED),
    )
