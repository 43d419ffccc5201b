"""Traces of arrivals: reads them, spreads them over ticks, and makes the shipped ones from a seed."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from scaler.scenario import TRACE_NAMES

TRACES = Path(__file__).parent / "traces"
SEED = 4
DAY_MINUTES = 1440

Counts = NDArray[np.int64]


class TraceError(ValueError):
    """A file is no trace; the message says where and why."""


def read(path: Path, period_s: float) -> Counts:
    """Return the arrivals of each period.

    The file is CSV, gzipped or not, with a heading; the last column is a count. If the first column is a date and time
    it says which period the row is for, and periods without a row had no arrivals; else rows follow one another.

    Raises:
        TraceError: a row has no count, or a time that is out of order.
    """
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    rows = list(csv.reader(text.splitlines()))[1:]
    if not rows:
        raise TraceError(f"{path}: no rows below the heading")
    counts: list[int] = []
    first: datetime | None = None
    for line, row in enumerate(rows, start=2):
        count, when = _parsed(path, line, row)
        first = first or when
        place = round((when - first).total_seconds() / period_s) if when and first else len(counts)
        if place < len(counts) - 1:
            raise TraceError(f"{path}, line {line}: {row[0]} is earlier than the row before")
        counts.extend([0] * (place + 1 - len(counts)))
        counts[place] += count
    return np.array(counts, dtype=np.int64)


def _parsed(path: Path, line: int, row: list[str]) -> tuple[int, datetime | None]:
    try:
        count = int(float(row[-1]))
    except (ValueError, OverflowError, IndexError):
        raise TraceError(f"{path}, line {line}: the last column should be a count (got {row})") from None
    if count < 0:
        raise TraceError(f"{path}, line {line}: a count should not be negative (got {count})")
    if len(row) == 1 or row[0].isdecimal():
        return count, None
    try:
        return count, datetime.fromisoformat(row[0])
    except ValueError:
        return count, None


def per_tick(counts: Counts, period_s: float, tick_s: float, seed: int = SEED) -> Counts:
    """Return the arrivals of each tick: those of a period at random times in it.

    Raises:
        TraceError: neither of tick and period is a multiple of the other.
    """
    ticks, periods = period_s / tick_s, tick_s / period_s
    if ticks >= 1 and ticks.is_integer():
        parts = int(ticks)
        return np.random.default_rng(seed).multinomial(counts, [1 / parts] * parts).reshape(-1).astype(np.int64)
    if periods.is_integer():
        padded = np.pad(counts, (0, -len(counts) % int(periods)))
        return np.asarray(padded.reshape(-1, int(periods)).sum(axis=1), dtype=np.int64)
    raise TraceError(f"a period of {period_s:g} s and a tick of {tick_s:g} s: one should be a multiple of the other")


def bursts(seed: int = SEED) -> Counts:
    """Return a day that is idle but for eighty batches, most small and a few large: lognormal, median 100, up to 6,000.

    A batch arrives at 3,000 a minute at most.
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros(DAY_MINUTES, dtype=np.int64)
    for start in rng.choice(DAY_MINUTES - 60, size=80, replace=False):
        tasks = int(min(6000, rng.lognormal(np.log(100), 1.7))) + 1
        minutes = -(-tasks // 3000)
        counts[start : start + minutes] += rng.multinomial(tasks, [1 / minutes] * minutes)
    return counts


def steady(seed: int = SEED) -> Counts:
    """Return a day with a steady flow that swings by half between night and day: 240 tasks a minute on average."""
    rng = np.random.default_rng(seed)
    swing = 1 - 0.5 * np.cos(2 * np.pi * np.arange(DAY_MINUTES) / DAY_MINUTES)
    return rng.poisson(240 * swing).astype(np.int64)


def burst_416(seed: int = SEED) -> Counts:  # noqa: ARG001 - made like the others, without chance
    """Return one burst of 416 tasks at once, and an hour after it."""
    counts = np.zeros(60, dtype=np.int64)
    counts[1] = 416
    return counts


def million(seed: int = SEED) -> Counts:
    """Return three hours: half an hour's rise to a million an hour, two hours of that, and half an hour of nothing."""
    a_minute = 1_000_000 / 60
    share = np.concatenate([np.arange(1, 31) / 30, np.ones(120), np.zeros(30)])
    return np.random.default_rng(seed).poisson(a_minute * share).astype(np.int64)


SHIPPED: Mapping[str, Callable[[int], Counts]] = MappingProxyType(
    dict(zip(TRACE_NAMES, (bursts, steady, burst_416, million), strict=True))
)


def write_shipped(folder: Path = TRACES) -> Iterator[Path]:
    """Write the shipped traces anew; they are the same each time."""
    for name, make in SHIPPED.items():
        path = folder / f"{name}.csv"
        lines = ["minute,tasks", *(f"{minute},{count}" for minute, count in enumerate(make(SEED).tolist()))]
        path.write_text("\n".join(lines) + "\n")
        yield path
