"""Asks the workers for their reports and tells them what to do, by Celery's remote control. Knows no EC2.

A worker's node name is ``<name>@<instance id>``; a node may run several workers, whose reports are added up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from kombu.exceptions import OperationalError

from scaler.heard import Heard, node_of
from scaler.state import WorkerReport
from tasks.names import NODE_DRAIN, NODE_REPORT

if TYPE_CHECKING:
    from celery import Celery


class ControlError(Exception):
    """The workers could not be asked or told; the message says why in one line."""


def added_up(answers: Sequence[Mapping[str, Any]]) -> WorkerReport | None:
    """Return one report for a node's workers; None unless all of them answered.

    A worker that is silent may be busy, so nothing can be said of its node.

    >>> one = {"slots": 8, "active": 1, "reserved": 0, "idle_s": 0.0, "consuming": True, "tasks": 3, "task_s": 1.5}
    >>> added_up([one | {"workers": 2}]) is None
    True

    Raises:
        KeyError: an answer lacks a field.
        TypeError: a field is of another type.
        ValueError: a field makes no sense.
    """
    if len(answers) < max(int(answer["workers"]) for answer in answers):
        return None
    idle = all(answer["active"] == answer["reserved"] == 0 for answer in answers)
    return WorkerReport(
        slots=sum(int(answer["slots"]) for answer in answers),
        active=sum(int(answer["active"]) for answer in answers),
        reserved=sum(int(answer["reserved"]) for answer in answers),
        idle_s=min(float(answer["idle_s"]) for answer in answers) if idle else 0.0,
        consuming=any(bool(answer["consuming"]) for answer in answers),
        tasks=sum(int(answer["tasks"]) for answer in answers),
        task_s=sum(float(answer["task_s"]) for answer in answers),
    )


@dataclass(frozen=True)
class Reports:
    """What nodes say of themselves.

    Attributes:
        by_node: the reports, by instance id; a node that does not answer, or not readably, has none.
        failures: a line for each node whose report cannot be read, by instance id; its workers live.
    """

    by_node: Mapping[str, WorkerReport]
    failures: Mapping[str, str] = field(default_factory=dict)


def reports_of(answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> Reports:
    """Return the reports of nodes whose workers have answered.

    An answer that cannot be read says as little as none, and of no other node anything.
    """
    reports: dict[str, WorkerReport] = {}
    failures: dict[str, str] = {}
    for node, node_answers in answers.items():
        try:
            report = added_up(node_answers)
        except (KeyError, TypeError, ValueError):
            failures[node] = f"node {node} sent a report that cannot be read: {node_answers!r}"
            continue
        if report is not None:
            reports[node] = report
    return Reports(MappingProxyType(reports), MappingProxyType(failures))


class Workers:
    """The deployment's workers.

    Args:
        app: the Celery app.
        queue: the queue of tasks.
        timeout_s: how long workers have to answer.
    """

    def __init__(self, app: Celery, queue: str, timeout_s: float) -> None:
        self._app = app
        self._queue = queue
        self._timeout_s = timeout_s
        self._heard = Heard()

    def reports(self, nodes: Iterable[str]) -> Reports:
        """Return the reports of the nodes that answer.

        Args:
            nodes: the instance ids that may answer; once as many workers have answered as the nodes say they have, it
                waits no longer.

        Raises:
            ControlError: they could not be asked.
        """
        wanted = set(nodes)
        if not wanted:
            return Reports({})
        answers = self._ask(NODE_REPORT, limit=self._heard.limit(wanted))
        self._heard = self._heard.after(answers, wanted)
        return reports_of(_by_node(answers, wanted))

    def answering(self, nodes: Iterable[str]) -> set[str]:
        """Return those of the nodes that answer, be it unreadably: asked for the whole time, and noting nothing.

        Raises:
            ControlError: they could not be asked.
        """
        reports = reports_of(_by_node(self._ask(NODE_REPORT, limit=None), set(nodes)))
        return {*reports.by_node, *reports.failures}

    def drain(self, nodes: Sequence[str]) -> None:
        """Tell nodes to take no more tasks.

        Raises:
            ControlError: they could not be told.
        """
        self._tell(NODE_DRAIN, nodes, {})

    def revert(self, nodes: Sequence[str]) -> None:
        """Tell nodes to take tasks again.

        Raises:
            ControlError: they could not be told.
        """
        self._tell("add_consumer", nodes, {"queue": self._queue})

    def shut_down(self, nodes: Sequence[str]) -> None:
        """Tell nodes' workers to finish what they hold and end; their agents then power the nodes off.

        Raises:
            ControlError: they could not be told.
        """
        self._tell("shutdown", nodes, {})

    def _ask(self, command: str, limit: int | None) -> dict[str, Mapping[str, Any]]:
        try:
            replies = self._app.control.broadcast(command, reply=True, timeout=self._timeout_s, limit=limit)
        except (OperationalError, BotoCoreError, ClientError, OSError) as error:
            raise ControlError(f"the workers cannot be asked: {error}") from error
        return {name: answer for reply in replies or () for name, answer in reply.items()}

    def _tell(self, command: str, nodes: Sequence[str], arguments: Mapping[str, object]) -> None:
        names = sorted(name for node in nodes for name in self._heard.names.get(node, ()))
        if not names:
            return
        try:
            self._app.control.broadcast(command, arguments=dict(arguments), destination=names)
        except (OperationalError, BotoCoreError, ClientError, OSError) as error:
            raise ControlError(f"{command} could not be sent to {', '.join(nodes)}: {error}") from error


def _by_node(answers: Mapping[str, Mapping[str, Any]], nodes: Collection[str]) -> dict[str, list[Mapping[str, Any]]]:
    by_node: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for name, answer in answers.items():
        if (node := node_of(name)) in nodes:
            by_node[node].append(answer)
    return by_node
