"""The templates, deployed on the embedded AWS: what is there afterwards, after an upgrade, and after the end."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.emulators import DEPLOYMENT_SERVICES, Emulators, running_emulators
from local.provision import provision
from tasks.settings import Settings
from tasks.sqs.names import EVENTS_EXCHANGE, topic_name
from tests.deploy.templates import Deployed

pytestmark = pytest.mark.stack

CERTIFICATE = "arn:aws:acm:us-east-1:000000000000:certificate/0a1b2c3d"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """The embedded AWS with all that the templates need."""
    with running_emulators(tmp_path_factory.mktemp("cloud"), services=DEPLOYMENT_SERVICES) as running:
        yield running


@pytest.fixture(scope="module")
def plain(cloud: Emulators) -> Deployed:
    """A deployment whose nodes install what they need, else with every default; tests leave it as it is."""
    deployed = Deployed(cloud, "plain")
    deployed.create()
    return deployed


@pytest.fixture(scope="module")
def guarded(cloud: Emulators) -> Deployed:
    """A deployment with nodes that have no way to the internet, and a load balancer; tests leave it as it is."""
    deployed = Deployed(cloud, "guarded")
    deployed.create(
        PublicNodes="false", NodeImage="ami-0123456789abcdef0", LoadBalancer="true", CertificateArn=CERTIFICATE
    )
    return deployed


def settings(deployed: Deployed) -> Settings:
    """Return the settings that a deployment's outputs give."""
    outputs = deployed.outputs()
    return Settings.from_env(
        {
            "DEPLOYMENT": outputs["Deployment"],
            "INPUT_BUCKET": outputs["InputBucket"],
            "RESULT_BUCKET": outputs["ResultBucket"],
            "QUEUE": outputs["Queue"],
            "DEAD_LETTER_QUEUE": outputs["DeadLetterQueue"],
            **{
                name: value
                for name, value in deployed.emulators.environ.items()
                if name.startswith("AWS_ENDPOINT_URL_")
            },
        }
    )


def queues(deployed: Deployed) -> list[dict[str, Any]]:
    """Return how the queue and the dead-letter queue of a deployment are set."""
    sqs, names, told = deployed.client("sqs"), settings(deployed), []
    for name in (names.queue, names.dead_letter_queue):
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        redrive = json.loads(attributes.pop("RedrivePolicy", "{}"))
        plain = {key: value for key, value in attributes.items() if "Timestamp" not in key}
        # SQS takes the number as a string, too, which is all that a template's mapping can hold.
        told.append(plain | {key: str(value) for key, value in redrive.items()})
    return told


