"""Counts the AWS requests that remote control and events cost: at rest, for each hour, and for each task of a burst.

One worker with eight threads, and, where the table says so, Flower. Every request passes a counting proxy in front of
the embedded AWS; requests on the task queue are left out. Run it with ``python -m bench.control_cost``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import boto3

from bench.counting_proxy import Answer, Call, counting_proxy
from bench.requests import action_of, app_of, is_empty
from local.emulators import answers, running_emulators
from local.ports import LOOPBACK, free_port
from local.processes import Command, Supervised, start_in, wait_until
from tasks.sqs.sends import Call as TaskCall
from tasks.sqs.sends import send_many

HOUR_S = 3600
START_DEADLINE_S = 60.0
DRAIN_DEADLINE_S = 300.0
# After the last task: until the last events are published and received.
SETTLE_S = 3.0
CELERY = (sys.executable, "-m", "celery", "-A", "bench.requests_app")


@dataclass
class Tally:
    """Requests by action, those on the task queue and on S3 left out."""

    task_queue: str
    actions: Counter[str] = field(default_factory=Counter)

    def note(self, call: Call) -> Answer | None:
        """Count a request and let it pass."""
        on_task_queue = call.body.startswith(b"{") and str(json.loads(call.body).get("QueueUrl", "")).endswith(
            f"/{self.task_queue}"
        )
        if call.action and not on_task_queue:
            self.actions[action_of(call)] += 1
        return None


@dataclass(frozen=True)
class Scene:
    """A fleet to count the requests of."""

    name: str
    worker_options: tuple[str, ...]
    with_flower: bool


SCENES = (
    Scene("no heartbeats", ("--without-heartbeat",), with_flower=False),
    Scene("a heartbeat in 2 s", (), with_flower=False),
    Scene("the same, Flower", (), with_flower=True),
    Scene("a heartbeat in 15 s", ("--heartbeat-interval=15",), with_flower=False),
    Scene("the same, Flower", ("--heartbeat-interval=15",), with_flower=True),
    Scene("the same, task events", ("--heartbeat-interval=15", "-E"), with_flower=True),
)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rest-s", type=int, default=60, help="how long to count at rest (default: 60)")
    parser.add_argument("--tasks", type=int, default=3000, help="in the burst (default: 3000)")
    chosen = parser.parse_args()
    print(f"{'one worker, and':24}{'at rest, an hour':>18}{'burst, a task':>16}  burst")
    with tempfile.TemporaryDirectory() as logs, running_emulators(Path(logs)) as emulators:
        os.environ.update(emulators.environ)
        for number, scene in enumerate(SCENES):
            count(scene, emulators.aws_url, Path(logs) / str(number), chosen.rest_s, chosen.tasks)


def count(scene: Scene, aws_url: str, logs: Path, rest_s: int, tasks: int) -> None:
    """Count one scene and print a line."""
    queue = f"bench-{uuid.uuid4().hex[:8]}"
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName=queue)["QueueUrl"]
    boto3.client("s3").create_bucket(Bucket=queue)
    tally = Tally(queue)
    with counting_proxy(aws_url) as proxy:
        proxy.instead = tally.note
        environ = dict.fromkeys(("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_SQS", "AWS_ENDPOINT_URL_SNS"), proxy.url)
        environ |= {"BENCH_STACK": "ours", "BENCH_QUEUE": queue, "BENCH_BUCKET": queue}
        with running(scene, {**os.environ, **environ}, logs), app_of(environ) as app:
            app.connection_for_write().default_channel.queue_declare(queue)
            time.sleep(SETTLE_S)
            tally.actions.clear()
            time.sleep(rest_s)
            at_rest = tally.actions.total() * HOUR_S / rest_s
            tally.actions.clear()
            begin_s = time.monotonic()
            errors = send_many(app, [TaskCall("bench.noop", str(uuid.uuid4())) for _ in range(tasks)], queue=queue)
            if any(errors):
                raise RuntimeError(f"not sent: {errors}")
            wait_until(lambda: is_empty(sqs, url), DRAIN_DEADLINE_S, f"{tasks} tasks")
            burst_s = time.monotonic() - begin_s
            time.sleep(SETTLE_S)
            burst = dict(tally.actions)
    actions = ", ".join(f"{number} {action}" for action, number in sorted(burst.items()))
    print(f"{scene.name:24}{at_rest:18.0f}{sum(burst.values()) / tasks:16.3f}  {burst_s:.1f} s: {actions}")


@contextmanager
def running(scene: Scene, environ: dict[str, str], logs: Path) -> Iterator[None]:
    """Run the scene's processes until the block ends."""
    with ExitStack() as processes:

        def start(name: str, *argv: str) -> Supervised:
            return start_in(processes, Command(name, (*CELERY, *argv)), environ, logs)

        worker = start("worker", "worker", "-P", "threads", "-c", "8", "-l", "INFO", *scene.worker_options)
        wait_until(lambda: b" ready." in worker.log.read_bytes(), START_DEADLINE_S, "the worker")
        if scene.with_flower:
            port = free_port()
            start("flower", "flower", f"--address={LOOPBACK}", f"--port={port}")
            wait_until(lambda: answers(f"http://{LOOPBACK}:{port}/healthcheck"), START_DEADLINE_S, "Flower")
        yield


if __name__ == "__main__":
    main()
