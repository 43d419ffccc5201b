"""`make run`: the whole system on one machine, in the foreground, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from honcho import manager as honcho

from local.emulators import START_DEADLINE_S, Emulators, answers
from local.processes import Command, start_in, wait_until
from local.provision import provision, provision_nodes
from local.services import Services
from local.settings import LocalSettings, require_free
from scaler.settings import ScalerSettings
from tasks.environment import SettingsError
from tasks.settings import Settings

READY_DEADLINE_S = 60.0
# Nodes are given this long to finish the photos at hand before honcho kills it.
STOP_DEADLINE_S = 20


def run(settings: LocalSettings) -> int:
    """Start everything, print where it is once it is healthy, stop everything on Ctrl-C or SIGTERM.

    Returns:
        The exit status: 0 after Ctrl-C or SIGTERM, else that of the process that ended first.

    Raises:
        SettingsError: a port is in use, or another setting is wrong.
        TimeoutError: the embedded AWS did not start.
    """
    if os.environ.get("CLOUD", "local") != "local":
        raise SettingsError("CLOUD is refused: `make run` runs the embedded AWS; leave it unset")
    _end_on_signals()
    require_free(settings.ports())
    emulators = Emulators(settings.aws_port, settings.ec2_port)
    services = Services(
        emulators, settings.web_port, settings.flower_port, settings.scaler_port, settings.metadata_port
    )
    environ = {**services.defaults, **os.environ, **services.environ}
    celery_settings, scaler_settings = Settings.from_env(environ), ScalerSettings.from_env(environ)
    log_dir = settings.state_dir / "log"
    print("starting the embedded AWS", flush=True)
    with ExitStack() as stack:
        for command in services.emulators.commands(settings.state_dir):
            start_in(stack, command, environ, log_dir)
        wait_until(services.emulators.healthy, START_DEADLINE_S, f"the embedded AWS (logs in {log_dir})")
        provision(celery_settings)
        provision_nodes(celery_settings, scaler_settings.launch_template, environ)
        return _supervise(services, environ, log_dir)


def _end_on_signals() -> None:
    """Let a closed terminal, and SIGTERM before honcho listens to it, end what was started, as Ctrl-C does."""
    here = os.getpid()

    def end(number: int, _frame: object) -> None:
        if os.getpid() != here:  # a fork of honcho's, which ends its process when it is told
            return
        if number == signal.SIGHUP:
            # Nobody reads any more; a failed write would keep the rest from ending.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.dup2(nowhere, sys.stderr.fileno())
            if signal.getsignal(signal.SIGTERM) is not end:
                os.kill(here, signal.SIGTERM)
                return
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)


def _supervise(services: Services, environ: dict[str, str], log_dir: Path) -> int:
    honcho.KILL_WAIT = STOP_DEADLINE_S
    manager = honcho.Manager()
    for command in (services.host(), services.flower()):
        manager.add_process(command.name, _shell_line(command), env={**environ, **command.environ})
    # A line of JSON for each tick and each request would bury all else; what happens they tell on stderr as well.
    for command in (services.web(), services.scaler()):
        quiet = f"{_shell_line(command)} >>{shlex.quote(str(log_dir / f'{command.name}.log'))}"
        manager.add_process(command.name, quiet, env={**environ, **command.environ})
    threading.Thread(target=_announce, args=(services,), daemon=True).start()
    manager.loop()
    stopped_by_user = manager.returncode in {known["rc"] for known in honcho.SIGNALS.values()}
    return 0 if stopped_by_user else int(manager.returncode or 0)


def _shell_line(command: Command) -> str:
    # honcho hands its commands to a shell; exec lets the signals reach the process itself.
    return f"exec {shlex.join(command.argv)}"


def _announce(services: Services) -> None:
    try:
        wait_until(lambda: answers(f"{services.web_url}/healthz"), READY_DEADLINE_S, "the web app")
        wait_until(lambda: answers(f"{services.scaler_url}/healthz"), READY_DEADLINE_S, "the scaler")
        wait_until(lambda: answers(f"{services.flower_url}/healthcheck"), READY_DEADLINE_S, "Flower")
    except TimeoutError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return
    where = (
        f"Ready. Photos: {services.web_url}",
        f"       Flower: {services.flower_url}",
        f"       Scaler: {services.scaler_url}/metrics, or: .venv/bin/python -m scaler status",
        "       The first photo starts the first node. Ctrl-C stops everything.",
    )
    print("\n" + "\n".join(f"  {line}" for line in where) + "\n", flush=True)
