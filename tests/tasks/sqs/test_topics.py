"""The topics of remote control and events where the deployment has made them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.emulators import Emulators
from tasks.sqs.topics import Topics

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

pytestmark = pytest.mark.stack

EXCHANGE = "celery.pidbox"


@pytest.fixture
def sns(emulators: Emulators) -> SNSClient:
    """A client, and what it was asked in `meta.events` if a test wants to know."""
    return boto3.Session("local", "local", region_name="us-east-1").client("sns", endpoint_url=emulators.aws_url)


@pytest.fixture
def prefix() -> str:
    """A deployment of its own."""
    return f"t{uuid.uuid4().hex[:12]}"


def asked(sns: SNSClient) -> list[str]:
    """Return a list that grows by the name of each operation that the client is asked for."""
    operations: list[str] = []

    def note(model: Any, **_rest: object) -> None:
        operations.append(model.name)

    sns.meta.events.register("before-call.sns", note)
    return operations


def test_topics_that_the_deployment_made_are_neither_created_nor_looked_for(sns: SNSClient, prefix: str) -> None:
    """With predefined topics a process publishes, and lists subscriptions, without leave to create or list topics."""
    arn = sns.create_topic(Name=f"{prefix}_celery-pidbox")["TopicArn"]
    topics = Topics(sns, prefix, {EXCHANGE: arn})
    operations = asked(sns)
    topics.publish(EXCHANGE, "hello")
    assert topics.subscriptions() == {}
    assert operations == ["Publish", "ListSubscriptionsByTopic"]


def test_a_predefined_topic_that_is_gone_is_an_error(sns: SNSClient, prefix: str) -> None:
    """What the deployment made is not made anew by a process: whoever deleted it must know."""
    arn = sns.create_topic(Name=f"{prefix}_celery-pidbox")["TopicArn"]
    sns.delete_topic(TopicArn=arn)
    topics = Topics(sns, prefix, {EXCHANGE: arn})
    with pytest.raises(ClientError, match="NotFound"):
        topics.publish(EXCHANGE, "hello")


def test_a_topic_that_nobody_made_is_created_once(sns: SNSClient, prefix: str) -> None:
    """Without predefined topics the first use makes one, and later uses know it."""
    topics = Topics(sns, prefix, {})
    operations = asked(sns)
    topics.publish(EXCHANGE, "hello")
    topics.publish(EXCHANGE, "again")
    assert operations == ["CreateTopic", "Publish", "Publish"]
