"""Fixtures that every part of the suite shares: the emulated AWS, and a running system on it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from local.emulators import Emulators, running_emulators
from local.photographs import photographs
from local.stack import Stack, running_stack


def pytest_configure() -> None:
    """Let signals reach the processes that tests start, even where the tests run in a shell's background or by nohup.

    Those have SIGINT or SIGHUP ignored, which is inherited; a handler is not.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that take long, those on a stack, so that short ones are left to fill both processes' ends."""
    items.sort(key=lambda item: item.get_closest_marker("stack") is None)


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """The emulated AWS: ministack (S3, SQS, SNS) and moto (EC2) on free ports, for the whole session."""
    with running_emulators(tmp_path_factory.mktemp("emulators")) as running:
        yield running


@pytest.fixture(scope="session")
def photos() -> dict[str, bytes]:
    """Real photographs by file name."""
    return photographs()


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole system, for tests that leave it as they found it: web app, one worker, Flower."""
    with running_stack(tmp_path_factory.mktemp("service")) as stack:
        stack.start_web()
        stack.start_worker()
        stack.start_flower()
        yield stack


@pytest.fixture
def new_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Make stacks of the test's own, with settings of its own, for tests that stop and kill."""
    with ExitStack() as stacks:
        yield lambda **environ: stacks.enter_context(running_stack(tmp_path / "log", environ))
