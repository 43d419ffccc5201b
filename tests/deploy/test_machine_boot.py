"""`boot.sh` run for real on a disk in a folder: what it installs, writes, starts, and does when something is wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deploy.artifact import ROOT
from tests.deploy.machine import COMMON, SECRETS, WEB, Machine, pinned, requirements, unpack_release

SCRIPTS = sorted(path.relative_to(ROOT) for path in (ROOT / "deploy").rglob("*.sh"))

PROCESSES = ("web", "scaler", "flower")
SIGNAL = (
    "aws cloudformation signal-resource --stack-name birds-Web --logical-resource-id WebGroup"
    " --unique-id i-0123 --status {}"
)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code as it is delivered."""
    return unpack_release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def machine(tmp_path: Path, release: Path) -> Machine:
    """A machine of a baked image."""
    made = Machine.make(tmp_path / "machine", release)
    made.bake(*requirements(release))
    return made


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_scripts_are_sound(script: Path) -> None:
    """Shellcheck has nothing to say about what machines run."""
    shellcheck = shutil.which("shellcheck", path=str(ROOT / ".venv" / "bin")) or "shellcheck"
    done = subprocess.run([shellcheck, str(ROOT / script)], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_node_boots_from_a_baked_image(machine: Machine) -> None:
    """Nothing is installed; logs are sent before anything else happens; the agent starts with UserData's settings."""
    done = machine.boot("node", COMMON)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [call for call in machine.calls if call.startswith("dnf")]
    started = [call for call in machine.calls if not call.startswith("rpm")]
    assert started[0].startswith("amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s")
    assert started[-1] == "systemctl enable --now classifier-node.service"
    settings = machine.settings()
    assert {name: settings[name] for name in ("CLOUD", "QUEUE", "DEPLOYMENT", "CONTROL_TOPIC_ARN")} == {
        name: COMMON[name] for name in ("CLOUD", "QUEUE", "DEPLOYMENT", "CONTROL_TOPIC_ARN")
    }
    assert settings["AWS_METADATA_SERVICE_NUM_ATTEMPTS"] == "4"
    assert "INSTANCE_ID" not in settings
    assert (machine.root / "opt/classifier/current").readlink() == machine.release
    assert "starting the agent" in machine.log


@pytest.mark.parametrize(("kind", "environ"), [("node", COMMON), ("web", WEB)])
def test_logs_are_rotated_before_they_fill_the_disk(machine: Machine, kind: str, environ: dict[str, str]) -> None:
    """Something runs logrotate, and as often as a log's largest size is worth anything."""
    assert machine.boot(kind, environ).returncode == 0
    assert "systemctl enable --now logrotate.timer" in machine.calls
    rotation = (machine.root / "etc/logrotate.d/classifier").read_text()
    assert "maxsize" in rotation
    assert "nodateext" in rotation
    timer = (machine.root / "etc/systemd/system/logrotate.timer.d/classifier.conf").read_text()
    assert "OnCalendar=\nOnCalendar=hourly\n" in timer


def test_the_node_may_take_as_long_to_stop_as_its_longest_task(machine: Machine) -> None:
    """The agent is killed only after it would have killed its workers itself."""
    environ = COMMON | {"TASK_TIME_LIMIT_S": "600", "VISIBILITY_TIMEOUT_S": "700", "POLL_WAIT_S": "10"}
    assert machine.boot("node", environ).returncode == 0
    stop = machine.root / "etc/systemd/system/classifier-node.service.d/stop.conf"
    assert stop.read_text() == "[Service]\nTimeoutStopSec=655\n"


def test_a_setting_keeps_every_sign(machine: Machine) -> None:
    """What UserData exported is what systemd reads from the file, whatever is in it."""
    value = 's3://weights/a "$b" `c`\\d.pth'
    assert machine.boot("node", COMMON | {"MODEL_WEIGHTS": value}).returncode == 0
    line = 'MODEL_WEIGHTS="s3://weights/a \\"\\$b\\" \\`c\\`\\\\d.pth"'
    assert line in (machine.root / "etc/classifier/settings.env").read_text().splitlines()


@pytest.mark.parametrize(
    ("kind", "environ", "told"),
    [
        pytest.param("node", COMMON | {"MAX_RECEIVES": "many"}, "systemctl poweroff", id="node"),
        pytest.param("web", WEB | {"MAX_NODES": "-1"}, SIGNAL.format("FAILURE"), id="web"),
    ],
)
def test_a_boot_that_fails_says_why_and_does_not_stay(
    machine: Machine, kind: str, environ: dict[str, str], told: str
) -> None:
    """A wrong setting is one line in the log that is sent; the web machine's stack is told, the machine powered off."""
    assert machine.boot(kind, environ).returncode != 0
    assert "error: MAX_" in machine.log
    assert told in machine.calls
    assert machine.calls[-1] == "systemctl poweroff"
    assert not [call for call in machine.calls if "--now classifier" in call]
    assert machine.calls.index(told) > 0
    assert machine.log.count("boot: failed") == 1


FORGOTTEN = {"FLOWER_ROLE_ARN", "SIGNAL_RESOURCE"}


@pytest.mark.parametrize(
    ("kind", "environ", "command"),
    [
        pytest.param("web", {name: WEB[name] for name in WEB if name not in FORGOTTEN}, None, id="variables"),
        pytest.param("web", WEB, ("curl", "exit 22"), id="instance-id"),
        pytest.param("web", WEB, ("curl", 'case "$*" in *api/token*) exit 22;; esac'), id="token"),
        pytest.param("web", WEB, ("amazon-cloudwatch-agent-ctl", "exit 1"), id="log-agent"),
        pytest.param("node", COMMON, ("systemctl", '[ "$*" != daemon-reload ]'), id="command"),
    ],
)
def test_wherever_a_boot_ends_the_machine_does_not_stay(
    machine: Machine, kind: str, environ: dict[str, str], command: tuple[str, str] | None
) -> None:
    """A variable that is not set, a command inside another, or any other: it is said once, and nothing was started."""
    if command:
        machine.command(*command)
    assert machine.boot(kind, environ).returncode != 0
    assert machine.log.count("boot: failed with status") == 1
    assert machine.calls[-1] == "systemctl poweroff"
    assert not [call for call in machine.calls if "--now classifier" in call]


def test_a_boot_does_not_wait_for_secrets_for_ever(machine: Machine) -> None:
    """One that is not there, or may not be read, ends the boot; nothing that needs it was started."""
    machine.command("timeout", "exit 124")
    assert machine.boot("web", WEB).returncode == 124
    assert "timeout 600 systemctl enable --now classifier-secrets.service" in machine.calls
    assert not [call for call in machine.calls if "--now classifier-web" in call]
    assert machine.calls[-1] == "systemctl poweroff"


NO_STACK_WAITS = """\
case "$*" in *signal-resource*) echo "An error occurred (ValidationError)" >&2; exit 254;; esac"""
LOST_ONCE = """\
case "$*" in *signal-resource*) [ -e "{root}/lost" ] || { touch "{root}/lost"; exit 255; };; esac"""


@pytest.mark.parametrize(
    ("answer", "signals", "said"),
    [pytest.param(NO_STACK_WAITS, 4, True, id="none-waits"), pytest.param(LOST_ONCE, 2, False, id="lost-call")],
)
def test_a_machine_that_serves_stays_whether_or_not_a_stack_waits(
    machine: Machine, answer: str, signals: int, *, said: bool
) -> None:
    """A lost call is made again; a machine that its group launched outside the stack's operations is no failure."""
    machine.command("aws", answer.replace("{root}", str(machine.root)))
    assert machine.boot("web", WEB).returncode == 0, machine.log
    assert machine.calls.count(SIGNAL.format("SUCCESS")) == signals
    assert ("birds-Web took no SUCCESS: it waits for no machine, or cannot be reached" in machine.log) == said
    assert "the service is up" in machine.log
    assert "systemctl poweroff" not in machine.calls
    assert SIGNAL.format("FAILURE") not in machine.calls


def test_the_web_machine_boots_and_takes_the_address_over_once_it_serves(machine: Machine) -> None:
    """Secrets first, then the processes, then its health, then the address, and only then the stack is told."""
    done = machine.boot("web", WEB)
    assert done.returncode == 0, machine.log
    order = [
        "systemctl enable --now classifier-secrets.service",
        f"systemctl enable --now {' '.join(f'classifier-{name}.service' for name in PROCESSES)} nginx.service",
        "curl --silent --fail --insecure --max-time 5 --output /dev/null https://127.0.0.1/healthz",
        "aws ec2 associate-address --allocation-id eipalloc-1 --instance-id i-0123 --allow-reassociation",
        SIGNAL.format("SUCCESS"),
    ]
    assert [call for call in machine.calls if call in order] == order
    settings = machine.settings()
    assert settings["API_KEYS"] == WEB["API_KEYS"]
    assert (settings["WEB_PROXIES"], settings["LAUNCH_TEMPLATE"], settings["MAX_NODES"]) == ("1", "birds-node", "9")
    roles = (machine.root / "etc/classifier/aws-config").read_text()
    assert (
        "[profile scaler]\nrole_arn = arn:aws:iam::123456789012:role/SCALER\ncredential_source = Ec2InstanceMetadata"
        in roles
    )


def test_behind_a_load_balancer_no_address_is_taken(machine: Machine) -> None:
    """The load balancer's word for the client's address is believed, and nobody else's."""
    assert machine.boot("web", WEB | {"EIP_ALLOCATION_ID": "", "TRUSTED_PROXY_CIDR": "10.0.0.0/16"}).returncode == 0
    assert not [call for call in machine.calls if "associate-address" in call]
    assert "set_real_ip_from 10.0.0.0/16;" in (machine.root / "etc/nginx/classifier.d/proxy.conf").read_text()


@pytest.mark.parametrize(("kind", "environ"), [("node", COMMON), ("web", WEB)])
def test_no_secret_is_on_the_disk(machine: Machine, kind: str, environ: dict[str, str]) -> None:
    """Boot writes names of secrets and digests of keys; it never even asks for a secret's value."""
    assert machine.boot(kind, environ).returncode == 0
    assert not [call for call in machine.calls if "get-secret-value" in call]
    written = machine.files()
    assert len(written) > 5
    for secret in SECRETS.values():
        assert not [file for file, text in written.items() if secret in text]


def test_secrets_are_fetched_into_memory(machine: Machine) -> None:
    """Only root can read them; the machine signs a certificate itself for the domain's name."""
    assert machine.boot("web", WEB).returncode == 0
    done = machine.run("deploy/machine/secrets.sh", environ=WEB)
    assert done.returncode == 0, done.stderr
    folder = machine.root / "run/classifier-secrets"
    assert (folder / "web.env").read_text() == 'WEB_SECRET_KEY="' + "w" * 40 + '\\$\\""\n'
    assert (folder / "flower.env").read_text() == 'FLOWER_BASIC_AUTH="admin:flowers\\`password"\n'
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    shown = subprocess.run(
        ["/usr/bin/openssl", "x509", "-in", folder / "fullchain.pem", "-noout", "-ext", "subjectAltName"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "DNS:birds.example.org" in shown.stdout


def test_a_certificate_of_ones_own_comes_from_its_secret(machine: Machine) -> None:
    """Chain and key are taken as the secret has them."""
    assert machine.boot("web", WEB).returncode == 0
    pair = {"certificate": "-----BEGIN C-----\nabc\n", "private_key": "-----BEGIN K-----\nxyz\n"}
    (machine.root / "secrets/tls").write_text(json.dumps(pair))
    environ = WEB | {"TLS_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:tls"}
    assert machine.run("deploy/machine/secrets.sh", environ=environ).returncode == 0
    folder = machine.root / "run/classifier-secrets"
    assert (folder / "fullchain.pem").read_text().strip() == pair["certificate"].strip()
    assert (folder / "privkey.pem").read_text().strip() == pair["private_key"].strip()


@pytest.fixture
def bare(tmp_path: Path, release: Path) -> Machine:
    """A machine of Amazon's own image, and a release that pins no package."""
    copy = tmp_path / "release"
    shutil.copytree(release / "deploy", copy / "deploy")
    (copy / "requirements.txt").write_text("# nothing\n")
    machine = Machine.make(tmp_path / "machine", copy)
    (machine.root / "bare").touch()
    return machine


def test_a_bare_machine_installs_what_is_missing_and_only_once(bare: Machine) -> None:
    """The system's packages and an environment of the pinned ones; one that was broken off is made anew."""
    venv = bare.root / "opt/classifier/venvs" / pinned("# nothing\n")
    venv.mkdir(parents=True)
    (venv / "half").touch()

    def installed() -> float:
        assert bare.run("deploy/machine/boot.sh", "install", "node").returncode == 0
        return (venv / "pyvenv.cfg").stat().st_mtime_ns

    first = installed()
    assert "dnf install --quiet --assumeyes amazon-cloudwatch-agent logrotate python3.11" in bare.calls
    assert not (venv / "half").exists()
    assert installed() == first


@pytest.mark.parametrize("arguments", [(), ("scaler",), ("install",), ("install", "all")], ids=str)
def test_whoever_calls_it_wrongly_is_told_how(machine: Machine, arguments: tuple[str, ...]) -> None:
    """Nothing is done."""
    done = machine.run("deploy/machine/boot.sh", *arguments, environ=COMMON)
    assert (done.returncode, done.stderr) == (2, "usage: boot.sh node|web, or boot.sh install node|web\n")
    assert machine.calls == []


def test_every_log_is_sent_to_a_group_that_the_stack_has() -> None:
    """Each file that a unit of a kind of machine writes is in that kind's configuration, and its group in the template."""
    units = {
        "node": ("classifier-node",),
        "web": ("classifier-web", "classifier-scaler", "classifier-flower", "classifier-secrets"),
    }
    template = (ROOT / "deploy/templates/watch.yaml").read_text()
    for kind, names in units.items():
        config = json.loads((ROOT / f"deploy/machine/cloudwatch-{kind}.json").read_text())
        assert config["agent"]["run_as_user"] == "root"  # logs are root's alone: test_machine_systemd.py
        sent = {
            entry["file_path"]: entry["log_group_name"]
            for entry in config["logs"]["logs_collected"]["files"]["collect_list"]
        }
        for name in names:
            assert _written_by(name) in sent
        for group in sent.values():
            assert f'"{group.replace("@DEPLOYMENT@", "${Deployment}")}"' in template


def _written_by(unit: str) -> str:
    lines = (ROOT / "deploy/systemd" / f"{unit}.service").read_text().splitlines()
    return next(line.partition("append:")[2] for line in lines if line.startswith("StandardOutput="))


@pytest.mark.parametrize("kind", ["node", "web"])
def test_user_data_of_the_templates_is_what_boot_reads(kind: str, machine: Machine) -> None:
    """The script that the template has CloudFormation write boots the machine, with the names it exports."""
    text = _user_data(kind)
    exported = [line.split("=", 1)[0].removeprefix("export ") for line in text.splitlines() if "export " in line]
    script = text
    for name in exported:
        script = _with_value(script, name, (WEB if kind == "web" else COMMON).get(name, ""))
    file = machine.root / "user-data"
    file.write_text(script.replace("${!", "${"))
    file.chmod(0o755)
    environ = {"PATH": f"{machine.root / 'usr/bin'}:/usr/bin:/bin", "CLASSIFIER_ROOT": str(machine.root)}
    done = subprocess.run([str(file)], env=environ, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [call for call in machine.calls if call.startswith("aws s3")]  # the image holds the release


def _user_data(kind: str) -> str:
    class Loader(yaml.SafeLoader):
        """Reads CloudFormation's short forms as plain values."""

    def plain(loader: yaml.SafeLoader, _tag: str, node: yaml.Node) -> object:
        known: dict[type[yaml.Node], Callable[..., object]] = {
            yaml.ScalarNode: loader.construct_scalar,
            yaml.SequenceNode: loader.construct_sequence,
            yaml.MappingNode: loader.construct_mapping,
        }
        return known[type(node)](node) if isinstance(node, yaml.ScalarNode) else known[type(node)](node, deep=True)

    Loader.add_multi_constructor("!", plain)
    name, resource = {"node": ("nodes", "LaunchTemplate"), "web": ("web", "WebTemplate")}[kind]
    template = yaml.load((ROOT / f"deploy/templates/{name}.yaml").read_text(), Loader)  # noqa: S506 - a SafeLoader with a constructor of plain values
    data = template["Resources"][resource]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]
    return data if isinstance(data, str) else data[0]


def _with_value(script: str, name: str, value: str) -> str:
    lines = [f"export {name}='{value}'" if line.startswith(f"export {name}=") else line for line in script.splitlines()]
    return "\n".join(lines) + "\n"
