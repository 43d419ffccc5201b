"""`python -m scaler simulate`: tries policies on a trace, prints a table and draws pictures."""

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
from scaler.report import compared, table
from scaler.rivals import Keda, TargetTracking
from scaler.simulate import Decide, Run, simulate
from scaler.simulated_fleet import Scenario
from scaler.state import Limits

TICKS_S = (5.0, 10.0, 15.0, 30.0, 60.0)
# Ticks of five seconds for a day, of thirty for a week.
MOST_TICKS = 25_000
MINUTE_S = 60.0

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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    limits, world = Limits(), Scenario()
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--trace", type=Path, action="append", help="CSV with a heading, a count in the last column")
    source.add_argument("--scenario", choices=SHIPPED, action="append", help="a shipped trace; without: all of them")
    parser.add_argument("--trace-seed", type=int, help="make the shipped traces anew from this seed, not written")
    parser.add_argument("--policy", action="append", choices=(*OURS, *RIVALS), help="may be repeated; without: all")
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="draw pictures there")
    parser.add_argument(
        "--sweep", action="store_true", help="try a range of settings, for the picture of cost and wait"
    )
    parser.add_argument(
        "--write-traces", action="store_true", help="write the shipped traces anew, and do nothing else"
    )
    numbers: tuple[tuple[str, float | None, str], ...] = (
        ("--period-s", MINUTE_S, "seconds that a row of the trace counts for"),
        ("--scale", 1.0, "multiply the counts of the trace"),
        ("--tick-s", None, "seconds between decisions; without: 5, more for more than a day"),
        ("--task-s", world.task_s, "seconds of a task"),
        ("--boot-s", world.boot_s, "seconds of a boot"),
        ("--initial-task-s", None, "seconds of a task that the scaler starts from; without: the true ones"),
        ("--target-drain-s", limits.target_drain_s, "of drain_time"),
        ("--load-factor", limits.load_factor, "of load_factor"),
        ("--idle-s", limits.idle_s, "seconds idle before a drain"),
        ("--noise", world.count_noise, "share by which counts are wrong"),
        ("--missing", world.missing, "share of ticks without counts"),
        ("--refused", world.refused, "share of launches that EC2 refuses"),
        ("--never-join", world.never_join, "share of nodes that never join"),
    )
    for name, default, text in numbers:
        parser.add_argument(name, type=_not_negative, default=default, help=f"{text} (%(default)s)")
    parser.add_argument("--slots", type=_positive, default=world.slots, help="tasks at a time on a node (%(default)s)")
    parser.add_argument("--min-nodes", type=int, default=limits.min_nodes, help="fewest nodes (%(default)s)")
    parser.add_argument("--max-nodes", type=_positive, default=limits.max_nodes, help="cap on nodes (%(default)s)")
    parser.add_argument(
        "--max-launches", type=_positive, default=limits.max_launches_per_tick, help="launches a tick (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=world.seed, help="of all that is random (%(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    if args.write_traces:
        for path in write_shipped():
            print(path)
        return 0
    # The simulation makes a million frozen values a second and no cycles: looking for some takes a third of the time.
    gc.disable()
    try:
        for name, counts in _traces(args):
            _compare(name, (counts * args.scale).round().astype(np.int64), args)
    except (TraceError, OSError) as error:
        print(f"error: {error}")
        return 2
    return 0


def _traces(args: argparse.Namespace) -> Iterator[tuple[str, Counts]]:
    if args.trace:
        yield from ((path.name.split(".")[0], read(path, args.period_s)) for path in args.trace)
        return
    for name in args.scenario or SHIPPED:
        if args.trace_seed is None:
            yield name, read(TRACES / f"{name}.csv", MINUTE_S)
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


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"should be a number that is not negative (got {text!r})")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"should be at least 1 (got {text!r})")
    return value
