"""The launch template of nodes."""

from __future__ import annotations

import base64
import subprocess

import pytest

from local.emulators import Emulators
from local.launch_template import BOOT, ensure_launch_template, user_data
from tests.local.machines import Cloud, ec2_client

SHOWN = 'echo "$QUEUE|$MODEL_WEIGHTS|$AWS_SECRET_ACCESS_KEY|$INSTANCE_ID|$WEB_PORT"'


def test_user_data_carries_settings_and_no_key() -> None:
    """A value with any sign in it arrives as it is; keys, the host's own variables and what is not set do not."""
    given = {
        "QUEUE": "q",
        "MODEL_WEIGHTS": "it's $HOME",
        "AWS_SECRET_ACCESS_KEY": "k",
        "INSTANCE_ID": "i-1",
        "MODEL": "",
    }
    script = user_data(given | {"WEB_PORT": "8000"})
    exports, boot, _ = script.partition(BOOT)
    assert boot
    shown = subprocess.run(
        ["/bin/bash", "-c", exports.replace("-euo", "-eo") + SHOWN],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert shown.stdout == "q|it's $HOME|||\n"


@pytest.mark.stack
def test_a_new_version_is_made_when_the_boot_script_changes_and_only_then(emulators: Emulators) -> None:
    """New instances boot the newest script; doing it again changes nothing."""
    cloud = Cloud(ec2_client(emulators))
    for script, version in (("#!/bin/a", 1), ("#!/bin/a", 1), ("#!/bin/b", 2), ("#!/bin/b", 2)):
        ensure_launch_template(cloud.ec2, cloud.deployment, script)
        (template,) = cloud.ec2.describe_launch_templates(LaunchTemplateNames=[cloud.deployment])["LaunchTemplates"]
        assert template["DefaultVersionNumber"] == template["LatestVersionNumber"] == version
    node = cloud.launch("#!/bin/b")
    value = cloud.ec2.describe_instance_attribute(InstanceId=node, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(value) == b"#!/bin/b"
    cloud.ec2.terminate_instances(InstanceIds=[node])
