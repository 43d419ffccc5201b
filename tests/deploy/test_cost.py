"""Costs: prices say where they are from, sums are right, and what is not known is not taken for nothing."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bench.requests import Count, as_json
from deploy.__main__ import main
from deploy.artifact import ROOT
from deploy.cost import OURS, STOCK, Counted, Node, lines, read_counted, table, total
from deploy.errors import DeployError
from deploy.estimate import Parts, estimate, fixed_hour, node_hour
from deploy.parameters import declared
from deploy.prices import HOURS_A_MONTH, PRICES, Measured, Prices
from deploy.upload import Templates

FIGURES = Prices(
    "here",
    {
        "sqs": {"request": 1e-6},
        "sns": {"request": 2e-6},
        "s3": {"put": 10e-6, "get": 1e-6, "gb_month": 0.01},
        "ec2": {
            "hour": {"big": 0.9, "web": 0.1},
            "spot_share": 0.5,
            "ebs_gp3_gb_month": 0.073,
            "public_ipv4_hour": 0.01,
        },
        "cloudwatch": {"alarm_month": 7.3, "metric_month": 0.73, "dashboard_month": 73.0},
        "secrets_manager": {"secret_month": 0.73},
        "load_balancer": {"hour": 1.0, "capacity_unit_hour": 0.5},
        "vpc": {"endpoint_hour": 0.1},
    },
)
COUNTED = {
    STOCK: Counted({"SQS SendMessage": 2.0, "S3 PUT": 1.0, "S3 HEAD": 2.0, "S3 DELETE": 5.0}, 4.0),
    OURS: Counted({"SQS SendMessageBatch": 0.5, "SNS Publish": 0.5, "S3 GET": 1.0}, 500.0),
}
NODE = Node("big", 50.0, 2)


def defaults() -> dict[str, str]:
    """Return the values of a deployment that only says what it must."""
    known = declared(Templates.read().main)
    return {name: "" if entry.default is None else entry.default for name, entry in known.items()}


def test_a_million_photos_are_summed_line_by_line() -> None:
    """Requests by service and kind, storage by days, node-hours by rate; stock workers are held to what they take."""
    shown = {line.name: line.usd for line in lines(COUNTED, FIGURES, NODE, photo_bytes=100_000, days=15.2)}
    assert shown == {
        "SQS and SNS requests": {STOCK: pytest.approx(2.0), OURS: pytest.approx(1.5)},
        "S3 requests: results": {STOCK: pytest.approx(12.0), OURS: pytest.approx(1.0)},
        "S3 requests: photos": {STOCK: pytest.approx(11.0), OURS: pytest.approx(11.0)},
        "S3 storage: 100 kB a photo, 15.2 days": {STOCK: pytest.approx(0.5), OURS: pytest.approx(0.5)},
        "big on demand": {STOCK: pytest.approx(31.25), OURS: pytest.approx(5.0)},
    }


def test_the_table_has_a_sum_on_demand_and_on_spot() -> None:
    """The last lines are the sums: spot takes its share off the node-hours alone."""
    shown = table([NODE], COUNTED, FIGURES, Measured(50, 2, 100_000), 15.2).splitlines()
    assert re.split(r"\s{2,}", shown[-3]) == ["all told", "56.75", "19.00"]
    assert re.split(r"\s{2,}", shown[-2]) == ["all told, spot at 50% of on demand", "41.12", "16.50"]


def test_counted_requests_cost_less_here_than_with_stock_celery() -> None:
    """The committed counts, at AWS's prices: no line is dearer here, and the sum is lower."""
    counted, prices = read_counted(), Prices.read()
    shown = lines(counted, prices, Node("c7i.large", 45.9, 2), photo_bytes=250_000, days=7)
    assert all(line.usd[OURS] <= line.usd[STOCK] for line in shown)
    assert total(shown, OURS) < total(shown, STOCK)


def test_the_guides_table_is_the_commands() -> None:
    """docs/operations.md shows the figures that `python -m deploy cost` prints."""
    measured = Measured.read()
    node = Node("c7i.large", measured.photos_per_s, measured.workers)
    printed = table([node], read_counted(), Prices.read(), measured, days=7)
    guide = (ROOT / "docs" / "operations.md").read_text().split("US dollars for a million photos")[1].split("\n\n")[0]
    figures = re.compile(r"\d+\.\d+(?=\s*(?:\||\n|$| +\d))")
    assert figures.findall(guide) == figures.findall(printed)


