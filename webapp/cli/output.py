"""Prints what became of the files: a table for people, JSON or CSV for programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from webapp.cli.board import SUCCESS, Row

COLUMNS = ("file", "state", "label", "confidence", "error", "id")
WAITING = "no result yet"
# Where nobody looks at a terminal, lines are as long as they need to be.
WIDE_CHARS = 4096


def print_table(rows: Sequence[Row], to: IO[str]) -> None:
    """Print a table."""
    console = Console(file=to, width=None if to.isatty() else WIDE_CHARS)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Photo", overflow="fold")
    table.add_column("Label", overflow="fold")
    table.add_column("Confidence", justify="right", no_wrap=True)
    for row in rows:
        if row.state == SUCCESS:
            confidence = f"{row.result['confidence']:.1%}"
            table.add_row(_cell(row.file.path), _cell(row.result["label"]), confidence)
        else:
            table.add_row(_cell(row.file.path), Text(printable(row.error or WAITING), "red"), "")
    console.print(table)


def print_csv(rows: Sequence[Row], to: IO[str]) -> None:
    """Print a line for each file."""
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        fields = _fields(row)
        writer.writerow([fields.get(column, "") for column in COLUMNS])


def print_json(rows: Sequence[Row], batch: Mapping[str, Any], to: IO[str]) -> None:
    """Print one JSON object."""
    json.dump({**batch, "photos": [_fields(row) for row in rows]}, to, indent=1)
    to.write("\n")


def _fields(row: Row) -> dict[str, Any]:
    error = {"error": row.error} if row.error else {}
    return {"file": str(row.file.path), **row.result, "state": row.state, **error}


def _cell(value: object) -> Text:
    return Text(printable(str(value)))


def printable(text: str) -> str:
    r"""Return a text that cannot do anything to a terminal.

    >>> printable("a\x1b[31mb")
    'a?[31mb'
    """
    return "".join(char if char.isprintable() else "?" for char in text)
