"""The web tier's settings of who may use it, and how often."""

from __future__ import annotations

import ipaddress
import secrets
from typing import Self

from pydantic import Field, PrivateAttr, model_validator

from tasks.api import owner_tag
from tasks.environment import EnvironmentSettings
from webapp.keys.source import KeySource

LEAST_SECRET_CHARS = 32


class AccessSettings(EnvironmentSettings):
    """Who may use the web app, from where, and how often."""

    host: str = Field("127.0.0.1", alias="WEB_HOST", description="address that the web app listens on")
    proxies: int = Field(
        0, alias="WEB_PROXIES", ge=0, le=5, description="reverse proxies in front, whose X-Forwarded-For is believed"
    )
    api_keys: str = Field(
        "", alias="API_KEYS", description="API keys as `name:role:sha256`, separated by spaces; needed off loopback"
    )
    api_keys_file: str = Field("", alias="API_KEYS_FILE", description="file with more such keys, one to a line")
    secret_key: str = Field(
        "", alias="WEB_SECRET_KEY", description="signs sessions and share links; empty: made anew at each start"
    )
    rate_limit_per_min: int = Field(
        3000, alias="RATE_LIMIT_PER_MIN", ge=1, description="requests a minute of one key's holder, or one address"
    )
    share_days: int = Field(7, alias="SHARE_DAYS", ge=1, le=365, description="days that a shared link to a batch opens")

    # Made with the settings, before gunicorn forks: all its processes sign alike.
    _made_secret: str = PrivateAttr(default_factory=lambda: secrets.token_hex(LEAST_SECRET_CHARS))
    _keys: KeySource = PrivateAttr()

    @property
    def signing_key(self) -> str:
        """What sessions and share links are signed with."""
        return self.secret_key or self._made_secret

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can reach the app."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:  # a name: it may mean any address
            return False

    @property
    def keys(self) -> KeySource:
        """The API keys that are taken."""
        return self._keys

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._keys = KeySource(self.api_keys, self.api_keys_file, owner_tag)
        if not self._keys.ring() and not self.is_loopback:
            raise ValueError(
                f"API_KEYS or API_KEYS_FILE is needed: WEB_HOST={self.host} lets other machines in "
                "(make a key with `python -m webapp.keys new NAME`)"
            )
        if self.secret_key and len(self.secret_key) < LEAST_SECRET_CHARS:
            raise ValueError(f"WEB_SECRET_KEY is too short: give it {LEAST_SECRET_CHARS} random characters or more")
        return self
