"""The command line of the one-machine stack."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from tasks.environment import SettingsError


def main() -> int:
    """Run one of the stack's commands; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the whole system until Ctrl-C")
    _smoke_parser(commands.add_parser("smoke", help="classify real photographs and print a table"))
    commands.add_parser("aws", help="run the embedded AWS alone, with all that a deployment needs, until Ctrl-C")
    commands.add_parser("host", help="boot a process for each instance of the emulated EC2 (part of `run`)")
    notice = commands.add_parser("notice", help="tell a node that EC2 wants it back")
    notice.add_argument("kind", choices=["spot", "rebalance"])
    notice.add_argument("instance_id")
    chosen = parser.parse_args()
    commands_by_name: dict[str, Callable[[], int]] = {
        "run": _run,
        "smoke": partial(_smoke, chosen),
        "aws": _aws,
        "host": _host,
        "notice": partial(_notice, chosen),
    }
    try:
        return commands_by_name[chosen.command]()
    except KeyboardInterrupt:
        return 130
    except (SettingsError, TimeoutError, RuntimeError, BotoCoreError, ClientError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run() -> int:
    from local.run import run
    from local.settings import LocalSettings

    return run(LocalSettings.from_env(os.environ))


def _smoke_parser(parser: argparse.ArgumentParser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--stack", default="", help="of a deployed stack (default: one of its own)")
    where.add_argument("--url", default="", help="of the service at this address")
    parser.add_argument("--start", action="store_true", help="with --stack: run web app and worker here, on its queue")
    parser.add_argument(
        "--insecure", action="store_true", help="trust any certificate, as of a machine that signs its own"
    )


def _smoke(chosen: argparse.Namespace) -> int:
    from local.smoke import Service, service_of_stack, smoke, smoke_service

    key = os.environ.get("CLASSIFIER_API_KEY", "")
    headers = {"X-API-Key": key} if key else {}
    if chosen.url:
        return smoke_service(Service(chosen.url.rstrip("/"), headers, not chosen.insecure))
    if not chosen.stack:
        return smoke()
    with service_of_stack(chosen.stack, headers, start=chosen.start, verify=not chosen.insecure) as service:
        return smoke_service(service)


def _aws() -> int:
    from local.embedded import run_aws
    from local.settings import LocalSettings

    return run_aws(LocalSettings.from_env(os.environ))


def _host() -> int:
    from local.host import main

    return main()


def _notice(chosen: argparse.Namespace) -> int:
    from local.metadata import post_notice
    from local.ports import LOOPBACK
    from local.settings import LocalSettings

    port = LocalSettings.from_env(os.environ).metadata_port
    post_notice(f"http://{LOOPBACK}:{port}", chosen.kind, chosen.instance_id)
    return 0


if __name__ == "__main__":
    sys.exit(main())
