"""`GET /status`: what the page's status strip shows: the queue, the nodes, the model, Flower."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict
from http import HTTPStatus

import urllib3
from flask import Blueprint, Flask, Response, current_app, jsonify
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tasks import api as tasks_api
from webapp import auth, backpressure
from webapp.latest import Latest
from webapp.settings import WebSettings

TIMEOUT_S = 1.0
# A scaler that has not looked for so long does not know any more.
STALE_S = 60.0

blueprint = Blueprint("status", __name__)


class NodesUnknown(Exception):
    """Nobody can tell how many nodes there are."""


def register(app: Flask) -> None:
    """Have the app ask the scaler, once for all who want to know."""
    settings: WebSettings = app.extensions["settings"]
    http = urllib3.PoolManager(timeout=TIMEOUT_S, retries=False)

    def read() -> dict[str, int]:
        try:
            answer = http.request("GET", f"{settings.scaler_url.rstrip('/')}/metrics")
        except urllib3.exceptions.HTTPError as error:
            raise NodesUnknown(str(error)) from error
        if answer.status != HTTPStatus.OK:
            raise NodesUnknown(f"the scaler's address answered {answer.status}")
        try:
            return nodes(text_string_to_metric_families(answer.data.decode()), time.time())
        except (ValueError, KeyError, OverflowError) as error:  # whatever else answers there
            raise NodesUnknown(f"no figures of a scaler: {error!r}") from error

    app.extensions["nodes"] = Latest("nodes", read, (NodesUnknown,))


@blueprint.get("/status")
def status() -> Response:
    """Say how busy the system is; null is what is not known now."""
    settings: WebSettings = current_app.extensions["settings"]
    known: Latest[dict[str, int]] = current_app.extensions["nodes"]
    depth = backpressure.queue_depth()
    told = {
        "queue": asdict(depth) if depth else None,
        "nodes": known.get(),
        "model": tasks_api.model_name,
    }
    if auth.caller().is_admin and settings.flower_url:
        told["flower_url"] = settings.flower_url
    return jsonify(told)


def nodes(figures: Iterable[Metric], now_s: float) -> dict[str, int]:
    """Return the scaler's nodes by state, of those states that there are nodes in.

    Raises:
        NodesUnknown: it tells of none, or has not looked for a while.
    """
    samples = [sample for figure in figures for sample in figure.samples]
    ticks_s = [sample.value for sample in samples if sample.name == "scaler_last_tick_seconds"]
    if not ticks_s or now_s - ticks_s[0] > STALE_S:
        raise NodesUnknown("the scaler has not looked lately")
    counted = {sample.labels["phase"]: int(sample.value) for sample in samples if sample.name == "scaler_nodes"}
    if not counted:
        raise NodesUnknown("the scaler does not know")
    return {phase: count for phase, count in counted.items() if count}
