"""The disk of the emulated machines: what an image with everything baked in holds, and AWS's command line.

All machines of one host share it; `CLASSIFIER_ROOT` tells `deploy/machine/boot.sh` where it is.
"""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path

from local.emulators import ROOT

# The release that `make run` and the tests boot: the working tree as it is.
WORKING_TREE = "working-tree"
DIGEST_CHARS = 12
AWS = """\
#!/bin/sh
exec {command} "$@"
"""


def prepare(root: Path) -> None:
    """Put the packages of this process, the working tree as a release, and the command `aws` on the machines' disk."""
    pinned = hashlib.sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()[:DIGEST_CHARS]
    venv = root / "opt" / "classifier" / "venvs" / pinned
    _link(venv, Path(sys.prefix))
    venv.with_name(f"{pinned}.complete").touch()
    install_release(root, WORKING_TREE)
    command = binaries(root) / "aws"
    command.parent.mkdir(parents=True, exist_ok=True)
    words = (sys.executable, str(ROOT / "local" / "aws_command.py"))
    command.write_text(AWS.format(command=shlex.join(words)))
    command.chmod(0o755)


def install_release(root: Path, version: str, code: Path = ROOT) -> None:
    """Have the machines hold a release, as an image does that was made for it."""
    _link(root / "opt" / "classifier" / "releases" / version, code)


def binaries(root: Path) -> Path:
    """Return the folder of the machines' own commands."""
    return root / "usr" / "bin"


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        if link.readlink() == target:
            return
        link.unlink()
    link.symlink_to(target)
