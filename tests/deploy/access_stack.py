"""The roles of `deploy/templates/access.yaml` on an AWS that enforces IAM, with all that they name.

What other templates would make, the account's root makes here: the roles alone are what is tested.
"""

from __future__ import annotations

import functools
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from local.emulators import ACCESS_KEY, MINISTACK_SERVICES, REGION, ROOT, running_emulators
from local.processes import wait_until
from local.provision import provision
from local.stack import START_DEADLINE_S
from scaler.instances import TAG_DEPLOYMENT
from tasks.settings import Settings
from tasks.sqs.names import COMMANDS_EXCHANGE, EVENTS_EXCHANGE, topic_name

if TYPE_CHECKING:
    from local.emulators import Emulators

TEMPLATE = ROOT / "deploy" / "templates" / "access.yaml"
SERVICES = f"{MINISTACK_SERVICES},cloudformation,logs,secretsmanager"
PARENT = "photos"
ACCOUNT = "000000000000"  # the emulator's
LOGS = ("web", "scaler", "flower", "node")
ROOT_KEYS: Mapping[str, str] = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": ACCESS_KEY}
# What the web machine becomes.
OF_THE_WEB_MACHINE = ("WebRole", "ScalerRole", "FlowerRole")


@dataclass(frozen=True)
class Access:
    """A deployment whose roles are in force.

    Attributes:
        emulators: the AWS.
        environ: its settings.
        parameters: of the template.
        outputs: of the template.
    """

    emulators: Emulators
    environ: Mapping[str, str]
    parameters: Mapping[str, str]
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """Its settings, read."""
        return Settings.from_env(self.environ)

    def client(self, service: str, keys: Mapping[str, str] = ROOT_KEYS) -> Any:
        """Return a client, the root's unless there are other `keys`."""
        url = self.emulators.ec2_url if service == "ec2" and keys is ROOT_KEYS else self.emulators.aws_url
        return _session().client(service, endpoint_url=url, **keys)  # type: ignore[call-overload]  # any service

    def keys(self, role: str) -> dict[str, str]:
        """Return keys of one of the template's roles, assumed by who may assume it on AWS."""
        by = self.keys("WebHostRole") if role in OF_THE_WEB_MACHINE else ROOT_KEYS
        sts = self.client("sts", by)
        keys = sts.assume_role(RoleArn=self.outputs[role], RoleSessionName=role)["Credentials"]
        return {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys["SessionToken"],
        }


@functools.cache
def _session() -> boto3.Session:
    """Return one session for all clients: it reads what botocore knows of a service once."""
    return boto3.Session(region_name=REGION)


@contextmanager
def access(log_dir: Path) -> Iterator[Access]:
    """Start an AWS that enforces IAM, make what a deployment has, and its roles by the template."""
    with running_emulators(log_dir, services=SERVICES, iam_enforced=True) as emulators:
        name = f"d{uuid.uuid4().hex[:6]}"
        topics = f"arn:aws:sns:{REGION}:{ACCOUNT}:{{}}"
        mine = {
            **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
            **emulators.endpoints,
            "DEPLOYMENT": name,
            "INPUT_BUCKET": f"{name}-input",
            "RESULT_BUCKET": f"{name}-results",
            "QUEUE": f"{name}-classify",
            "DEAD_LETTER_QUEUE": f"{name}-classify-dead-letters",
            "CONTROL_TOPIC_ARN": topics.format(topic_name(name, COMMANDS_EXCHANGE)),
            "EVENTS_TOPIC_ARN": topics.format(topic_name(name, EVENTS_EXCHANGE)),
            "LAUNCH_TEMPLATE": f"{name}-node",
        }
        provision(Settings.from_env(mine))
        made = Access(emulators, mine, {})
        made = replace(made, parameters=_make_the_rest(made))
        yield replace(made, outputs=_deploy(made))


def _make_the_rest(made: Access) -> dict[str, str]:
    """Make topics, log groups, secrets and a bucket of artefacts; return the template's parameters."""
    settings = made.settings
    name = settings.deployment
    for arn in (settings.control_topic_arn, settings.events_topic_arn):
        made.client("sns").create_topic(Name=arn.rpartition(":")[2])
    for part in LOGS:
        made.client("logs").create_log_group(logGroupName=f"/classifier/{name}/{part}")
    secrets = {
        part: made.client("secretsmanager").create_secret(Name=f"{name}-{part}", SecretString=f"{part}'s")["ARN"]
        for part in ("web", "flower", "tls")
    }
    made.client("s3").create_bucket(Bucket=f"{name}-artifacts")
    queues = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{}}"
    return {
        "Deployment": name,
        "ParentStack": PARENT,
        "InputBucketArn": f"arn:aws:s3:::{settings.input_bucket}",
        "ResultBucketArn": f"arn:aws:s3:::{settings.result_bucket}",
        "QueueArn": queues.format(settings.queue),
        "DeadLetterQueueArn": queues.format(settings.dead_letter_queue),
        "ControlTopicArn": settings.control_topic_arn,
        "EventsTopicArn": settings.events_topic_arn,
        "ArtifactBucket": f"{name}-artifacts",
        "WebSecretArn": secrets["web"],
        "FlowerSecretArn": secrets["flower"],
        "TlsSecretArn": secrets["tls"],
        "WebAddressAllocationId": _address(made),
    }


def _address(made: Access) -> str:
    return str(made.client("ec2").allocate_address(Domain="vpc")["AllocationId"])


def _deploy(made: Access) -> dict[str, str]:
    cloudformation = made.client("cloudformation")
    stack = f"{PARENT}-Access"
    cloudformation.create_stack(
        StackName=stack,
        TemplateBody=TEMPLATE.read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in made.parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"])

    wait_until(lambda: not status().endswith("_IN_PROGRESS"), START_DEADLINE_S, "the stack of roles")
    assert status() == "CREATE_COMPLETE", cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
    outputs = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]["Outputs"]
    return {output["OutputKey"]: output["OutputValue"] for output in outputs}


@dataclass(frozen=True)
class LaunchTemplate:
    """What nodes are launched from, as far as roles are concerned."""

    name: str
    image: str
    profile_arn: str
    tags: Mapping[str, str]


def make_launch_template(made: Access, template: LaunchTemplate) -> None:
    """Make a launch template."""
    made.client("ec2").create_launch_template(
        LaunchTemplateName=template.name,
        LaunchTemplateData={
            "ImageId": template.image,
            "IamInstanceProfile": {"Arn": template.profile_arn},
        },
        TagSpecifications=[
            {
                "ResourceType": "launch-template",
                "Tags": [{"Key": key, "Value": value} for key, value in template.tags.items()],
            }
        ],
    )


def any_image(made: Access) -> str:
    """Return an image that the emulated EC2 knows; it boots none."""
    return str(made.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"])


def template_of_nodes(made: Access) -> LaunchTemplate:
    """Return the deployment's launch template."""
    tags = {TAG_DEPLOYMENT: made.settings.deployment}
    return LaunchTemplate(made.environ["LAUNCH_TEMPLATE"], any_image(made), made.outputs["WorkerProfile"], tags)
