"""Keys are replaced while the app runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.access import Holder
from webapp import create_app
from webapp.settings import WebSettings

OLD, NEW = Holder("alice"), Holder("alice")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one key."""
    path = tmp_path / "keys"
    path.write_text(OLD.line)
    return path


def opens(client: FlaskClient, holder: Holder) -> bool:
    """Tell whether a key is taken."""
    return client.get("/metrics", headers=holder.headers).status_code == 200


def replace(path: Path, text: str) -> None:
    """Replace a file's text as careful operators do, at once."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def test_a_keys_file_is_read_anew_when_it_changes(path: Path) -> None:
    """Rotation without a restart: add the new key, hand it out, take the old one away."""
    client = create_app(WebSettings.from_env({"API_KEYS_FILE": str(path)})).test_client()
    assert (opens(client, OLD), opens(client, NEW)) == (True, False)
    replace(path, f"{OLD.line}\n{NEW.line}")
    assert (opens(client, OLD), opens(client, NEW)) == (True, True)
    replace(path, NEW.line)
    assert (opens(client, OLD), opens(client, NEW)) == (False, True)


@pytest.mark.parametrize("text", ["", "# none", "alice:user:oops", None])
def test_a_file_gone_wrong_changes_nothing(path: Path, text: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """Above all an emptied or lost file does not open the app to everybody; the log says what is wrong, once."""
    client = create_app(WebSettings.from_env({"API_KEYS_FILE": str(path)})).test_client()
    path.unlink() if text is None else replace(path, text)
    assert (opens(client, OLD), client.get("/metrics").status_code) == (True, 401)
    assert [record.message for record in caplog.records if "API_KEYS_FILE is refused" in record.message]
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1
    path.write_text(NEW.line)
    os.utime(path)
    assert (opens(client, OLD), opens(client, NEW)) == (False, True)
