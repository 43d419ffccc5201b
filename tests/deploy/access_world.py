"""What the probes of `access_probes` act on: clients under each role, and things of every kind to read, send and delete."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from scaler.fleet import Ec2Fleet, FleetError, Template
from scaler.instances import ROLE, TAG_DEPLOYMENT, TAG_ROLE
from tests.deploy.access_stack import PARENT, ROOT_KEYS, Access, LaunchTemplate, any_image, make_launch_template

DENIED = ("AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation", "403")
PHOTO = "000000-e6aff5dc2b1-0a1b2c3-0123456789abcdef"
DATA = b"data"


@dataclass
class World:
    """A deployment to act on, under any of its roles."""

    access: Access
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)

    def client(self, role: str, service: str) -> Any:
        """Return a client under a role; "" for one of the root's."""
        if (role, service) not in self._clients:
            keys = self.access.keys(role) if role else ROOT_KEYS
            self._clients[role, service] = self.access.client(service, keys)
        return self._clients[role, service]

    @property
    def name(self) -> str:
        """The deployment's."""
        return self.access.settings.deployment

    @property
    def artifacts(self) -> str:
        """The bucket of code and weights."""
        return self.access.parameters["ArtifactBucket"]

    def stored(self, bucket: str, key: str) -> dict[str, str]:
        """Have an object; return the arguments that name it."""
        self.client("", "s3").put_object(Bucket=bucket, Key=key, Body=DATA)
        return {"Bucket": bucket, "Key": key}

    def photo(self, key: str = PHOTO) -> dict[str, str]:
        """Have a photo; return the arguments that name it."""
        return self.stored(self.access.settings.input_bucket, key)

    def result(self, key: str = PHOTO) -> dict[str, str]:
        """Have an object among the results; return the arguments that name it."""
        return self.stored(self.access.settings.result_bucket, key)

    def url(self, queue: str) -> str:
        """Return a queue's URL."""
        return str(self.client("", "sqs").get_queue_url(QueueName=queue)["QueueUrl"])

    @property
    def tasks(self) -> str:
        """The URL of the queue of tasks."""
        return self.url(self.access.settings.queue)

    @property
    def dead_letters(self) -> str:
        """The URL of the dead-letter queue."""
        return self.url(self.access.settings.dead_letter_queue)

    def control_queue(self, kind: str) -> str:
        """Have a queue of remote control of its own name; return its URL."""
        return str(self.client("", "sqs").create_queue(QueueName=self.new_name(kind))["QueueUrl"])

    def new_name(self, kind: str) -> str:
        """Return the name of a queue of remote control that there is not."""
        return f"{self.name}_{kind}_w1-i-0a1b_20261121T041500-{uuid.uuid4().hex[:6]}"

    def arn(self, queue_url: str) -> str:
        """Return a queue's ARN."""
        asked = self.client("", "sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        return str(asked["Attributes"]["QueueArn"])

    def received(self, queue_url: str) -> dict[str, str]:
        """Have a message that was received; return the arguments that name it."""
        sqs = self.client("", "sqs")
        sqs.send_message(QueueUrl=queue_url, MessageBody="task")
        message = sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=1)["Messages"][0]
        return {"QueueUrl": queue_url, "ReceiptHandle": message["ReceiptHandle"]}

    def subscription(self, topic_arn: str, kind: str) -> str:
        """Have a subscription; return its ARN."""
        endpoint = self.arn(self.control_queue(kind))
        made = self.client("", "sns").subscribe(
            TopicArn=topic_arn, Protocol="sqs", Endpoint=endpoint, ReturnSubscriptionArn=True
        )
        return str(made["SubscriptionArn"])

    def log_stream(self, part: str) -> dict[str, str]:
        """Have a log stream; return the arguments that name it."""
        names = {"logGroupName": f"/classifier/{self.name}/{part}", "logStreamName": uuid.uuid4().hex}
        self.client("", "logs").create_log_stream(**names)
        return names

    def fleet(self, role: str, *, deployment: str = "", name: str = "") -> Ec2Fleet:
        """Return the scaler's fleet, under a role: another deployment's or from another template if they are named."""
        template = Template(name or self.access.environ["LAUNCH_TEMPLATE"], ("c7i.large",), (), "spot")
        return Ec2Fleet(self.client(role, "ec2"), deployment or self.name, template)

    def template(self, *, profile: str = "WorkerProfile", **tags: str) -> str:
        """Have a launch template, but for `tags` and profile like the deployment's; return its name."""
        name = f"{self.name}-{uuid.uuid4().hex[:6]}"
        make_launch_template(
            self.access,
            LaunchTemplate(name, self.image, self.access.outputs[profile], {TAG_DEPLOYMENT: self.name, **tags}),
        )
        return name

    @property
    def node_tags(self) -> list[dict[str, str]]:
        """The tags of the deployment's nodes."""
        return [{"Key": TAG_DEPLOYMENT, "Value": self.name}, {"Key": TAG_ROLE, "Value": ROLE}]

    def instance(self, **tags: str) -> str:
        """Have an instance, but for `tags` tagged as the deployment's nodes are; return its id."""
        ec2 = self.client("", "ec2")
        chosen = {TAG_DEPLOYMENT: self.name, TAG_ROLE: ROLE, **tags}
        made = ec2.run_instances(
            ImageId=self.image,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in chosen.items()]}
            ],
        )
        return str(made["Instances"][0]["InstanceId"])

    @cached_property
    def waiting_stack(self) -> str:
        """A nested stack that waits for more signals than it gets; its id."""
        group = {
            "Type": "AWS::CloudFormation::WaitCondition",
            "CreationPolicy": {"ResourceSignal": {"Count": 100, "Timeout": "PT15M"}},
        }
        made = self.client("", "cloudformation").create_stack(
            StackName=f"{PARENT}-Web-1A2B", TemplateBody=json.dumps({"Resources": {"WebGroup": group}})
        )
        return str(made["StackId"])

    @cached_property
    def image(self) -> str:
        """An image that instances can be made from."""
        return any_image(self.access)

    @contextmanager
    def without(self, role: str, sid: str, part: str = "", value: str = "") -> Iterator[None]:
        """Take a statement out of a role's policy, or one `value` of its "Action" or "Resource"."""
        iam = self.client("", "iam")
        role_name = self.access.outputs[role].rpartition("/")[2]
        name, document = self._policy_with(role_name, sid)
        statements = [
            _reduced(statement, part, value) if statement["Sid"] == sid else statement
            for statement in document["Statement"]
        ]
        reduced = {**document, "Statement": [statement for statement in statements if statement]}
        put = {"RoleName": role_name, "PolicyName": name}
        iam.put_role_policy(**put, PolicyDocument=json.dumps(reduced))
        try:
            yield
        finally:
            iam.put_role_policy(**put, PolicyDocument=json.dumps(document))

    def statement(self, role: str, sid: str) -> dict[str, Any]:
        """Return a statement as it is in force."""
        document = self._policy_with(self.access.outputs[role].rpartition("/")[2], sid)[1]
        return next(statement for statement in document["Statement"] if statement["Sid"] == sid)

    def _policy_with(self, role_name: str, sid: str) -> tuple[str, dict[str, Any]]:
        iam = self.client("", "iam")
        for name in iam.list_role_policies(RoleName=role_name)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role_name, PolicyName=name)["PolicyDocument"]
            if sid in [statement["Sid"] for statement in document["Statement"]]:
                return name, document
        raise LookupError(f"{role_name} has no statement {sid}")


def _reduced(statement: Mapping[str, Any], part: str, value: str) -> dict[str, Any]:
    """Return a statement without one value of a part; nothing if no part is named."""
    return {**statement, part: [kept for kept in as_list(statement[part]) if kept != value]} if part else {}


def as_list(value: str | list[str]) -> list[str]:
    """Return one value or several as a list."""
    return [value] if isinstance(value, str) else value


def is_refused(error: Exception) -> bool:
    """Tell whether an error says that the caller may not do what it asked for."""
    if isinstance(error, FleetError):
        return "UnauthorizedOperation" in str(error)
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in DENIED
