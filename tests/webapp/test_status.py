"""How many nodes there are, as the scaler's figures tell."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from webapp.status import NodesUnknown, nodes

NODES = 'scaler_nodes{phase="ready"} 2.0\nscaler_nodes{phase="booting"} 0.0\n'


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
