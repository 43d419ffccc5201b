"""`make smoke`: real photographs and a broken file through a stack of its own, and a table of what came back."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import requests

from local.photographs import photographs
from local.stack import Stack, running_stack

RESULT_DEADLINE_S = 120.0
POLL_S = 0.05
BROKEN = "broken.jpg"
# A JPEG's first bytes and nothing of a photo after them.
BROKEN_DATA = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x00" * 64


@dataclass(frozen=True)
class Row:
    """What became of one photo."""

    name: str
    label: str
    confidence: float | None
    elapsed_ms: float
    error: str


def smoke() -> int:
    """Run the photographs through a fresh stack and print the table.

    Returns:
        0 if every photograph got a label and the broken file a clear error, else 1.
    """
    photos = photographs()
    with TemporaryDirectory(prefix="smoke-") as folder, running_stack(Path(folder)) as stack:
        stack.start_web()
        stack.start_worker()
        rows = [*_classify(stack, photos), _classify_broken(stack)]
    _print_table(rows)
    good = [row for row in rows if row.name != BROKEN]
    passed = all(row.label for row in good) and bool(rows[-1].error) and not rows[-1].label
    print(
        f"\n{sum(bool(row.label) for row in good)} of {len(good)} photographs labelled; {'passed' if passed else 'FAILED'}"
    )
    return 0 if passed else 1


def _classify(stack: Stack, photos: Mapping[str, bytes]) -> list[Row]:
    begin_s = time.monotonic()
    files = [("img", (name, data)) for name, data in photos.items()]
    answer = requests.post(f"{stack.services.web_url}/classify", files=files, timeout=60)
    answer.raise_for_status()
    body = answer.json()
    refused = [Row(entry["name"], "", None, 0.0, entry["error"]) for entry in body["rejected"]]
    return refused + [_await(stack, task["name"], task["result_url"], begin_s) for task in body["tasks"]]


def _classify_broken(stack: Stack) -> Row:
    begin_s = time.monotonic()
    url = f"{stack.services.web_url}/classify"
    answer = requests.post(url, files={"img": (BROKEN, BROKEN_DATA)}, timeout=60)
    if answer.ok:
        return _await(stack, BROKEN, answer.json()["tasks"][0]["result_url"], begin_s)
    return Row(BROKEN, "", None, 1000 * (time.monotonic() - begin_s), answer.json()["error"])


def _await(stack: Stack, name: str, result_url: str, begin_s: float) -> Row:
    while time.monotonic() < begin_s + RESULT_DEADLINE_S:
        answer = requests.get(f"{stack.services.web_url}{result_url}", timeout=10)
        body = answer.json()
        elapsed_ms = 1000 * (time.monotonic() - begin_s)
        if answer.status_code == requests.codes.ok:
            return Row(name, body.get("label", ""), body.get("confidence"), elapsed_ms, body.get("error", ""))
        time.sleep(POLL_S)
    return Row(name, "", None, 1000 * RESULT_DEADLINE_S, "no result in time")


def _print_table(rows: list[Row]) -> None:
    width = max(len(row.name) for row in rows)
    print(f"{'photo':<{width}}  {'label':<12}  confidence       ms", file=sys.stdout)
    for row in rows:
        confidence = "" if row.confidence is None else f"{100 * row.confidence:8.1f} %"
        print(f"{row.name:<{width}}  {row.label:<12}  {confidence:<10}  {row.elapsed_ms:7.0f}  {row.error}")
