"""Compares this project's result backend with Celery's own S3 backend, on an embedded S3 of its own.

Prints requests, CPU time and time of day per stored and per read result, then three ways to read many at once.
Run it with ``python -m bench.results_store``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import boto3
import obstore
from celery import Celery
from obstore.store import S3Store

from bench.counting_proxy import counting_proxy
from local.emulators import ACCESS_KEY, REGION, running_emulators

COUNTED = 20
MANY = 1000
PARALLEL = 32
RESULT = {
    "name": "cat.jpg",
    "label": "cat",
    "confidence": 0.98,
    "top": [{"label": "cat", "confidence": 0.98}] * 5,
    "model": "everyday10",
    "timings": {"fetch_s": 0.01, "decode_s": 0.004, "inference_s": 0.02},
}


@dataclass(frozen=True)
class Cost:
    """What one operation takes."""

    requests: float
    cpu_ms: float
    wall_ms: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="results stored and read per backend")
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as logs, running_emulators(Path(logs)) as emulators:
        os.environ.update(emulators.environ)
        bucket = f"bench-{uuid.uuid4()}"
        boto3.client("s3").create_bucket(Bucket=bucket)
        costs = {
            name: tuple(cost(make, operation, bucket, emulators.aws_url, count) for operation in (storing, reading))
            for name, make in (("celery s3", stock_app), ("tasks.results", own_app))
        }
        print_costs(costs)
        print_many(own_app(bucket, emulators.aws_url), bucket, emulators.aws_url)


def stock_app(bucket: str, url: str) -> Celery:
    """Return an app with Celery's own S3 backend."""
    app = Celery(set_as_current=False)
    app.conf.update(result_backend="s3", s3_bucket=bucket, s3_endpoint_url=url, s3_region=REGION)
    app.conf.update(s3_access_key_id=ACCESS_KEY, s3_secret_access_key=ACCESS_KEY)
    return app


def own_app(bucket: str, url: str) -> Celery:
    """Return an app with this project's backend."""
    app = Celery(set_as_current=False)
    app.conf.update(
        result_backend="tasks.results:S3ResultBackend",
        result_backend_transport_options={"bucket": bucket, "region": REGION, "endpoint_url": url},
    )
    return app


def storing(app: Celery) -> Callable[[], object]:
    """Return an operation that stores a new result."""
    return lambda: app.backend.store_result(str(uuid.uuid4()), RESULT, "SUCCESS")


def reading(app: Celery) -> Callable[[], object]:
    """Return an operation that reads a stored result."""
    task_id = str(uuid.uuid4())
    app.backend.store_result(task_id, RESULT, "SUCCESS")
    return lambda: app.backend.get_task_meta(task_id, cache=False)["result"]["label"]


def cost(
    make: Callable[[str, str], Celery],
    prepare: Callable[[Celery], Callable[[], object]],
    bucket: str,
    s3_url: str,
    count: int,
) -> Cost:
    """Measure an operation: its requests through a proxy, its times without."""
    with counting_proxy(s3_url) as proxy:
        operation = prepare(make(bucket, proxy.url))
        operation()  # the first one may look for credentials
        proxy.take()
        for _time in range(COUNTED):
            operation()
        requests = len(proxy.take()) / COUNTED
    operation = prepare(make(bucket, s3_url))
    operation()
    cpu_s, wall_s = timed(lambda: [operation() for _time in range(count)])
    return Cost(requests, 1000 * cpu_s / count, 1000 * wall_s / count)


def timed(work: Callable[[], Sequence[Any]]) -> tuple[float, float]:
    """Return the CPU seconds of this process and the seconds that `work` takes."""
    wall_s, cpu_s = time.perf_counter(), cpu_time_s()
    work()
    return cpu_time_s() - cpu_s, time.perf_counter() - wall_s


def cpu_time_s() -> float:
    """Return the CPU time of this process, all threads, in user and kernel."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def print_costs(costs: dict[str, tuple[Cost, ...]]) -> None:
    """Print a table and the ratios."""
    print(f"{'':14} {'per stored result':^28} | {'per read result':^28}")
    head = f"{'requests':>8} {'CPU ms':>9} {'ms':>9}"
    print(f"{'':14} {head} | {head}")
    for backend, (stored, read) in costs.items():
        print(f"{backend:14} {columns(stored)} | {columns(read)}")
    stock, own = costs.values()
    ratios = [
        Cost(*(theirs / ours for theirs, ours in zip(astuple(before), astuple(after), strict=True)))
        for before, after in zip(stock, own, strict=True)
    ]
    print(f"{'ratio':14} {columns(ratios[0])} | {columns(ratios[1])}")


def columns(cost: Cost) -> str:
    """Return one half of a row."""
    return f"{cost.requests:8.2f} {cost.cpu_ms:9.2f} {cost.wall_ms:9.2f} "


def print_many(app: Celery, bucket: str, url: str) -> None:
    """Print what reading many results takes: one after another, by threads, by asyncio."""
    ids = [str(uuid.uuid4()) for _number in range(MANY)]
    for task_id in ids:
        app.backend.store_result(task_id, RESULT, "SUCCESS")
    backend: Any = app.backend
    store = S3Store(bucket, endpoint=url, region=REGION, client_options={"allow_http": True})

    async def by_asyncio() -> list[bytes]:
        room = asyncio.Semaphore(PARALLEL)

        async def read(key: str) -> bytes:
            async with room:
                return bytes(await (await obstore.get_async(store, key)).bytes_async())

        return await asyncio.gather(*map(read, ids))

    ways: dict[str, Callable[[], Sequence[Any]]] = {
        "one after another": lambda: [backend.get(task_id) for task_id in ids],
        f"{PARALLEL} threads (fetch_many)": lambda: list(backend.fetch_many(ids)),
        f"asyncio, {PARALLEL} at a time": lambda: asyncio.run(by_asyncio()),
    }
    print(f"\n{f'{MANY} results':28} {'CPU s':>6} {'s':>6}")
    for way, read in ways.items():
        cpu_s, wall_s = timed(read)
        print(f"{way:28} {cpu_s:6.2f} {wall_s:6.2f}")


if __name__ == "__main__":
    main()
