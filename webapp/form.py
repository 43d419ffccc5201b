"""Reads photos out of an HTML form's request, judges them and hands the good ones over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from flask import current_app, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from tasks import api as tasks_api
from webapp import backpressure, receiving, taking
from webapp.settings import WebSettings
from webapp.spool import SpooledFile
from webapp.uploads import Accepted, Received, Refused, validate

# The first is ours; the others are what clients of similar services send.
FIELDS = ("img", "file", "image", "myfile")


def files() -> list[FileStorage]:
    """Return the files of the request's form.

    Raises:
        BadRequest: there is none.
        Overloaded: the queue is too long, or too many uploads are under way.
        RequestEntityTooLarge: there are too many.
        UnsupportedMediaType: it is no such form.
    """
    settings: WebSettings = current_app.extensions["settings"]
    if request.mimetype not in {"", receiving.MULTIPART}:
        raise UnsupportedMediaType(
            f"Send a form of type {receiving.MULTIPART}, with photos in the field `{FIELDS[0]}`."
        )
    backpressure.require_room()
    found = [file for name, file in request.files.items(multi=True) if name in FIELDS and file.filename]
    if not found:
        raise BadRequest(f"No photo came with the request: put files into the field `{FIELDS[0]}`.")
    if len(found) > settings.max_files:
        raise RequestEntityTooLarge(f"{len(found)} photos came; at most {settings.max_files} are taken at a time.")
    return found


def take(received: Sequence[FileStorage], batch_id: str = "", replaced: Sequence[str] = ()) -> taking.Taken:
    """Judge files, store the good ones and queue them; the disk space of all is given back.

    Args:
        received: the files.
        batch_id: the batch to add them to; a new one without.
        replaced: for each file, the photo of the batch whose place it takes; or nothing.

    Raises:
        NotFound: there is no batch `batch_id` to add to.
        StoreUnavailable: nothing could be stored.
    """
    verdicts = [_judge(file) for file in received]
    uploads = [
        tasks_api.Upload(verdict.name, verdict.content_type, verdict.file, verdict.size_bytes, replaces=instead_of)
        for verdict, instead_of in zip(verdicts, replaced or [""] * len(verdicts), strict=True)
        if isinstance(verdict, Accepted)
    ]
    if not uploads:
        return taking.taken("", [verdict for verdict in verdicts if isinstance(verdict, Refused)])
    submitted = taking.submit(lambda: tasks_api.submit(uploads, taking.sender(), batch_id=batch_id))
    receiving.done()
    outcomes = iter(submitted.outcomes)
    return taking.taken(
        submitted.batch_id, [next(outcomes) if isinstance(verdict, Accepted) else verdict for verdict in verdicts]
    )


def _judge(file: FileStorage) -> Accepted | Refused:
    settings: WebSettings = current_app.extensions["settings"]
    spooled = cast("SpooledFile", file.stream)
    return validate(
        Received(file.filename or "", spooled.size_bytes, file.stream),
        max_bytes=settings.max_image_bytes,
        sniff=lambda opened: tasks_api.probe_photo(opened).content_type,
    )
