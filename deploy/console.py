"""What the operator sees and is asked while a command works."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from deploy.errors import DeployError

POLL_S = 3.0


def _print(line: str) -> None:
    print(line, flush=True)


@dataclass(frozen=True)
class Console:
    """Where lines go, and how often AWS is asked for news.

    Attributes:
        tell: gets each line.
        poll_s: seconds from one question to AWS to the next.
        yes: whether every question to the operator is answered already.
    """

    tell: Callable[[str], None] = _print
    poll_s: float = POLL_S
    yes: bool = False

    def confirmed(self, question: str, word: str) -> bool:
        """Ask the operator; only `word` is a yes.

        Raises:
            DeployError: nobody can be asked.
        """
        if self.yes:
            return True
        if not sys.stdin.isatty():
            raise DeployError("nobody is there to confirm: add --yes (in make: YES=1) if that is meant")
        return input(f"{question} Type '{word}': ").strip() == word
