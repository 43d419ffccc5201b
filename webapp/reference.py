"""The API's description: the OpenAPI document for programs at `/openapi.json`, the same as a page at `/docs`."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from flask import Blueprint, Response, render_template
from markupsafe import Markup, escape

from webapp.auth import public
from webapp.reference_page import Page, build

SOURCE = "openapi.yaml"
CODE = re.compile(r"`([^`]+)`")

blueprint = Blueprint("reference", __name__)


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    loaded: dict[str, Any] = yaml.safe_load(files("webapp").joinpath(SOURCE).read_text("utf-8"))
    return loaded


@cache
def _page() -> Page:
    return build(document())


@cache
def _encoded() -> bytes:
    return json.dumps(document(), separators=(",", ":")).encode()


@blueprint.get("/openapi.json")
@public
def openapi() -> Response:
    """Give the document to a program."""
    return Response(_encoded(), content_type="application/json")


@blueprint.get("/docs")
@public
def docs() -> str:
    """Show the document to a person."""
    return render_template("docs.html", page=_page())


@blueprint.app_template_filter("prose")
def prose(text: str) -> Markup:
    """Escape a text of the document, with its `code` marked as such.

    >>> prose("a `b<c`")
    Markup('a <code>b&lt;c</code>')
    """
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just before


@blueprint.app_template_filter("paragraphs")
def paragraphs(text: str) -> list[str]:
    """Split a text at its empty lines."""
    return [part for part in text.split("\n\n") if part.strip()]
