"""The pages for people: choose photos, watch their labels come, look at a batch again later."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, current_app, render_template

from tasks import api as tasks_api
from webapp import auth
from webapp.settings import MIB, WebSettings
from webapp.shares import share_url
from webapp.thumbnails import thumbnail

# Of a large batch the server renders the first photos; the page's script adds the others.
RENDERED_PHOTOS = 200
# A photo and its pixels are in memory while its thumbnail is made.
THUMBNAILS_AT_A_TIME = 2
NO_PHOTO = "No photo is stored under this id, or it has expired."
TITLES = {
    400: "That request was not understood",
    403: "Not allowed",
    404: "Nothing here",
    413: "Too large",
    415: "Not a photo",
    429: "Too many requests",
    503: "Not available right now",
}
# A photo never changes, and its address is known to its owner only.
KEEP = {"Cache-Control": "private, max-age=604800, immutable"}

blueprint = Blueprint("pages", __name__)
_thumbnails = threading.BoundedSemaphore(THUMBNAILS_AT_A_TIME)


@blueprint.get("/")
def index() -> str:
    """Show the page that takes photos."""
    return render_template("photos.html", may_add=True, **_common())


def show_batch(batch_id: str, created_at_s: float, results: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of a batch: readable as it is, and brought to life by its script.

    Args:
        batch_id: of the batch.
        created_at_s: when it was made, in seconds since the epoch.
        results: each photo's result as the API gives it, in order.
    """
    states = Counter(result["state"] for result in results)
    batch = {
        "id": batch_id,
        "created_at": datetime.fromtimestamp(created_at_s, UTC).isoformat(timespec="seconds"),
        "results": results[:RENDERED_PHOTOS],
        "unrendered": len(results[RENDERED_PHOTOS:]),
        "counts": {
            "photos": len(results),
            "pending": states["PENDING"],
            "succeeded": states["SUCCESS"],
            "failed": states["FAILURE"],
        },
    }
    may_add = auth.owns(batch_id)
    link = share_url(batch_id) if may_add else ""
    return render_template("photos.html", batch=batch, may_add=may_add, share_url=link, **_common())


def show_error(status: int, message: str, request_id: str = "") -> str:
    """Return the page that tells a person what went wrong."""
    title = TITLES.get(status, "That did not work")
    return render_template("error.html", title=title, message=message, request_id=request_id)


@blueprint.get("/photos/<photo_id>/thumbnail")
def photo_thumbnail(photo_id: str) -> Response:
    """Give a small picture of a photo; 404 also where there is none to be had."""
    with _thumbnails:
        found = tasks_api.find_photo(photo_id)
        if found is None:
            abort(404, NO_PHOTO)
        small = thumbnail(found.data)
    if small is None:
        abort(404, "There is no thumbnail of this photo.")
    return Response(small, mimetype="image/jpeg", headers=KEEP)


@blueprint.get("/photos/<photo_id>")
def photo(photo_id: str) -> Response:
    """Give a photo as it was uploaded: as a file to save, which no browser will take for a page."""
    headers = {"Content-Disposition": "attachment", **KEEP}
    # Piece by piece: a client that does not read must not have a whole photo kept for it.
    pieces = tasks_api.stream_photo(photo_id)
    if pieces is None:
        abort(404, NO_PHOTO)
    return Response(pieces, mimetype="application/octet-stream", headers=headers)


def _common() -> dict[str, Any]:
    settings: WebSettings = current_app.extensions["settings"]
    return {
        "flower_url": settings.flower_url,
        "max_files": settings.max_files,
        "max_image_mb": settings.max_image_bytes // MIB,
        "max_request_bytes": settings.max_request_bytes,
        "model": tasks_api.model_name,
        "user": auth.caller(),
    }
