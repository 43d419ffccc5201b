"""Collects the results of a batch that may still grow."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from webapp.cli.api import Api
from webapp.cli.board import PENDING, Board
from webapp.cli.patience import Patience, Stopped
from webapp.cli.sending import Sent

GLANCE_S = 0.2
# A stream tells of photos that are added, too, but ends when all have their results, and a new one tells all of them
# again: opening one each time that a few were added would send most results often. Twice as many are worth a new one:
# so each result is sent twice, on average.
GROWTH = 2
BETWEEN_STREAMS_S = 1.0


@dataclass(frozen=True)
class Following:
    """How a run waits for its results.

    Attributes:
        changed: is called when there are more results.
    """

    api: Api
    board: Board
    patience: Patience
    changed: Callable[[], None]

    def follow(self, sent: Sent) -> None:
        """Return when all is sent and each file that was taken has its result.

        Raises:
            Exception: what ended the sending.
            GivenUp: nothing happens any more.
            Stopped: somebody said stop.
            Unusable: the server gives no results.
        """
        try:
            self._follow(sent)
        except Stopped:
            if sent.error is not None:
                raise sent.error from None
            raise

    def _follow(self, sent: Sent) -> None:
        while True:
            seen = self.board.sent
            if seen and not self.board.is_answered:
                self.patience.insist(lambda: self._stream(sent))
                self.patience.pause(BETWEEN_STREAMS_S if sent.ended.is_set() else 0, "Results are missing.")
            while not sent.ended.is_set() and self.board.sent < max(1, GROWTH * seen):
                self.patience.pause(GLANCE_S, "Photos are not taken.")
            self.patience.check()
            if self._is_complete(sent):
                return

    def _stream(self, sent: Sent) -> None:
        for event in self.api.events(sent.batch_id):
            if event.name == "result":
                result = json.loads(event.data)
                if result["state"] != PENDING:
                    self.board.result(result)
                    self.patience.progress()
                    self.changed()
            elif event.name == "end" or self._is_complete(sent):
                return
            else:
                self.patience.pause(0, "Results are missing.")

    def _is_complete(self, sent: Sent) -> bool:
        return sent.ended.is_set() and self.board.is_answered
