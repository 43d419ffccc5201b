"""Runs a scaler: puts its parts together, ticks, tells, serves its figures, clears up."""

from __future__ import annotations

import logging
import os
import random
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from scaler.act import Actor
from scaler.aws import ec2_client, sqs_client
from scaler.backlog import Backlogs
from scaler.dry_run import DryRunFleet, DryRunLease, DryRunStore, DryRunWorkers
from scaler.fleet import Ec2Fleet, Template
from scaler.housekeeping import Chore, doing
from scaler.lease import Lease
from scaler.loop import Loop, Tick
from scaler.measure import alarms
from scaler.memory import MemoryStore
from scaler.metrics import Metrics
from scaler.observer import Observer
from scaler.server import create_app, serving
from scaler.tell import line
from scaler.workers import Workers
from tasks.objects import Bucket, StoreUnavailable
from tasks.sqs.dead_letters import settle_dead_letters
from tasks.sqs.sweep import sweep, sweep_node

if TYPE_CHECKING:
    from celery import Celery

    from scaler.settings import ScalerSettings
    from tasks.settings import Settings

SWEEP_EVERY_S = 600.0
DEAD_LETTERS_EVERY_S = 60.0
# Of S3, for the lease and the memory: a tick waits for both.
S3_TIMEOUT = timedelta(seconds=3)
# No tick for so many of them, and the scaler is sick.
SICK_AFTER_TICKS = 5
SICK_AFTER_S = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deployment:
    """What a scaler is made for."""

    app: Celery
    settings: Settings
    scaler: ScalerSettings

    def fleet(self) -> Ec2Fleet:
        """Return the deployment's instances."""
        template = Template(
            name=self.scaler.launch_template,
            instance_types=tuple(self.scaler.instance_types.split(",")),
            subnets=tuple(filter(None, self.scaler.subnets.split(","))),
            purchase=self.scaler.purchase,
        )
        return Ec2Fleet(ec2_client(), self.settings.deployment, template)

    def workers(self) -> Workers:
        """Return the deployment's workers."""
        return Workers(self.app, self.settings.queue, self.scaler.control_timeout_s)

    def backlogs(self) -> Backlogs:
        """Return the deployment's queue."""
        return Backlogs(sqs_client(), self.settings.queue)

    def bucket(self) -> Bucket:
        """Return where lease and memory lie."""
        return Bucket(
            self.settings.result_bucket,
            region=self.settings.region,
            endpoint_url=self.settings.s3_url,
            request_timeout=S3_TIMEOUT,
        )


class Service:
    """A scaler that runs until it is told to stop.

    Args:
        deployment: what it is for.
        dry_run: look, and say what would be done.
    """

    def __init__(self, deployment: Deployment, *, dry_run: bool) -> None:
        self._deployment = deployment
        settings = deployment.scaler
        bucket = deployment.bucket()
        holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        fleet, workers = deployment.fleet(), deployment.workers()
        self._lease = DryRunLease() if dry_run else Lease(bucket, holder, settings.lease_s)
        acting_fleet = DryRunFleet(fleet) if dry_run else fleet
        acting_workers = DryRunWorkers(workers) if dry_run else workers
        self._clears_up = not dry_run
        self._sweeper = ThreadPoolExecutor(1, thread_name_prefix="sweep")
        self._loop = Loop(
            observer=Observer(deployment.backlogs(), acting_fleet, workers, settings.boot_deadline_s),
            fleet=acting_fleet,
            actor=Actor(acting_fleet, acting_workers, self._clean_up),
            lease=self._lease,
            store=DryRunStore() if dry_run else MemoryStore(bucket),
            limits=settings.limits(node_slots=deployment.settings.worker_threads * deployment.settings.node_workers),
            jitter=random.random,
        )
        self._metrics = Metrics(settings.node_usd_per_hour)
        self._stopping = threading.Event()
        self._alarms: tuple[str, ...] = ()
        self._active: bool | None = None
        self._held = False
        self._ticked_s = time.monotonic()

    def run(self, *, once: bool) -> None:
        """Tick until a signal, or once."""
        if once:
            self._tick()
            self._end()
            return
        with ExitStack() as stack:
            stack.callback(self._end)
            stack.enter_context(_signals(self._stopping.set))
            settings = self._deployment.scaler
            app = create_app(self._metrics.registry, self._sick)
            stack.enter_context(serving(app, settings.host, settings.port))
            if self._clears_up:
                stack.enter_context(doing(self._chores()))
            while not self._stopping.is_set():
                begin_s = time.monotonic()
                self._tick()
                self._stopping.wait(max(0.0, settings.tick_s - (time.monotonic() - begin_s)))

    def _tick(self) -> None:
        try:
            tick = self._loop.run_once(time.time())
        except StoreUnavailable as error:
            log.error("held: the lease cannot be read or renewed: %s", error)  # noqa: TRY400 - one clear line
            return
        self._become(active=tick is not None)
        if tick is not None:
            self._tell(tick)
        self._ticked_s = time.monotonic()

    def _become(self, *, active: bool) -> None:
        if active != self._active:
            log.info("this scaler %s", "acts" if active else "stands by: another holds the lease")
        self._active = active
        self._metrics.stand_by(active=active)

    def _tell(self, tick: Tick) -> None:
        sys.stdout.write(f"{line(tick)}\n")
        sys.stdout.flush()
        if tick.moved or tick.decision.held != self._held:
            log.info("%s", tick.decision.reason)
        self._held = tick.decision.held
        now_s = tick.sample.now_s
        for alarm in set(news := alarms(tick.history, now_s)) - set(self._alarms):
            log.warning("alarm: %s", alarm)
        self._alarms = news
        elapsed_s = time.monotonic() - self._ticked_s
        self._metrics.show(tick, alarms=len(news), elapsed_s=elapsed_s)
        for node in tick.left:
            self._clean_up(node)

    def _clean_up(self, node: str) -> None:
        # Beside the ticks: a list of all queues takes a while, and the node is gone in any case.
        if self._clears_up:
            swept = self._sweeper.submit(sweep_node, self._deployment.app, node)
            swept.add_done_callback(partial(_log_failure, node))

    def _chores(self) -> tuple[Chore, ...]:
        app, known = self._deployment.app, set[str]()

        def settle() -> None:
            if self._active:
                settle_dead_letters(app, known=known)

        def clear() -> None:
            if self._active:
                sweep(app)

        return (Chore("dead-letters", DEAD_LETTERS_EVERY_S, settle), Chore("sweep", SWEEP_EVERY_S, clear))

    def _sick(self) -> str:
        silent_s = time.monotonic() - self._ticked_s
        if silent_s > max(SICK_AFTER_S, SICK_AFTER_TICKS * self._deployment.scaler.tick_s):
            return f"no tick for {silent_s:.0f} s"
        return "; ".join(self._alarms)

    def _end(self) -> None:
        self._sweeper.shutdown()
        try:
            self._lease.release()
        except StoreUnavailable as error:
            log.warning("the lease could not be given up and will run out: %s", error)


def _log_failure(node: str, swept: Future[object]) -> None:
    error = swept.exception()
    if error is not None:
        log.warning("what %s left behind is swept later: %s", node, error)


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    before = {number: signal.signal(number, lambda *_: stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
