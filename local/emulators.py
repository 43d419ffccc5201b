"""How the emulated AWS is started: ministack for S3, SQS and SNS, moto for EC2.

Which emulator plays which service was measured, see docs/decisions. They live in an environment of their own
because ministack pins a botocore that the system does not use. With `iam_enforced` every request is held against its
caller's policies, by ministack and, for EC2, by `local.enforcing`; `ACCESS_KEY` may do everything.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path

from local.ports import LOOPBACK, free_port
from local.processes import Command, Supervised, ended_by_signals, start_in, wait_until

ROOT = Path(__file__).resolve().parent.parent
EMULATOR_BIN = ROOT / ".venv-emulators" / "bin"
START_DEADLINE_S = 30.0
KEEP_ALIVE_S = 75
STOP_S = 1
REGION = "us-east-1"
MINISTACK_SERVICES = "s3,sqs,sns,iam,sts"
# With what a deployment's template makes beside them.
DEPLOYMENT_SERVICES = (
    f"cloudformation,{MINISTACK_SERVICES},ec2,logs,monitoring,autoscaling,elasticloadbalancing,secretsmanager,ssm"
)
# Any value does unless IAM is enforced; then this one is the account's root.
ACCESS_KEY = "local"


@dataclass(frozen=True)
class Emulators:
    """Where the emulated AWS listens."""

    aws_port: int
    ec2_port: int
    processes: tuple[Supervised, ...] = ()
    services: str = MINISTACK_SERVICES
    iam_enforced: bool = False

    @property
    def aws_url(self) -> str:
        """The endpoint of S3, SQS and SNS."""
        return f"http://{LOOPBACK}:{self.aws_port}"

    @property
    def ec2_url(self) -> str:
        """The endpoint of EC2, where nobody asks who you are."""
        return f"http://{LOOPBACK}:{self.ec2_port}"

    @property
    def endpoints(self) -> dict[str, str]:
        """The variables that point boto3, and with it the whole system, at these emulators."""
        return {
            # For all others: boto3 and the AWS command line read it.
            "AWS_ENDPOINT_URL": self.aws_url,
            "AWS_ENDPOINT_URL_S3": self.aws_url,
            "AWS_ENDPOINT_URL_SQS": self.aws_url,
            "AWS_ENDPOINT_URL_SNS": self.aws_url,
            "AWS_ENDPOINT_URL_EC2": self.aws_url if self.iam_enforced else self.ec2_url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    @property
    def environ(self) -> dict[str, str]:
        """The same for who may do everything, whom EC2 need not ask who he is."""
        root = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": ACCESS_KEY}
        return self.endpoints | root | {"AWS_ENDPOINT_URL_EC2": self.ec2_url}

    def commands(self, state_dir: Path | None = None) -> tuple[Command, Command]:
        """Return the two emulators' command lines; with `state_dir`, S3, SQS and SNS outlive a restart."""
        ministack_environ = {
            "BIND_HOST": LOOPBACK,
            "GATEWAY_PORT": str(self.aws_port),
            "SERVICES": self.services,
            "IOT_MTLS_ENABLED": "0",
            "LOG_LEVEL": "WARNING",
        }
        if self.iam_enforced:
            ministack_environ |= {"AUTH": "true", "AWS_ACCESS_KEY_ID": ACCESS_KEY, "ENFORCED_EC2_URL": self.ec2_url}
        if state_dir is not None:
            ministack_environ |= {
                "PERSIST_STATE": "1",
                "STATE_DIR": str(state_dir / "state"),
                "S3_PERSIST": "1",
                "S3_DATA_DIR": str(state_dir / "s3"),
            }
        return (
            Command("aws", (str(EMULATOR_BIN / "uvicorn"), *self._ministack_arguments()), ministack_environ),
            Command("ec2", (str(EMULATOR_BIN / "moto_server"), "-H", LOOPBACK, "-p", str(self.ec2_port)), {}),
        )

    def _ministack_arguments(self) -> tuple[str, ...]:
        # uvicorn with its compiled parts takes less CPU time than the server that ministack starts by itself; on one
        # machine that time is the workers'.
        where = ("--host", LOOPBACK, "--port", str(self.aws_port))
        # Long polls are open at every stop; nobody waits for them.
        times = ("--timeout-keep-alive", str(KEEP_ALIVE_S), "--timeout-graceful-shutdown", str(STOP_S))
        quiet = ("--no-server-header", "--no-date-header", "--no-access-log", "--log-level", "warning")
        return (*self._app(), *where, *times, *quiet)

    def _app(self) -> tuple[str, ...]:
        if self.iam_enforced:
            return ("--app-dir", str(ROOT), "local.enforcing:app")
        if "cloudformation" in self.services:
            return ("--app-dir", str(ROOT), "local.cloudformation:app")
        return ("--app-dir", str(ROOT), "local.polling:app")

    def healthy(self) -> bool:
        """Tell whether both emulators answer."""
        return answers(f"{self.aws_url}/_ministack/health") and answers(f"{self.ec2_url}/moto-api/")


def answers(url: str) -> bool:
    """Tell whether `url` answers with a 2xx status within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own http URLs
            return bool(response.status < HTTPStatus.MULTIPLE_CHOICES)
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def running_emulators(
    log_dir: Path, state_dir: Path | None = None, *, services: str = MINISTACK_SERVICES, iam_enforced: bool = False
) -> Iterator[Emulators]:
    """Start both emulators on free ports, wait until they answer, stop them at the end, which a signal may bring.

    Args:
        log_dir: gets a log file per emulator.
        state_dir: what S3, SQS and SNS hold outlives a clean restart here.
        services: those of AWS that are wanted beside EC2, by ministack's names.
        iam_enforced: whether callers may do no more than their policies say.

    Raises:
        TimeoutError: an emulator did not answer in time; its log is in `log_dir`.
        OSError: an emulator could not be started; run `make install`.
        SystemExit: SIGTERM came, or the terminal was closed.
    """
    emulators = Emulators(free_port(), free_port(), services=services, iam_enforced=iam_enforced)
    with ended_by_signals(), ExitStack() as stack:
        started = [start_in(stack, command, os.environ, log_dir) for command in emulators.commands(state_dir)]
        wait_until(emulators.healthy, START_DEADLINE_S, f"the emulators' health (logs in {log_dir})")
        yield replace(emulators, processes=tuple(started))
