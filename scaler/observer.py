"""Takes samples: reads the queue, EC2 and the workers, and puts together what they say. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaler.backlog import Believed, ReadError
from scaler.fleet import FleetError
from scaler.instances import with_unlisted
from scaler.observe import SILENT_AFTER_S, STOPPING_STATES, Seen, look, node_of
from scaler.state import Sample
from scaler.workers import ControlError

if TYPE_CHECKING:
    from scaler.backlog import Backlogs
    from scaler.fleet import Fleet
    from scaler.instances import Instance
    from scaler.state import Backlog, Node
    from scaler.workers import Workers


@dataclass(frozen=True)
class Observation:
    """A sample, and what a launch needs to know.

    Attributes:
        sample: what was observed.
        instances: EC2's; None if they could not be listed.
        unlisted: launches that EC2 still does not list, with their times.
        left: nodes of the latest observation that are gone.
    """

    sample: Sample
    instances: tuple[Instance, ...] | None
    unlisted: Mapping[str, float]
    left: tuple[str, ...]


class Observer:
    """Remembers, as long as the process lives, when each node was seen and heard of.

    Args:
        backlogs: the queue.
        fleet: the instances.
        workers: their workers.
        boot_deadline_s: how long a new node may be silent.
    """

    def __init__(self, backlogs: Backlogs, fleet: Fleet, workers: Workers, boot_deadline_s: float) -> None:
        self._backlogs = backlogs
        self._fleet = fleet
        self._workers = workers
        self._boot_deadline_s = boot_deadline_s
        self._believed = Believed()
        self._seen: Mapping[str, Seen] = {}
        self._asked_s: float | None = None

    def observe(self, launched: Mapping[str, float], now_s: float) -> Observation:
        """Take a sample; a part that cannot be read is None there, and the reason is among its failures.

        Args:
            launched: the scaler's own launches that EC2 did not list, with their times.
            now_s: Unix time.
        """
        failures: list[str] = []
        backlog = self._backlog(failures)
        instances: tuple[Instance, ...] | None = None
        nodes: tuple[Node, ...] | None = None
        unlisted, left = launched, tuple[str, ...]()
        try:
            instances, unlisted = with_unlisted(self._fleet.instances(), launched, now_s)
            left = tuple(node for node in self._seen if node not in {instance.id for instance in instances})
            nodes = self._nodes(instances, now_s, failures)
        except (FleetError, ControlError) as error:
            failures.append(str(error))
        return Observation(Sample(now_s, backlog, nodes, tuple(failures)), instances, unlisted, left)

    def _backlog(self, failures: list[str]) -> Backlog | None:
        try:
            self._believed = self._believed.after(self._backlogs.read())
        except ReadError as error:
            failures.append(str(error))
            return None
        return self._believed.backlog

    def _nodes(self, instances: tuple[Instance, ...], now_s: float, failures: list[str]) -> tuple[Node, ...]:
        running = [instance.id for instance in instances if instance.state not in STOPPING_STATES]
        said = self._workers.reports(running)
        reports = said.by_node
        failures += said.failures.values()
        unwatched_s = 0.0 if self._asked_s is None else now_s - self._asked_s
        if abs(unwatched_s) > SILENT_AFTER_S:  # an outage, a pause or a clock that was set: nobody was silent in it
            self._seen = {node: past.later(unwatched_s) for node, past in self._seen.items()}
        self._asked_s = now_s
        # Who answers works, whatever the answer is worth.
        self._seen = look(self._seen, instances, {*reports, *said.failures}, now_s)
        return tuple(
            node_of(
                instance,
                reports.get(instance.id),
                self._seen[instance.id],
                now_s=now_s,
                boot_deadline_s=self._boot_deadline_s,
            )
            for instance in instances
        )
