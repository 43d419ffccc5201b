"""Nodes of two launch template versions, and what is known of the second one, for the tests of rolls."""

from __future__ import annotations

from dataclasses import replace

from scaler.state import History, Limits, Node, Versions
from tests.scaler.fleets import ready, report

LIMITS = Limits(max_nodes=19, target_drain_s=180, initial_task_s=10, template_version="2")
UNPROVEN = History(versions=Versions("2", fallback="1"))
PROVEN = History(versions=Versions("2", joined=True, fallback="1", hold=2))
HALTED = History(versions=Versions("2", failures=3, fallback="1"))
BUSY = report(active=8)


def old(node: Node) -> Node:
    """The same node, launched from version 1."""
    return replace(node, template_version="1")


def new(node: Node) -> Node:
    """The same node, launched from version 2."""
    return replace(node, template_version="2")


def many(number: int, said: str = "busy") -> list[Node]:
    """Old nodes, all busy or all idle."""
    return [old(ready(f"i-{index:02}", BUSY if said == "busy" else None)) for index in range(number)]
