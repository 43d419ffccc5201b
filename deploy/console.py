"""What the operator sees and is asked while a command works."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deploy.errors import DeployError

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 3.0


def _print(line: str) -> None:
    print(line, flush=True)


def pauses() -> Iterator[float]:
    """Return the seconds from one question to AWS to the next: few at first, then always the same."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


@dataclass(frozen=True)
class Console:
    """Where lines go.

    Attributes:
        tell: gets each line.
        yes: whether every question to the operator is answered already.
    """

    tell: Callable[[str], None] = _print
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
        try:
            return input(f"{question} Type '{word}': ").strip() == word
        except (EOFError, KeyboardInterrupt):  # Ctrl-D and Ctrl-C: nothing has begun
            self.tell("")
            return False
