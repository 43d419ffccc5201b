"""The command line against servers that are busy, picky, or no servers of ours."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from local.ports import free_port
from tests.webapp.cli.server import Answer, running, success, taken
from webapp.cli.__main__ import main

BUSY = {"Retry-After": "1"}
ERROR = {"error": "Not now.", "request_id": "r"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with three files."""
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def run(folder: Path, url: str, *options: str) -> int:
    """Run the command line."""
    return main(["classify", str(folder), "--url", url, "--quiet", *options], {"CLASSIFIER_API_KEY": "key"})


@pytest.mark.parametrize(
    "busy",
    [
        pytest.param(Answer(503, ERROR, BUSY), id="503"),
        pytest.param(Answer(429, ERROR, BUSY), id="429"),
        pytest.param(Answer(502, None), id="a-proxy-without-a-server"),
    ],
)
def test_a_busy_server_is_asked_again(photos: Path, busy: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    """The same files are sent again when the server says, and end with their labels."""
    results = tuple(success(one) for one in "123")
    with running(busy, taken(*"123"), results=results) as server:
        assert run(photos, server.url, "--json") == 0
    assert len(server.uploads) == 2
    assert server.keys == {"Bearer key"}
    told = json.loads(capsys.readouterr().out)
    assert [(Path(one["file"]).name, one["label"]) for one in told["photos"]] == [
        ("a.jpg", "cat"),
        ("b.jpg", "cat"),
        ("c.jpg", "cat"),
    ]
    assert told["url"].startswith(server.url)


def test_files_that_could_not_be_stored_are_sent_again_alone(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the server could not store is sent again, into the same batch; what it refused is not."""
    monkeypatch.setattr("webapp.cli.sending.AGAIN_S", 0.01)
    rejected = (
        {"index": 0, "name": "a.jpg", "error": "Not stored.", "status": 503},
        {"index": 2, "name": "c.jpg", "error": "No photo.", "status": 415},
    )
    with running(taken("2", rejected=rejected), taken("1"), results=(success("1"), success("2"))) as server:
        assert run(photos, server.url, "--csv") == 1
    assert b"a.jpg" in server.uploads[1]
    assert b"b.jpg" not in server.uploads[1]
    assert "batch=" in server.queries[1]
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [(row["state"], row["error"], row["id"]) for row in rows] == [
        ("SUCCESS", "", "1"),
        ("SUCCESS", "", "2"),
        ("REJECTED", "No photo.", ""),
    ]


def test_a_request_that_is_too_large_is_sent_in_parts(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever limit stands in between: only a file that is too large alone is not taken."""
    results = (success("1"), success("3"))
    with running(
        Answer(413), taken("1"), Answer(413, ERROR), Answer(413, ERROR), taken("3"), results=results
    ) as server:
        assert run(photos, server.url, "--json") == 1
    states = [one["state"] for one in json.loads(capsys.readouterr().out)["photos"]]
    assert states == ["SUCCESS", "REJECTED", "SUCCESS"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(Answer(401, ERROR), "API key", id="wrong-key"),
        pytest.param(Answer(403, ERROR), "Not now.", id="forbidden"),
        pytest.param(Answer(308, None, {"Location": "https://else/"}), "https://else/", id="moved"),
        pytest.param(Answer(200, {"rejected": 1}), "not understood", id="another-api"),
    ],
)
def test_a_server_that_takes_nothing_ends_the_run_with_its_reason(
    photos: Path, answer: Answer, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 3, and a sentence."""
    with running(answer) as server:
        assert run(photos, server.url) == 3
    assert said in capsys.readouterr().err


def test_a_server_that_is_not_there_is_told_at_once(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 3 without a wait."""
    assert run(photos, f"http://127.0.0.1:{free_port()}") == 3
    assert "cannot be reached" in capsys.readouterr().err


def test_a_server_that_never_has_room_is_given_up(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After --timeout without progress."""
    with running(*[Answer(503, ERROR, BUSY)] * 9) as server:
        assert run(photos, server.url, "--timeout", "0.5") == 3
    assert "Nothing happened for 0.5 seconds. Not now." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["classify", "/nowhere.jpg"], "/nowhere.jpg: No such file", id="missing-file"),
        pytest.param(["classify", "{empty}"], "no photos", id="empty-folder"),
    ],
)
def test_nothing_to_send_is_wrong_usage(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2 before any server is asked."""
    assert main([one.format(empty=tmp_path) for one in arguments], {}) == 2
    assert said in capsys.readouterr().err
