"""The table that compares policies. Pure: turns runs into text."""

from __future__ import annotations

from collections.abc import Sequence

from scaler.simulate import Run

HEADINGS = (
    "policy", "node-hours", "of work", "wait p50 s", "p95 s", "p99 s", "launches", "interrupted", "left", "held",
)  # fmt: skip


def table(runs: Sequence[Run]) -> str:
    """Return the runs as aligned lines: node-hours billed, those that the tasks need, waits, and what went wrong."""
    rows = [HEADINGS, *(_row(run) for run in runs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers]))
    return "\n".join(lines)


def compared(ours: Run, other: Run) -> str:
    """Return a line that sets one run's cost and wait against another's."""
    cost = ours.billed_h / other.billed_h if other.billed_h else float("nan")
    wait = ours.wait_s[1] / other.wait_s[1] if other.wait_s[1] else float("nan")
    return f"{ours.policy} against {other.policy}: {cost:.2f} of the node-hours, {wait:.2f} of the p95 wait"


def rolled(run: Run) -> str:
    """Return a line that tells how nodes of a new version have replaced those of the old one."""
    if run.roll_s is None:
        return f"the roll of {run.rolled} nodes did not end"
    return f"{run.rolled} nodes replaced in {run.roll_s:.0f} s"


def _row(run: Run) -> tuple[str, ...]:
    counts = (run.launches, run.interrupted, run.left, run.held)
    waits = (f"{wait_s:.0f}" for wait_s in run.wait_s)
    return (run.policy, f"{run.billed_h:.1f}", f"{run.work_h:.1f}", *waits, *map(str, counts))
