"""The settings of a node's agent."""

from __future__ import annotations

from pydantic import Field

from tasks.environment import EnvironmentSettings

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
METADATA_URL = "http://169.254.169.254"
AWS_POWER_OFF_COMMAND = "sudo shutdown -h now"
# What a worker needs at most to end beside its longest task: its open poll, and what it gives back.
STOP_MARGIN_S = 30.0


class NodeSettings(EnvironmentSettings):
    """What the agent needs beside the settings that everything on Celery shares."""

    instance_id: str = Field(
        "",
        alias="INSTANCE_ID",
        pattern=r"^i-[0-9a-f]+$",
        description="the node's EC2 instance id; empty: what the instance's metadata say",
    )
    metadata_url: str = Field(
        METADATA_URL,
        alias="AWS_EC2_METADATA_SERVICE_ENDPOINT",
        pattern=r"^https?://\S+$",
        description="base URL of the instance's metadata (AWS's own variable)",
    )
    notice_poll_s: float = Field(
        5.0,
        alias="NOTICE_POLL_S",
        ge=0.1,
        le=60,
        description="seconds from one look for a spot or rebalance notice to the next",
    )
    safety_net_s: float = Field(
        900.0,
        alias="SAFETY_NET_S",
        gt=0,
        description="seconds without a scaler and with an empty queue after which a node powers itself off",
    )
    power_off_command: str = Field(
        "",
        alias="POWER_OFF_COMMAND",
        description=f"powers the machine off; empty: `{AWS_POWER_OFF_COMMAND}` with `CLOUD=aws`, else the agent just ends",
    )

    def power_off(self, cloud: str) -> str:
        """Return the command that powers the machine off; empty where the agent's end is all it takes."""
        return self.power_off_command or (AWS_POWER_OFF_COMMAND if cloud == "aws" else "")
