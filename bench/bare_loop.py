"""The bound: the same decoder, preprocessing and model as a worker's, in a bare loop over photos in memory.

No queue, no store, no HTTP; each process takes its share of the photos in batches.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

MAX_PIXELS = 100_000_000
BARRIER_DEADLINE_S = 120.0


@dataclass(frozen=True)
class Model:
    """A model by name, and its weights' file."""

    name: str
    weights: Path


@dataclass(frozen=True)
class Shape:
    """How the bare loop is run: processes, photos in a batch, threads of one model run."""

    processes: int
    batch_size: int
    torch_threads: int


@dataclass(frozen=True)
class Speed:
    """How fast the bare loop was, and the CPU time that it took, loading left out of both."""

    photos_per_s: float
    cpu_ms: float  # a photo


def bare_loop(photos: Sequence[bytes], number: int, model: Model, shape: Shape) -> Speed:
    """Classify `number` photos, the given ones in turn."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(shape.processes)
    shares = [
        [photos[index % len(photos)] for index in range(first, number, shape.processes)]
        for first in range(shape.processes)
    ]
    with context.Manager() as manager:
        spans = manager.list()
        processes = [context.Process(target=_classify, args=(share, model, shape, barrier, spans)) for share in shares]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            if process.exitcode:
                raise RuntimeError(f"a process of the bare loop ended with {process.exitcode}")
        begins, ends, cpus_s = zip(*spans, strict=True)
    elapsed_s: float = max(ends) - min(begins)
    return Speed(number / elapsed_s, 1000 * sum(cpus_s) / number)


def _classify(
    share: Sequence[bytes], model: Model, shape: Shape, barrier: Barrier, spans: list[tuple[float, float, float]]
) -> None:
    import torch

    from tasks.inference.decode import decode
    from tasks.inference.registry import load_classifier

    torch.set_num_threads(shape.torch_threads)
    classifier = load_classifier(model.name, weights=str(model.weights), device="cpu", download=Path)
    classifier.warm_up(shape.batch_size)
    side_px = classifier.input_side_px
    barrier.wait(BARRIER_DEADLINE_S)
    begin_s, begin_cpu_s = time.monotonic(), time.process_time()
    for first in range(0, len(share), shape.batch_size):
        batch = [
            classifier.preprocess(decode(photo, max_pixels=MAX_PIXELS, min_side_px=side_px))
            for photo in share[first : first + shape.batch_size]
        ]
        classifier.predict(batch)
    spans.append((begin_s, time.monotonic(), time.process_time() - begin_cpu_s))
