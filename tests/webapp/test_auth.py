"""Who may ask what."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.access import Holder, guarded_app
from webapp import create_app
from webapp.keys import Role
from webapp.settings import WebSettings

ALICE, BOB, OPERATOR = Holder("alice"), Holder("bob"), Holder("olga", Role.ADMIN)
HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
# Open to everybody: what load balancers, documentation readers and those who sign in need.
OPEN = {
    "static", "auth.login", "auth.login_with_key", "auth.logout", "health.healthz", "health.readyz", "reference.docs",
    "reference.openapi",
}  # fmt: skip


@pytest.fixture
def app() -> Flask:
    """An app that asks for keys."""
    return guarded_app(ALICE, BOB, OPERATOR)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Somebody who asks it."""
    return app.test_client()


def signed_in(app: Flask, holder: Holder, to: str = "") -> FlaskClient:
    """Sign in as the page's form does, from a program."""
    client = app.test_client()
    token = csrf_token(client)
    answer = client.post("/login", data={"key": holder.key, "next": to, "csrf_token": token})
    assert answer.status_code == 303
    return client


def csrf_token(client: FlaskClient) -> str:
    """Return the token that the page of the form carries."""
    return client.get("/login").text.split('name="csrf-token" content="')[1].split('"')[0]


def test_every_address_but_a_few_asks_for_a_key(app: Flask, client: FlaskClient) -> None:
    """A view that nobody thought of is closed: whatever is not listed here answers 401 without a key."""
    for rule in app.url_map.iter_rules():
        methods = sorted((rule.methods or set()) - {"OPTIONS"})
        address = rule.build(dict.fromkeys(rule.arguments, ALICE.id()), append_unknown=False)
        assert address is not None
        for method in methods if rule.endpoint not in OPEN else ():
            answer = client.open(address[1], method=method)
            assert answer.status_code == 401, (method, rule)
            assert answer.headers["WWW-Authenticate"].lower().startswith("bearer")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unauthenticated_request_is_told_how_to_sign_in(client: FlaskClient, method: str) -> None:
    """A program gets 401 and a sentence."""
    answer = client.open("/about", method=method)
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.get_json()["error"]


def test_an_unauthenticated_browser_is_led_to_the_sign_in_page(client: FlaskClient) -> None:
    """A person who follows a link gets the form, which leads back to the link."""
    answer = client.get("/about?a=1", headers=HTML)
    assert (answer.status_code, answer.location) == (302, "/login?next=/about?a%3D1")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer ec_wrong"}, id="bearer"),
        pytest.param({"Authorization": "Bearer "}, id="empty bearer"),
        pytest.param({"X-API-Key": "ec_wrong"}, id="X-API-Key"),
        pytest.param({"X-API-Key": ALICE.line.rpartition(":")[2]}, id="a key's hash"),
        pytest.param({"X-API-Key": "клю\u0447".encode().decode("latin1")}, id="not ASCII"),
    ],
)
def test_a_wrong_key_is_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    """401, and nothing else than that the key is not known."""
    answer = client.get("/about", headers=headers)
    assert answer.status_code == 401
    assert answer.get_json()["error"] == "This API key is not known."


def test_a_wrong_key_is_refused_even_in_a_session(app: Flask) -> None:
    """A key in a header counts before the session's."""
    assert signed_in(app, ALICE).get("/about", headers={"X-API-Key": "ec_wrong"}).status_code == 401


@pytest.mark.parametrize("holder", [ALICE, OPERATOR], ids=lambda holder: holder.name)
def test_a_key_opens_the_api_in_either_header(client: FlaskClient, holder: Holder) -> None:
    """The answer is for the key's holder."""
    for headers in (holder.headers, {"X-API-Key": holder.key}):
        told = client.post("/about", headers=headers).get_json()
        assert told == {"id": "", "name": holder.name, "is_admin": holder.role is Role.ADMIN}


def test_ids_of_others_look_as_if_they_did_not_exist(client: FlaskClient) -> None:
    """404 for another's photo or batch, the same as for one that never was; an admin sees all."""
    assert client.get(f"/about/{ALICE.id()}", headers=ALICE.headers).status_code == 200
    assert client.get(f"/about/{ALICE.id()}", headers=OPERATOR.headers).status_code == 200
    others, nobodys = (
        client.get(f"/about/{id_}", headers=BOB.headers) for id_ in (ALICE.id(), f"000000{BOB.id()[6:]}")
    )
    assert (others.status_code, nobodys.status_code) == (404, 404)
    assert others.get_json()["error"] == nobodys.get_json()["error"]