def launch_data(deployed: Deployed, **names: str) -> dict[str, Any]:
    """Return the newest version of a launch template."""
    versions = deployed.client("ec2").describe_launch_template_versions(Versions=["$Latest"], **names)
    data: dict[str, Any] = versions["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    return data


def of_the_web(deployed: Deployed) -> dict[str, Any]:
    """Return what the web machine is launched from."""
    groups = deployed.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    (group,) = [group for group in groups if group["AutoScalingGroupName"].startswith(f"{deployed.name}-Web-")]
    return launch_data(deployed, LaunchTemplateId=group["LaunchTemplate"]["LaunchTemplateId"])


def user_data(deployed: Deployed, kind: str) -> str:
    """Return what a node or the web machine runs at its start."""
    of_nodes = {"LaunchTemplateName": f"{deployed.name}-node"}
    data = of_the_web(deployed) if kind == "web" else launch_data(deployed, **of_nodes)
    return base64.b64decode(data["UserData"]).decode()


def ranges(deployed: Deployed, group: str, direction: str) -> set[tuple[int, str]]:
    """Return what a security group lets through: ports, with the ranges or groups at the other end."""
    (found,) = deployed.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    return {
        (rule["FromPort"], other)
        for rule in found[direction]
        for other in [part["CidrIp"] for part in rule.get("IpRanges", [])]
        + [part["GroupId"] for part in rule.get("UserIdGroupPairs", [])]
    }


def test_the_local_stack_and_the_templates_set_the_same(plain: Deployed) -> None:
    """What `make run` sets up is there already: to do it again changes nothing of the queues."""
    before = queues(plain)
    provision(settings(plain))
    assert queues(plain) == before
    assert before[0]["maxReceiveCount"] == "6"


def test_buckets_are_private(plain: Deployed) -> None:
    """Closed to the public and to plain HTTP."""
    s3 = plain.client("s3")
    for bucket in (plain.outputs()["InputBucket"], plain.outputs()["ResultBucket"]):
        assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
        (statement,) = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]
        assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert sorted(statement["Resource"]) == [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


def test_topics_have_the_names_that_processes_look_for(plain: Deployed) -> None:
    """One for commands and one for events, named as tasks.sqs names them."""
    outputs = plain.outputs()
    assert outputs["ControlTopic"].endswith(f":{topic_name('plain', 'celery.pidbox')}")
    assert outputs["EventsTopic"].endswith(f":{topic_name('plain', EVENTS_EXCHANGE)}")
    assert {topic["TopicArn"] for topic in plain.client("sns").list_topics()["Topics"]} >= {
        outputs["ControlTopic"],
        outputs["EventsTopic"],
    }


def test_nodes_are_launched_safe(plain: Deployed) -> None:
    """Metadata by session only, no key pair, an encrypted disk, and gone when shut down; nothing reaches them."""
    data = launch_data(plain, LaunchTemplateName=plain.outputs()["LaunchTemplate"])
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert str(data["MetadataOptions"]["HttpPutResponseHopLimit"]) == "1"
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert "KeyName" not in data
    # The scaler's role may tag instances at their launch, and nothing else that a launch makes.
    assert "TagSpecifications" not in data
    assert str(data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]).lower() == "true"
    (interface,) = data["NetworkInterfaces"]
    assert ranges(plain, interface["Groups"][0], "IpPermissions") == set()
    assert ranges(plain, interface["Groups"][0], "IpPermissionsEgress") == {(443, "0.0.0.0/0")}


def test_the_web_machine_is_reached_from_the_allowed_range_alone(plain: Deployed) -> None:
    """HTTPS, and HTTP that is sent on to it, from AllowedCidr; no shell, nothing else."""
    (interface,) = of_the_web(plain)["NetworkInterfaces"]
    allowed = {(80, "192.0.2.0/24"), (443, "192.0.2.0/24")}
    assert ranges(plain, interface["Groups"][0], "IpPermissions") == allowed


def test_user_data_names_secrets_and_holds_none(plain: Deployed) -> None:
    """The generated secrets are nowhere in what machines are started with."""
    secrets = plain.client("secretsmanager")
    scripts = user_data(plain, "web") + user_data(plain, "node")
    found = [secret for secret in secrets.list_secrets()["SecretList"] if secret["Name"].startswith("plain-")]
    assert len(found) == 2
    for secret in found:
        value = secrets.get_secret_value(SecretId=secret["ARN"])["SecretString"]
        assert len(value) >= 32
        assert value not in scripts
        assert secret["ARN"] in scripts


@pytest.mark.parametrize("kind", ["node", "web"])
def test_user_data_is_sound(plain: Deployed, kind: str) -> None:
    """Shellcheck has nothing to say about the scripts within the templates."""
    shellcheck = Path(sys.executable).parent / "shellcheck"
    checked = subprocess.run(
        [shellcheck, "-"], input=user_data(plain, kind), check=False, capture_output=True, text=True
    )
    assert checked.stdout == ""


