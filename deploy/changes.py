"""What a change set would do, as rows for people, and which of it loses data. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import ResourceChangeTypeDef

STACK = "AWS::CloudFormation::Stack"
# What holds photos, results, tasks or keys.
DATA = {
    STACK,
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
}
VERBS = {"Add": "added", "Modify": "changed", "Remove": "removed", "Import": "imported", "Dynamic": "decided later"}
REPLACED = {"True": "replaced", "Conditional": "maybe replaced"}
LOSSES = {"removed", "replaced", "maybe replaced"}


@dataclass(frozen=True)
class Row:
    """What happens to one resource.

    Attributes:
        verb: added, changed, replaced, maybe replaced, removed, imported or decided later.
        name: its logical name, below those of the nested stacks that it is in.
        kind: its type in CloudFormation.
        because: which of its properties change.
    """

    verb: str
    name: str
    kind: str
    because: str = ""

    @property
    def loses_data(self) -> bool:
        """Whether something with people's data goes."""
        return self.verb in LOSSES and self.kind in DATA


def row(change: ResourceChangeTypeDef, path: Sequence[str] = ()) -> Row:
    """Return a change's row; `path` names the nested stacks that it is in."""
    verb = VERBS.get(change.get("Action", ""), change.get("Action", ""))
    if verb == "changed" and change.get("ResourceType") != STACK:  # which is never replaced, whatever is said
        verb = REPLACED.get(change.get("Replacement", ""), verb)
    targets = [detail.get("Target", {}) for detail in change.get("Details", [])]
    properties = sorted({target.get("Name") or target.get("Attribute", "") for target in targets} - {""})
    name = "/".join([*path, change.get("LogicalResourceId", "")])
    return Row(verb, name, change.get("ResourceType", ""), ", ".join(properties))


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a table, with a sum below."""
    listed = sorted(rows, key=lambda entry: (list(ORDER).index(entry.verb) if entry.verb in ORDER else 0, entry.name))
    cells = [("", "resource", "type", "because of")]
    cells += [(entry.verb, entry.name, entry.kind.removeprefix("AWS::"), entry.because) for entry in listed]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line[:3], widths, strict=True)), line[3]]).rstrip()
        for line in cells
    ]
    return "\n".join([*lines, "", summary(listed)])


ORDER = ("removed", "replaced", "maybe replaced", "changed", "decided later", "added", "imported")


def summary(rows: Sequence[Row]) -> str:
    """Count the rows by what happens.

    >>> summary([Row("added", "Queue", "AWS::SQS::Queue"), Row("removed", "Topic", "AWS::SNS::Topic")])
    '1 removed, 1 added'
    """
    counts = [(verb, sum(entry.verb == verb for entry in rows)) for verb in ORDER]
    return ", ".join(f"{count} {verb}" for verb, count in counts if count) or "nothing changes"
