"""A folder of thousands of small photos by the command line, on a stack of its own: how long, how much memory, any lost.

python -m bench.cli_folder --files 5000
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from local.stack import running_stack

SIDE_PX = 64
MIB = 1024 * 1024


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.cli_folder", description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5000, help="photos (default: %(default)s)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder / "photos", chosen.files)
        with running_stack(folder / "log") as stack:
            stack.start_web()
            stack.start_worker()
            begin_s = time.monotonic()
            command = [sys.executable, "-m", "webapp.cli", "classify", str(folder / "photos")]
            ended = subprocess.run(
                [*command, "--url", stack.services.web_url, "--json"], check=False, stdout=subprocess.PIPE
            )
            took_s = time.monotonic() - begin_s
            peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the one child that ended
    results = json.loads(ended.stdout)["photos"]
    states = collections.Counter(result["state"] for result in results)
    print(f"{chosen.files} photos in {took_s:.1f} s ({chosen.files / took_s:.0f} a second): {dict(states)}")
    print(f"exit status {ended.returncode}; the command line's peak memory {peak_bytes / MIB:.0f} MiB")
    return 0 if states == {"SUCCESS": chosen.files} else 1


def make_photos(folder: Path, number: int) -> None:
    """Write small JPEGs, each of another colour."""
    folder.mkdir()
    for index in range(number):
        file = io.BytesIO()
        Image.new("RGB", (SIDE_PX, SIDE_PX), (index % 256, index // 256 % 256, 128)).save(file, "JPEG")
        (folder / f"{index:05}.jpg").write_bytes(file.getvalue())


if __name__ == "__main__":
    sys.exit(main())
