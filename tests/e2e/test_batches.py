"""Photos that belong together, on the running system: made, watched, added to, taken home."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import uuid4

import boto3
import pytest
import requests

from local.stack import Stack
from tests.client import Client

pytestmark = pytest.mark.stack

DEADLINE_S = 60


@pytest.fixture
def client(service: Stack) -> Client:
    """A user of the shared system."""
    return Client(service.services.web_url)


@pytest.fixture
def three(photos: dict[str, bytes]) -> dict[str, bytes]:
    """Three photographs."""
    return dict(islice(photos.items(), 3))


def get(client: Client, path: str, **more: Any) -> requests.Response:
    """Ask for something that is there."""
    answer = requests.get(f"{client.url}{path}", timeout=DEADLINE_S, **more)
    assert answer.status_code == 200, answer.text
    return answer


def events(client: Client, batch_url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a batch's events until its end."""
    with requests.get(f"{client.url}{batch_url}/events", stream=True, timeout=DEADLINE_S) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        kind = ""
        for line in answer.iter_lines(decode_unicode=True):
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))


def until_result(listened: Iterator[tuple[str, dict[str, Any]]], name: str) -> dict[str, Any]:
    """Return the result of the photo of this name when it is told."""
    deadline_s = time.monotonic() + DEADLINE_S
    for kind, data in listened:
        if kind == "result" and data["name"] == name:
            return data
        assert time.monotonic() < deadline_s, f"no result of {name}"
    pytest.fail(f"the stream ended without a result of {name}")


def test_with_wait_the_answer_has_all_results(client: Client, three: dict[str, bytes]) -> None:
    """One call is enough: 200 with a result for each photo, in the order sent, and their counts."""
    answer = client.post(*three.items(), params={"wait": "60"})
    assert answer.status_code == 200
    body = answer.json()
    assert [(one["name"], one["state"]) for one in body["results"]] == [(name, "SUCCESS") for name in three]
    assert body["counts"] == {"photos": 3, "pending": 0, "succeeded": 3, "failed": 0}


def test_live_events_bring_each_result_once_and_then_the_end(client: Client, three: dict[str, bytes]) -> None:
    """Who listens learns of every photo, and that no more will come."""
    taken = client.post(*three.items()).json()
    seen = list(events(client, taken["batch_url"]))
    results = [data for kind, data in seen if kind == "result"]
    assert sorted(result["id"] for result in results) == sorted(task["id"] for task in taken["tasks"])
    assert seen[-1] == ("end", {})
    assert [data for kind, data in seen if kind == "counts"][-1]["succeeded"] == 3


def test_a_photo_without_a_result_hides_none_that_are_added_later(
    client: Client, service: Stack, three: dict[str, bytes]
) -> None:
    """Who listens learns of those that were added since, and of the end when the last one was replaced."""
    name, data = next(iter(three.items()))
    taken = client.post(*three.items(), params={"wait": "60"}).json()
    # What a web process leaves that is killed between noting a photo and queueing it: there will be no result.
    lost = f"{taken['batch_id'][:-16]}{uuid4().hex[:16]}"
    note = f"batches/{taken['batch_id']}/00000000000-00000000"
    s3(service).put_object(
        Bucket=service.settings.result_bucket, Key=note, Body=json.dumps({"photos": [[lost, "lost.jpg"]]})
    )
    listened = events(client, taken["batch_url"])
    assert next(data for kind, data in listened if kind == "counts")["pending"] == 1
    assert client.post(("added.jpg", data), params={"batch": taken["batch_id"]}).status_code == 202
    assert until_result(listened, "added.jpg")["state"] == "SUCCESS"
    again = client.post((name, data), params={"batch": taken["batch_id"], "replaces": lost})
    assert again.status_code == 202
    *_, last_counts, end = listened
    assert last_counts == ("counts", {"photos": 5, "pending": 0, "succeeded": 5, "failed": 0})
    assert end == ("end", {})


def test_who_listens_again_gets_all_results_again(client: Client, three: dict[str, bytes]) -> None:
    """A connection that breaks costs nothing."""
    taken = client.post(*three.items(), params={"wait": "60"}).json()
    for _ in range(2):
        assert sum(kind == "result" for kind, _ in events(client, taken["batch_url"])) == 3


