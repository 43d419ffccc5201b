"""The scaler's command line: `python -m scaler` runs it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.environment import SettingsError
from tasks.objects import StoreUnavailable

if TYPE_CHECKING:
    from scaler.service import Deployment
    from scaler.state import Limits, Sample
    from tasks.objects import StoredObject


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status."""
    parser = _parser()
    chosen = parser.parse_args(argv)
    if chosen.command == "simulate":
        from scaler import simulate_cli

        return simulate_cli.main(chosen)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        return _status() if chosen.command == "status" else _run(once=chosen.once, dry_run=chosen.dry_run)
    except (SettingsError, StoreUnavailable, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    from scaler import simulate_cli

    parser = argparse.ArgumentParser(prog="python -m scaler", description="Adds and removes worker nodes.")
    parser.add_argument("--once", action="store_true", help="one tick, then end")
    parser.add_argument("--dry-run", action="store_true", help="look, and say what would be done")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("status", help="print the fleet as a table")
    simulate_cli.add_arguments(commands.add_parser("simulate", help="try policies on a trace of arrivals"))
    return parser


def _run(*, once: bool, dry_run: bool) -> int:
    from scaler.service import Service

    Service(_deployment(), dry_run=dry_run).run(once=once)
    return 0


def _status() -> int:
    from scaler.lease import holder_of
    from scaler.memory import MEMORY_KEY
    from scaler.observer import Observer
    from scaler.status import status
    from tasks.names import LEASE_KEY

    deployment = _deployment()
    workers = deployment.workers()
    observer = Observer(deployment.backlogs(), deployment.fleet(), workers, deployment.scaler.boot_deadline_s)
    sample = observer.observe({}, time.time()).sample
    bucket = deployment.bucket()
    lease = bucket.get(LEASE_KEY)
    roll = _roll(bucket.get(MEMORY_KEY), sample, deployment.scaler.limits(node_slots=1))
    print(status(sample, holder_of(lease) if lease else "", roll))
    return 1 if sample.failures else 0


def _roll(memory: StoredObject | None, sample: Sample, limits: Limits) -> str:
    """Return what the acting scaler's memory and the fleet tell of a new version of the nodes."""
    from scaler.memory import Memory, from_json
    from scaler.roll import words_of
    from scaler.roster import is_outdated

    try:
        history = (from_json(memory.data) if memory else Memory()).history
    except (ValueError, TypeError) as error:
        return f"not known: the scaler's memory cannot be read: {error}"
    return words_of([node.id for node in sample.nodes or () if is_outdated(node, limits)], history, limits)


def _deployment() -> Deployment:
    from celeryconfig import settings
    from scaler.service import Deployment
    from scaler.settings import ScalerSettings
    from tasks.app import app

    return Deployment(app, settings, ScalerSettings.from_env(os.environ))


if __name__ == "__main__":
    sys.exit(main())
