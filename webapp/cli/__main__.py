"""``python -m webapp.cli``: puts the parts of the command line together, and says how it ended."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urljoin

from webapp.cli.api import Api, Unusable
from webapp.cli.arguments import Options, parse
from webapp.cli.board import FAILURE, REJECTED, SUCCESS, Board, Row
from webapp.cli.files import File, find
from webapp.cli.following import Following
from webapp.cli.output import print_csv, print_json, print_table, printable
from webapp.cli.patience import GivenUp, Patience, Stopped
from webapp.cli.progress import display
from webapp.cli.sending import Sending, Sent

EXIT_ALL, EXIT_SOME, EXIT_USAGE, EXIT_UNUSABLE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130
SPARE_CONNECTIONS = 2  # for the events, and one that ends while the next begins


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a command line and return its exit status."""
    options = parse(arguments, environ)
    try:
        files = find(options.paths)
    except OSError as error:
        return _fail(f"{error.filename}: {error.strerror}", EXIT_USAGE)
    if not files:
        return _fail("there are no photos in " + ", ".join(map(str, options.paths)), EXIT_USAGE)
    try:
        return classify(files, options)
    except Unusable as error:
        return _fail(str(error), EXIT_UNUSABLE)


def classify(files: Sequence[File], options: Options) -> int:
    """Send files, wait for their results, print them, and return the exit status.

    Raises:
        Unusable: the server cannot be used, and nothing was sent to it.
    """
    api = Api(options.url, options.api_key, options.parallel + SPARE_CONNECTIONS)
    api.check()
    begin_s = time.monotonic()
    board, patience = Board(files), Patience(options.timeout_s)
    sent, status = Sent(), EXIT_ALL
    with display(board, len(files), sum(file.size_bytes for file in files), quiet=options.quiet) as shown:
        try:
            sent = Sending(api, board, patience, options.parallel, shown.sent).start(files)
            Following(api, board, patience, shown.results).follow(sent)
        except (GivenUp, Unusable) as error:
            if not board.sent:
                raise Unusable(str(error)) from error
            status = _fail(str(error), EXIT_SOME if isinstance(error, GivenUp) else EXIT_UNUSABLE)
        except (KeyboardInterrupt, Stopped):
            status = _fail("interrupted; what was sent is classified all the same", EXIT_INTERRUPTED)
        finally:
            patience.stop()
    rows = board.rows()
    link = urljoin(options.url, sent.link) if sent.link else ""
    _print(rows, {"batch_id": sent.batch_id, "url": link}, options.output)
    _say(_summary(rows, time.monotonic() - begin_s, link))
    return status or (EXIT_ALL if all(row.state == SUCCESS for row in rows) else EXIT_SOME)


def _print(rows: Sequence[Row], batch: Mapping[str, Any], form: str) -> None:
    if form == "json":
        print_json(rows, batch, sys.stdout)
    elif form == "csv":
        print_csv(rows, sys.stdout)
    else:
        print_table(rows, sys.stdout)
    sys.stdout.flush()


def _summary(rows: Sequence[Row], elapsed_s: float, link: str) -> str:
    states = Counter(row.state for row in rows)
    unsettled = len(rows) - states[SUCCESS] - states[FAILURE] - states[REJECTED]
    parts = [f"{states[SUCCESS]:,} of {len(rows):,} photos labelled"]
    parts += [f"{states[FAILURE]:,} failed"] if states[FAILURE] else []
    parts += [f"{states[REJECTED]:,} not taken"] if states[REJECTED] else []
    parts += [f"{unsettled:,} without a result"] if unsettled else []
    return f"{', '.join(parts)}, in {elapsed_s:.1f} s" + (f": {link}" if link else "")


def _say(text: str) -> None:
    print(printable(text), file=sys.stderr)


def _fail(text: str, status: int) -> int:
    _say(f"error: {text}")
    return status


if __name__ == "__main__":
    # Names of files need not be Unicode; they are printed as they are.
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # stdout is a text file here
    try:
        status = main(sys.argv[1:], os.environ)
    except (
        BrokenPipeError
    ):  # who read our output has seen enough: https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = EXIT_SOME
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    sys.exit(status)
