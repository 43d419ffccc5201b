"""The code that is deployed is what a commit holds, and nothing of the machine that packs it."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from deploy.artifact import build
from deploy.errors import DeployError

WHO = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
FILES = {
    "tasks/app.py": "app\n",
    "deploy/boot.sh": "#!/bin/sh\n",
    "tests/test_it.py": "",
    "docs/it.md": "",
    "big.log": "",
}


def git(root: Path, *words: str) -> str:
    """Run git, whatever the machine's own settings are."""
    environ = os.environ | WHO | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", "-C", str(root), *words], env=environ, capture_output=True, text=True, check=True)  # noqa: S607 - the machine's git
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit."""
    root = tmp_path / "repository"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "deploy" / "boot.sh").chmod(0o755)
    (root / ".gitignore").write_text("*.log\n")
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    """Return an archive's entries by name."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {entry.name: entry for entry in archive}


def test_a_commit_is_packed_under_its_own_name(repository: Path) -> None:
    """The version is the commit; tests, documents and what git ignores stay at home; scripts stay executable."""
    artifact = build(repository)
    packed = members(artifact.data)
    assert artifact.version == git(repository, "rev-parse", "--short=12", "HEAD")
    assert artifact.key == f"artifacts/classifier-{artifact.version}.tar.gz"
    assert sorted(packed) == [".gitignore", "deploy/boot.sh", "tasks/app.py"]
    assert packed["deploy/boot.sh"].mode == 0o755
    assert packed["tasks/app.py"].mode == 0o644


def test_the_same_commit_gives_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    """Whoever packs a commit, wherever and whenever, gets the same archive."""
    other = tmp_path / "other"
    git(repository, "clone", "--quiet", str(repository), str(other))
    os.utime(other / "tasks" / "app.py", (0, 0))
    assert build(other) == build(repository)


@pytest.mark.parametrize("name", ["tasks/app.py", "tasks/new.py"], ids=["changed", "new"])
def test_what_no_commit_holds_is_refused(repository: Path, name: str) -> None:
    """A version that nobody could get back is not packed, unless that is asked for; then its name says so."""
    (repository / name).write_text("changed\n")
    with pytest.raises(DeployError, match=f"1 files are not as commit .*{name}"):
        build(repository)
    artifact = build(repository, allow_dirty=True)
    assert "-dirty-" in artifact.version
    assert name in members(artifact.data)


def test_two_changes_are_two_versions(repository: Path) -> None:
    """Different code never has one version's name."""
    versions = set()
    for text in ("one\n", "two\n"):
        (repository / "tasks" / "app.py").write_text(text)
        versions.add(build(repository, allow_dirty=True).version)
    assert len(versions) == 2


def test_no_repository_is_said_in_one_line(tmp_path: Path) -> None:
    """Whoever deploys from a folder that git does not know is told so."""
    with pytest.raises(DeployError, match=r"^git rev-parse failed in [^\n]*$"):
        build(tmp_path)
