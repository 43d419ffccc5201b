"""Asks the web app what its OpenAPI document allows and forbids, a case at a time, and looks for answers it should not give.

``make fuzz`` runs thousands of cases; the test suite runs fewer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3

from local.emulators import ACCESS_KEY, REGION
from local.processes import Command
from local.stack import Stack, running_stack
from tests.access import Holder
from tests.fuzz_hooks import PHOTOS
from webapp.keys import Role

ROOT = Path(__file__).resolve().parent.parent
CONFIG = Path(__file__).with_suffix(".toml")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)
# It removes what the other cases are about; it has a turn of its own at the end.
RESET = "/reset"
NO_LINKS = ("--phases", "examples,coverage,fuzzing")
REQUEST_TIMEOUT_S = 60
EXAMPLES = 150


@dataclass(frozen=True)
class Report:
    """What came out of some cases."""

    cases: int
    failures: tuple[str, ...]
    output: str


@contextmanager
def fuzzed_stack(log_dir: Path, admin: Holder) -> Iterator[Stack]:
    """Run a system to be fuzzed, with photos in S3 under the prefix of the document's example."""
    environ = {"API_KEYS": admin.line, "RATE_LIMIT_PER_MIN": "1000000", "STAND_IN_S": "0"}
    with running_stack(log_dir, environ) as stack:
        session = boto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=ACCESS_KEY, region_name=REGION)
        s3 = session.client("s3", endpoint_url=stack.services.emulators.aws_url)
        for number, photo in enumerate(PHOTOS):
            s3.put_object(Bucket=stack.settings.input_bucket, Key=f"holiday/{number}", Body=photo)
        stack.start_web()
        worker = (sys.executable, "-m", "celery", "-A", "local.stand_in", "worker", "--without-mingle")
        stack.start(Command("worker", worker))
        yield stack


def fuzz(url: str, admin: Holder, *, examples: int, seed: int | None = None) -> Report:
    """Run schemathesis against the app at `url`.

    Args:
        url: of the app.
        admin: whose key is sent.
        examples: at most so many cases for each operation, beside those that follow from the document itself.
        seed: of an earlier run, to repeat it.
    """
    with TemporaryDirectory(prefix="fuzz-") as folder:
        first = _schemathesis(url, admin, Path(folder), "--exclude-path", RESET, *_numbers(examples, seed))
        last = _schemathesis(url, admin, Path(folder), "--include-path", RESET, *_numbers(examples, seed), *NO_LINKS)
    return Report(first.cases + last.cases, first.failures + last.failures, first.output + last.output)


def _numbers(examples: int, seed: int | None) -> tuple[str, ...]:
    return (f"--max-examples={examples}", *(() if seed is None else (f"--seed={seed}",)))


def _schemathesis(url: str, admin: Holder, folder: Path, *options: str) -> Report:
    told = folder / "report.json"
    command = (
        *(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            str(CONFIG),
            "run",
            f"{url}/openapi.json",
            "--no-color",
        ),
        *("--checks", ",".join(CHECKS), "--continue-on-failure", f"--request-timeout={REQUEST_TIMEOUT_S}"),
        *("--header", f"X-API-Key: {admin.key}", "--report", "json", "--report-json-path", str(told)),
        *options,
    )
    environ = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz_hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    if not told.exists():
        raise RuntimeError(f"schemathesis did not run:\n{done.stdout}\n{done.stderr}")
    report = json.loads(told.read_text())
    failures = [*report["failures"], *report["errors"]]
    return Report(report["test_cases"]["generated"], tuple(json.dumps(one) for one in failures), done.stdout)


def main() -> int:
    """Fuzz a system of its own and say how many cases held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="cases for each operation (default %(default)s)")
    parser.add_argument("--seed", type=int, help="repeat an earlier run")
    chosen = parser.parse_args()
    admin = Holder("fuzz", Role.ADMIN)
    begin_s = time.monotonic()
    with TemporaryDirectory(prefix="fuzz-log-") as folder, fuzzed_stack(Path(folder), admin) as stack:
        report = fuzz(stack.services.web_url, admin, examples=chosen.examples, seed=chosen.seed)
    if report.failures:
        sys.stdout.write(report.output)
    elapsed_s = time.monotonic() - begin_s
    sys.stdout.write(f"{report.cases} cases, {len(report.failures)} failures, {elapsed_s:.0f} s\n")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
