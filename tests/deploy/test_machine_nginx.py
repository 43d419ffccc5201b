"""The web machine's nginx as `boot.sh` sets it up, run for real, with the real Flower behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import requests

from local.ports import free_port
from local.processes import Command, Supervised, wait_until
from local.stack import Stack, running_stack
from tests.deploy.machine import WEB, Machine, requirements, unpack_release
from tests.deploy.nginx import PROGRAM, group_here, user_here

pytestmark = pytest.mark.stack

PASSWORD = ("admin", "flowers`password")  # what the machine's secrets say
DEADLINE_S = 20.0
# Debian's nginx keeps these elsewhere than Amazon's, where only root may write.
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True)
class Site:
    """The running site.

    Attributes:
        url: its address.
        machine: whose files it has.
        session: a client that takes its certificate.
    """

    url: str
    machine: Machine
    session: requests.Session


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Flower alone, as its unit starts it."""
    with running_stack(tmp_path_factory.mktemp("stack")) as running:
        environ = {"FLOWER_BASIC_AUTH": ":".join(PASSWORD), "FLOWER_URL_PREFIX": "flower", "FLOWER_XHEADERS": "true"}
        running.start(replace(running.services.flower(), environ=environ))
        yield running


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Nginx with what boot and secrets wrote."""
    assert PROGRAM, "nginx is missing: apt-get install nginx-light"
    release = unpack_release(tmp_path_factory.mktemp("release"))
    machine = Machine.make(tmp_path_factory.mktemp("machine") / "root", release)
    machine.bake(*requirements(release))
    environ = WEB | {"DOMAIN_NAME": "localhost"}
    assert machine.boot("web", environ).returncode == 0, machine.log
    assert machine.run("deploy/machine/secrets.sh", environ=environ).returncode == 0
    port, plain_port = free_port(), free_port()
    _move(machine, stack, {"listen 80;": f"listen {plain_port};", "listen 443 ssl": f"listen {port} ssl"})
    command = Command("nginx", (PROGRAM, "-c", str(machine.root / "etc/nginx/nginx.conf"), "-g", "daemon off;"))
    process = Supervised.start(command, {}, machine.root)
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(machine.root / "run/classifier-secrets/fullchain.pem")
            url = f"https://localhost:{port}"
            wait_until(lambda: _is_up(session, url) or not process.alive(), DEADLINE_S, "Flower behind nginx")
            assert process.alive(), process.log.read_text()
            yield Site(url, machine, session)
    finally:
        process.stop()


def _move(machine: Machine, stack: Stack, ports: dict[str, str]) -> None:
    """Have the files say this machine's folder and free ports instead of a machine's own."""
    folder = machine.root / "etc/nginx"
    (machine.root / "var/log/nginx").mkdir(parents=True)
    temporary = "".join(f"{name}_temp_path {machine.root}/{name};" for name in TEMPORARY)
    changes = {
        "user nginx;": f"user {user_here()} {group_here()};",
        "http {": f"http {{ {temporary}",
        "/etc/nginx/c": f"{folder}/c",
        "/run/": f"{machine.root}/run/",
        "/var/log/": f"{machine.root}/var/log/",
        "/opt/classifier/": f"{machine.root}/opt/classifier/",
        "127.0.0.1:8000": f"127.0.0.1:{free_port()}",  # no app answers there
        "127.0.0.1:5555": f"127.0.0.1:{stack.services.flower_port}",
        **ports,
    }
    for file in folder.rglob("*.conf"):
        text = file.read_text()
        for old, new in changes.items():
            text = text.replace(old, new)
        file.write_text(text)


def _is_up(session: requests.Session, url: str) -> bool:
    try:
        return session.get(f"{url}/flower/healthcheck", timeout=30).status_code == 200
    except requests.ConnectionError:
        return False


def test_flower_asks_for_its_password(site: Site) -> None:
    """Nobody sees workers and tasks without it."""
    assert site.session.get(f"{site.url}/flower/", timeout=30).status_code == 401
    assert site.session.get(f"{site.url}/flower/", auth=("admin", "guess"), timeout=30).status_code == 401


def test_flowers_pages_work_under_their_path(site: Site) -> None:
    """The page, what it refers to, and the API are found; a plain address leads there."""
    page = site.session.get(f"{site.url}/flower", auth=PASSWORD, timeout=30)
    assert (page.status_code, page.url) == (200, f"{site.url}/flower/")
    references = [part.split('"')[0] for part in page.text.split('href="/')[1:]]
    assert any(".css" in name for name in references)
    assert all(name.startswith("flower") for name in references)
    style = next(name for name in references if ".css" in name)
    assert site.session.get(f"{site.url}/{style}", auth=PASSWORD, timeout=30).status_code == 200
    assert site.session.get(f"{site.url}/flower/api/workers", auth=PASSWORD, timeout=30).status_code == 200


def test_without_its_app_the_machine_is_not_healthy(site: Site) -> None:
    """A load balancer, and the machine's own boot, learn that the app is away; the log's line has what alarms count."""
    answer = site.session.get(f"{site.url}/healthz", timeout=30)
    assert (answer.status_code, answer.json()["error"][:11]) == (503, "The service")
    site.session.get(f"{site.url}/results/x", timeout=30)
    log = site.machine.root / "var/log/nginx/classifier.log"
    # nginx writes the line when the client has its answer already.
    wait_until(lambda: '"/results/x"' in log.read_text(), DEADLINE_S, "the request's line")
    logged = [line for line in map(json.loads, log.read_text().splitlines()) if line["path"] == "/results/x"]
    assert [(line["status"], line["upstream_status"], line["sent_bytes"] > 0) for line in logged] == [
        (503, "502", True)
    ]


def test_static_files_come_from_the_release(site: Site) -> None:
    """They are served while the app is away."""
    static: Path = site.machine.release / "webapp" / "static"
    name = next(file.name for file in sorted(static.iterdir()) if file.is_file())
    answer = site.session.get(f"{site.url}/static/{name}", timeout=30)
    assert answer.content == (static / name).read_bytes()
