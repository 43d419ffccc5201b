"""The scaler's figures for Prometheus. Knows what they mean, not where they come from or who serves them."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge

from scaler.state import Phase

if TYPE_CHECKING:
    from scaler.loop import Tick
    from scaler.state import Decision, Sample

HOUR_S = 3600.0


class Metrics:
    """Gauges of the last tick and counters since the process began, in a registry of their own.

    Args:
        node_usd_per_hour: the price of a node, for the estimated cost.
    """

    def __init__(self, node_usd_per_hour: float) -> None:
        self.registry = CollectorRegistry()
        self._usd_per_hour = node_usd_per_hour
        self._backlog = self._gauge("backlog_messages", "messages of the queue of tasks, by state", "state")
        self._nodes = self._gauge("nodes", "non-terminated nodes, by phase", "phase")
        self._desired = self._gauge("desired_nodes", "desired capacity")
        self._active = self._gauge("active", "1 if this scaler holds the lease and acts, 0 if it stands by")
        self._last_tick = self._gauge("last_tick_seconds", "Unix time of the last tick")
        self._values = self._gauge("decision", "intermediate values of the last decision, by name", "value")
        self._actions = self._counter("actions", "nodes acted on, by action", "action")
        self._held = self._counter("held", "ticks without a decision, as something could not be read")
        self._errors = self._counter("errors", "actions that failed, by action", "action")
        self._refusals = self._counter("refusals", "launches that EC2 refused, by meaning", "meaning")
        self._alarms = self._gauge("alarms", "things that a person should look at")
        self._outdated = self._gauge("outdated_nodes", "nodes of another launch template version than is wanted")
        self._halted = self._gauge("roll_halted", "1 if nodes of the wanted version do not join and old ones are kept")
        self._cost = self._counter("estimated_cost_usd", "node hours times the price of a node")
        for action in ("launch", "revert", "drain", "commit", "replace"):
            self._actions.labels(action)

    def show(self, tick: Tick, *, alarms: int, elapsed_s: float) -> None:
        """Show a tick.

        Args:
            tick: what it came to.
            alarms: how many things a person should look at.
            elapsed_s: seconds since the tick before, for the cost.
        """
        self._observe(tick.sample)
        self._decided(tick.decision)
        self._alarms.set(alarms)
        self._halted.set(tick.history.versions.halted)
        for action, nodes in tick.done.nodes.items():
            self._actions.labels(action).inc(len(nodes))
        for action in tick.done.failures:
            self._errors.labels(action).inc()
        if tick.outcome is not None:
            self._actions.labels("launch").inc(len(tick.outcome.launched))
            for meaning, _ in tick.outcome.refusals:
                self._refusals.labels(meaning.value).inc()
        if tick.sample.nodes is not None:
            self._cost.inc(len(tick.sample.nodes) * elapsed_s / HOUR_S * self._usd_per_hour)

    def _observe(self, sample: Sample) -> None:
        # What could not be read keeps its last value.
        self._last_tick.set(sample.now_s)
        if sample.backlog is not None:
            for state in ("visible", "in_flight", "delayed"):
                self._backlog.labels(state).set(getattr(sample.backlog, state))
        if sample.nodes is not None:
            tally = Tally(node.phase for node in sample.nodes)
            for phase in Phase:
                self._nodes.labels(phase.value).set(tally[phase])

    def _decided(self, decision: Decision) -> None:
        if decision.desired is not None:
            self._desired.set(decision.desired)
            self._outdated.set(decision.values["outdated"])
        if decision.held:
            self._held.inc()
        for name, value in decision.values.items():
            self._values.labels(name).set(value)

    def stand_by(self, *, active: bool) -> None:
        """Show whether this scaler acts."""
        self._active.set(active)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"scaler_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"scaler_{name}", text, labels, registry=self.registry)
