"""Fixtures of the tests that look at the page: a browser, and windows of it that complain when a script fails."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page

from local.stack import Stack
from tests.browser import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module's tests; each window is a context of its own."""
    with chromium() as running:
        yield running


@pytest.fixture
def open_page(service: Stack, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open windows on the shared service: `open_page(path, width_px=..., **options of the browser's context)`.

    A script's error, and whatever the content-security policy refuses, fails the test.
    """
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            complaints.append(message.text)

    with ExitStack() as exits:

        def open_(path: str = "/", *, width_px: int = 1280, **options: Any) -> Page:
            context = browser.new_context(
                base_url=service.services.web_url, viewport={"width": width_px, "height": 900}, **options
            )
            exits.callback(context.close)
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", note)
            page.goto(path)
            return page

        yield open_
    assert complaints == []


@pytest.fixture(scope="session")
def thirty(photos: dict[str, bytes]) -> dict[str, bytes]:
    """Thirty small photographs, `01-astronaut.jpg` and so on."""
    return {
        f"{number:02}-{Path(name).stem}.jpg": _small(data)
        for number, (name, data) in enumerate(islice(cycle(photos.items()), 30), 1)
    }


@pytest.fixture
def files(photos: dict[str, bytes], tmp_path: Path) -> list[Path]:
    """Two photographs of a cat and a horse, half a photograph, and a text file that calls itself one."""
    chosen = {
        "chelsea.png": photos["chelsea.png"],
        "horse.png": photos["horse.png"],
        "half.jpg": photos["china.jpg"][: len(photos["china.jpg"]) // 2],
        "fake.jpg": b"no photo",
    }
    for name, data in chosen.items():
        (tmp_path / name).write_bytes(data)
    return [tmp_path / name for name in chosen]


def _small(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        image.thumbnail((128, 128))
        output = io.BytesIO()
        image.convert("RGB").save(output, "JPEG")
    return output.getvalue()
