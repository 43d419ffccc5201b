"""The page where API keys are asked for: signing in, and what a guest with a shared link sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from local.emulators import answers
from local.ports import LOOPBACK, free_port
from local.processes import wait_until
from local.stack import Stack
from tests.access import Holder
from webapp.keys import Role

pytestmark = pytest.mark.stack

START_DEADLINE_S = 30
RESULT_TIMEOUT_MS = 40_000
USER, ADMIN = Holder("ann"), Holder("operator", Role.ADMIN)
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def url(service: Stack) -> Iterator[str]:
    """The address of one more web app of the shared system: one that asks for keys."""
    port = free_port()
    environ = {"WEB_PORT": str(port), "API_KEYS": f"{USER.line} {ADMIN.line}"}
    web = service.start(service.services.web(), environ)
    address = f"http://{LOOPBACK}:{port}"
    wait_until(lambda: answers(f"{address}/healthz"), START_DEADLINE_S, f"the web app; its log: {web.log}")
    yield address
    web.stop()


def sign_in(page: Page, holder: Holder) -> None:
    """Sign in on the form that is shown."""
    page.get_by_label("API key").fill(holder.key)
    page.get_by_role("button", name="Sign in").click()


def test_a_user_signs_in_and_out(open_page: OpenPage, url: str) -> None:
    """A wrong key is refused in words; the right one leads to where the user wanted to go."""
    page = open_page(url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert Axe().run(page).response["violations"] == []
    sign_in(page, Holder("ann"))
    expect(page.get_by_role("alert")).to_have_text("This key is not known.")
    sign_in(page, USER)
    expect(page.get_by_role("heading", name="What is in your photos?")).to_be_visible()
    expect(page.locator("#strip-queue")).not_to_be_empty()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize(("holder", "shown"), [pytest.param(USER, 0, id="user"), pytest.param(ADMIN, 1, id="admin")])
def test_reset_and_flower_are_for_admins(open_page: OpenPage, url: str, holder: Holder, shown: int) -> None:
    """A user is not even shown what only the operator may do."""
    page = open_page(url)
    sign_in(page, holder)
    expect(page.get_by_role("heading", name="What is in your photos?")).to_be_visible()
    expect(page.get_by_role("link", name="Flower")).to_have_count(shown)
    expect(page.get_by_role("button", name="Reset…")).to_have_count(shown)
    expect(page.locator("#reset")).to_have_count(shown)


def test_a_shared_link_shows_a_guest_the_batch_to_read(open_page: OpenPage, url: str, files: list[Path]) -> None:
    """Labels, thumbnails and files, but nothing to add, retry or delete; without the link nothing at all."""
    page = open_page(url, permissions=["clipboard-read", "clipboard-write"])
    sign_in(page, USER)
    page.set_input_files("#files", files[:3])
    expect(page.locator(".card[data-state=SUCCESS]")).to_have_count(2, timeout=RESULT_TIMEOUT_MS)
    expect(page.locator(".card[data-state=FAILURE]")).to_have_count(1, timeout=RESULT_TIMEOUT_MS)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    guest = open_page(page.evaluate("navigator.clipboard.readText()"))
    expect(guest.locator("#counts")).to_have_text("3 photos: 2 classified, 1 failed")
    assert guest.locator(".thumb").first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    for name in ("Try again", "Reset…", "Copy link"):
        expect(guest.get_by_role("button", name=name)).to_have_count(0)
    expect(guest.locator("#form")).to_be_hidden()
    assert Axe().run(guest).response["violations"] == []
    with guest.expect_download() as download:
        guest.get_by_role("link", name="CSV").click()
    assert "chelsea.png" in download.value.path().read_text()
    stranger = open_page(page.url)
    expect(stranger.get_by_role("heading", name="Sign in")).to_be_visible()
