"""Draws runs as PNG files. Imported by the command line alone: matplotlib is a development tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot as plt

from scaler.simulate import Run

HOUR_S = 3600.0
# A line has no more points than this: a week of ticks would draw itself black.
POINTS = 2000


def timeline(title: str, runs: Sequence[Run], path: Path) -> None:
    """Draw backlog, nodes and longest wait over time, a line for each policy."""
    figure, axes = plt.subplots(3, 1, figsize=(12, 9), sharex=True, layout="constrained")
    for run in runs:
        step = max(1, len(run.series.at_s) // POINTS)
        hours = run.series.at_s[::step] / HOUR_S
        for axis, values, style in zip(
            axes, (run.series.backlog, run.series.nodes, run.series.wait_s), ("-", "-", "."), strict=True
        ):
            # The highest of each step, so that no peak is lost; fmax passes over ticks without a wait.
            peaks = [np.fmax.reduce(values[start : start + step]) for start in range(0, len(values), step)]
            axis.plot(hours, peaks, style, label=run.policy, linewidth=1, markersize=3)
    for axis, label in zip(axes, ("messages in the queue", "nodes", "longest wait, s"), strict=True):
        axis.set_ylabel(label)
        axis.grid(visible=True, alpha=0.3)
    axes[0].set_title(title)
    axes[0].legend()
    axes[-1].set_xlabel("hours")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def cost_against_wait(title: str, sweeps: Mapping[str, Sequence[tuple[str, Run]]], path: Path) -> None:
    """Draw what the settings of each policy cost, and how long nine in ten tasks and a half wait under them.

    Args:
        title: of the picture.
        sweeps: for each policy the runs by setting.
        path: of the file to write.
    """
    figure, axis = plt.subplots(figsize=(9, 6), layout="constrained")
    for policy, settings in sweeps.items():
        waits_s = [run.wait_s[1] for _, run in settings]
        hours = [run.billed_h for _, run in settings]
        axis.plot(waits_s, hours, "o-" if len(settings) > 1 else "s", label=policy, linewidth=1)
        for (setting, _), wait_s, billed_h in zip(settings, waits_s, hours, strict=True):
            axis.annotate(setting, (wait_s, billed_h), textcoords="offset points", xytext=(4, 4), fontsize=8)
    axis.set(xlabel="wait p95, s", ylabel="node-hours billed", title=title)
    axis.grid(visible=True, alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
