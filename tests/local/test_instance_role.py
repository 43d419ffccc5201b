"""The keys that an emulated instance gets by its metadata."""

from __future__ import annotations

from botocore.utils import InstanceMetadataFetcher

from local.instance_role import RoleKeys
from local.metadata import MetadataServer

NODE = "i-0a1b2c3d"
KEYS = RoleKeys(
    "node",
    {
        "Code": "Success",
        "AccessKeyId": "ASIA0",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2527-01-01T00:00:00Z",
    },
)


def fetched(server: MetadataServer) -> dict[str, str]:
    """Return the keys that boto3 finds on the instance."""
    fetcher = InstanceMetadataFetcher(base_url=server.base_url(NODE), env={"AWS_EC2_METADATA_V1_DISABLED": "true"})
    with server.running():
        return dict(fetcher.retrieve_iam_role_credentials())


def test_boto3_finds_the_keys_of_the_instances_role() -> None:
    """Keys, token and end are those of the role, by the same steps as on AWS."""
    found = fetched(MetadataServer(0, lambda _id: KEYS))
    assert (found["role_name"], found["access_key"], found["secret_key"], found["token"]) == (
        "node",
        "ASIA0",
        "secret",
        "token",
    )
    assert found["expiry_time"] == KEYS.document["Expiration"]


def test_an_instance_without_a_role_has_no_keys() -> None:
    """There is nothing to find, and nothing else is taken for it."""
    assert fetched(MetadataServer(0)) == {}


def test_only_the_roles_own_name_has_keys() -> None:
    """Who asks for another role gets nothing."""
    other = MetadataServer(0, lambda instance_id: KEYS if instance_id == "i-0" else None)
    assert fetched(other) == {}
