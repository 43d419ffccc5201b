"""The deployment's templates as data, and a stack of them on the embedded AWS."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import yaml

from local.emulators import ACCESS_KEY, REGION, Emulators

FOLDER = Path(__file__).resolve().parent.parent.parent / "deploy" / "templates"
MAIN = FOLDER / "main.yaml"
NESTED = tuple(sorted(set(FOLDER.glob("*.yaml")) - {MAIN}))
DEADLINE_S = 60.0
POLL_S = 0.1


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as its long ones: ``!Ref X`` as ``{"Ref": "X"}``."""


def _long_form(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


Loader.add_multi_constructor("!", _long_form)


def read(path: Path) -> dict[str, Any]:
    """Return a template."""
    template: dict[str, Any] = yaml.load(path.read_text(), Loader)  # noqa: S506 - a safe loader, with tags
    return template


def resources(path: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of a template's resources of one kind, by logical id."""
    found = {name: resource for name, resource in read(path)["Resources"].items() if resource["Type"] == kind}
    return {name: resource.get("Properties", {}) for name, resource in found.items()}


def texts(value: object) -> Iterator[str]:
    """Return every string in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)


@dataclass(frozen=True)
class Deployed:
    """A stack on the embedded AWS.

    Attributes:
        emulators: where it is.
        name: of the stack, and of the deployment.
    """

    emulators: Emulators
    name: str

    def client(self, service: str) -> Any:
        """Return a client of one of AWS's services."""
        connect: Any = boto3.client  # its stubs know services by their literal names
        return connect(
            service,
            endpoint_url=self.emulators.aws_url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=ACCESS_KEY,
        )

    @cached_property
    def cloudformation(self) -> Any:
        """CloudFormation's client."""
        return self.client("cloudformation")

    def upload(self) -> str:
        """Put the nested templates where the main one looks for them; return the bucket."""
        s3, bucket = self.client("s3"), f"{self.name}-artefacts"
        s3.create_bucket(Bucket=bucket)
        for path in NESTED:
            s3.put_object(Bucket=bucket, Key=f"templates/{path.name}", Body=path.read_bytes())
        return bucket

    def parameters(self, **given: str) -> list[dict[str, str]]:
        """Return parameters: those that have no default, and the given ones."""
        required = {
            "Deployment": self.name,
            "ArtifactBucket": f"{self.name}-artefacts",
            "TemplatePrefix": "templates",
            "CodeVersion": "v1",
            "AllowedCidr": "192.0.2.0/24",
            "PublicNodes": "true",
        }
        return [{"ParameterKey": key, "ParameterValue": value} for key, value in (required | given).items()]

    def create(self, **given: str) -> None:
        """Create the stack."""
        self.upload()
        self._begin(self.cloudformation.create_stack, **given)

    def update(self, **given: str) -> None:
        """Update it."""
        self._begin(self.cloudformation.update_stack, **given)

    def delete(self) -> str:
        """Delete it; return how that ended: DELETE_COMPLETE or DELETE_FAILED."""
        stack_id = self._stack()["StackId"]
        self.cloudformation.delete_stack(StackName=self.name)
        return self._settled(stack_id)

    def outputs(self) -> dict[str, str]:
        """Return what the stack tells."""
        return {output["OutputKey"]: output["OutputValue"] for output in self._stack()["Outputs"]}

    def _begin(self, request: Any, **given: str) -> None:
        answer = request(
            StackName=self.name,
            TemplateBody=MAIN.read_text(),
            Parameters=self.parameters(**given),
            Capabilities=["CAPABILITY_IAM"],
        )
        status = self._settled(answer["StackId"])
        assert status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}, self._failures(answer["StackId"])

    def _settled(self, stack_id: str) -> str:
        deadline_s = time.monotonic() + DEADLINE_S
        while (status := self._stack(stack_id)["StackStatus"]).endswith("_IN_PROGRESS"):
            assert time.monotonic() < deadline_s, status
            time.sleep(POLL_S)
        return str(status)

    def _stack(self, stack: str = "") -> dict[str, Any]:
        found: dict[str, Any] = self.cloudformation.describe_stacks(StackName=stack or self.name)["Stacks"][0]
        return found

    def _failures(self, stack_id: str) -> list[str]:
        events = self.cloudformation.describe_stack_events(StackName=stack_id)["StackEvents"]
        return [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}"
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        ]
