"""What the web app says, and keeps, when a part of AWS fails amid a request; nobody works off its queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from bench.counting_proxy import Answer, Call, CountingProxy, counting_proxy
from local.stack import Stack, running_stack

pytestmark = pytest.mark.stack

TIMEOUT_S = 60
THREADS = 8  # 4 of them may wait for results


@dataclass(frozen=True)
class Web:
    """The web app under test, and the AWS that it sees."""

    stack: Stack
    aws: CountingProxy

    @property
    def url(self) -> str:
        """Its address."""
        return self.stack.services.web_url

    def post(self, path: str, **more: Any) -> requests.Response:
        """Send a request."""
        return requests.post(f"{self.url}{path}", timeout=TIMEOUT_S, **more)

    def send(self, path: str, photo: bytes) -> requests.Response:
        """Send a photo in a form."""
        return self.post(path, files={"img": ("a.png", photo)})

    def put_directly(self, *photos: bytes) -> list[dict[str, str]]:
        """Put photos into S3 by forms; return what `POST /batches` takes."""
        files = [{"name": f"{number}.png", "size_bytes": len(photo)} for number, photo in enumerate(photos)]
        uploads = self.post("/uploads", json={"files": files}).json()["uploads"]
        for upload, photo in zip(uploads, photos, strict=True):
            sent = requests.post(upload["url"], data=upload["fields"], files={"file": photo}, timeout=TIMEOUT_S)
            assert sent.ok, sent.text
        return [{"id": upload["id"], "name": upload["name"]} for upload in uploads]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A web app with few threads whose S3 and SQS go through a proxy."""
    environ = {"WEB_THREADS": str(THREADS)}
    with (
        running_stack(tmp_path_factory.mktemp("failing"), environ) as stack,
        counting_proxy(stack.services.emulators.aws_url) as aws,
    ):
        stack.start_web({"AWS_ENDPOINT_URL_S3": aws.url, "AWS_ENDPOINT_URL_SQS": aws.url})
        yield Web(stack, aws)


@pytest.fixture
def web(running: Web) -> Iterator[Web]:
    """The web app, on an AWS that works until the test says otherwise."""
    yield running
    running.aws.instead = None


def note_fails(call: Call) -> Answer | None:
    """Take no note of a batch."""
    return Answer.s3_error(400, "ExpiredToken") if call.method == "PUT" and "/batches/" in call.path else None


def queue_fails(call: Call) -> Answer | None:
    """Take no message."""
    refused = Answer(400, b'{"__type": "com.amazonaws.sqs#AccessDenied"}')
    return refused if call.action.startswith("AmazonSQS.SendMessage") else None


def reading_fails(call: Call) -> Answer | None:
    """Let nothing be read from S3."""
    return Answer.s3_error(400, "ExpiredToken") if call.method == "GET" else None


@pytest.mark.parametrize("failure", [note_fails, queue_fails])
def test_photos_that_went_straight_to_s3_stay_there_until_they_are_taken(
    web: Web, photos: dict[str, bytes], failure: Callable[[Call], Answer | None]
) -> None:
    """503 says to try again: the same ids are taken then, without the photos being sent again."""
    uploads = web.put_directly(photos["horse.png"], photos["horse.png"])
    web.aws.instead = failure
    refused = web.post("/batches", json={"uploads": uploads})
    web.aws.instead = None
    again = web.post("/batches", json={"uploads": uploads})
    assert (refused.status_code, again.status_code) == (503, 202), (refused.text, again.text)
    assert again.json()["photos"] == len(uploads)


def test_photos_that_were_taken_are_never_said_not_to_be(web: Web, photos: dict[str, bytes]) -> None:
    """All who may wait do, and no result can be read: 202 all the same, or every client would send its photos again."""
    with ExitStack() as listeners:
        batch_url = web.send("/classify", photos["horse.png"]).json()["batch_url"]
        for _ in range(THREADS // 2):
            listen = requests.get(f"{web.url}{batch_url}/events", stream=True, timeout=TIMEOUT_S)
            listeners.enter_context(listen)
        web.aws.instead = reading_fails
        answers = [web.send(path, photos["horse.png"]) for path in ("/classify?wait=5", "/upload")]
    assert [answer.status_code for answer in answers] == [202, 202], [answer.text for answer in answers]
    assert any(call.method == "GET" and call.path.split("/")[-1] == answers[1].json()["id"] for call in web.aws.calls)
