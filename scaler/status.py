"""`python -m scaler status`: the fleet as a table. Pure: turns a sample into text."""

from __future__ import annotations

from scaler.state import Node, Phase, Sample

HEADINGS = ("node", "phase", "for", "age", "slots", "active", "reserved", "idle", "tasks", "version", "type")
MINUTE_S, HOUR_S = 60, 3600


def status(sample: Sample, holder: str, roll: str = "") -> str:
    """Return what the sample tells, in lines.

    Args:
        sample: what was observed now.
        holder: which scaler holds the lease; empty if none does.
        roll: what is to be said of a new version of the nodes; empty if nothing is.
    """
    lines = [f"scaler   {holder or 'none: nobody adds or removes nodes'}", f"backlog  {_backlog(sample)}"]
    lines += [f"roll     {roll.removeprefix('roll ')}"] if roll else []
    if sample.nodes is None:
        lines.append("nodes    not known")
    elif not sample.nodes:
        lines.append("nodes    none")
    else:
        lines += ["", *_table([HEADINGS, *(_row(node, sample.now_s) for node in sample.nodes)])]
    return "\n".join([*lines, *(f"failed   {failure}" for failure in sample.failures)])


def duration(seconds: float) -> str:
    """Return a duration in its two largest units.

    >>> duration(4.2), duration(75), duration(7260)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = int(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return f"{whole // MINUTE_S} min {whole % MINUTE_S} s"
    return f"{whole // HOUR_S} h {whole % HOUR_S // MINUTE_S} min"


def _backlog(sample: Sample) -> str:
    if sample.backlog is None:
        return "not known"
    backlog = sample.backlog
    return f"{backlog.visible} visible, {backlog.in_flight} in flight, {backlog.delayed} delayed"


def _row(node: Node, now_s: float) -> tuple[str, ...]:
    version = {None: "?", "": "-"}.get(node.template_version, node.template_version or "-")
    kind = f"{node.instance_type} {'spot' if node.spot else 'on demand'}"
    # When a node joined or fell silent only the scaler knows that has watched it; its tags tell the rest.
    told = node.phase in {Phase.DRAINING, Phase.COMMITTED}
    times = (duration(now_s - node.since_s) if told else "-", duration(now_s - node.launched_at_s))
    report = node.report
    if report is None:
        phase = "no answer" if node.phase is Phase.BOOTING else node.phase
        return (node.id, phase, *times, *("?",) * 5, version, kind)
    held = (report.slots, report.active, report.reserved)
    return (node.id, node.phase, *times, *map(str, held), duration(report.idle_s), str(report.tasks), version, kind)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
