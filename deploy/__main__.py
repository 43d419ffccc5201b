"""The command line that deploys the system onto AWS: `python -m deploy COMMAND --help`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from deploy.cost import REQUESTS, Node, read_counted, table
from deploy.errors import DeployError, one_line
from deploy.prices import PRICES, Measured, Prices

INTERRUPTED = 130
ENDINGS = (signal.SIGHUP, signal.SIGTERM)
FIRST_TYPE = "c7i.large"


def main() -> int:
    """Run one command; return the exit status."""
    parser = _parser()
    chosen, rest = parser.parse_known_args()
    # argparse loses positional words that come after options.
    if rest and (chosen.command != "deploy" or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        chosen.parameters += rest
    run: Callable[[argparse.Namespace], None] = chosen.run
    try:
        run(chosen)
    except KeyboardInterrupt:
        print("interrupted: if CloudFormation has begun, it goes on", file=sys.stderr)
        return INTERRUPTED
    except DeployError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ClientError as error:
        told = error.response["Error"]
        print(
            f"error: AWS refuses {error.operation_name}: {told['Code']}: {one_line(told['Message'])}", file=sys.stderr
        )
        return 1
    except BotoCoreError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _deploy_parser(commands)
    _destroy_parser(commands)
    for name, what, run in (
        ("outputs", "print what a stack tells about itself", _outputs),
        ("settings", "print the settings that have this project's processes work for a stack", _settings),
    ):
        command = _command(commands, name, what, run)
        command.add_argument("stack", metavar="STACK")
        command.add_argument("--json", action="store_true", help="as JSON")
    _command(commands, "parameters", "list the parameters that `deploy` takes", _parameters)
    _cost_parser(commands)
    artifact = _command(commands, "artifact", "pack the code, or list the versions that are uploaded", _artifact)
    artifact.add_argument("action", choices=["build", "list"])
    artifact.add_argument("--output", metavar="FILE", help="build: where to write (default: classifier-VERSION.tar.gz)")
    artifact.add_argument("--allow-dirty", action="store_true", help="build: pack what no commit holds, too")
    artifact.add_argument("--artifact-bucket", default="", metavar="BUCKET", help="list: of which bucket")
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    what: str,
    run: Callable[[argparse.Namespace], None],
    region: str = "AWS region (default: the environment's)",
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
    parser.add_argument("--region", default="", help=region)
    parser.set_defaults(run=run)
    return parser


def _deploy_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands, "deploy", "create or update a stack, after a preview of changes and costs and a confirmation", _deploy
    )
    parser.add_argument("stack", metavar="STACK", help="its name; a new one's names in AWS begin with it")
    parser.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="what changes; all else stays as it is")
    code = parser.add_mutually_exclusive_group()
    code.add_argument(
        "--code-version", default="", metavar="VERSION", help="a version uploaded before, to roll back (artifact list)"
    )
    code.add_argument("--same-code", action="store_true", help="the version that the stack has, not the working tree's")
    parser.add_argument("--artifact-bucket", default="", metavar="BUCKET", help="default: one of the account's own")
    parser.add_argument("--allow-dirty", action="store_true", help="deploy a working tree that no commit holds")
    parser.add_argument("--allow-data-loss", action="store_true", help="let buckets, queues or secrets be replaced")
    parser.add_argument("--preview", action="store_true", help="show what would change; nothing but files is uploaded")
    parser.add_argument("--yes", action="store_true", help="ask nobody")


def _destroy_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(commands, "destroy", "delete a stack, its nodes and its queues", _destroy)
    parser.add_argument("stack", metavar="STACK")
    parser.add_argument("--delete-data", action="store_true", help="delete photos, results and waiting tasks, too")
    parser.add_argument("--yes", action="store_true", help="ask nobody")


def _cost_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    what = "print what a million photos cost, here and with stock Celery"
    parser = _command(commands, "cost", what, _cost, region="refuse prices of any other AWS region")
    parser.add_argument(
        "--photos-per-s",
        action="append",
        default=[],
        metavar="TYPE=RATE",
        help="what a node of an instance type was measured at, e.g. c7i.large=40; several give a table each",
    )
    parser.add_argument(
        "--photo-bytes", type=float, metavar="N", help="size of a photo (default: deploy/measured.toml)"
    )
    parser.add_argument("--days", type=float, default=7, help="how long photos are kept (default: 7)")
    parser.add_argument("--prices", type=Path, default=PRICES, metavar="FILE", help="default: deploy/prices.toml")
    parser.add_argument("--requests", type=Path, default=REQUESTS, metavar="FILE", help="of bench.requests --json")


def _cost(chosen: argparse.Namespace) -> None:
    measured = Measured.read()
    if chosen.photo_bytes:
        measured = replace(measured, photo_bytes=chosen.photo_bytes)
    prices = Prices.read(chosen.prices)
    if chosen.region not in {"", prices.region}:
        raise DeployError(
            f"--region {chosen.region} is refused: {chosen.prices} says region = {prices.region!r}; copy it, put "
            f"{chosen.region}'s prices in, and give --prices FILE"
        )
    nodes = [_node(word, measured) for word in chosen.photos_per_s or [f"{FIRST_TYPE}={measured.photos_per_s}"]]
    print(f"{prices.region}, prices of {chosen.prices.name}; requests of {chosen.requests.name}\n")
    print(table(nodes, read_counted(chosen.requests), prices, measured, chosen.days))


def _node(word: str, measured: Measured) -> Node:
    name, _equals, rate = word.partition("=")
    try:
        photos_per_s = float(rate)
    except ValueError:
        photos_per_s = 0.0
    if photos_per_s <= 0:
        raise DeployError(f"--photos-per-s {word} is refused: it should be like {FIRST_TYPE}=40")
    return Node(name, photos_per_s, measured.workers)


def _deploy(chosen: argparse.Namespace) -> None:
    from deploy.aws import Aws
    from deploy.console import Console
    from deploy.rollout import Order, deploy

    order = Order(
        chosen.stack,
        chosen.parameters,
        chosen.code_version,
        same_code=chosen.same_code,
        artifact_bucket=chosen.artifact_bucket,
        allow_dirty=chosen.allow_dirty,
        allow_data_loss=chosen.allow_data_loss,
        preview=chosen.preview,
    )
    deploy(Aws.connect(chosen.region), order, Console(yes=chosen.yes))


def _destroy(chosen: argparse.Namespace) -> None:
    from deploy.aws import Aws
    from deploy.console import Console
    from deploy.destroy import destroy

    aws = Aws.connect(chosen.region)
    destroy(aws, chosen.stack, Console(yes=chosen.yes), delete_data=chosen.delete_data)


def _outputs(chosen: argparse.Namespace) -> None:
    from deploy.aws import Aws
    from deploy.stacks import require

    stack = require(Aws.connect(chosen.region).cloudformation, chosen.stack)
    _print_values(dict(stack.outputs), as_json=chosen.json)


def _settings(chosen: argparse.Namespace) -> None:
    from deploy.aws import Aws
    from deploy.stacks import require, settings

    aws = Aws.connect(chosen.region)
    _print_values(settings(require(aws.cloudformation, chosen.stack), aws.region), as_json=chosen.json)


def _print_values(values: dict[str, str], *, as_json: bool) -> None:
    from deploy.stacks import as_lines

    print(json.dumps(values, indent=2) if as_json else as_lines(values))


def _parameters(_chosen: argparse.Namespace) -> None:
    from deploy.parameters import SET_BY_COMMAND, declared
    from deploy.upload import Templates

    for name, entry in declared(Templates.read().main).items():
        if name not in SET_BY_COMMAND:
            default = "required" if entry.default is None else f"default: {entry.default or 'empty'}"
            print(f"{name} ({default})\n    {entry.description}")
            if entry.allowed:
                print(f"    One of {', '.join(entry.allowed)}.")


def _artifact(chosen: argparse.Namespace) -> None:
    from deploy.artifact import build
    from deploy.aws import Aws
    from deploy.upload import bucket_name, versions

    if chosen.action == "list":
        aws = Aws.connect(chosen.region)
        for version, when, size_bytes in versions(aws, chosen.artifact_bucket or bucket_name(aws)):
            print(f"{version:<32}  {when}  {size_bytes / 1e6:5.1f} MB")
        return
    artifact = build(allow_dirty=chosen.allow_dirty)
    path = Path(chosen.output or os.path.basename(artifact.key))  # noqa: PTH119 - a key is no path
    path.write_bytes(artifact.data)
    print(f"{path} ({len(artifact.data) / 1e6:.1f} MB)")


def _end(_number: int, _frame: object) -> None:
    # A terminal, `timeout` and make send several; another would break off what the first has a command take back.
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    # A closed window or a time limit ends a command as Ctrl-C does; nohup still keeps it going.
    for ending in ENDINGS:
        if signal.getsignal(ending) is not signal.SIG_IGN:
            signal.signal(ending, _end)
    sys.exit(main())
