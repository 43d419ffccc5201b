"""The ports of the one-machine stack."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from local.ports import LOOPBACK, free_port
from local.settings import MAX_PORT, require_free
from tasks.environment import SettingsError

NAMES = ("WEB_PORT", "FLOWER_PORT", "SCALER_PORT")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def suggestion(ports: dict[str, int]) -> dict[str, int]:
    """Return the setting that the refusal of some ports suggests; none if they are taken."""
    try:
        require_free(ports)
    except SettingsError as error:
        found = re.search(r"e\.g\. (\w+)=(\d+)$", str(error))
        assert found is not None
        return {found[1]: int(found[2])}
    return {}


def test_suggestions_lead_to_ports_that_all_can_be_listened_on(taken: int) -> None:
    """Who follows each suggestion, as in a second clone, ends with ports that serve all processes at the same time."""
    ports = dict.fromkeys(NAMES, taken)
    for _name in NAMES:
        ports |= suggestion(ports)
    require_free(ports)
    with ExitStack() as servers:
        for port in ports.values():
            servers.enter_context(socket.create_server((LOOPBACK, port)))


def test_a_port_chosen_twice_is_refused() -> None:
    """Two processes cannot listen on one port: the second setting is named, with the first one."""
    port, other = free_port(), free_port()
    ports = {"WEB_PORT": port, "FLOWER_PORT": other, "SCALER_PORT": port}
    with pytest.raises(SettingsError, match=rf"^SCALER_PORT={port} is refused: WEB_PORT is the same port; choose"):
        require_free(ports)
    require_free(ports | suggestion(ports))


def test_the_last_port_has_a_suggestion_that_is_a_port() -> None:
    """There is no port after 65535."""
    (suggested,) = suggestion({"WEB_PORT": MAX_PORT, "SCALER_PORT": MAX_PORT}).values()
    assert 0 < suggested < MAX_PORT
