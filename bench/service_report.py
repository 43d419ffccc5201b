"""What `bench.service` measured, and how it is printed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.bare_loop import Shape, Speed
from bench.workload import Summary

# Ours: what the project adds to the model and the decoder.
OURS = ("web", "worker")
WORTH_A_LINE_MS = 0.05


@dataclass(frozen=True)
class Measured:
    """What the service did in one run, and CPU milliseconds a photo by what processes are, and by what threads are."""

    summary: Summary
    cpu_ms: dict[str, float]
    threads_ms: dict[str, float]


@dataclass(frozen=True)
class Round:
    """One repetition: the speed of the bare loop and of the service.

    Attributes:
        bare: the bare loop's.
        alone: the service's, one photo a request.
        together: the service's, several photos a request, as its page and its command-line client send them.
    """

    bare: Speed
    alone: Measured
    together: Measured

    @property
    def ratio(self) -> float:
        """The service's photos a second for each of the bare loop's."""
        return self.alone.summary.photos_per_s / self.bare.photos_per_s

    @property
    def together_ratio(self) -> float:
        """The same with several photos a request."""
        return self.together.summary.photos_per_s / self.bare.photos_per_s

    @property
    def own_cpu_ms(self) -> float:
        """What web app and workers take of a photo beyond what the workers' model and decoder took of it."""
        return self._ours_ms - self.alone.summary.model_cpu_ms

    @property
    def beyond_bare_cpu_ms(self) -> float:
        """What they take beyond the bare loop, whose model is not interrupted: slower caches are in it, too."""
        return self._ours_ms - self.bare.cpu_ms

    @property
    def _ours_ms(self) -> float:
        return sum(self.alone.cpu_ms.get(kind, 0.0) for kind in OURS)

    @property
    def told(self) -> dict[str, Any]:
        """All of it, and what follows from it."""
        return asdict(self) | {
            "ratio": self.ratio,
            "together_ratio": self.together_ratio,
            "own_cpu_ms": self.own_cpu_ms,
            "beyond_bare_cpu_ms": self.beyond_bare_cpu_ms,
        }


def print_rounds(shape: Shape, together: int, rounds: Sequence[Round], peaks: Mapping[str, int]) -> None:
    """Print the bare loop and the service beside each other, and what the service's photos cost."""
    print(f"bare loop: {shape.processes} processes, batches of {shape.batch_size}, {shape.torch_threads} torch threads")
    for name, values in (
        ("bare loop, photos/s", [one.bare.photos_per_s for one in rounds]),
        ("service, photos/s", [one.alone.summary.photos_per_s for one in rounds]),
        ("ratio", [one.ratio for one in rounds]),
        (f"{together} a request, photos/s", [one.together.summary.photos_per_s for one in rounds]),
        (f"{together} a request, ratio", [one.together_ratio for one in rounds]),
        (f"{rounds[0].alone.summary.photos} photos, s", [one.alone.summary.seconds for one in rounds]),
        ("bare loop, CPU ms a photo", [one.bare.cpu_ms for one in rounds]),
        ("decoder and model of workers", [one.alone.summary.model_cpu_ms for one in rounds]),
        ("web + worker - those two, ms", [one.own_cpu_ms for one in rounds]),
        ("web + worker - bare loop, ms", [one.beyond_bare_cpu_ms for one in rounds]),
    ):
        print(f"{name:28} median {statistics.median(values):8.2f}   {min(values):.2f} to {max(values):.2f}")
    print(f"CPU ms a photo, one a request and {together} a request; peak memory")
    several = _medians([one.together.cpu_ms for one in rounds])
    for kind, alone_ms in _medians([one.alone.cpu_ms for one in rounds]).items():
        print(f"  {kind:30} {alone_ms:6.1f} {several.get(kind, 0.0):6.1f} {peaks.get(kind, 0) / 2**20:6.0f} MiB")
    several = _medians([one.together.threads_ms for one in rounds])
    for name, alone_ms in _medians([one.alone.threads_ms for one in rounds]).items():
        if max(alone_ms, several.get(name, 0.0)) >= WORTH_A_LINE_MS:
            print(f"  {name:30} {alone_ms:6.2f} {several.get(name, 0.0):6.2f}")


def _medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one.get(name, 0.0) for one in rounds) for name in sorted(rounds[0])}


def print_rest(
    latencies: Mapping[int, Summary], memory: Sequence[Mapping[str, int]], requests: Mapping[str, float]
) -> None:
    """Print latencies, memory and requests."""
    for number, summary in latencies.items():
        print(f"latency at {number:2}: p50 {1000 * summary.p50_s:5.0f} ms, p95 {1000 * summary.p95_s:5.0f} ms")
    for kind in OURS:
        print(f"memory over time, {kind:7}", *(f"{part.get(kind, 0) / 2**20:6.0f}" for part in memory), "MiB")
    for kind, share in requests.items():
        print(f"requests a photo, {kind:30} {share:6.3f}")
