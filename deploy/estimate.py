"""What a deployment would cost, before it is made."""

from __future__ import annotations

from collections.abc import Mapping


def estimate(values: Mapping[str, str]) -> str:
    """Return the estimate in words."""
    return f"nodes: {values['MinNodes']} to {values['MaxNodes']}"
