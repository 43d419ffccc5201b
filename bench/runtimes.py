"""Images a second of each runtime and precision, the model alone: ``python -m bench.runtimes``.

One process with one thread, and two at the same time, which is how workers run on two cores. Each repetition runs every
runtime in turn, so that what else the machine does hits all alike; figures are medians. Weights are seeded (the bundled
model's are its own), pixels are random: neither changes the speed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Sequence, Sized
from multiprocessing.connection import Connection

PROCESSES = 2
BATCHES = (1, 4, 8, 16)
MODELS = ("resnet18", "mobilenet_v3_large", "everyday10")
# Runtime and precision. "eager" is the network as Python runs it, without its frozen graph.
KINDS = (
    ("eager", "fp32"),
    ("torch", "fp32"),
    ("onnxruntime", "fp32"),
    ("openvino", "fp32"),
    ("torch", "fp16"),
    ("torch", "bf16"),
    ("openvino", "fp16"),
    ("openvino", "bf16"),
)
DEADLINE_S = 120.0

# What a process is asked: a kind's index and a batch size; None to end. It answers with images a second.
Question = tuple[int, int] | None


def main() -> int:
    """Measure and print a table for each model."""
    parser = argparse.ArgumentParser(prog="python -m bench.runtimes", description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one runtime at one batch size, each time")
    chosen = parser.parse_args()
    for model in chosen.models:
        _print(model, measure(model, chosen.repeats, chosen.seconds))
    return 0


def measure(model: str, repeats: int, seconds: float) -> dict[tuple[int, int, int], float]:
    """Return the median images a second by processes, kind's index and batch size."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(PROCESSES):
        here, there = context.Pipe()
        processes.append(context.Process(target=_serve, args=(model, seconds, there)))
        pipes.append(here)
    for process in processes:
        process.start()
    try:
        for pipe in pipes:
            _receive(pipe)  # ready
        cells = [(number, kind, batch) for number in (1, PROCESSES) for batch in BATCHES for kind in range(len(KINDS))]
        rounds = [{cell: _ask(pipes[: cell[0]], cell[1], cell[2]) for cell in cells} for _ in range(repeats)]
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join()
    return {cell: statistics.median(one[cell] for one in rounds) for cell in cells}


def _ask(pipes: Sequence[Connection], kind: int, batch: int) -> float:
    for pipe in pipes:
        pipe.send((kind, batch))
    return sum(_receive(pipe) for pipe in pipes)


def _receive(pipe: Connection) -> float:
    if not pipe.poll(DEADLINE_S):
        raise TimeoutError(f"no answer within {DEADLINE_S:g} s")
    answer: float = pipe.recv()
    return answer


def _serve(model: str, seconds: float, pipe: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    side_px, runs = _runs(model)
    images = torch.randint(0, 256, (max(BATCHES), side_px, side_px, 3), dtype=torch.uint8)
    for run in runs:
        for batch in BATCHES:
            run(images[:batch])
    pipe.send(0.0)
    question: Question
    while question := pipe.recv():
        kind, batch = question
        pipe.send(_images_per_s(runs[kind], images[:batch], seconds))


def _images_per_s(run: Callable[..., object], images: Sized, seconds: float) -> float:
    run(images)  # its weights are back in the cache
    times_s: list[float] = []
    begin_s = time.perf_counter()
    while time.perf_counter() - begin_s < seconds:
        before_s = time.perf_counter()
        run(images)
        times_s.append(time.perf_counter() - before_s)
    return len(images) / statistics.median(times_s)


def _runs(model: str) -> tuple[int, list[Callable[..., object]]]:
    import torch

    from tasks.inference.checkpoint import fit, read_checkpoint
    from tasks.inference.folding import fold_batch_norms
    from tasks.inference.network import MEAN, SIDE_PX, STD, EverydayNet
    from tasks.inference.registry import BUNDLED, BUNDLED_WEIGHTS
    from tasks.inference.runtime import Execution, start
    from tasks.inference.runtime_net import Normalisation, PixelNet
    from tasks.inference.torchvision_ops import import_torchvision

    def network() -> torch.nn.Module:
        if model == BUNDLED:
            checkpoint = read_checkpoint(BUNDLED_WEIGHTS)
            net = EverydayNet(len(checkpoint.labels))
            fit(net, checkpoint.state, BUNDLED_WEIGHTS)
            return net
        torch.manual_seed(0)
        return fold_batch_norms(models.get_model(model, weights=None))

    import_torchvision()
    from torchvision import models

    preset = None if model == BUNDLED else models.get_model_weights(model).DEFAULT.transforms()
    side_px = preset.crop_size[0] if preset else SIDE_PX
    normalisation = Normalisation(tuple(preset.mean), tuple(preset.std)) if preset else Normalisation(MEAN, STD)
    eager = torch.inference_mode()(PixelNet(network(), normalisation, torch.float32))
    runs: list[Callable[..., object]] = [eager]
    for runtime, precision in KINDS[1:]:
        execution = Execution(runtime, "cpu", precision)  # type: ignore[arg-type]  # strings of the table above
        runs.append(start(network(), normalisation, side_px, execution).scores)
    return side_px, runs


def _print(model: str, speeds: dict[tuple[int, int, int], float]) -> None:
    print(f"\n{model}: images a second")
    columns = [f"{number}p b{batch}" for number in (1, PROCESSES) for batch in BATCHES]
    print("| runtime | numbers | " + " | ".join(columns) + " |")
    print("|---|---|" + "---:|" * len(columns))
    for index, (runtime, precision) in enumerate(KINDS):
        cells = [f"{speeds[number, index, batch]:.0f}" for number in (1, PROCESSES) for batch in BATCHES]
        print(f"| {runtime} | {precision} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
