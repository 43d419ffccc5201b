"""The disk of the emulated machines."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from local.emulators import ROOT
from local.machine import WORKING_TREE, binaries, install_release, prepare


def test_machines_hold_the_working_tree_and_other_releases_beside_it(tmp_path: Path) -> None:
    """A release is found by its version; preparing the disk again, or giving a version other code, leaves one of each."""
    for code in (tmp_path / "a", tmp_path / "b"):
        prepare(tmp_path / "disk")
        install_release(tmp_path / "disk", "v2", code)
    releases = tmp_path / "disk/opt/classifier/releases"
    assert {path.name for path in releases.iterdir()} == {WORKING_TREE, "v2"}
    assert (releases / WORKING_TREE / "deploy/machine/boot.sh").exists()
    assert (releases / "v2").readlink() == tmp_path / "b"


def test_the_machines_aws_fetches_objects_and_pretends_nothing_else(tmp_path: Path) -> None:
    """A script that needs more of AWS's command line than there is fails here, and does not seem to work."""
    prepare(tmp_path)
    done = subprocess.run([binaries(tmp_path) / "aws", "s3", "ls"], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the emulated machines' aws knows only `s3 cp s3://BUCKET/KEY -`")


def test_a_clone_in_a_folder_with_a_space_has_the_command_too(tmp_path: Path) -> None:
    """The machines' aws starts wherever the clone and its environment are."""
    clone = tmp_path / "my clone"
    shutil.copytree(ROOT / "local", clone / "local")
    shutil.copy(ROOT / "requirements.txt", clone)
    (clone / ".venv").symlink_to(sys.prefix)
    prepared = "from pathlib import Path; from local.machine import prepare; prepare(Path('disk'))"
    subprocess.run([clone / ".venv/bin/python", "-c", prepared], cwd=clone, check=True)
    done = subprocess.run([binaries(clone / "disk") / "aws", "s3", "ls"], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr[:7]) == (2, "error: "), done.stderr
