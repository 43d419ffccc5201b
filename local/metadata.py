"""The metadata service of the emulated instances, as far as nodes ask it: IMDSv2, one base URL for each instance.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
The keys of an instance's role are given out as there, if it has one: `local.instance_role`. Whoever plays EC2 posts notices: `post_notice`.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus

import urllib3
from flask import Flask, abort, request
from werkzeug.serving import BaseWSGIServer, make_server

from local.instance_role import RoleKeys
from local.ports import LOOPBACK
from tasks.node.imds import (
    INSTANCE_ID_PATH,
    REBALANCE_PATH,
    SPOT_PATH,
    TOKEN_HEADER,
    TOKEN_PATH,
    TOKEN_TTL_S,
    TTL_HEADER,
)

# EC2 takes a spot instance back two minutes after it said so.
SPOT_WARNING_S = 120
SPOT, REBALANCE = "spot", "rebalance"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
ROLE_PATH = "/latest/meta-data/iam/security-credentials/"
TIMEOUT_S = 5.0


class MetadataServer:
    """Serves the metadata of the instances it is told of.

    Args:
        port: to listen on; 0 for one that is free.
        keys_of: returns the keys of an instance's role, None if it has none.
    """

    def __init__(self, port: int, keys_of: Callable[[str], RoleKeys | None] = lambda _id: None) -> None:
        self._keys_of = keys_of
        self._notices: dict[str, dict[str, str]] = {}
        self._tokens: dict[str, float] = {}
        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each question says nothing
        self._server: BaseWSGIServer = make_server(LOOPBACK, port, self._app(), threaded=True)

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def base_url(self, instance_id: str) -> str:
        """Return the base URL of an instance's metadata, which exist from now on."""
        self._notices.setdefault(instance_id, {})
        return f"{self.url}/{instance_id}"

    def forget(self, instance_id: str) -> None:
        """Have no metadata of an instance any more."""
        self._notices.pop(instance_id, None)

    def expire_tokens(self) -> None:
        """Take no token any more that was given out."""
        self._tokens.clear()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in a thread of its own."""
        thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _app(self) -> Flask:
        app = Flask(__name__)

        @app.put(f"/<instance_id>{TOKEN_PATH}")
        def token(instance_id: str) -> str:
            self._known(instance_id)
            ttl = request.headers.get(TTL_HEADER, "")
            if not ttl.isdecimal() or not 1 <= int(ttl) <= TOKEN_TTL_S:
                abort(HTTPStatus.BAD_REQUEST)
            made = secrets.token_urlsafe()
            self._tokens[made] = time.monotonic() + int(ttl)
            return made

        @app.get(f"/<instance_id>{INSTANCE_ID_PATH}")
        def name(instance_id: str) -> str:
            self._authorised(instance_id)
            return instance_id

        @app.get(f"/<instance_id>{SPOT_PATH}", defaults={"kind": SPOT})
        @app.get(f"/<instance_id>{REBALANCE_PATH}", defaults={"kind": REBALANCE})
        def notice(instance_id: str, kind: str) -> str:
            self._authorised(instance_id)
            return self._notices[instance_id].get(kind) or abort(HTTPStatus.NOT_FOUND)

        @app.get(f"/<instance_id>{ROLE_PATH}")
        def role(instance_id: str) -> str:
            return self._role_keys(instance_id).role

        @app.get(f"/<instance_id>{ROLE_PATH}<name>")
        def role_keys(instance_id: str, name: str) -> dict[str, str]:
            found = self._role_keys(instance_id)
            return found.document if found.role == name else abort(HTTPStatus.NOT_FOUND)

        @app.post(f"/<instance_id>/notices/<any({SPOT},{REBALANCE}):kind>")
        def post(instance_id: str, kind: str) -> tuple[str, int]:
            self._known(instance_id)
            self._notices[instance_id][kind] = _notice(kind)
            return "", HTTPStatus.NO_CONTENT

        return app

    def _role_keys(self, instance_id: str) -> RoleKeys:
        self._authorised(instance_id)
        return self._keys_of(instance_id) or abort(HTTPStatus.NOT_FOUND)

    def _known(self, instance_id: str) -> None:
        if instance_id not in self._notices:
            abort(HTTPStatus.NOT_FOUND)

    def _authorised(self, instance_id: str) -> None:
        if self._tokens.get(request.headers.get(TOKEN_HEADER, ""), 0.0) < time.monotonic():
            abort(HTTPStatus.UNAUTHORIZED)
        self._known(instance_id)


def post_notice(url: str, kind: str, instance_id: str) -> None:
    """Tell an instance by its metadata that EC2 wants it back.

    Args:
        url: of the server.
        kind: `SPOT` (in two minutes) or `REBALANCE` (perhaps soon).
        instance_id: of a running instance.

    Raises:
        RuntimeError: the server is not there, or knows no such instance.
    """
    try:
        answer = urllib3.request("POST", f"{url}/{instance_id}/notices/{kind}", timeout=TIMEOUT_S, retries=False)
    except urllib3.exceptions.HTTPError as error:
        raise RuntimeError(f"no host of nodes answers at {url}: {error}") from error
    if answer.status != HTTPStatus.NO_CONTENT:
        raise RuntimeError(f"{instance_id} gets no {kind} notice: no such instance runs (status {answer.status})")


def _notice(kind: str) -> str:
    now_s = time.time()
    if kind == SPOT:
        return json.dumps({"action": "terminate", "time": _instant(now_s + SPOT_WARNING_S)})
    return json.dumps({"noticeTime": _instant(now_s)})


def _instant(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
