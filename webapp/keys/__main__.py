"""Makes API keys: ``python -m webapp.keys new NAME [--admin]``, or hashes one that exists (``hash NAME``, from stdin)."""

from __future__ import annotations

import argparse
import getpass
import sys

from webapp.keys import LEAST_CHARS, NAME, Key, Role, digest_of, new_key


def main() -> int:
    """Print a line for API_KEYS or API_KEYS_FILE, and a new key itself, once."""
    arguments = _parser().parse_args()
    role = Role.ADMIN if arguments.admin else Role.USER
    if arguments.command == "new":
        key = new_key()
        print(f"key, for its holder, not shown again: {key}", file=sys.stderr)
    else:
        key = _read()
        if len(key) < LEAST_CHARS:
            print(f"error: the key is too short: at least {LEAST_CHARS} random characters", file=sys.stderr)
            return 2
    print(Key(arguments.name, role, digest_of(key)))
    return 0


def _read() -> str:
    return (getpass.getpass("key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise argparse.ArgumentTypeError("1 to 64 letters, digits or any of _.@-, the first a letter or digit")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m webapp.keys", description=(__doc__ or "").partition(":")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in (("new", "make a key"), ("hash", "hash a key given on stdin")):
        each = commands.add_parser(command, help=text)
        each.add_argument("name", type=_name, help="of the key's holder; several keys may have one name")
        each.add_argument("--admin", action="store_true", help="may see all photos, reset, and find Flower")
    return parser


if __name__ == "__main__":
    sys.exit(main())
