"""ministack with what its CloudFormation lacks of what the templates need: `uvicorn local.cloudformation:app`.

Stacks may hold Elastic IPs, and the deletion of a nested stack fails at a bucket that holds objects, as on AWS. Of the
emulators' environment; knows nothing of the system.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-eip.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
"""

from __future__ import annotations

from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import ec2, s3
from ministack.services.cloudformation import _stacks, provisioners

from local.polling import app

__all__ = ["app"]

ADDRESS = "AWS::EC2::EIP"
BUCKET = "AWS::S3::Bucket"
STACK = "AWS::CloudFormation::Stack"
# ministack has no public way to any of these.
_types: dict[str, dict[str, Any]] = provisioners._RESOURCE_HANDLERS  # noqa: SLF001
_addresses = ec2._addresses  # noqa: SLF001
_tags = ec2._tags  # noqa: SLF001
_buckets = s3._buckets  # noqa: SLF001
_delete_stack = _types[STACK]["delete"]


def _create_address(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    allocation = f"eipalloc-{new_uuid().replace('-', '')[:17]}"
    # Of a range for documentation, where nothing answers (RFC 5737).
    address = f"203.0.113.{1 + len(_addresses) % 254}"
    _addresses[allocation] = {
        "AllocationId": allocation,
        "PublicIp": address,
        "Domain": "vpc",
        "AssociationId": None,
        "InstanceId": None,
        "NetworkInterfaceId": None,
        "PrivateIpAddress": None,
    }
    _tags[allocation] = list(properties.get("Tags", []))
    return address, {"AllocationId": allocation, "PublicIp": address}


def _delete_address(address: str, _properties: dict[str, Any]) -> None:
    for allocation, found in list(_addresses.items()):
        if found["PublicIp"] == address:
            del _addresses[allocation]
            _tags.pop(allocation, None)


def _delete_stack_without_objects(name: str, properties: dict[str, Any]) -> None:
    stack = _stacks.get(provisioners._nested_stack_lookup_name(name)) or {}  # noqa: SLF001
    for resource in stack.get("_resources", {}).values():
        bucket = resource["PhysicalResourceId"]
        if resource["ResourceType"] == BUCKET and _buckets.get(bucket, {}).get("objects"):
            raise ValueError(f"{bucket}: The bucket you tried to delete is not empty")
    _delete_stack(name, properties)


_types[ADDRESS] = {"create": _create_address, "delete": _delete_address}
_types[STACK]["delete"] = _delete_stack_without_objects
