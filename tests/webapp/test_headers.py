"""Headers that keep browsers from doing more than the page needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import webapp
from tests.access import Holder, guarded_app

ALICE = Holder("alice")
HTML = {"Accept": "text/html"}


@pytest.mark.parametrize(
    ("address", "status"), [("/login", 200), ("/nowhere", 404), ("/about", 302), ("/static/style.css", 200)]
)
def test_every_answer_carries_the_security_headers(address: str, status: int) -> None:
    """Pages, errors, redirects and files alike: no inline script, no frame around them, no guessed types."""
    answer = guarded_app(ALICE).test_client().get(address, headers=HTML)
    answer.close()
    assert answer.status_code == status
    policy = dict(part.split(maxsplit=1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"


def test_answers_are_not_kept_by_browsers_or_proxies() -> None:
    """What one user sees does not stand in a cache for the next."""
    assert guarded_app().test_client().get("/about").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "template", sorted(Path(webapp.__file__).parent.glob("templates/*.html")), ids=lambda at: at.name
)
def test_no_template_has_what_the_policy_forbids(template: Path) -> None:
    """No inline script, style or event handler; and no text that is taken for markup."""
    text = template.read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text, re.IGNORECASE)
    assert not re.search(r"\|\s*safe\b|autoescape false", text)
