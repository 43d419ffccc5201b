"""What became of photos: reads their results and says it in words for their owners."""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from cachetools import TTLCache

from celeryconfig import settings
from tasks import ids
from tasks.app import app
from tasks.aws import keys
from tasks.batches import batches
from tasks.objects import StoreUnavailable
from tasks.store import image_store
from tasks.watcher import Watcher

if TYPE_CHECKING:
    from tasks.results import S3ResultBackend

# The errors whose message was written for the person who uploaded the photo.
READABLE_ERRORS = frozenset({"BadImage", "ImageMissing", "InferenceTimeout", "PoisonMessage"})
FINAL = frozenset({"SUCCESS", "FAILURE"})
# From this many on, one listing of those that came together is cheaper than a question for each.
LIST_FROM = 16
LIST_AT_MOST = 100_000
# A listing has 1,000 to a request.
COUNT_AT_MOST = 10_000
# Far below the days after which photos expire; a photo that is reset meanwhile stays "pending" for as long.
KNOWN_FOR_S = 600
KNOWN_AT_MOST = 100_000


@dataclass(frozen=True)
class Outcome:
    """What is known of a photo: never uploaded, still waiting, a result or a readable error."""

    id: str
    state: Literal["UNKNOWN", "PENDING", "SUCCESS", "FAILURE"]
    name: str = ""
    result: Mapping[str, object] = field(default_factory=dict)
    error: str = ""
    request_id: str = ""

    @property
    def is_final(self) -> bool:
        """Whether it will stay as it is."""
        return self.state in FINAL


@dataclass(frozen=True)
class Recent:
    """A page of an owner's results, newest first.

    Attributes:
        total: results there are, of all pages.
        is_exact: whether that is all; there may be more than are counted.
        first: the place of the first of `outcomes` among all, from 0.
        outcomes: the page.
        next: the id after which the next page begins; "" on the last.
    """

    total: int
    is_exact: bool
    first: int
    outcomes: tuple[Outcome, ...]
    next: str


class Uploaded:
    """Which photos are known to be stored: who waits asks again and again, and S3 need not be asked each time."""

    def __init__(self) -> None:
        self._known: TTLCache[str, str] = TTLCache(KNOWN_AT_MOST, KNOWN_FOR_S)
        self._lock = threading.Lock()

    def add(self, photo_id: str, name: str) -> None:
        """Note that a photo is stored."""
        with self._lock:
            self._known[photo_id] = name

    def forget(self) -> None:
        """Note that no photo need be stored any more."""
        with self._lock:
            self._known.clear()

    def name(self, photo_id: str) -> str | None:
        """Return a photo's name, "" if only its being there is known; None if it is not there.

        Raises:
            StoreUnavailable: S3 failed.
        """
        with self._lock:
            known = self._known.get(photo_id)
        if known is None and image_store(settings).exists(photo_id):
            self.add(photo_id, known := "")
        return known


uploaded = Uploaded()
watcher = Watcher["Outcome"](lambda photo_ids: read_final(photo_ids), StoreUnavailable)  # noqa: PLW0108 - defined below


def fetch(photo_id: str) -> Outcome:
    """Look up what became of a photo.

    Raises:
        StoreUnavailable: S3 could not be reached.
    """
    return fetch_many([photo_id])[0]


def fetch_many(photo_ids: Sequence[str]) -> list[Outcome]:
    """Look up what became of photos, in order; results that were read once are remembered.

    Raises:
        StoreUnavailable: S3 could not be reached.
    """
    results = read_final(photo_ids)
    return [results.get(photo_id) or _without_result(photo_id) for photo_id in photo_ids]


def read_final(photo_ids: Iterable[str]) -> dict[str, Outcome]:
    """Read the results that are there, with as few requests as that takes.

    Raises:
        StoreUnavailable: S3 could not be reached.
    """
    asked = [photo_id for photo_id in photo_ids if ids.is_id(photo_id)]
    metas = _backend().fetch_many(_worth_reading(asked))
    outcomes = (_outcome(photo_id, meta) for photo_id, meta in metas.items() if meta is not None)
    return {outcome.id: outcome for outcome in outcomes if outcome.is_final}


