"""The Grafana dashboard shows figures that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import requests
from prometheus_client import generate_latest

from local.stack import Stack
from scaler.metrics import Metrics

DASHBOARD = Path(__file__).resolve().parent.parent / "deploy" / "grafana.json"
FIGURE = re.compile(r"\b(?:scaler|flower|web)_[a-z_]+\b")
OF_HISTOGRAMS = ("_bucket", "_count", "_sum")


def served(text: str) -> set[str]:
    """Return the names of a page of figures, those of a histogram's parts included."""
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    parts = {f"{name}{part}" for name, kind in kinds.items() if kind == "histogram" for part in OF_HISTOGRAMS}
    return set(kinds) | parts


@pytest.mark.stack
def test_every_figure_is_served(service: Stack) -> None:
    """Each name in a panel is one that the web app, Flower or the scaler serves."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    used = {name for panel in panels for target in panel.get("targets", []) for name in FIGURE.findall(target["expr"])}
    assert {name.partition("_")[0] for name in used} == {"scaler", "flower", "web"}
    requests.get(f"{service.services.web_url}/healthz", timeout=30)
    pages = [
        generate_latest(Metrics(1.0).registry).decode(),
        requests.get(f"{service.services.web_url}/metrics", timeout=30).text,
        requests.get(f"{service.services.flower_url}/metrics", timeout=30).text,
    ]
    assert used - set().union(*map(served, pages)) == set()
