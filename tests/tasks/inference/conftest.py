"""Fixtures of the model's tests."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Run models on one core: files of tests run beside each other."""
    torch.set_num_threads(1)
