"""The running system answers as its OpenAPI document says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access import Holder
from tests.fuzz import fuzz, fuzzed_stack
from webapp.keys import Role

pytestmark = pytest.mark.stack

EXAMPLES = 10
# What follows from the document alone is more than this.
LEAST_CASES = 500


def test_every_answer_is_one_that_the_document_describes(tmp_path: Path) -> None:
    """Whatever is asked, right or wrong: no server error, no undocumented status, no other form; wrong data is refused."""
    admin = Holder("fuzz", Role.ADMIN)
    with fuzzed_stack(tmp_path, admin) as stack:
        report = fuzz(stack.services.web_url, admin, examples=EXAMPLES)
    assert not report.failures, report.output
    assert report.cases >= LEAST_CASES
