"""The options of `python -m scaler simulate`. Loads neither numpy nor matplotlib unless the command is run."""

from __future__ import annotations

import argparse
from pathlib import Path

from scaler.scenario import TRACE_NAMES, Scenario
from scaler.state import Limits

POLICY_NAMES = ("drain_time", "load_factor", "keda-1", "keda-5", "target-tracking")
MINUTE_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    limits, world = Limits(), Scenario()
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--trace", type=Path, action="append", help="CSV with a heading, a count in the last column")
    source.add_argument(
        "--scenario", choices=TRACE_NAMES, action="append", help="a shipped trace; without: all but the last"
    )
    parser.add_argument("--trace-seed", type=int, help="make the shipped traces anew from this seed, not written")
    parser.add_argument("--policy", action="append", choices=POLICY_NAMES, help="may be repeated; without: all")
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
        positive = name in {"--period-s", "--tick-s", "--task-s", "--initial-task-s", "--load-factor"}
        parser.add_argument(
            name, type=_above_zero if positive else _not_negative, default=default, help=f"{text} (%(default)s)"
        )
    parser.add_argument("--slots", type=_positive, default=world.slots, help="tasks at a time on a node (%(default)s)")
    parser.add_argument("--min-nodes", type=int, default=limits.min_nodes, help="fewest nodes (%(default)s)")
    parser.add_argument("--max-nodes", type=_positive, default=limits.max_nodes, help="cap on nodes (%(default)s)")
    parser.add_argument(
        "--max-launches", type=_positive, default=limits.max_launches_per_tick, help="launches a tick (%(default)s)"
    )
    parser.add_argument("--roll-at-s", type=_not_negative, help="when nodes get a new version; without: never")
    parser.add_argument("--roll-broken", action="store_true", help="let no node of the new version join")
    parser.add_argument("--seed", type=int, default=world.seed, help="of all that is random (%(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from scaler.comparison import compare

    return compare(args)


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"should be a number that is not negative (got {text!r})")
    return value


def _above_zero(text: str) -> float:
    value = _not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"should be above 0 (got {text!r})")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"should be at least 1 (got {text!r})")
    return value
