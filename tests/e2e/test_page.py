"""The page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from local.stack import Stack
from tests.browser import chromium

pytestmark = pytest.mark.stack

RESULT_TIMEOUT_MS = 30_000


@pytest.fixture(params=[pytest.param((360, 740), id="360px"), pytest.param((1600, 900), id="1600px")])
def page(service: Stack, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, opened in a narrow and in a wide window."""
    width_px, height_px = request.param
    with chromium() as browser:
        page = browser.new_page(viewport={"width": width_px, "height": height_px})
        page.goto(service.services.web_url)
        yield page


@pytest.fixture
def files(photos: dict[str, bytes], tmp_path: Path) -> list[Path]:
    """Three photographs and a text file that calls itself one."""
    chosen = {name: photos[name] for name in ("chelsea.png", "horse.png", "rocket.jpg")} | {"fake.jpg": b"no photo"}
    for name, data in chosen.items():
        (tmp_path / name).write_bytes(data)
    return [tmp_path / name for name in chosen]


def test_chosen_photos_get_their_labels_beside_their_thumbnails(page: Page, files: list[Path], tmp_path: Path) -> None:
    """Every photo shows its thumbnail, label and confidence; a file that is none shows why."""
    page.set_input_files("#files", files)
    cards = page.locator("#photos .photo")
    expect(cards).to_have_count(4)
    expect(page.locator(".photo[data-state=SUCCESS]")).to_have_count(3, timeout=RESULT_TIMEOUT_MS)
    expect(cards.nth(0).locator(".label")).to_contain_text("cat ·")
    expect(cards.nth(3).locator(".label")).to_contain_text("not a photo")
    expect(page.locator("#status")).to_have_text("3 of 4 classified, 1 failed")
    assert page.locator("#bar").evaluate("bar => bar.value") == 1
    assert cards.nth(0).locator("img").evaluate("image => image.naturalWidth") > 0
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    overflow_px = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow_px <= 0, "the page scrolls sideways"


def test_dropped_photos_are_classified_too(page: Page, files: list[Path]) -> None:
    """A photo dropped on the page is uploaded like a chosen one."""
    data = page.evaluate_handle(
        """bytes => { const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], 'dropped.png')); return transfer; }""",
        list(files[0].read_bytes()),
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    expect(page.locator(".photo[data-state=SUCCESS] .name")).to_have_text("dropped.png", timeout=RESULT_TIMEOUT_MS)
