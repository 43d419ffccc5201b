"""A new version of the nodes while photos are in flight: every step of the roll, and what became of each photo.

Run it with ``make drill-rolling``; it takes about two minutes. With ``--broken`` the new version does not boot, as when
its release is missing: the roll is halted, and the old nodes do the work.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import urllib3

from bench.elastic import done, elastic_stack, ticks_of, total, upload, wait_for_nodes, wait_for_results
from local.launch_template import add_version, user_data
from local.processes import Supervised, wait_until
from local.stack import Stack
from scaler.settings import ScalerSettings

OLD = "1"
NO_RELEASE = "no-such-release"
ROLL_DEADLINE_S = 300.0
ACTIONS = ("launched", "revert", "drain", "commit", "replace", "left")


def main() -> int:
    """Run the drill; return 0 if every photo got its label once, the cap held, and the roll ended or was halted."""
    parser = argparse.ArgumentParser(prog="python -m bench.drill_rolling", description=__doc__)
    parser.add_argument("--photos", type=int, default=200, help="in flight when the version changes (default: 200)")
    parser.add_argument("--nodes", type=int, default=3, help="to be replaced (default: 3)")
    parser.add_argument("--boot-s", type=float, default=3.0, help="of a node, before it starts its worker (default: 3)")
    parser.add_argument("--broken", action="store_true", help="let nodes of the new version fail to boot")
    chosen = parser.parse_args()
    environ = {
        "MIN_NODES": str(chosen.nodes),
        "MAX_NODES": str(chosen.nodes + 1),
        "STAND_IN_S": "0.5",
        "LOCAL_BOOT_S": str(chosen.boot_s),
        "LAUNCH_TEMPLATE_VERSION": OLD,
    }
    with elastic_stack(**environ) as (stack, first):
        wait_for_nodes(first, chosen.nodes)
        http = urllib3.PoolManager(timeout=urllib3.Timeout(120), retries=False)
        ids = list(upload(http, stack.services.web_url, chosen.photos))
        second = _changed(stack, first, broken=chosen.broken)
        failed = wait_for_results(http, stack.services.web_url, ids)
        wait_until(lambda: _over(second, broken=chosen.broken), ROLL_DEADLINE_S, "the roll's end")
        command = replace(stack.services.scaler("status"), environ=second.command.environ)
        print(stack.run(command).stdout)
        times, ticks = Counter(done(stack)), [tick for tick in ticks_of(second) if not tick["held"]]
    lost, twice = sum(not times[task] for task in ids), sum(times[task] > 1 for task in ids)
    _print(ticks)
    most, least = max(map(total, ticks)), min(tick["values"]["taking"] for tick in ticks)
    print(
        f"{len(ids)} photos: {failed} without a label, {lost} not done, {twice} done twice; the roll took "
        f"{ticks[-1]['now_s'] - ticks[0]['now_s']:.0f} s, at most {most} nodes (cap {chosen.nodes + 1}), "
        f"never fewer than {least:.0f} that take tasks"
    )
    return 0 if failed == lost == twice == 0 and most <= chosen.nodes + 1 else 1


def _changed(stack: Stack, first: Supervised, *, broken: bool) -> Supervised:
    """Give the launch template a version, and the scaler the number of it, as a deployment does."""
    script = user_data(stack.environ, NO_RELEASE) if broken else user_data(stack.environ)
    version = add_version(stack.ec2, ScalerSettings.from_env(stack.environ).launch_template, script)
    first.stop()
    return stack.start_scaler("second", {"LAUNCH_TEMPLATE_VERSION": version})


def _over(scaler: Supervised, *, broken: bool) -> bool:
    values = [tick["values"] for tick in ticks_of(scaler) if tick["values"]]
    if not values:
        return False
    last = values[-1]
    return bool(last["roll_halted"] if broken else last["outdated"] == 0 and last["total"] == last["taking"])


def _print(ticks: Sequence[Mapping[str, Any]]) -> None:
    print(f"{'s':>6}  {'nodes':>5}  {'taking':>6}  {'old':>3}  {'visible':>7}  decision")
    for tick in ticks:
        values = tick["values"]
        if any(tick[action] for action in ACTIONS):
            print(
                f"{tick['now_s'] - ticks[0]['now_s']:6.1f}  {total(tick):5}  {values['taking']:6.0f}  "
                f"{values['outdated']:3.0f}  {values['visible']:7.0f}  {tick['reason']}"
            )
    for alarm in dict.fromkeys(alarm for tick in ticks for alarm in tick["alarms"]):
        print(f"alarm: {alarm}")


if __name__ == "__main__":
    sys.exit(main())
