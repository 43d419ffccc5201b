"""Reads requests' bodies of JSON into typed values, and says what is wrong with one that does not fit."""

from __future__ import annotations

from typing import TypeVar

from flask import request
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.exceptions import BadRequest


class Body(BaseModel):
    """What a request may bring: these fields and no others, of these types."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


B = TypeVar("B", bound=Body)


def read(kind: type[B]) -> B:
    """Return the request's body.

    Raises:
        UnsupportedMediaType: it does not claim to be JSON.
        BadRequest: it is not JSON, or does not fit.
    """
    try:
        return kind.model_validate(request.get_json())
    except RecursionError:
        raise BadRequest("The JSON is nested too deeply.") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise BadRequest(f"{where}: {reason}." if where else f"{reason}.") from None
