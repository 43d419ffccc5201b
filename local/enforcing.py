"""The embedded AWS with IAM in force, EC2's nodes included: `uvicorn local.enforcing:app`, with `AUTH=true`.

ministack holds every request against its caller's policies. Nodes are kept by moto, so that a role's requests to EC2
are held against the role's policies here, by ministack's own evaluator, for every permission that EC2 would ask for
(`local.ec2_permissions`), and go on to moto. What EC2 itself checks and this does not: the signature, and condition
keys other than tags, launch template and `ec2:CreateAction`. The account's root finds ministack's EC2 here.

Requests come by plain HTTP on this machine and count as sent by TLS, unless they say otherwise (`FORWARDED_PROTO`).

Runs in the emulators' environment and knows nothing of the system.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import boto3
import requests
from ministack.core.iam_actions import access_denied_response
from ministack.core.iam_evaluator import (
    AuthError,
    EvalContext,
    PrincipalInfo,
    evaluate,
    is_root_access_key,
    resolve_principal,
)
from ministack.core.responses import get_account_id, set_request_account_id
from ministack.core.router import extract_access_key_id, extract_region
from ministack.services import iam

from local import corrections
from local.cloudformation import app as ministack
from local.ec2_permissions import Facts, Permission, permissions
from local.emulators import ACCESS_KEY

# Where moto answers.
NODES_URL = os.environ["ENFORCED_EC2_URL"]
TIMEOUT_S = 30
EC2 = "ec2"
FORWARDED_PROTO = "x-forwarded-proto"

corrections.apply()

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, str, bytes]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one request: a role's to EC2 here, any other by ministack."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
    signed_for_ec2 = f"/{EC2}/aws4_request" in headers.get("authorization", "")
    if not signed_for_ec2 or is_root_access_key(extract_access_key_id(headers)):
        if FORWARDED_PROTO not in headers and "headers" in scope:
            scope = {**scope, "headers": [*scope["headers"], (FORWARDED_PROTO.encode(), b"https")]}
        await ministack(scope, receive, send)
        return
    body = await _body(receive)
    status, content_type, answer = await asyncio.to_thread(_ec2, headers, body)
    head = [(b"content-type", content_type.encode()), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": answer})


async def _body(receive: Receive) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        parts += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(parts)


def _ec2(headers: dict[str, str], body: bytes) -> Answer:
    key, region = extract_access_key_id(headers), extract_region(headers)
    principal = resolve_principal(key, get_account_id())
    if isinstance(principal, AuthError):
        return _refused("AuthFailure", principal.code)
    set_request_account_id(principal.account)
    for wanted in permissions(dict(parse_qsl(body.decode())), Moto(region, principal.account)):
        if _decision(principal, wanted, region) != "Allow":
            return _refused("", f"{wanted.action} on {wanted.resource}", principal.arn, wanted)
    passed_on: dict[str, str] = {
        name: headers[name] for name in ("authorization", "content-type", "x-amz-date") if name in headers
    }
    answer = requests.post(NODES_URL, data=body, headers=passed_on, timeout=TIMEOUT_S)
    return answer.status_code, answer.headers.get("content-type", "text/xml"), answer.content


def _decision(principal: PrincipalInfo, wanted: Permission, region: str) -> str:
    context = EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=wanted.action,
        resource_arn=wanted.resource,
        region=region,
        service_context={key.lower(): value for key, value in wanted.context.items()},
        principal_keys=principal.keys,
    )
    return str(evaluate(context, principal.policies, *principal.limits).decision)


def _refused(code: str, message: str, caller: str = "", wanted: Permission | None = None) -> Answer:
    action, resource = (wanted.action, wanted.resource) if wanted else ("", "*")
    text = f"{caller} is not authorized to perform: {message}" if wanted else message
    status, head, body = access_denied_response(
        "ec2", action, caller, "enforced", error_code=code, message=text, resource_arn=resource
    )
    return status, head["Content-Type"], body


class Moto(Facts):
    """What is known in moto, where the nodes are, and of instance profiles in ministack, where the roles are."""

    def __init__(self, region: str, account: str) -> None:
        self.region, self.account = region, account
        session = boto3.Session(ACCESS_KEY, ACCESS_KEY, region_name=region)
        self._ec2: Any = session.client("ec2", endpoint_url=NODES_URL)

    def instance_tags(self, instance_id: str) -> dict[str, str]:
        """Return an instance's tags; none for one that there is not."""
        filters = [{"Name": "instance-id", "Values": [instance_id]}]
        found = self._ec2.describe_instances(Filters=filters)["Reservations"]
        return _tags(found[0]["Instances"][0]) if found else {}

    def template(self, chosen: dict[str, str]) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Return a launch template's id, its tags and what it holds; nothing of one that there is not."""
        version = chosen.pop("Version", "$Default")
        names = {f"{key}s": [value] for key, value in chosen.items()}
        found = self._ec2.describe_launch_templates(**names)["LaunchTemplates"]
        versions = self._ec2.describe_launch_template_versions(**chosen, Versions=[version])["LaunchTemplateVersions"]
        return found[0]["LaunchTemplateId"], _tags(found[0]), versions[0]["LaunchTemplateData"]

    def roles_of(self, profile: dict[str, str]) -> Iterator[str]:
        """Yield the ARNs of an instance profile's roles."""
        name = profile.get("Name") or profile.get("Arn", "").rpartition("/")[2]
        known = iam._instance_profiles.get(name) or {"Roles": []}  # noqa: SLF001 - no answer over HTTP is nearer
        for role in known["Roles"]:
            yield role["Arn"] if isinstance(role, dict) else f"arn:aws:iam::{self.account}:role/{role}"


def _tags(item: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags", [])}