def test_a_batch_can_be_taken_home_as_csv_and_json(client: Client, three: dict[str, bytes]) -> None:
    """Both files have every photo with its label, in the order sent."""
    taken = client.post(*three.items(), params={"wait": "60"}).json()
    table = get(client, f"{taken['batch_url']}/results.csv")
    assert "attachment" in table.headers["Content-Disposition"]
    labels = [one["label"] for one in taken["results"]]
    assert [row["label"] for row in csv.DictReader(io.StringIO(table.text))] == labels
    whole = get(client, f"{taken['batch_url']}/results.json").json()
    assert [one["label"] for one in whole["results"]] == labels


def test_photos_can_be_added_to_a_batch(client: Client, three: dict[str, bytes]) -> None:
    """They show under the same address, behind those that were there."""
    taken = client.post(*three.items()).json()
    added = client.post(("later.jpg", three[next(iter(three))]), params={"batch": taken["batch_id"]}).json()
    assert added["batch_id"] == taken["batch_id"]
    assert [one["name"] for one in get(client, taken["batch_url"]).json()["results"]] == [*three, "later.jpg"]
    assert sum(kind == "result" for kind, _ in events(client, taken["batch_url"])) == 4


def test_a_photo_can_take_the_place_of_another(client: Client, three: dict[str, bytes]) -> None:
    """Sent again it stands where the other stood, which is gone from the batch."""
    taken = client.post(*three.items()).json()
    second = taken["tasks"][1]["id"]
    again = client.post(
        ("again.jpg", three[next(iter(three))]), params={"batch": taken["batch_id"], "replaces": second}
    )
    assert again.status_code == 202
    names = list(three)
    shown = get(client, taken["batch_url"]).json()["results"]
    assert [one["name"] for one in shown] == [names[0], "again.jpg", names[2]]


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        pytest.param({"replaces": ["{photo}"]}, 400, id="without-a-batch"),
        pytest.param({"batch": "{batch}", "replaces": ["{photo}", "{photo}"]}, 400, id="more-than-came"),
        pytest.param({"batch": "{batch}", "replaces": ["../x"]}, 404, id="no-photo"),
    ],
)
def test_what_cannot_be_replaced_is_refused(
    client: Client, three: dict[str, bytes], parameters: dict[str, str | list[str]], status: int
) -> None:
    """Nothing is taken then."""
    taken = client.post(*three.items()).json()
    known = {"batch": taken["batch_id"], "photo": taken["tasks"][0]["id"]}
    filled = [
        (name, value.format(**known))
        for name, values in parameters.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    assert client.post(("again.jpg", three[next(iter(three))]), params=filled).status_code == status
    assert get(client, taken["batch_url"]).json()["counts"]["photos"] == 3


def test_nothing_can_be_added_to_a_batch_that_does_not_exist(client: Client, three: dict[str, bytes]) -> None:
    """404, and the photos are not taken."""
    answer = client.post(*three.items(), params={"batch": "000000-e6aff5dc2b1-0a1b2c3-0123456789abcdef"})
    assert answer.status_code == 404


def test_a_browsers_form_is_sent_on_to_the_batchs_page(client: Client, three: dict[str, bytes]) -> None:
    """Without any script a person sees the photos sent."""
    headers = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
    answer = client.post(*three.items(), headers=headers)
    assert [step.status_code for step in answer.history] == [303]
    assert "/batches/" in answer.url
    assert all(name in answer.text for name in three)


def test_photos_that_lie_in_the_bucket_are_classified_where_they_are(
    service: Stack, client: Client, three: dict[str, bytes]
) -> None:
    """A prefix makes a batch of all that is stored under it."""
    folder = f"folder-{uuid4()}"
    for name, data in three.items():
        s3(service).put_object(Bucket=service.settings.input_bucket, Key=f"{folder}/{name}", Body=data)
    prefix = f"s3://{service.settings.input_bucket}/{folder}/"
    answer = requests.post(f"{client.url}/batches", json={"prefix": prefix}, timeout=DEADLINE_S)
    assert answer.status_code == 202, answer.text
    taken = answer.json()
    assert taken["photos"] == 3
    results = [data for kind, data in events(client, taken["batch_url"]) if kind == "result"]
    assert {result["name"]: result["state"] for result in results} == dict.fromkeys(three, "SUCCESS")


def test_of_a_prefix_only_what_is_small_enough_is_taken_and_one_photo_makes_a_batch(
    client: Client, service: Stack, three: dict[str, bytes]
) -> None:
    """No worker loads a film into its memory; a batch of one photo has its address too."""
    folder, (name, data) = f"folder-{uuid4()}", next(iter(three.items()))
    bucket = service.settings.input_bucket
    s3(service).put_object(Bucket=bucket, Key=f"{folder}/{name}", Body=data)
    s3(service).put_object(Bucket=bucket, Key=f"{folder}/film.mp4", Body=bytes(21 * 2**20))
    taken = requests.post(
        f"{client.url}/batches", json={"prefix": f"s3://{bucket}/{folder}/"}, timeout=DEADLINE_S
    ).json()
    assert taken["photos"] == 1
    assert [one["name"] for one in taken["rejected"]] == ["film.mp4"]
    alone = f"s3://{bucket}/{folder}/{name}"
    one = requests.post(f"{client.url}/batches", json={"prefix": alone}, timeout=DEADLINE_S).json()
    results = [data for kind, data in events(client, one["batch_url"]) if kind == "result"]
    assert [(result["name"], result["state"]) for result in results] == [(name, "SUCCESS")]


def test_photos_that_went_straight_to_s3_are_classified(client: Client, three: dict[str, bytes]) -> None:
    """A form for each, which S3 takes; then a batch of them. One that was never sent is named."""
    files = [{"name": name, "size_bytes": len(data)} for name, data in three.items()]
    answer = requests.post(f"{client.url}/uploads", json={"files": files}, timeout=DEADLINE_S)
    assert answer.status_code == 201, answer.text
    uploads = answer.json()["uploads"]
    for upload in uploads[:2]:
        sent = requests.post(
            upload["url"], data=upload["fields"], files={"file": three[upload["name"]]}, timeout=DEADLINE_S
        )
        assert sent.status_code in {200, 204}, sent.text
    named = [{"id": upload["id"], "name": upload["name"]} for upload in uploads]
    taken = requests.post(f"{client.url}/batches", json={"uploads": named}, timeout=DEADLINE_S).json()
    assert taken["photos"] == 2
    assert [(one["index"], one["status"]) for one in taken["rejected"]] == [(2, 404)]
    results = client.wait([upload["id"] for upload in uploads[:2]])
    assert [result["state"] for result in results] == ["SUCCESS", "SUCCESS"]


def test_recent_results_are_numbered_from_the_newest(client: Client, three: dict[str, bytes]) -> None:
    """Pages lead on to older ones, without gaps or repetitions."""
    client.post(*three.items(), params={"wait": "60"})
    first = get(client, "/results", params={"limit": "2"}).json()
    second = get(client, "/results", params={"limit": "2", "before": first["next"]}).json()
    assert first["total"] >= 3
    assert [one["number"] for one in first["results"] + second["results"]][:3] == [1, 2, 3]
    ids = [one["id"] for one in first["results"] + second["results"]]
    assert ids == sorted(set(ids))


def test_the_last_page_of_recent_results_leads_nowhere(client: Client) -> None:
    """Whoever asks as long as there is a next page comes to an end."""
    oldest = "ffffff-fffffffffff-fffffff-ffffffffffffffff"
    assert get(client, "/results", params={"before": oldest}).json()["next"] is None


def test_results_stay_in_order_when_only_the_older_ones_were_read_before(
    client: Client, service: Stack, three: dict[str, bytes]
) -> None:
    """What the web app remembers does not come before what is newer."""
    client.post(*three.items(), params={"wait": "60"})
    newest = client.post(next(iter(three.items()))).json()["batch_id"]
    stored = s3(service).get_waiter("object_exists")
    stored.wait(Bucket=service.settings.result_bucket, Key=newest, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    ids = [one["id"] for one in get(client, "/results", params={"limit": "4"}).json()["results"]]
    assert ids[0] == newest
    assert ids == sorted(ids)


def s3(service: Stack) -> Any:
    """Return a client of the emulated S3."""
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")  # noqa: S106 - any key does
    return session.client("s3", endpoint_url=service.services.emulators.aws_url)
