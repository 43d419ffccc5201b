"""What a node's way from its launch to its first task consists of, on this machine: ``python -m bench.boot``.

A real node boots on the one-machine stack, by the script that boots nodes on AWS, with a photo waiting in the queue; its
log tells the times. Beside it the parts of a worker's start are timed in processes of their own. `--install` also times
what a machine whose image has nothing baked in does first. What AWS itself takes to start a machine is not in here.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import psutil
import urllib3
from tqdm import tqdm

from deploy.artifact import build
from local.emulators import ROOT
from local.photographs import photographs
from local.processes import wait_until
from local.stack import Stack, running_stack
from scaler.instances import TAG_DEPLOYMENT

DEADLINE_S = 120.0
MIB = 2**20
PHOTO = "chelsea.png"
# A step of a node's start: what its log says at its end, and how the time before that is written.
TIME = r"(?P<at>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,]\d{3})"
STEPS = {
    "UserData, boot.sh": rf"{TIME}Z boot: becoming the agent",
    "the agent starts its first worker": rf"{TIME} agent: starting ",
    "the worker is ready": rf"\[{TIME}: .* ready\.$",
    "its first task is done": rf"\[{TIME}: .* succeeded in ",
}
LAUNCHED = rf"{TIME} host: i-\w+ boots"
# Each in an interpreter of its own, seconds of each statement after those before it.
PARTS = """
import json, time
parts = {}
def part(name, code):
    begun = time.perf_counter()
    exec(code, globals())
    parts[name] = time.perf_counter() - begun
part("import Celery, kombu, boto3", "import celery.bin.worker, celery.apps.worker, tasks.app, tasks.sqs.transport")
part("import torch", "import torch")
part("import the rest", "from tasks.inference.registry import load_classifier; from tasks.weights import download; from celeryconfig import settings")
part("load the model", "classifier = load_classifier(settings.model, weights=settings.model_weights, device=settings.device, download=download)")
part("warm it up", "torch.set_num_threads(settings.torch_threads); classifier.warm_up(settings.batch_size)")
print(json.dumps(parts))
"""


def main() -> int:
    """Measure and print the tables."""
    chosen = _arguments()
    environ = {"MODEL": chosen.model, "WORKER_PROCESSES": "1", "POLL_WAIT_S": "1"}
    boots, mapped, parts = [], 0, []
    for _round in tqdm(range(chosen.repeats), disable=None):
        with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder), environ) as stack:
            boot, mapped = boot_node(stack)
            boots.append(boot)
            parts.append(time_parts(stack.environ))
    _print_table("from the launch, on a machine with everything baked in", boots, total="launch to first task")
    _print_table("of a worker's start, each part in turn", parts)
    print(
        f"\na ready worker has {mapped / MIB:.0f} MiB of files in memory: what a new machine must read from its image"
    )
    _print_delivery(install=chosen.install)
    return 0


def boot_node(stack: Stack) -> tuple[dict[str, float], int]:
    """Launch a node with a photo waiting; return the seconds of each step, and the bytes of files that it has mapped.

    Raises:
        RuntimeError: the upload is refused, or a log does not tell of a step.
        TimeoutError: the node does not get as far as its first task.
    """
    stack.start_web()
    fields = {"img": (PHOTO, photographs()[PHOTO], "image/png")}
    answered = urllib3.request("POST", f"{stack.services.web_url}/classify", fields=fields)
    if answered.status != HTTPStatus.ACCEPTED:
        raise RuntimeError(f"the upload was answered {answered.status}: {answered.data[:300]!r}")
    host = stack.start_host()
    answer = stack.ec2.run_instances(
        LaunchTemplate={"LaunchTemplateName": "classifier-node"},
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": TAG_DEPLOYMENT, "Value": stack.settings.deployment}],
            }
        ],
    )
    instance_id = answer["Instances"][0]["InstanceId"]
    log = stack.log_dir / "log" / f"{instance_id}.log"
    done = STEPS["its first task is done"]
    wait_until(lambda: log.exists() and _at(log, done) is not None, DEADLINE_S, f"the first task; {log}")
    last_s = _at(host.log, LAUNCHED)
    if last_s is None:
        raise RuntimeError(f"the host does not say when it booted {instance_id}: {host.log}")
    steps = {}
    for name, pattern in STEPS.items():
        at_s = _at(log, pattern)
        if at_s is None:
            raise RuntimeError(f"{log} does not tell of: {name}")
        steps[name], last_s = at_s - last_s, at_s
    return steps, _mapped_bytes(instance_id)


def _at(log: Path, pattern: str) -> float | None:
    found = re.search(pattern, log.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        return None
    at = datetime.fromisoformat(found["at"].replace(",", "."))
    # The boot script's times are UTC and say so; the rest is in the machine's own time.
    return (at.replace(tzinfo=UTC) if "Z boot:" in found[0] else at.astimezone()).timestamp()


def _mapped_bytes(instance_id: str) -> int:
    for process in psutil.process_iter():
        try:
            is_worker = process.environ().get("INSTANCE_ID") == instance_id and "celery" in process.cmdline()
        except psutil.Error:
            continue  # it ended by itself, or belongs to somebody else
        if is_worker:
            return sum(area.rss for area in process.memory_maps() if area.path.startswith("/"))
    raise RuntimeError(f"{instance_id} has no worker")


def time_parts(environ: Mapping[str, str]) -> dict[str, float]:
    """Return the seconds of each part of a worker's start, in an interpreter of its own.

    Raises:
        subprocess.CalledProcessError: a part failed.
    """
    begun_s = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", PARTS], env=dict(environ), check=True, capture_output=True, text=True)
    whole_s = time.perf_counter() - begun_s
    parts: dict[str, float] = json.loads(done.stdout)
    return {"start and end the interpreter": whole_s - sum(parts.values()), **parts}


def _print_table(title: str, rounds: list[dict[str, float]], total: str = "") -> None:
    print(f"\nseconds {title}: median of {len(rounds)}, least to most")
    columns = {name: [times[name] for times in rounds] for name in rounds[0]}
    if total:
        columns[total] = [sum(times.values()) for times in rounds]
    for name, values in columns.items():
        print(f"  {name:36} {statistics.median(values):6.2f}   {min(values):.2f} to {max(values):.2f}")


def _print_delivery(*, install: bool) -> None:
    print("\nthe code")
    artifact = build(allow_dirty=True)
    print(f"  artefact, compressed                 {len(artifact.data) / MIB:6.1f} MiB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "code.tar.gz").write_bytes(artifact.data)
        begun_s = time.perf_counter()
        shutil.unpack_archive(folder / "code.tar.gz", folder / "code", filter="data")
        print(f"  seconds to unpack it                 {time.perf_counter() - begun_s:6.2f}")
        print("\nwhat requirements.txt pins")
        print(f"  installed here, with tools for tests {sum(_sizes(Path(sys.prefix))) / MIB:6.0f} MiB")
        if install:
            _print_install(folder / "venv")


def _print_install(venv: Path) -> None:
    begun_s = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = (str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir", "--only-binary", ":all:")
    subprocess.run([*pip, "--requirement", str(ROOT / "requirements.txt")], check=True)
    print(f"  seconds to install it anew           {time.perf_counter() - begun_s:6.1f}")
    print(f"  installed                            {sum(_sizes(venv)) / MIB:6.0f} MiB")


def _sizes(folder: Path) -> Iterator[int]:
    return (path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.boot", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="boots (default: %(default)s)")
    parser.add_argument("--model", default="everyday10", help="whose weights are there (default: %(default)s)")
    parser.add_argument("--install", action="store_true", help="install requirements.txt into an environment, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
