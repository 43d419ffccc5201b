"""What the templates say, as far as cfn-lint and checkov cannot know it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.launch_template import OF_THE_MACHINE
from scaler.decide import decide
from scaler.loop import Tick
from scaler.settings import ScalerSettings
from scaler.state import Backlog, History, Limits, Sample
from scaler.tell import line
from tasks.lifecycle import RULE_ID
from tasks.node.settings import NodeSettings
from tasks.settings import Settings
from tests.deploy.log_patterns import matches
from tests.deploy.nginx import SHIPPED
from tests.deploy.templates import FOLDER, MAIN, NESTED, read, resources, texts
from webapp.settings import WebSettings

ALL = sorted(FOLDER.glob("*.yaml"))
EXPORT = re.compile(r"^export ([A-Z_]+)=", re.MULTILINE)
EXCUSE = re.compile(r"# checkov:skip=(?P<check>\w+):?(?P<reason>.*)")
SETTINGS = (Settings, NodeSettings, ScalerSettings, WebSettings)
# Of the metrics that SQS publishes (what alarms and the dashboard use):
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
OF_SQS = {
    "ApproximateAgeOfOldestMessage",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesVisible",
    "NumberOfMessagesDeleted",
    "NumberOfMessagesSent",
}
WATCH = FOLDER / "watch.yaml"
DOCUMENT = FOLDER.parent.parent / "docs" / "templates.md"
GUIDE = DOCUMENT.with_name("operations.md")
OWN = "Classifier/${Deployment}"


def named(path: Path) -> str:
    """Return a template's name, as the id of a test."""
    return path.stem


def user_data(name: str, template: str) -> str:
    """Return the script of a launch template."""
    data = resources(FOLDER / name, "AWS::EC2::LaunchTemplate")[template]["LaunchTemplateData"]
    return max(texts(data["UserData"]), key=len)


def own_metrics() -> set[str]:
    """Return the metrics that are made from logs."""
    filters = resources(WATCH, "AWS::Logs::MetricFilter").values()
    transformations = [made for properties in filters for made in properties["MetricTransformations"]]
    assert {made["MetricNamespace"]["Fn::Sub"] for made in transformations} == {OWN}
    return {made["MetricName"] for made in transformations}


@pytest.mark.parametrize("path", ALL, ids=named)
def test_an_excuse_from_a_check_has_its_reason(path: Path) -> None:
    """Whoever reads that a resource is excused from a check reads why."""
    assert [found["check"] for found in EXCUSE.finditer(path.read_text()) if len(found["reason"].split()) < 5] == []


def test_the_document_tells_every_excuse() -> None:
    """Its table has the checks that some resource is excused from, and no others."""
    excused = {found["check"] for path in ALL for found in EXCUSE.finditer(path.read_text())}
    assert set(re.findall(r"^\| (CKV\w+) ", DOCUMENT.read_text(), re.MULTILINE)) == excused


@pytest.mark.parametrize("path", ALL, ids=named)
def test_nothing_is_in_it_that_cloudformation_cannot_read(path: Path) -> None:
    """YAML's anchors and aliases, which CloudFormation refuses and every emulator takes, are not used.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
    """
    tokens = yaml.scan(path.read_text())
    assert [token.start_mark.line for token in tokens if isinstance(token, yaml.AnchorToken | yaml.AliasToken)] == []


@pytest.mark.parametrize("path", NESTED, ids=named)
def test_a_nested_template_gets_the_parameters_it_asks_for(path: Path) -> None:
    """The main template gives each all that it asks for and no more, and reads no output that it has not."""
    (logical, stack), *others = [
        (logical, properties)
        for logical, properties in resources(MAIN, "AWS::CloudFormation::Stack").items()
        if properties["TemplateURL"]["Fn::Sub"].endswith(f"/{path.name}")
    ]
    assert not others
    assert set(stack["Parameters"]) == set(read(path)["Parameters"])
    outputs = set(re.findall(rf"\b{logical}\.Outputs\.(\w+)", "\n".join(texts(read(MAIN)))))
    assert outputs <= set(read(path)["Outputs"])


