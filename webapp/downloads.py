"""`GET /batches/<id>/results.csv` and `.json`: a batch's results as files to keep."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, Response

from webapp import answers, batches

COLUMNS = ("number", "name", "state", "label", "confidence", "seconds", "model", "error", "id")
# A spreadsheet takes a cell that begins so for a formula: https://owasp.org/www-community/attacks/CSV_Injection
FORMULA = ("=", "+", "-", "@", "\t", "\r")

blueprint = Blueprint("downloads", __name__)


@blueprint.get("/batches/<batch_id>/results.csv")
def as_csv(batch_id: str) -> Response:
    """Give a batch's results as a table."""
    shown = batches.results(batches.find(batch_id))
    return _attachment(to_csv(shown), "text/csv", f"results-{batch_id}.csv")


@blueprint.get("/batches/<batch_id>/results.json")
def as_json(batch_id: str) -> Response:
    """Give a batch with its results as the API shows it."""
    batch = batches.find(batch_id)
    text = json.dumps(answers.batch(batch, batches.results(batch)), indent=1)
    return _attachment(text, "application/json", f"results-{batch_id}.json")


def to_csv(results: Sequence[answers.Result]) -> str:
    r"""Return results as CSV, with a heading.

    >>> print(to_csv([{"id": "1", "name": "=1+1", "state": "PENDING"}]))
    number,name,state,label,confidence,seconds,model,error,id
    1,'=1+1,PENDING,,,,,,1
    <BLANKLINE>
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for number, result in enumerate(results, start=1):
        values = {**result, "number": number, "seconds": _seconds(result)}
        rows.writerow([_cell(values.get(column, "")) for column in COLUMNS])
    return text.getvalue()


def _seconds(result: answers.Result) -> float | str:
    timings = result.get("timings")
    return round(sum(timings.values()), 3) if timings else ""


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _attachment(text: str, mimetype: str, name: str) -> Response:
    return Response(text, mimetype=mimetype, headers={"Content-Disposition": f"attachment; filename={name}"})
