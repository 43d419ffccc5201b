"""Shows on a terminal how far sending and classifying are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from webapp.cli.board import Board

MB = 1_000_000


class Display:
    """Two bars: bytes that were sent, photos that are classified."""

    def __init__(self, bars: Progress, board: Board, files: int, size_bytes: int) -> None:
        self._bars, self._board = bars, board
        self._of_mb = f"of {size_bytes / MB:,.1f} MB"
        self._sending: TaskID = bars.add_task("Sent", total=max(1, size_bytes), told="")
        self._results: TaskID = bars.add_task("Classified", total=files, told=f"0 of {files:,}")
        self._files = files
        self._went_bytes = 0

    def sent(self, size_bytes: int) -> None:
        """Show that so many bytes went out."""
        self._bars.advance(self._sending, size_bytes)
        done_bytes = self._bars.tasks[self._sending].completed
        self._bars.update(self._sending, told=f"{done_bytes / MB:,.1f} {self._of_mb}")
        if not size_bytes:
            self.results()

    def results(self) -> None:
        """Show how many files have a result, or will have none."""
        settled = self._board.settled
        self._bars.update(self._results, completed=settled, told=f"{settled:,} of {self._files:,}")


@contextmanager
def display(board: Board, files: int, size_bytes: int, *, quiet: bool) -> Iterator[Display]:
    """Show progress where somebody looks."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        yield Display(bars, board, files, size_bytes)