@pytest.mark.parametrize("kind", ["node", "web"])
def test_user_data_fetches_the_release_unless_the_image_holds_it(plain: Deployed, kind: str, tmp_path: Path) -> None:
    """It runs the release's own boot script with the deployment's settings; a baked image asks S3 for nothing."""
    (boot := tmp_path / "code" / "deploy" / "machine" / "boot.sh").parent.mkdir(parents=True)
    boot.write_text('#!/bin/bash\necho "$1 of $DEPLOYMENT reads $QUEUE"\n')
    boot.chmod(0o755)
    (aws := tmp_path / "bin" / "aws").parent.mkdir()
    aws.write_text(f'#!/bin/bash\necho "$@" >> {tmp_path}/asked\ntar -cz -C {tmp_path}/code .\n')
    aws.chmod(0o755)
    environ = {"PATH": f"{aws.parent}:/usr/bin:/bin", "CLASSIFIER_ROOT": str(tmp_path)}
    for _boot in range(2):
        booted = subprocess.run(
            ["/bin/bash", "-c", user_data(plain, kind)], env=environ, check=True, capture_output=True, text=True
        )
        assert booted.stdout == f"{kind} of plain reads plain-classify\n"
    artefact = "s3://plain-artefacts/artifacts/classifier-v1.tar.gz"
    assert (tmp_path / "asked").read_text() == f"s3 cp --only-show-errors {artefact} -\n"


@pytest.mark.parametrize("kind", ["node", "web"])
def test_user_data_asks_for_the_release_again_a_few_times(plain: Deployed, kind: str, tmp_path: Path) -> None:
    """A role's keys and the network may be late; a machine that gets no release says so by its status in the end."""
    (tmp_path / "bin").mkdir()
    for name, script in (("aws", f"echo asked >> {tmp_path}/asked; exit 1"), ("sleep", ":")):
        (program := tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)
    environ = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "CLASSIFIER_ROOT": str(tmp_path)}
    booted = subprocess.run(["/bin/bash", "-c", user_data(plain, kind)], env=environ, check=False, capture_output=True)
    assert booted.returncode == 1
    assert (tmp_path / "asked").read_text().count("asked") == 5


