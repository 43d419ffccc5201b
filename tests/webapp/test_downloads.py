"""Results as files."""

from __future__ import annotations

import csv
import io

import pytest

from webapp.downloads import to_csv


def rows(*names: str) -> list[dict[str, str]]:
    """Return what a spreadsheet reads of photos with these names."""
    results = [{"id": "1", "name": name, "state": "FAILURE", "error": "no, not\nthis"} for name in names]
    return list(csv.DictReader(io.StringIO(to_csv(results))))


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "\t=1"])
def test_a_name_never_becomes_a_formula(name: str) -> None:
    """A spreadsheet shows it as text."""
    assert rows(name)[0]["name"] == f"'{name}"


def test_commas_quotes_and_line_breaks_stay_in_their_cell() -> None:
    """Whatever a photo is called, there is one row for it."""
    named = rows('a,"b"\nc.jpg', "кот.jpg")
    assert [row["name"] for row in named] == ['a,"b"\nc.jpg', "кот.jpg"]
    assert {row["error"] for row in named} == {"no, not\nthis"}


def test_a_result_has_its_label_confidence_and_the_seconds_it_took() -> None:
    """The seconds are the sum of the parts."""
    result = {
        "id": "1",
        "name": "a",
        "state": "SUCCESS",
        "label": "cat",
        "confidence": 0.9,
        "timings": {"a_s": 1.5, "b_s": 1},
    }
    (row,) = csv.DictReader(io.StringIO(to_csv([result])))
    assert (row["number"], row["label"], row["confidence"], row["seconds"]) == ("1", "cat", "0.9", "2.5")
