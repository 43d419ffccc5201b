"""The roles that EC2 needs of an account are made once, and nobody minds that they are there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from deploy.service_roles import ROLES, create_roles, missing_roles

FLEET, SPOT = ROLES


@pytest.fixture
def iam() -> Any:
    """A client of IAM."""
    return boto3.client("iam", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106 - no secret


def role(name: str) -> dict[str, Any]:
    """Return IAM's answer for a role."""
    found = {"Path": "/", "RoleName": name, "RoleId": "A" * 16, "Arn": "arn:aws:iam::123456789012:role/x"}
    return {"Role": {**found, "CreateDate": datetime(2026, 11, 21, tzinfo=UTC)}}


def test_what_is_missing_is_found(iam: Any) -> None:
    """A role that is there is left alone."""
    with Stubber(iam) as stubber:
        stubber.add_response("get_role", role(ROLES[FLEET]), {"RoleName": "AWSServiceRoleForEC2Fleet"})
        stubber.add_client_error("get_role", "NoSuchEntity")
        assert missing_roles(iam) == [SPOT]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        pytest.param("InvalidInput", "Service role name X has been taken in this account", id="as AWS says it"),
        pytest.param("EntityAlreadyExists", "Role with name X already exists.", id="as emulators say it"),
    ],
)
def test_a_role_that_somebody_made_meanwhile_is_fine(iam: Any, code: str, message: str) -> None:
    """Two operators may deploy into a new account at the same time."""
    with Stubber(iam) as stubber:
        stubber.add_client_error("create_service_linked_role", code, message)
        stubber.add_response("create_service_linked_role", {}, {"AWSServiceName": SPOT})
        create_roles(iam, [FLEET, SPOT])


def test_an_operator_who_may_not_make_them_is_told(iam: Any) -> None:
    """Without these roles no node would ever be launched."""
    with Stubber(iam) as stubber:
        stubber.add_client_error("create_service_linked_role", "AccessDenied")
        with pytest.raises(ClientError, match="AccessDenied"):
            create_roles(iam, [FLEET])
