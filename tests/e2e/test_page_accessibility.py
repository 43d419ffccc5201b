"""Everybody can use the page: screen readers, keyboards, small and large windows, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Route, expect

pytestmark = pytest.mark.stack

RESULT_TIMEOUT_MS = 40_000
OpenPage = Callable[..., Page]
NARROW_PX, WIDE_PX = 360, 1600


def findings(page: Page) -> list[tuple[Any, Any, list[Any]]]:
    """Return axe's findings of the page as it stands: impact, rule, elements."""
    violations = Axe().run(page).response["violations"]
    return [(found["impact"], found["id"], [node["html"] for node in found["nodes"]]) for found in violations]


def overflow_px(page: Page) -> int:
    """Return by how much the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [pytest.param(NARROW_PX, id="360px"), pytest.param(WIDE_PX, id="1600px")])
def test_axe_finds_nothing_and_nothing_sticks_out(
    open_page: OpenPage, files: list[Path], width_px: int, scheme: Literal["light", "dark"]
) -> None:
    """At the start, with results, with a question asked, and when something went wrong."""
    page = open_page(width_px=width_px, color_scheme=scheme)
    expect(page.locator("#strip-queue")).not_to_be_empty()
    assert findings(page) == []
    assert overflow_px(page) == 0
    page.set_input_files("#files", files)
    expect(page.locator(".card[data-state=SUCCESS]")).to_have_count(2, timeout=RESULT_TIMEOUT_MS)
    expect(page.locator(".card[data-state=FAILURE]")).to_have_count(2, timeout=RESULT_TIMEOUT_MS)
    page.locator(".more:visible summary").first.click()
    assert findings(page) == []
    assert overflow_px(page) == 0
    page.get_by_role("button", name="Reset…").click()
    assert findings(page) == []
    page.goto("/batches/nothing")
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
    assert findings(page) == []


def test_photos_can_be_chosen_and_looked_at_with_the_keyboard_alone(open_page: OpenPage, files: list[Path]) -> None:
    """Tab leads to the chooser, the filters and each photo's details; the focus stays on what results move."""
    page = open_page()
    # Playwright asks the browser for choosers when somebody listens, but does not wait until it does: listen early.
    page.on("filechooser", lambda _chooser: None)
    page.reload()
    page.locator("#files").focus()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(files[:2])
    expect(page.locator(".card[data-state=SUCCESS]")).to_have_count(2, timeout=RESULT_TIMEOUT_MS)
    page.locator("#tools input[type=radio]").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Classified 2")).to_be_checked()
    details = page.locator(".more").first
    page.get_by_label("Sort by").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(details).to_have_attribute("open", "")
    page.get_by_label("Sort by").select_option("name")
    expect(details).to_have_attribute("open", "")


def test_the_skip_link_leads_to_the_content_and_loses_nothing(open_page: OpenPage, files: list[Path]) -> None:
    """A photo that is on its way when the link is followed arrives; the way back leads to another page."""
    page = open_page()
    uploads: list[Route] = []

    def hold(route: Route) -> None:
        uploads.append(route)

    page.route("**/classify*", hold)
    page.set_input_files("#files", files[0])
    expect(page.locator(".card[data-state=UPLOADING]")).to_have_count(1)
    skip = page.get_by_role("link", name="Skip to the content")
    skip.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    uploads.pop().continue_()
    expect(page.locator(".card[data-state=SUCCESS]")).to_have_count(1, timeout=RESULT_TIMEOUT_MS)
    page.go_back()
    expect(page.locator(".card")).to_have_count(0)


def test_progress_is_told_to_screen_readers(open_page: OpenPage, files: list[Path]) -> None:
    """A live region says how far it is, in words, and what came out."""
    page = open_page()
    page.set_input_files("#files", files[:3])
    expect(page.get_by_role("status")).to_have_text("3 photos: 2 classified, 1 failed", timeout=RESULT_TIMEOUT_MS)
    expect(page.get_by_role("progressbar", name="Results")).to_have_js_property("value", 1)
    expect(page.get_by_role("meter", name="confidence").first).to_be_visible()
