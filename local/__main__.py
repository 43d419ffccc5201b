"""The command line of the one-machine stack."""

from __future__ import annotations

import argparse
import os
import sys

from tasks.environment import SettingsError


def main() -> int:
    """Run one of the stack's commands; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the whole system until Ctrl-C")
    commands.add_parser("smoke", help="classify real photographs on a stack of its own and print a table")
    chosen = parser.parse_args().command
    try:
        return _run() if chosen == "run" else _smoke()
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


if __name__ == "__main__":
    sys.exit(main())
