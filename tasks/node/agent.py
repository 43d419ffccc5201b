"""The agent's loop: observe, judge, act. What it does with processes and the cloud is in modules of their own."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field

from tasks.node.cloud import Cloud
from tasks.node.imds import Metadata
from tasks.node.judge import Ending, Limits, Memory, Observation, Verdict, judge
from tasks.node.safety_net import Watch
from tasks.node.workers import WorkerProcesses

# How soon an ended worker is seen. It costs a `waitpid` a worker.
TICK_S = 0.25
# The safety net looks so often within its time, but no more often than once a second, and at least once a minute.
LOOKS = 10
MOST_OFTEN_S = 1.0
LEAST_OFTEN_S = 60.0

log = logging.getLogger(__name__)


@dataclass
class Agent:
    """One node's agent.

    Attributes:
        names: of the workers.
        processes: runs them.
        metadata: of the instance.
        cloud: the lease and the queue.
        notice_poll_s: seconds from one look for a notice to the next.
        safety_net_s: seconds after which the node is given up.
        limits: how much the agent bears.
        asked: set by whoever wants it to stop: a signal handler.
    """

    names: tuple[str, ...]
    processes: WorkerProcesses
    metadata: Metadata
    cloud: Cloud
    notice_poll_s: float
    safety_net_s: float
    limits: Limits
    asked: bool = False
    _watch: Watch = field(default_factory=Watch)
    _next_notice_s: float = 0.0
    _next_watch_s: float = field(default_factory=time.monotonic)
    _notice: str = ""

    def run(self) -> Ending:
        """Keep the workers running until there is a reason to end; return it once none of them runs."""
        memory = Memory.of(self.names)
        while True:
            verdict, memory = judge(self._observe(), memory, self.limits)
            self._act(verdict)
            if verdict.end is not None:
                return verdict.end
            time.sleep(TICK_S)

    def _observe(self) -> Observation:
        ended = self.processes.ended()
        now_s = time.monotonic()
        if now_s >= self._next_notice_s:
            self._notice = self.metadata.notice()
            self._next_notice_s = now_s + self.notice_poll_s
        if now_s >= self._next_watch_s:
            self._watch = self._watch.after(self.cloud.read(self._watch.lease), now_s)
            self._next_watch_s = now_s + min(max(self.safety_net_s / LOOKS, MOST_OFTEN_S), LEAST_OFTEN_S)
        abandoned = self._watch.given_up(now_s, self.safety_net_s)
        return Observation(now_s, self.processes.running(), ended, self.asked, self._notice, abandoned)

    def _act(self, verdict: Verdict) -> None:
        if verdict.reason:
            log.warning("%s", verdict.reason)
        for what, names in (("starting", verdict.start), ("stopping", verdict.stop), ("killing", verdict.kill)):
            if names:
                log.info("%s %s", what, ", ".join(names))
        self.processes.start(verdict.start)
        self.processes.stop(verdict.stop)
        self.processes.kill(verdict.kill)
