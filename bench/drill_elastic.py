"""Batches of photos on one fixed node and on an elastic fleet: minutes, nodes over time and cost of each.

A photo takes a node one second (see `local.stand_in`). Run it with ``make drill-elastic``; it takes about 15 minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from bench.elastic import Batch, elastic_stack, run_batch, total, wait_for_nodes
from scaler.settings import ScalerSettings

MINUTE_S = 60.0
# What student systems of this kind have published, fixed to elastic; on other machines, with seconds to boot a process
# and load a model for each photo, so a measure of the architecture and not of the hardware.
PUBLISHED = {
    10: "6 to 4 min",
    30: "11 to 5 min",
    100: "7 to 8 min on 15 to 20 nodes",
    416: "4 min 20 s on 19 nodes",
}
COLUMNS = 12


def main() -> int:
    """Run the drill; return 0 if every photo got its label once."""
    parser = argparse.ArgumentParser(prog="python -m bench.drill_elastic", description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=list(PUBLISHED), help="photos (default: %(default)s)")
    parser.add_argument("--cap", type=int, default=19, help="most nodes of the elastic fleet (default: 19)")
    parser.add_argument("--boot-s", type=float, default=5.0, help="of a node, before it starts its worker (default: 5)")
    parser.add_argument("--target-drain-s", type=float, default=40.0, help="of the elastic fleet (default: 40)")
    chosen = parser.parse_args()
    usd = ScalerSettings.from_env({}).node_usd_per_hour
    print(
        f"{'photos':>6}  {'fleet':7}  {'minutes':>7}  {'nodes':>5}  {'node-h':>6}  {'USD':>6}  nodes over time; published"
    )
    boot = {"LOCAL_BOOT_S": str(chosen.boot_s), "INITIAL_BOOT_S": str(chosen.boot_s + 3)}
    elastic = {
        "MAX_NODES": str(chosen.cap),
        "TARGET_DRAIN_S": str(chosen.target_drain_s),
        "MAX_LAUNCHES": str(chosen.cap),
    }
    good = True
    for name, environ, rest_nodes in (
        ("fixed", {"MIN_NODES": "1", "MAX_NODES": "1"}, 1),
        ("elastic", elastic, 0),
    ):
        with elastic_stack(**boot, **environ) as (stack, scaler):
            wait_for_nodes(scaler, rest_nodes)
            for photos in chosen.batches:
                batch = run_batch(stack, scaler, photos, rest_nodes=rest_nodes)
                _print(name, batch, usd)
                good = good and batch.failed == batch.repeated == 0
    return 0 if good else 1


def _print(name: str, batch: Batch, usd_per_hour: float) -> None:
    print(
        f"{batch.photos:6}  {name:7}  {batch.seconds / MINUTE_S:7.2f}  {batch.most_nodes:5}  {batch.node_hours:6.2f}  "
        f"{batch.node_hours * usd_per_hour:6.3f}  {_over_time(batch)}; {PUBLISHED.get(batch.photos, '')}",
        flush=True,
    )


def _over_time(batch: Batch) -> str:
    nodes: Sequence[int] = [total(tick) for tick in batch.ticks]
    step = max(1, -(-len(nodes) // COLUMNS))
    return " ".join(str(max(nodes[first : first + step])) for first in range(0, len(nodes), step))


if __name__ == "__main__":
    sys.exit(main())
