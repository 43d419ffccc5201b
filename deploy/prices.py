"""What AWS asks for what the system uses: read from a file that says where each price is from."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.errors import DeployError

FOLDER = Path(__file__).resolve().parent
PRICES = FOLDER / "prices.toml"
MEASURED = FOLDER / "measured.toml"
HOURS_A_MONTH = 730.0


@dataclass(frozen=True)
class Prices:
    """Prices in US dollars.

    Attributes:
        region: that they hold for.
        values: of each service, by the names in `prices.toml`.
    """

    region: str
    values: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path = PRICES) -> Prices:
        """Read a file of prices.

        Raises:
            DeployError: it cannot be read.
        """
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise DeployError(f"prices cannot be read from {path}: {error}") from None
        return cls(str(values.pop("region", "")), values)

    def of(self, service: str, what: str) -> float:
        """Return a price.

        Raises:
            DeployError: the file does not have it.
        """
        try:
            return float(self.values[service][what])
        except KeyError:
            raise DeployError(f"the prices lack {service}.{what}: add it to the file (deploy/prices.toml)") from None

    def instance_hour(self, instance_type: str) -> float:
        """Return what an instance costs an hour on demand.

        Raises:
            DeployError: the file does not have it.
        """
        hours = self.values.get("ec2", {}).get("hour", {})
        if instance_type not in hours:
            raise DeployError(f"the prices lack {instance_type}: add it under [ec2.hour] (deploy/prices.toml)")
        return float(hours[instance_type])

    def request(self, action: str) -> float:
        """Return what one request costs, by its name in `bench.requests`, such as ``S3 GET``.

        >>> Prices.read().request("S3 DELETE")
        0.0
        """
        service, _space, verb = action.partition(" ")
        if service != "S3":
            return self.of(service.lower(), "request")
        if verb == "DELETE":
            return 0.0
        return self.of("s3", "put" if verb in {"PUT", "POST", "COPY", "LIST"} else "get")


@dataclass(frozen=True)
class Measured:
    """What a node was seen to do.

    Attributes:
        photos_per_s: that it classifies.
        workers: processes that it runs.
        photo_bytes: of a photo, on average.
    """

    photos_per_s: float
    workers: int
    photo_bytes: float

    @classmethod
    def read(cls, path: Path = MEASURED) -> Measured:
        """Read what was measured."""
        values = tomllib.loads(path.read_text())
        return cls(values["node"]["photos_per_s"], values["node"]["workers"], values["photo"]["bytes"])
