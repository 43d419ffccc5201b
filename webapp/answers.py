"""How the API shows photos and batches: the fields of its JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasks.api import Batch, Outcome, Photo

Result = dict[str, Any]


def result(outcome: Outcome, name: str = "") -> Result:
    """Return what is known of a photo; `name` is what it is called if the outcome does not say."""
    shown: Result = {"id": outcome.id, "name": outcome.name or name, "state": outcome.state}
    if outcome.request_id:
        shown["request_id"] = outcome.request_id
    if outcome.state == "SUCCESS":
        return {**shown, **outcome.result, **shown}  # what the task says of itself never hides whose result it is
    if outcome.state == "FAILURE":
        return shown | {"error": outcome.error}
    return shown


def results(photos: Iterable[Photo], outcomes: Mapping[str, Outcome]) -> list[Result]:
    """Return what is known of each photo, in order; one that nothing is known of is waiting."""
    return [result(outcomes.get(photo.id) or Outcome(photo.id, "PENDING"), photo.name) for photo in photos]


def counts(shown: Sequence[Result]) -> dict[str, int]:
    """Return how many photos there are, by state.

    >>> counts([{"state": "SUCCESS"}, {"state": "PENDING"}])
    {'photos': 2, 'pending': 1, 'succeeded': 1, 'failed': 0}
    """
    by_state = Counter(one["state"] for one in shown)
    return {
        "photos": len(shown),
        "pending": by_state["PENDING"],
        "succeeded": by_state["SUCCESS"],
        "failed": by_state["FAILURE"],
    }


def batch(found: Batch, shown: Sequence[Result]) -> dict[str, Any]:
    """Return a batch with its results."""
    return {"id": found.id, "created_at": found.created_at_s, "counts": counts(shown), "results": list(shown)}
