"""What the served web app refuses: real gunicorn, real storage, two users and an operator."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import requests
from playwright.sync_api import Browser, ConsoleMessage, Dialog

from local.emulators import answers
from local.ports import LOOPBACK, free_port
from local.processes import Command, Supervised, wait_until
from local.services import Services
from local.stack import Stack
from tests.access import Holder
from webapp.keys import Role

pytestmark = pytest.mark.stack

DEADLINE_S = 60.0
ALICE, BOB, OPERATOR = Holder("alice"), Holder("bob"), Holder("olga", Role.ADMIN)
SCRIPT_NAMES = ("<script>alert(1)</script>.png", '"><img src=x onerror=alert(1)>.png', "'-alert(1)-'.png")
PATH_NAMES = {
    "../../../etc/passwd": "passwd",
    "/etc/shadow": "shadow",
    "..": "..",
    "s3://other-bucket/key.png": "key.png",
    "\u202egnp.exe": "gnp.exe",
    "x" * 1000: "x" * 255,
}


@dataclass(frozen=True)
class Guarded:
    """A web app that asks for keys."""

    url: str
    web: Supervised
    stack: Stack

    def ask(self, method: str, path: str, who: Holder | None = None, **more: Any) -> requests.Response:
        """Send a request, with somebody's key."""
        headers = (who.headers if who else {}) | more.pop("headers", {})
        return requests.request(method, f"{self.url}{path}", headers=headers, timeout=60, **more)

    def upload(self, who: Holder, *files: tuple[str, bytes], **more: Any) -> dict[str, Any]:
        """Upload photos that are taken."""
        answer = self.ask("POST", "/classify", who, files=[("img", file) for file in files], **more)
        assert answer.status_code == 202, answer.text
        taken: dict[str, Any] = answer.json()
        return taken

    def stored(self) -> set[str]:
        """Return the keys of all photos in the input bucket."""
        client = boto3.client("s3", endpoint_url=self.stack.environ["AWS_ENDPOINT_URL_S3"], region_name="us-east-1")
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.stack.settings.input_bucket)
        return {found["Key"] for page in pages for found in page.get("Contents", ())}


@pytest.fixture(scope="module")
def guarded(service: Stack) -> Iterator[Guarded]:
    """A second web app on the shared system, which asks for keys; two processes, between which sessions must hold."""
    port = free_port()
    keys = " ".join(holder.line for holder in (ALICE, BOB, OPERATOR))
    environ = {"WEB_PORT": str(port), "WEB_WORKERS": "2", "API_KEYS": keys}
    web = service.start(replace(service.services.web(), name="guarded"), environ)
    url = f"http://{LOOPBACK}:{port}"
    wait_until(lambda: answers(f"{url}/healthz"), DEADLINE_S, f"the web app; its log: {web.log}")
    yield Guarded(url, web, service)
    web.stop()


@pytest.fixture
def cat(photos: dict[str, bytes]) -> bytes:
    """A photograph of a cat."""
    return photos["chelsea.png"]


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "ec_wrong"}], ids=["unauthenticated", "wrong key"])
def test_an_upload_without_a_right_key_is_refused(guarded: Guarded, cat: bytes, headers: dict[str, str]) -> None:
    """401 on every way to upload, and nothing is stored."""
    before = guarded.stored()
    for path, how in (
        ("/classify", {"files": {"img": ("cat.png", cat)}}),
        ("/upload", {"files": {"myfile": ("cat.png", cat)}}),
        ("/uploads", {"json": {"files": [{"name": "cat.png", "size_bytes": len(cat)}]}}),
        ("/batches", {"json": {"prefix": f"s3://{guarded.stack.settings.input_bucket}/"}}),
    ):
        answer = guarded.ask("POST", path, headers=headers, **how)
        assert (path, answer.status_code) == (path, 401)
        assert answer.headers["WWW-Authenticate"].lower().startswith("bearer")
    assert guarded.stored() == before


def test_another_users_batch_is_refused(guarded: Guarded, cat: bytes) -> None:
    """To bob, alice's batch and photos do not exist; he can neither see, follow, fetch nor add to them."""
    taken = guarded.upload(ALICE, ("a.png", cat), ("b.png", cat))
    batch, photo = taken["batch_id"], taken["tasks"][0]["id"]
    reads = (
        f"/batches/{batch}",
        f"/batches/{batch}/events",
        f"/batches/{batch}/results.csv",
        f"/batches/{batch}/results.json",
        f"/results/{photo}",
        f"/photos/{photo}",
        f"/photos/{photo}/thumbnail",
    )
    for path in reads:
        assert (path, guarded.ask("GET", path, BOB).status_code) == (path, 404)
        with guarded.ask("GET", path, ALICE, stream=True) as own:
            assert (path, own.status_code in {200, 202}) == (path, True)
    files = {"img": ("c.png", cat)}
    assert guarded.ask("POST", f"/classify?batch={batch}", BOB, files=files).status_code == 404
    named = {"uploads": [{"id": photo, "name": "a.png"}]}
    assert guarded.ask("POST", "/batches", BOB, json=named).status_code in {400, 404}
    listed = guarded.ask("GET", "/results", BOB).json()["results"]
    assert photo not in {result["id"] for result in listed}


