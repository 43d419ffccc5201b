"""What `python -m scaler simulate` does: tries policies on traces, prints tables and draws pictures."""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from scaler.arrivals import SHIPPED, TRACES, Counts, TraceError, per_tick, read, write_shipped
from scaler.decide import decide
from scaler.report import compared, rolled, table
from scaler.rivals import Keda, TargetTracking
from scaler.scenario import USUAL, Scenario
from scaler.simulate import Decide, Run, simulate
from scaler.state import Limits

TICKS_S = (5.0, 10.0, 15.0, 30.0, 60.0)
# Ticks of five seconds for a day, of thirty for a week.
MOST_TICKS = 25_000

OURS = ("drain_time", "load_factor")
# A rival remembers, so each run has its own.
RIVALS: Mapping[str, Callable[[], Decide]] = MappingProxyType(
    {"keda-1": lambda: Keda(1), "keda-5": lambda: Keda(5), "target-tracking": TargetTracking}
)
SWEEPS: Mapping[str, tuple[str, tuple[float, ...]]] = MappingProxyType(
    {
        "drain_time": ("target_drain_s", (100, 120, 150, 180, 240, 300, 450, 600)),
        "load_factor": ("load_factor", (1, 2, 5, 10, 20, 50, 100)),
    }
)


def compare(args: argparse.Namespace) -> int:
    """Compare as the options say, and return the exit status."""
    if args.write_traces:
        for path in write_shipped():
            print(path)
        return 0
    if args.min_nodes > args.max_nodes:
        print(f"error: --min-nodes {args.min_nodes} should be at most --max-nodes {args.max_nodes}")
        return 2
    # The simulation makes a million frozen values a second and no cycles: looking for some takes a third of the time.
    gc.disable()
    try:
        for name, counts in _traces(args):
            _compare(name, (counts * args.scale).round().astype(np.int64), args)
    except (TraceError, OSError) as error:
        print(f"error: {error}")
        return 2
    finally:
        gc.enable()
    return 0


def _traces(args: argparse.Namespace) -> Iterator[tuple[str, Counts]]:
    if args.trace:
        yield from ((path.name.split(".")[0], read(path, args.period_s)) for path in args.trace)
        return
    for name in args.scenario or USUAL:
        if args.trace_seed is None:
            yield name, read(TRACES / f"{name}.csv", args.period_s)
        else:
            yield f"{name}-{args.trace_seed}", SHIPPED[name](args.trace_seed)


def _compare(name: str, counts: Counts, args: argparse.Namespace) -> None:
    scenario, limits = _world(args, len(counts) * args.period_s), _limits(args)
    arrivals = per_tick(counts, args.period_s, scenario.tick_s, args.seed)
    print(
        f"\n{name}: {counts.sum()} tasks of {scenario.true_task_s:g} s in {len(counts) * args.period_s / 3600:.1f} h,"
    )
    print(f"{scenario.slots} slots a node, {scenario.boot_s:g} s to boot, a decision every {scenario.tick_s:g} s\n")
    began_s = time.monotonic()
    runs = [_run(policy, arrivals, limits, scenario) for policy in args.policy or (*OURS, *RIVALS)]
    print(table(runs))
    by_policy = {run.policy: run for run in runs}
    if {"drain_time", "keda-1"} <= by_policy.keys():
        print(f"\n{compared(by_policy['drain_time'], by_policy['keda-1'])}")
    for run in runs:
        if run.policy in OURS and scenario.roll_at_s is not None:
            print(f"{run.policy}: {rolled(run)}")
    print(f"simulated in {time.monotonic() - began_s:.1f} s")
    sweeps = _sweeps(arrivals, limits, scenario) if args.sweep else {}
    for policy, settings in sweeps.items():
        print(f"\n{policy}\n{table([replace(run, policy=setting) for setting, run in settings])}")
    if args.plots:
        _draw(name, args.plots, runs, sweeps)


def _draw(name: str, folder: Path, runs: list[Run], sweeps: dict[str, list[tuple[str, Run]]]) -> None:
    from scaler import plots

    folder.mkdir(parents=True, exist_ok=True)
    plots.timeline(name, runs, folder / f"{name}-timeline.png")
    print(folder / f"{name}-timeline.png")
    if sweeps:
        points = sweeps | {run.policy: [(run.policy, run)] for run in runs if run.policy in RIVALS}
        plots.cost_against_wait(name, points, folder / f"{name}-cost.png")
        print(folder / f"{name}-cost.png")


def _run(policy: str, arrivals: Counts, limits: Limits, scenario: Scenario) -> Run:
    if policy in RIVALS:
        return simulate(policy, RIVALS[policy](), arrivals, limits, scenario)
    return simulate(policy, decide, arrivals, replace(limits, policy=policy), scenario)


def _sweeps(arrivals: Counts, limits: Limits, scenario: Scenario) -> dict[str, list[tuple[str, Run]]]:
    return {
        policy: [
            (f"{value:g}", _run(policy, arrivals, replace(limits, **{setting: value}), scenario))  # type: ignore[arg-type] # a field by name
            for value in values
        ]
        for policy, (setting, values) in SWEEPS.items()
    }


def _world(args: argparse.Namespace, span_s: float) -> Scenario:
    tick_s = args.tick_s or next((tick_s for tick_s in TICKS_S if span_s / tick_s <= MOST_TICKS), TICKS_S[-1])
    return Scenario(
        task_s=args.task_s,
        slots=args.slots,
        boot_s=args.boot_s,
        tick_s=tick_s,
        count_noise=args.noise,
        missing=args.missing,
        refused=args.refused,
        never_join=args.never_join,
        roll_at_s=args.roll_at_s,
        broken_version="2" if args.roll_broken else "",
        seed=args.seed,
    )


def _limits(args: argparse.Namespace) -> Limits:
    return Limits(
        min_nodes=args.min_nodes,
        max_nodes=args.max_nodes,
        max_launches_per_tick=args.max_launches,
        target_drain_s=args.target_drain_s,
        load_factor=args.load_factor,
        initial_task_s=args.initial_task_s or args.task_s,
        idle_s=args.idle_s,
        node_slots=args.slots,
    )
