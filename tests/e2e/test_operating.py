"""What those who run the web app rely on: readiness, reloads, reset, figures."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable

import pytest
import requests

from local.emulators import answers
from local.ports import LOOPBACK, free_port
from local.processes import Supervised, wait_until
from local.stack import Stack
from tests.client import Client

pytestmark = pytest.mark.stack

TIMEOUT_S = 60


@pytest.fixture
def stack(new_stack: Callable[..., Stack]) -> Stack:
    """A system of the test's own, without workers and with nothing in it."""
    return new_stack()


@pytest.fixture
def web(stack: Stack) -> Supervised:
    """Its web app."""
    return stack.start_web()


@pytest.fixture
def client(stack: Stack, web: Supervised) -> Client:
    """A user of it."""
    assert web.alive()
    return Client(stack.services.web_url)


def test_readiness_names_what_cannot_be_reached(service: Stack) -> None:
    """503 with the broken part alone; the process itself is healthy, and the reason is in its log."""
    port, nowhere = free_port(), f"http://{LOOPBACK}:{free_port()}"
    web = service.start(service.services.web(), {"WEB_PORT": str(port), "AWS_ENDPOINT_URL_SQS": nowhere})
    try:
        url = f"http://{LOOPBACK}:{port}"
        wait_until(lambda: answers(f"{url}/healthz"), TIMEOUT_S, "the web app")
        answer = requests.get(f"{url}/readyz", timeout=TIMEOUT_S)
        assert (answer.status_code, answer.json()["broken"]) == (503, ["queue"])
    finally:
        web.stop()


def test_the_system_says_when_it_is_ready(service: Stack) -> None:
    """200 while photos can be taken."""
    answer = requests.get(f"{service.services.web_url}/readyz", timeout=TIMEOUT_S)
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "broken": []})


def test_status_tells_queue_and_model_and_that_no_scaler_answers(service: Stack) -> None:
    """What is not known is null, not zero."""
    told = requests.get(f"{service.services.web_url}/status", timeout=TIMEOUT_S).json()
    assert set(told["queue"]) == {"backlog", "in_flight"}
    assert told["model"] == "everyday10"
    assert told["nodes"] is None


def test_reset_removes_everything_and_says_how_much(client: Client, photos: dict[str, bytes]) -> None:
    """Photos, batches and waiting tasks are gone; their addresses answer 404."""
    taken = client.post(("a.png", photos["horse.png"]), ("b.png", photos["horse.png"])).json()
    client.post(("c.png", photos["horse.png"]))
    answer = requests.post(f"{client.url}/reset", timeout=TIMEOUT_S)
    assert answer.json() == {"photos": 3, "results": 0, "batches": 1, "messages": 3}
    gone = [taken["batch_url"], taken["tasks"][0]["result_url"]]
    assert [requests.get(f"{client.url}{path}", timeout=TIMEOUT_S).status_code for path in gone] == [404, 404]


def test_a_reload_keeps_every_connection_and_ends_waits_early(
    client: Client, web: Supervised, photos: dict[str, bytes]
) -> None:
    """SIGHUP: who waits is answered in time with what there is, who listens is let go, new requests are served."""
    answered: list[tuple[str, int]] = []
    taken = client.post(("a.png", photos["horse.png"])).json()

    def wait() -> None:
        answer = client.post(("b.png", photos["horse.png"]), params={"wait": "60"})
        answered.append(("wait", answer.status_code))

    def listen() -> None:
        answer = requests.get(f"{client.url}{taken['batch_url']}/events", timeout=TIMEOUT_S)
        answered.append(("events", answer.status_code))

    threads = [threading.Thread(target=target) for target in (wait, listen)]
    for thread in threads:
        thread.start()
    wait_until(lambda: _waiting(client.url) == 2, 30, "both to wait")
    web.process.send_signal(signal.SIGHUP)
    for thread in threads:
        thread.join(20)
    assert sorted(answered) == [("events", 200), ("wait", 202)]
    assert client.post(("c.png", photos["horse.png"])).status_code == 202


def test_figures_tell_photos_refusals_and_who_waits(client: Client, photos: dict[str, bytes]) -> None:
    """Prometheus finds what became of photos, and how busy the process is."""
    client.post(("a.png", photos["horse.png"]), ("b.txt", b"no photo"))
    text = requests.get(f"{client.url}/metrics", timeout=TIMEOUT_S).text
    assert 'web_photos_total{outcome="taken"} 1.0' in text
    assert 'web_photos_total{outcome="rejected"} 1.0' in text
    assert 'web_busy{what="uploads"} 0.0' in text


def test_figures_are_those_of_all_processes(new_stack: Callable[..., Stack], photos: dict[str, bytes]) -> None:
    """With several web processes every answer has the sum, whichever process gives it."""
    stack = new_stack(WEB_WORKERS="2")
    stack.start_web()
    client = Client(stack.services.web_url)
    for _ in range(6):
        client.post(("a.png", photos["horse.png"]))
    texts = [requests.get(f"{client.url}/metrics", timeout=TIMEOUT_S).text for _ in range(6)]
    assert all('web_photos_total{outcome="taken"} 6.0' in text for text in texts)


def _waiting(url: str) -> float:
    text = requests.get(f"{url}/metrics", timeout=TIMEOUT_S).text
    (found,) = re.findall(r'^web_busy\{what="waiting"\} (\S+)$', text, re.MULTILINE)
    return float(found)
