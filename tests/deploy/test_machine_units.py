"""The systemd units: sound, as exposed as the processes need and no more, and patient enough for what they run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from configparser import RawConfigParser
from pathlib import Path

import pytest

from deploy.artifact import LEFT_OUT, ROOT
from deploy.machine.settings import stop_file
from tasks.settings import Settings
from webapp import serving

UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
ANALYZE = "/usr/bin/systemd-analyze"
# Of 10, as `systemd-analyze security` counts. What is left: the network, which all of them need; on nodes also what a
# model's libraries and GPUs need; root, where secrets are written.
EXPOSURE = {
    "classifier-flower.service": 1.2,
    "classifier-node.service": 1.4,
    "classifier-scaler.service": 1.2,
    "classifier-secrets.service": 1.8,
    "classifier-web.service": 1.2,
    "classifier-worker@.service": 1.4,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine's disk with the units, those of the system beside them, and the programs that they name."""
    folder = tmp_path_factory.mktemp("root")
    shutil.copytree("/lib/systemd/system", folder / "usr/lib/systemd/system", symlinks=True)
    shutil.copytree(UNITS, folder / "etc/systemd/system")
    for program in ("opt/classifier/venv/bin/python", "opt/classifier/current/deploy/machine/secrets.sh", "bin/sh"):
        file = folder / program
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o755)
    return folder


def analyze(*arguments: str) -> tuple[int, str]:
    """Return the status and the complaints of systemd's own checker."""
    done = subprocess.run([ANALYZE, *arguments], check=False, capture_output=True, text=True)
    return done.returncode, done.stderr


def unit(name: str) -> Mapping[str, Mapping[str, list[str]]]:
    """Return what a unit's file says, by section and name."""
    parser = RawConfigParser(strict=False, dict_type=_Repeated, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as the library's own page has it
    parser.read(UNITS / name)
    return {
        section: {key: value.split("\n") for key, value in parser[section].items()} for section in parser.sections()
    }


class _Repeated(dict[str, object]):
    """Joins the values of a name that comes more than once, as systemd does."""

    def __setitem__(self, key: str, value: object) -> None:
        before = self.get(key)
        super().__setitem__(key, [*before, *value] if isinstance(before, list) and isinstance(value, list) else value)


@pytest.mark.parametrize("name", SERVICES)
def test_units_are_sound(root: Path, name: str) -> None:
    """Systemd's own checker has nothing to say: no unknown setting, no missing program, no unit that is not there."""
    assert analyze("verify", f"--root={root}", name) == (0, "")


@pytest.mark.parametrize("name", SERVICES)
def test_units_name_documentation_that_is_on_the_machine(name: str) -> None:
    """What `systemctl status` shows is in the artefact, which tests and docs are left out of."""
    (address,) = unit(name)["Unit"]["Documentation"]
    path = address.removeprefix("file:///opt/classifier/current/")
    assert (ROOT / path).is_file()
    assert not path.startswith(LEFT_OUT)


@pytest.mark.parametrize("name", SERVICES)
def test_units_are_confined(root: Path, name: str) -> None:
    """No unit's exposure, on systemd's scale of 10, is above what was found to be needed."""
    threshold = str(round(EXPOSURE[name] * 10))
    status, complaint = analyze("security", "--offline=true", f"--root={root}", f"--threshold={threshold}", name)
    assert (status, complaint) == (0, "")


def test_an_unhardened_unit_would_be_found(root: Path) -> None:
    """The threshold means something: without the shared hardening a unit is far above it."""
    name = "classifier-scaler.service"
    bare = root / "bare"
    shutil.copytree(root / "usr", bare / "usr", symlinks=True, dirs_exist_ok=True)
    shutil.copytree(root / "etc", bare / "etc", dirs_exist_ok=True)
    shutil.rmtree(bare / "etc/systemd/system/classifier-.service.d")
    assert analyze("security", "--offline=true", f"--root={bare}", "--threshold=30", name)[0] != 0


@pytest.mark.parametrize("name", SERVICES)
def test_units_come_back_but_not_in_a_tight_loop(name: str) -> None:
    """Each is started again after a pause; where that has a limit, something happens at it."""
    section = unit(name)["Service"]
    assert section["Restart"][0] in {"always", "on-failure"}
    assert int(section["RestartSec"][0]) >= 5
    assert "StartLimitIntervalSec" in unit(name)["Unit"]


def test_stops_are_given_their_time() -> None:
    """A worker's longest task, and the web app's open requests, end before systemd kills what is left."""
    settings = Settings()
    least_s = settings.task_time_limit_s + settings.poll_wait_s
    for name in ("classifier-node.service", "classifier-worker@.service"):
        section = unit(name)["Service"]
        assert int(section["TimeoutStopSec"][0]) > least_s
        assert section["KillMode"] == ["mixed"]
    assert f"TimeoutStopSec={unit('classifier-node.service')['Service']['TimeoutStopSec'][0]}\n" in stop_file({})
    assert int(unit("classifier-web.service")["Service"]["TimeoutStopSec"][0]) > serving.graceful_timeout


def test_each_process_on_the_web_machine_has_a_role_of_its_own() -> None:
    """No process runs with the machine's role, which may take any of the three on, or with root's rights."""
    for name in ("web", "scaler", "flower"):
        section = unit(f"classifier-{name}.service")["Service"]
        assert f"AWS_PROFILE={name}" in section["Environment"]
        assert section["DynamicUser"] == ["yes"]
