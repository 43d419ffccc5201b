"""Fixtures that every part of the suite shares: the emulated AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local.emulators import Emulators, running_emulators


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulators]:
    """The emulated AWS: ministack (S3, SQS, SNS) and moto (EC2) on free ports, for the whole session."""
    with running_emulators(tmp_path_factory.mktemp("emulators")) as running:
        yield running
