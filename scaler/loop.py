"""One tick of the scaler: observe, decide, act. What came of it is returned; who tells of it is the caller's matter."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from scaler.act import Done
from scaler.decide import decide
from scaler.instances import LISTING_LAG_S
from scaler.measure import after_launch, learn
from scaler.memory import Intent, Memory
from scaler.observe import reminders
from scaler.roll import learn_versions
from scaler.state import Decision, History, LaunchOutcome, Limits, Meaning, Sample

if TYPE_CHECKING:
    from scaler.act import Actor
    from scaler.dry_run import DryRunLease, DryRunStore
    from scaler.fleet import Fleet
    from scaler.instances import Instance
    from scaler.lease import Lease
    from scaler.memory import MemoryStore
    from scaler.observer import Observer


@dataclass(frozen=True)
class Tick:
    """What one tick of the lease's holder came to.

    Attributes:
        sample: what was observed.
        decision: what was decided.
        done: what was carried out, launches left out.
        outcome: what came of a launch; None if there was none.
        history: what is remembered now.
        left: nodes that were there at the last tick and are gone.
    """

    sample: Sample
    decision: Decision
    done: Done = field(default_factory=Done)
    outcome: LaunchOutcome | None = None
    history: History = field(default_factory=History)
    left: tuple[str, ...] = ()

    @property
    def moved(self) -> bool:
        """Whether anything was done, or a node has gone."""
        return bool(self.outcome or self.left or any(self.done.nodes.values()))


class Loop:
    """A scaler's ticks.

    Args:
        observer: takes samples.
        fleet: launches nodes.
        actor: does everything else with them.
        lease: tells whether this scaler may act.
        store: keeps what is remembered.
        limits: the operator's.
        jitter: a number from 0 to 1, by chance.
    """

    def __init__(
        self,
        *,
        observer: Observer,
        fleet: Fleet,
        actor: Actor,
        lease: Lease | DryRunLease,
        store: MemoryStore | DryRunStore,
        limits: Limits,
        jitter: Callable[[], float],
    ) -> None:
        self._observer = observer
        self._fleet = fleet
        self._actor = actor
        self._lease = lease
        self._store = store
        self._limits = limits
        self._jitter = jitter
        self._memory: Memory | None = None
        self._last: Sample | None = None

    def run_once(self, now_s: float) -> Tick | None:
        """Observe, decide and act; None if another scaler holds the lease.

        Raises:
            tasks.objects.StoreUnavailable: S3 failed, so that it is not known who may act.
        """
        if not self._lease.acquire_or_renew(now_s):
            self._memory, self._last = None, None
            return None
        memory = self._memory or self._recalled(now_s)
        seen = self._observer.observe(memory.launched, now_s)
        history = learn(memory.history, seen.sample, self._last)
        history = learn_versions(history, seen.sample, self._last, self._limits)
        decision, history = decide(seen.sample, history, self._limits)
        memory = replace(memory, history=history, launched=seen.unlisted)
        done, outcome = Done(), None
        # Reading took time, in which the lease may have run out.
        if self._lease.still_held():
            done = self._actor.act(decision, now_s)
            told = {*decision.revert, *decision.drain, *decision.commit, *decision.replace}
            self._actor.remind(reminders(seen.sample.nodes or (), told))
        if seen.instances is not None and self._lease.still_held():
            memory, outcome = self._launch(memory, decision, seen.instances, now_s)
            # Before it is saved: should that fail, this process still knows what it has launched.
            self._memory = memory
            if self._lease.still_held():
                self._store.save(memory)
        self._memory = memory
        if seen.sample.nodes is not None:
            self._last = seen.sample
        return Tick(seen.sample, decision, done, outcome, memory.history, seen.left)

    def _recalled(self, now_s: float) -> Memory:
        memory = self._store.load(now_s)
        # A person has started this scaler: what only a person could mend may be mended.
        versions = replace(memory.history.versions, failures=0)
        return replace(memory, history=replace(memory.history, stopped="", versions=versions))

    def _launch(
        self, memory: Memory, decision: Decision, instances: tuple[Instance, ...], now_s: float
    ) -> tuple[Memory, LaunchOutcome | None]:
        """Launch nodes so that neither a scaler that is killed nor a lost answer launches any twice.

        What is about to be asked for is written down first, and stays so until the outcome is known. Who finds such an
        intent looks for its instances, and if there are none, asks again under the same token, which EC2 carries out
        once: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
        """
        intent, count = memory.intent, decision.launch
        if intent is None:
            if not count:
                return memory, None
            intent = Intent(uuid.uuid4().hex, count, now_s, decision.template_version)
            self._memory = memory = replace(memory, intent=intent)
            self._store.save(memory)
            # Saving took time too. Whoever has the lease by now finds the intent.
            if not self._lease.still_held():
                return memory, None
        launched = tuple(instance.id for instance in instances if instance.launch_token == intent.token)
        # Some may be listed before the others.
        if len(launched) >= intent.count or (launched and now_s - intent.at_s > LISTING_LAG_S):
            return self._launched(memory, LaunchOutcome(len(launched), launched), len(instances), now_s)
        if now_s - intent.at_s > LISTING_LAG_S:  # it would be listed by now: it has not gone through
            return replace(memory, intent=None), None
        # It may not be wanted any more, or others have come meanwhile; then it is only waited for.
        if not count or len(instances) + intent.count > self._limits.max_nodes:
            return memory, None
        outcome = self._fleet.launch(intent.count, intent.token, intent.version)
        return self._launched(memory, outcome, len(instances), now_s)

    def _launched(
        self, memory: Memory, outcome: LaunchOutcome, nodes: int, now_s: float
    ) -> tuple[Memory, LaunchOutcome]:
        history = after_launch(memory.history, outcome, now_s=now_s, nodes=nodes, jitter=self._jitter())
        known = {**memory.launched, **dict.fromkeys(outcome.launched, now_s)}
        # A request without an answer may have gone through all the same.
        unanswered = not outcome.launched and Meaning.UNAVAILABLE in dict(outcome.refusals)
        intent = memory.intent if unanswered else None
        return replace(memory, history=history, launched=known, intent=intent), outcome
