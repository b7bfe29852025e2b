"""OAuth clients: who gets a token by a secret, for which scopes, for how long, and what a token opens."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import TestResponse

from gateway.app import create_app
from gateway.store import tables
from gateway.web import limits
from tests.identity.town import Town, granted, open_town, refused
from tests.worlds import CORE, DEMOGRAPHICS, READ, ROSTER


@pytest.fixture(scope="module")
def built(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with open_town(addresses, tmp_path_factory.mktemp("clients")) as made:
        yield made


@pytest.fixture
def town(built: Town) -> Town:
    return built.fresh()


# --- tokens that are given ---------------------------------------------------------------------------


def test_a_secret_gets_a_token_for_an_hour(town: Town) -> None:
    told = granted(town.basic(scope=ROSTER))
    assert {name: told[name] for name in ("token_type", "expires_in", "scope")} == {
        "token_type": "Bearer", "expires_in": 3600, "scope": ROSTER,
    }  # fmt: skip
    assert len(told["access_token"]) == 43
    assert "refresh_token" not in told
    assert town.read(told["access_token"]).status_code == 200


@pytest.mark.parametrize("scope", [None, "", " "], ids=["none", "empty", "a space"])
def test_no_scope_asked_for_is_every_scope_of_the_grant(town: Town, scope: str | None) -> None:
    assert set(granted(town.basic(scope=scope))["scope"].split()) == {ROSTER, DEMOGRAPHICS}


def test_a_token_holds_the_scopes_asked_for_and_no_more(town: Town) -> None:
    narrow = granted(town.basic(scope=ROSTER))["access_token"]
    assert "SCP_MISSING" in town.read(narrow, "demographics").text
    assert town.read(narrow, "classes").status_code == 200


def test_every_token_is_another(town: Town) -> None:
    assert len({granted(town.basic())["access_token"] for _ in range(10)}) == 10


# --- requests that are refused -----------------------------------------------------------------------

Ask = Callable[[Town], TestResponse]


def authorization(value: str) -> Ask:
    return lambda town: town.ask(headers={"Authorization": value})


def credentials(town: Town) -> dict[str, str]:
    return {"client_id": town.a.client_id, "client_secret": town.a.secret}


def b64(raw: bytes) -> str:
    return "Basic " + base64.b64encode(raw).decode()


CLIENTS: dict[str, Ask] = {
    "no credentials": lambda town: town.ask(), "an unknown client": lambda town: town.ask(("nobody", "x" * 43)),
    "a wrong secret": lambda town: town.ask((town.a.client_id, "x" * 43)),
    "an empty secret": lambda town: town.ask((town.a.client_id, "")),
    "another client's secret": lambda town: town.ask((town.a.client_id, town.b.secret)),
    "a secret that is cut": lambda town: town.ask((town.a.client_id, town.a.secret[:-1])),
    "the secret's hash": lambda town: town.ask((town.a.client_id, hashlib.sha256(town.a.secret.encode()).hexdigest())),
    "a secret from one that signs": lambda town: town.ask((town.rsa, "x")),
    "a NUL": lambda town: town.ask(("\0", "x")), "not UTF-8": authorization(b64(b"\xff:\xff")),
    "no colon": authorization(b64(b"client")), "not base64": authorization("Basic ###"),
    "no word after Basic": authorization("Basic"), "another scheme": authorization("Bearer " + "x" * 43),
    "the secret in the body": lambda town: town.ask(**credentials(town)),
    "the name alone in the body": lambda town: town.ask(client_id=town.a.client_id),
    "an assertion of another type": lambda town: town.prove(town.proof(), client_assertion_type="saml2-bearer"),
    "an assertion of no type": lambda town: town.prove(town.proof(), client_assertion_type=None),
}  # fmt: skip


@pytest.mark.parametrize("who", CLIENTS)
def test_a_client_that_is_not_who_it_says_gets_no_token(town: Town, who: str) -> None:
    before = town.tokens()
    answer = CLIENTS[who](town)
    refused(answer, "invalid_client")
    assert answer.json["code"] == "AUT_CLIENT_INVALID"
    assert town.tokens() == before


OTHERWISE: dict[str, tuple[str, Ask]] = {
    "the secret in the query": ("invalid_request", lambda town: town.ask(query=credentials(town))),
    "all in the query": ("invalid_request", lambda town: town.ask(
        grant_type=None, query=credentials(town) | {"grant_type": "client_credentials"})),
    "a scope in the query": ("invalid_request", lambda town: town.basic(query={"scope": ROSTER})),
    "for a password": ("unsupported_grant_type", lambda town: town.basic(grant_type="password", username="x")),
    "for a refresh token": ("unsupported_grant_type", lambda town: town.basic(grant_type="refresh_token")),
    "for another's token": ("unsupported_grant_type", lambda town: town.basic(
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange")),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERWISE)
def test_a_request_that_is_no_client_credentials_request_gets_no_token(town: Town, what: str) -> None:
    (error, ask), before = OTHERWISE[what], town.tokens()
    refused(ask(town), error)
    assert town.tokens() == before


@pytest.mark.parametrize(
    "scope", ["roster", f"{ROSTER} admin", CORE, ROSTER.upper(), f"{ROSTER},{DEMOGRAPHICS}", "launch.read", "\0", "*"]
)
def test_a_scope_that_is_unknown_or_not_granted_is_an_error_and_not_a_smaller_token(town: Town, scope: str) -> None:
    before = town.tokens()
    answer = town.basic(scope=scope)
    refused(answer, "invalid_scope")
    assert answer.json["code"] == "SCP_UNKNOWN"
    assert town.tokens() == before


@pytest.mark.parametrize("table", ["client", "access_grant"])
def test_what_is_switched_off_gets_no_token_and_its_tokens_open_nothing(town: Town, table: str) -> None:
    caller = town.world.connect("Reader A", ROSTER, schools=("A",))
    auth = (caller.client_id, caller.secret)
    token = granted(town.ask(auth))["access_token"]
    key = (
        "client_id = %(c)s"
        if table == "client"
        else "access_grant = (SELECT access_grant FROM client WHERE client_id = %(c)s)"
    )
    town.admin.execute(f"UPDATE {table} SET status = 'disabled' WHERE {key}", {"c": caller.client_id})
    refused(town.ask(auth), "invalid_client")
    answer = town.read(token)
    assert (answer.status_code, "AUT_TOKEN_EXPIRED" in answer.text) == (401, True)


def test_a_flood_of_token_requests_is_held_back(built: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "TOKENS", "5 per minute")
    client = create_app(built.world.parts).test_client()
    answers = [client.post("/oauth2/token") for _ in range(11)]
    held = next(answer for answer in answers if answer.status_code == 429)
    assert (held.json["code"], held.headers["Retry-After"].isdigit()) == ("RATE_LIMITED", True)


# --- tokens in use -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "status"), [(3599, 200), (3601, 401)])
def test_a_token_lives_for_an_hour(town: Town, seconds: int, status: int) -> None:
    token = granted(town.basic())["access_token"]
    town.world.clock.forward(seconds=seconds)
    answer = town.read(token)
    town.world.clock.forward(seconds=-seconds)
    assert answer.status_code == status
    assert ("AUT_TOKEN_EXPIRED" in answer.text) is (status == 401)


def test_a_revoked_token_opens_nothing(town: Town) -> None:
    token = granted(town.basic())["access_token"]
    digest = hashlib.sha256(token.encode()).digest()
    town.admin.execute("UPDATE access_token SET revoked_at = now() WHERE token_hash = %s", (digest,))
    answer = town.read(token)
    assert (answer.status_code, "AUT_TOKEN_EXPIRED" in answer.text) == (401, True)


BEARERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "no token": lambda token: {}, "an unknown token": lambda token: bearer("x" * 43),
    "an empty token": lambda token: bearer(""), "a token cut": lambda token: bearer(token[:-1]),
    "in the query": lambda token: {"query_string": {"access_token": token}},
    "in a cookie": lambda token: {"headers": {"Cookie": f"access_token={token}"}},
    "as Basic": lambda token: {"auth": (token, token)}, "twice": lambda token: bearer(f"{token} {token}"),
    "its hash": lambda token: bearer(hashlib.sha256(token.encode()).hexdigest()),
}  # fmt: skip


def bearer(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


@pytest.mark.parametrize("how", BEARERS)
def test_what_is_no_bearer_token_opens_nothing(town: Town, how: str) -> None:
    answer = town.client.get(f"{READ}/classes", **BEARERS[how](granted(town.basic())["access_token"]))
    assert (answer.status_code, "AUT_TOKEN_INVALID" in answer.text) == (401, True)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_the_token_of_one_grant_does_not_act_for_another(town: Town) -> None:
    a = granted(town.basic())["access_token"]
    b = granted(town.ask((town.b.client_id, town.b.secret)))["access_token"]
    seen = [{one["sourcedId"] for one in town.read(token, "classes").json["classes"]} for token in (a, b)]
    assert [len(one) for one in seen] == [1, 1]
    assert seen[0].isdisjoint(seen[1])
    assert town.read(a, f"classes/{seen[1].pop()}").status_code == 404
    exchange = town.client.post("/v1/launches/exchange", json={"code": "x" * 43}, **bearer(a))
    assert (exchange.status_code, exchange.json["code"]) == (403, "ACT_WRONG_SCHOOL")


def test_secrets_and_tokens_are_nowhere_in_the_database_but_their_hashes_are(town: Town) -> None:
    token = granted(town.basic())["access_token"]
    kept = "".join(
        str(town.admin.execute(f"SELECT string_agg(t::text, ' ') FROM {table.fullname} t").fetchone()[0])
        for table in tables.metadata.tables.values()
    )
    for word in (token, town.a.secret):
        assert word not in kept
        assert hashlib.sha256(word.encode()).hexdigest() in kept
