"""Turns the API's OpenAPI document into what its page shows: operations by tag, and the shapes they speak of.

Pure: knows neither Flask nor where the document comes from. Understands the part of OpenAPI 3.1 that the document uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

METHODS = ("get", "post", "put", "patch", "delete")
REF = "$ref"

Node: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
    """A part of a type's words; `shape` is the section that describes it, if there is one."""

    text: str
    shape: str = ""


Kind: TypeAlias = tuple[Piece, ...]


@dataclass(frozen=True)
class Member:
    """A parameter or a field."""

    name: str
    kind: Kind
    is_required: bool
    description: str
    place: str = ""


@dataclass(frozen=True)
class Content:
    """A body in one media type."""

    media_type: str
    kind: Kind
    members: tuple[Member, ...]
    example: Any = None


@dataclass(frozen=True)
class Answer:
    """One status and what comes with it."""

    status: str
    description: str
    contents: tuple[Content, ...]


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    is_open: bool
    parameters: tuple[Member, ...]
    bodies: tuple[Content, ...]
    answers: tuple[Answer, ...]
    example: str


@dataclass(frozen=True)
class Shape:
    """A schema with a name."""

    name: str
    description: str
    kind: Kind
    members: tuple[Member, ...]
    example: Any = None


@dataclass(frozen=True)
class Page:
    """All that the page shows."""

    title: str
    summary: str
    description: str
    version: str
    groups: Mapping[str, tuple[Operation, ...]]
    shapes: tuple[Shape, ...]


def build(document: Node) -> Page:
    """Describe `document`.

    Raises:
        KeyError: the document lacks something that OpenAPI asks for, or refers to what is not there.
    """
    reader = _Reader(document)
    operations = tuple(reader.operations())
    groups = {tag["name"]: tuple(one for one in operations if one.tag == tag["name"]) for tag in document["tags"]}
    info = document["info"]
    return Page(info["title"], info["summary"], info["description"], info["version"], groups, tuple(reader.shapes()))


@dataclass(frozen=True)
class _Reader:
    document: Node

    def operations(self) -> Iterator[Operation]:
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield self._operation(path, method, item[method], item.get("parameters", ()))

    def shapes(self) -> Iterator[Shape]:
        for name, schema in self.document["components"]["schemas"].items():
            members = tuple(self.members(schema))
            yield Shape(name, schema.get("description", ""), self.kind(schema), members, schema.get("example"))

    def _operation(self, path: str, method: str, node: Node, shared: tuple[Node, ...]) -> Operation:
        parameters = tuple(self._parameter(self.resolved(one)) for one in (*shared, *node.get("parameters", ())))
        body = self.resolved(node["requestBody"]) if "requestBody" in node else {}
        answers = ((status, self.resolved(answer)) for status, answer in node["responses"].items())
        return Operation(
            id=node["operationId"],
            method=method.upper(),
            path=path,
            tag=node["tags"][0],
            summary=node["summary"],
            description=node.get("description", ""),
            is_open=node.get("security") == [],
            parameters=parameters,
            bodies=self._contents(body),
            answers=tuple(Answer(status, one["description"], self._contents(one)) for status, one in answers),
            example=node.get("x-curl", ""),
        )

    def _parameter(self, node: Node) -> Member:
        description = node.get("description", "")
        return Member(node["name"], self.kind(node["schema"]), node.get("required", False), description, node["in"])

    def _contents(self, node: Node) -> tuple[Content, ...]:
        return tuple(
            Content(
                media_type,
                self.kind(content["schema"]),
                () if REF in content["schema"] else tuple(self.members(content["schema"])),
                content.get("example"),
            )
            for media_type, content in node.get("content", {}).items()
        )

    def members(self, schema: Node, prefix: str = "") -> Iterator[Member]:
        """Yield the fields of an object, with those of the objects inside it, and of its parts where it has several."""
        required = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            description = (field if "description" in field else self.resolved(field)).get("description", "")
            yield Member(prefix + name, self.kind(field), name in required, description)
            if REF not in field:
                yield from self._inner(field, prefix + name)
        for part in schema.get("allOf", ()):
            yield from self.members(self.resolved(part), prefix)
        for part in schema.get("oneOf", ()):
            if REF not in part:
                yield from self.members(part, prefix)

    def _inner(self, field: Node, name: str) -> Iterator[Member]:
        items = field.get("items")
        if items is None:
            yield from self.members(field, f"{name}.")
        elif REF not in items:
            yield from self.members(items, f"{name}[].")

    def kind(self, schema: Node) -> Kind:
        """Return a schema's type in words."""
        if REF in schema:
            name = schema[REF].rsplit("/", 1)[-1]
            return (Piece(name, name),)
        if "oneOf" in schema and "type" not in schema:
            first, *others = (self.kind(part) for part in schema["oneOf"])
            return first + tuple(piece for other in others for piece in (Piece(" or "), *other))
        if "allOf" in schema:
            return (Piece("object"),)
        if "items" in schema:
            return (Piece("list of "), *self.kind(schema["items"]))
        return (Piece(_plain(schema)),)

    def resolved(self, node: Node) -> Node:
        """Follow references to what they name."""
        while REF in node:
            target: Node = self.document
            for step in node[REF].removeprefix("#/").split("/"):
                target = target[step]
            node = target
        return node


def _plain(schema: Node) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    types = schema.get("type") or schema.get("title", "anything")
    text = types if isinstance(types, str) else " or ".join(types)
    if schema.get("format") == "binary":
        text = "file"
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        text += f", {low} to {high}"
    elif low is not None:
        text += f", at least {low}"
    if "default" in schema:
        text += f" (else {schema['default']})"
    return text