def test_only_an_admin_may_do_what_admins_do(client: FlaskClient) -> None:
    """403 for a user's key."""
    assert client.post("/secret", headers=ALICE.headers).status_code == 403
    assert client.post("/secret", headers=OPERATOR.headers).status_code == 200


def test_signing_in_begins_a_session(app: Flask) -> None:
    """The page's user is known by a cookie that no script can read and no other site sends along with a form."""
    client = signed_in(app, ALICE)
    assert client.get("/about").get_json()["name"] == "alice"
    cookie = client.get_cookie("session")
    assert cookie is not None
    assert (cookie.http_only, cookie.same_site, cookie.secure) == (True, "Lax", False)
    assert ALICE.key not in cookie.value


def test_behind_https_the_cookie_is_sent_by_https_alone() -> None:
    """With a proxy that says HTTPS, the session is Secure and browsers are told to stay with HTTPS."""
    client = guarded_app(ALICE, WEB_PROXIES="1").test_client()
    answer = client.get("/login", headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"})
    assert "; Secure;" in answer.headers["Set-Cookie"]
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


def test_signing_out_ends_the_session(app: Flask) -> None:
    """Afterwards the cookie opens nothing."""
    client = signed_in(app, ALICE)
    assert client.post("/logout", data={"csrf_token": csrf_token(client)}).status_code == 303
    assert client.get("/about").status_code == 401


def test_a_wrong_key_begins_no_session(app: Flask) -> None:
    """The form comes again and says why."""
    client = app.test_client()
    answer = client.post("/login", data={"key": "ec_wrong", "csrf_token": csrf_token(client)})
    assert answer.status_code == 401
    assert "This key is not known." in answer.text
    assert client.get("/about").status_code == 401


def test_a_session_ends_with_its_key() -> None:
    """Who takes a key out of the settings takes its sessions out, even those begun before."""
    secret = "x" * 32
    before = guarded_app(ALICE, BOB, WEB_SECRET_KEY=secret)
    cookie = signed_in(before, ALICE).get_cookie("session")
    assert cookie is not None
    after = guarded_app(BOB, WEB_SECRET_KEY=secret).test_client()
    after.set_cookie("session", cookie.value)
    assert after.get("/about").status_code == 401


def test_a_forged_session_opens_nothing(app: Flask) -> None:
    """A cookie that another signing key made is no session."""
    cookie = signed_in(guarded_app(ALICE), ALICE).get_cookie("session")
    assert cookie is not None
    client = app.test_client()
    client.set_cookie("session", cookie.value)
    assert client.get("/about").status_code == 401


@pytest.mark.parametrize(
    ("asked", "leads_to"),
    [
        ("/batches/1?share=a", "/batches/1?share=a"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/\\[", "/"),
        ("\\\\evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example/", "/"),
        ("evil", "/"),
    ],
)
def test_signing_in_leads_to_no_other_site(app: Flask, asked: str, leads_to: str) -> None:
    """A link to the form cannot send its user elsewhere afterwards."""
    client = app.test_client()
    data = {"key": ALICE.key, "next": asked, "csrf_token": csrf_token(client)}
    assert client.post("/login", data=data).location == leads_to


def test_without_keys_everybody_on_this_machine_is_the_operator() -> None:
    """On loopback, without keys, the app asks for nothing; the sign-in page has nothing to ask either."""
    client = guarded_app().test_client()
    assert client.get("/about").get_json() == {"id": "", "name": "", "is_admin": True}
    assert client.get("/login").location == "/"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.5:8000"])
def test_without_keys_the_app_answers_to_its_own_machine_alone(host: str) -> None:
    """A site whose name was made to mean 127.0.0.1, or a proxy in front of an app without keys, gets nothing."""
    client = create_app(WebSettings.from_env({})).test_client()
    answer = client.get("/healthz", headers={"Host": host})
    assert answer.status_code == 400
    assert "API_KEYS" in answer.get_json()["error"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "10.0.0.5:443", "photos.example"])
def test_behind_a_proxy_nobody_gets_in_without_a_key_though_there_are_none(host: str) -> None:
    """What a client calls the host opens nothing; a load balancer's health check, which names an address, is answered."""
    client = guarded_app(WEB_PROXIES="1").test_client()
    headers = {"Host": host, "X-Forwarded-For": "203.0.113.9"}
    for address in ("/", "/about", "/status", "/metrics"):
        assert client.get(address, headers=headers).status_code == 401, address
    assert client.post("/reset", headers=headers).status_code == 401
    assert client.get("/", headers=headers | HTML).location == "/login?next=/"
    assert client.get("/login", headers=headers).status_code == 200
    assert client.get("/healthz", headers=headers).status_code == 200
