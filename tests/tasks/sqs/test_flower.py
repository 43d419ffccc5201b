"""Flower on SQS: in a real browser, through its API, and refused to everybody."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from local.emulators import Emulators, answers
from local.processes import wait_until
from tasks.sqs.flower import refusal
from tests.browser import chromium
from tests.tasks.sqs.control_stack import CELERY, ControlStack, control_stack

USER, PASSWORD = "operator", "correct horse"
DEADLINE_S = 20.0
TIMEOUT_S = 20.0
TIMEOUT_MS = 1000 * TIMEOUT_S
NODE = "one@test"


@pytest.fixture(scope="module")
def stack(emulators: Emulators, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlStack]:
    """A deployment with one prefork worker."""
    with control_stack(emulators.aws_url, tmp_path_factory.mktemp("flower")) as made:
        made.start_workers({NODE: "prefork"})
        yield made


@pytest.fixture(scope="module")
def flower(stack: ControlStack) -> str:
    """Flower with a password; its URL."""
    _, url = stack.start_flower(FLOWER_BASIC_AUTH=f"{USER}:{PASSWORD}")
    wait_until(lambda: answers(f"{url}/healthcheck"), DEADLINE_S, "Flower")
    wait_until(lambda: bool(_get(url, "/workers?json=1").json()["data"]), DEADLINE_S, "the worker's first heartbeat")
    return url


@pytest.fixture
def page(flower: str) -> Iterator[Page]:
    """A page of Chromium, logged in to Flower."""
    with chromium() as browser:
        context = browser.new_context(
            base_url=flower,
            http_credentials={"username": USER, "password": PASSWORD},
            viewport={"width": 1280, "height": 800},
        )
        context.set_default_timeout(TIMEOUT_MS)
        yield context.new_page()


def _get(url: str, path: str) -> requests.Response:
    return requests.get(f"{url}{path}", auth=(USER, PASSWORD), timeout=TIMEOUT_S)


def _post(url: str, path: str) -> requests.Response:
    return requests.post(f"{url}{path}", auth=(USER, PASSWORD), timeout=TIMEOUT_S)


def _queue_lengths(url: str) -> dict[str, Any]:
    answer = _get(url, "/api/queues/length")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["active_queues"][0])


@pytest.mark.stack
def test_the_pages_show_workers_tasks_and_queues(stack: ControlStack, flower: str, page: Page) -> None:
    """An operator sees the worker online, a task with arguments, result and runtime, and what is in the queue."""
    task = stack.send("add", 20, 22)
    page.goto("/workers")
    row = page.locator("table tbody tr", has_text=NODE)
    expect(row).to_contain_text("Online")
    page.screenshot(path=stack.log_dir / "workers.png")

    done = f"/api/task/info/{task}"
    wait_until(lambda: _get(flower, done).status_code == 200, DEADLINE_S, "Flower to hear of the task")
    page.goto("/tasks")
    task_row = page.locator("#tasks-table tbody tr", has_text=task)
    expect(task_row).to_contain_text("SUCCESS", timeout=TIMEOUT_MS)
    expect(task_row).to_contain_text("(20, 22)")
    expect(task_row).to_contain_text("42")
    page.screenshot(path=stack.log_dir / "tasks.png")

    page.goto("/broker")
    cells = page.locator("#sqs-queues tbody tr", has_text=stack.tasks_queue).locator("td")
    expect(cells).to_have_count(6)
    assert cells.all_inner_texts()[5] == "1", "the queue's workers"
    page.screenshot(path=stack.log_dir / "broker.png")

    page.goto(f"/worker/{NODE}")
    expect(page.locator("body")).to_contain_text("prefork")
    page.screenshot(path=stack.log_dir / "worker.png")


@pytest.mark.stack
def test_queue_lengths_are_those_of_sqs(stack: ControlStack, flower: str) -> None:
    """The API tells visible, in-flight and delayed messages apart, and counts the dead letters."""
    control, queue = stack.control, stack.tasks_queue
    assert _queue_lengths(flower)["consumers"] == 1
    control.cancel_consumer(queue, reply=True, timeout=30, limit=1)
    # The reply comes before the deed.
    inspect = control.inspect(timeout=30, limit=1)
    wait_until(lambda: inspect.active_queues() == {NODE: []}, DEADLINE_S, "the worker to consume nothing")
    for _ in range(3):
        stack.send("add", 1, 1)
    stack.app.send_task("add", (1, 1), countdown=30)
    # A poll that was open at the cancel may bring messages still: the worker gives them back.
    wait_until(lambda: _queue_lengths(flower)["messages_ready"] == 3, DEADLINE_S, "the worker to hold no message")
    sqs = stack.client("sqs")
    sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"], VisibilityTimeout=10)
    counted = _queue_lengths(flower)
    assert counted == {
        "name": queue,
        "messages": 4,
        "messages_ready": 2,
        "messages_unacknowledged": 1,
        "messages_delayed": 1,
        "dead_letters": None,
        "consumers": counted["consumers"],
    }
    control.add_consumer(queue, reply=True, timeout=30, limit=1)
    wait_until(lambda: _queue_lengths(flower)["messages"] == 1, DEADLINE_S, "the queue to be worked off")


@pytest.mark.stack
def test_metrics_have_series_of_workers_and_tasks(stack: ControlStack, flower: str) -> None:
    """What Prometheus scrapes is filled."""
    stack.send("add", 1, 2)
    series = (
        f'flower_worker_online{{worker="{NODE}"}} 1.0',
        f'flower_events_total{{task="add",type="task-succeeded",worker="{NODE}"}}',
        f'flower_task_runtime_seconds_count{{task="add",worker="{NODE}"}}',
    )
    wait_until(lambda: all(text in _get(flower, "/metrics").text for text in series), DEADLINE_S, "the series")


@pytest.mark.stack
def test_the_pool_grows_and_a_worker_is_shut_down_from_flower(stack: ControlStack, flower: str) -> None:
    """The buttons of the worker's page reach the worker."""
    worker = stack.start_workers({"two@test": "prefork"})["two@test"]
    assert _get(flower, "/worker/two@test").status_code == 200
    grown = _post(flower, "/api/worker/pool/grow/two@test?n=1")
    assert (grown.status_code, "Growing" in grown.text) == (200, True)
    assert _post(flower, "/api/worker/shutdown/two@test").json() == {"message": "Shutting down!"}
    wait_until(lambda: not worker.alive(), DEADLINE_S, "the worker's end")
    assert worker.process.returncode == 0


