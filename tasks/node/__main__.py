"""Starts a node's agent: `python -m tasks.node`. Ends with status 0 unless the node does not work."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys

from tasks.environment import SettingsError
from tasks.node.agent import Agent
from tasks.node.cloud import Cloud
from tasks.node.imds import Metadata, MetadataError
from tasks.node.judge import Ending, Limits
from tasks.node.settings import STOP_MARGIN_S, NodeSettings
from tasks.node.workers import WorkerProcesses, worker_command
from tasks.settings import Settings

log = logging.getLogger("tasks.node")


def main() -> int:
    """Run the agent; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s agent: %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    try:
        settings, node = Settings.from_env(os.environ), NodeSettings.from_env(os.environ)
        os.environ.update(settings.aws_environ)
        metadata = Metadata(node.metadata_url)
        instance_id = node.instance_id or metadata.instance_id()
    except (SettingsError, MetadataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    # The workers' node names, and what they ask AWS for themselves, go by it.
    os.environ["INSTANCE_ID"] = instance_id
    ending = _run(settings, node, metadata, instance_id)
    log.info("the node ends: %s", ending.reason)
    if ending.power_off and (command := node.power_off(settings.cloud)):
        log.info("powering off: %s", command)
        subprocess.run(shlex.split(command), check=True)  # noqa: S603 - the operator's own command
    return 1 if ending.failed else 0


def _run(settings: Settings, node: NodeSettings, metadata: Metadata, instance_id: str) -> Ending:
    agent = Agent(
        names=tuple(f"w{number}@{instance_id}" for number in range(1, settings.node_workers + 1)),
        processes=WorkerProcesses(lambda name: worker_command(name, settings.worker_app)),
        metadata=metadata,
        cloud=Cloud(settings),
        notice_poll_s=node.notice_poll_s,
        safety_net_s=node.safety_net_s,
        limits=Limits(stop_deadline_s=settings.task_time_limit_s + settings.poll_wait_s + STOP_MARGIN_S),
    )

    def stop(*_signal: object) -> None:
        agent.asked = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return agent.run()


if __name__ == "__main__":
    sys.exit(main())
