"""Keeps the launch template that nodes are made from: the stack's settings, then the boot script of a release."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from local.machine import WORKING_TREE
from tasks.node.settings import NodeSettings
from tasks.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import RequestLaunchTemplateDataTypeDef

# As deploy/templates/nodes.yaml ends, whose machines fetch a release that they do not hold.
BOOT = 'exec "$CLASSIFIER_ROOT/opt/classifier/releases/$CODE_VERSION/deploy/machine/boot.sh" node'
# What each machine is told by its own metadata, and not by a template.
OF_THE_MACHINE = {"INSTANCE_ID", "AWS_EC2_METADATA_SERVICE_ENDPOINT"}
# Read by `local.stand_in`, which is no part of the system and has no settings class.
OF_THE_STAND_IN = {"STAND_IN_S"}
MISSING = "InvalidLaunchTemplateName.NotFoundException"


def user_data(environ: Mapping[str, str], version: str = WORKING_TREE) -> str:
    """Return what boots a node: the settings that `environ` gives a value, and the boot script of a release.

    Keys are not among them: on one machine any will do, on AWS a node has a role.
    """
    aliases = {str(field.alias) for kind in (Settings, NodeSettings) for field in kind.model_fields.values()}
    names = (aliases | OF_THE_STAND_IN) - OF_THE_MACHINE
    given = {name: environ[name] for name in sorted(names) if environ.get(name)} | {"CODE_VERSION": version}
    exports = (f"export {name}={shlex.quote(value)}" for name, value in given.items())
    return "\n".join(["#!/bin/bash", "set -euo pipefail", *exports, BOOT, ""])


def ensure_launch_template(ec2: EC2Client, name: str, script: str) -> None:
    """Have the launch template's default version boot `script`; another version is made only if it does not yet.

    Raises:
        botocore.exceptions.BotoCoreError: EC2 cannot be reached.
        botocore.exceptions.ClientError: it refuses a request.
    """
    data = _data(ec2, script)
    try:
        answer = ec2.describe_launch_template_versions(LaunchTemplateName=name, Versions=["$Default"])
    except ClientError as error:
        if error.response["Error"]["Code"] != MISSING:
            raise
        ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
        return
    if answer["LaunchTemplateVersions"][0]["LaunchTemplateData"].get("UserData") == data["UserData"]:
        return
    ec2.modify_launch_template(LaunchTemplateName=name, DefaultVersion=add_version(ec2, name, script))


def add_version(ec2: EC2Client, name: str, script: str) -> str:
    """Add a version to the launch template that boots `script`, and return its number; the default stays as it is.

    Raises:
        botocore.exceptions.BotoCoreError: EC2 cannot be reached.
        botocore.exceptions.ClientError: it refuses a request.
    """
    version = ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=_data(ec2, script))
    return str(version["LaunchTemplateVersion"]["VersionNumber"])


def _data(ec2: EC2Client, script: str) -> RequestLaunchTemplateDataTypeDef:
    # The emulator boots no image, so any that it knows will do.
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    return {
        "ImageId": image,
        "UserData": base64.b64encode(script.encode()).decode(),
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required"},
    }
