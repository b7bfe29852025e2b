"""One token per key, fetched once, given to nobody else, shown nowhere."""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Callable
from urllib.parse import parse_qs

import jwt as pyjwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import RSAKey

from connectors.errors import (
    AddressRefused,
    AnswerLost,
    AnswerRefused,
    AnswerTooLarge,
    AnswerUnreadable,
    ConnectorError,
    CredentialsRefused,
)
from connectors.tokens import (
    Grant,
    ProcessCache,
    Token,
    TokenBroker,
    TokenKey,
    client_secret,
    grant_of,
    private_key_jwt,
    sign_assertion,
)
from tests.connectors.peer import Peer, answer, once

GIVEN = json.dumps({"access_token": "seCret", "token_type": "Bearer", "expires_in": 3600, "scope": "a b"}).encode()


@pytest.fixture(scope="module")
def signing_key() -> RSAKey:
    return RSAKey.generate_key(2048)


def key(**parts) -> TokenKey:
    usual = {
        "tenant": "school-a",
        "registration": "7",
        "token_url": "https://lms.example/token",
        "audience": "https://lms.example/token",
        "scopes": ("b", "a"),
    }
    return TokenKey(**{**usual, **parts})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def counted(seconds: float = 3600) -> tuple[Callable[[], Grant], list[str]]:
    """A fetch that gives t1, t2, ..., and the tokens it gave."""
    given: list[str] = []

    def fetch() -> Grant:
        given.append(f"t{len(given) + 1}")
        return Grant(Token(given[-1]), seconds)

    return fetch, given


# --- the broker --------------------------------------------------------------------------------------


def test_a_token_is_fetched_once_for_many_calls():
    broker, (fetch, given) = TokenBroker(ProcessCache()), counted()
    assert [broker.token(key(), fetch).value for _ in range(3)] == ["t1", "t1", "t1"]
    assert given == ["t1"]


@pytest.mark.parametrize(("seconds", "kept_for"), [(3600, 3540), (300, 240), (120, 60), (60, 30), (10, 5), (0, 0)])
def test_a_token_is_given_up_before_it_expires(seconds, kept_for):
    clock = Clock()
    broker, (fetch, given) = TokenBroker(ProcessCache(clock)), counted(seconds)
    broker.token(key(), fetch)
    if kept_for:
        clock.now = kept_for - 0.1
        broker.token(key(), fetch)
        assert len(given) == 1
    clock.now = kept_for
    broker.token(key(), fetch)
    assert len(given) == 2


