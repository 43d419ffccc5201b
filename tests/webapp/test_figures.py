"""What the figures at /metrics are told by."""

from __future__ import annotations

from tests.access import guarded_app


def test_invented_methods_have_no_figures_of_their_own() -> None:
    """Figures are kept as long as the process: anybody could fill its memory with new names."""
    client = guarded_app().test_client()
    for method in ("BREW", "WHEN", "TRACE", "get"):
        assert client.open("/about", method=method).status_code == 405
    assert client.get("/about").status_code == 200
    lines = client.get("/metrics").get_data(as_text=True).splitlines()
    counted = {line for line in lines if line.startswith("web_http_request_total{")}
    assert counted == {
        'web_http_request_total{method="OTHER",status="405"} 4.0',
        'web_http_request_total{method="GET",status="200"} 1.0',
    }
