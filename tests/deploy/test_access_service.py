"""The service with each process under its own role, on an AWS that enforces IAM."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from local.emulators import REGION
from local.processes import Command, wait_until
from tests.client import Client
from tests.deploy.access_service import PROFILES, Service, running_service

pytestmark = pytest.mark.stack

DEADLINE_S = 30.0
PHOTO = "000000-e6aff5dc2b1-0a1b2c3-0123456789abcdef"
REFUSALS = ("not authorized", "AccessDenied", "UnauthorizedOperation", "answers 403")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """All of a deployed stack, every process under its role."""
    with running_service(tmp_path_factory.mktemp("access")) as started:
        yield started


@pytest.fixture(autouse=True)
def _nobody_is_refused(service: Service) -> Iterator[None]:
    yield
    assert refusals(service) == []


@pytest.fixture
def client(service: Service) -> Client:
    """A user."""
    return Client(service.stack.services.web_url)


def refusals(service: Service) -> list[str]:
    """Return the lines in which a process says that AWS has refused something."""
    return [
        f"{log.name}: {line}"
        for log in service.stack.log_dir.rglob("*.log")
        for line in log.read_text(errors="replace").splitlines()
        if any(word in line for word in REFUSALS)
    ]


def assumed(service: Service, role: str) -> boto3.Session:
    """Return a session under a role of the web machine's processes."""
    profiles = {output: profile for profile, output in PROFILES.items()}
    names = ("AWS_CONFIG_FILE", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_ENDPOINT_URL")
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setenv(name, service.stack.environ[name])
        patch.delenv("AWS_ACCESS_KEY_ID", raising=False)
        patch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
        session = boto3.Session(profile_name=profiles[role], region_name=REGION)
        keys = session.get_credentials().get_frozen_credentials()  # type: ignore[union-attr]  # it has a role
    return boto3.Session(keys.access_key, keys.secret_key, keys.token, region_name=REGION)


def ask(url: str, path: str, **body: Any) -> Any:
    """Ask an address that answers with JSON; with a body by POST."""
    answer = requests.post(url + path, json=body, timeout=30) if body else requests.get(url + path, timeout=30)
    assert answer.ok, answer.text
    return answer.json()


def test_the_smoke_test_passes_under_the_roles(service: Service) -> None:
    """`make smoke URL=…`: every photograph gets a label, from a node that the scaler launched; a broken file an error."""
    argv = (sys.executable, "-m", "local", "smoke", "--url", service.stack.services.web_url)
    smoke = service.stack.run(Command("smoke", argv))
    assert smoke.returncode == 0, smoke.stdout + smoke.stderr
    assert "photographs labelled; passed" in smoke.stdout


def test_a_photo_that_went_straight_into_s3_is_classified(client: Client, photos: dict[str, bytes]) -> None:
    """A form that the web app has signed under its role is taken by S3."""
    data = photos["chelsea.png"]
    (form,) = ask(client.url, "/uploads", files=[{"name": "chelsea.png", "size_bytes": len(data)}])["uploads"]
    assert requests.post(form["url"], form["fields"], files={"file": data}, timeout=30).ok
    assert ask(client.url, "/batches", uploads=[{"id": form["id"], "name": form["name"]}])["photos"] == 1
    (result,) = client.wait([form["id"]])
    assert result["label"]


def test_pages_batches_and_status_are_served(client: Client, photos: dict[str, bytes]) -> None:
    """What the web app reads, it may read: batches, results, photos, counts."""
    taken = client.post(("a.png", photos["chelsea.png"]), ("b.png", photos["horse.png"])).json()
    ids = [task["id"] for task in taken["tasks"]]
    client.wait(ids)
    assert len(ask(client.url, taken["batch_url"])["results"]) == len(ids)
    for path in ("/", f"/photos/{ids[0]}", f"/photos/{ids[0]}/thumbnail", "/results", "/readyz", "/metrics"):
        assert requests.get(client.url + path, timeout=30).ok, path
    assert ask(client.url, "/status")["queue"] is not None


def test_flower_sees_and_commands(service: Service, client: Client, photos: dict[str, bytes]) -> None:
    """Flower hears events, counts queues, and its commands reach the node's worker."""
    client.wait(client.upload({"chelsea.png": photos["chelsea.png"]}))
    flower = service.stack.services.flower_url

    def workers() -> list[str]:
        return list(ask(flower, "/api/workers?refresh=1"))

    wait_until(lambda: bool(workers()), DEADLINE_S, "Flower to know the node's worker")
    (queue,) = ask(flower, "/api/queues/length")["active_queues"]
    assert (queue["name"], queue["messages"]) == (service.stack.settings.queue, 0)
    worker = workers()[0]
    grown = requests.post(f"{flower}/api/worker/pool/grow/{worker}", data={"n": "1"}, timeout=30)
    assert "message" in grown.json(), grown.text


def test_a_reset_removes_everything(client: Client, photos: dict[str, bytes]) -> None:
    """The operator may delete photos and results and empty the queue."""
    (photo_id,) = client.upload({"chelsea.png": photos["chelsea.png"]})
    client.wait([photo_id])
    answer = requests.post(f"{client.url}/reset", timeout=30)
    assert answer.status_code == 200, answer.text
    assert client.result(photo_id).status_code == 404


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_nobody_reaches_photos_and_tasks_but_by_tls(service: Service, scheme: str) -> None:
    """What a role may do by TLS it may not without: buckets and queues refuse it themselves."""
    keys = assumed(service, "WebRole")
    settings = service.stack.settings
    requests_by: dict[str, Callable[[Any], object]] = {
        "s3": lambda client: client.put_object(Bucket=settings.input_bucket, Key=PHOTO, Body=b""),
        "sqs": lambda client: client.get_queue_url(QueueName=settings.queue),
    }
    refused = []
    for name, ask_for in requests_by.items():
        client = keys.client(name, endpoint_url=service.deployment.emulators.aws_url)  # type: ignore[call-overload]  # any
        client.meta.events.register("before-send", partial(_say_how_it_came, scheme))
        try:
            ask_for(client)
        except ClientError as error:
            refused.append((name, error.response["Error"]["Code"]))
    assert refused == ([] if scheme == "https" else [("s3", "AccessDenied"), ("sqs", "AccessDenied")])


def _say_how_it_came(scheme: str, request: Any, **_rest: object) -> None:
    request.headers["X-Forwarded-Proto"] = scheme
