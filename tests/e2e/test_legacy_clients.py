"""Programs that were written for other photo services work with this one as they are."""

from __future__ import annotations

import pytest
import requests

from local.stack import Stack

pytestmark = pytest.mark.stack

TIMEOUT_S = 60


@pytest.mark.parametrize("field", ["myfile", "img", "file", "image"])
def test_one_photo_in_a_form_is_answered_with_its_name_and_label(
    service: Stack, photos: dict[str, bytes], field: str
) -> None:
    """Whatever the field is called: `name,label` as text, in the same answer."""
    files = {field: ("test_0.png", photos["chelsea.png"])}
    answer = requests.post(f"{service.services.web_url}/upload", files=files, timeout=TIMEOUT_S)
    assert (answer.status_code, answer.text) == (200, "test_0.png,cat")
    assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("field", ["img", "file", "image", "myfile"])
def test_several_photos_in_one_field_are_all_taken(service: Stack, photos: dict[str, bytes], field: str) -> None:
    """A form POST with several files to /classify, as HTML's `multiple` sends them."""
    files = [(field, (name, photos[name])) for name in ("chelsea.png", "horse.png")]
    answer = requests.post(f"{service.services.web_url}/classify", files=files, timeout=TIMEOUT_S)
    assert answer.status_code == 202
    assert [task["name"] for task in answer.json()["tasks"]] == ["chelsea.png", "horse.png"]


def test_who_prefers_json_gets_the_whole_result(service: Stack, photos: dict[str, bytes]) -> None:
    """The same call with `Accept: application/json` tells the confidence and the rest."""
    answer = requests.post(
        f"{service.services.web_url}/upload",
        files={"myfile": ("a.png", photos["chelsea.png"])},
        headers={"Accept": "application/json"},
        timeout=TIMEOUT_S,
    )
    assert answer.json()["label"] == "cat"
    assert 0 < answer.json()["confidence"] <= 1


def test_a_photo_that_cannot_be_classified_is_answered_with_the_reason(
    service: Stack, photos: dict[str, bytes]
) -> None:
    """422 with the sentence that its result has."""
    half = photos["china.jpg"][: len(photos["china.jpg"]) // 2]
    answer = requests.post(
        f"{service.services.web_url}/upload", files={"myfile": ("half.jpg", half)}, timeout=TIMEOUT_S
    )
    assert answer.status_code == 422
    assert answer.json()["error"] == "The photo is damaged or incomplete and cannot be decoded."


def test_several_photos_to_upload_are_told_where_to_go(service: Stack, photos: dict[str, bytes]) -> None:
    """400 names the address that takes several; nothing is taken."""
    files = [("myfile", ("a.png", photos["horse.png"])), ("myfile", ("b.png", photos["horse.png"]))]
    answer = requests.post(f"{service.services.web_url}/upload", files=files, timeout=TIMEOUT_S)
    assert answer.status_code == 400
    assert "/classify" in answer.json()["error"]
