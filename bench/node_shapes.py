"""Finds how a node is best run on this machine: workers, threads of each, and threads of one model run.

    python -m bench.node_shapes --image-folder photos

The service as `make bench` runs it, without the scaler; the shapes take turns, and each one's median is printed.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bench.processes import rss
from bench.service import seeded_model, shipped_photos
from bench.user import User
from bench.workload import find_photos, load, summarise
from local.stack import running_stack

DEADLINE_S = 300.0
WARM_UP_PHOTOS = 64


@dataclass(frozen=True)
class NodeShape:
    """How a node is run."""

    workers: int
    threads: int
    batch_size: int
    torch_threads: int

    @property
    def environ(self) -> dict[str, str]:
        """The settings of its workers."""
        return {
            "WORKER_THREADS": str(self.threads),
            "BATCH_SIZE": str(self.batch_size),
            "TORCH_THREADS": str(self.torch_threads),
        }


SHAPES = (
    NodeShape(1, 8, 8, 2),
    NodeShape(1, 16, 8, 1),
    NodeShape(2, 4, 4, 1),
    NodeShape(2, 8, 8, 1),
    NodeShape(2, 16, 8, 1),
    NodeShape(2, 16, 16, 1),
)


def main() -> int:
    """Measure and print a table."""
    chosen = _arguments()
    speeds: dict[NodeShape, list[float]] = {shape: [] for shape in SHAPES}
    memory: dict[NodeShape, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = seeded_model(folder)
        photos = find_photos(chosen.image_folder) if chosen.image_folder else shipped_photos(folder)
        environ = {"MODEL": model.name, "MODEL_WEIGHTS": str(model.weights)}
        for _round, shape in tqdm(list(itertools.product(range(chosen.repeats), SHAPES)), disable=None):
            speed, memory[shape] = measure(shape, environ, photos, chosen.photos, folder / "log")
            speeds[shape].append(speed)
    print("workers  threads  batch  torch threads  photos/s       worker memory")
    for shape in SHAPES:
        values, mib = speeds[shape], memory[shape] / 2**20 / shape.workers
        print(
            f"{shape.workers:7}  {shape.threads:7}  {shape.batch_size:5}  {shape.torch_threads:13}  "
            f"{statistics.median(values):5.1f} ({min(values):.1f} to {max(values):.1f})  {mib:4.0f} MiB each"
        )
    return 0


def measure(
    shape: NodeShape, environ: dict[str, str], photos: Sequence[Path], number: int, log_dir: Path
) -> tuple[float, int]:
    """Return the photos a second, and the workers' resident memory in bytes."""
    with running_stack(log_dir, environ | shape.environ) as stack:
        stack.start_web()
        for worker in range(shape.workers):
            stack.start_worker(f"w{worker}")
        user = User(stack.services.web_url, DEADLINE_S)
        load(user, photos, number=WARM_UP_PHOTOS, concurrency=32, done=lambda _photos: None)
        outcomes = load(user, photos, number=number, concurrency=32, done=lambda _photos: None)
        return summarise(outcomes).photos_per_s, rss()["worker"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.node_shapes", description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=256, help="a measurement (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--image-folder", type=Path, help="photos; without: those shipped with the dependencies")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
