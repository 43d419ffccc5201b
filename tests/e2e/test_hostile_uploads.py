"""Uploads that are huge, slow or broken off, on a web app of its own with few threads and no worker."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import boto3
import psutil
import pytest
import requests

from local.processes import wait_until
from local.stack import Stack, running_stack

pytestmark = pytest.mark.stack

MIB = 1024 * 1024
THREADS = 16  # 6 take uploads, 8 wait for results
HEAD = "POST /classify HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="img"; filename="a.jpg"\r\n\r\n'
END = b"\r\n--x--\r\n"


@dataclass(frozen=True)
class Web:
    """The web app under test."""

    stack: Stack
    process: psutil.Process

    @property
    def url(self) -> str:
        """Its address."""
        return self.stack.services.web_url

    def connect(self, head: str = "", body: bytes = b"") -> socket.socket:
        """Open a connection and begin a request: `head` is what follows the usual lines of an upload."""
        where = urlsplit(self.url)
        sock = socket.create_connection((where.hostname or "", where.port or 0), timeout=20)
        if head:
            sock.sendall((HEAD.format(host=where.netloc) + head).encode() + body)
        return sock

    def upload(self, data: bytes) -> requests.Response:
        """Upload a photo as everybody does."""
        return requests.post(f"{self.url}/classify", files={"img": ("a.png", data)}, timeout=30)

    def busy_uploads(self) -> float:
        """Return how many uploads the app has under way."""
        text = requests.get(f"{self.url}/metrics", timeout=30).text
        (found,) = re.findall(r'^web_busy\{what="uploads"\} (\S+)$', text, re.MULTILINE)
        return float(found)

    def stored(self) -> set[str]:
        """Return the keys of all photos and results."""
        session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")  # noqa: S106 - any key does
        s3 = session.client("s3", endpoint_url=self.stack.services.emulators.aws_url)
        buckets = (self.stack.settings.input_bucket, self.stack.settings.result_bucket)
        pages = (page for bucket in buckets for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket))
        return {item["Key"] for page in pages for item in page.get("Contents", [])}

    def backlog(self) -> int:
        """Return how many tasks wait in the queue."""
        session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")  # noqa: S106 - any key does
        sqs = session.client("sqs", endpoint_url=self.stack.services.emulators.aws_url)
        name: Literal["ApproximateNumberOfMessages"] = "ApproximateNumberOfMessages"
        url = sqs.get_queue_url(QueueName=self.stack.settings.queue)["QueueUrl"]
        return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name])

    def peak_bytes(self) -> int:
        """Return the peak of its resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        (found,) = re.findall(r"VmHWM:\s+(\d+) kB", text)
        return int(found) * 1024

    def disk_bytes(self) -> int:
        """Return what its temporary files, which have no names, hold on disk."""
        held = 0
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                status, target = link.stat(), str(link.readlink())
            except OSError:  # closed meanwhile
                continue
            held += status.st_blocks * 512 if target.endswith("(deleted)") else 0
        return held


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web app with few threads; nobody works off its queue."""
    environ = {"WEB_THREADS": str(THREADS), "MAX_BACKLOG": "50"}
    with running_stack(tmp_path_factory.mktemp("hostile"), environ) as stack:
        master = psutil.Process(stack.start_web().pid)
        yield Web(stack, master.children()[0])


@pytest.fixture
def photo(photos: dict[str, bytes]) -> bytes:
    """A small photograph."""
    return photos["horse.png"]


def status_of(sock: socket.socket) -> int:
    """Read an answer's status."""
    return int(sock.recv(4096).split()[1])


def pour(sock: socket.socket, piece: bytes, total_bytes: int, peak: list[int], web: Web) -> None:
    """Send a piece again and again, until the other end has had enough; note what the disk holds meanwhile."""
    sent = 0
    try:
        while sent < total_bytes:
            sock.sendall(piece)
            sent += len(piece)
            if sent % (32 * MIB) < len(piece):
                peak.append(web.disk_bytes())
    except OSError:
        pass


def test_two_gigabytes_are_refused_before_they_are_sent(web: Web) -> None:
    """A client that asks first (curl does) sends nothing: 413, and no `100 Continue`."""
    with web.connect(f"Content-Length: {2048 * MIB}\r\nExpect: 100-continue\r\n\r\n") as sock:
        assert status_of(sock) == 413


def test_two_gigabytes_that_come_anyway_are_refused_early(web: Web) -> None:
    """The answer is there long before the end, and neither memory nor disk fills."""
    before_bytes, disk = web.peak_bytes(), [0]
    with web.connect(f"Content-Length: {2048 * MIB}\r\n\r\n", PART) as sock:
        answered = threading.Event()
        statuses: list[int] = []

        def read() -> None:
            statuses.append(status_of(sock))
            answered.set()

        reader = threading.Thread(target=read)
        reader.start()
        assert answered.wait(5), "no answer while the body came"
        reader.join()
        pour(sock, bytes(MIB), 64 * MIB, disk, web)
    assert statuses == [413]
    assert web.peak_bytes() - before_bytes < 16 * MIB
    assert max(disk) == 0


