"""Reads a process's settings from its environment: typed, validated, with one clear line for a wrong value.

It knows no setting by name; every process describes its own in a subclass of `EnvironmentSettings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class SettingsError(ValueError):
    """A setting has a value that the process cannot run with; the message names it and says what to do."""


class EnvironmentSettings(BaseModel):
    """Frozen settings whose fields' aliases are the names of environment variables."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read and validate the settings; a variable that is unset or empty takes the field's default.

        Raises:
            SettingsError: a value is out of range or of the wrong kind; only the first one is reported.
        """
        given = {field.alias: environ.get(field.alias or "") for field in cls.model_fields.values()}
        try:
            return cls.model_validate({name: value for name, value in given.items() if name and value})
        except ValidationError as error:
            raise SettingsError(_first_problem(error, environ)) from None


def _first_problem(error: ValidationError, environ: Mapping[str, str]) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    reason = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if not first["loc"]:  # a rule about several settings, whose message names them
        return reason
    name = str(first["loc"][0])
    return f"{name}={environ.get(name, '')!r} is refused: it should be {reason} (see the README's settings)"
