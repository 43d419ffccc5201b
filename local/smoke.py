"""`make smoke`: real photographs and a broken file through the service, and a table of what came back.

The service is a stack of its own, a deployed one, or whatever answers at an address.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
import urllib3

from local.photographs import photographs
from local.stack import Stack, running_stack

# A deployed stack without a node has to boot one first.
RESULT_DEADLINE_S = 600.0
POLL_S = 0.05
BROKEN = "broken.jpg"
# A JPEG's first bytes and nothing of a photo after them.
BROKEN_DATA = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x00" * 64


@dataclass(frozen=True)
class Service:
    """Where the service answers.

    Attributes:
        url: its address.
        headers: of each request, with a key where one is needed.
        verify: whether its certificate is held against those of the known authorities.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    verify: bool = True

    def __post_init__(self) -> None:
        if not self.verify:
            # Who asks for it knows.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

    def post(self, files: list[tuple[str, tuple[str, bytes]]]) -> requests.Response:
        """Send photos."""
        url = f"{self.url}/classify"
        return requests.post(url, files=files, headers=self.headers, verify=self.verify, timeout=60)

    def get(self, path: str) -> requests.Response:
        """Ask for something."""
        return requests.get(f"{self.url}{path}", headers=self.headers, verify=self.verify, timeout=10)


@dataclass(frozen=True)
class Row:
    """What became of one photo."""

    name: str
    label: str
    confidence: float | None
    elapsed_ms: float
    error: str


def smoke() -> int:
    """Run the photographs through a fresh stack and print the table.

    Returns:
        0 if every photograph got a label and the broken file a clear error, else 1.
    """
    with TemporaryDirectory(prefix="smoke-") as folder, running_stack(Path(folder)) as stack:
        return smoke_service(_started(stack))


def smoke_service(service: Service) -> int:
    """Run the photographs through a service that runs already; print the table.

    Returns:
        0 if every photograph got a label and the broken file a clear error, else 1.

    Raises:
        RuntimeError: it does not answer, or refuses the photos.
    """
    try:
        rows = [*_classify(service, photographs()), _classify_broken(service)]
    except requests.exceptions.SSLError:
        raise RuntimeError(f"the certificate of {service.url} is not trusted; --insecure takes any") from None
    except (requests.ConnectionError, requests.Timeout):
        raise RuntimeError(f"{service.url} does not answer; may this address reach it (AllowedCidr)?") from None
    except requests.HTTPError as error:
        raise RuntimeError(f"{service.url} answers {error.response.status_code}: {error.response.text[:200]}") from None
    except requests.RequestException as error:
        raise RuntimeError(f"{service.url}: {error}") from None
    _print_table(rows)
    good = [row for row in rows if row.name != BROKEN]
    passed = all(row.label for row in good) and bool(rows[-1].error) and not rows[-1].label
    print(
        f"\n{sum(bool(row.label) for row in good)} of {len(good)} photographs labelled; {'passed' if passed else 'FAILED'}"
    )
    return 0 if passed else 1


@contextmanager
def service_of_stack(name: str, headers: Mapping[str, str], *, start: bool, verify: bool) -> Iterator[Service]:
    """Return the service of a deployed stack.

    Args:
        name: of the stack.
        headers: with a key.
        start: whether web app and worker are started here, with the settings that the stack's outputs give and the
            caller's own permissions: an emulator boots no machines.
        verify: as the service's.

    Raises:
        DeployError: there is no such stack.
    """
    from deploy.aws import Aws
    from deploy.stacks import require
    from local.deployed import attached

    aws = Aws.connect()
    deployed = require(aws.cloudformation, name)
    if not start:
        yield Service(deployed.output("WebUrl"), headers, verify)
        return
    with TemporaryDirectory(prefix="smoke-") as folder, attached(deployed, aws.region, Path(folder)) as stack:
        yield _started(stack)


def _started(stack: Stack) -> Service:
    stack.start_web()
    stack.start_worker()
    return Service(stack.services.web_url)


def _classify(service: Service, photos: Mapping[str, bytes]) -> list[Row]:
    begin_s = time.monotonic()
    answer = service.post([("img", (name, data)) for name, data in photos.items()])
    answer.raise_for_status()
    body = answer.json()
    refused = [Row(entry["name"], "", None, 0.0, entry["error"]) for entry in body["rejected"]]
    return refused + [_await(service, task["name"], task["result_url"], begin_s) for task in body["tasks"]]


def _classify_broken(service: Service) -> Row:
    begin_s = time.monotonic()
    answer = service.post([("img", (BROKEN, BROKEN_DATA))])
    if answer.ok:
        return _await(service, BROKEN, answer.json()["tasks"][0]["result_url"], begin_s)
    return Row(BROKEN, "", None, 1000 * (time.monotonic() - begin_s), answer.json()["error"])


def _await(service: Service, name: str, result_url: str, begin_s: float) -> Row:
    while time.monotonic() < begin_s + RESULT_DEADLINE_S:
        answer = service.get(result_url)
        body = answer.json()
        elapsed_ms = 1000 * (time.monotonic() - begin_s)
        if answer.status_code == requests.codes.ok:
            return Row(name, body.get("label", ""), body.get("confidence"), elapsed_ms, body.get("error", ""))
        time.sleep(POLL_S)
    return Row(name, "", None, 1000 * RESULT_DEADLINE_S, "no result in time")


def _print_table(rows: list[Row]) -> None:
    width = max(len(row.name) for row in rows)
    print(f"{'photo':<{width}}  {'label':<12}  confidence       ms", file=sys.stdout)
    for row in rows:
        confidence = "" if row.confidence is None else f"{100 * row.confidence:8.1f} %"
        print(f"{row.name:<{width}}  {row.label:<12}  {confidence:<10}  {row.elapsed_ms:7.0f}  {row.error}")
