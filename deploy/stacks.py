"""What CloudFormation knows of a deployed stack, and the settings that follow from it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from deploy.errors import DeployError, one_line
from deploy.parameters import CODE_VERSION, DEPLOYMENT

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

STACK = "AWS::CloudFormation::Stack"
# A stack that has never been more than a preview.
REVIEW = "REVIEW_IN_PROGRESS"
SETTING_OF_OUTPUT = {
    "Deployment": "DEPLOYMENT",
    "InputBucket": "INPUT_BUCKET",
    "ResultBucket": "RESULT_BUCKET",
    "Queue": "QUEUE",
    "DeadLetterQueue": "DEAD_LETTER_QUEUE",
    "ControlTopic": "CONTROL_TOPIC_ARN",
    "EventsTopic": "EVENTS_TOPIC_ARN",
    "LaunchTemplate": "LAUNCH_TEMPLATE",
    "LaunchTemplateVersion": "LAUNCH_TEMPLATE_VERSION",
    "NodeSubnets": "SUBNETS",
}
SETTING_OF_PARAMETER = {
    "ExpireDays": "EXPIRE_DAYS",
    "MaxNodes": "MAX_NODES",
    "MaxReceives": "MAX_RECEIVES",
    "MinNodes": "MIN_NODES",
    "Model": "MODEL",
    "ModelWeights": "MODEL_WEIGHTS",
    "NodeInstanceTypes": "INSTANCE_TYPES",
    "Purchase": "PURCHASE",
    "VisibilityTimeoutS": "VISIBILITY_TIMEOUT_S",
}


@dataclass(frozen=True)
class DeployedStack:
    """A stack as CloudFormation describes it."""

    id: str
    name: str
    status: str
    reason: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_preview(self) -> bool:
        """Whether nothing of it was ever made."""
        return self.status == REVIEW

    def output(self, name: str) -> str:
        """Return an output.

        Raises:
            DeployError: the stack has none of that name.
        """
        if name not in self.outputs:
            raise DeployError(f"stack {self.name} ({self.status}) has no output {name}: is it one of this project's?")
        return self.outputs[name]


def find(cloudformation: CloudFormationClient, name: str) -> DeployedStack | None:
    """Return the stack, or None if there is none.

    Raises:
        botocore.exceptions.ClientError: CloudFormation refuses to say.
    """
    try:
        stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response["Error"]["Message"]:
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else _deployed(stack)


def require(cloudformation: CloudFormationClient, name: str) -> DeployedStack:
    """Return the stack.

    Raises:
        DeployError: there is none.
        botocore.exceptions.ClientError: CloudFormation refuses to say.
    """
    stack = find(cloudformation, name)
    if stack is None:
        raise DeployError(f"there is no stack {name} in {cloudformation.meta.region_name}")
    return stack


def of_deployment(cloudformation: CloudFormationClient, deployment: str) -> DeployedStack | None:
    """Return the stack, not a nested one, that has given AWS's resources names with this beginning.

    Raises:
        botocore.exceptions.ClientError: CloudFormation refuses to say.
    """
    for page in cloudformation.get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            found = _deployed(stack)
            is_main = DEPLOYMENT in found.parameters and CODE_VERSION in found.outputs
            if is_main and found.parameters[DEPLOYMENT] == deployment:
                return found
    return None


def _deployed(stack: StackTypeDef) -> DeployedStack:
    return DeployedStack(
        stack["StackId"],
        stack["StackName"],
        stack["StackStatus"],
        one_line(stack.get("StackStatusReason", "")),
        {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])},
        {entry["ParameterKey"]: entry.get("ParameterValue", "") for entry in stack.get("Parameters", [])},
    )


def resources(cloudformation: CloudFormationClient, stack: str, kind: str) -> Iterator[str]:
    """Return the physical ids of a type's resources in a stack and the stacks nested in it.

    Raises:
        botocore.exceptions.ClientError: CloudFormation refuses.
    """
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack):
        for resource in page["StackResourceSummaries"]:
            physical = resource.get("PhysicalResourceId", "")
            if not physical or resource["ResourceStatus"] == "DELETE_COMPLETE":
                continue
            if resource["ResourceType"] == kind:
                yield physical
            elif resource["ResourceType"] == STACK:
                yield from resources(cloudformation, physical, kind)


def settings(stack: DeployedStack, region: str) -> dict[str, str]:
    """Return the settings that have this project's processes work for a deployed stack.

    Raises:
        DeployError: the stack has not what it should have.
    """
    found = {"CLOUD": "aws", "AWS_REGION": region}
    found |= {name: stack.output(output) for output, name in SETTING_OF_OUTPUT.items()}
    found |= {
        name: stack.parameters[parameter]
        for parameter, name in SETTING_OF_PARAMETER.items()
        if stack.parameters.get(parameter)
    }
    return found


def as_lines(values: Mapping[str, str]) -> str:
    r"""Return lines that a shell and systemd's EnvironmentFile both read.

    >>> as_lines({"QUEUE": "blue-classify", "MODEL_WEIGHTS": "a b"})
    "QUEUE=blue-classify\nMODEL_WEIGHTS='a b'"
    """
    return "\n".join(f"{name}={shlex.quote(value)}" for name, value in values.items())
