"""The scaler's settings: the policy and its limits, what nodes are launched from, how often it looks."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from scaler.state import Limits
from tasks.environment import EnvironmentSettings

DEFAULTS = Limits()


class ScalerSettings(EnvironmentSettings):
    """What the scaler is run with, beside the settings that everything on Celery shares."""

    policy: Literal["drain_time", "load_factor"] = Field(
        "drain_time", alias="POLICY", description="how the desired capacity is found: see docs/scaling.md"
    )
    min_nodes: int = Field(DEFAULTS.min_nodes, alias="MIN_NODES", ge=0, le=10_000, description="fewest nodes")
    max_nodes: int = Field(
        DEFAULTS.max_nodes,
        alias="MAX_NODES",
        ge=1,
        le=10_000,
        description="cap on nodes, those that start and stop included",
    )
    max_launches_per_tick: int = Field(
        DEFAULTS.max_launches_per_tick, alias="MAX_LAUNCHES", ge=1, le=1000, description="most nodes launched at a time"
    )
    target_drain_s: float = Field(
        DEFAULTS.target_drain_s,
        alias="TARGET_DRAIN_S",
        gt=0,
        description="`drain_time`: seconds in which the queue should be empty",
    )
    load_factor: float = Field(
        DEFAULTS.load_factor, alias="LOAD_FACTOR", gt=0, description="`load_factor`: messages for each node"
    )
    tick_s: float = Field(
        5.0, alias="TICK_S", ge=0.2, le=300, description="seconds from one look at the queue to the next"
    )
    idle_s: float = Field(
        DEFAULTS.idle_s, alias="IDLE_S", ge=0, description="seconds without a task after which a node may be drained"
    )
    surplus_ticks: int = Field(
        DEFAULTS.surplus_ticks,
        alias="SURPLUS_TICKS",
        ge=1,
        description="ticks in a row with too many nodes before a drain",
    )
    drain_grace_s: float = Field(
        DEFAULTS.drain_grace_s,
        alias="DRAIN_GRACE_S",
        ge=0,
        description="seconds in which a drain can be taken back before the node powers off",
    )
    boot_deadline_s: float = Field(
        DEFAULTS.boot_deadline_s,
        alias="BOOT_DEADLINE_S",
        gt=0,
        description="seconds for a new node to join, or it is replaced",
    )
    silent_deadline_s: float = Field(
        DEFAULTS.silent_deadline_s,
        alias="SILENT_DEADLINE_S",
        gt=0,
        description="seconds without an answer after which a node is replaced",
    )
    poweroff_deadline_s: float = Field(
        DEFAULTS.poweroff_deadline_s,
        alias="POWEROFF_DEADLINE_S",
        gt=0,
        description="seconds for a node that was told to power off, or it is terminated",
    )
    initial_task_s: float = Field(
        DEFAULTS.initial_task_s,
        alias="INITIAL_TASK_S",
        gt=0,
        description="seconds a task takes, until that is measured",
    )
    initial_boot_s: float = Field(
        DEFAULTS.initial_boot_s,
        alias="INITIAL_BOOT_S",
        ge=0,
        description="seconds a node takes to join, until that is measured",
    )
    control_timeout_s: float = Field(
        1.5, alias="CONTROL_TIMEOUT_S", gt=0, le=60, description="seconds that workers have to answer"
    )
    launch_template: str = Field(
        "classifier-node",
        alias="LAUNCH_TEMPLATE",
        pattern=r"^[A-Za-z0-9().\-/_]{3,128}$",
        description="EC2 launch template of a node",
    )
    launch_template_version: str = Field(
        DEFAULTS.template_version,
        alias="LAUNCH_TEMPLATE_VERSION",
        pattern=r"^(\$Default|\$Latest|[1-9][0-9]*)$",
        description="its version; nodes that were launched from another are replaced, if it is a number",
    )
    instance_types: str = Field(
        "c7i.large,c6i.large,m7i.large",
        alias="INSTANCE_TYPES",
        pattern=r"^[a-z0-9.\-]+(,[a-z0-9.\-]+)*$",
        description="EC2 instance types, best first",
    )
    subnets: str = Field(
        "",
        alias="SUBNETS",
        pattern=r"^(subnet-[0-9a-f]+(,subnet-[0-9a-f]+)*)?$",
        description="subnets of the nodes; empty: the launch template's",
    )
    purchase: Literal["spot", "on-demand", "spot-with-fallback"] = Field(
        "spot-with-fallback",
        alias="PURCHASE",
        description="`spot`, `on-demand`, or spot and on-demand where there is none",
    )
    node_usd_per_hour: float = Field(
        0.08925, alias="NODE_USD_PER_HOUR", ge=0, description="price of a node, for the estimated cost alone"
    )
    lease_s: float = Field(
        30.0, alias="LEASE_S", gt=0, description="seconds after which a second scaler takes over from one that is gone"
    )
    port: int = Field(
        8100, alias="SCALER_PORT", ge=1, le=65_535, description="port of the scaler's /metrics and /healthz"
    )
    host: str = Field("127.0.0.1", alias="SCALER_HOST", description="address of the scaler's /metrics and /healthz")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.min_nodes > self.max_nodes:
            raise ValueError(f"MIN_NODES={self.min_nodes} is refused: it should be at most MAX_NODES={self.max_nodes}")
        if self.lease_s < 3 * self.tick_s:
            raise ValueError(
                f"LEASE_S={self.lease_s:g} is refused: it should be at least three times TICK_S={self.tick_s:g}, "
                "or a slow tick loses the lease"
            )
        return self

    def limits(self, *, node_slots: int) -> Limits:
        """Return what decisions need; `node_slots` are the tasks that a node runs at a time, until the first has said."""
        return Limits(
            policy=self.policy,
            min_nodes=self.min_nodes,
            max_nodes=self.max_nodes,
            max_launches_per_tick=self.max_launches_per_tick,
            target_drain_s=self.target_drain_s,
            load_factor=self.load_factor,
            idle_s=self.idle_s,
            surplus_ticks=self.surplus_ticks,
            drain_grace_s=self.drain_grace_s,
            boot_deadline_s=self.boot_deadline_s,
            silent_deadline_s=self.silent_deadline_s,
            poweroff_deadline_s=self.poweroff_deadline_s,
            template_version=self.launch_template_version,
            initial_task_s=self.initial_task_s,
            initial_boot_s=self.initial_boot_s,
            node_slots=node_slots,
        )
