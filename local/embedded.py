"""`python -m local aws`: the embedded AWS alone, with CloudFormation, to deploy to as if it were the real one."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

from local.emulators import DEPLOYMENT_SERVICES, START_DEADLINE_S, Emulators
from local.processes import ended_by_signals, start_in, wait_until
from local.settings import LocalSettings, require_free


def run_aws(settings: LocalSettings) -> int:
    """Start the emulators, print the variables that point at them, stop them on Ctrl-C, SIGTERM or a closed terminal.

    Raises:
        SettingsError: a port is in use.
        TimeoutError: an emulator did not answer in time.
        SystemExit: SIGTERM came, or the terminal was closed.
    """
    require_free({"LOCAL_AWS_PORT": settings.aws_port, "LOCAL_EC2_PORT": settings.ec2_port})
    emulators = Emulators(settings.aws_port, settings.ec2_port, services=DEPLOYMENT_SERVICES)
    log_dir = settings.state_dir / "log"
    with ended_by_signals(), ExitStack() as stack:
        for command in emulators.commands():
            start_in(stack, command, os.environ, log_dir)
        wait_until(emulators.healthy, START_DEADLINE_S, f"the embedded AWS (logs in {log_dir})")
        print("Ready. In another terminal:\n", flush=True)
        print("".join(f"export {name}={value}\n" for name, value in emulators.environ.items()), flush=True)
        signal.pause()
    return 0
