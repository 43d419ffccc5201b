"""Carries a decision out, all but its launches: tells workers, tags and terminates instances, says what was done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scaler.fleet import FleetError
from scaler.state import Decision, Phase
from scaler.workers import ControlError

if TYPE_CHECKING:
    from scaler.dry_run import DryRunWorkers
    from scaler.fleet import Fleet
    from scaler.observe import Reminders
    from scaler.workers import Workers

log = logging.getLogger(__name__)


@dataclass
class Done:
    """What was done: nodes by action, and a line for each action that failed."""

    nodes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def attempt(self, action: str, nodes: Sequence[str], carry_out: Callable[[], Sequence[str]]) -> None:
        """Carry an action out on some nodes, if any; a failure leaves the other actions alone.

        What was not done is decided again at the next tick, from tags and reports.
        """
        if not nodes:
            return
        try:
            self.nodes[action] = tuple(carry_out())
        except (ControlError, FleetError) as error:
            self.failures[action] = str(error)
            log.error("%s of %s failed and is tried again: %s", action, ", ".join(nodes), error)  # noqa: TRY400 - one clear line


class Actor:
    """Acts on the fleet and its workers.

    Args:
        fleet: the instances.
        workers: their workers.
        clean_up: removes what a node that is gone left behind.
    """

    def __init__(self, fleet: Fleet, workers: Workers | DryRunWorkers, clean_up: Callable[[str], None]) -> None:
        self._fleet = fleet
        self._workers = workers
        self._clean_up = clean_up

    def act(self, decision: Decision, now_s: float) -> Done:
        """Carry out reverts, drains, commits and replacements, in this order.

        The tag goes first where it forbids (drain, commit) and last where it allows (revert): whatever is interrupted
        in between ends on the safe side, and is put right by `remind`.
        """
        done = Done()
        done.attempt("revert", decision.revert, lambda: self._revert(decision.revert))
        done.attempt("drain", decision.drain, lambda: self._drain(decision.drain, now_s))
        done.attempt("commit", decision.commit, lambda: self._commit(decision.commit, now_s))
        done.attempt("replace", decision.replace, lambda: self._replace(decision.replace))
        return done

    def remind(self, reminders: Reminders) -> None:
        """Tell nodes again what they were told and do not do."""
        done = Done()
        done.attempt("revert", reminders.revert, lambda: self._tell(self._workers.revert, reminders.revert))
        done.attempt("drain", reminders.drain, lambda: self._tell(self._workers.drain, reminders.drain))
        done.attempt("commit", reminders.shut_down, lambda: self._tell(self._workers.shut_down, reminders.shut_down))

    @staticmethod
    def _tell(tell: Callable[[Sequence[str]], None], nodes: Sequence[str]) -> Sequence[str]:
        tell(nodes)
        return nodes

    def _revert(self, nodes: Sequence[str]) -> Sequence[str]:
        self._workers.revert(nodes)
        self._fleet.unmark(nodes)
        return nodes

    def _drain(self, nodes: Sequence[str], now_s: float) -> Sequence[str]:
        self._fleet.mark(nodes, Phase.DRAINING, now_s)
        self._workers.drain(nodes)
        return nodes

    def _commit(self, nodes: Sequence[str], now_s: float) -> Sequence[str]:
        self._fleet.mark(nodes, Phase.COMMITTED, now_s)
        self._workers.shut_down(nodes)
        return nodes

    def _replace(self, nodes: Sequence[str]) -> Sequence[str]:
        # A last question, to these alone: a node that answers after all is spared.
        dead = sorted(set(nodes) - self._workers.answering(nodes))
        if dead:
            self._fleet.terminate(dead)
        for node in dead:
            self._clean_up(node)
        return dead
