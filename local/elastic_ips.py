"""The one resource of the templates that ministack's CloudFormation lacks: an Elastic IP. Of the emulators' environment.

`register` adds it for the rest of the process; `uvicorn local.elastic_ips:app` is ministack with it.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-ec2-eip.html
"""

from __future__ import annotations

from typing import Any

from ministack.app import app
from ministack.core.responses import new_uuid
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

__all__ = ["app", "register"]

TYPE = "AWS::EC2::EIP"


def register() -> None:
    """Let stacks hold Elastic IPs."""
    provisioners._RESOURCE_HANDLERS[TYPE] = {"create": _create, "delete": _delete}  # noqa: SLF001 - its only register


def _create(_logical_id: str, properties: dict[str, Any], _stack: str) -> tuple[str, dict[str, str]]:
    allocation = f"eipalloc-{new_uuid().replace('-', '')[:17]}"
    # A range for documentation: nothing there answers (RFC 5737).
    address = f"203.0.113.{1 + len(ec2._addresses) % 254}"  # noqa: SLF001 - what its own AllocateAddress fills
    ec2._addresses[allocation] = {  # noqa: SLF001
        "AllocationId": allocation,
        "PublicIp": address,
        "Domain": "vpc",
        "AssociationId": None,
        "InstanceId": None,
        "NetworkInterfaceId": None,
        "PrivateIpAddress": None,
    }
    ec2._tags[allocation] = list(properties.get("Tags", []))  # noqa: SLF001
    return address, {"AllocationId": allocation, "PublicIp": address}


def _delete(address: str, _properties: dict[str, Any]) -> None:
    for allocation, found in list(ec2._addresses.items()):  # noqa: SLF001
        if found["PublicIp"] == address:
            del ec2._addresses[allocation]  # noqa: SLF001
            ec2._tags.pop(allocation, None)  # noqa: SLF001


register()
