"""The HTTP API on the running system: what a program that uploads photos can rely on."""

from __future__ import annotations

import io
import zlib
from itertools import islice

import boto3
import pytest
import requests
from PIL import Image

from local.stack import Stack
from tests.client import Client

pytestmark = pytest.mark.stack


@pytest.fixture
def client(service: Stack) -> Client:
    """A user of the shared system."""
    return Client(service.services.web_url)


def test_several_photos_in_one_form_get_a_task_each(client: Client, photos: dict[str, bytes]) -> None:
    """202 names an id, the photo's name and where its result will be, in the order sent."""
    chosen = dict(islice(photos.items(), 3))
    answer = client.post(*chosen.items())
    assert answer.status_code == 202
    tasks = answer.json()["tasks"]
    assert [task["name"] for task in tasks] == list(chosen)
    assert [task["result_url"] for task in tasks] == [f"/results/{task['id']}" for task in tasks]
    client.wait([task["id"] for task in tasks])


def test_a_result_says_what_the_photo_shows(client: Client, photos: dict[str, bytes]) -> None:
    """A finished photo has a label, a confidence, the five likeliest labels, the model and its timings."""
    (task_id,) = client.upload({"chelsea.png": photos["chelsea.png"]})
    (result,) = client.wait([task_id])
    assert (result["id"], result["name"], result["state"]) == (task_id, "chelsea.png", "SUCCESS")
    assert (result["label"], result["model"]) == ("cat", "everyday10")
    assert len(result["top"]) == 5
    assert result["top"][0] == {"label": "cat", "confidence": result["confidence"]}
    assert {"queue_s", "fetch_s", "decode_s", "batch_wait_s", "inference_s"} == set(result["timings"])
    assert all(seconds >= 0 for seconds in result["timings"].values())


def test_a_result_says_how_long_the_worker_took_to_store_the_one_before(
    client: Client, photos: dict[str, bytes]
) -> None:
    """Its own storing cannot be in it; a slow store shows all the same."""
    client.wait(client.upload({"first.png": photos["chelsea.png"]}))
    (second,) = client.wait(client.upload({"second.png": photos["chelsea.png"]}))
    assert 0 < second["previous_store_s"] < 10


def test_image_task_and_result_share_one_id(service: Stack, client: Client, photos: dict[str, bytes]) -> None:
    """The id is the key in both buckets."""
    (task_id,) = client.upload({"coffee.png": photos["coffee.png"]})
    client.wait([task_id])
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")  # noqa: S106 - any key does
    s3 = session.client("s3", endpoint_url=service.services.emulators.aws_url)
    for bucket in (service.settings.input_bucket, service.settings.result_bucket):
        assert s3.head_object(Bucket=bucket, Key=task_id)["ContentLength"] > 0


@pytest.mark.parametrize("task_id", ["0f8fad5b-d9cb-469f-a165-70867728950e", "nonsense", "..%2f..%2fsecret"])
def test_an_id_nobody_uploaded_is_not_found(client: Client, task_id: str) -> None:
    """404 at once, not pending for ever."""
    answer = client.result(task_id)
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_good_photos_are_taken_beside_a_bad_one(client: Client, photos: dict[str, bytes]) -> None:
    """One bad file in a form costs the others nothing, and is named with its place and reason."""
    answer = client.post(("a.png", photos["coffee.png"]), ("b.txt", b"hello"), ("c.png", photos["moon.png"]))
    assert answer.status_code == 202
    body = answer.json()
    assert [task["name"] for task in body["tasks"]] == ["a.png", "c.png"]
    assert [(entry["index"], entry["name"]) for entry in body["rejected"]] == [(1, "b.txt")]
    client.wait([task["id"] for task in body["tasks"]])


def test_a_form_without_a_photo_is_told_which_field_to_use(client: Client) -> None:
    """400 with the name of the field."""
    answer = requests.post(f"{client.url}/classify", files={"photo": ("a.jpg", b"x")}, timeout=30)
    assert answer.status_code == 400
    assert "`img`" in answer.json()["error"]


@pytest.mark.parametrize(
    ("name", "data", "status", "said"),
    [
        pytest.param("photo.txt", b"just text", 415, "not a photo", id="text"),
        pytest.param("empty.jpg", b"", 400, "empty", id="empty"),
        pytest.param("large.jpg", bytes(50 * 1024 * 1024), 413, "50 MB; at most 20 MB", id="50-MB"),
    ],
)
def test_a_file_that_is_no_photo_is_refused_at_once(
    client: Client, name: str, data: bytes, status: int, said: str
) -> None:
    """The sender reads in a sentence what is wrong with the file."""
    answer = client.post((name, data))
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_a_png_of_a_few_kb_with_900_million_pixels_is_refused_at_once(client: Client) -> None:
    """A decompression bomb is known by its header and never reaches a worker."""
    output = io.BytesIO()
    Image.new("1", (1, 1)).save(output, "PNG")
    tiny = bytearray(output.getvalue())
    tiny[16:24] = (30_000).to_bytes(4, "big") * 2
    tiny[29:33] = zlib.crc32(tiny[12:29]).to_bytes(4, "big")
    answer = client.post(("bomb.png", bytes(tiny)))
    assert answer.status_code == 415
    assert "too many pixels" in answer.json()["error"]


def test_a_truncated_photo_ends_as_a_failure_that_says_so(client: Client, photos: dict[str, bytes]) -> None:
    """What only decoding can tell comes as a FAILURE result, under the photo's name; the worker goes on."""
    whole = photos["china.jpg"]
    ids = client.upload({"half.jpg": whole[: len(whole) // 2], "china.jpg": whole})
    failed, succeeded = client.wait(ids)
    assert (failed["state"], failed["name"]) == ("FAILURE", "half.jpg")
    assert failed["error"] == "The photo is damaged or incomplete and cannot be decoded."
    assert succeeded["state"] == "SUCCESS"


def test_flowers_page_opens(service: Stack) -> None:
    """Flower serves its page."""
    answer = requests.get(service.services.flower_url, timeout=30)
    assert answer.status_code == 200
    assert "Flower" in answer.text