def test_only_an_admin_may_reset(guarded: Guarded) -> None:
    """A user's key gets 403; an admin's reset is tested where nothing is lost by it."""
    assert guarded.ask("POST", "/reset", ALICE).status_code == 403
    assert not guarded.ask("GET", "/status", ALICE).json().get("flower_url")
    assert guarded.ask("GET", "/status", OPERATOR).json()["flower_url"] == guarded.stack.services.flower_url


@pytest.mark.parametrize(("name", "shown"), PATH_NAMES.items())
def test_a_path_like_file_name_is_refused_as_a_path(guarded: Guarded, cat: bytes, name: str, shown: str) -> None:
    """The photo is stored under its id alone; of the name its last part is shown, and nothing acts on it."""
    before = guarded.stored()
    taken = guarded.upload(ALICE, (name, cat))
    assert [task["name"] for task in taken["tasks"]] == [shown]
    photo = taken["tasks"][0]["id"]
    assert guarded.stored() - before <= {photo}
    assert guarded.ask("GET", f"/results/{photo}?wait=30", ALICE).json()["name"] == shown
    assert guarded.ask("GET", f"/batches/{photo}/results.csv", ALICE).status_code == 200


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "....//etc/passwd", "%00", "%0d%0aX-Evil:1"]
)
def test_a_path_like_address_leads_nowhere(guarded: Guarded, path: str) -> None:
    """404 for ids that are paths, wherever an id is asked for; files outside of the page's are not served."""
    for place in ("/results/", "/batches/", "/photos/", "/static/"):
        answer = guarded.ask("GET", f"{place}{path}", ALICE)
        assert (place, answer.status_code) == (place, 404)
        assert "root:" not in answer.text
        assert "X-Evil" not in answer.headers


@pytest.mark.parametrize("name", SCRIPT_NAMES)
def test_a_script_like_file_name_stays_text(guarded: Guarded, cat: bytes, name: str) -> None:
    """In JSON it is a string that no browser takes for a page; in the page and in errors it is escaped."""
    shown = name.rpartition("/")[2]
    taken = guarded.upload(ALICE, (name, cat), (name, b"no photo"))
    assert [task["name"] for task in taken["tasks"]] == [shown]
    page = guarded.ask("GET", taken["batch_url"], ALICE, headers={"Accept": "text/html"})
    assert page.headers["Content-Type"].startswith("text/html")
    refused = guarded.ask("POST", "/classify", ALICE, headers={"Accept": "text/html"}, files={"img": (name, b"none")})
    assert refused.status_code == 415
    for html in (page.text, refused.text):
        assert "<script>alert" not in html
        assert "<img src=x" not in html
    told = guarded.ask("POST", "/classify", ALICE, files={"img": (name, b"none")})
    assert told.headers["Content-Type"] == "application/json"
    assert told.headers["X-Content-Type-Options"] == "nosniff"


def test_script_like_names_do_nothing_in_a_browser(guarded: Guarded, cat: bytes, browser: Browser) -> None:
    """A person signs in and opens a batch of such names: they are read as they are, and no script runs."""
    taken = guarded.upload(ALICE, *((name, cat) for name in SCRIPT_NAMES))
    page = browser.new_page()
    alarms: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        alarms.append(dialog.message)
        dialog.dismiss()

    def note(said: ConsoleMessage) -> None:
        if "Content Security Policy" in said.text:
            alarms.append(said.text)

    page.on("dialog", dismiss)
    page.on("console", note)
    page.goto(f"{guarded.url}{taken['batch_url']}")
    page.get_by_label("API key").fill(ALICE.key)
    page.get_by_role("button", name="Sign in").click()
    for name in SCRIPT_NAMES:
        page.get_by_text(name.rpartition("/")[2], exact=True).first.wait_for()
    page.close()
    assert alarms == []


