"""OAuth clients that sign (RFC 7523): an assertion is the client's own, for us, short-lived and good once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import time_machine
from cryptography.hazmat.primitives import serialization

from tests.identity.town import ASSERTION, EC_KEY, TOKEN_URL, URL, Town, granted, open_town, refused
from tests.platforms import public_jwk, rsa_key
from tests.refused.gate import ABSENT, mac, nested, signed, text


@pytest.fixture(scope="module")
def built(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with open_town(addresses, tmp_path_factory.mktemp("assertions")) as made:
        yield made


@pytest.fixture
def town(built: Town) -> Town:
    return built.fresh()


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
@pytest.mark.parametrize("aud", [TOKEN_URL, [TOKEN_URL]], ids=["a word", "a list of one"])
def test_a_signed_assertion_gets_a_token(town: Town, alg: str, aud: Any) -> None:
    client, key = (town.rsa, rsa_key()) if alg == "RS256" else (town.ec, EC_KEY)
    told = granted(town.prove(jwt.encode(town.claims(client, aud=aud), key, alg, {"kid": "anything"})))
    assert town.read(told["access_token"]).status_code == 200


def at(seconds: int) -> Callable[[Town], int]:
    return lambda town: int(town.world.clock.at.timestamp()) + seconds


CLAIMS: dict[str, dict[str, Any]] = {
    "aud": {"absent": ABSENT, "null": None, "empty": "", "other": "https://other.example/token", "the gateway": URL,
            "with a slash": TOKEN_URL + "/", "us and another": [TOKEN_URL, "x"], "an empty list": [],
            "us twice": [TOKEN_URL] * 2},
    "exp": {"absent": ABSENT, "null": None, "a word": "soon", "past": at(-31), "too far": at(301), "true": True,
            "not a number": float("nan"), "infinite": float("inf"), "huge": 10**400},
    "nbf": {"ahead": at(120), "a word": "now"}, "iat": {"an hour ahead": at(3600), "a word": "now"},
    "jti": {"absent": ABSENT, "null": None, "empty": "", "a number": 7, "256 characters": "j" * 256, "a NUL": "j\0"},
    "iss": {"absent": ABSENT, "null": None, "other": "other", "another client": lambda town: town.a.client_id},
    "sub": {"absent": ABSENT, "a list": [], "unknown": "nobody", "a NUL": "\0", "a number": 7,
            "another client": lambda town: town.ec, "one without a key": lambda town: town.a.client_id},
}  # fmt: skip
GOOD = {"alg": "RS256"}
PEM = rsa_key().public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)  # fmt: skip
PUBLIC = json.dumps(public_jwk(rsa_key())).encode()
FORGED: dict[str, Callable[[dict[str, Any]], str]] = {
    "alg none": lambda said: f"{text({'alg': 'none'})}.{text(said)}.",
    "another key": lambda said: signed(GOOD, said, rsa_key(7)),
    "HS256 with the public key": lambda said: mac({"alg": "HS256"}, said, PEM),
    "HS256 with the key as JSON": lambda said: mac({"alg": "HS256"}, said, PUBLIC),
    "HS256 with nothing": lambda said: mac({"alg": "HS256"}, said, b""),
    "a key of its own in jwk": lambda said: signed(GOOD | {"jwk": public_jwk(rsa_key(7))}, said, rsa_key(7)),
    "the other client's key": lambda said: jwt.encode(said, EC_KEY, "ES256"),
    "RS512": lambda said: jwt.encode(said, rsa_key(), "RS512"),
    "crit": lambda said: signed(GOOD | {"crit": ["exp"]}, said), "no alg": lambda said: signed({}, said),
    "of other claims": lambda said: f"{text(GOOD)}.{text(said | {'x': 1})}.{signed(GOOD, said).split('.')[2]}",
    "two parts": lambda said: signed(GOOD, said).rpartition(".")[0], "a word": lambda said: "assertion",
    "empty": lambda said: "",
    "claims in a list": lambda said: signed(GOOD, [said]), "not JSON": lambda said: signed(GOOD, b"sub"),
    "not UTF-8": lambda said: signed(GOOD, b'{"sub": "\xff"}'),
    "a header in a list": lambda said: signed([GOOD], said),
    "900 deep": lambda said: signed(GOOD, nested(900)), "9000 deep": lambda said: signed(GOOD, nested(9000)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "value"),
    [pytest.param(claim, value, id=f"{claim} {what}") for claim in CLAIMS for what, value in CLAIMS[claim].items()],
)
def test_an_assertion_with_any_one_claim_wrong_is_refused(town: Town, claim: str, value: Any) -> None:
    before = town.tokens()
    said = town.claims(town.rsa, **{claim: value(town) if callable(value) else value})
    answer = town.prove(signed(GOOD, said))
    refused(answer, "invalid_client")
    assert (answer.json["code"], town.tokens()) == ("AUT_CLIENT_INVALID", before)


@pytest.mark.parametrize("how", FORGED)
def test_an_assertion_that_is_not_the_clients_own_is_refused(town: Town, how: str) -> None:
    before = town.tokens()
    answer = town.prove(FORGED[how](town.claims(town.rsa)))
    refused(answer, "invalid_client")
    assert (answer.json["code"], town.tokens()) == ("AUT_CLIENT_INVALID", before)


def test_an_assertion_is_good_once(town: Town) -> None:
    assertion = town.proof()
    granted(town.prove(assertion))
    refused(town.prove(assertion), "invalid_client")
    said = town.claims(town.rsa, jti="again")
    granted(town.prove(signed(GOOD, said)))
    refused(town.prove(signed(GOOD, said | {"exp": said["exp"] + 5})), "invalid_client")
    granted(town.prove(jwt.encode(town.claims(town.ec, jti="again"), EC_KEY, "ES256")))


def test_an_assertion_beside_the_name_of_another_client_is_refused(town: Town) -> None:
    """RFC 7521 section 4.2: client_id, if present, names the same client."""
    refused(town.prove(town.proof(), client_id=town.a.client_id), "invalid_client")


@pytest.mark.parametrize(
    ("ahead", "life", "taken"),
    [
        pytest.param(3600, 60, True, id="ours is ahead, good"),
        pytest.param(3600, -1800, False, id="ours is ahead, expired"),
        pytest.param(-3600, 60, True, id="ours is behind, good"),
    ],
)
def test_an_assertions_times_are_those_of_the_gateways_clock(town: Town, ahead: int, life: int, taken: bool) -> None:
    """The machine's clock stays where it was; the gateway's is moved."""
    machine = town.world.clock.at
    town.world.clock.forward(seconds=ahead)
    now = int(town.world.clock.at.timestamp())
    said = town.claims(town.rsa, iat=now if taken else ABSENT, exp=now + life)
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": signed(GOOD, said),
    }
    with time_machine.travel(machine):
        answer = town.client.post("/oauth2/token", data=form)
    town.world.clock.forward(seconds=-ahead)
    assert (answer.status_code == 200) is taken, answer.text