def test_nodes_without_a_way_to_the_internet_have_endpoints(guarded: Deployed) -> None:
    """Their subnets have no route out and their template no public address; S3, SQS, SNS and the logs are within."""
    ec2 = guarded.client("ec2")
    data = launch_data(guarded, LaunchTemplateName="guarded-node")
    assert str(data["NetworkInterfaces"][0]["AssociatePublicIpAddress"]).lower() == "false"
    assert data["ImageId"] == "ami-0123456789abcdef0"
    subnets = guarded.outputs()["NodeSubnets"].split(",")
    vpc = ec2.describe_subnets(SubnetIds=subnets)["Subnets"][0]["VpcId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    of_nodes = [t for t in tables if {a.get("SubnetId") for a in t["Associations"]} & set(subnets)]
    assert of_nodes
    assert [r for table in of_nodes for r in table["Routes"] if r.get("DestinationCidrBlock") == "0.0.0.0/0"] == []
    endpoints = [endpoint for endpoint in ec2.describe_vpc_endpoints()["VpcEndpoints"] if endpoint["VpcId"] == vpc]
    assert sorted(e["ServiceName"].rpartition(".")[2] for e in endpoints) == ["logs", "s3", "sns", "sqs"]


def test_behind_a_load_balancer_nobody_else_reaches_the_web_machine(guarded: Deployed) -> None:
    """Its group lets the load balancer's in, whose lets AllowedCidr in; plain HTTP is sent on to HTTPS."""
    (interface,) = of_the_web(guarded)["NetworkInterfaces"]
    ((port, balancer_group),) = ranges(guarded, interface["Groups"][0], "IpPermissions")
    assert port == 443
    assert ranges(guarded, balancer_group, "IpPermissions") == {(80, "192.0.2.0/24"), (443, "192.0.2.0/24")}
    balancing = guarded.client("elbv2")
    (balancer,) = balancing.describe_load_balancers()["LoadBalancers"]
    listeners = balancing.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert {(listener["Protocol"], listener["DefaultActions"][0]["Type"]) for listener in listeners} == {
        ("HTTPS", "forward"),
        ("HTTP", "redirect"),
    }
    assert guarded.outputs()["WebUrl"] == f"https://{balancer['DNSName']}"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        pytest.param({"PublicNodes": "false"}, "give NodeImage", id="private nodes that could install nothing"),
        pytest.param({"LoadBalancer": "true"}, "needs CertificateArn", id="a load balancer without a certificate"),
        pytest.param({"Deployment": "Shop"}, "lower case", id="a name that no bucket can have"),
        pytest.param(
            {"VisibilityTimeoutS": "45"}, "VisibilityTimeoutS", id="tasks that would be delivered while they run"
        ),
        pytest.param({"ApiKeys": "ec_secret"}, "sha256", id="a key instead of its digest"),
        pytest.param({"Model": "nosuch"}, "Model", id="a model that no node could load"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(cloud: Emulators, given: dict[str, str], why: str) -> None:
    """The refusal says what is wrong, and no stack is left."""
    deployed = Deployed(cloud, "refused")
    with pytest.raises(ClientError, match=why):
        deployed.create(**given)
    with pytest.raises(ClientError, match="does not exist"):
        deployed.outputs()


def test_an_upgrade_keeps_data_and_makes_a_new_version_of_nodes(cloud: Emulators) -> None:
    """The scaler is told the new version of the launch template; photos and messages stay where they are."""
    deployed = Deployed(cloud, "upgraded")
    deployed.create()
    before = deployed.outputs()
    photo = {"Bucket": before["InputBucket"], "Key": "photo"}
    deployed.client("s3").put_object(**photo, Body=b"...")
    url = deployed.client("sqs").get_queue_url(QueueName=before["Queue"])["QueueUrl"]
    deployed.client("sqs").send_message(QueueUrl=url, MessageBody="task")
    deployed.update(CodeVersion="v2")
    after = deployed.outputs()
    assert {name for name in before if before[name] != after[name]} == {"CodeVersion", "LaunchTemplateVersion"}
    assert (before["LaunchTemplateVersion"], after["LaunchTemplateVersion"]) == ("1", "2")
    assert "export LAUNCH_TEMPLATE_VERSION='2'\n" in user_data(deployed, "web")
    assert "export CODE_VERSION='v2'\n" in user_data(deployed, "node")
    assert deployed.client("s3").get_object(**photo)["Body"].read() == b"..."
    assert deployed.client("sqs").receive_message(QueueUrl=url)["Messages"][0]["Body"] == "task"


def test_nothing_is_left_of_a_deployment_but_photos(cloud: Emulators) -> None:
    """A deletion stops at a bucket that holds a photo; without one everything goes, so that the name is free again."""
    deployed = Deployed(cloud, "ended")
    deployed.create()
    photo = {"Bucket": deployed.outputs()["InputBucket"], "Key": "photo"}
    s3 = deployed.client("s3")
    s3.put_object(**photo, Body=b"...")
    assert deployed.delete() == "DELETE_FAILED"
    assert s3.get_object(**photo)["Body"].read() == b"..."
    s3.delete_object(**photo)
    assert deployed.delete() == "DELETE_COMPLETE"
    left = {
        *(bucket["Name"] for bucket in s3.list_buckets()["Buckets"]),
        *(url.rpartition("/")[2] for url in deployed.client("sqs").list_queues().get("QueueUrls", [])),
        *(topic["TopicArn"].rpartition(":")[2] for topic in deployed.client("sns").list_topics()["Topics"]),
        *(role["RoleName"] for role in deployed.client("iam").list_roles()["Roles"]),
        *(group["logGroupName"].split("/")[2] for group in deployed.client("logs").describe_log_groups()["logGroups"]),
        *(
            group["LaunchTemplateName"]
            for group in deployed.client("ec2").describe_launch_templates()["LaunchTemplates"]
        ),
    }
    assert {name for name in left if name.startswith("ended")} == {"ended-artefacts"}
