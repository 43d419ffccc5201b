"""Runs a batch of photos on a stack of nodes that come and go, and tells what became of it: for the drills.

Tasks are the stand-in's: they take a set time and no CPU, so that nodes are the limit and not this machine's cores.
"""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import urllib3
from PIL import Image
from tqdm import tqdm

from local.processes import Supervised, wait_until
from local.stack import Stack, running_stack

HOUR_S = 3600.0
# Everything that takes minutes in the cloud takes seconds here.
QUICK = {
    "WORKER_APP": "local.stand_in",
    "WORKER_THREADS": "1",
    "STAND_IN_S": "1",
    "INITIAL_TASK_S": "1",
    "TICK_S": "1",
    "CONTROL_TIMEOUT_S": "1",
    "IDLE_S": "5",
    "SURPLUS_TICKS": "3",
    "DRAIN_GRACE_S": "2",
    "POLL_WAIT_S": "2",
}
PHOTOS_A_REQUEST = 50
RESULT_DEADLINE_S = 1800.0
POLL_S = 0.25
HTTP_OK, HTTP_ACCEPTED = 200, 202


@dataclass(frozen=True)
class Batch:
    """What became of a batch of photos.

    Attributes:
        photos: how many.
        seconds: from the first upload to the last result.
        failed: photos without a label.
        repeated: tasks that were done more than once.
        ticks: what the scaler told, each with its time in `at_s`, seconds from the first upload.
        node_hours: of all nodes, from their launch to their end.
    """

    photos: int
    seconds: float
    failed: int
    repeated: int
    ticks: Sequence[Mapping[str, Any]] = field(repr=False)
    node_hours: float

    @property
    def most_nodes(self) -> int:
        """The most nodes there were at a tick."""
        return max((total(tick) for tick in self.ticks), default=0)


def total(tick: Mapping[str, Any]) -> int:
    """Return the non-terminated nodes of a tick."""
    return sum((tick["nodes"] or {}).values())


@contextmanager
def elastic_stack(**environ: str) -> Iterator[tuple[Stack, Supervised]]:
    """Start a web app, a host of nodes and a scaler."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder), {**QUICK, **environ}) as stack:
        stack.start_web()
        stack.start_host()
        yield stack, stack.start_scaler()


def run_batch(stack: Stack, scaler: Supervised, photos: int, *, rest_nodes: int) -> Batch:
    """Upload photos, wait for all results, and then until no more than `rest_nodes` nodes are left.

    Raises:
        TimeoutError: results or the nodes' end did not come.
    """
    before = len(ticks_of(scaler))
    http = urllib3.PoolManager(timeout=urllib3.Timeout(120), retries=False)
    begun_s, clock_s = time.time(), time.monotonic()
    ids = list(upload(http, stack.services.web_url, photos))
    failed = wait_for_results(http, stack.services.web_url, ids)
    seconds = time.monotonic() - clock_s
    wait_until(lambda: total(ticks_of(scaler)[-1]) <= rest_nodes, RESULT_DEADLINE_S, "the nodes' end")
    ticks = [{**tick, "at_s": tick["now_s"] - begun_s} for tick in ticks_of(scaler)[before:]]
    times = Counter(done(stack))
    return Batch(photos, seconds, failed, sum(times[task] > 1 for task in ids), ticks, _node_hours(ticks))


def ticks_of(scaler: Supervised) -> list[dict[str, Any]]:
    """Return what a scaler told of its ticks, oldest first."""
    return [json.loads(line) for line in scaler.log.read_text().splitlines() if line.startswith("{")]


def wait_for_nodes(scaler: Supervised, ready: int) -> None:
    """Wait until that many nodes take tasks.

    Raises:
        TimeoutError: they did not come.
    """
    wait_until(lambda: _ready(scaler) >= ready, RESULT_DEADLINE_S, f"{ready} nodes")


def _ready(scaler: Supervised) -> int:
    ticks = ticks_of(scaler)
    return int((ticks[-1]["nodes"] or {}).get("ready", 0)) if ticks else 0


def upload(http: urllib3.PoolManager, url: str, photos: int) -> Iterator[str]:
    """Upload small photos, and yield their ids.

    Raises:
        RuntimeError: one was refused.
    """
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(picture, "JPEG")
    for first in range(0, photos, PHOTOS_A_REQUEST):
        names = [f"{number}.jpg" for number in range(first, min(photos, first + PHOTOS_A_REQUEST))]
        fields = [("img", (name, picture.getvalue(), "image/jpeg")) for name in names]
        answer = http.request("POST", f"{url}/classify", fields=fields)
        if answer.status != HTTP_ACCEPTED or answer.json()["rejected"]:
            raise RuntimeError(f"the upload was answered {answer.status}: {answer.data[:300]!r}")
        yield from (task["id"] for task in answer.json()["tasks"])


def wait_for_results(http: urllib3.PoolManager, url: str, ids: Sequence[str]) -> int:
    """Wait for the results of photos, and return how many have no label.

    Raises:
        TimeoutError: one did not come.
    """
    # Tasks end about in order, so only the oldest that is left is asked for.
    failed = 0
    for task in tqdm(ids, unit="photo", disable=None):
        answer = http.request("GET", f"{url}/results/{task}")
        end_s = time.monotonic() + RESULT_DEADLINE_S
        while answer.status == HTTP_ACCEPTED:
            if time.monotonic() > end_s:
                raise TimeoutError(f"no result of {task} within {RESULT_DEADLINE_S:g} s")
            time.sleep(POLL_S)
            answer = http.request("GET", f"{url}/results/{task}")
        failed += answer.status != HTTP_OK or answer.json()["state"] != "SUCCESS"
    return failed


def done(stack: Stack) -> Iterator[str]:
    """Yield the id of each task that a node has done, as often as that was."""
    for log in (stack.log_dir / "log").glob("i-*.log"):
        for line in log.read_text(errors="replace").splitlines():
            if "Task tasks.classify[" in line and " succeeded in " in line:
                yield line.split("Task tasks.classify[", 1)[1].split("]", 1)[0]


def _node_hours(ticks: Sequence[Mapping[str, Any]]) -> float:
    node_s: float = sum(total(first) * (second["now_s"] - first["now_s"]) for first, second in pairwise(ticks))
    return node_s / HOUR_S
