"""What a filter pattern of CloudWatch Logs finds in a line of JSON, as far as the templates use the language.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html#matching-terms-json-log-events
"""

from __future__ import annotations

import json
import operator
import re
from typing import Any

TERM = re.compile(r"\s*\$\.(?P<field>[a-z_.]+)(\[(?P<index>\d+)\])?\s+(?P<is>IS TRUE|=|>=|>)\s*(?P<other>\S+)?\s*")
NUMBERS = {">": operator.gt, ">=": operator.ge, "=": operator.eq}


def matches(pattern: str, line: str) -> bool:
    """Tell whether a line is counted; one that is no JSON is not."""
    try:
        event = json.loads(line)
    except ValueError:
        return False
    assert pattern.startswith("{")
    assert pattern.endswith("}")
    return all(_holds(term, event) for term in pattern[1:-1].split("&&"))


def _holds(term: str, event: dict[str, Any]) -> bool:
    found = TERM.fullmatch(term)
    assert found, term
    value: Any = event
    for name in found["field"].split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if found["index"] is not None:
        parts = value if isinstance(value, list) else []
        value = dict(enumerate(parts)).get(int(found["index"]))
    if found["is"] == "IS TRUE":
        return value is True
    if found["other"] == '"*"':
        return isinstance(value, str)
    return isinstance(value, int | float) and bool(NUMBERS[found["is"]](value, float(found["other"])))
