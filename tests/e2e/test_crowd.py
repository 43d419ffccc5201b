"""Many photos and many people at once: all are answered, and no photo is lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice

import pytest
import requests

from local.stack import Stack
from tests.client import Client

pytestmark = pytest.mark.stack

MANY = 416
DEADLINE_S = 100.0


@pytest.fixture
def client(service: Stack) -> Client:
    """A user of the shared system."""
    return Client(service.services.web_url)


@pytest.fixture
def small(photos: dict[str, bytes]) -> list[tuple[str, bytes]]:
    """416 photos: the smallest of the photographs, again and again."""
    smallest = sorted(photos.values(), key=len)[:4]
    return [(f"{number:03}.jpg", data) for number, data in enumerate(islice(cycle(smallest), MANY))]


def ids_of(answer: requests.Response) -> list[str]:
    """Return the ids of photos that must all be taken."""
    assert answer.status_code == 202, answer.text
    assert answer.json()["rejected"] == []
    return [task["id"] for task in answer.json()["tasks"]]


def states(client: Client, ids: Sequence[str]) -> Counter[str]:
    """Wait for results; return how many photos ended how."""
    return Counter(result["state"] for result in client.wait(ids, DEADLINE_S))


def test_416_photos_in_one_request(client: Client, small: list[tuple[str, bytes]]) -> None:
    """One form, one batch, a result for every photo, in the order sent."""
    answer = client.post(*small)
    ids = ids_of(answer)
    assert states(client, ids) == {"SUCCESS": MANY}
    batch = requests.get(f"{client.url}{answer.json()['batch_url']}", timeout=30).json()
    assert [one["name"] for one in batch["results"]] == [name for name, _data in small]


def test_416_photos_in_52_requests_of_8_at_once(client: Client, small: list[tuple[str, bytes]]) -> None:
    """All are taken at the first try, and every photo gets its result."""
    with ThreadPoolExecutor(52) as pool:
        answers = list(pool.map(lambda first: client.post(*small[first : first + 8]), range(0, MANY, 8)))
    ids = [photo_id for answer in answers for photo_id in ids_of(answer)]
    assert len(set(ids)) == MANY
    assert states(client, ids) == {"SUCCESS": MANY}


def test_300_people_wait_for_their_label_at_once(client: Client, small: list[tuple[str, bytes]]) -> None:
    """Each gets an answer: the label, or, where it takes too long, where to find it. None is lost.

    On a slow machine some are asked to come again first, and do.
    """

    def upload(photo: tuple[str, bytes]) -> requests.Response:
        headers = {"Accept": "application/json"}
        for _attempt in range(5):
            answer = requests.post(f"{client.url}/upload", files={"myfile": photo}, headers=headers, timeout=DEADLINE_S)
            if answer.status_code != 503:
                break
            time.sleep(float(answer.headers["Retry-After"]))
        return answer

    with ThreadPoolExecutor(300) as pool:
        answers = list(pool.map(upload, small[:300]))
    assert {answer.status_code for answer in answers} <= {200, 202}, Counter(answer.status_code for answer in answers)
    assert states(client, [answer.json()["id"] for answer in answers]) == {"SUCCESS": 300}
