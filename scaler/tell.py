"""The one line in which the scaler tells a tick: every input, intermediate value, decision and reason. Pure."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scaler.measure import alarms

if TYPE_CHECKING:
    from scaler.loop import Tick


def line(tick: Tick) -> str:
    """Return a tick as a line of JSON."""
    sample, decision, outcome = tick.sample, tick.decision, tick.outcome
    acted = {action: list(nodes) for action, nodes in tick.done.nodes.items()}
    told = {
        "at": datetime.fromtimestamp(sample.now_s, UTC).isoformat(timespec="milliseconds"),
        "now_s": round(sample.now_s, 3),
        "reason": decision.reason,
        "held": decision.held,
        "desired": decision.desired,
        "nodes": None if sample.nodes is None else dict(sorted(Counter(node.phase for node in sample.nodes).items())),
        "launch": decision.launch,
        "template_version": decision.template_version,
        "launched": list(outcome.launched) if outcome else [],
        "refused": [f"{meaning}: {text}" for meaning, text in outcome.refusals] if outcome else [],
        **{action: acted.get(action, []) for action in ("revert", "drain", "commit", "replace")},
        "left": list(tick.left),
        "alarms": list(alarms(tick.history, sample.now_s)),
        "failures": [*sample.failures, *tick.done.failures.values()],
        "values": {name: round(value, 3) for name, value in decision.values.items()},
    }
    return json.dumps(told)
