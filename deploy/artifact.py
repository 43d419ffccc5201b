"""Packs the code into one versioned archive: the same commit gives the same bytes, wherever it is packed.

The archive's root is the repository's, as `deploy/templates/nodes.yaml` unpacks it. Tests and documents stay at home.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import DeployError, one_line

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = ("docs/", "tests/")
COMMIT_CHARS = 12
EXECUTABLE = 0o755
PLAIN = 0o644
OWNER_MAY_EXECUTE = 0o100


@dataclass(frozen=True)
class Artifact:
    """The code of one version.

    Attributes:
        version: the commit; for a changed working tree also a digest of what it holds.
        data: a gzipped tar archive.
    """

    version: str
    data: bytes

    @property
    def key(self) -> str:
        """Where it is in the artefact bucket."""
        return artifact_key(self.version)


def artifact_key(version: str) -> str:
    """Return where a version's archive is in the artefact bucket.

    >>> artifact_key("0a1b2c")
    'artifacts/classifier-0a1b2c.tar.gz'
    """
    return f"artifacts/classifier-{version}.tar.gz"


def build(root: Path = ROOT, *, allow_dirty: bool = False) -> Artifact:
    """Pack the working tree's files, git-ignored ones left out.

    Raises:
        DeployError: the tree has changes that no commit holds, and `allow_dirty` is not given; or it is no git
            repository.
    """
    commit = _git(root, "rev-parse", f"--short={COMMIT_CHARS}", "HEAD").strip()
    changed = _git(root, "status", "--porcelain").splitlines()
    if changed and not allow_dirty:
        raise DeployError(
            f"{len(changed)} files are not as commit {commit} has them, e.g. {changed[0][3:]}: commit them, "
            "or pack them as they are with --allow-dirty"
        )
    plain = _tar(root)
    version = f"{commit}-dirty-{hashlib.sha256(plain).hexdigest()[:8]}" if changed else commit
    return Artifact(version, gzip.compress(plain, mtime=0))


def _tar(root: Path) -> bytes:
    names = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(set(names)):
            if name and not name.startswith(LEFT_OUT) and (root / name).is_file():
                _add(archive, name, root / name)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, path: Path) -> None:
    # Nothing of the machine that packs goes in: no times, no owner.
    entry = tarfile.TarInfo(name)
    data = path.read_bytes()
    entry.size = len(data)
    entry.mode = EXECUTABLE if path.stat().st_mode & OWNER_MAY_EXECUTE else PLAIN
    archive.addfile(entry, io.BytesIO(data))


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)  # noqa: S603, S607 - whichever git the operator has, with our own words
    except FileNotFoundError:
        raise DeployError("git is missing: the code's version comes from it") from None
    except subprocess.CalledProcessError as error:
        raise DeployError(f"git {arguments[0]} failed in {root}: {one_line(error.stderr)}") from None
    return done.stdout