def test_many_threads_make_one_fetch():
    entered, leave = threading.Event(), threading.Event()
    fetched, got = [], []

    def fetch() -> Grant:
        fetched.append(1)
        entered.set()
        assert leave.wait(5)
        return Grant(Token("t1"), 3600)

    broker = TokenBroker(ProcessCache())
    threads = [threading.Thread(target=lambda: got.append(broker.token(key(), fetch).value)) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert entered.wait(5)
    leave.set()
    for thread in threads:
        thread.join(5)
    assert got == ["t1"] * 8
    assert fetched == [1]


def test_one_school_waiting_does_not_hold_another():
    leave = threading.Event()

    def slow() -> Grant:
        assert leave.wait(5)
        return Grant(Token("slow"), 3600)

    broker, (fetch, _) = TokenBroker(ProcessCache()), counted()
    thread = threading.Thread(target=broker.token, args=(key(), slow))
    thread.start()
    assert broker.token(key(tenant="school-b"), fetch).value == "t1"
    leave.set()
    thread.join(5)


def test_a_fetch_that_fails_is_tried_again_by_the_next():
    broker, (fetch, _) = TokenBroker(ProcessCache()), counted()

    def failing() -> Grant:
        raise CredentialsRefused

    with pytest.raises(CredentialsRefused):
        broker.token(key(), failing)
    assert broker.token(key(), fetch).value == "t1"


def test_a_refused_token_is_forgotten_once():
    broker, (fetch, given) = TokenBroker(ProcessCache()), counted()
    first = broker.token(key(), fetch)
    broker.forget(key(), first)
    second = broker.token(key(), fetch)
    broker.forget(key(), first)  # another thread, which met the 401 of the first token late
    assert broker.token(key(), fetch) == second
    broker.forget(key())
    assert broker.token(key(), fetch).value == "t3"
    assert len(given) == 3


PARTS = st.text(max_size=4)
KEYS = st.builds(TokenKey, PARTS, PARTS, PARTS, PARTS, st.lists(PARTS, max_size=3).map(tuple))


@given(st.lists(KEYS, max_size=12), st.lists(st.sampled_from("ab"), max_size=12))
def test_two_keys_never_share_a_token(keys, tenants):
    broker, numbers = TokenBroker(ProcessCache()), itertools.count()
    # Neighbours that differ in the tenant alone, and in where one part ends and the next begins.
    keys += [TokenKey(tenant, "r", "u", "a", ("s",)) for tenant in tenants]
    keys += [TokenKey(k.tenant + k.registration, "", k.token_url, k.audience, k.scopes) for k in keys]
    tokens = {k: broker.token(k, lambda: Grant(Token(str(next(numbers))), 3600)).value for k in keys}
    assert len(set(tokens.values())) == len(set(keys))
    for k, value in tokens.items():
        assert broker.token(k, pytest.fail).value == value


def test_scopes_are_a_set():
    assert key(scopes=("b", "a", "b")) == key(scopes=("a", "b"))
    assert key(scopes=("a b",)).name() != key(scopes=("a", "b")).name()


def test_a_token_is_in_no_repr():
    grant = grant_of(json.loads(GIVEN))
    cache = ProcessCache()
    broker = TokenBroker(cache)
    token = broker.token(key(), lambda: grant)
    fetch = client_secret(lambda: None, key(), "client", "seCret")
    for thing in (grant, token, cache, broker, fetch, [token], {"t": token}):
        assert "seCret" not in f"{thing!r} {thing!s} {thing}"
    assert token.header == "Bearer seCret"


def test_the_cache_lets_go_of_what_is_over():
    clock = Clock()
    cache = ProcessCache(clock)
    cache.set("a", "x", 10)
    cache.set("b", "y", 20)
    clock.now = 10
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (None, "y", None)
    cache.set("d", "z", 5)
    assert set(cache._kept) == {"b", "d"}
    with cache.lock("a"):
        assert len(cache._locks) == 1
    assert len(cache._locks) == 0


# --- what the endpoint gives -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({}, 300),
        ({"expires_in": None}, 300),
        ({"expires_in": 3600}, 3600),
        ({"expires_in": "3600"}, 3600),
        ({"expires_in": 59.5}, 59.5),
        ({"expires_in": 0}, 0),
        ({"expires_in": -1}, 0),
        ({"expires_in": 10**12}, 86400),
        ({"expires_in": 10**400}, 300),
        ({"expires_in": "soon"}, 300),
        ({"expires_in": True}, 300),
        ({"expires_in": [1]}, 300),
        ({"expires_in": "nan"}, 300),
        ({"expires_in": "inf"}, 86400),
        ({"token_type": "bearer"}, 300),
        ({"token_type": "BEARER"}, 300),
    ],
)
def test_a_grant_is_read(told, seconds):
    grant = grant_of({"access_token": "x", "token_type": "Bearer", **told})
    assert (grant.token.value, grant.seconds) == ("x", seconds)


def test_a_grant_without_type_is_a_bearer():
    assert grant_of({"access_token": "x"}).seconds == 300


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        "x",
        {},
        {"access_token": ""},
        {"access_token": None},
        {"access_token": 7},
        {"access_token": "a\nb"},
        {"access_token": "a\x00"},
        {"access_token": "ä"},
        {"access_token": "x", "token_type": "mac"},
        {"access_token": "x", "token_type": None},
        {"access_token": "x", "token_type": "Bearer "},
    ],
)
def test_what_is_no_grant_is_unreadable(told):
    with pytest.raises(AnswerUnreadable):
        grant_of(told)


