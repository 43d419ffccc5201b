"""Parts of a scaler that looks and touches nothing: what it would do is logged."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from scaler.memory import Memory
from scaler.state import LaunchOutcome, Phase

if TYPE_CHECKING:
    from scaler.fleet import Fleet
    from scaler.instances import Instance
    from scaler.workers import Reports, Workers

log = logging.getLogger(__name__)


class DryRunFleet:
    """A fleet that is looked at and not touched; what would be done is logged.

    Args:
        fleet: the one to look at.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def instances(self) -> tuple[Instance, ...]:
        """Return the instances there are."""
        return self._fleet.instances()

    def launch(self, count: int, token: str, version: str) -> LaunchOutcome:
        """Say so."""
        log.info("dry run: would launch %d from version %s (%s)", count, version, token)
        return LaunchOutcome(count)

    def mark(self, ids: Sequence[str], phase: Phase, now_s: float) -> None:
        """Say so."""
        log.info("dry run: would mark %s as %s at %.0f", ", ".join(ids), phase, now_s)

    def unmark(self, ids: Sequence[str]) -> None:
        """Say so."""
        log.info("dry run: would take the marks off %s", ", ".join(ids))

    def terminate(self, ids: Sequence[str]) -> None:
        """Say so."""
        log.info("dry run: would terminate %s", ", ".join(ids))


class DryRunWorkers:
    """Workers that are asked and told nothing.

    Args:
        workers: those to ask.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def reports(self, nodes: Iterable[str]) -> Reports:
        """Return the reports of the nodes that answer."""
        return self._workers.reports(nodes)

    def answering(self, nodes: Iterable[str]) -> set[str]:
        """Return those of the nodes that answer."""
        return self._workers.answering(nodes)

    def drain(self, nodes: Sequence[str]) -> None:
        """Say so."""
        log.info("dry run: would drain %s", ", ".join(nodes))

    def revert(self, nodes: Sequence[str]) -> None:
        """Say so."""
        log.info("dry run: would let %s take tasks again", ", ".join(nodes))

    def shut_down(self, nodes: Sequence[str]) -> None:
        """Say so."""
        log.info("dry run: would shut %s down", ", ".join(nodes))


class DryRunLease:
    """A lease that nobody holds: looking needs none."""

    def acquire_or_renew(self, now_s: float) -> bool:  # noqa: ARG002 - the lease's interface
        """Look, whoever acts."""
        return True

    def still_held(self) -> bool:
        """Look, whoever acts."""
        return True

    def release(self) -> None:
        """There is nothing to give up."""


class DryRunStore:
    """A memory that is gone with the process."""

    def load(self, now_s: float) -> Memory:  # noqa: ARG002 - the store's interface
        """Begin anew."""
        return Memory()

    def save(self, memory: Memory) -> None:
        """Keep nothing."""