@pytest.mark.stack
@pytest.mark.parametrize("path", ["/", "/tasks", "/broker", "/api/workers", "/api/queues/length"])
def test_nothing_is_shown_without_the_password(flower: str, path: str) -> None:
    """Every page and the API ask for the password; so does everything that would stop a worker."""
    assert requests.get(f"{flower}{path}", timeout=TIMEOUT_S).status_code == 401
    assert requests.get(f"{flower}{path}", auth=(USER, "wrong"), timeout=TIMEOUT_S).status_code == 401
    assert requests.post(f"{flower}/api/worker/shutdown/{NODE}", timeout=TIMEOUT_S).status_code == 401


@pytest.mark.stack
def test_flower_ends_cleanly(stack: ControlStack) -> None:
    """A Flower that is stopped removes its queues and its subscription."""
    before = set(stack.queues()), set(stack.subscriptions())
    process, url = stack.start_flower()
    wait_until(lambda: answers(f"{url}/healthcheck"), DEADLINE_S, "Flower")
    wait_until(lambda: len(stack.subscriptions()) > len(before[1]), DEADLINE_S, "its subscription")
    process.stop()
    assert (set(stack.queues()) - before[0], set(stack.subscriptions()) - before[1]) == (set(), set())


@pytest.mark.stack
def test_flower_refuses_to_serve_everybody(stack: ControlStack) -> None:
    """Without a password Flower does not listen on all addresses, and one line says what to do."""
    ended = subprocess.run(
        (*CELERY, "flower", "--port=0"),
        env=dict(stack.environ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if line.startswith("error: ")] == [
        refusal("", has_credentials=False)
    ]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("address", "has_credentials", "unix_socket", "is_refused"),
    [
        pytest.param("", False, "", True, id="all addresses"),
        pytest.param("0.0.0.0", False, "", True, id="all addresses, spelled out"),  # noqa: S104 - refused
        pytest.param("10.0.0.7", False, "", True, id="the network"),
        pytest.param("flower.example.org", False, "", True, id="a name"),
        pytest.param("10.0.0.7", True, "", False, id="the network, with a password"),
        pytest.param("127.0.0.1", False, "", False, id="this machine"),
        pytest.param("::1", False, "", False, id="this machine, IPv6"),
        pytest.param("localhost", False, "", False, id="this machine, by name"),
        pytest.param("", False, "/run/flower.sock", False, id="a socket in the file system"),
    ],
)
def test_only_this_machine_needs_no_password(
    address: str, *, has_credentials: bool, unix_socket: str, is_refused: bool
) -> None:
    """Flower without a password is for the machine it runs on."""
    assert bool(refusal(address, has_credentials=has_credentials, unix_socket=unix_socket)) is is_refused
