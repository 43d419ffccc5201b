"""Ids of photos and batches: an id alone tells whose it is, when it was made, and which photos came with it.

An id is ``oooooo-ttttttttttt-bbbbbbb-ssssssssssssssss`` in hexadecimal digits: a tag of the owner, the time counted
backwards, so that a listing begins with the newest, a number that the photos of one batch share, and 64 random bits of
its own. Pure but for the random numbers.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple

TAG_CHARS = 6
ANONYMOUS = "0" * TAG_CHARS
LAST_MS = 16**11 - 1  # in the year 2527
BATCH_BITS, SECRET_BITS = 28, 64
ID = re.compile(r"[0-9a-f]{6}-[0-9a-f]{11}-[0-9a-f]{7}-[0-9a-f]{16}")
PREFIX_CHARS = TAG_CHARS + 1 + 11 + 1 + 7 + 1


class NewIds(NamedTuple):
    """The ids of a batch that begins: its own and its photos'."""

    batch: str
    photos: tuple[str, ...]


def owner_tag(owner: str) -> str:
    """Return what the ids of `owner` begin with; nobody in particular ("") has zeros.

    >>> owner_tag("")
    '000000'
    """
    return hashlib.sha256(owner.encode()).hexdigest()[:TAG_CHARS] if owner else ANONYMOUS


def new_ids(owner: str, photos: int, now_s: float) -> NewIds:
    """Make the ids of a batch of `photos` photos. A photo that comes alone is its own batch."""
    prefix = f"{owner_tag(owner)}-{LAST_MS - round(now_s * 1000):011x}-{secrets.randbits(BATCH_BITS):07x}-"
    made = _with_secrets(prefix, photos)
    return NewIds(made[0] if photos == 1 else _with_secrets(prefix, 1)[0], made)


def more_ids(batch: str, photos: int) -> tuple[str, ...]:
    """Make the ids of photos that are added to a batch."""
    return _with_secrets(prefix_of(batch), photos)


def is_id(text: str) -> bool:
    """Tell whether a text has the form of an id.

    >>> is_id("000000-e6aff5dc2b1-0a1b2c3-0123456789abcdef"), is_id("../etc/passwd")
    (True, False)
    """
    return ID.fullmatch(text) is not None


def tag_of(made: str) -> str:
    """Return the tag of an id's owner.

    >>> tag_of("a1b2c3-e6aff5dc2b1-0a1b2c3-0123456789abcdef")
    'a1b2c3'
    """
    return made[:TAG_CHARS]


def prefix_of(made: str) -> str:
    """Return what an id has in common with those made with it.

    >>> prefix_of("a1b2c3-e6aff5dc2b1-0a1b2c3-0123456789abcdef")
    'a1b2c3-e6aff5dc2b1-0a1b2c3-'
    """
    return made[:PREFIX_CHARS]


def made_at_s(made: str) -> float:
    """Return when an id was made, in seconds since the epoch.

    >>> made_at_s("000000-e6aff5dc2b1-0a1b2c3-0123456789abcdef")
    1739472387.406
    """
    return (LAST_MS - int(made.split("-")[1], 16)) / 1000


def _with_secrets(prefix: str, number: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{secrets.randbits(SECRET_BITS):016x}" for _ in range(number))
