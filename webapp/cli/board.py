"""Keeps what is known of each file while it is sent and classified. Safe to share between threads."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webapp.cli.files import File

SUCCESS, FAILURE, PENDING = "SUCCESS", "FAILURE", "PENDING"
REJECTED, UNSENT = "REJECTED", "UNSENT"


@dataclass(frozen=True)
class Row:
    """What became of a file.

    Attributes:
        state: the API's, or `REJECTED` when the server did not take it, or `UNSENT` when it did not come to that.
        result: all that the API says of the photo.
    """

    file: File
    state: str
    error: str
    result: Mapping[str, Any]


class Board:
    """What is known of the files of a run."""

    def __init__(self, files: Sequence[File]) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._ids: dict[int, str] = {}
        self._known: set[str] = set()
        self._errors: dict[int, str] = {}
        # Of photos that are not known to be ours yet, too: a result may overtake the answer to the upload.
        self._results: dict[str, Mapping[str, Any]] = {}
        self._answered = 0

    def taken(self, file: File, photo_id: str) -> None:
        """Note a file's id."""
        with self._lock:
            self._ids[file.number] = photo_id
            self._known.add(photo_id)
            self._answered += photo_id in self._results

    def refused(self, file: File, error: str) -> None:
        """Note why a file was not taken."""
        with self._lock:
            self._errors[file.number] = error

    def result(self, result: Mapping[str, Any]) -> None:
        """Note a result; one may come several times."""
        with self._lock:
            photo_id = str(result["id"])
            if photo_id not in self._results and photo_id in self._known:
                self._answered += 1
            self._results[photo_id] = result

    @property
    def sent(self) -> int:
        """How many files were taken."""
        return len(self._ids)

    @property
    def settled(self) -> int:
        """How many files have a result, or will have none."""
        return self._answered + len(self._errors)

    @property
    def is_answered(self) -> bool:
        """Whether each file that was taken has its result."""
        return self._answered == len(self._ids)

    def rows(self) -> list[Row]:
        """Return what is known of each file, in the order of the files."""
        with self._lock:
            return [self._row(file) for file in self._files]

    def _row(self, file: File) -> Row:
        if file.number in self._errors:
            return Row(file, REJECTED, self._errors[file.number], {})
        photo_id = self._ids.get(file.number)
        if photo_id is None:
            return Row(file, UNSENT, "", {})
        result = self._results.get(photo_id, {"id": photo_id, "state": PENDING})
        return Row(file, str(result["state"]), str(result.get("error", "")), result)
