"""The settings of who may use the web app."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.environment import SettingsError
from tests.access import Holder
from webapp.settings import WebSettings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "example.com", "fe80::1"])  # noqa: S104 - refused here
def test_keys_are_required_where_other_machines_can_reach_the_app(host: str) -> None:
    """The process does not start; one line names the settings to make."""
    with pytest.raises(SettingsError, match="API_KEYS or API_KEYS_FILE is needed"):
        WebSettings.from_env({"WEB_HOST": host})
    assert WebSettings.from_env({"WEB_HOST": host, "API_KEYS": Holder("alice").line}).keys.ring()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost"])
def test_this_machines_own_user_needs_no_key(host: str) -> None:
    """On loopback the app starts without keys."""
    assert not WebSettings.from_env({"WEB_HOST": host}).keys.ring()


def test_keys_may_stand_in_a_file(tmp_path: Path) -> None:
    """Keys of the file and of the variable are taken together."""
    alice, bob = Holder("alice"), Holder("bob")
    path = tmp_path / "keys"
    path.write_text(f"# ours\n{alice.line}\n")
    keys = WebSettings.from_env({"API_KEYS_FILE": str(path), "API_KEYS": bob.line}).keys.ring()
    assert keys.find(alice.key)
    assert keys.find(bob.key)


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        pytest.param({"API_KEYS_FILE": "/nonexistent/keys"}, "API_KEYS_FILE", id="no such file"),
        pytest.param({"API_KEYS_FILE": "/dev/null"}, "API_KEYS_FILE", id="an empty file"),
        pytest.param({"API_KEYS": "alice:user:ec_secretsecret"}, "API_KEYS", id="a key instead of its hash"),
        pytest.param({"WEB_SECRET_KEY": "secretsecret"}, "WEB_SECRET_KEY", id="a short signing key"),
    ],
)
def test_a_wrong_setting_is_named_but_no_secret_shown(environ: dict[str, str], name: str) -> None:
    """The line that ends the process may stand in a log."""
    with pytest.raises(SettingsError, match=name) as raised:
        WebSettings.from_env(environ)
    assert "secretsecret" not in str(raised.value)


def test_all_processes_of_a_server_sign_alike() -> None:
    """A signing key that is not given is made with the settings, before the processes part, and differs each time."""
    settings = WebSettings.from_env({})
    assert settings.signing_key == settings.signing_key
    assert len(settings.signing_key) >= 32
    assert WebSettings.from_env({}).signing_key != settings.signing_key
    assert WebSettings.from_env({"WEB_SECRET_KEY": "x" * 32}).signing_key == "x" * 32
