"""Takes uploads in: no more at a time than the process has room for, onto disk, and refused before they are read.

A form that may carry photos takes a slot, and room on disk for all that it says it brings, before its body is read.
"""

from __future__ import annotations

from typing import IO, cast

from flask import Flask, Request, current_app, g
from werkzeug.exceptions import RequestEntityTooLarge

from webapp.multipart import FormParser
from webapp.settings import MIB, WebSettings
from webapp.slots import Overloaded, Slots
from webapp.spool import Spool

# What a request that brings no photos may have: JSON that names 10,000 of them has 1.5 MB.
MAX_OTHER_BYTES = 3 * MIB
FIELDS = 100
MULTIPART = "multipart/form-data"
RETRY_AFTER_S = 5
BUSY = "Too many uploads are under way. Nothing was taken; please try again in a few seconds."

_uploads: set[str] = set()


def takes_uploads(endpoint: str) -> None:
    """Note that a view takes photos."""
    _uploads.add(endpoint)


class UploadRequest(Request):
    """A request whose files go to one temporary file."""

    form_data_parser_class = FormParser

    @property
    def spool(self) -> Spool:
        """Where the files go."""
        if "spool" not in g:
            settings: WebSettings = current_app.extensions["settings"]
            g.spool = Spool(settings.max_image_bytes)
        return cast("Spool", g.spool)

    def _load_form_data(self) -> None:
        if "form" not in self.__dict__:
            _admit(self)
        super()._load_form_data()

    def _get_file_stream(
        self,
        total_content_length: int | None,  # noqa: ARG002 - werkzeug's signature
        content_type: str | None,  # noqa: ARG002 - werkzeug's signature
        filename: str | None = None,  # noqa: ARG002 - werkzeug's signature
        content_length: int | None = None,  # noqa: ARG002 - werkzeug's signature
    ) -> IO[bytes]:
        return cast("IO[bytes]", self.spool.begin())


class Gate:
    """Lets uploads in while there are slots and there is room on disk."""

    def __init__(self, settings: WebSettings) -> None:
        self.slots = Slots(settings.upload_slots)
        self.disk = Slots(settings.max_spool_bytes)

    def enter(self, size_bytes: int) -> None:
        """Take a slot and room on disk.

        Raises:
            Overloaded: there is none.
        """
        if not self.slots.take():
            raise Overloaded(BUSY, RETRY_AFTER_S)
        if not self.disk.take(size_bytes):
            self.slots.give_back()
            raise Overloaded(BUSY, RETRY_AFTER_S)

    def leave(self, size_bytes: int) -> None:
        """Give back what was taken."""
        self.disk.give_back(size_bytes)
        self.slots.give_back()


def register(app: Flask) -> None:
    """Have the app take uploads in."""
    settings: WebSettings = app.extensions["settings"]
    app.request_class = UploadRequest
    app.config["MAX_CONTENT_LENGTH"] = MAX_OTHER_BYTES
    app.config["MAX_FORM_PARTS"] = settings.max_files + FIELDS
    app.extensions["gate"] = Gate(settings)
    app.teardown_request(lambda _error: done())


def _admit(form: Request) -> None:
    if form.endpoint not in _uploads or form.mimetype != MULTIPART:
        return
    settings: WebSettings = current_app.extensions["settings"]
    form.max_content_length = settings.max_request_bytes
    size_bytes = settings.max_request_bytes if form.content_length is None else form.content_length
    if size_bytes > settings.max_request_bytes:
        raise RequestEntityTooLarge
    gate: Gate = current_app.extensions["gate"]
    gate.enter(size_bytes)
    g.admitted_bytes = size_bytes


def done() -> None:
    """Give back the slot and the disk space: the files are stored, or not wanted."""
    spool: Spool | None = g.pop("spool", None)
    if spool is not None:
        spool.close()
    size_bytes: int | None = g.pop("admitted_bytes", None)
    if size_bytes is not None:
        gate: Gate = current_app.extensions["gate"]
        gate.leave(size_bytes)
