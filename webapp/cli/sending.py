"""Sends files in requests of bounded size, several at a time, all into one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from webapp.cli.api import Api, Taken, TooMuch
from webapp.cli.board import Board
from webapp.cli.files import File, halves, pieces
from webapp.cli.form import Unreadable
from webapp.cli.patience import Patience, TryAgain

AGAIN_S = 5.0

Piece = tuple[File, ...]


@dataclass(frozen=True)
class Sending:
    """How a run sends its files.

    Attributes:
        changed: is called with the number of bytes that went out, or came to nothing (negative).
    """

    api: Api
    board: Board
    patience: Patience
    parallel: int
    changed: Callable[[int], None]

    def start(self, files: Sequence[File]) -> Sent:
        """Begin to send, in threads."""
        sent = Sent()
        threading.Thread(target=self._send_all, args=(files, sent), name="sending", daemon=True).start()
        return sent

    def _send_all(self, files: Sequence[File], sent: Sent) -> None:
        queue = pieces(files)
        # The first request makes the batch; the others add to it.
        while not sent.batch_id and (piece := next(queue, None)):
            if not self._send_or_fail(piece, sent):
                break
        lock = threading.Lock()
        threads = [
            threading.Thread(target=self._drain, args=(queue, lock, sent), name="sending", daemon=True)
            for _ in range(self.parallel)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sent.ended.set()

    def _drain(self, queue: Iterator[Piece], lock: threading.Lock, sent: Sent) -> None:
        while sent.error is None:
            with lock:
                piece = next(queue, None)
            if piece is None or not self._send_or_fail(piece, sent):
                return

    def _send_or_fail(self, piece: Piece, sent: Sent) -> bool:
        try:
            self._send(piece, sent)
        except Exception as error:  # noqa: BLE001 - whatever it is, the thread that waits for us raises it
            sent.error = sent.error or error
            self.patience.stop()
            return False
        return True

    def _send(self, piece: Piece, sent: Sent) -> None:
        """Send the files of a request until each is taken or refused."""
        attempt = _Attempt(self)
        while piece:
            try:
                taken = self.patience.insist(lambda files=piece: attempt.send(files, sent.batch_id))  # type: ignore[misc]  # mypy does not infer a lambda's default
            except Unreadable as error:
                self.board.refused(error.file, str(error))
                piece = tuple(file for file in piece if file is not error.file)
            except TooMuch as error:
                piece = self._send_halves(piece, sent, str(error))
            else:
                sent.note(taken)
                piece = self._note(piece, taken)
                if piece:
                    self.patience.pause(AGAIN_S, "The server cannot store photos.")

    def _send_halves(self, piece: Piece, sent: Sent, error: str) -> Piece:
        if len(piece) == 1:
            self.board.refused(piece[0], error)
            return ()
        first, second = halves(piece)
        self._send(first, sent)
        return second

    def _note(self, piece: Piece, taken: Taken) -> Piece:
        """Note what became of files; return those to send again."""
        rejected = {one.index: one for one in taken.rejected}
        ids = iter(taken.ids)
        again = []
        for index, file in enumerate(piece):
            if index not in rejected:
                self.board.taken(file, next(ids))
            elif rejected[index].is_temporary:
                again.append(file)
            else:
                self.board.refused(file, rejected[index].error)
        self.patience.progress()
        self.changed(0)
        return tuple(again)


class _Attempt:
    """Tries to send the same files, perhaps several times; only one that gets further than those before is progress."""

    def __init__(self, sending: Sending) -> None:
        self._sending = sending
        self._furthest_bytes = 0

    def send(self, piece: Piece, batch_id: str) -> Taken:
        """Try once."""
        sending = self._sending
        went_bytes = 0

        def went(size_bytes: int) -> None:
            nonlocal went_bytes
            sending.patience.check()
            went_bytes += size_bytes
            sending.changed(size_bytes)
            if went_bytes > self._furthest_bytes:
                self._furthest_bytes = went_bytes
                sending.patience.progress()

        try:
            return sending.api.send(piece, batch_id, went)
        except (TryAgain, TooMuch, Unreadable):
            sending.changed(-went_bytes)
            raise


class Sent:
    """How far a run's sending is.

    Attributes:
        batch_id: "" until the first request is through.
        link: where the batch can be seen.
        error: what ended it early.
        ended: all is sent, or nothing more will be.
    """

    def __init__(self) -> None:
        self.batch_id = ""
        self.link = ""
        self.error: Exception | None = None
        self.ended = threading.Event()

    def note(self, taken: Taken) -> None:
        """Note the batch that the first request made."""
        if taken.batch_id and not self.batch_id:
            self.batch_id, self.link = taken.batch_id, taken.link
