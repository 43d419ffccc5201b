"""Writes what a machine's units read, from the settings that UserData exports: `python -m deploy.machine.settings node DIR`.

A setting that is wrong ends the boot here, with one line that names it. Secrets are no settings: `secrets.sh`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tasks.environment import EnvironmentSettings, SettingsError
from tasks.node.settings import STOP_MARGIN_S, NodeSettings
from tasks.settings import Settings

# Each machine's metadata and each unit say these.
OF_THE_MACHINE = {"INSTANCE_ID", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "POWER_OFF_COMMAND"}
# A machine that has just started waits for its role's keys. Without the first, a worker's output comes in lumps.
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-imds-client.html
ALWAYS = {
    "PYTHONUNBUFFERED": "1",
    "AWS_METADATA_SERVICE_TIMEOUT": "5",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "4",
}
# The app is behind the nginx of its own machine.
BEHIND_NGINX = {"WEB_PROXIES": "1", "FLOWER_URL": "/flower/"}
OWNER_ALONE = 0o600
# The agent kills what does not end in time; systemd ends the agent only if it fails to.
STOP_SPARE_S = 15


def settings_file(kind: str, environ: Mapping[str, str]) -> str:
    """Return the file of settings of a machine of `kind`, in the syntax of systemd's EnvironmentFile.

    Raises:
        SettingsError: a setting is wrong.
    """
    environ = {**environ, **(BEHIND_NGINX if kind == "web" else {})}
    settings = [known.from_env(environ) for known in _kinds(kind)]
    names = {str(field.alias) for known in settings for field in type(known).model_fields.values()} - OF_THE_MACHINE
    given = {name: environ[name] for name in sorted(names) if environ.get(name)} | ALWAYS
    return "".join(f"{name}={quoted(value)}\n" for name, value in given.items())


def stop_file(environ: Mapping[str, str]) -> str:
    """Return the part of the node's unit that lets its workers finish the longest task that the settings allow.

    Raises:
        SettingsError: a setting is wrong.
    """
    settings = Settings.from_env(environ)
    stop_s = settings.task_time_limit_s + settings.poll_wait_s + STOP_MARGIN_S + STOP_SPARE_S
    return f"[Service]\nTimeoutStopSec={stop_s:.0f}\n"


def quoted(value: str) -> str:
    r"""Return a value as an EnvironmentFile quotes it.

    https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html#EnvironmentFile=

    >>> print(quoted('it costs $5 "net"'))
    "it costs \$5 \"net\""
    """
    if "\n" in value:
        raise SettingsError(f"{value!r} is refused: a setting is one line")
    return '"' + "".join(f"\\{sign}" if sign in '\\"$`' else sign for sign in value) + '"'


def _kinds(kind: str) -> tuple[type[EnvironmentSettings], ...]:
    if kind == "node":
        return Settings, NodeSettings
    # A node's boot waits for nothing that it does not need.
    from scaler.settings import ScalerSettings
    from webapp.settings import WebSettings

    return Settings, ScalerSettings, WebSettings


def main(kind: str, folder: Path) -> int:
    """Write `settings.env`, and the units' `stop.conf`, into `folder`; return the exit status."""
    try:
        texts = {"settings.env": settings_file(kind, os.environ), "stop.conf": stop_file(os.environ)}
    except SettingsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    for name, text in texts.items():
        (folder / name).touch(mode=OWNER_ALONE)
        (folder / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
