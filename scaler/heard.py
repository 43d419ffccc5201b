"""Which workers were heard so far, and with it how many answers a question is worth waiting for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Heard:
    """The workers that have answered.

    Attributes:
        names: of each node's workers, whenever they answered.
        workers: how many each node says it has, those included that have not answered yet.
        latest: names of all that answered the latest question, on whichever node.
    """

    names: Mapping[str, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    workers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    latest: frozenset[str] = frozenset()

    def limit(self, nodes: Collection[str]) -> int | None:
        """Return the answers after which nobody is waited for; None while a node has not said how many to expect.

        One too few costs a node its report, as nobody knows whose answer comes last: a new worker elsewhere may do so at
        one tick. One too many costs time: kombu then waits until no answer has come for the whole timeout.

        Args:
            nodes: those that are asked; workers elsewhere answer too.
        """
        if any(node not in self.workers for node in nodes):
            return None
        elsewhere = sum(node_of(name) not in nodes for name in self.latest)
        return elsewhere + sum(max(self.workers[node], len(self.names[node])) for node in nodes)

    def after(self, answers: Mapping[str, Any], nodes: Collection[str]) -> Heard:
        """Return what is known after answers, by the workers' names; nodes that are not asked any more are forgotten."""
        names = {node: self.names[node] for node in nodes if node in self.names}
        workers = {node: self.workers[node] for node in nodes if node in self.workers}
        for name, answer in answers.items():
            if (node := node_of(name)) in nodes:
                names[node] = names.get(node, frozenset()) | {name}
                if isinstance(answer, Mapping) and isinstance(said := answer.get("workers"), int):
                    workers[node] = max(said, workers.get(node, 0))
        return Heard(names, workers, frozenset(answers))


def node_of(name: str) -> str:
    """Return the node of a worker.

    >>> node_of("w1@i-00000000000000001")
    'i-00000000000000001'
    """
    return name.rpartition("@")[2]
