"""Links that show one batch to whoever has them: signed, for reading alone, for a number of days.

The link's token signs what the ids of a batch have in common. The page that a link opens asks for more (events, small
photos, files), so the session remembers the last few tokens.
"""

from __future__ import annotations

from flask import Flask, current_app, request, session, url_for
from itsdangerous import BadSignature, TimestampSigner

from tasks import api as tasks_api

PARAMETER = "share"
REMEMBERED = 10
DAY_S = 86_400


def register(app: Flask, *, signing_key: str, days: int) -> None:
    """Let links be shared that open for `days`."""
    app.extensions["shares"] = Shares(signing_key, days)
    app.before_request(_remember)


class Shares:
    """Signs and checks the tokens of shared batches."""

    def __init__(self, signing_key: str, days: int) -> None:
        self._signer = TimestampSigner(signing_key, salt="share")
        self._longest_s = days * DAY_S

    def token(self, id_: str) -> str:
        """Sign that the batch of an id may be read."""
        common = tasks_api.prefix_of(id_)
        return self._signer.sign(common).decode().removeprefix(f"{common}.")

    def is_valid(self, id_: str, token: str) -> bool:
        """Tell whether a token opens the batch of an id, today."""
        try:
            self._signer.unsign(f"{tasks_api.prefix_of(id_)}.{token}", max_age=self._longest_s)
        except BadSignature:
            return False
        return True


def share_url(batch_id: str) -> str:
    """Return the address that shows a batch to whoever has it."""
    plain = url_for("batches.show", batch_id=batch_id)
    return f"{plain}?{PARAMETER}={_shares().token(batch_id)}" if current_app.extensions["keys"].ring() else plain


def opens(id_: str) -> bool:
    """Tell whether the request came by a link that opens this id's batch, or follows one that did."""
    given = request.args.get(PARAMETER)
    if given is not None and _shares().is_valid(id_, given):
        return True
    remembered = session.get("shares", {}).get(tasks_api.prefix_of(id_))
    return remembered is not None and _shares().is_valid(id_, remembered)


def _shares() -> Shares:
    shares: Shares = current_app.extensions["shares"]
    return shares


def _remember() -> None:
    given = request.args.get(PARAMETER)
    if given is None:
        return
    for id_ in (request.view_args or {}).values():
        common = tasks_api.prefix_of(str(id_))
        if _shares().is_valid(str(id_), given) and session.get("shares", {}).get(common) != given:
            kept = [pair for pair in session.get("shares", {}).items() if pair[0] != common][1 - REMEMBERED :]
            session["shares"] = dict([*kept, (common, given)])
