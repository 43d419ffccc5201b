"""The shipped nginx in front of the real web app: what it takes off it, and what it passes on."""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import boto3
import pytest
import requests

from local.emulators import ACCESS_KEY, REGION
from local.photographs import photographs
from local.processes import Command, wait_until
from local.stack import Stack, running_stack
from tests.access import Holder
from tests.deploy.nginx import Nginx, running_nginx

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parent.parent.parent
GIB = 1024**3
PHOTO = photographs()["coffee.png"]
BURST = 20
UPLOAD_SLOTS = 4


@pytest.fixture(scope="module")
def holder() -> Holder:
    """A user of the app."""
    return Holder("ann")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, holder: Holder) -> Iterator[Stack]:
    """A web app that trusts one proxy, with room for few uploads at a time; no worker."""
    environ = {"API_KEYS": holder.line, "WEB_PROXIES": "1", "WEB_THREADS": str(2 * UPLOAD_SLOTS), "STAND_IN_S": "0"}
    with running_stack(tmp_path_factory.mktemp("stack"), environ) as running:
        running.start_web()
        yield running


@pytest.fixture(scope="module")
def nginx(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """The shipped nginx before the app."""
    changes = {"127.0.0.1:8000": f"127.0.0.1:{stack.services.web_port}"}
    with running_nginx(tmp_path_factory.mktemp("nginx") / "run", changes) as running:
        yield running


@pytest.fixture
def client(nginx: Nginx, holder: Holder) -> Iterator[requests.Session]:
    """A client with the user's key, over TLS."""
    with requests.Session() as session:
        session.trust_env = False  # no other certificates
        session.verify = nginx.certificate
        session.headers.update(holder.headers)
        yield session


def upload_head(holder: Holder, length_bytes: int) -> bytes:
    """Return the head of an upload."""
    return (
        f"POST /classify HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {holder.key}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length_bytes}\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="img"; filename="a.png"\r\n\r\n'
    ).encode()


def stored_photos(stack: Stack) -> int:
    """Return how many objects the input bucket has."""
    session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=ACCESS_KEY, region_name=REGION)
    s3 = session.client("s3", endpoint_url=stack.services.emulators.aws_url)
    return int(s3.list_objects_v2(Bucket=stack.settings.input_bucket)["KeyCount"])


def test_plain_http_is_sent_on_to_https(nginx: Nginx) -> None:
    """The method is kept, so that a form is not lost."""
    answer = requests.post(f"http://localhost:{nginx.plain_port}/upload?x=1", allow_redirects=False, timeout=30)
    assert answer.status_code == 308
    assert answer.headers["Location"] == "https://localhost/upload?x=1"


def test_static_files_come_from_nginx(nginx: Nginx, client: requests.Session) -> None:
    """The app has no work with them."""
    answer = client.get(f"{nginx.url}/static/style.css", timeout=30)
    assert answer.content == (ROOT / "webapp" / "static" / "style.css").read_bytes()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert "Content-Security-Policy" not in answer.headers


@pytest.mark.parametrize("path", ["/static/../settings.py", "/static/%2e%2e/settings.py", "/static/..%2fsettings.py"])
def test_static_files_are_those_of_their_folder_alone(nginx: Nginx, path: str) -> None:
    """No path leads out of it."""
    with closing(nginx.connect()) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert re.match(rb"HTTP/1.1 (302|400|401|404) ", sock.recv(100))


def test_the_app_sees_who_asks_and_how(stack: Stack, nginx: Nginx, client: requests.Session) -> None:
    """Address, scheme and request id are nginx's word; what the client claims of itself is not believed."""
    claims = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http", "X-Request-ID": "nginx-test-1"}
    answer = client.get(f"{nginx.url}/status", headers=claims, timeout=30)
    assert answer.headers["X-Request-ID"] == "nginx-test-1"
    assert "Strict-Transport-Security" in answer.headers
    lines = (stack.log_dir / "web.log").read_text().splitlines()
    (line,) = [line for line in lines if "nginx-test-1" in line and '"path"' in line]
    assert json.loads(line)["address"] == "127.0.0.1"
    log = nginx.folder / "classifier.log"
    wait_until(lambda: "nginx-test-1" in log.read_text(), 30, "nginx to write its log")


