"""`/batches`: photos that belong together: made of what is in S3 already, and shown with their results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from flask import Blueprint, Response, current_app, jsonify, make_response, url_for
from pydantic import Field, model_validator
from werkzeug.exceptions import BadRequest, NotFound, RequestEntityTooLarge

from tasks import api as tasks_api
from webapp import answers, auth, backpressure, bodies, pages, shares, taking
from webapp.negotiation import prefers_html
from webapp.settings import WebSettings
from webapp.uploads import display_name

NOT_THERE = "No photo of yours was uploaded under this id, or it has expired."

blueprint = Blueprint("batches", __name__)


class Uploaded(bodies.Body):
    """A photo that its owner has put into S3 with a form of `POST /uploads`."""

    id: str
    name: str


class NewBatch(bodies.Body):
    """What a batch is made of: the photos under an S3 prefix, or some that were uploaded.

    Attributes:
        prefix: an `s3://` URL in the input bucket.
        uploads: photos.
        batch: the id of a batch that `uploads` are added to; a new one without.
    """

    prefix: str | None = None
    uploads: list[Uploaded] | None = Field(None, min_length=1)
    batch: str = ""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.prefix is None) == (self.uploads is None):
            raise ValueError("Give either `prefix` or `uploads`")
        if self.batch and self.uploads is None:
            raise ValueError("Only `uploads` can be added to a batch")
        return self


@blueprint.post("/batches")
def create() -> tuple[Response, int] | Response:
    """Classify photos that are in S3 already: 202 with the batch, and with those that were not taken."""
    wanted = bodies.read(NewBatch)
    backpressure.require_room()
    taken = (
        _from_prefix(wanted.prefix) if wanted.prefix is not None else _from_uploads(wanted.uploads or [], wanted.batch)
    )
    if not taken.photos:
        return taking.nothing_taken(taken)
    batch_url = url_for("batches.show", batch_id=taken.batch_id)
    return jsonify(batch_id=taken.batch_id, batch_url=batch_url, photos=len(taken.photos), rejected=taken.told), 202


@blueprint.get("/batches/<batch_id>")
def show(batch_id: str) -> Response:
    """Show a batch's photos in the order in which they came, with the results that are there."""
    batch = find(batch_id)
    shown = results(batch)
    if prefers_html():
        response = make_response(pages.show_batch(batch.id, batch.created_at_s, shown))
    else:
        share = {"share_url": shares.share_url(batch_id)} if auth.owns(batch_id) else {}
        response = jsonify(answers.batch(batch, shown) | share)
    response.headers.add("Vary", "Accept")
    return response


def find(batch_id: str) -> tasks_api.Batch:
    """Return a batch.

    Raises:
        NotFound: there is none.
    """
    batch = tasks_api.get_batch(batch_id)
    if batch is None:
        raise NotFound(taking.NO_BATCH)
    return batch


def results(batch: tasks_api.Batch) -> list[answers.Result]:
    """Return what is known of a batch's photos."""
    return answers.results(batch.photos, tasks_api.read_final([photo.id for photo in batch.photos]))


def _from_prefix(url: str) -> taking.Taken:
    settings: WebSettings = current_app.extensions["settings"]
    bucket = f"s3://{tasks_api.input_bucket}/"
    if not url.startswith(bucket):
        raise BadRequest(f"`prefix` should begin with {bucket}")
    try:
        submitted = tasks_api.submit_prefix(
            url.removeprefix(bucket), taking.sender(), at_most=settings.max_batch, max_bytes=settings.max_image_bytes
        )
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return taking.taken(submitted.batch_id, submitted.outcomes)


def _from_uploads(uploads: Sequence[Uploaded], batch_id: str) -> taking.Taken:
    settings: WebSettings = current_app.extensions["settings"]
    if len(uploads) > settings.max_batch:
        raise RequestEntityTooLarge(
            f"{len(uploads)} photos are named; at most {settings.max_batch} are taken at a time."
        )
    if batch_id:
        auth.require_owner(batch_id)
    photos = [tasks_api.Photo(one.id, display_name(one.name)) for one in uploads]
    own = {photo.id: photo for photo in photos if _is_callers(photo.id)}
    if not own:
        return taking.taken("", [_not_there(photo) for photo in photos])
    submitted = taking.submit(lambda: tasks_api.submit_uploaded(list(own.values()), taking.sender(), batch_id=batch_id))
    outcomes: dict[str, taking.Outcome] = dict(zip(own, submitted.outcomes, strict=True))
    # Of a photo that is named twice the second is one too many.
    return taking.taken(submitted.batch_id, [outcomes.pop(photo.id, _not_there(photo)) for photo in photos])


def _is_callers(photo_id: str) -> bool:
    tag = tasks_api.owner_tag(auth.caller().name)
    return tasks_api.is_id(photo_id) and tasks_api.tag_of(photo_id) == tag


def _not_there(photo: tasks_api.Photo) -> tasks_api.SubmitError:
    return tasks_api.SubmitError(photo.name, NOT_THERE, is_temporary=False)
