"""SNS topics and the queues subscribed to them: how one control message or event reaches every node.

https://docs.aws.amazon.com/sns/latest/dg/sns-sqs-as-subscriber.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient


class Topics:
    """Publishes to topics and subscribes queues to them. Safe to share between threads.

    Args:
        sns: the client.
        predefined: topic ARNs by topic name, made by the deployment; others are created when first used.
    """

    def __init__(self, sns: SNSClient, predefined: dict[str, str]) -> None:
        self._sns = sns
        self._arns = dict(predefined)

    def arn(self, topic: str) -> str:
        """Return a topic's ARN; creating it is idempotent, so two processes may do it at the same time."""
        if topic not in self._arns:
            self._arns[topic] = self._sns.create_topic(Name=topic)["TopicArn"]
        return self._arns[topic]

    def publish(self, topic: str, body: str) -> None:
        """Send `body` to every queue subscribed at this moment."""
        self._sns.publish(TopicArn=self.arn(topic), Message=body)

    def subscribe(self, topic: str, queue_url: str, sqs: SQSClient) -> str:
        """Subscribe a queue that has this one topic; return the subscription's ARN.

        The policy is written, never read and merged: the queue is ours, and a failed read cannot cost a statement.
        """
        attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]
        policy = _policy(attributes["QueueArn"], self.arn(topic))
        sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": json.dumps(policy)})
        answer = self._sns.subscribe(
            TopicArn=self.arn(topic),
            Protocol="sqs",
            Endpoint=attributes["QueueArn"],
            Attributes={"RawMessageDelivery": "true"},
            ReturnSubscriptionArn=True,
        )
        return answer["SubscriptionArn"]

    def unsubscribe(self, subscription_arn: str) -> None:
        """End a subscription; one that is gone is no error."""
        self._sns.unsubscribe(SubscriptionArn=subscription_arn)

    def subscriptions(self, topic: str) -> dict[str, str]:
        """Return the ARNs of a topic's subscriptions by the ARN of the queue each delivers to."""
        pages = self._sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=self.arn(topic))
        return {entry["Endpoint"]: entry["SubscriptionArn"] for page in pages for entry in page["Subscriptions"]}


def _policy(queue_arn: str, topic_arn: str) -> dict[str, object]:
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
