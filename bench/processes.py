"""CPU time and memory of a stack's processes, by what they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

SAMPLE_EVERY_S = 0.5
# By the program that runs, or the module or script if that is Python.
KINDS = {
    "gunicorn": "web",
    "celery": "worker",
    "tasks.node": "agent",
    "uvicorn": "emulated S3, SQS, SNS",
    "moto_server": "emulated EC2",
    "scaler": "scaler",
    "local": "host",
}
OTHER = "other"
LOAD = "load generator"


def kind_of(argv: Sequence[str]) -> str:
    """Return what a process is by its command line, which those that it forks share."""
    return KINDS.get(_program(argv), OTHER)


def _program(argv: Sequence[str]) -> str:
    match argv:
        case [python, "-m", module, *_] if _is_python(python):
            return module
        case [python, script, *_] if _is_python(python):
            return Path(script).name
        case [program, *_]:
            return Path(program).name
        case _:
            return ""  # it is just ending


def _is_python(program: str) -> bool:
    return Path(program).name.startswith("python")


def processes() -> Iterator[tuple[str, psutil.Process]]:
    """Yield this process and all that it has started, with what each is."""
    here = psutil.Process()
    yield LOAD, here
    for process in here.children(recursive=True):
        try:
            yield kind_of(process.cmdline()), process
        except psutil.Error:
            continue  # it ended meanwhile


def cpu_s() -> dict[str, float]:
    """Return the CPU seconds so far, by what processes are."""
    spent: dict[str, float] = {}
    for kind, process in processes():
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        spent[kind] = spent.get(kind, 0.0) + times.user + times.system
    return spent


def rss() -> dict[str, int]:
    """Return resident memory in bytes, by what processes are."""
    now: dict[str, int] = {}
    for kind, process in processes():
        try:
            now[kind] = now.get(kind, 0) + process.memory_info().rss
        except psutil.Error:
            continue
    return now


@contextmanager
def peak_rss() -> Iterator[Mapping[str, int]]:
    """Watch resident memory while the block runs; the mapping has the peaks in bytes, by what processes are."""
    peaks: dict[str, int] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_EVERY_S):
            for kind, size in rss().items():
                peaks[kind] = max(size, peaks.get(kind, 0))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()
