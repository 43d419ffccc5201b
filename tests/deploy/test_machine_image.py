"""Baking an image: `build.sh` run for real on a disk in a folder, and the Packer file that calls it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.artifact import ROOT, build
from tests.deploy.machine import Machine, requirements, unpack_release

PACKER = ROOT / "deploy" / "image" / "classifier.pkr.hcl"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with packages; no release but that of the script itself."""
    release = unpack_release(tmp_path / "release")
    made = Machine.make(tmp_path / "machine", release)
    made.bake(*requirements(release))
    return made


def test_a_baked_node_holds_all_that_boot_would_install_and_no_key(machine: Machine, tmp_path: Path) -> None:
    """The release is there, the model was loaded with its packages, the machine's own traces are gone; keys stop it."""
    artifact = tmp_path / "classifier-v2.tar.gz"
    artifact.write_bytes(build(allow_dirty=True).data)
    host_key = machine.root / "etc/ssh/ssh_host_ed25519_key"
    keys = machine.root / "root/.aws/credentials"
    for file in (host_key, keys):
        file.parent.mkdir(parents=True)
        file.touch()
    refused = machine.run("deploy/image/build.sh", str(artifact), "node", environ={"MODEL": "everyday10"})
    assert refused.returncode == 1
    assert refused.stderr == f"error: an image must hold no keys; remove {keys}\n"
    assert "cloud-init clean --logs" not in machine.calls
    keys.unlink()
    baked = machine.run("deploy/image/build.sh", str(artifact), "node", environ={"MODEL": "everyday10"})
    assert baked.returncode == 0, baked.stderr
    assert "model: everyday10" in baked.stdout
    assert not host_key.exists()
    assert "cloud-init clean --logs" in machine.calls
    assert (machine.root / "etc/machine-id").read_text() == ""
    current = machine.root / "opt/classifier/current"
    assert current.readlink() == machine.root / "opt/classifier/releases/v2"
    assert list((current / "tasks" / "__pycache__").glob("classify.*.pyc"))
    assert (machine.root / "etc/systemd/system/classifier-node.service").exists()


def test_an_artefact_without_a_version_is_refused(machine: Machine, tmp_path: Path) -> None:
    """A boot asks for its release by version: an image without one would fetch it all the same."""
    done = machine.run("deploy/image/build.sh", str(tmp_path / "code.tar.gz"), "node")
    assert (done.returncode, done.stderr.startswith("error: ")) == (1, True)
    assert machine.calls == []


def test_the_packer_file_calls_the_script_with_variables_that_it_declares() -> None:
    """No variable is used that is not declared, none declared that is not used; the build's failure is Packer's."""
    text = PACKER.read_text()
    declared = set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
    assert declared == set(re.findall(r"\bvar\.(\w+)", text))
    assert "build.sh /tmp/${basename(var.artifact)} ${var.kind} && " in text
    assert re.search(r'http_tokens\s+= "required"', text)
    assert text.count("{") == text.count("}")
