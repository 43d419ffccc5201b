"""The web app's figures for Prometheus at `/metrics`: requests and their durations by endpoint, method and status."""

from __future__ import annotations

from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics


def register(app: Flask) -> None:
    """Measure the app's requests and serve the figures.

    They are one process's: with WEB_WORKERS above 1 each answer is from one of them.
    """
    PrometheusMetrics(app, registry=CollectorRegistry(), group_by="endpoint", defaults_prefix="web")
