"""The command line's parts that decide and read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.formparser import parse_form_data

from webapp.cli.arguments import parse
from webapp.cli.board import Row
from webapp.cli.events import Event
from webapp.cli.events import parse as parse_events
from webapp.cli.files import File, find, pieces
from webapp.cli.form import Form, Unreadable
from webapp.cli.output import print_table


def test_a_folder_means_the_photos_in_it_and_below(tmp_path: Path) -> None:
    """Sorted; without hidden files, without what is no photo, and nothing twice."""
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.jpg", "deep/er/c.webp", ".git/d.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = find([tmp_path / "notes.txt", tmp_path, tmp_path / "a.png"])
    names = [str(file.path.relative_to(tmp_path)) for file in found]
    assert names == ["notes.txt", "a.png", "b.JPG", "deep/er/c.webp"]
    assert [file.number for file in found] == [0, 1, 2, 3]


@given(sizes=st.lists(st.integers(0, 50)))
def test_requests_are_bounded_and_lose_nothing(sizes: list[int]) -> None:
    """Each has few enough files and bytes, unless one file alone is larger; the order stays."""
    files = [File(number, Path(str(number)), size) for number, size in enumerate(sizes)]
    packed = list(pieces(files, most_files=3, most_bytes=40))
    assert [file for piece in packed for file in piece] == files
    assert all(len(piece) <= 3 for piece in packed)
    assert all(len(piece) == 1 or sum(file.size_bytes for file in piece) <= 40 for piece in packed)


@pytest.mark.parametrize("name", ["a.jpg", 'q"uote.jpg', "zwölf Boxkämpfer.png", "new\nline.gif", "\udcff.jpg"])
def test_a_form_is_what_a_server_reads(tmp_path: Path, name: str) -> None:
    """Whatever a file is called, its bytes arrive whole, and the length that was said is right."""
    path = Path(os.fsdecode(os.fsencode(tmp_path / name)))
    path.write_bytes(b"\r\n--boundary?\x00" * 10_000)
    form = Form([File(0, path, path.stat().st_size)] * 2)
    body = b"".join(form)
    assert len(body) == int(form.headers["Content-Length"])
    environ = {
        "REQUEST_METHOD": "POST",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_TYPE": form.headers["Content-Type"],
        "CONTENT_LENGTH": form.headers["Content-Length"],
    }
    _, _, files = parse_form_data(environ)
    sent = files.getlist("img")
    assert [file.read() for file in sent] == [path.read_bytes()] * 2
    for file in sent:
        file.close()


@pytest.mark.parametrize("data", [b"", b"shorter", b"a longer text"])
def test_a_file_that_changed_is_not_sent_as_it_was(tmp_path: Path, data: bytes) -> None:
    """The request is broken off rather than filled with something else."""
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(Unreadable, match="changed"):
        b"".join(Form([File(0, path, 10)]))


@given(
    events=st.lists(st.tuples(st.sampled_from(["result", "end"]), st.text("äb {}:", min_size=1))),
    cut=st.integers(1, 7),
)
def test_events_are_read_however_the_network_cuts_them(events: list[tuple[str, str]], cut: int) -> None:
    """The pieces in which bytes arrive mean nothing."""
    stream = "".join(f"event: {name}\ndata: {data}\n\n" for name, data in events).encode()
    chunks = [stream[at : at + cut] for at in range(0, len(stream), cut)]
    assert list(parse_events(chunks)) == [Event(name, data) for name, data in events]


@pytest.mark.parametrize(
    "wrong",
    [["--url", "ftp://x"], ["--url", "x"], ["--parallel", "0"], ["--timeout", "nan"], ["--json", "--csv"]],
)
def test_wrong_options_are_told(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and the option's name."""
    with pytest.raises(SystemExit) as ended:
        parse(["classify", "a.jpg", *wrong], {})
    assert ended.value.code == 2
    assert wrong[-2] in capsys.readouterr().err or "--json" in wrong


def test_options_may_come_from_the_environment() -> None:
    """An option goes before its variable."""
    environ = {"CLASSIFIER_URL": "http://a/", "CLASSIFIER_API_KEY": "one"}
    told = parse(["classify", "x.jpg"], environ)
    assert (told.url, told.api_key) == ("http://a", "one")
    told = parse(["classify", "x.jpg", "--url", "http://b", "--api-key", "two"], environ)
    assert (told.url, told.api_key) == ("http://b", "two")


def test_a_table_cannot_command_the_terminal() -> None:
    """Names and answers are shown, whatever they are, in whole."""
    path = Path("[bold]\x1b[2J" + 300 * "x" + ".jpg")
    told = io.StringIO()
    print_table([Row(File(0, path, 1), "FAILURE", "bad \x1b]0;title\x07", {})], told)
    assert "\x1b" not in told.getvalue()
    assert "[bold]?[2J" + 300 * "x" in told.getvalue()