def test_a_two_gigabyte_upload_is_refused_by_its_length(stack: Stack, nginx: Nginx, holder: Holder) -> None:
    """413 before anything of it is read, in the API's form."""
    before = stored_photos(stack)
    with closing(nginx.connect()) as sock:
        sock.sendall(upload_head(holder, 2 * GIB))
        answer = b""
        while b"}" not in answer:
            answer += sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"error": "The request is too large.' in answer
    assert stored_photos(stack) == before
    assert nginx.collected() == 0


def test_slow_clients_do_not_block_others(nginx: Nginx, client: requests.Session, holder: Holder) -> None:
    """While more clients dribble uploads than the app has slots, another's upload is taken at once."""
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(nginx.connect())) for _ in range(3 * UPLOAD_SLOTS)]
        for sock in slow:
            sock.sendall(upload_head(holder, 10_000_000))
        for sock in slow:
            sock.sendall(b"x" * 1000)
        answer = client.post(f"{nginx.url}/classify", files={"img": ("a.png", PHOTO)}, timeout=30)
        assert answer.status_code == 202, answer.text
        for sock in slow:
            sock.settimeout(0)
            with pytest.raises(ssl.SSLWantReadError):
                sock.recv(1)


def test_a_client_that_disappears_leaves_nothing_behind(stack: Stack, nginx: Nginx, holder: Holder) -> None:
    """Neither in nginx's folder nor in S3."""
    before = stored_photos(stack)
    with closing(nginx.connect()) as sock:
        sock.sendall(upload_head(holder, 10_000_000))
        sock.sendall(b"x" * 5_000_000)
        wait_until(lambda: nginx.collected() == 1, 30, "nginx to collect the upload")
    wait_until(lambda: nginx.collected() == 0, 30, "nginx to drop the upload")
    assert stored_photos(stack) == before


def test_too_many_requests_are_refused_with_a_time(stack: Stack, tmp_path: Path) -> None:
    """429 with Retry-After and JSON; health checks go on."""
    changes = {"127.0.0.1:8000": f"127.0.0.1:{stack.services.web_port}", "burst=500": f"burst={BURST}"}
    with running_nginx(tmp_path / "run", changes) as strict, requests.Session() as session:
        session.trust_env = False
        session.verify = strict.certificate
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(session.get, f"{strict.url}/openapi.json", timeout=30) for _ in range(6 * BURST)]
        answers = [one.result() for one in asked]
        assert session.get(f"{strict.url}/healthz", timeout=30).status_code == 200
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].headers["Retry-After"] == "2"
    assert refused[0].json()["request_id"] == refused[0].headers["X-Request-ID"]
    assert {answer.status_code for answer in answers} == {200, 429}


def test_results_arrive_while_their_stream_is_open(stack: Stack, nginx: Nginx, client: requests.Session) -> None:
    """Server-sent events are not collected: the first comes while nothing is classified yet, the others as they happen."""
    taken = client.post(
        f"{nginx.url}/classify", files=[("img", ("a.png", PHOTO)), ("img", ("b.png", PHOTO))], timeout=30
    )
    url = f"{nginx.url}/batches/{taken.json()['batch_id']}/events"
    with client.get(url, stream=True, timeout=30) as stream:
        lines = stream.iter_lines(chunk_size=1, decode_unicode=True)
        assert next(lines) == "event: counts"
        assert json.loads(next(lines).removeprefix("data: "))["pending"] == 2
        worker = (sys.executable, "-m", "celery", "-A", "local.stand_in", "worker", "--without-mingle")
        process = stack.start(Command("worker", worker))
        kinds = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
        process.stop()
    assert kinds.count("result") == 2
    assert kinds[-1] == "end"


def test_an_app_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    """503 with Retry-After and JSON, so that clients wait and come again."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        changes = {"127.0.0.1:8000": f"127.0.0.1:{closed.getsockname()[1]}"}
        with running_nginx(tmp_path / "run", changes) as nginx, requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{nginx.url}/", verify=nginx.certificate, timeout=30)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["error"]
