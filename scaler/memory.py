"""What the scaler keeps in S3 to outlive itself: what it has learned, and launches that EC2 may not list yet."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from scaler.state import DEFAULT_VERSION, History

if TYPE_CHECKING:
    from tasks.objects import Bucket

MEMORY_KEY = "_scaler/memory.json"
UNREADABLE_KEY = "_scaler/memory-unreadable-{now_s:.0f}.json"
VERSION = 1

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intent:
    """A launch that was about to be asked for; it may or may not have reached EC2.

    Attributes:
        token: of the request, which EC2 carries out once.
        count: instances to launch.
        at_s: when.
        version: of the launch template.
    """

    token: str
    count: int
    at_s: float
    version: str = DEFAULT_VERSION


@dataclass(frozen=True)
class Memory:
    """What is kept. Without it the scaler starts with what EC2 and the workers say.

    Attributes:
        history: what decisions are made on.
        launched: the latest launches that EC2 did not list yet, with their times.
        intent: a launch whose outcome is not known.
    """

    history: History = field(default_factory=History)
    launched: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    intent: Intent | None = None


def to_json(memory: Memory) -> bytes:
    """Return the memory as it is stored."""
    plain = {
        "version": VERSION,
        "history": {
            name: dict(value) if isinstance(value, Mapping) else value for name, value in vars(memory.history).items()
        }
        | {"versions": asdict(memory.history.versions)},
        "launched": dict(memory.launched),
        "intent": asdict(memory.intent) if memory.intent else None,
    }
    return json.dumps(plain).encode()


def from_json(data: bytes) -> Memory:
    """Return the memory that `to_json` has stored.

    Raises:
        ValueError: it cannot be understood, or is of another version.
    """
    plain = json.loads(data)
    if not isinstance(plain, dict) or plain.pop("version", None) != VERSION:
        raise ValueError(f"not version {VERSION}")
    return TypeAdapter(Memory).validate_python(plain)


class MemoryStore:
    """Keeps one memory. Only the lease's holder writes it. Raises `tasks.objects.StoreUnavailable`.

    The bucket's objects expire; a memory that has not changed for so long is no loss.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._saved: Memory | None = None

    def load(self, now_s: float) -> Memory:
        """Return what is kept; an unreadable memory is put aside, and a new one begun."""
        # Another scaler may have written since this one last did.
        self._saved = None
        stored = self._bucket.get(MEMORY_KEY)
        if stored is None:
            return Memory()
        try:
            return from_json(stored.data)
        except (ValueError, ValidationError, TypeError) as error:
            aside = UNREADABLE_KEY.format(now_s=now_s)
            self._bucket.put(aside, stored.data)
            log.warning("%s cannot be read and is put aside as %s: %s", MEMORY_KEY, aside, error)
            return Memory()

    def save(self, memory: Memory) -> None:
        """Keep a memory, if it differs from what was saved last."""
        if memory != self._saved:
            self._bucket.put(MEMORY_KEY, to_json(memory))
            self._saved = memory
