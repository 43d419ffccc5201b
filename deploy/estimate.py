"""What a deployment would cost by the hour and by the million photos, before it is made. Pure, but for reading files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.cost import OURS, Node, lines, read_counted, total
from deploy.errors import DeployError
from deploy.prices import HOURS_A_MONTH, Measured, Prices
from deploy.upload import Templates

WEB_VOLUME_GB = 20
AVAILABILITY_ZONES = 2


@dataclass(frozen=True)
class Parts:
    """What the templates make that costs by the month or the hour, whatever the service does."""

    alarms: int
    metrics: int
    secrets: int
    endpoints: int
    dashboards: int

    @classmethod
    def of(cls, templates: Templates) -> Parts:
        """Count them."""
        text = "\n".join(data.decode() for data in templates.files.values())
        return cls(
            alarms=text.count("Type: AWS::CloudWatch::Alarm\n"),
            metrics=text.count("Type: AWS::Logs::MetricFilter\n"),
            secrets=text.count("Type: AWS::SecretsManager::Secret\n"),
            endpoints=text.count("VpcEndpointType: Interface\n"),
            dashboards=text.count("Type: AWS::CloudWatch::Dashboard\n"),
        )


def estimate(values: Mapping[str, str], templates: Templates, region: str) -> str:
    """Return the estimate as lines of text; a price that is not known is named, not left out.

    Args:
        values: of the main template's parameters.
        templates: what is deployed.
        region: where.
    """
    prices = Prices.read()
    days = float(values["ExpireDays"])
    try:
        shown = [*_by_the_hour(values, Parts.of(templates), prices), _by_the_million(values, prices, days)]
    except DeployError as error:
        shown = [f"  unknown: {error}"]
    note = "" if region == prices.region else f"; {region} differs"
    return "\n".join(
        [
            f"estimated cost ({prices.region}'s prices{note}; no free tiers, no traffic, no logs; deploy/prices.toml):",
            *shown,
        ]
    )


def _by_the_hour(values: Mapping[str, str], parts: Parts, prices: Prices) -> list[str]:
    fixed = fixed_hour(values, parts, prices)
    node_type = values["NodeInstanceTypes"].split(",")[0]
    node = node_hour(values, prices)
    least, most = int(values["MinNodes"]), int(values["MaxNodes"])
    spot = ""
    if values["Purchase"] != "on-demand":
        spot = f"; on spot about {prices.of('ec2', 'spot_share'):.0%} of the instance's share"
    return [
        f"  always on   ${fixed:.3f} an hour, ${fixed * HOURS_A_MONTH:.0f} a month ({values['WebInstanceType']} and what is beside it)",
        f"  each node   ${node:.3f} an hour ({node_type} on demand{spot})",
        f"  all told    ${fixed + least * node:.2f} to ${fixed + most * node:.2f} an hour with {least} to {most} nodes",
    ]


def _by_the_million(values: Mapping[str, str], prices: Prices, days: float) -> str:
    measured = Measured.read()
    node = Node(values["NodeInstanceTypes"].split(",")[0], measured.photos_per_s, measured.workers)
    ours = {OURS: read_counted()[OURS]}
    sums = lines(ours, prices, node, photo_bytes=measured.photo_bytes, days=days)
    compute = sums[-1].usd[OURS]
    everything = total(sums, OURS)
    return (
        f"  a million photos ${everything:.2f}: ${everything - compute:.2f} requests and storage, ${compute:.2f} node-hours at "
        f"{measured.photos_per_s:g} photos a second (python -m deploy cost --help)"
    )


def fixed_hour(values: Mapping[str, str], parts: Parts, prices: Prices) -> float:
    """Return the dollars an hour of what is there even when nothing happens.

    Raises:
        DeployError: a price is missing.
    """
    month = (
        parts.alarms * prices.of("cloudwatch", "alarm_month")
        + parts.metrics * prices.of("cloudwatch", "metric_month")
        + parts.dashboards * prices.of("cloudwatch", "dashboard_month")
        + parts.secrets * prices.of("secrets_manager", "secret_month")
        + WEB_VOLUME_GB * prices.of("ec2", "ebs_gp3_gb_month")
    )
    hour = prices.instance_hour(values["WebInstanceType"]) + prices.of("ec2", "public_ipv4_hour")
    if values["LoadBalancer"] == "true":
        hour += prices.of("load_balancer", "hour") + prices.of("load_balancer", "capacity_unit_hour")
        hour += AVAILABILITY_ZONES * prices.of("ec2", "public_ipv4_hour")
    if values["PublicNodes"] == "false":
        hour += parts.endpoints * AVAILABILITY_ZONES * prices.of("vpc", "endpoint_hour")
    return hour + month / HOURS_A_MONTH


def node_hour(values: Mapping[str, str], prices: Prices) -> float:
    """Return the dollars an hour of a node of the first type, on demand.

    Raises:
        DeployError: a price is missing.
    """
    hour = prices.instance_hour(values["NodeInstanceTypes"].split(",")[0])
    hour += float(values["NodeRootVolumeGiB"]) * prices.of("ec2", "ebs_gp3_gb_month") / HOURS_A_MONTH
    return hour + (prices.of("ec2", "public_ipv4_hour") if values["PublicNodes"] == "true" else 0.0)
