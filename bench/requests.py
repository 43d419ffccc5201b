"""Counts the AWS requests of a burst of tasks: Celery and kombu as they come, and this project's transport and store.

One worker with eight threads, events off; every request passes a counting proxy in front of the embedded AWS, from
the first send to the last acknowledgement, and then one read of each result. Run it with ``make bench-requests``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3

from bench.counting_proxy import Call, CountingProxy, counting_proxy
from local.emulators import running_emulators
from local.processes import Command, Supervised, start_in, wait_until
from tasks.sqs.counts import IN_FLIGHT, VISIBLE
from tasks.sqs.sends import Call as TaskCall
from tasks.sqs.sends import send_many

CONCURRENCY = 8
START_DEADLINE_S = 60.0
DRAIN_DEADLINE_S = 900.0  # kombu pauses for a second whenever all places are taken


@dataclass(frozen=True)
class Count:
    """The requests of one stack's burst by action, and how long it took from the first send to an empty queue."""

    stack: str
    tasks: int
    requests: Mapping[str, int]
    seconds: float


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=1000, help="in the burst (default: 1000)")
    parser.add_argument("--stacks", nargs="+", default=["stock", "ours"], choices=["stock", "ours"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there (deploy/requests.json)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as logs, running_emulators(Path(logs)) as emulators:
        os.environ.update(emulators.environ)
        with counting_proxy(emulators.aws_url) as proxy:
            counts = [count_burst(stack, chosen.tasks, proxy, Path(logs)) for stack in chosen.stacks]
    print_counts(counts)
    if chosen.json:
        chosen.json.write_text(as_json(counts))


def as_json(counts: Sequence[Count]) -> str:
    """Return the counts as `python -m deploy cost` reads them: requests of one task, tasks a second, by stack."""
    stacks = {
        count.stack: {
            "tasks": count.tasks,
            "tasks_per_s": round(count.tasks / count.seconds, 2),
            "requests_per_task": {action: round(n / count.tasks, 4) for action, n in sorted(count.requests.items())},
        }
        for count in counts
    }
    counted = {
        "counted_on": datetime.now(UTC).date().isoformat(),
        "command": "python -m bench.requests --json FILE",
        "stacks": stacks,
    }
    return json.dumps(counted, indent=2) + "\n"


def count_burst(stack: str, tasks: int, proxy: CountingProxy, logs: Path) -> Count:
    """Send tasks, wait until a worker has done and deleted all, read every result."""
    name = f"bench-{stack}-{uuid.uuid4().hex[:8]}"
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
    boto3.client("s3").create_bucket(Bucket=name)
    environ = dict.fromkeys(("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_SNS"), proxy.url)
    environ |= {"BENCH_STACK": stack, "BENCH_QUEUE": name, "BENCH_BUCKET": name}
    with running_worker({**os.environ, **environ}, logs), app_of(environ) as app:
        ids = [str(uuid.uuid4()) for _task in range(tasks)]
        app.connection_for_write().default_channel.queue_declare(name)  # its lookup is no task's
        proxy.calls.clear()
        begin_s = time.monotonic()
        send(app, stack, ids, name)
        wait_until(lambda: is_empty(sqs, url), DRAIN_DEADLINE_S, f"{tasks} tasks on the {stack} stack")
        seconds = time.monotonic() - begin_s
        for task_id in ids:
            if app.AsyncResult(task_id).state != "SUCCESS":
                raise RuntimeError(f"task {task_id} has no result")
        calls = list(proxy.calls)
    return Count(stack, tasks, Counter(map(action_of, calls)), seconds)


def send(app: Any, stack: str, ids: Sequence[str], queue: str) -> None:
    """Send the burst the way each stack sends many tasks."""
    noop = "bench.noop"
    if stack == "ours":
        errors = send_many(app, [TaskCall(noop, task_id) for task_id in ids], queue=queue)
        if any(errors):
            raise RuntimeError(f"not sent: {errors}")
        return
    for task_id in ids:
        app.send_task(noop, task_id=task_id)


@contextmanager
def running_worker(environ: Mapping[str, str], logs: Path) -> Iterator[Supervised]:
    """Run a worker until the block ends."""
    argv = (sys.executable, "-m", "celery", "-A", "bench.requests_app", "worker", "-P", "threads")
    command = Command(f"worker-{environ['BENCH_STACK']}", (*argv, "-c", str(CONCURRENCY), "-l", "INFO"))
    with ExitStack() as processes:
        worker = start_in(processes, command, environ, logs)
        wait_until(lambda: b" ready." in worker.log.read_bytes(), START_DEADLINE_S, "the worker")
        yield worker


@contextmanager
def app_of(environ: Mapping[str, str]) -> Iterator[Any]:
    """Return the app as it is in `environ`, for sending and reading."""
    before = dict(os.environ)
    os.environ.update(environ)
    sys.modules.pop("bench.requests_app", None)
    app = importlib.import_module("bench.requests_app").app
    try:
        yield app
    finally:
        app.close()
        os.environ.clear()
        os.environ.update(before)


def is_empty(sqs: Any, url: str) -> bool:
    """Tell whether a queue has no message, visible or not."""
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[VISIBLE, IN_FLIGHT])["Attributes"]
    return bool(found[VISIBLE] == found[IN_FLIGHT] == "0")


def action_of(call: Call) -> str:
    """Name a request as AWS's price lists do: by service and action.

    >>> action_of(Call("POST", "/", "AmazonSQS.SendMessage")), action_of(Call("GET", "/bucket/key"))
    ('SQS SendMessage', 'S3 GET')
    """
    if not call.action:
        return f"S3 {call.method}"
    service, _dot, action = call.action.rpartition(".")
    return f"{service.removeprefix('Amazon') or 'SNS'} {action}"


def print_counts(counts: Sequence[Count]) -> None:
    """Print requests per task, a line for each action and one for each service."""
    print(f"{'requests per task':32}" + "".join(f"{count.stack:>10}" for count in counts))
    actions = sorted({action for count in counts for action in count.requests})
    for action in actions:
        print(f"{action:32}" + "".join(f"{count.requests.get(action, 0) / count.tasks:10.3f}" for count in counts))
    for service in ("SQS", "S3", "SNS"):
        sums = [sum(n for action, n in count.requests.items() if action.startswith(service)) for count in counts]
        print(
            f"{service + ', all told':32}" + "".join(f"{n / c.tasks:10.3f}" for n, c in zip(sums, counts, strict=True))
        )
    print(f"{'seconds, send to empty queue':32}" + "".join(f"{count.seconds:10.1f}" for count in counts))


if __name__ == "__main__":
    main()
