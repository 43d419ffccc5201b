"""The API's document and its page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from flask import Flask
from flask.testing import FlaskClient

from webapp import create_app
from webapp.reference import document
from webapp.reference_page import METHODS, Page, Piece, build
from webapp.settings import WebSettings

# What people open, and what their pages load and send.
FOR_PEOPLE = ("pages.index", "auth.", "static", "reference.docs")


@pytest.fixture(scope="module")
def app() -> Flask:
    """The web app with its default settings."""
    return create_app(WebSettings.from_env({}))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Somebody without a key."""
    return app.test_client()


@pytest.fixture(scope="module")
def page() -> Page:
    """What the page shows."""
    return build(document())


def routes(app: Flask) -> Iterator[tuple[str, str]]:
    """Yield the method and the path of each of the API's operations that the app has."""
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith(FOR_PEOPLE):
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                yield method, re.sub(r"<(?:\w+:)?\w+>", "{}", rule.rule)


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the method and the path of each operation of the document."""
    for path, item in described["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), re.sub(r"{\w+}", "{}", path)


def test_the_document_is_valid() -> None:
    """It follows OpenAPI 3.1."""
    schemathesis.openapi.from_dict(document()).validate()


def test_a_program_gets_the_document_as_json(client: FlaskClient) -> None:
    """Whoever reads OpenAPI can read ours."""
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert json.loads(answer.data) == document()
    assert answer.json is not None
    assert answer.json["openapi"].startswith("3.1")


def test_the_document_has_every_operation_of_the_app_and_no_other(app: Flask) -> None:
    """Who adds a route says what it does; who takes one away says so."""
    assert set(operations(document())) == set(routes(app))


def test_every_operation_tells_its_errors(page: Page) -> None:
    """Whatever needs a key can be refused for want of one, or because it is asked too often."""
    for operations in page.groups.values():
        for operation in operations:
            statuses = {answer.status for answer in operation.answers}
            assert operation.is_open or {"401", "429"} <= statuses, operation.id


def test_the_page_shows_every_operation_and_every_shape(client: FlaskClient, page: Page) -> None:
    """Each has a section of its own that can be linked to, and every link leads to one."""
    text = client.get("/docs").text
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    expected = {one.id for group in page.groups.values() for one in group} | {
        f"shape-{one.name}" for one in page.shapes
    }
    assert expected <= set(ids)
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(ids)
    assert sum(map(len, page.groups.values())) == len(list(operations(document())))


def test_the_page_needs_nothing_from_elsewhere(client: FlaskClient) -> None:
    """No script, no inline style, nothing from another host: it works offline under the strictest policy."""
    text = client.get("/docs").text
    assert not re.search(r"<script|<style|\bstyle=|\bon\w+=", text)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        pytest.param({"type": "string"}, (Piece("string"),), id="plain"),
        pytest.param(
            {"type": "number", "minimum": 0, "maximum": 60, "default": 0},
            (Piece("number, 0 to 60 (else 0)"),),
            id="bounds-and-default",
        ),
        pytest.param({"type": ["string", "null"]}, (Piece("string or null"),), id="nullable"),
        pytest.param({"const": "ok"}, (Piece("`ok`"),), id="constant"),
        pytest.param({"type": "string", "format": "binary"}, (Piece("file"),), id="file"),
        pytest.param({"$ref": "#/a/Id"}, (Piece("Id", "Id"),), id="reference"),
        pytest.param(
            {"type": "array", "items": {"$ref": "#/a/Id"}}, (Piece("list of "), Piece("Id", "Id")), id="list-of-shape"
        ),
        pytest.param(
            {"oneOf": [{"$ref": "#/a/A"}, {"$ref": "#/a/B"}]},
            (Piece("A", "A"), Piece(" or "), Piece("B", "B")),
            id="alternatives",
        ),
    ],
)
def test_a_type_is_told_in_words(schema: dict[str, Any], kind: tuple[Piece, ...]) -> None:
    """Types read as a sentence would say them, with links to the shapes they name."""
    described: dict[str, Any] = {
        "info": {"title": "t", "summary": "s", "description": "d", "version": "1"},
        "tags": [],
        "paths": {},
        "components": {"schemas": {"X": schema}},
    }
    (shape,) = build(described).shapes
    assert shape.kind == kind
