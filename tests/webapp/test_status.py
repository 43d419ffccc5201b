"""How many nodes there are, as the scaler's figures tell."""

from __future__ import annotations

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.counting_proxy import Answer, counting_proxy
from local.ports import LOOPBACK, free_port
from webapp import create_app
from webapp.settings import WebSettings
from webapp.status import NodesUnknown, nodes

NODES = 'scaler_nodes{phase="ready"} 2.0\nscaler_nodes{phase="booting"} 0.0\n'
LOOKED = "scaler_last_tick_seconds NOW\n"


def counted(text: str, now_s: float = 1000.0) -> dict[str, int]:
    """Read figures."""
    return nodes(text_string_to_metric_families(text), now_s)


def test_nodes_are_counted_by_phase() -> None:
    """Phases that no node is in are left out."""
    assert counted(f"scaler_last_tick_seconds 990.0\n{NODES}") == {"ready": 2}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(NODES, id="never-looked"),
        pytest.param(f"scaler_last_tick_seconds 900.0\n{NODES}", id="not-lately"),
        pytest.param("scaler_last_tick_seconds 990.0\n", id="could-not-see-any"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_the_scaler_does_not_know_is_not_zero(text: str) -> None:
    """There may be nodes: nobody can tell."""
    with pytest.raises(NodesUnknown):
        counted(text)


@pytest.mark.parametrize(
    ("status", "text", "known"),
    [
        pytest.param(200, LOOKED + NODES, {"ready": 2}, id="scaler"),
        pytest.param(500, LOOKED + NODES, None, id="scaler-in-trouble"),
        pytest.param(200, "<!doctype html>\n<b>Hello</b>\n", None, id="page"),
        pytest.param(200, "\xff", None, id="no-text"),
        pytest.param(200, LOOKED + 'scaler_nodes{state="a"} 1\n', None, id="other-labels"),
        pytest.param(200, LOOKED + 'scaler_nodes{phase="a"} +Inf\n', None, id="no-number"),
    ],
)
def test_whatever_answers_at_the_scalers_address_is_no_error(
    status: int, text: str, known: dict[str, int] | None
) -> None:
    """What is no scaler's answer means "not known"."""
    with counting_proxy(f"http://{LOOPBACK}:{free_port()}") as scaler:
        body = text.replace("NOW", str(time.time())).encode("latin-1")
        scaler.instead = lambda _call: Answer(status, body)
        app = create_app(WebSettings.from_env({"SCALER_URL": scaler.url}))
        assert app.extensions["nodes"].get() == known