def test_what_the_bench_writes_is_what_is_read(tmp_path: Path) -> None:
    """`bench.requests --json` and `python -m deploy cost` speak of the same things."""
    file = tmp_path / "requests.json"
    file.write_text(as_json([Count("ours", 200, {"SQS SendMessage": 100, "S3 GET": 200}, 4.0)]))
    assert read_counted(file) == {"ours": Counted({"S3 GET": 1.0, "SQS SendMessage": 0.5}, 50.0)}


def test_every_price_says_where_it_is_from() -> None:
    """Each section of the file names AWS's page and a date."""
    sections = {name: section for name, section in tomllib.loads(PRICES.read_text()).items() if name != "region"}
    assert all(section["page"].startswith("https://aws.amazon.com/") for section in sections.values())
    assert all(section["dated"].year >= 2026 for section in sections.values())


def test_a_price_that_is_not_known_is_named() -> None:
    """An instance type without a price is never free."""
    values = defaults() | {"NodeInstanceTypes": "q9.huge,c7i.large"}
    with pytest.raises(DeployError, match="the prices lack"):
        lines(COUNTED, Prices.read(), replace(NODE, instance_type="q9.huge"), photo_bytes=1, days=1)
    assert "unknown: the prices lack q9.huge" in estimate(values, Templates.read(), "us-east-1")


def test_prices_are_of_the_region_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--region` takes no other region's prices for its own; a file of that region's is taken."""
    command = ["deploy", "cost", "--region", "eu-west-1"]
    monkeypatch.setattr(sys, "argv", command)
    assert main() == 1
    wanted = (
        f"error: --region eu-west-1 is refused: {PRICES} says region = 'us-east-1'; copy it, put eu-west-1's prices"
    )
    assert capsys.readouterr().err == f"{wanted} in, and give --prices FILE\n"
    (copied := tmp_path / "prices.toml").write_text(PRICES.read_text().replace('"us-east-1"', '"eu-west-1"'))
    monkeypatch.setattr(sys, "argv", [*command, "--prices", str(copied)])
    assert main() == 0
    assert capsys.readouterr().out.startswith("eu-west-1, prices of prices.toml")


@pytest.mark.parametrize(
    ("differing", "expected"),
    [
        pytest.param({}, 0.1 + 0.01 + 0.02 + 0.002 + 0.001 + 0.002 + 0.1, id="public nodes"),
        pytest.param({"LoadBalancer": "true"}, 0.235 + 1.5 + 0.02, id="load balancer"),
        pytest.param({"PublicNodes": "false"}, 0.235 + 0.6, id="endpoints"),
    ],
)
def test_what_is_always_on_is_summed(differing: dict[str, str], expected: float) -> None:
    """Web machine, address, disk, alarms, metrics, secrets, dashboard; load balancer and endpoints where they are."""
    values = defaults() | {"WebInstanceType": "web", "PublicNodes": "true"} | differing
    parts = Parts(alarms=2, metrics=2, secrets=1, endpoints=3, dashboards=1)
    assert fixed_hour(values, parts, FIGURES) == pytest.approx(expected)


def test_a_node_is_its_instance_its_disk_and_its_address() -> None:
    """A private node has no public address to pay for."""
    values = defaults() | {"NodeInstanceTypes": "big", "NodeRootVolumeGiB": "10", "PublicNodes": "true"}
    disk = 10 * 0.073 / HOURS_A_MONTH
    assert node_hour(values, FIGURES) == pytest.approx(0.9 + disk + 0.01)
    assert node_hour(values | {"PublicNodes": "false"}, FIGURES) == pytest.approx(0.9 + disk)


def test_the_templates_parts_are_counted() -> None:
    """The estimate follows the templates: their alarms, metrics, secrets, endpoints and dashboard."""
    assert Parts.of(Templates.read()) == Parts(alarms=6, metrics=7, secrets=2, endpoints=3, dashboards=1)
