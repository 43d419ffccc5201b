"""The whole service against the bare loop, on one machine, in one run, alternating: ``make bench``.

HTTP uploads by the load generator, web app, SQS, a node's workers, S3, all results fetched, with the scaler and the
emulated AWS on the same cores; and beside it the same decoder, preprocessing and model in a loop, in the best shape of
several. ResNet-18 at 224 px with seeded weights.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from bench.bare_loop import Model, Shape, bare_loop
from bench.counting_proxy import Call, counting_proxy
from bench.elastic import wait_for_nodes
from bench.processes import cpu_s, peak_rss, rss
from bench.service_report import OURS, Measured, Round, print_rest, print_rounds
from bench.threads import by_name, thread_cpu_s
from bench.user import Outcome, User
from bench.workload import find_photos, load, summarise
from local.photographs import photographs
from local.stack import Stack, running_stack

SEED = 0
MODEL = "resnet18"
JPEG_QUALITY = 90
WARM_UP_PHOTOS = 96
SHAPE_PHOTOS = 96
LONE_PHOTOS = 40
COUNTED_PHOTOS = 200
MEMORY_PARTS = 4
DEADLINE_S = 300.0
CONCURRENCIES = (1, 16, 64)


def main() -> int:
    """Measure and print."""
    chosen = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = seeded_model(folder)
        photos = find_photos(chosen.image_folder) if chosen.image_folder else shipped_photos(folder)
        in_memory = [photo.read_bytes() for photo in photos]
        shape = best_shape(in_memory, model)
        with running_service(folder / "log", model, chosen.workers) as stack, peak_rss() as peaks:
            url = stack.services.web_url
            _load(url, photos, WARM_UP_PHOTOS, 16)
            rounds = []
            for _ in range(chosen.repeats):
                bare = bare_loop(in_memory, chosen.photos, model, shape)
                alone = measure(url, photos, chosen, together=1)
                rounds.append(Round(bare, alone, measure(url, photos, chosen, together=chosen.together)))
            latencies = {
                number: summarise(_load(url, photos, LONE_PHOTOS if number == 1 else chosen.photos, number))
                for number in CONCURRENCIES
            }
            memory = [rss() for _part in memory_parts(url, photos, chosen)]
        requests = count_requests(folder / "counted", photos, model)
    report = {
        "photos": chosen.photos,
        "concurrency": chosen.concurrency,
        "shape": asdict(shape),
        "together": chosen.together,
        "rounds": [one.told for one in rounds],
        "latencies": {number: asdict(summary) for number, summary in latencies.items()},
        "peak_rss_bytes": dict(peaks),
        "rss_bytes_over_time": memory,
        "aws_requests_a_photo": requests,
    }
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(report, indent=1))
    print_rounds(shape, chosen.together, rounds, peaks)
    print_rest(latencies, memory, requests)
    print(f"written: {chosen.json}")
    return 1 if any(one.alone.summary.failed or one.together.summary.failed for one in rounds) else 0


def seeded_model(folder: Path) -> Model:
    """Write ResNet-18's weights as a seed makes them."""
    import torch

    from tasks.inference.torchvision_ops import import_torchvision

    import_torchvision()
    from torchvision import models

    torch.manual_seed(SEED)
    path = folder / "resnet18.pth"
    torch.save(models.get_model(MODEL, weights=None).state_dict(), path)
    return Model(MODEL, path)


def shipped_photos(folder: Path) -> list[Path]:
    """Write the photographs that come with the development dependencies as JPEGs of their own size."""
    paths = []
    for name, data in photographs().items():
        path = folder / "photos" / Path(name).with_suffix(".jpg")
        path.parent.mkdir(exist_ok=True)
        with Image.open(io.BytesIO(data)) as photo:
            photo.convert("RGB").save(path, quality=JPEG_QUALITY)
        paths.append(path)
    return paths


def best_shape(photos: Sequence[bytes], model: Model) -> Shape:
    """Return the shape in which the bare loop is fastest here."""
    cores = os.cpu_count() or 1
    shapes = [Shape(cores, size, 1) for size in (1, 4, 8, 16)] + [Shape(1, 8, cores)]
    return max(tqdm(shapes, "shapes"), key=lambda shape: bare_loop(photos, SHAPE_PHOTOS, model, shape).photos_per_s)


