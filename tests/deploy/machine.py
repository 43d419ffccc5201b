"""A machine's disk in a folder, with the real release on it; commands that only AWS's machines have are written down."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.artifact import build

VERSION = "v1"
DEADLINE_S = 60.0
# Each call becomes a line of calls.log. What AWS's machines say is as short as it can be.
STAND_IN = """\
#!/bin/sh
echo "{name} $*" >>"{calls}"
{answer}
"""
ANSWERS = {
    "aws": 'case "$*" in *get-secret-value*) cat "{root}/secrets/${{6##*:}}";; esac',
    "amazon-cloudwatch-agent-ctl": "",
    "cloud-init": "",
    "curl": 'case "$*" in *instance-id*) echo i-0123;; *api/token*) echo token;; esac',
    "dnf": "",
    "rpm": '[ ! -e "{root}/bare" ]',
    "sleep": "",
    "systemctl": "",
}
COMMON = {
    "CLOUD": "aws",
    "AWS_REGION": "eu-central-1",
    "DEPLOYMENT": "birds",
    "INPUT_BUCKET": "birds-input",
    "RESULT_BUCKET": "birds-results",
    "QUEUE": "birds-classify",
    "DEAD_LETTER_QUEUE": "birds-classify-dead-letters",
    "CONTROL_TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:birds_celery-pidbox",
    "EVENTS_TOPIC_ARN": "arn:aws:sns:eu-central-1:123456789012:birds_celeryev",
    "MODEL": "everyday10",
    "MODEL_WEIGHTS": "",
    "ARTIFACT_BUCKET": "artefacts",
    "CODE_VERSION": VERSION,
}
WEB = COMMON | {
    "API_KEYS": f"ann:admin:{'a' * 64} bob:user:{'b' * 64}",
    "LAUNCH_TEMPLATE": "birds-node",
    "LAUNCH_TEMPLATE_VERSION": "7",
    "SUBNETS": "subnet-0a,subnet-0b",
    "INSTANCE_TYPES": "c7i.large",
    "PURCHASE": "spot",
    "MIN_NODES": "0",
    "MAX_NODES": "9",
    **{f"{role}_ROLE_ARN": f"arn:aws:iam::123456789012:role/{role}" for role in ("WEB", "SCALER", "FLOWER")},
    "WEB_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:web",
    "FLOWER_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:flower",
    "TLS_SECRET_ARN": "",
    "DOMAIN_NAME": "birds.example.org",
    "EIP_ALLOCATION_ID": "eipalloc-1",
    "TRUSTED_PROXY_CIDR": "",
    "SIGNAL_STACK": "birds-Web",
    "SIGNAL_RESOURCE": "WebGroup",
}
SECRETS = {"web": "w" * 40 + '$"', "flower": "flowers`password"}


def unpack_release(folder: Path) -> Path:
    """Unpack the code as `make deploy` packs it; return its folder."""
    with tarfile.open(fileobj=io.BytesIO(build(allow_dirty=True).data)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def pinned(text: str) -> str:
    """Return the name of the environment of a requirements file."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Machine:
    """A machine of its own, as far as files go."""

    root: Path

    @classmethod
    def make(cls, root: Path, release: Path, *, systemd: bool = True) -> Machine:
        """Make a machine of an image that holds a release and its packages."""
        machine = cls(root)
        for folder in ("usr/bin", "secrets", "var/tmp", "run/classifier-secrets", "opt/classifier/releases"):
            (root / folder).mkdir(parents=True)
        if systemd:
            (root / "run/systemd/system").mkdir(parents=True)
        machine.release.symlink_to(release)
        for name, answer in ANSWERS.items():
            machine.command(name, answer.format(root=root))
        ctl = root / "opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
        ctl.parent.mkdir(parents=True)
        ctl.symlink_to(root / "usr/bin/amazon-cloudwatch-agent-ctl")
        for name, secret in SECRETS.items():
            (root / "secrets" / name).write_text(f"{secret}\n")
        return machine

    @property
    def release(self) -> Path:
        """Where the code is."""
        return self.root / "opt/classifier/releases" / VERSION

    @property
    def log(self) -> str:
        """What the boot said."""
        return (self.root / "var/log/classifier/boot.log").read_text()

    @property
    def calls(self) -> list[str]:
        """The commands that were called, in order."""
        calls = self.root / "calls.log"
        return calls.read_text().splitlines() if calls.exists() else []

    def command(self, name: str, answer: str) -> None:
        """Have a command on the machine."""
        file = self.root / "usr/bin" / name
        file.write_text(STAND_IN.format(name=name, calls=self.root / "calls.log", answer=answer))
        file.chmod(0o755)

    def bake(self, *requirements: str) -> None:
        """Have the packages of these requirements on the machine."""
        for text in requirements:
            venv = self.root / "opt/classifier/venvs" / pinned(text)
            venv.parent.mkdir(parents=True, exist_ok=True)
            venv.symlink_to(sys.prefix)
            venv.with_name(f"{venv.name}.complete").touch()

    def run(
        self, script: str, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the release's scripts with UserData's exports."""
        path = f"{self.root / 'usr/bin'}:{os.environ['PATH']}"
        return subprocess.run(
            [str(self.release / script), *arguments],
            env={"PATH": path, "HOME": "/", "CLASSIFIER_ROOT": str(self.root), **(environ or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
        )

    def boot(self, kind: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Boot it."""
        return self.run("deploy/machine/boot.sh", kind, environ=environ)

    def settings(self) -> dict[str, str]:
        """Return what the units read from settings.env; no test's value needs more than its quotes taken off."""
        lines = (self.root / "etc/classifier/settings.env").read_text().splitlines()
        return {name: value[1:-1] for name, value in (line.split("=", 1) for line in lines)}

    def files(self) -> dict[Path, str]:
        """Return what boot has written outside memory, by file."""
        places = (self.root / "etc", self.root / "var/log")
        return {file: file.read_text() for place in places for file in place.rglob("*") if file.is_file()}


def requirements(release: Path) -> tuple[str, str]:
    """Return what a node's environment and what the web machine's are named by."""
    text = (release / "requirements.txt").read_text()
    web = [line for line in text.splitlines() if not line.startswith(("torch==", "torchvision=="))]
    return text, "\n".join(web) + "\n"