def test_a_body_without_a_length_is_cut_at_the_limit(web: Web) -> None:
    """Chunked: what is kept of one file is at most a photo's size, and the request ends at the limit with 413."""
    before_bytes, disk = web.peak_bytes(), [0]
    chunk = b"100000\r\n" + bytes(MIB) + b"\r\n"
    head = "Transfer-Encoding: chunked\r\n\r\n"
    with web.connect(head, b"%x\r\n%s\r\n" % (len(PART), PART)) as sock:
        pour(sock, chunk, 600 * MIB, disk, web)
        assert status_of(sock) == 413
    assert web.peak_bytes() - before_bytes < 32 * MIB
    assert 0 < max(disk) <= 21 * MIB
    wait_until(lambda: web.disk_bytes() == 0, 30, "the disk space to be given back")


def test_slow_clients_do_not_hold_up_others(web: Web, photo: bytes) -> None:
    """Idle connections, heads and bodies that dribble in: the next one is served at once."""
    with ExitStack() as clients:
        for _ in range(5 * THREADS):
            clients.enter_context(web.connect())
        for number in range(9):
            head = "Content-Length: 100000\r\n\r\n" if number < 4 else "X-Slow: "
            clients.enter_context(web.connect(head, PART if number < 4 else b"s"))
        wait_until(lambda: web.busy_uploads() == 4, 30, "the slow uploads to begin")
        assert web.upload(photo).status_code == 202
        assert requests.get(f"{web.url}/healthz", timeout=30).status_code == 200
        assert web.busy_uploads() >= 4


def test_a_client_that_stalls_is_told_so_and_let_go(web: Web) -> None:
    """A body that stops coming is answered with 408, and its slot is free again."""
    wait_until(lambda: web.busy_uploads() == 0, 30, "earlier uploads to end")
    with web.connect("Content-Length: 100000\r\n\r\n", PART) as sock:
        sock.settimeout(40)
        assert status_of(sock) == 408
    wait_until(lambda: web.busy_uploads() == 0, 30, "the slot to be free")


@pytest.mark.parametrize("after", ["head", "half-a-photo", "whole-photo-but-no-end"])
def test_a_client_that_disappears_leaves_nothing_behind(web: Web, photo: bytes, after: str) -> None:
    """No photo, no task, no disk space, no slot: as if it had never come."""
    stored, backlog = web.stored(), web.backlog()
    body = {"head": b"", "half-a-photo": PART + photo[: len(photo) // 2], "whole-photo-but-no-end": PART + photo}[after]
    with web.connect(f"Content-Length: {len(PART + photo + END)}\r\n\r\n", body):
        wait_until(lambda: web.busy_uploads() >= 1, 30, "the upload to begin")
    wait_until(lambda: web.busy_uploads() == 0, 15, "the upload to be given up")
    assert (web.stored(), web.backlog()) == (stored, backlog)
    assert web.disk_bytes() == 0


def test_more_uploads_than_slots_are_asked_to_come_again(web: Web, photo: bytes) -> None:
    """503 with Retry-After at once, not a queue that grows; then all is as before."""
    wait_until(lambda: web.busy_uploads() == 0, 30, "earlier uploads to end")
    with ExitStack() as clients:
        for _ in range(THREADS * 3 // 8):
            clients.enter_context(web.connect("Content-Length: 100000\r\n\r\n", PART))
        wait_until(lambda: web.busy_uploads() == THREADS * 3 // 8, 30, "the slots to be taken")
        answer = web.upload(photo)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    wait_until(lambda: web.busy_uploads() == 0, 30, "the slots to be free")
    assert web.upload(photo).status_code == 202


def test_a_refused_client_gets_its_answer_though_it_sends_on(web: Web) -> None:
    """The connection is not reset under an answer: a client that first sends and then reads gets it."""
    wait_until(lambda: web.busy_uploads() == 0, 30, "earlier uploads to end")
    answer = requests.post(f"{web.url}/classify", data=bytes(30 * MIB), timeout=30)
    assert answer.status_code in {413, 415}
    assert answer.json()["error"]


def test_too_many_listeners_are_asked_to_come_again(web: Web, photo: bytes) -> None:
    """Half of the threads may wait for results; the next one is told to ask for the batch instead."""
    batch_url = web.upload(photo).json()["batch_url"]
    with ExitStack() as clients:
        streams = [
            clients.enter_context(requests.get(f"{web.url}{batch_url}/events", stream=True, timeout=30))
            for _ in range(THREADS // 2)
        ]
        assert {stream.status_code for stream in streams} == {200}
        more = requests.get(f"{web.url}{batch_url}/events", timeout=30)
        assert (more.status_code, "Retry-After" in more.headers) == (503, True)
        # Who waits for a result is answered at once with what there is.
        result_url = requests.get(f"{web.url}{batch_url}", timeout=30).json()["results"][0]["id"]
        waited = requests.get(f"{web.url}/results/{result_url}", params={"wait": "20"}, timeout=30)
        assert waited.status_code == 202


def test_a_queue_that_is_too_long_takes_no_more(web: Web, photo: bytes) -> None:
    """503 with Retry-After, and nothing is stored; other requests are served."""
    files = [("img", (f"{number}.png", photo)) for number in range(60)]
    requests.post(f"{web.url}/classify", files=files, timeout=30)

    def refused() -> bool:
        return web.upload(photo).status_code == 503

    wait_until(refused, 30, "the queue's depth to be noticed")
    stored = web.stored()
    answer = web.upload(photo)
    assert (answer.status_code, web.stored()) == (503, stored)
    assert "are waiting already" in answer.json()["error"]
    assert int(answer.headers["Retry-After"]) > 0
    assert requests.get(f"{web.url}/readyz", timeout=30).status_code == 200
    requests.post(f"{web.url}/reset", timeout=30)
    wait_until(lambda: not refused(), 30, "room in the queue to be noticed")
