"""The parameters of a deployment: what the main template declares, what the operator gives, what a stack has. Pure."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.errors import DeployError
from deploy.rules import document

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ParameterTypeDef

# What the command itself sets.
ARTIFACT_BUCKET = "ArtifactBucket"
CODE_VERSION = "CodeVersion"
DEPLOYMENT = "Deployment"
TEMPLATE_PREFIX = "TemplatePrefix"
CIDR = "AllowedCidr"
PUBLIC_NODES = "PublicNodes"
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MOST_BYTES = 4096
MOST_NAMED = 20  # choices in one line; `parameters` lists them all
SET_BY_COMMAND = {ARTIFACT_BUCKET, CODE_VERSION, TEMPLATE_PREFIX}


@dataclass(frozen=True)
class Declared:
    """A parameter as the template declares it; `default` is None where a value must be given."""

    name: str
    default: str | None
    description: str = ""
    pattern: str = ""
    allowed: tuple[str, ...] = ()
    constraint: str = ""
    least: float | None = None
    most: float | None = None


def declared(template: str) -> dict[str, Declared]:
    """Return the parameters that a template's text declares, by name."""
    return {name: _declared(name, entry) for name, entry in document(template).get("Parameters", {}).items()}


def _declared(name: str, entry: Mapping[str, Any]) -> Declared:
    return Declared(
        name,
        str(entry["Default"]) if "Default" in entry else None,
        str(entry.get("Description", "")),
        str(entry.get("AllowedPattern", "")),
        tuple(map(str, entry.get("AllowedValues", ()))),
        str(entry.get("ConstraintDescription", "")),
        entry.get("MinValue"),
        entry.get("MaxValue"),
    )


def parse(words: Iterable[str], known: Mapping[str, Declared]) -> dict[str, str]:
    """Read words like ``MaxNodes=5``.

    Raises:
        DeployError: a word is no NAME=VALUE, or the template knows no such name or refuses the value.
    """
    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise DeployError(f"{word!r} is refused: parameters are given as NAME=VALUE")
        if name in SET_BY_COMMAND:
            raise DeployError(f"{name} is refused: the command sets it by itself")
        if name not in known:
            raise DeployError(f"{name} is no parameter; {_hint(name, known)}")
        check(known[name], value)
        given[name] = value
    return given


def check(parameter: Declared, value: str) -> None:
    """Hold a value against what the template allows.

    Raises:
        DeployError: it is refused.
    """
    if len(value.encode()) > MOST_BYTES:
        raise DeployError(f"{parameter.name} is refused: {len(value.encode())} bytes; {MOST_BYTES} are the most")
    if parameter.allowed and value not in parameter.allowed:
        raise DeployError(f"{parameter.name}={value!r} is refused: {_wanted(value, parameter.allowed)}")
    if parameter.pattern and not re.fullmatch(parameter.pattern, value):
        wanted = parameter.constraint or parameter.description or parameter.pattern
        raise DeployError(f"{parameter.name}={value!r} is refused: {wanted}")
    if parameter.least is not None or parameter.most is not None:
        _check_number(parameter, value)
    if parameter.name == CIDR:
        _check_cidr(value)


def check_together(values: Mapping[str, str]) -> None:
    """Hold values against each other, where the template cannot.

    Raises:
        DeployError: they do not go together.
    """
    least, most = values["MinNodes"], values["MaxNodes"]
    if int(least) > int(most):
        raise DeployError(f"MinNodes={least} is refused: it is more than MaxNodes={most}")


def _wanted(value: str, allowed: Collection[str]) -> str:
    if len(allowed) > MOST_NAMED:
        return f"it is none of {len(allowed)} choices; {_hint(value, allowed)}"
    return f"it should be one of {', '.join(allowed)}"


def _hint(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]}?" if near else "`python -m deploy parameters` lists them"


def _check_cidr(value: str) -> None:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError as error:
        raise DeployError(f"{CIDR}={value!r} is refused: {error}") from None


def _check_number(parameter: Declared, value: str) -> None:
    least = float("-inf") if parameter.least is None else parameter.least
    most = float("inf") if parameter.most is None else parameter.most
    # float() and int() take more than CloudFormation and the processes do, such as 1e2, 5_0 or other scripts' digits.
    if not (re.fullmatch(r"[0-9]{1,9}", value) and least <= int(value) <= most):
        raise DeployError(
            f"{parameter.name}={value!r} is refused: it should be a whole number from {least:g} to {most:g}"
        )


def request(
    given: Mapping[str, str], known: Mapping[str, Declared], had: Mapping[str, str] | None
) -> list[ParameterTypeDef]:
    """Return what CloudFormation is asked for: what is given, else what the stack has, else the template's default.

    Args:
        given: the operator's values and the command's own.
        known: what the template declares.
        had: the values of the stack; None for a new one.

    Raises:
        DeployError: a value is missing.
    """
    missing = [name for name, entry in known.items() if entry.default is None and name not in {**(had or {}), **given}]
    if missing:
        reasons = "; ".join(f"{name}=… ({known[name].description.rstrip('.')})" for name in missing)
        raise DeployError(f"a value is missing: {reasons}")
    wanted: list[ParameterTypeDef] = []
    for name in known:
        if name in given:
            wanted.append({"ParameterKey": name, "ParameterValue": given[name]})
        elif had is not None and name in had:
            wanted.append({"ParameterKey": name, "UsePreviousValue": True})
    return wanted


def effective(given: Mapping[str, str], known: Mapping[str, Declared], had: Mapping[str, str] | None) -> dict[str, str]:
    """Return the value that each parameter will have."""
    defaults = {name: entry.default for name, entry in known.items() if entry.default is not None}
    return defaults | {name: value for name, value in (had or {}).items() if name in known} | dict(given)
