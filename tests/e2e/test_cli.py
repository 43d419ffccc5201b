"""The command line against the running system."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import Stack

pytestmark = pytest.mark.stack


def classify(service: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    command = (sys.executable, "-m", "webapp.cli", "classify", "--url", service.services.web_url, *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_a_folder_is_classified(service: Stack, photos: dict[str, bytes], tmp_path: Path) -> None:
    """Every photograph gets its label, what is none its reason; exit status 1 says that there is such a one."""
    for name, data in photos.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "broken.jpg").write_text("hello")
    done = classify(service, str(tmp_path), "--json")
    assert done.returncode == 1, done.stderr
    told = {Path(one["file"]).name: one for one in json.loads(done.stdout)["photos"]}
    assert told["chelsea.png"]["label"] == "cat"
    assert {one["state"] for name, one in told.items() if name != "broken.jpg"} == {"SUCCESS"}
    assert (told["broken.jpg"]["state"], bool(told["broken.jpg"]["error"])) == ("REJECTED", True)
    assert set(told) == {*photos, "broken.jpg"}


def test_a_photo_is_classified_and_shown_as_a_table(service: Stack, photos: dict[str, bytes], tmp_path: Path) -> None:
    """Exit status 0 and a line for people."""
    (tmp_path / "cat.png").write_bytes(photos["chelsea.png"])
    done = classify(service, str(tmp_path / "cat.png"))
    assert done.returncode == 0, done.stderr
    assert re.search(r"/cat\.png +cat +\d+\.\d%", done.stdout)
    assert "1 of 1 photos labelled" in done.stderr


def test_the_command_line_needs_nothing_of_the_server() -> None:
    """It runs on a machine without AWS settings: neither Flask nor Celery nor boto3 is loaded."""
    program = "import sys, webapp.cli.__main__; print({'flask', 'celery', 'boto3', 'tasks'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
