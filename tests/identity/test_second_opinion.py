"""A second opinion on launch tokens: what the library we verify with takes and PyJWT does not, does not get in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import jwt
import pytest
import time_machine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from gateway.errors import Refused
from gateway.identity import tokens
from gateway.identity.launch import GatewayLaunch
from tests.platforms import HOST, LTI, Login, public_jwk, rsa_key
from tests.refused.gate import GOOD, Gate, open_gate, sealed, signed, text


@pytest.fixture(scope="module")
def gate(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with open_gate(addresses, tmp_path_factory.mktemp("opinion")) as made:
        yield made


@pytest.fixture(scope="module")
def begun(gate: Gate) -> Login:
    return gate.lms.login(gate.world)


Mutation = Callable[[dict[str, Any]], str]
NAMES = st.sampled_from(["iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "sub", "jti", LTI + "version", "x"])
WORDS = st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "cty", "x5t"])
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**12), st.floats(), st.text(max_size=8),
    st.sampled_from([HOST, "RS256", "none", "HS256", "k1", 2_000_000_000, [], {}, ["exp"], [HOST], {"kty": "RSA"}]),
)  # fmt: skip
PLACE = st.floats(0, 1, exclude_max=True)


def spliced(raw: bytes, place: float, gone: int, new: bytes) -> bytes:
    start = int(place * len(raw))
    return raw[:start] + new + raw[start + gone :]


def as_json(said: Any) -> bytes:
    return json.dumps(said).encode()


def plain(said: Any) -> bytes:
    return f"{text(GOOD)}.{text(said)}".encode()


def read(raw: bytes) -> str:
    return raw.decode("latin-1")


GONE, BYTES = st.integers(0, 3), st.binary(max_size=3)
LETTERS = st.sampled_from([b"", b"A", b".", b"=", b"-", b"/", b" ", b"\n", b"AA", b".."])
MUTATIONS: st.SearchStrategy[Mutation] = st.one_of(
    st.builds(lambda name, value: lambda said: signed(GOOD, said | {name: value}), NAMES, VALUES),
    st.builds(lambda name: lambda said: signed(GOOD, {n: v for n, v in said.items() if n != name}), NAMES),
    st.builds(lambda word, value: lambda said: signed(GOOD | {word: value}, said), WORDS, VALUES),
    st.builds(lambda *how: lambda said: signed(GOOD, spliced(as_json(said), *how)), PLACE, GONE, BYTES),
    st.builds(lambda *how: lambda said: signed(spliced(as_json(GOOD), *how), said), PLACE, GONE, BYTES),
    st.builds(lambda *how: lambda said: read(spliced(signed(GOOD, said).encode(), *how)), PLACE, GONE, LETTERS),
    st.builds(lambda *how: lambda said: sealed(read(spliced(plain(said), *how))), PLACE, GONE, LETTERS),
)


def ours_accepts(token: str) -> bool:
    """Whether the library we build on takes the token, by the gate's own two steps."""
    try:
        tokens.read(token)
        tokens.verify(token, RSAKey.import_key(public_jwk(rsa_key())))
    except Refused:
        return False
    return True


def pyjwt_accepts(gate: Gate, token: str) -> bool:
    expected = {"audience": gate.lms.client_id, "issuer": HOST, "leeway": 60}
    required = {"require": ["exp", "iat", "nonce", "sub"]}
    try:
        with time_machine.travel(gate.world.clock.at, tick=False):
            jwt.decode(token, rsa_key().public_key(), ["RS256"], required, **expected)
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        return False
    return True


def gets_through(gate: Gate, token: str, login: Login) -> bool:
    parts = gate.world.parts
    form = {"id_token": token, "state": login.asked["state"]}
    try:
        GatewayLaunch(form, login.cookies, parts.registrations, parts.states, parts.keys, parts.clock).validate()
    except Refused:
        return False
    return True


def test_a_good_token_is_good_to_both_libraries_and_to_the_gate(gate: Gate, begun: Login) -> None:
    good = signed(GOOD, gate.said(begun, {}))
    assert ours_accepts(good)
    assert pyjwt_accepts(gate, good)
    assert gets_through(gate, good, begun)


@settings(max_examples=300, deadline=None, database=None)
@example(mutation=lambda said: signed(GOOD, said))
@example(mutation=lambda said: signed(GOOD, said | {"jti": None}))
@given(mutation=MUTATIONS)
def test_no_token_gets_through_that_only_one_of_two_libraries_accepts(
    gate: Gate, begun: Login, mutation: Mutation
) -> None:
    token = mutation(gate.said(begun, {}))
    if gets_through(gate, token, begun):
        assert (ours_accepts(token), pyjwt_accepts(gate, token)) == (True, True)


# --- a million of them ---------------------------------------------------------------------------------

PARTS, IN_ALL = 8, 1_000_000
ODD = [None, True, False, 0, -1, 1.5, 10**12, "", "x", HOST, "RS256", "none", "HS256", "k1", [], {}, ["exp"], [HOST]]
KEYS = ["iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "sub", "jti", LTI + "version", LTI + "roles", "x"]


def at_random(chance: Random, said: dict[str, Any]) -> str:
    """One token somewhere near a good one: a claim, a header word, or bytes of any part are another."""
    kind, where = chance.randrange(7), (chance.random(), chance.randrange(4))
    new = chance.randbytes(chance.randrange(4))
    letters = chance.choice([b"", b"A", b".", b"=", b"-", b"/", b" ", b"AA"])
    if kind == 0:
        return signed(GOOD, said | {chance.choice(KEYS): chance.choice(ODD)})
    if kind == 1:
        gone = chance.choice(KEYS)
        return signed(GOOD, {name: value for name, value in said.items() if name != gone})
    if kind == 2:
        return signed(GOOD | {chance.choice(["alg", "kid", "typ", "crit", "b64", "jwk"]): chance.choice(ODD)}, said)
    if kind == 3:
        return signed(GOOD, spliced(as_json(said), *where, new))
    if kind == 4:
        return signed(spliced(as_json(GOOD), *where, new), said)
    if kind == 5:
        return read(spliced(signed(GOOD, said).encode(), *where, letters))
    return sealed(read(spliced(plain(said), *where, letters)))


@pytest.mark.invariants
@pytest.mark.parametrize("part", range(PARTS))
def test_of_a_million_tokens_none_gets_through_that_only_one_library_accepts(
    gate: Gate, begun: Login, part: int
) -> None:
    chance, said, let_in = Random(part), gate.said(begun, {}), 0
    for _ in range(IN_ALL // PARTS):
        token = at_random(chance, said)
        if gets_through(gate, token, begun):
            let_in += 1
            assert (ours_accepts(token), pyjwt_accepts(gate, token)) == (True, True), token
    assert let_in > IN_ALL // PARTS // 100  # a harmless change is no attack: the generator reaches the inside too
