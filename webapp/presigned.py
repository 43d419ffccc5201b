"""`POST /uploads`: forms with which a client puts photos straight into S3, past the web tier."""

from __future__ import annotations

from flask import Blueprint, Response, current_app, jsonify
from pydantic import Field
from werkzeug.exceptions import RequestEntityTooLarge

from tasks import api as tasks_api
from webapp import backpressure, bodies, taking
from webapp.settings import MIB, WebSettings
from webapp.uploads import display_name

# A form ends with the keys that signed it. Those of a role that a role assumes, as the web machine's does, last an hour,
# and botocore renews them when 15 minutes are left, or 10 if that fails: what is promised must be less.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
EXPIRES_IN_S = 600

blueprint = Blueprint("uploads", __name__)


class File(bodies.Body):
    """A photo to come."""

    name: str
    size_bytes: int = Field(ge=1)


class Files(bodies.Body):
    """Photos to come."""

    files: list[File] = Field(min_length=1)


@blueprint.post("/uploads")
def create() -> tuple[Response, int]:
    """Give a form for each photo, which S3 takes for ten minutes; `POST /batches` then has them classified."""
    settings: WebSettings = current_app.extensions["settings"]
    files = bodies.read(Files).files
    if len(files) > settings.max_files:
        raise RequestEntityTooLarge(f"{len(files)} photos are named; at most {settings.max_files} are taken at a time.")
    for file in files:
        if file.size_bytes > settings.max_image_bytes:
            raise RequestEntityTooLarge(
                f"{display_name(file.name)} has {file.size_bytes / MIB:.3g} MB; "
                f"at most {settings.max_image_bytes / MIB:.3g} MB are taken."
            )
    backpressure.require_room()
    forms = tasks_api.presign(
        [display_name(file.name) for file in files],
        taking.sender(),
        max_bytes=settings.max_image_bytes,
        expires_in_s=EXPIRES_IN_S,
    )
    uploads = [{"id": one.id, "name": one.name, "url": one.url, "fields": dict(one.fields)} for one in forms]
    return jsonify(uploads=uploads, expires_in_s=EXPIRES_IN_S), 201
