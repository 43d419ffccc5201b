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
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from bench.bare_loop import Model, Shape, photos_per_s
from bench.elastic import wait_for_nodes
from bench.processes import cpu_s, peak_rss
from bench.workload import Summary, find_photos, load, summarise
from local.photographs import photographs
from local.stack import Stack, running_stack

SEED = 0
MODEL = "resnet18"
JPEG_QUALITY = 90
WARM_UP_PHOTOS = 48
SHAPE_PHOTOS = 96
LONE_PHOTOS = 40
DEADLINE_S = 300.0
CONCURRENCIES = (1, 16, 64)


@dataclass(frozen=True)
class Round:
    """One repetition: photos a second of both, and what the service's photos cost.

    Attributes:
        bare_per_s: photos a second of the bare loop.
        service: of the service.
        cpu_ms: CPU milliseconds a photo, by what processes are.
    """

    bare_per_s: float
    service: Summary
    cpu_ms: dict[str, float]

    @property
    def ratio(self) -> float:
        """The service's photos a second for each of the bare loop's."""
        return self.service.photos_per_s / self.bare_per_s


def main() -> int:
    """Measure and print."""
    chosen = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        model = seeded_model(Path(folder))
        photos = find_photos(chosen.image_folder) if chosen.image_folder else shipped_photos(Path(folder))
        in_memory = [photo.read_bytes() for photo in photos]
        shape = best_shape(in_memory, model)

        def bare_loop(number: int) -> float:
            return photos_per_s(in_memory, number, model, shape)

        with running_service(Path(folder) / "log", model, chosen.workers) as stack, peak_rss() as peaks:
            url = stack.services.web_url
            load(url, photos, number=WARM_UP_PHOTOS, concurrency=16, deadline_s=DEADLINE_S, done=_nothing)
            rounds = [one_round(url, photos, bare_loop, chosen) for _ in range(chosen.repeats)]
            latencies = {number: latency(url, photos, number, chosen.photos) for number in CONCURRENCIES}
    _print(shape, rounds, latencies, peaks)
    report = {
        "photos": chosen.photos,
        "shape": asdict(shape),
        "rounds": [asdict(one) | {"ratio": one.ratio} for one in rounds],
        "latencies": {number: asdict(summary) for number, summary in latencies.items()},
        "peak_rss_bytes": dict(peaks),
    }
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(report, indent=1))
    print(f"written: {chosen.json}")
    return 1 if any(one.service.failed for one in rounds) else 0


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
    return max(tqdm(shapes, "shapes"), key=lambda shape: photos_per_s(photos, SHAPE_PHOTOS, model, shape))


@contextmanager
def running_service(log_dir: Path, model: Model, workers: int) -> Iterator[Stack]:
    """Run web app, scaler, host and one node with some workers."""
    environ = {
        "MODEL": model.name,
        "MODEL_WEIGHTS": str(model.weights),
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


def one_round(url: str, photos: Sequence[Path], bare_loop: Callable[[int], float], chosen: argparse.Namespace) -> Round:
    """Measure both, one after the other."""
    bare = bare_loop(chosen.photos)
    before = cpu_s()
    with tqdm(total=chosen.photos, unit="photo", disable=None) as bar:
        outcomes = load(
            url, photos, number=chosen.photos, concurrency=chosen.concurrency, deadline_s=DEADLINE_S, done=bar.update
        )
    after = cpu_s()
    cpu_ms = {kind: 1000 * (spent - before.get(kind, 0.0)) / chosen.photos for kind, spent in after.items()}
    return Round(bare, summarise(outcomes), cpu_ms)


def latency(url: str, photos: Sequence[Path], concurrency: int, number: int) -> Summary:
    """Measure latencies at a concurrency; alone, fewer photos tell as much."""
    number = LONE_PHOTOS if concurrency == 1 else number
    return summarise(load(url, photos, number=number, concurrency=concurrency, deadline_s=DEADLINE_S, done=_nothing))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.service", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=400, help="a round (default: 400)")
    parser.add_argument("--concurrency", type=int, default=32, help="photos at a time (default: 32)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: 3)")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the node (default: one a core)")
    parser.add_argument("--image-folder", type=Path, help="photos; without: those shipped with the dependencies")
    parser.add_argument("--json", type=Path, default=Path(".local/bench.json"), help="written there as well")
    return parser.parse_args()


def _nothing() -> None:
    """What the warm-up shows of its progress."""


def _print(shape: Shape, rounds: Sequence[Round], latencies: Mapping[int, Summary], peaks: Mapping[str, int]) -> None:
    print(f"bare loop: {shape.processes} processes, batches of {shape.batch_size}, {shape.torch_threads} torch threads")
    for name, values in (
        ("bare loop, photos/s", [one.bare_per_s for one in rounds]),
        ("service, photos/s", [one.service.photos_per_s for one in rounds]),
        ("ratio", [one.ratio for one in rounds]),
        ("seconds of a round", [one.service.seconds for one in rounds]),
    ):
        print(f"{name:22} median {statistics.median(values):8.2f}   {min(values):.2f} to {max(values):.2f}")
    for kind in sorted(rounds[0].cpu_ms):
        spent = statistics.median(one.cpu_ms.get(kind, 0.0) for one in rounds)
        print(f"CPU ms a photo, {kind:22} {spent:6.1f}   peak memory {peaks.get(kind, 0) / 2**20:6.0f} MiB")
    for number, summary in latencies.items():
        print(f"latency at {number:2}: p50 {1000 * summary.p50_s:5.0f} ms, p95 {1000 * summary.p95_s:5.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