def wait(photo_ids: Sequence[str], timeout_s: float) -> Iterator[Outcome]:
    """Yield photos as they become final, until all are or the time is up. Others wait for theirs meanwhile.

    While S3 cannot be reached nothing comes; it is asked again.
    """
    asked = [photo_id for photo_id in photo_ids if ids.is_id(photo_id)]
    # Who waits anew for what is old is answered at once if it is there.
    age_s = max((time.time() - ids.made_at_s(photo_id) for photo_id in asked), default=0.0)
    return watcher.wait(asked, timeout_s, began_s=time.monotonic() - max(0.0, age_s))


def recent(owner: str, *, limit: int, after: str = "") -> Recent:
    """Return the newest results of `owner`, newest first; `after` is the id to go on from.

    Raises:
        StoreUnavailable: S3 could not be reached.
    """
    prefix = f"{ids.owner_tag(owner)}-"
    everything = [key for key, _size in keys(settings.result_bucket, prefix, at_most=COUNT_AT_MOST)]
    first = bisect.bisect_right(everything, after) if after else 0
    page = everything[first : first + limit]
    more = first + limit < len(everything)
    found = read_final(page)
    outcomes = tuple(found[photo_id] for photo_id in page if photo_id in found)
    return Recent(len(everything), len(everything) < COUNT_AT_MOST, first, outcomes, page[-1] if more else "")


def forget() -> None:
    """Forget what is remembered of photos and results: they were removed."""
    uploaded.forget()
    _backend()._cache.clear()  # type: ignore[attr-defined]  # noqa: SLF001 - Celery has no other way


def _worth_reading(photo_ids: Sequence[str]) -> list[str]:
    """Leave out those of large batches that a listing shows to have no result yet."""
    found: list[str] = []
    unread: dict[str, list[str]] = {}
    for photo_id in photo_ids:  # each asked once: another thread's results may push it out of the cache meanwhile
        if _backend().is_cached(photo_id):
            found.append(photo_id)
        else:
            unread.setdefault(ids.prefix_of(photo_id), []).append(photo_id)
    for prefix, members in unread.items():
        if len(members) < LIST_FROM:
            found += members
        else:
            there = {key for key, _size in keys(settings.result_bucket, prefix, at_most=LIST_AT_MOST)}
            found += [member for member in members if member in there]
    return found


def _without_result(photo_id: str) -> Outcome:
    if not ids.is_id(photo_id):
        return Outcome(photo_id, "UNKNOWN")
    name = uploaded.name(photo_id)
    if name is None and (noted := batches().find(photo_id)):  # stored under another key than its id
        uploaded.add(photo_id, name := noted.name)
    return Outcome(photo_id, "UNKNOWN") if name is None else Outcome(photo_id, "PENDING", name)


def _outcome(photo_id: str, meta: Mapping[str, Any]) -> Outcome:
    state = meta["status"]
    arguments = meta.get("kwargs") or {}
    name, request_id = str(arguments.get("name", "")), str(arguments.get("request_id", ""))
    if state == "SUCCESS":
        return Outcome(photo_id, "SUCCESS", meta["result"]["name"], meta["result"], request_id=request_id)
    if state in {"FAILURE", "REVOKED"}:
        return Outcome(photo_id, "FAILURE", name, error=_readable(photo_id, meta["result"]), request_id=request_id)
    return Outcome(photo_id, "PENDING", name, request_id=request_id)


def _readable(photo_id: str, error: object) -> str:
    if type(error).__name__ in READABLE_ERRORS:
        return str(error)
    return f"The photo could not be classified ({type(error).__name__}). Quote {photo_id} to the operator."


def _backend() -> S3ResultBackend:
    return cast("S3ResultBackend", app.backend)