# --- the two fetches ---------------------------------------------------------------------------------


def fetches(lines, peer: Peer, signing_key: RSAKey, **reach):
    """Both ways to fetch, for one peer."""
    token_key = key(token_url=peer.url("/token?tenant=1"), audience="urn:aud")

    def open_line():
        return lines.session(**reach)

    return {
        "secret": client_secret(open_line, token_key, "client", "p:äss"),
        "jwt": private_key_jwt(open_line, token_key, "client", signing_key, "k1", deployment_id="d1"),
    }


def form_of(request: bytes) -> dict[str, list[str]]:
    return parse_qs(request.partition(b"\r\n\r\n")[2].decode())


def test_client_secret_asks_as_the_standard_says(lines, signing_key):
    peer = lines.peer(answer(GIVEN))
    grant = fetches(lines, peer, signing_key)["secret"]()
    assert (grant.token.value, grant.seconds) == ("seCret", 3600)
    request = peer.requests[0]
    assert request.startswith(b"POST /token?tenant=1 HTTP/1.1\r\n")
    basic = base64.b64encode("client:p:äss".encode("latin-1"))
    assert b"Authorization: Basic " + basic + b"\r\n" in request
    assert b"User-Agent: Schoolgate\r\n" in request
    assert form_of(request) == {"grant_type": ["client_credentials"], "scope": ["a b"]}


def test_private_key_jwt_asks_as_the_standard_says(lines, signing_key):
    peer = lines.peer(answer(GIVEN))
    fetch = fetches(lines, peer, signing_key)["jwt"]
    assert fetch().token.value == "seCret"
    fetch()
    assert b"authorization:" not in peer.requests[0].lower()
    forms = [form_of(request) for request in peer.requests]
    assert forms[0]["grant_type"] == ["client_credentials"]
    assert forms[0]["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    assert forms[0]["scope"] == ["a b"]
    claims = [jwt.decode(form["client_assertion"][0], signing_key, ["RS256"]).claims for form in forms]
    assert claims[0]["aud"] == "urn:aud"
    assert claims[0]["jti"] != claims[1]["jti"]


def test_an_assertion_holds_what_lti_asks_for(signing_key):
    signed = sign_assertion("client", "https://lms.example/token", signing_key, "k1", deployment_id="d1", now=1000.9)
    token = jwt.decode(signed, signing_key, ["RS256"])
    assert token.header == {"typ": "JWT", "alg": "RS256", "kid": "k1"}
    jti = token.claims.pop("jti")
    assert len(jti) == 36
    assert token.claims == {
        "iss": "client",
        "sub": "client",
        "aud": "https://lms.example/token",
        "iat": 1000,
        "exp": 1060,
        "https://purl.imsglobal.org/spec/lti/claim/deployment_id": "d1",
    }


def test_an_assertion_is_good_in_the_eyes_of_another_library(signing_key):
    signed = sign_assertion("client", "urn:aud", signing_key, "k1")
    claims = pyjwt.decode(signed, signing_key.as_pem(private=False), algorithms=["RS256"], audience="urn:aud")
    assert "https://purl.imsglobal.org/spec/lti/claim/deployment_id" not in claims


def test_a_public_key_cannot_sign(signing_key):
    public = RSAKey.import_key(signing_key.as_dict(private=False))
    with pytest.raises(ConnectorError, match="cannot sign"):
        sign_assertion("client", "urn:aud", public, "k1")


@pytest.mark.parametrize("way", ["secret", "jwt"])
@pytest.mark.parametrize(
    ("script", "error"),
    [
        (answer(b'{"error": "invalid_client"}', "401 Unauthorized"), CredentialsRefused),
        (answer(b'{"error": "invalid_grant"}', "400 Bad Request"), CredentialsRefused),
        (answer(b"<html>", "403 Forbidden", Content_Type="text/html"), CredentialsRefused),
        (answer(b'{"error": "invalid_client"}'), CredentialsRefused),
        (answer(b"slow", "429 Too Many Requests", Retry_After="9"), AnswerRefused),
        (answer(b"down", "503 Service Unavailable", Retry_After="9"), AnswerRefused),
        (answer(b"", "302 Found", Location="/elsewhere", Retry_After="9"), AnswerRefused),
        (answer(b"<html>hello</html>", Content_Type="text/html"), AnswerUnreadable),
        (answer(b""), AnswerUnreadable),
        (answer(b"[]"), AnswerUnreadable),
        (answer(b'{"access_token": '), AnswerUnreadable),
        (answer(b'{"token_type": "Bearer"}'), AnswerUnreadable),
        (answer(b'{"access_token": "x", "token_type": "mac"}'), AnswerUnreadable),
        (answer(bytes(2000)), AnswerTooLarge),
        (once(b""), AnswerLost),
    ],
)
def test_a_fetch_that_fails_says_why(lines, signing_key, way, script, error):
    peer = lines.peer(script)
    with pytest.raises(ConnectorError) as failed:
        fetches(lines, peer, signing_key, max_bytes=1000)[way]()
    assert type(failed.value) is error
    assert not any(word in str(failed.value) for word in ("tenant=1", "äss", "invalid", "html"))
    if error is AnswerRefused:
        assert failed.value.retry_after == 9


@pytest.mark.parametrize(
    ("body", "said"),
    [(b'{"error": "invalid_scope"}', "invalid_scope"), (b'{"error": "password hunter2"}', ""), (b'{"error": [1]}', ""),
     (b"[]", ""), (b"", "")],
)  # fmt: skip
def test_the_word_of_a_refusal_is_told_where_it_is_one_of_the_standards(lines, signing_key, body, said):
    peer = lines.peer(answer(body, "400 Bad Request"))
    with pytest.raises(CredentialsRefused) as failed:
        fetches(lines, peer, signing_key)["jwt"]()
    assert failed.value.said == said


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ({}, None),
        ({"scope": "a b"}, {"a", "b"}),
        ({"scope": ["a", 1]}, {"a"}),
        ({"scope": " "}, None),
        ({"scope": 7}, None),
    ],
)
def test_a_grant_says_its_scopes_where_the_platform_does(said, scopes):
    assert grant_of({"access_token": "x", **said}).scopes == scopes


