"""Where the taken keys come from: a setting, and a file that is read anew when it changes, so that keys can be replaced.

A file that has become unreadable, wrong or empty changes nothing: the keys stay as they were until it is mended.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from webapp.keys import KeyRing

Stamp = tuple[int, int, int]

log = logging.getLogger(__name__)


class KeySource:
    """The keys that are taken now; without a setting and a file, none."""

    def __init__(self, lines: str, path: str, tag_of: Callable[[str], str]) -> None:
        """Read the keys.

        Args:
            lines: keys that stand in the setting itself.
            path: of the file with more; "": none.
            tag_of: as in `KeyRing.parse`.

        Raises:
            ValueError: keys are given but cannot be used; the message names the setting.
        """
        self._lines, self._path, self._tag_of = lines, path, tag_of
        self._stamp = self._look()
        self._ring = self._read()

    def ring(self) -> KeyRing:
        """Return the keys, those of a changed file included."""
        if self._path:
            stamp = self._look()
            if stamp != self._stamp:
                # Noted first: another thread need not read it as well, and a wrong file is complained of once.
                self._stamp = stamp
                self._read_again()
        return self._ring

    def _read_again(self) -> None:
        try:
            self._ring = self._read()
        except ValueError as error:
            log.error("%s; the keys stay as they were", error)  # noqa: TRY400 - the sentence says it all
        else:
            log.info("API_KEYS_FILE has changed: %d keys are taken now", len(self._ring.keys))

    def _look(self) -> Stamp | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - on every request
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> KeyRing:
        name = "API_KEYS_FILE" if self._path else "API_KEYS"
        text = self._lines
        try:
            if self._path:
                text += "\n" + Path(self._path).read_text(encoding="utf-8")
            ring = KeyRing.parse(text, self._tag_of)
        except (OSError, ValueError) as error:
            raise ValueError(f"{name} is refused: {error} (make keys with `python -m webapp.keys new NAME`)") from None
        if not ring and (self._lines or self._path):
            # An emptied file must not open the app to everybody.
            raise ValueError(f"{name} is refused: it has no keys (make one with `python -m webapp.keys new NAME`)")
        return ring
