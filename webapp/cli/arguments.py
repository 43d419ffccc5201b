"""What the command line is told: its options, their defaults and the environment variables that they come from."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

URL, KEY = "CLASSIFIER_URL", "CLASSIFIER_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"
PARALLEL = 4
MOST_PARALLEL = 32
TIMEOUT_S = 300.0
EPILOG = f"""\
exit status: 0 every photo has a label; 1 some have none; 2 wrong usage; 3 the server cannot be used; 130 interrupted

{URL} and {KEY} in the environment stand for --url and --api-key: other users of the machine can see
options of running commands, but not their environment.
"""


@dataclass(frozen=True)
class Options:
    """What to classify, where, and how to tell.

    Attributes:
        timeout_s: seconds without any progress after which to give up.
        output: `table`, `json` or `csv`.
    """

    paths: tuple[Path, ...]
    url: str
    api_key: str
    parallel: int
    timeout_s: float
    output: str
    quiet: bool


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Options:
    """Read a command line.

    Raises:
        SystemExit: it is wrong, or asks for help.
    """
    parser = argparse.ArgumentParser(prog="python -m webapp.cli", description="Classify photos.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    classify = commands.add_parser(
        "classify",
        help="send photos, wait, and print their labels",
        description="Send photos, wait, and print their labels. Of a folder, all photos in it and in its folders.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    classify.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="photo or folder")
    classify.add_argument(
        "--url",
        type=_url,
        default=environ.get(URL) or DEFAULT_URL,
        help=f"address of the service (default: ${URL}, else {DEFAULT_URL})",
    )
    classify.add_argument("--api-key", default=environ.get(KEY, ""), metavar="KEY", help=f"default: ${KEY}")
    form = classify.add_mutually_exclusive_group()
    form.add_argument("--json", dest="output", action="store_const", const="json", help="print JSON")
    form.add_argument("--csv", dest="output", action="store_const", const="csv", help="print CSV")
    classify.add_argument(
        "--parallel",
        type=_count,
        default=PARALLEL,
        metavar="N",
        help=f"uploads at a time, at most {MOST_PARALLEL} (default: %(default)s)",
    )
    classify.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT_S,
        metavar="S",
        help="give up after so many seconds without progress (default: %(default)g)",
    )
    classify.add_argument("--quiet", action="store_true", help="show no progress")
    classify.set_defaults(output="table")
    told = parser.parse_args(arguments)
    return Options(
        tuple(told.paths), told.url, told.api_key.strip(), told.parallel, told.timeout, told.output, told.quiet
    )


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is no address like {DEFAULT_URL}")
    return text.rstrip("/")


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_PARALLEL:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_PARALLEL}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds
