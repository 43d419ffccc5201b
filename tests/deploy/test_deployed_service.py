"""The templates, deployed by the command that operators use, carry the whole service."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator

import pytest

from deploy import stacks
from deploy.artifact import artifact_key
from local.deployed import Deployment, running_deployment
from local.emulators import ROOT
from local.ports import LOOPBACK
from scaler.instances import ROLE, TAG_DEPLOYMENT, TAG_ROLE
from scaler.memory import MEMORY_KEY
from scaler.settings import ScalerSettings
from tasks.names import LEASE_KEY
from tasks.settings import Settings
from tests.client import Client

pytestmark = pytest.mark.stack

STACK = "photos"
DEADLINE_S = 100.0
NEW = ("AllowedCidr=192.0.2.0/24", "PublicNodes=true", "--allow-dirty")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The stack on emulators."""
    with running_deployment(tmp_path_factory.mktemp("deployed"), STACK, ["MaxNodes=2"]) as running:
        yield running


def make(deployment: Deployment, *words: str) -> subprocess.CompletedProcess[str]:
    """Run make as an operator does; the environment is there already."""
    kept = ("--old-file=.venv/.run", "--old-file=install", "--no-print-directory")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ("make", *kept, *words),  # noqa: S607 - the machine's make
        env=environ | deployment.emulators.environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def words_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the command's error, which is one line."""
    assert done.returncode == 1, done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_make_deploy_and_make_smoke(deployment: Deployment) -> None:
    """`make deploy` changes the stack after a preview with costs, and `make smoke` passes on what the outputs name."""
    done = make(
        deployment, "deploy", f"STACK={STACK}", "PARAMS=MaxNodes=3 Model=everyday10", "FLAGS=--allow-dirty", "YES=1"
    )
    assert done.returncode == 0, done.stderr
    assert "changed  Web " in done.stdout
    assert "a million photos $" in done.stdout
    assert f"stack {STACK} is UPDATE_COMPLETE" in done.stdout
    assert stacks.settings(deployment.deployed, "us-east-1")["MAX_NODES"] == "3"
    done = make(deployment, "smoke", f"STACK={STACK}", "START=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "17 of 17 photographs labelled; passed" in done.stdout


def test_nodes_run_the_code_that_was_deployed(deployment: Deployment, photos: dict[str, bytes]) -> None:
    """The scaler launches nodes from the stack's launch template; they fetch the artefact, and classify."""
    deployment.start_host()
    deployment.stack.start_scaler()
    deployment.stack.start_web()
    client = Client(deployment.stack.services.web_url)
    assert all(result["label"] for result in client.wait(client.upload(photos)))
    version = deployment.deployed.output("CodeVersion")
    release = next(deployment.stack.log_dir.rglob(f"opt/classifier/releases/{version}"))
    assert (release / "tasks" / "app.py").read_bytes() == (ROOT / "tasks" / "app.py").read_bytes()
    assert not (release / "tests").exists()


def test_an_upgrade_is_a_new_version_of_the_launch_template(deployment: Deployment) -> None:
    """New code is a new version for the scaler to replace nodes by, and so is the code that is rolled back to."""
    old, number = (deployment.deployed.output(name) for name in ("CodeVersion", "LaunchTemplateVersion"))
    bucket = deployment.deployed.parameters["ArtifactBucket"]
    deployment.aws.s3.copy_object(Bucket=bucket, Key=artifact_key("next"), CopySource=f"{bucket}/{artifact_key(old)}")
    for step, version in enumerate(("next", old), start=1):
        deployment.deploy("--code-version", version)
        wanted = str(int(number) + step)
        settings = stacks.settings(deployment.deployed, "us-east-1")
        assert (settings["LAUNCH_TEMPLATE_VERSION"], deployment.deployed.output("CodeVersion")) == (wanted, version)
        found = deployment.stack.ec2.describe_launch_template_versions(
            LaunchTemplateName=settings["LAUNCH_TEMPLATE"], Versions=[wanted]
        )["LaunchTemplateVersions"]
        assert f"CODE_VERSION='{version}'" in b64decode(found[0]["LaunchTemplateData"]["UserData"]).decode()


def test_code_that_was_rolled_back_to_stays_if_that_is_asked(deployment: Deployment) -> None:
    """A preview says which code would go and which would come; `--same-code` changes parameters alone."""
    version = deployment.deployed.output("CodeVersion")
    bucket = deployment.deployed.parameters["ArtifactBucket"]
    source = f"{bucket}/{artifact_key(version)}"
    deployment.aws.s3.copy_object(Bucket=bucket, Key=artifact_key("older"), CopySource=source)
    deployment.deploy("--code-version", "older")
    change = ("deploy", STACK, "MaxNodes=8")
    done = deployment.command(*change, "--allow-dirty", "--preview")
    assert f"\ncode older -> {version}\n" in done.stdout, done.stderr
    done = deployment.command(*change, "--same-code", "--yes")
    assert "\ncode older stays\n" in done.stdout, done.stderr
    assert deployment.deployed.output("CodeVersion") == "older"
    assert deployment.deployed.parameters["MaxNodes"] == "8"
    deployment.deploy("--code-version", version)


def test_outputs_are_settings(deployment: Deployment) -> None:
    """What the stack tells is what processes are run with: every name is a setting, every value is taken."""
    printed = deployment.command("settings", STACK).stdout
    environ = dict(line.split("=", 1) for line in printed.splitlines())
    settings, scaler = Settings.from_env(environ), ScalerSettings.from_env(environ)
    known = {str(field.alias) for kind in (Settings, ScalerSettings) for field in kind.model_fields.values()}
    assert set(environ) <= known
    outputs = deployment.deployed.outputs
    assert (settings.queue, settings.input_bucket) == (outputs["Queue"], outputs["InputBucket"])
    assert (settings.control_topic_arn, settings.cloud) == (outputs["ControlTopic"], "aws")
    assert (scaler.launch_template, scaler.subnets) == (outputs["LaunchTemplate"], outputs["NodeSubnets"])


def test_the_artefact_bucket_is_private(deployment: Deployment) -> None:
    """The bucket that `deploy` makes holds code: nobody from outside reads it, and nobody without TLS."""
    bucket = deployment.deployed.parameters["ArtifactBucket"]
    s3 = deployment.aws.s3
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert '"aws:SecureTransport": "false"' in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    listed = deployment.command("artifact", "list").stdout
    assert deployment.deployed.output("CodeVersion") in listed


def test_a_stacks_name_is_held_against_what_it_begins_before_anything_is_made(deployment: Deployment) -> None:
    """A name that no bucket can have is refused at once, with the way to keep it; no bucket for code is made."""
    done = deployment.command("deploy", "Photos", *NEW, "--artifact-bucket", "untouched")
    assert words_of(done) == (
        "error: Deployment='Photos' is refused: a lower case letter, then lower case letters, digits and hyphens, "
        "20 at most. It is STACK's unless Deployment=NAME is given"
    )
    assert "untouched" not in {entry["Name"] for entry in deployment.aws.s3.list_buckets()["Buckets"]}
    done = deployment.command("deploy", "Photos", *NEW, "Deployment=short", "--artifact-bucket", "untouched")
    assert words_of(done).startswith("error: nobody is there to confirm")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(
            ["deploy", "new", "--allow-dirty"], "error: a value is missing: AllowedCidr=…", id="value missing"
        ),
        pytest.param(
            ["deploy", STACK, "MaxNods=1"], "error: MaxNods is no parameter; did you mean MaxNodes?", id="typo"
        ),
        pytest.param(["deploy", STACK, "Deployment=x"], "error: Deployment cannot be changed", id="other names"),
        pytest.param(
            ["deploy", "new", *NEW, f"Deployment={STACK}"], f"error: Deployment={STACK} is refused", id="taken"
        ),
        pytest.param(["deploy", "no_name", *NEW], "error: STACK='no_name' is refused", id="stack's name"),
        pytest.param(
            ["deploy", STACK, "--code-version", "gone"], "error: s3://classifier-artifacts-", id="no such code"
        ),
        pytest.param(["deploy", "new", *NEW, "--same-code"], "error: --same-code is refused", id="no code yet"),
        pytest.param(["deploy", "new", *NEW], "error: nobody is there to confirm", id="nobody there"),
        pytest.param(
            ["deploy", "new", NEW[0], "--allow-dirty"], "error: Nodes without a way to the internet", id="rule"
        ),
        pytest.param(["outputs", "new"], "error: there is no stack new in us-east-1", id="no such stack"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(deployment: Deployment, words: list[str], message: str) -> None:
    """Each refusal is one line that says what to do; nothing is left behind by it."""
    assert words_of(deployment.command(*words)).startswith(message)
    assert stacks.find(deployment.aws.cloudformation, "new") is None


def test_a_preview_changes_nothing(deployment: Deployment) -> None:
    """`--preview` shows what would change; the same order as before changes nothing."""
    before = deployment.deployed
    done = deployment.command("deploy", STACK, "MaxNodes=7", "--allow-dirty", "--preview")
    assert "changed  Web " in done.stdout
    assert deployment.deployed == before
    version = before.output("CodeVersion")
    done = deployment.command("deploy", STACK, "--code-version", version, "--yes")
    assert "is as ordered: nothing changes" in done.stdout


def test_a_failure_is_told_by_its_cause_and_taken_back(deployment: Deployment) -> None:
    """A stack that CloudFormation cannot make says what stood in its way; it can be destroyed, and nothing else goes."""
    bucket = "gone-input-000000000000-us-east-1"
    deployment.aws.s3.create_bucket(Bucket=bucket)
    done = deployment.command("deploy", "gone", *NEW, "--yes")
    assert "ROLLBACK_COMPLETE: Storage: " in words_of(done)
    assert "already exists" in words_of(done)
    assert words_of(deployment.command("deploy", "gone", *NEW)).endswith("destroy it, then deploy anew")
    node = launch(deployment, "gone")
    done = deployment.command("destroy", "gone", "--yes")
    assert done.returncode == 0, done.stderr
    assert state_of(deployment, node) == "running"
    deployment.stack.ec2.terminate_instances(InstanceIds=[node])
    deployment.aws.s3.delete_bucket(Bucket=bucket)


def test_destroy_loses_nothing_by_accident(deployment: Deployment) -> None:
    """A stack with photos is not destroyed unless that is asked for; then all goes, left-over inboxes included."""
    bucket = deploy_another(deployment).output("InputBucket")
    deployment.aws.s3.put_object(Bucket=bucket, Key="photo", Body=b"1")
    node = launch(deployment, "gone")
    deployment.aws.sqs.create_queue(QueueName="gone_node_worker_20261121T041500-9f3c2a")
    refused = words_of(make_error(make(deployment, "destroy", "STACK=gone", "YES=1")))
    assert refused == f"error: bucket {bucket} holds objects: let them go with --delete-data (in make: DELETE_DATA=1)"
    done = make(deployment, "destroy", "STACK=gone", "YES=1", "DELETE_DATA=1")
    assert done.returncode == 0, done.stderr
    assert stacks.find(deployment.aws.cloudformation, "gone") is None
    assert not deployment.aws.sqs.list_queues(QueueNamePrefix="gone").get("QueueUrls")
    assert state_of(deployment, node) == "terminated"
    assert deployment.aws.s3.head_bucket(Bucket=deployment.deployed.output("InputBucket"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_destroy_that_is_broken_off_leaves_the_service_up(deployment: Deployment, number: signal.Signals) -> None:
    """As long as CloudFormation deletes nothing, the web machine that was stopped for it comes back."""
    with socket.create_server((LOOPBACK, 0)) as mute:
        mute_url = f"http://{LOOPBACK}:{mute.getsockname()[1]}"
        environ = {**os.environ, **deployment.emulators.environ, "AWS_ENDPOINT_URL_EC2": mute_url}
        command = (sys.executable, "-m", "deploy", "destroy", STACK, "--yes", "--delete-data")
        with subprocess.Popen(command, env=environ, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            # EC2 is asked for nodes after the web machine is gone.
            mute.settimeout(DEADLINE_S)
            asked, _address = mute.accept()
            assert sizes_of_web(deployment) == (0, 0, 0)
            process.send_signal(number)
            _out, said = process.communicate(timeout=DEADLINE_S)
            asked.close()
    assert (process.returncode, said) == (130, "interrupted: if CloudFormation has begun, it goes on\n")
    assert sizes_of_web(deployment) == (1, 2, 1)


def test_the_scalers_notes_are_no_data(deployment: Deployment) -> None:
    """What the scaler keeps in a bucket does not stop an empty deployment from being destroyed."""
    bucket = deploy_another(deployment).output("ResultBucket")
    for key in (LEASE_KEY, MEMORY_KEY):
        deployment.aws.s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    done = deployment.command("destroy", "gone", "--yes")
    assert done.returncode == 0, done.stderr
    assert bucket not in {entry["Name"] for entry in deployment.aws.s3.list_buckets()["Buckets"]}


def test_nodes_keep_the_network_that_they_work_in(deployment: Deployment) -> None:
    """Private nodes' subnets and endpoints are not taken from under them: they go first, then PublicNodes changes."""
    deploy_another(deployment, "PublicNodes=false", "NodeImage=ami-0123456789abcdef0", "MinNodes=2", "MaxNodes=7")
    node = launch(deployment, "gone")
    change = ("deploy", "gone", "PublicNodes=true", "--allow-dirty")
    assert words_of(deployment.command(*change)) == (
        "error: PublicNodes=true is refused while nodes are up (1), as it takes their network away: deploy "
        "MinNodes=0 MaxNodes=1, and try again once `python -m scaler status` shows no node, then with "
        "MinNodes=2 MaxNodes=7, as it is now"
    )
    done = deployment.command(*change, "--preview")
    assert "changed  Network " in done.stdout, done.stderr
    deployment.stack.ec2.terminate_instances(InstanceIds=[node])
    assert words_of(deployment.command(*change)).startswith("error: nobody is there to confirm")
    done = deployment.command("destroy", "gone", "--yes")
    assert done.returncode == 0, done.stderr


def launch(deployment: Deployment, name: str) -> str:
    """Launch a node of a deployment, as its scaler would; return its id."""
    ec2 = deployment.stack.ec2
    made = ec2.run_instances(
        ImageId=ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": TAG_DEPLOYMENT, "Value": name}, {"Key": TAG_ROLE, "Value": ROLE}],
            }
        ],
    )
    return made["Instances"][0]["InstanceId"]


def state_of(deployment: Deployment, node: str) -> str:
    """Return EC2's name for an instance's state."""
    found = deployment.stack.ec2.describe_instances(InstanceIds=[node])
    return found["Reservations"][0]["Instances"][0]["State"]["Name"]


def sizes_of_web(deployment: Deployment) -> tuple[int, int, int]:
    """Return the fewest, most and desired machines of the web machine's group."""
    (group,) = stacks.resources(deployment.aws.cloudformation, STACK, "AWS::AutoScaling::AutoScalingGroup")
    (found,) = deployment.aws.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])[
        "AutoScalingGroups"
    ]
    return found["MinSize"], found["MaxSize"], found["DesiredCapacity"]


def deploy_another(deployment: Deployment, *parameters: str) -> stacks.DeployedStack:
    """Deploy a second stack beside the first."""
    done = deployment.command("deploy", "gone", *NEW, *parameters, "--yes")
    assert done.returncode == 0, done.stderr
    return stacks.require(deployment.aws.cloudformation, "gone")


def make_error(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Return what the command itself said, without make's own line about it."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    return subprocess.CompletedProcess(done.args, 1 if done.returncode else 0, done.stdout, "\n".join(lines))
