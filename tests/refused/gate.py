"""A gateway with an LMS at its door, and the tools of somebody who wants to be let in without being entitled."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import responses
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from jwt.algorithms import ECAlgorithm
from psycopg.conninfo import conninfo_to_dict
from werkzeug.test import TestResponse

from gateway.embedded import Addresses
from gateway.settings import Settings
from tests.canaries import tapped
from tests.conftest import world_on
from tests.platforms import Login, Platform, application, public_jwk, rsa_key
from tests.worlds import Caller, Steered, World

URL, EVIL = "https://gateway.example", "https://evil.example"
GOOD = {"alg": "RS256", "kid": "k1"}
ABSENT = object()  # a claim that is left out


def text(part: Any) -> str:
    """One part of a token: these bytes, or this value as JSON."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sealed(said: str, key: rsa.RSAPrivateKey | None = None) -> str:
    """These two parts, whatever they are, with a true RS256 signature."""
    return f"{said}.{text((key or rsa_key()).sign(said.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def signed(header: Any, claims: Any, key: rsa.RSAPrivateKey | None = None) -> str:
    return sealed(f"{text(header)}.{text(claims)}", key)


def mac(header: dict[str, Any], claims: Any, secret: bytes) -> str:
    said = f"{text(header)}.{text(claims)}"
    return f"{said}.{text(hmac.digest(secret, said.encode(), hashlib.sha256))}"


def flipped(word: str, at: int) -> str:
    return word[:at] + ("B" if word[at] == "A" else "A") + word[at:][1:]


def loose(part: str) -> str:
    """The same bytes with other bits where base64url has bits to spare."""
    spare = {2: 4, 3: 2}[len(part) % 4]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert letters.index(part[-1]) % (1 << spare) == 0
    return part[:-1] + letters[letters.index(part[-1]) + 1]


def nested(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


def ec_jwk(**more: Any) -> dict[str, Any]:
    return ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True) | more


@dataclass
class Gate:
    """Two schools with one LMS, a second client of its issuer, a stranger's LMS in another district.

    The application is connected at school A only. `admin` sees every row of the database.
    """

    world: World
    wire: responses.RequestsMock
    admin: psycopg.Connection[Any]
    lms: Platform
    second: Platform
    strange: Platform
    app: Caller

    def said(self, login: Login, changes: dict[str, Any], by: Platform | None = None) -> dict[str, Any]:
        """The claims of a good launch by pupil p2 but for these changes."""
        by = by or self.lms
        good = by.complete(self.world, by.message("p2"), login)
        new = {name: value(self) if callable(value) else value for name, value in changes.items()}
        return {name: value for name, value in (good | new).items() if value is not ABSENT}

    def token(self, login: Login, changes: dict[str, Any], by: Platform | None = None) -> str:
        by = by or self.lms
        return signed({"alg": "RS256", "kid": by.kid}, self.said(login, changes, by), by.key)

    def post(self, token: str, login: Login, cookies: dict[str, str] | None = None, **form: Any) -> TestResponse:
        sent = Login(login.answer, login.asked, login.cookies if cookies is None else cookies)
        return self.lms.post(self.world, token, sent, **form)

    def launch(self, changes: dict[str, Any], by: Platform | None = None, **login: Any) -> TestResponse:
        """Log in and launch; `login` changes what the login says."""
        begun = (by or self.lms).login(self.world, **login)
        return self.post(self.token(begun, changes, by), begun)

    def inside(self) -> tuple[int, int, int]:
        """How much was let in so far: launches, codes, permissions in the schools' ledgers."""
        rows = [self.admin.execute(f"SELECT count(*) FROM {t}").fetchone() for t in ("launch", "doorkey")]
        permits = [e for org in "AB" for e in self.world.ledger(org) if e["outcome"] in ("permit", "partial")]
        return rows[0][0], rows[1][0], len(permits)


Attack = Callable[[Gate], TestResponse]


def cookie_header(login: Login) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in login.cookies.items())}


@contextmanager
def open_gate(addresses: Addresses, folder: Path) -> Iterator[Gate]:
    """A gateway as in production: https outside, the sandbox switched off. One launch has gone well."""
    settings = Settings(folder / "instance", URL, "", "", "", False, 0, 256)
    clock = Steered(datetime(2026, 11, 2, 9, 0, tzinfo=UTC))
    database = conninfo_to_dict(addresses.owner)["dbname"]
    with (
        world_on(addresses, settings, clock) as world,
        tapped(responses.RequestsMock(assert_all_requests_are_fired=False)) as wire,
        psycopg.connect(addresses.admin, dbname=database, autocommit=True) as admin,
    ):
        world.standing().client = world.app.test_client(use_cookies=False)
        stranger = World(world.office, clock).onboard("A")
        gate = Gate(
            world, wire, admin, Platform().register(world, "A", "B").link(world, "A", "kA"),
            Platform(deployment_id="2", context="course-2", kid="k2", key=rsa_key(1)).register(world, "A"),
            Platform(issuer="https://strange.example", deployment_id="3").register(stranger, "A"),
            application(world, "A"),
        )  # fmt: skip
        gate.lms.link(world, "B", "kB", "course-b")
        gate.second.link(world, "A", "kA").serve_keys(wire)
        gate.strange.serve_keys(wire)
        odd = [public_jwk(rsa_key(9), kid="enc", use="enc"), public_jwk(rsa_key(9), kid="rs512", alg="RS512"),
               ec_jwk(kid="ec"), {"kty": "RSA", "kid": "no n"},
               public_jwk(rsa_key(9), kid="twice"), public_jwk(rsa_key(), kid="twice")]  # fmt: skip
        gate.lms.serve_keys(wire, public_jwk(rsa_key(), kid="k1"), *odd)
        assert gate.launch({}).status_code == 303
        yield gate