@contextmanager
def running_service(log_dir: Path, model: Model, workers: int) -> Iterator[Stack]:
    """Run web app, scaler, host and one node with some workers."""
    environ = _environ(model) | {
        "WORKER_PROCESSES": str(workers),
        "MIN_NODES": "1",
        "MAX_NODES": "1",
        "TICK_S": "5",
        "LEASE_S": "30",
    }
    with running_stack(log_dir, environ) as stack:
        stack.start_web()
        stack.start_host()
        wait_for_nodes(stack.start_scaler(), 1)
        yield stack


def measure(url: str, photos: Sequence[Path], chosen: argparse.Namespace, *, together: int) -> Measured:
    """Measure the service, warm again after the seconds in which it stood still for the bare loop."""
    _load(url, photos, WARM_UP_PHOTOS, chosen.concurrency, together)
    before, threads_before = cpu_s(), thread_cpu_s(OURS)
    outcomes = _load(url, photos, chosen.photos, chosen.concurrency, together)
    after, threads_after = cpu_s(), thread_cpu_s(OURS)
    ms = 1000 / chosen.photos
    return Measured(
        summarise(outcomes),
        {kind: ms * (now_s - before.get(kind, 0.0)) for kind, now_s in after.items()},
        {name: ms * spent_s for name, spent_s in by_name(threads_before, threads_after).items()},
    )


def memory_parts(url: str, photos: Sequence[Path], chosen: argparse.Namespace) -> Iterator[int]:
    """Yield before and after each part of many photos."""
    yield 0
    for part in range(1, MEMORY_PARTS + 1):
        _load(url, photos, chosen.memory_photos // MEMORY_PARTS, chosen.concurrency)
        yield part


def count_requests(log_dir: Path, photos: Sequence[Path], model: Model) -> dict[str, float]:
    """Return how many requests of each kind a photo takes, seen by a proxy in front of the embedded AWS."""
    with running_stack(log_dir, _environ(model)) as stack, counting_proxy(stack.services.emulators.aws_url) as proxy:
        proxied = {f"AWS_ENDPOINT_URL_{service}": proxy.url for service in ("S3", "SQS", "SNS")}
        stack.start_web(proxied)
        stack.start_worker(environ=proxied)
        _load(stack.services.web_url, photos, WARM_UP_PHOTOS, 16)
        begin = len(proxy.calls)
        _load(stack.services.web_url, photos, COUNTED_PHOTOS, 16)
        counted = Counter(_kind(stack, call) for call in proxy.calls[begin:])
    return {kind: number / COUNTED_PHOTOS for kind, number in sorted(counted.items())}


def _kind(stack: Stack, call: Call) -> str:
    if call.action:
        return call.action
    of_input = call.path.startswith(f"/{stack.settings.input_bucket}/")
    return f"S3 {call.method} {'photo' if of_input else 'result'}"


def _environ(model: Model) -> dict[str, str]:
    return {"MODEL": model.name, "MODEL_WEIGHTS": str(model.weights)}


def _load(url: str, photos: Sequence[Path], number: int, concurrency: int, together: int = 1) -> list[Outcome]:
    with tqdm(total=number, desc=f"{concurrency} at a time", unit="photo", disable=None, leave=False) as bar:
        return load(
            User(url, DEADLINE_S),
            photos,
            number=number,
            concurrency=concurrency,
            done=bar.update,
            together=together,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.service", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=416, help="a round (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=32, help="photos at a time (default: %(default)s)")
    parser.add_argument(
        "--together", type=int, default=8, help="photos a request, where it is not one (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the node (default: one a core)")
    parser.add_argument(
        "--memory-photos", type=int, default=2000, help="while memory is watched (default: %(default)s)"
    )
    parser.add_argument("--image-folder", type=Path, help="photos; without: those shipped with the dependencies")
    parser.add_argument("--json", type=Path, default=Path(".local/bench.json"), help="written there as well")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
