"""The nodes of a deployment: its scaler launches them, so that no stack lists them."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.aws import Aws
from scaler.instances import ROLE, TAG_DEPLOYMENT, TAG_ROLE

UP = ("pending", "running", "stopping", "stopped")
LEAVING = "shutting-down"


def nodes(aws: Aws, deployment: str, states: Sequence[str] = UP) -> list[str]:
    """Return the ids of a deployment's nodes that are in one of EC2's `states`.

    Raises:
        botocore.exceptions.ClientError: EC2 refuses to say.
    """
    pages = aws.ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": f"tag:{TAG_DEPLOYMENT}", "Values": [deployment]},
            {"Name": f"tag:{TAG_ROLE}", "Values": [ROLE]},
            {"Name": "instance-state-name", "Values": list(states)},
        ]
    )
    return [item["InstanceId"] for page in pages for group in page["Reservations"] for item in group["Instances"]]
