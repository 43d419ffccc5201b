"""How much the web tier takes: many photos at once, in one request and in many, and many that wait for their label.

`python -m bench.web` prints uploads a second and the web process's peak memory, and fails if an answer is missing or a
photo lost. `--threads 16 64 128` compares numbers of threads. All runs on a stack of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil
import urllib3

from local.photographs import photographs
from local.stack import running_stack

MANY = 416
REQUESTS, PHOTOS_PER_REQUEST = 52, 8
SYNCHRONOUS = 300
TIMEOUT_S = 180.0
DEADLINE_S = 240.0
POLL_S = 0.5
ATTEMPTS = 5
BUSY = 503
MIB = 1024 * 1024

Photo = tuple[str, bytes]


@dataclass(frozen=True)
class Round:
    """One way of uploading.

    Attributes:
        photos: sent.
        upload_s: until the last request was answered.
        done_s: until the last photo had a result.
        statuses: answers, by HTTP status.
        lost: photos without a result at the deadline, and requests without an answer.
        base_bytes: the web processes' resident memory before.
        peak_bytes: its peak.
        uploaded_bytes: of all photos.
    """

    what: str
    photos: int
    upload_s: float
    done_s: float
    statuses: dict[int, int]
    lost: int
    base_bytes: int
    peak_bytes: int
    uploaded_bytes: int

    @property
    def uploads_per_s(self) -> float:
        """Photos taken a second."""
        return self.photos / self.upload_s


class Uploader:
    """A client with as many connections as it has requests at a time."""

    def __init__(self, url: str, connections: int) -> None:
        self._url = url
        self._http = urllib3.PoolManager(maxsize=connections, block=True, retries=False, timeout=TIMEOUT_S)

    def classify(self, photos: Sequence[Photo]) -> tuple[list[int], list[str]]:
        """Upload photos in one request; return the statuses of the answers and the photos' ids."""
        statuses, body = self._post("/classify", [("img", photo) for photo in photos])
        return statuses, [task["id"] for task in body.get("tasks", [])]

    def upload(self, photo: Photo) -> tuple[list[int], list[str]]:
        """Upload one photo and wait for its label."""
        statuses, body = self._post("/upload", [("myfile", photo)])
        return statuses, [body["id"]] if "id" in body else []

    def pending(self, ids: Sequence[str]) -> list[str]:
        """Return those photos that have no result yet."""
        with ThreadPoolExecutor(8) as pool:
            statuses = pool.map(lambda one: self._http.request("GET", f"{self._url}/results/{one}").status, ids)
            return [one for one, status in zip(ids, statuses, strict=True) if status != 200]  # noqa: PLR2004 - HTTP's OK

    def _post(self, path: str, fields: Sequence[tuple[str, Photo]]) -> tuple[list[int], dict[str, Any]]:
        """Post a form, again when the server asks to come later."""
        statuses: list[int] = []
        while True:
            answer = self._http.request(
                "POST", f"{self._url}{path}", fields=fields, headers={"Accept": "application/json"}
            )
            statuses.append(answer.status)
            if answer.status != BUSY or len(statuses) == ATTEMPTS:
                return statuses, json.loads(answer.data)
            time.sleep(float(answer.headers["Retry-After"]))


def main() -> int:
    """Measure and print."""
    chosen = _arguments()
    photos = list(islice(cycle(photographs().items()), MANY))
    rounds: dict[str, list[Round]] = {}
    for workers in chosen.workers:
        for threads in chosen.threads:
            name = f"{workers} process(es) × {threads} threads"
            rounds[name] = measure(photos, workers, threads, chosen.rounds)
            _print(name, rounds[name])
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps({name: [asdict(one) for one in part] for name, part in rounds.items()}))
    return 1 if any(one.lost for part in rounds.values() for one in part) else 0


