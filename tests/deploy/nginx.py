"""The nginx of this machine, run with the configuration that the project ships."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.ports import LOOPBACK, free_port
from local.processes import Command, Supervised, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
SHIPPED = ROOT / "deploy" / "nginx" / "classifier.conf"
PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
START_DEADLINE_S = 15.0
# What stands around the shipped file on a Debian machine, in a folder of its own and without root.
AROUND = """\
daemon off;
user {user} {group};
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 512; }}
http {{
    include /etc/nginx/mime.types;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/classifier.conf;
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx."""

    folder: Path
    port: int
    plain_port: int
    process: Supervised

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.port}"

    @property
    def certificate(self) -> str:
        """The file of the certificate that it shows."""
        return str(self.folder / "fullchain.pem")

    def collected(self) -> int:
        """Return how many uploads it holds on disk; their files have no names any more, but are open."""
        workers = psutil.Process(self.process.pid).children()
        links = [link for worker in workers for link in Path(f"/proc/{worker.pid}/fd").iterdir()]
        return sum(str(self.folder / "bodies") in _target(link) for link in links)

    def connect(self) -> ssl.SSLSocket:
        """Open a connection, to send what no well-behaved client would."""
        context = ssl.create_default_context(cafile=self.certificate)
        raw = socket.create_connection((LOOPBACK, self.port), timeout=30)
        return context.wrap_socket(raw, server_hostname="localhost")


@contextmanager
def running_nginx(folder: Path, changes: Mapping[str, str]) -> Iterator[Nginx]:
    """Run nginx with the shipped configuration.

    Args:
        folder: gets its files.
        changes: what an operator would write instead of what the file says.

    Raises:
        AssertionError: the file does not have what should be changed.
        TimeoutError: nginx does not answer.
    """
    assert PROGRAM, "nginx is missing: apt-get install nginx-light"
    folder.mkdir(parents=True)
    port, plain_port = free_port(), free_port()
    own = {
        "listen 80;": f"listen {LOOPBACK}:{plain_port};",
        "listen 443 ssl http2;": f"listen {LOOPBACK}:{port} ssl http2;",
        "server_name classifier.example.com;": "server_name localhost;",
        "/etc/ssl/classifier/": f"{folder}/",
        "/opt/classifier/webapp/static": str(ROOT / "webapp" / "static"),
        "/var/log/nginx/": f"{folder}/",
    }
    text = SHIPPED.read_text()
    for old, new in {**own, **changes}.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "classifier.conf").write_text(text)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user_here(), group=group_here()))
    _make_certificate(folder)
    process = Supervised.start(Command("nginx", (PROGRAM, "-p", str(folder), "-c", "nginx.conf")), {}, folder)
    try:
        nginx = Nginx(folder, port, plain_port, process)
        wait_until(lambda: _listens(nginx) or not process.alive(), START_DEADLINE_S, "nginx")
        assert process.alive(), process.log.read_text()
        yield nginx
    finally:
        process.stop()


def user_here() -> str:
    """Return whom nginx is to run as."""
    # Started by root, nginx would become another user, who may not write here.
    return pwd.getpwuid(os.getuid()).pw_name


def group_here() -> str:
    """Return that user's group."""
    return grp.getgrgid(os.getgid()).gr_name


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except FileNotFoundError:  # closed meanwhile
        return ""


def _listens(nginx: Nginx) -> bool:
    try:
        nginx.connect().close()
    except OSError:
        return False
    return True


def _make_certificate(folder: Path) -> None:
    command = (
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
        *("-keyout", str(folder / "privkey.pem"), "-out", str(folder / "fullchain.pem")),
    )
    subprocess.run(command, check=True, capture_output=True)