@pytest.mark.parametrize(
    ("template", "name", "not_settings"),
    [
        pytest.param("nodes.yaml", "LaunchTemplate", {"ARTIFACT_BUCKET", "CODE_VERSION"}, id="nodes"),
        pytest.param(
            "web.yaml",
            "WebTemplate",
            {
                *("ARTIFACT_BUCKET", "CODE_VERSION", "SIGNAL_STACK", "SIGNAL_RESOURCE", "EIP_ALLOCATION_ID"),
                *("WEB_ROLE_ARN", "SCALER_ROLE_ARN", "FLOWER_ROLE_ARN", "TRUSTED_PROXY_CIDR", "DOMAIN_NAME"),
                *("WEB_SECRET_ARN", "FLOWER_SECRET_ARN", "TLS_SECRET_ARN"),
            },
            id="web",
        ),
    ],
)
def test_user_data_exports_what_somebody_reads(template: str, name: str, not_settings: set[str]) -> None:
    """Every name is a setting's, or one that the boot script reads; what a machine knows by itself is not told."""
    exported = set(EXPORT.findall(user_data(template, name)))
    known = {str(field.alias) for kind in SETTINGS for field in kind.model_fields.values()}
    assert exported - known == not_settings
    assert not exported & OF_THE_MACHINE


def test_the_web_machine_and_the_nodes_are_told_the_same() -> None:
    """All that a node is told the web machine is told in the same words: they share queue, stores and limits."""
    exports = [
        {text for text in user_data(template, name).splitlines() if text.startswith("export ")}
        for template, name in (("nodes.yaml", "LaunchTemplate"), ("web.yaml", "WebTemplate"))
    ]
    assert exports[0] <= exports[1]


@pytest.mark.parametrize(
    ("parameter", "setting"),
    [
        pytest.param("ExpireDays", "EXPIRE_DAYS", id="expiry"),
        pytest.param("VisibilityTimeoutS", "VISIBILITY_TIMEOUT_S", id="visibility timeout"),
        pytest.param("MaxReceives", "MAX_RECEIVES", id="receives"),
        pytest.param("Model", "MODEL", id="model"),
        pytest.param("MinNodes", "MIN_NODES", id="fewest nodes"),
        pytest.param("MaxNodes", "MAX_NODES", id="most nodes"),
        pytest.param("Purchase", "PURCHASE", id="purchase"),
        pytest.param("NodeInstanceTypes", "INSTANCE_TYPES", id="instance types"),
    ],
)
def test_a_parameter_has_the_default_of_its_setting(parameter: str, setting: str) -> None:
    """The README's settings table holds on AWS, too."""
    (default,) = {
        field.default for kind in SETTINGS for field in kind.model_fields.values() if str(field.alias) == setting
    }
    assert read(MAIN)["Parameters"][parameter]["Default"] == default


def test_the_models_are_those_that_nodes_can_load() -> None:
    """Whoever deploys can name each of them, and nothing else."""
    from tasks.inference.registry import model_names

    assert read(MAIN)["Parameters"]["Model"]["AllowedValues"] == model_names()


def test_nodes_have_public_addresses_only_if_asked() -> None:
    """The default is none, and the launch template does as the parameter says."""
    assert read(MAIN)["Parameters"]["PublicNodes"]["Default"] == "false"
    data = resources(FOLDER / "nodes.yaml", "AWS::EC2::LaunchTemplate")["LaunchTemplate"]["LaunchTemplateData"]
    (interface,) = data["NetworkInterfaces"]
    assert interface["AssociatePublicIpAddress"] == {"Ref": "PublicNodes"}


def test_the_visibility_timeout_outlasts_a_task() -> None:
    """No value is taken with which a running task would be delivered again."""
    least = read(MAIN)["Parameters"]["VisibilityTimeoutS"]["MinValue"]
    Settings.from_env({"VISIBILITY_TIMEOUT_S": str(least)})
    with pytest.raises(ValueError, match="TASK_TIME_LIMIT_S"):
        Settings.from_env({"VISIBILITY_TIMEOUT_S": str(least - 1)})


@pytest.mark.parametrize("name", ["InputBucket", "ResultBucket"])
def test_a_bucket_encrypts_and_forgets(name: str) -> None:
    """The rule is the one that the local stack sets, so that neither takes the other's for a stranger's."""
    bucket = resources(FOLDER / "storage.yaml", "AWS::S3::Bucket")[name]
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    of_objects, of_uploads = bucket["LifecycleConfiguration"]["Rules"]
    days = {"Ref": "ExpireDays"}
    assert of_objects == {"Id": RULE_ID, "Status": "Enabled", "Prefix": "", "ExpirationInDays": days}
    assert of_uploads["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}


def test_each_alarm_tells_somebody() -> None:
    """When it goes off and when it is over; and it says what is wrong."""
    for name, alarm in resources(WATCH, "AWS::CloudWatch::Alarm").items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}], name
        assert len(alarm["AlarmDescription"].split()) > 5, name


