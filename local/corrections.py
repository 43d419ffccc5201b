"""What ministack's IAM does otherwise than AWS's, put right; of the emulators' environment, like `local.enforcing`.

Batch requests to SQS need the permission of the single one, of the same name but for its end; a subscription is held
against the endpoint that it names; what is done in a log group is held against `GROUP:*` or the stream's ARN:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions

BATCHED = ("sqs:SendMessageBatch", "sqs:DeleteMessageBatch", "sqs:ChangeMessageVisibilityBatch")
SUBSCRIBE = "sns:Subscribe"
SUBSCRIPTION_KEYS = ("Endpoint", "Protocol")
LOG_GROUP = ":log-group:"


def apply() -> None:
    """Put it right for the rest of the process."""
    iam_actions.extract_iam_action = _of_batches(iam_actions.extract_iam_action)
    iam_actions.extract_resource_arn = _of_log_groups(iam_actions.extract_resource_arn)
    iam_actions.request_tag_context = _of_subscriptions(iam_actions.request_tag_context)


def _of_batches(extract: Callable[..., str | None]) -> Callable[..., str | None]:
    def action(*arguments: Any, **named: Any) -> str | None:
        found = extract(*arguments, **named)
        return found.removesuffix("Batch") if found in BATCHED else found

    return action


def _of_log_groups(extract: Callable[..., str]) -> Callable[..., str]:
    def arn(service: str, method: str, path: str, headers: dict[str, str], body: bytes, *rest: Any) -> str:
        found = extract(service, method, path, headers, body, *rest)
        if service != "logs" or LOG_GROUP not in found:
            return found
        stream = json.loads(body).get("logStreamName") if "PutLogEvents" in headers.get("x-amz-target", "") else None
        return f"{found}:log-stream:{stream}" if stream else f"{found}:*"

    return arn


def _of_subscriptions(extract: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def context(service: str, action: str, body: bytes, parameters: dict[str, Any]) -> dict[str, Any]:
        found = extract(service, action, body, parameters)
        if action != SUBSCRIBE:
            return found
        asked = {f"sns:{key}": parameters[key] for key in SUBSCRIPTION_KEYS if key in parameters}
        return {**found, **{key: value[0] if isinstance(value, list) else value for key, value in asked.items()}}

    return context
