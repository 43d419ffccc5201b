"""Nothing accepted is lost when workers stop, die or are not there."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle, islice

import pytest

from local.processes import wait_until
from local.stack import Stack
from tests.client import Client
from tests.forwarder import forwarding

pytestmark = pytest.mark.stack


def some(photos: dict[str, bytes], count: int) -> dict[str, bytes]:
    """Return `count` photos under names of their own."""
    return {f"{number}-{name}": data for number, (name, data) in enumerate(islice(cycle(photos.items()), count))}


def test_photos_uploaded_while_no_worker_runs_are_classified_when_one_starts(
    new_stack: Callable[..., Stack], photos: dict[str, bytes]
) -> None:
    """The queue keeps them."""
    stack = new_stack()
    stack.start_web()
    client = Client(stack.services.web_url)
    worker = stack.start_worker()
    worker.stop()
    ids = client.upload(some(photos, 5))
    assert [client.result(task_id).status_code for task_id in ids] == [202] * 5
    stack.start_worker("another")
    assert [result["state"] for result in client.wait(ids)] == ["SUCCESS"] * 5


def test_a_killed_workers_photos_are_classified_by_another(
    new_stack: Callable[..., Stack], photos: dict[str, bytes]
) -> None:
    """SIGKILL amid 20 photos: each of them ends with one result, under its own name."""
    stack = new_stack(VISIBILITY_TIMEOUT_S="6", TASK_TIME_LIMIT_S="5", WORKER_THREADS="2")
    stack.start_web()
    client = Client(stack.services.web_url)
    worker = stack.start_worker()
    chosen = some(photos, 20)
    ids = client.upload(chosen)
    wait_until(lambda: any(client.result(task_id).status_code == 200 for task_id in ids), 30, "the first result")
    worker.kill()
    assert any(client.result(task_id).status_code == 202 for task_id in ids), "killed too late to tell"
    stack.start_worker("another")
    results = client.wait(ids)
    assert [result["state"] for result in results] == ["SUCCESS"] * 20
    assert [result["name"] for result in results] == list(chosen)


def test_a_photo_that_cannot_be_fetched_now_is_tried_again_until_it_can(
    new_stack: Callable[..., Stack], photos: dict[str, bytes]
) -> None:
    """A worker that S3 is out of reach for loses nothing: the photo is classified once S3 is back."""
    stack = new_stack(VISIBILITY_TIMEOUT_S="6", TASK_TIME_LIMIT_S="5", MAX_RECEIVES="50")
    stack.start_web()
    client = Client(stack.services.web_url)
    with forwarding(stack.services.emulators.aws_port) as s3:
        worker = stack.start_worker(environ={"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{s3.port}"})
        ids = client.upload(some(photos, 3))
        wait_until(lambda: "StoreUnavailable" in worker.log.read_text(), 30, "a failed fetch")
        assert [client.result(task_id).status_code for task_id in ids] == [202] * 3
        s3.open.set()
        assert [result["state"] for result in client.wait(ids)] == ["SUCCESS"] * 3