def test_the_operators_guide_says_what_to_do_at_each_alarm() -> None:
    """Its table has a row for each, and for no other."""
    names = {
        alarm["AlarmName"]["Fn::Sub"].removeprefix("${Deployment}-")
        for alarm in resources(WATCH, "AWS::CloudWatch::Alarm").values()
    }
    section = GUIDE.read_text().partition("\n## Alarms\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` ", section, re.MULTILINE)) == names


def test_alarms_look_at_metrics_that_exist() -> None:
    """Each is one that SQS publishes about a queue, or is made from a log."""
    for name, alarm in resources(WATCH, "AWS::CloudWatch::Alarm").items():
        if alarm["Namespace"] == "AWS/SQS":
            assert alarm["MetricName"] in OF_SQS, name
            assert [dimension["Name"] for dimension in alarm["Dimensions"]] == ["QueueName"], name
        else:
            assert alarm["Namespace"]["Fn::Sub"] == OWN, name
            assert alarm["MetricName"] in own_metrics(), name
            assert "Dimensions" not in alarm, name


def test_the_dashboard_shows_every_alarm_and_metrics_that_exist() -> None:
    """Each figure is one that SQS publishes about a queue, or is made from a log; and all of the latter are shown."""
    body = resources(WATCH, "AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]["Fn::Sub"]
    widgets = [widget["properties"] for widget in json.loads(body)["widgets"]]
    shown = [
        metric[:-1] if isinstance(metric[-1], dict) else metric for w in widgets for metric in w.get("metrics", [])
    ]
    of_sqs = [metric for metric in shown if metric[0] == "AWS/SQS"]
    assert {metric[1] for metric in of_sqs} <= OF_SQS
    assert {tuple(metric[2:]) for metric in of_sqs} == {("QueueName", "${Queue}"), ("QueueName", "${DeadLetterQueue}")}
    assert {tuple(metric) for metric in shown if metric not in of_sqs} == {(OWN, name) for name in own_metrics()}
    alarms = {text for widget in widgets for text in widget.get("alarms", [])}
    assert alarms == {f"${{{name}.Arn}}" for name in resources(WATCH, "AWS::CloudWatch::Alarm")}


def tick(backlog: Backlog | None, **history: Any) -> str:
    """Return the scaler's line of a tick."""
    sample = Sample(now_s=1.0, backlog=backlog, nodes=())
    decision, after = decide(sample, History(**history), Limits())
    return line(Tick(sample, decision, history=after))


def request(status: int) -> str:
    """Return nginx's line of a request: its log format, with any value for the other variables."""
    log_format = SHIPPED.read_text().partition("log_format")[2].partition(";")[0]
    text = "".join(re.findall(r"'([^']*)'", log_format)).replace("$status", str(status))
    return re.sub(r"\$\w+", "1", text)


CALM = {"Ticks", "Nodes", "DesiredNodes"}


@pytest.mark.parametrize(
    ("log", "written", "counted"),
    [
        pytest.param("ScalerLog", tick(Backlog(1, 0, 0)), CALM, id="a tick"),
        pytest.param("ScalerLog", tick(None), {"Ticks", "HeldTicks"}, id="a tick that is held"),
        pytest.param(
            "ScalerLog", tick(Backlog(1, 0, 0), stopped="no"), {*CALM, "TicksWithAlarm"}, id="a tick with an alarm"
        ),
        pytest.param("ScalerLog", "2026-11-21 12:00:00 INFO held", set(), id="another line of the scaler"),
        pytest.param("WebLog", request(202), {"Requests"}, id="a request"),
        pytest.param("WebLog", request(503), {"Requests", "Errors"}, id="a request that was turned away"),
        pytest.param("WebLog", '{"status": 500, "caller": "shop"}', set(), id="the app's own line of the same request"),
    ],
)
def test_metric_filters_count_the_lines_that_they_are_for(log: str, written: str, counted: set[str]) -> None:
    """By the lines that scaler and nginx write, field by field."""
    filters = resources(WATCH, "AWS::Logs::MetricFilter")
    of_log = {name: filters[name]["FilterPattern"] for name in filters if filters[name]["LogGroupName"]["Ref"] == log}
    assert {name for name, pattern in of_log.items() if matches(pattern, written)} == counted


def test_the_value_of_a_metric_is_in_the_line() -> None:
    """Those that are more than a count are read from a tick."""
    written = json.loads(tick(Backlog(1, 0, 0)))
    known = {f"$.{name}" for name in written} | {f"$.values.{name}" for name in written["values"]}
    filters = resources(WATCH, "AWS::Logs::MetricFilter").values()
    values = {made["MetricValue"] for properties in filters for made in properties["MetricTransformations"]}
    assert values - {"1"} <= known
