"""Watches a worker's memory over many tasks that do nothing, on an embedded AWS of its own: ``python -m bench.leak``.

Memory that grows with the number of tasks is a leak; what a worker takes for its first few thousand (imports, thread
stacks, sockets, Celery's list of the last thousand successes) is not, so the growth is told from a fifth on.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from bench.requests import app_of, is_empty, running_worker, send
from local.emulators import running_emulators
from local.processes import wait_until

SAMPLES = 20
WARM_UP_SAMPLES = SAMPLES // 5
STEP_DEADLINE_S = 300.0


@dataclass(frozen=True)
class Sample:
    """A worker's resident memory after so many tasks and seconds."""

    tasks: int
    seconds: float
    rss_bytes: int


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000, help="default: 20000")
    chosen = parser.parse_args()
    name = f"bench-leak-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as logs, running_emulators(Path(logs)) as emulators:
        os.environ.update(emulators.environ)
        environ = {"BENCH_STACK": "ours", "BENCH_QUEUE": name, "BENCH_BUCKET": name}
        sqs = boto3.client("sqs")
        url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
        boto3.client("s3").create_bucket(Bucket=name)
        with running_worker({**os.environ, **environ}, Path(logs)) as worker, app_of(environ) as app:
            print_samples(watch(worker.pid, chosen.tasks // SAMPLES, app, sqs, url))


def watch(pid: int, step: int, app: Any, sqs: Any, url: str) -> list[Sample]:
    """Send tasks in steps; look at the worker's memory before the first and after each."""
    begin_s = time.monotonic()
    samples = [Sample(0, 0.0, rss_bytes(pid))]
    for number in range(1, SAMPLES + 1):
        send(app, "ours", [str(uuid.uuid4()) for _task in range(step)], url.rpartition("/")[2])
        wait_until(lambda: is_empty(sqs, url), STEP_DEADLINE_S, f"{step} tasks")
        samples.append(Sample(number * step, time.monotonic() - begin_s, rss_bytes(pid)))
    return samples


def rss_bytes(pid: int) -> int:
    """Return a process's resident memory (Linux): https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html ."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def print_samples(samples: Sequence[Sample]) -> None:
    """Print the curve and its growth after the warm-up."""
    for sample in samples:
        print(f"{sample.tasks:8d} tasks {sample.seconds:7.1f} s {sample.rss_bytes / 1e6:8.2f} MB")
    warm, last = samples[WARM_UP_SAMPLES], samples[-1]
    grown, tasks, seconds = last.rss_bytes - warm.rss_bytes, last.tasks - warm.tasks, last.seconds - warm.seconds
    print(
        f"{grown / 1e6:+.2f} MB over the last {tasks} tasks: {grown / tasks:+.0f} bytes a task, "
        f"{grown / 1e6 / seconds * 3600:+.1f} MB an hour at {tasks / seconds:.0f} tasks a second"
    )


if __name__ == "__main__":
    main()
