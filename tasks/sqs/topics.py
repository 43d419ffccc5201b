"""SNS topics and subscriptions: how one control command or event reaches every queue that wants it.

https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html. Subscriptions are in raw mode, so that the queue
gets what was published and no envelope: https://docs.aws.amazon.com/sns/latest/dg/sns-large-payload-raw-message-delivery.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from tasks.sqs.names import topic_name

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
NO_SUCH_TOPIC = ("NotFound", "NotFoundException")


class Topics:
    """One topic for each exchange of a deployment. Safe to share between threads.

    Args:
        sns: the client.
        prefix: the deployment's prefix of names.
        predefined: topic ARNs by exchange, made by the deployment. With any of them the deployment's role need not look
            for topics; without, or for another exchange, a topic is created when first used.
    """

    def __init__(self, sns: SNSClient, prefix: str, predefined: Mapping[str, str]) -> None:
        self._sns = sns
        self._prefix = prefix
        self._predefined = dict(predefined)
        self._created: dict[str, str] = {}

    def arn(self, exchange: str) -> str:
        """Return the ARN of an exchange's topic.

        Creating a topic that exists returns it, so two processes may do so at the same time:
        https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
        """
        if exchange in self._predefined:
            return self._predefined[exchange]
        if exchange not in self._created:
            self._created[exchange] = self._sns.create_topic(Name=topic_name(self._prefix, exchange))["TopicArn"]
        return self._created[exchange]

    def publish(self, exchange: str, body: str) -> None:
        """Send `body` to every queue that is subscribed at this moment; a topic that was deleted is made anew.

        Raises:
            botocore.exceptions.BotoCoreError: SNS cannot be reached.
            botocore.exceptions.ClientError: SNS refuses.
        """
        try:
            self._sns.publish(TopicArn=self.arn(exchange), Message=body)
        except ClientError as error:
            if error.response["Error"]["Code"] not in NO_SUCH_TOPIC or exchange in self._predefined:
                raise
            self._created.pop(exchange, None)
            self._sns.publish(TopicArn=self.arn(exchange), Message=body)

    def subscribe(self, exchange: str, queue_arn: str) -> str:
        """Subscribe a queue, whose policy lets this topic send, and return the subscription's ARN.

        A queue that is subscribed already keeps its subscription:
        https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html
        """
        answer = self._sns.subscribe(
            TopicArn=self.arn(exchange),
            Protocol="sqs",
            Endpoint=queue_arn,
            Attributes={"RawMessageDelivery": "true"},
            ReturnSubscriptionArn=True,
        )
        return answer["SubscriptionArn"]

    def unsubscribe(self, subscription_arn: str) -> None:
        """End a subscription; one that is gone is no error."""
        try:
            self._sns.unsubscribe(SubscriptionArn=subscription_arn)
        except ClientError as error:
            if error.response["Error"]["Code"] not in NO_SUCH_TOPIC:
                raise

    def subscriptions(self) -> dict[str, str]:
        """Return the deployment's subscriptions: their ARNs, each with the ARN of the queue it delivers to."""
        found: dict[str, str] = {}
        for topic_arn in self._all():
            pages = self._sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic_arn)
            found |= {entry["SubscriptionArn"]: entry["Endpoint"] for page in pages for entry in page["Subscriptions"]}
        return found

    def _all(self) -> set[str]:
        if self._predefined:
            return {*self._predefined.values(), *self._created.values()}
        pages = self._sns.get_paginator("list_topics").paginate()
        arns = {topic["TopicArn"] for page in pages for topic in page["Topics"]}
        return {arn for arn in arns if arn.rpartition(":")[2].startswith(f"{self._prefix}_")}


def queue_arn(topic_arn: str, queue_name: str) -> str:
    """Return the ARN of a queue beside a topic, in the same account and region.

    >>> queue_arn("arn:aws:sns:eu-west-1:123456789012:blue_celeryev", "blue_node_worker")
    'arn:aws:sqs:eu-west-1:123456789012:blue_node_worker'
    """
    _arn, partition, _sns, region, account, _topic = topic_arn.split(":")
    return f"arn:{partition}:sqs:{region}:{account}:{queue_name}"


def policy(queue_arn: str, topic_arn: str) -> dict[str, object]:
    """Return the queue policy that lets one topic, and nobody else outside the account, send to a queue.

    https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topic_arn}},
            }
        ],
    }
