"""A burst of photos against a cap of nodes: drawn over time, with every decision that moved the fleet.

Run it with ``make drill-burst``; it takes about two minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.elastic import Batch, elastic_stack, run_batch, total

COLOURS = {
    "booting": "tab:blue",
    "ready": "tab:green",
    "draining": "tab:orange",
    "committed": "tab:red",
    "silent": "tab:gray",
    "stopping": "tab:brown",
}


def main() -> int:
    """Run the drill; return 0 if every photo got its label once, the cap held, and no node is left."""
    parser = argparse.ArgumentParser(prog="python -m bench.drill_burst", description=__doc__)
    parser.add_argument("--photos", type=int, default=416, help="in the burst (default: 416)")
    parser.add_argument("--cap", type=int, default=4, help="most nodes (default: 4)")
    parser.add_argument("--boot-s", type=float, default=3.0, help="of a node, before it starts its worker (default: 3)")
    parser.add_argument("--plot", type=Path, default=Path(".local/drill-burst.png"), help="the drawing")
    chosen = parser.parse_args()
    environ = {
        "MAX_NODES": str(chosen.cap),
        "LOCAL_BOOT_S": str(chosen.boot_s),
        "INITIAL_BOOT_S": str(chosen.boot_s + 3),
    }
    with elastic_stack(**environ, TARGET_DRAIN_S="40") as (stack, scaler):
        batch = run_batch(stack, scaler, chosen.photos, rest_nodes=0)
    _print(batch)
    _draw(batch, chosen.cap, chosen.plot)
    good = batch.failed == batch.repeated == 0 and batch.most_nodes <= chosen.cap
    return 0 if good else 1


def _print(batch: Batch) -> None:
    print(f"{'s':>6}  {'nodes':>5}  {'visible':>7}  {'in flight':>9}  decision")
    for tick in batch.ticks:
        if any(tick[action] for action in ("launched", "revert", "drain", "commit", "replace", "left")):
            backlog = tick["values"]
            print(
                f"{tick['at_s']:6.1f}  {total(tick):5}  {backlog.get('visible', 0):7.0f}  "
                f"{backlog.get('in_flight', 0):9.0f}  {tick['reason']}"
            )
    print(
        f"{batch.photos} photos in {batch.seconds:.1f} s on at most {batch.most_nodes} nodes, "
        f"{batch.node_hours:.2f} node-hours; {batch.failed} failed, {batch.repeated} done twice, 0 nodes left"
    )


def _draw(batch: Batch, cap: int, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (upper, lower) = plt.subplots(2, 1, sharex=True, figsize=(9, 6), layout="constrained")
    known = [tick for tick in batch.ticks if tick["values"]]
    times = [tick["at_s"] for tick in known]
    upper.stackplot(
        times,
        [[tick["values"][kind] for tick in known] for kind in ("visible", "in_flight")],
        labels=["visible", "in flight"],
    )
    upper.set_ylabel("messages")
    upper.legend()
    phases = sorted({phase for tick in known for phase in tick["nodes"]})
    counts = [[tick["nodes"].get(phase, 0) for tick in known] for phase in phases]
    lower.stackplot(times, counts, labels=phases, colors=[COLOURS[phase] for phase in phases], step="post")
    lower.axhline(cap, linestyle="--", color="black", linewidth=1, label="cap")
    lower.yaxis.get_major_locator().set_params(integer=True)
    lower.set_ylabel("nodes")
    lower.set_xlabel("seconds since the first upload")
    lower.legend(loc="upper right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"drawn: {path}")


if __name__ == "__main__":
    sys.exit(main())
