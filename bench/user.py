"""A user of the web app as the load generator plays one: uploads photos, waits for their results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from bench.http import Answer, Http

# How long the web app may keep a request until there is a result; it keeps none for longer than a minute.
WAIT_S = 30


@dataclass(frozen=True)
class Outcome:
    """One photo's way: what came of it, and when, in seconds since the load began."""

    name: str
    state: str
    label: str
    begin_s: float
    latency_s: float
    asked: int
    error: str
    cpu_s: float  # of decoder and model, as the result tells; 0 without a result


class User:
    """Uploads photos and waits for their results. Safe to share between threads.

    Args:
        url: of the web app.
        deadline_s: how long a request's photos may take.
        api_key: where the web app wants one.
        insecure: whether to take any certificate.
    """

    def __init__(self, url: str, deadline_s: float, *, api_key: str = "", insecure: bool = False) -> None:
        self._url = url.rstrip("/")
        self._deadline_s = deadline_s
        self._http = Http([f"Authorization: Bearer {api_key}"] if api_key else [], insecure=insecure)
        self._begin_s = time.perf_counter()

    def classify(self, paths: Sequence[Path]) -> list[Outcome]:
        """Return what came of photos that are sent in one request; a failure is an outcome too."""
        begin_s = time.perf_counter()
        try:
            found = self._results(paths, begin_s + self._deadline_s)
        except (OSError, ValueError, LookupError) as problem:
            found = [(_failed(problem), 1)] * len(paths)
        latency_s = time.perf_counter() - begin_s
        return [
            Outcome(
                path.name,
                str(result.get("state") or "ERROR"),
                str(result.get("label") or ""),
                begin_s - self._begin_s,
                latency_s,
                asked,
                str(result.get("error") or ""),
                float(result.get("cpu_s") or 0.0),
            )
            for path, (result, asked) in zip(paths, found, strict=True)
        ]

    def _results(self, paths: Sequence[Path], until_s: float) -> list[tuple[dict[str, Any], int]]:
        """Return each photo's result, and how many requests it took to get it."""
        told = _told(self._http.post_files(f"{self._url}/classify?wait={WAIT_S}", "img", paths))
        refused = {one["index"]: one for one in told["rejected"]}
        taken = iter(zip(told["tasks"], told["results"], strict=True))
        return [
            (refused[place], 1) if place in refused else self._result(*next(taken), until_s)
            for place in range(len(paths))
        ]

    def _result(self, task: Mapping[str, str], result: dict[str, Any], until_s: float) -> tuple[dict[str, Any], int]:
        asked = 1
        while result["state"] == "PENDING":
            if time.perf_counter() > until_s:
                return _failed(TimeoutError(f"no result within {self._deadline_s:g} s")), asked
            asked += 1
            try:
                result = _told(self._http.get(f"{self._url}{task['result_url']}?wait={WAIT_S}"))
            except (OSError, ValueError) as problem:  # this photo's; the request's others have their results
                return _failed(problem), asked
        return result, asked


def _failed(problem: Exception) -> dict[str, Any]:
    return {"error": f"{type(problem).__name__}: {problem}"}


def _told(answer: Answer) -> Any:
    if answer.status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
        raise ValueError(f"answered {answer.status}: {answer.body[:200]!r}")
    return answer.json()
