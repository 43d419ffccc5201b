"""What a million photos cost, line by line, here and with Celery and kombu as they come. Pure, but for reading files.

Requests are those that `bench.requests` counted; compute is node-hours at the rate that a node was measured at. A node
with stock Celery is held to what its workers take from the queue: they did nothing else while they were counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import DeployError
from deploy.prices import FOLDER, Measured, Prices

MILLION = 1_000_000
REQUESTS = FOLDER / "requests.json"
STOCK, OURS = "stock", "ours"
DAYS_A_MONTH = 30.4
GB = 1_000_000_000
# Of each photo, whoever classifies it.
STORE_AND_FETCH = {"S3 PUT": 1.0, "S3 GET": 1.0}
SERVICES = ("SQS", "SNS")


@dataclass(frozen=True)
class Counted:
    """The requests of one task on one stack, and how many tasks a second one worker took."""

    requests_per_task: Mapping[str, float]
    tasks_per_s: float


@dataclass(frozen=True)
class Node:
    """A node type and the photos a second that it was seen to classify."""

    instance_type: str
    photos_per_s: float
    workers: int


@dataclass(frozen=True)
class Line:
    """One line of the table: dollars for a million photos, by stack."""

    name: str
    usd: Mapping[str, float]


def read_counted(path: Path = REQUESTS) -> dict[str, Counted]:
    """Read what `python -m bench.requests --json FILE` wrote.

    Raises:
        DeployError: it cannot be read.
    """
    try:
        stacks: dict[str, dict[str, Any]] = json.loads(path.read_text())["stacks"]
        return {name: Counted(entry["requests_per_task"], entry["tasks_per_s"]) for name, entry in stacks.items()}
    except (OSError, ValueError, KeyError) as error:
        raise DeployError(f"counted requests cannot be read from {path}: {error!r}") from None


def lines(counted: Mapping[str, Counted], prices: Prices, node: Node, *, photo_bytes: float, days: float) -> list[Line]:
    """Return the table's lines for one node type.

    A million photos at 50 a second are 5.56 node-hours.

    Raises:
        DeployError: a price is missing.
    """
    table = [
        Line("SQS and SNS requests", {name: _requests(entry, prices, SERVICES) for name, entry in counted.items()}),
        Line("S3 requests: results", {name: _requests(entry, prices, ("S3",)) for name, entry in counted.items()}),
    ]
    photo = MILLION * sum(count * prices.request(action) for action, count in STORE_AND_FETCH.items())
    stored = MILLION * photo_bytes / GB * prices.of("s3", "gb_month") * days / DAYS_A_MONTH
    hour = prices.instance_hour(node.instance_type)
    compute = {name: hour * hours(entry, node, held=name == STOCK) for name, entry in counted.items()}
    return [
        *table,
        Line("S3 requests: photos", dict.fromkeys(counted, photo)),
        Line(f"S3 storage: {photo_bytes / 1000:.0f} kB a photo, {days:g} days", dict.fromkeys(counted, stored)),
        Line(f"{node.instance_type} on demand", compute),
    ]


def hours(counted: Counted, node: Node, *, held: bool) -> float:
    """Return the node-hours of a million photos; `held`: by what the workers take from the queue."""
    rate = min(node.photos_per_s, counted.tasks_per_s * node.workers) if held else node.photos_per_s
    return MILLION / rate / 3600


def _requests(counted: Counted, prices: Prices, services: Sequence[str]) -> float:
    return MILLION * sum(
        count * prices.request(action)
        for action, count in counted.requests_per_task.items()
        if action.split(" ")[0] in services
    )


def total(table: Sequence[Line], stack: str) -> float:
    """Return the sum of a stack's column."""
    return sum(line.usd[stack] for line in table)


def table(
    nodes: Sequence[Node], counted: Mapping[str, Counted], prices: Prices, measured: Measured, days: float
) -> str:
    """Return the tables of all node types as text.

    Raises:
        DeployError: a price is missing.
    """
    return "\n\n".join(_table(node, counted, prices, measured.photo_bytes, days) for node in nodes)


def _table(node: Node, counted: Mapping[str, Counted], prices: Prices, photo_bytes: float, days: float) -> str:
    listed = lines(counted, prices, node, photo_bytes=photo_bytes, days=days)
    share = prices.of("ec2", "spot_share")
    sums = {name: total(listed, name) for name in counted}
    spot = {name: sums[name] - (1 - share) * listed[-1].usd[name] for name in counted}
    rows = [
        *listed,
        Line("all told", sums),
        Line(f"all told, spot at {share:.0%} of on demand", spot),
    ]
    width = max(len(row.name) for row in rows)
    names = {STOCK: "stock Celery", OURS: "here"}
    head = f"{'US dollars for a million photos':<{width}}" + "".join(f"{names[name]:>14}" for name in counted)
    body = [f"{row.name:<{width}}" + "".join(f"{row.usd[name]:14.2f}" for name in counted) for row in rows]
    note = f"{'node-hours':<{width}}" + "".join(
        f"{hours(entry, node, held=name == STOCK):14.1f}" for name, entry in counted.items()
    )
    return "\n".join([head, *body, note])