def test_a_forged_form_of_another_site_is_refused(guarded: Guarded, browser: Browser) -> None:
    """A real browser, signed in as the operator, opens a page that posts to /reset: the answer is 403."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{guarded.url}/login")
        page.get_by_label("API key").fill(OPERATOR.key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{guarded.url}/")
        port = urlsplit(guarded.url).port
        # Both pages are of one site to the browser, so that it sends the session along: the worst case.
        page.route(
            f"http://{LOOPBACK}:1/evil",
            lambda route: route.fulfill(body=_evil(f"{guarded.url}/reset"), content_type="text/html"),
        )
        with page.expect_response(f"http://{LOOPBACK}:{port}/reset") as answered:
            page.goto(f"http://{LOOPBACK}:1/evil")
        assert "session=" in answered.value.request.all_headers()["cookie"]
        assert answered.value.status == 403


def test_a_forged_request_without_the_pages_token_is_refused(guarded: Guarded) -> None:
    """A session's cookie alone changes nothing, whichever way it is sent."""
    session = requests.Session()
    page = session.get(f"{guarded.url}/login", timeout=30).text
    token = page.split('name="csrf-token" content="')[1].split('"')[0]
    signed_in = session.post(f"{guarded.url}/login", data={"key": OPERATOR.key, "csrf_token": token}, timeout=30)
    assert signed_in.status_code == 200
    for headers in ({}, {"X-CSRF-Token": token}, {"Origin": guarded.url, "Sec-Fetch-Site": "same-origin"}):
        assert session.post(f"{guarded.url}/reset", headers=headers, timeout=30).status_code == 403


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Big: " + b"a" * 9000, 431, id="a long header"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a" + b"\r\nX-Many: a" * 100, 431, id="many headers"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-API-Key: " + b"a" * 9000, 431, id="a long key"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: a\r\nCookie: session=" + b"a" * 70_000, 431, id="a long cookie"),
        pytest.param(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: a", 414, id="a long address"),
    ],
)
def test_oversized_headers_are_refused(guarded: Guarded, request_head: bytes, status: int) -> None:
    """The server answers at once, closes the connection, and serves the next."""
    with socket.create_connection((LOOPBACK, urlsplit(guarded.url).port or 0), timeout=30) as connection:
        connection.sendall(request_head + b"\r\n\r\n")
        assert connection.recv(65536).split()[1] == str(status).encode()
    assert guarded.ask("GET", "/healthz").status_code == 200


@pytest.mark.parametrize("name", ["PATH_INFO", "SCRIPT_NAME", "X-Original-URL", "X-Rewrite-URL"])
def test_no_header_changes_which_address_is_asked(guarded: Guarded, name: str) -> None:
    """A proxy's rules for an address hold: a client cannot name another one in a header."""
    assert guarded.ask("GET", "/healthz", headers={name: "/metrics"}).json()["status"] == "ok"


def test_a_request_id_goes_through_web_task_and_result(guarded: Guarded, cat: bytes) -> None:
    """The id that a program gave stands in the answer, in the web app's log and in the photo's result."""
    given = "trace-0123456789abcdef"
    answer = guarded.ask(
        "POST",
        "/classify",
        ALICE,
        headers={"X-Request-ID": given},
        files={"img": ("cat.png", cat)},
        params={"wait": 30},
    )
    assert answer.headers["X-Request-ID"] == given
    (result,) = answer.json()["results"]
    assert (result["label"], result["request_id"]) == ("cat", given)
    lines = [json.loads(line) for line in guarded.web.log.read_text().splitlines() if line.startswith("{")]
    assert [line["path"] for line in lines if line["request_id"] == given] == ["/classify"]


def test_a_shared_batch_opens_to_whoever_has_the_link(guarded: Guarded, cat: bytes) -> None:
    """Without a key the link shows the batch and all that its page asks for, and nothing else."""
    taken = guarded.upload(ALICE, ("a.png", cat), ("b.png", cat))
    other = guarded.upload(ALICE, ("c.png", cat))
    batch, photo = taken["batch_id"], taken["tasks"][0]["id"]
    visitor = requests.Session()
    visitor.headers["Accept"] = "text/html"
    assert visitor.get(f"{guarded.url}{taken['share_url']}", timeout=30).status_code == 200
    visitor.headers["Accept"] = "*/*"
    for path in (f"/batches/{batch}/results.csv", f"/results/{photo}", f"/photos/{photo}/thumbnail"):
        assert visitor.get(f"{guarded.url}{path}", timeout=30).status_code in {200, 202}
    for path in (f"/batches/{other['batch_id']}", "/results", "/status"):
        assert visitor.get(f"{guarded.url}{path}", timeout=30).status_code == 401
    assert visitor.post(f"{guarded.url}/classify?batch={batch}", files={"img": cat}, timeout=30).status_code in {
        401,
        403,
    }


def test_the_log_holds_no_secret(guarded: Guarded, cat: bytes) -> None:
    """Neither keys, their hashes, nor share links' tokens are written, whatever was asked."""
    taken = guarded.upload(ALICE, ("a.png", cat))
    requests.get(f"{guarded.url}{taken['share_url']}", timeout=30)
    requests.post(f"{guarded.url}/login", data={"key": BOB.key}, timeout=30)
    requests.get(f"{guarded.url}/results?key={BOB.key}", headers={"X-API-Key": f"{BOB.key}x"}, timeout=30)
    log = guarded.web.log.read_text()
    assert "/results" in log
    secrets = [part for holder in (ALICE, BOB, OPERATOR) for part in (holder.key, holder.line.rpartition(":")[2])]
    assert [secret for secret in (*secrets, taken["share_url"].partition("share=")[2]) if secret in log] == []


def test_the_server_does_not_start_open_to_other_machines_without_keys(service: Stack) -> None:
    """One line that names the settings, and a status that says failure."""
    web: Command = Services.web(service.services)
    ended = service.run(replace(web, environ={"WEB_HOST": "0.0.0.0", "WEB_PORT": str(free_port())}))  # noqa: S104 - refused
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: API_KEYS or API_KEYS_FILE is needed: WEB_HOST=0.0.0.0")
    assert len(ended.stderr.splitlines()) == 1


def _evil(target: str) -> str:
    return f'<form method=post action="{target}"></form><script>document.forms[0].submit()</script>'