def measure(photos: Sequence[Photo], workers: int, threads: int, wanted: Sequence[str]) -> list[Round]:
    """Run a stack and upload in each way."""
    environ = {"WEB_WORKERS": str(workers), "WEB_THREADS": str(threads), "RATE_LIMIT_PER_MIN": "1000000"}
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder), environ) as stack:
        web = psutil.Process(stack.start_web().pid)
        stack.start_worker()
        many = Uploader(stack.services.web_url, SYNCHRONOUS)
        many.upload(photos[0])  # starts what starts with the first photo
        peak = Peak(web.children())
        return [one_round(many, peak, what, photos) for what in wanted]


def one_round(client: Uploader, peak: Peak, what: str, photos: Sequence[Photo]) -> Round:
    """Upload in one way, and wait for all results."""
    calls: dict[str, list[Callable[[], tuple[list[int], list[str]]]]] = {
        "one": [lambda: client.classify(photos)],
        "many": [
            lambda part=photos[first : first + PHOTOS_PER_REQUEST]: client.classify(part)  # type: ignore[misc]
            for first in range(0, REQUESTS * PHOTOS_PER_REQUEST, PHOTOS_PER_REQUEST)
        ],
        "sync": [lambda photo=photo: client.upload(photo) for photo in photos[:SYNCHRONOUS]],  # type: ignore[misc]
    }
    sent = photos[:SYNCHRONOUS] if what == "sync" else photos
    base_bytes = peak.reset()
    with ThreadPoolExecutor(len(calls[what])) as pool:
        begin_s = time.monotonic()
        answers = [future.result() for future in [pool.submit(call) for call in calls[what]]]
        upload_s = time.monotonic() - begin_s
        statuses = Counter(status for part, _ids in answers for status in part)
        waiting = ids = [one for _statuses, part in answers for one in part]
        while waiting and time.monotonic() - begin_s < DEADLINE_S:
            waiting = client.pending(waiting)
            time.sleep(POLL_S if waiting else 0)
        done_s = time.monotonic() - begin_s
    lost = len(waiting) + len(sent) - len(ids)
    size = sum(len(data) for _name, data in sent)
    return Round(what, len(sent), upload_s, done_s, dict(statuses), lost, base_bytes, peak.read_bytes(), size)


@dataclass
class Peak:
    """The peak memory of processes, as the kernel keeps it."""

    processes: Sequence[psutil.Process]

    def reset(self) -> int:
        """Begin anew (https://docs.kernel.org/filesystems/proc.html, clear_refs); return what is resident now."""
        for process in self.processes:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")
        return self.read_bytes()

    def read_bytes(self) -> int:
        """Return the sum since then."""
        lines = (line for process in self.processes for line in _status(process) if line.startswith("VmHWM:"))
        return sum(int(line.split()[1]) * 1024 for line in lines)


def _status(process: psutil.Process) -> list[str]:
    return Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()


def _print(name: str, rounds: Sequence[Round]) -> None:
    print(f"\n{name}")
    print(
        f"{'way':6} {'photos':>6} {'MB':>5} {'upload s':>8} {'/s':>6} {'done s':>7} {'base MB':>8} {'peak MB':>8} {'lost':>5}  answers"
    )
    for one in rounds:
        answers = ", ".join(f"{count} × {status}" for status, count in sorted(one.statuses.items()))
        print(
            f"{one.what:6} {one.photos:6} {one.uploaded_bytes / MIB:5.0f} {one.upload_s:8.2f} {one.uploads_per_s:6.0f} "
            f"{one.done_s:7.2f} {one.base_bytes / MIB:8.0f} {one.peak_bytes / MIB:8.0f} {one.lost:5}  {answers}",
            flush=True,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1], help="web processes")
    parser.add_argument("--threads", type=int, nargs="+", default=[512], help="threads of one")
    parser.add_argument(
        "--rounds",
        nargs="+",
        default=["one", "many", "sync"],
        choices=["one", "many", "sync"],
        help=f"{MANY} photos in one request, in {REQUESTS} at a time, {SYNCHRONOUS} synchronous ones at a time",
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
