"""A user of the HTTP API, for the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests

from local.processes import wait_until

RESULT_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Client:
    """Uploads photos to one web app and fetches their results, with the headers of a key's holder if need be."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def post(self, *files: tuple[str, bytes], **more: Any) -> requests.Response:
        """Upload files in one form."""
        form = [("img", file) for file in files]
        return requests.post(f"{self.url}/classify", files=form, timeout=60, **{"headers": self.headers, **more})

    def upload(self, photos: Mapping[str, bytes]) -> list[str]:
        """Upload photos that must all be taken; return their ids."""
        answer = self.post(*photos.items())
        assert answer.status_code == 202, answer.text
        assert not answer.json()["rejected"], answer.text
        return [task["id"] for task in answer.json()["tasks"]]

    def result(self, task_id: str) -> requests.Response:
        """Ask for one result."""
        return requests.get(f"{self.url}/results/{task_id}", timeout=30, headers=self.headers)

    def wait(
        self, ids: Sequence[str], deadline_s: float = RESULT_DEADLINE_S, *, outage: bool = False
    ) -> list[dict[str, Any]]:
        """Wait until every id has a result; return them in order. In an outage, 503 means "ask again"."""
        waiting = {202, 503} if outage else {202}
        results: dict[str, dict[str, Any]] = {}

        def all_there() -> bool:
            for task_id in ids:
                if task_id not in results:
                    answer = self.result(task_id)
                    assert answer.status_code in {200, *waiting}, answer.text
                    if answer.status_code == 200:
                        results[task_id] = answer.json()
            return len(results) == len(ids)

        wait_until(all_there, deadline_s, f"{len(ids)} results")
        return [results[task_id] for task_id in ids]
