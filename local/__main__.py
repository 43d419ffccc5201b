"""The command line of the one-machine stack."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial

from tasks.environment import SettingsError


def main() -> int:
    """Run one of the stack's commands; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the whole system until Ctrl-C")
    commands.add_parser("smoke", help="classify real photographs on a stack of its own and print a table")
    commands.add_parser("host", help="boot a process for each instance of the emulated EC2 (part of `run`)")
    notice = commands.add_parser("notice", help="tell a node that EC2 wants it back")
    notice.add_argument("kind", choices=["spot", "rebalance"])
    notice.add_argument("instance_id")
    chosen = parser.parse_args()
    commands_by_name: dict[str, Callable[[], int]] = {
        "run": _run,
        "smoke": _smoke,
        "host": _host,
        "notice": partial(_notice, chosen),
    }
    try:
        return commands_by_name[chosen.command]()
    except KeyboardInterrupt:
        return 130
    except (SettingsError, TimeoutError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run() -> int:
    from local.run import run
    from local.settings import LocalSettings

    return run(LocalSettings.from_env(os.environ))


def _smoke() -> int:
    from local.smoke import smoke

    return smoke()


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
