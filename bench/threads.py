"""CPU time of processes by what their threads do, which their names tell: a profile without touching the process.

Linux only: https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from bench.processes import processes

PY_SPY = Path(sys.executable).with_name("py-spy")
# Thread 1234 (idle): "ThreadPoolExecutor-0_1"
NAMED = re.compile(r'Thread (\d+) \(.*?\): "([^"]+)"')
# Threads of one kind are numbered.
NUMBERS = re.compile(r"[-_ ]?\d+")

Thread = tuple[str, int, int]  # what its process is, the process, the thread


def thread_cpu_s(kinds: tuple[str, ...]) -> dict[Thread, float]:
    """Return the CPU seconds so far of each thread of some kinds of processes."""
    spent: dict[Thread, float] = {}
    for kind, process in processes():
        if kind in kinds:
            for folder in Path(f"/proc/{process.pid}/task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                    ran_ns = int((folder / "schedstat").read_text().split()[0])
                    spent[kind, process.pid, int(folder.name)] = ran_ns / 1e9
    return spent


def by_name(before: Mapping[Thread, float], after: Mapping[Thread, float]) -> dict[str, float]:
    """Return the CPU seconds between two looks, by what processes are and the names of their threads.

    Raises:
        CalledProcessError: py-spy may not look into a process; root may always.
    """
    names = {pid: _names(pid) for _kind, pid, _thread in after}
    spent: defaultdict[str, float] = defaultdict(float)
    for (kind, pid, thread), now_s in after.items():
        name = NUMBERS.sub("", names[pid].get(thread) or _native(pid, thread))
        spent[f"{kind}: {name}"] += now_s - before.get((kind, pid, thread), 0.0)
    return dict(spent)


def _native(pid: int, thread: int) -> str:
    """Return what a library calls a thread that Python does not know."""
    try:
        return Path(f"/proc/{pid}/task/{thread}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return "ended"


def _names(pid: int) -> dict[int, str]:
    command = [str(PY_SPY), "dump", "--nonblocking", "--pid", str(pid)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {int(thread): name for thread, name in NAMED.findall(told)}
