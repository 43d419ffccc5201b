"""API keys as lines: read, recognised, replaced, and made on the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tasks.api import owner_tag
from webapp.keys import Key, KeyRing, Role, digest_of, new_key

DIGEST = "0" * 64


def ring(text: str) -> KeyRing:
    """Read keys as the app does."""
    return KeyRing.parse(text, owner_tag)


def test_a_key_is_recognised_by_its_hash_alone() -> None:
    """Who gives the key is its name with its role; the ring never held the key."""
    key = new_key()
    keys = ring(f"# ours\nalice:user:{digest_of(key)}  # laptop\n\nbob:admin:{DIGEST}")
    found = keys.find(key)
    assert found is not None
    assert (found.name, found.role) == ("alice", Role.USER)
    assert key not in repr(keys)


def test_two_keys_of_one_name_work_while_one_is_replaced() -> None:
    """Rotation: the old key and the new one are both taken until the old line is removed."""
    old, new = new_key(), new_key()
    both = ring(f"alice:user:{digest_of(old)} alice:user:{digest_of(new)}")
    assert [both.find(key) and both.find(key).name for key in (old, new)] == ["alice", "alice"]  # type: ignore[union-attr]  # found, by the line before
    assert ring(f"alice:user:{digest_of(new)}").find(old) is None


@pytest.mark.parametrize("given", ["", "ec_", DIGEST, "alice", f"alice:user:{DIGEST}", "\0", "ключ"])
def test_anything_but_the_key_is_not_taken(given: str) -> None:
    """Neither the hash nor the line opens what the key opens."""
    assert ring(f"alice:user:{DIGEST} bob:user:{digest_of(new_key())}").find(given) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("alice", "neither role", id="a name alone"),
        pytest.param(f"alice:root:{DIGEST}", "neither role", id="an unknown role"),
        pytest.param("alice:user:ec_secretsecretsecret", "not a SHA-256 hash", id="a key instead of its hash"),
        pytest.param(f":user:{DIGEST}", "name has", id="no name"),
        pytest.param(f"al/ice:user:{DIGEST}", "name has", id="a path as a name"),
        pytest.param(f"alice:user:{DIGEST} alice:admin:{DIGEST}", "both roles", id="one name with two roles"),
        pytest.param(f"name2196:user:{DIGEST} name2448:user:{DIGEST}", "share their photos", id="names of one tag"),
    ],
)
def test_a_wrong_line_is_refused_with_its_reason(text: str, reason: str) -> None:
    """The message says what is wrong and repeats neither key nor hash."""
    with pytest.raises(ValueError, match=reason) as raised:
        ring(text)
    assert DIGEST not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_every_new_key_is_another() -> None:
    """Keys have 256 random bits."""
    made = {new_key() for _ in range(1000)}
    assert len(made) == 1000
    assert min(map(len, made)) >= 43


def command(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "webapp.keys", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_line_makes_a_key_with_its_line() -> None:
    """The line on stdout opens to the key on stderr, which is shown once."""
    made = command("new", "alice", "--admin")
    key = made.stderr.split()[-1]
    assert ring(made.stdout).find(key) == Key("alice", Role.ADMIN, digest_of(key))
    assert key not in made.stdout


def test_the_command_line_hashes_a_key_that_exists() -> None:
    """A key is read from stdin, never from an argument that others on the machine could see."""
    key = new_key()
    assert ring(command("hash", "alice", given=f"{key}\n").stdout).find(key)
    assert command("hash", "alice", given="short\n").returncode == 2
    assert command("new", "al/ice").returncode == 2