@pytest.mark.parametrize("expires", ['"soon"', "1e400", "-1", '"3600"', "null", "[]", "true"])
@pytest.mark.parametrize("way", ["secret", "jwt"])
def test_an_odd_expiry_is_no_failure(lines, signing_key, way, expires):
    peer = lines.peer(answer(b'{"access_token": "x", "expires_in": %s}' % expires.encode()))
    assert 0 <= fetches(lines, peer, signing_key)[way]().seconds <= 86400


def test_a_secret_no_header_can_hold_is_not_repeated(lines, signing_key):
    peer = lines.peer(answer(GIVEN))
    fetch = client_secret(lines.session, key(token_url=peer.url("/token")), "client", "se☃Cret")
    with pytest.raises(ConnectorError) as failed:
        fetch()
    assert "Cret" not in str(failed.value)
    assert peer.requests == []


@pytest.mark.parametrize("way", ["secret", "jwt"])
def test_a_token_url_outside_the_reach_is_not_called(lines, signing_key, way):
    peer = lines.peer(answer(GIVEN))
    token_key = key(token_url="https://evil.example/token")
    ways = {
        "secret": client_secret(lines.session, token_key, "client", "secret"),
        "jwt": private_key_jwt(lines.session, token_key, "client", signing_key, "k1"),
    }
    with pytest.raises(AddressRefused):
        ways[way]()
    assert peer.connections == 0


def test_a_token_is_fetched_through_the_broker(lines, signing_key):
    peer = lines.peer(answer(GIVEN))
    broker, fetch = TokenBroker(ProcessCache()), fetches(lines, peer, signing_key)["jwt"]
    assert broker.token(key(), fetch) == broker.token(key(), fetch)
    assert len(peer.requests) == 1
