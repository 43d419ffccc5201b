"""Makes sure of the roles that EC2 needs for fleets and spot instances: one of each in an account, for ever.

AWS makes them by itself only for callers that may make roles, and the scaler's role may not. A template cannot: it fails
where they are there already.
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-fleet-prerequisites.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

ROLES = {
    "ec2fleet.amazonaws.com": "AWSServiceRoleForEC2Fleet",
    "spot.amazonaws.com": "AWSServiceRoleForEC2Spot",
}
# IAM says it by a code of its own or, as AWS does here, by InvalidInput and these words.
TAKEN = ("EntityAlreadyExists", "has been taken in this account")


def missing_roles(iam: IAMClient) -> list[str]:
    """Return the services whose role the account lacks.

    Raises:
        botocore.exceptions.ClientError: IAM refuses to say.
    """
    return [service for service, role in ROLES.items() if not _exists(iam, role)]


def create_roles(iam: IAMClient, services: list[str]) -> None:
    """Create the roles of services; one that somebody has made meanwhile is fine.

    Raises:
        botocore.exceptions.ClientError: IAM refuses.
    """
    for service in services:
        try:
            iam.create_service_linked_role(AWSServiceName=service)
        except ClientError as error:
            if not any(words in str(error) for words in TAKEN):
                raise


def _exists(iam: IAMClient, role: str) -> bool:
    try:
        iam.get_role(RoleName=role)
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchEntity":
            return False
        raise
    return True
