"""What became of photos that were sent, and how that is told, however they came."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flask import Response
from werkzeug.exceptions import NotFound

from tasks import api as tasks_api
from webapp import auth, errors, metrics
from webapp.request_ids import request_id
from webapp.uploads import Refused

Outcome = tasks_api.Photo | tasks_api.SubmitError | Refused

NO_BATCH = "There is no batch under this id, or it has expired."
NOT_FOUND, SERVICE_UNAVAILABLE = 404, 503


@dataclass(frozen=True)
class Rejected:
    """A photo that was not taken.

    Attributes:
        index: its place in the request, from 0.
        name: what its owner calls it.
        error: why, in a sentence.
        status: the HTTP status that it would have alone; 503 is worth another try.
    """

    index: int
    name: str
    error: str
    status: int


@dataclass(frozen=True)
class Taken:
    """What became of photos that came together."""

    batch_id: str
    photos: tuple[tasks_api.Photo, ...]
    rejected: tuple[Rejected, ...]

    @property
    def told(self) -> list[dict[str, Any]]:
        """The rejected photos as the API shows them."""
        return [asdict(one) for one in self.rejected]


def sender() -> tasks_api.Sender:
    """Return who sends the request."""
    return tasks_api.Sender(auth.caller().name, request_id())


def taken(batch_id: str, outcomes: Sequence[Outcome]) -> Taken:
    """Sort and count photos by what became of them."""
    photos = tuple(outcome for outcome in outcomes if isinstance(outcome, tasks_api.Photo))
    rejected = tuple(
        _rejected(index, outcome) for index, outcome in enumerate(outcomes) if not isinstance(outcome, tasks_api.Photo)
    )
    metrics.photos(taken=len(photos), rejected=len(rejected))
    return Taken(batch_id, photos, rejected)


def submit(call: Callable[[], tasks_api.Submitted]) -> tasks_api.Submitted:
    """Return what `call` does.

    Raises:
        NotFound: there is no batch to add to.
        StoreUnavailable: nothing could be stored.
    """
    try:
        return call()
    except tasks_api.UnknownBatch:
        raise NotFound(NO_BATCH) from None


def nothing_taken(result: Taken) -> Response:
    """Return the answer when no photo was taken: that of the first."""
    first = result.rejected[0]
    headers = {"Retry-After": str(errors.RETRY_AFTER_S)} if first.status == SERVICE_UNAVAILABLE else {}
    return errors.answer(first.status, first.error, headers, rejected=result.told)


def _rejected(index: int, outcome: tasks_api.SubmitError | Refused) -> Rejected:
    if isinstance(outcome, Refused):
        return Rejected(index, outcome.name, outcome.error, outcome.status)
    status = SERVICE_UNAVAILABLE if outcome.is_temporary else NOT_FOUND
    return Rejected(index, outcome.name, str(outcome), status)
