"""The settings of the one-machine stack itself: which ports it listens on and where it keeps its state."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from pathlib import Path

from pydantic import Field

from local.emulators import ROOT
from local.ports import is_free
from tasks.environment import EnvironmentSettings, SettingsError

# Those below are root's: https://man7.org/linux/man-pages/man7/ip.7.html (ip_unprivileged_port_start)
FIRST_USER_PORT = 1024
MAX_PORT = 65_535


class LocalSettings(EnvironmentSettings):
    """Ports and the state folder of `make run`."""

    web_port: int = Field(8000, alias="WEB_PORT", ge=1, le=MAX_PORT, description="port of the page and the API")
    flower_port: int = Field(5555, alias="FLOWER_PORT", ge=1, le=MAX_PORT, description="port of Flower")
    scaler_port: int = Field(
        8100, alias="SCALER_PORT", ge=1, le=MAX_PORT, description="port of the scaler's /metrics and /healthz"
    )
    aws_port: int = Field(
        4566, alias="LOCAL_AWS_PORT", ge=1, le=MAX_PORT, description="port of the emulated S3, SQS and SNS"
    )
    ec2_port: int = Field(4567, alias="LOCAL_EC2_PORT", ge=1, le=MAX_PORT, description="port of the emulated EC2")
    metadata_port: int = Field(
        4568, alias="LOCAL_METADATA_PORT", ge=1, le=MAX_PORT, description="port of the nodes' metadata service"
    )
    state_dir: Path = Field(
        ROOT / ".local", alias="LOCAL_STATE_DIR", description="folder of the stack's state and logs"
    )

    def ports(self) -> dict[str, int]:
        """Return every port by the name of its setting."""
        return {
            str(field.alias): getattr(self, name)
            for name, field in type(self).model_fields.items()
            if name.endswith("_port")
        }


def require_free(ports: Mapping[str, int]) -> None:
    """Refuse the first port, by its setting's name, that is in use or another setting's, too.

    Raises:
        SettingsError: there is one; the message suggests one that is neither.
    """
    owners: dict[int, str] = {}
    for name, port in ports.items():
        owner = owners.setdefault(port, name)
        if owner != name:
            problem = f"{owner} is the same port"
        elif not is_free(port):
            problem = "the port is in use"
        else:
            continue
        suggestion = f"{name}={_next_free(port, ports.values())}"
        raise SettingsError(f"{name}={port} is refused: {problem}; choose another, e.g. {suggestion}")


def _next_free(port: int, chosen: Collection[int]) -> int:
    candidates = chain(range(port + 1, MAX_PORT + 1), range(FIRST_USER_PORT, port))
    return next(other for other in candidates if other not in chosen and is_free(other))
