"""API keys: made, hashed, written one to a line, and recognised. Knows no HTTP.

A key has 256 random bits, so one round of SHA-256 keeps it as safe as a slow hash would; nothing but the hash is kept.
Several lines may carry one name: while a key is replaced, the old one and the new one both work.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

MARK = "ec_"  # lets a scanner of logs or repositories recognise a key that has leaked
LEAST_CHARS = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
DIGEST = re.compile(r"[0-9a-f]{64}")


class Role(StrEnum):
    """What a key's holder may do: `ADMIN` may also see everyone's photos, Flower's link, and reset."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True)
class Key:
    """One API key of a user, known by its hash alone."""

    name: str
    role: Role
    digest: str

    @classmethod
    def parse(cls, line: str) -> Self:
        """Read a line ``name:role:sha256``.

        Raises:
            ValueError: the line has another form; the message does not repeat its hash.
        """
        name, _, rest = line.partition(":")
        role, _, digest = rest.partition(":")
        if not NAME.fullmatch(name):
            raise ValueError("a key's name has 1 to 64 letters, digits or any of _.@- and begins with none of those")
        if role not in set(Role):
            raise ValueError(f"the key of {name} has neither role user nor admin")
        if not DIGEST.fullmatch(digest):
            raise ValueError(f"the key of {name} is not a SHA-256 hash of 64 lower-case hexadecimal digits")
        return cls(name, Role(role), digest)

    def __str__(self) -> str:
        return f"{self.name}:{self.role}:{self.digest}"


def new_key() -> str:
    """Make a key that nobody can guess."""
    return MARK + secrets.token_urlsafe(32)


def digest_of(key: str) -> str:
    """Return the hash that a key is known by.

    >>> digest_of("ec_example")[:16]
    '1e2fb22ed4a50cfd'
    """
    return hashlib.sha256(key.encode()).hexdigest()


@dataclass(frozen=True)
class KeyRing:
    """All keys that are taken."""

    keys: tuple[Key, ...] = ()

    @classmethod
    def parse(cls, text: str, tag_of: Callable[[str], str]) -> Self:
        """Read keys that stand in lines, or in words; what follows a # is a comment.

        Args:
            text: the lines.
            tag_of: returns the short tag that a name's photos are known by; two names may not share one.

        Raises:
            ValueError: a line is wrong, one name has two roles, or two names share a tag.
        """
        lines = (line.split("#")[0] for line in text.splitlines())
        keys = tuple(Key.parse(word) for line in lines for word in re.split(r"[\s,]+", line) if word)
        _check_names(keys, tag_of)
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self.keys)

    def find(self, given: str) -> Key | None:
        """Return whose key was given; takes as long for a wrong one as for a right one."""
        return self.find_digest(digest_of(given))

    def find_digest(self, digest: str) -> Key | None:
        """Return the key of a hash."""
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.digest.encode(), digest.encode()):
                found = key
        return found


def _check_names(keys: Iterable[Key], tag_of: Callable[[str], str]) -> None:
    roles: dict[str, Role] = {}
    names: dict[str, str] = {}
    for key in keys:
        if roles.setdefault(key.name, key.role) is not key.role:
            raise ValueError(f"{key.name} has keys of both roles")
        other = names.setdefault(tag_of(key.name), key.name)
        if other != key.name:
            raise ValueError(f"{key.name} and {other} would share their photos; give one of them another name")
