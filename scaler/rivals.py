"""Other autoscalers' rules, to compare with: they decide from the same samples, in the simulation alone.

Each is a little better here than in life: it is never late, and gets any number of nodes at once.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from scaler.measure import measured
from scaler.state import Decision, History, Limits, Node, Phase, Sample

COUNTED = frozenset({Phase.BOOTING, Phase.READY})


def to(desired: int, sample: Sample, limits: Limits) -> Decision:
    """Return the decision to have that many nodes, as a scaler without drain takes it: it ends any, the oldest first.

    That is what an Auto Scaling group does, whose nodes are not protected:
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
    """
    nodes: tuple[Node, ...] = sample.nodes or ()
    bounded = min(max(desired, limits.min_nodes), limits.max_nodes)
    oldest_first = sorted(nodes, key=lambda node: (node.launched_at_s, node.id))
    surplus = oldest_first[: max(0, len(nodes) - bounded)]
    return Decision(launch=max(0, bounded - len(nodes)), replace=tuple(node.id for node in surplus), desired=bounded)


@dataclass
class Keda:
    """Like KEDA with the SQS scaler: a node for so many messages, and the highest wish of five minutes counts.

    The counts and windows are its defaults: messages in flight count, the HPA's downscale stabilisation and the
    cooldown to zero are 300 s. https://keda.sh/docs/latest/scalers/aws-sqs/
    https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
    """

    messages_per_node: float
    window_s: float = 300.0
    _wishes: deque[tuple[float, int]] = field(default_factory=deque, repr=False)

    def __call__(self, sample: Sample, history: History, limits: Limits) -> tuple[Decision, History]:
        """Decide like it."""
        if sample.backlog is None:
            return Decision(held=True), history
        messages = sample.backlog.visible + sample.backlog.in_flight
        wish = math.ceil(messages / self.messages_per_node)
        while self._wishes and self._wishes[-1][1] <= wish:
            self._wishes.pop()
        self._wishes.append((sample.now_s, wish))
        while self._wishes[0][0] <= sample.now_s - self.window_s:
            self._wishes.popleft()
        return to(self._wishes[0][1], sample, limits), history


@dataclass
class TargetTracking:
    """Like AWS target tracking on the backlog of each instance, with the target that AWS' guide computes.

    The target is the acceptable wait divided by a task's time, for each slot. Three minutes above it add nodes,
    fifteen below nine tenths of it take nodes away. At zero nodes the metric is undefined, so one stays.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-using-sqs-queue.html
    """

    period_s: float = 60.0
    high_periods: int = 3
    low_periods: int = 15
    low_share: float = 0.9
    _metrics: deque[float] = field(default_factory=lambda: deque(maxlen=15), repr=False)
    _next_s: float = 0.0
    _desired: int = 1

    def __call__(self, sample: Sample, history: History, limits: Limits) -> tuple[Decision, History]:
        """Decide like it."""
        if sample.backlog is None or sample.nodes is None:
            return Decision(held=True), history
        if sample.now_s >= self._next_s:
            self._next_s = sample.now_s + self.period_s
            self._period(sample, history, limits)
        return to(self._desired, sample, limits), history

    def _period(self, sample: Sample, history: History, limits: Limits) -> None:
        serving = sum(node.phase is Phase.READY for node in sample.nodes or ())
        if serving == 0 or sample.backlog is None:
            return
        learned = measured(history, sample, limits)
        target = limits.target_drain_s * learned.slots / learned.task_s
        self._metrics.append(sample.backlog.visible / serving / target)
        metrics = list(self._metrics)
        if len(metrics) >= self.high_periods and min(metrics[-self.high_periods :]) > 1:
            self._set(math.ceil(serving * metrics[-1]), limits)
        elif len(metrics) == self.low_periods and max(metrics) < self.low_share:
            self._set(math.ceil(serving * metrics[-1]), limits)
            self._metrics.clear()

    def _set(self, desired: int, limits: Limits) -> None:
        self._desired = min(max(1, desired), limits.max_nodes)
