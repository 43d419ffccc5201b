"""The service with each process under its own role, on an AWS that enforces IAM."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from local.processes import wait_until
from local.smoke import BROKEN, BROKEN_DATA
from tests.client import Client
from tests.deploy.access_stack import Running, access, running

pytestmark = pytest.mark.stack

DEADLINE_S = 30.0
REFUSALS = ("not authorized", "AccessDenied", "UnauthorizedOperation", "answers 403")


def seen_by_flower(service: Running) -> list[str]:
    """Return the workers that Flower has heard of."""
    answer = requests.get(f"{service.stack.services.flower_url}/workers?json=1", timeout=30)
    return [worker["hostname"] for worker in answer.json()["data"]] if answer.ok else []


def refusals(service: Running) -> list[str]:
    """Return the lines in which a process says that AWS has refused something."""
    return [
        f"{log.name}: {line}"
        for log in service.stack.log_dir.rglob("*.log")
        for line in log.read_text(errors="replace").splitlines()
        if any(word in line for word in REFUSALS)
    ]


def test_the_service_works_under_its_roles(photos: dict[str, bytes], tmp_path: Path) -> None:
    """Web app, node, scaler and Flower do all they have to with no more than their roles allow.

    The node has nothing but its metadata; the other three have a profile and the machine's metadata.
    """
    with access(tmp_path) as made, running(made, tmp_path) as service:
        client = Client(service.stack.services.web_url)
        results = client.wait(client.upload(photos))
        assert all(result["label"] for result in results), results
        assert client.post((BROKEN, BROKEN_DATA)).status_code == 415
        wait_until(lambda: bool(seen_by_flower(service)), DEADLINE_S, "Flower to know the node's worker")
        assert refusals(service) == []
