"""What goes wrong while deploying, in one line that an operator can act on."""

from __future__ import annotations


class DeployError(RuntimeError):
    """The command cannot do what it was asked for; the message says why and what to do."""


def one_line(text: str) -> str:
    """Return `text` without line breaks, as AWS's messages have them."""
    return " ".join(text.split())
