"""Two schools whose vendors ask for tokens, by secret or by signed assertion, and how the answers are read."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import jwt
import psycopg
import time_machine
from cryptography.hazmat.primitives.asymmetric import ec
from flask.testing import FlaskClient
from jwt.algorithms import ECAlgorithm
from psycopg.conninfo import conninfo_to_dict
from werkzeug.test import TestResponse

from gateway.app import create_app
from gateway.embedded import Addresses
from gateway.flows import onboarding
from gateway.settings import Settings
from tests.conftest import world_on
from tests.platforms import public_jwk, rsa_key
from tests.refused.gate import ABSENT
from tests.worlds import READ, ROSTER, Caller, Steered, World

URL = "https://gateway.example"
TOKEN_URL = f"{URL}/oauth2/token"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Town:
    """Two schools with a vendor each that has a secret, and at A two more that sign: one with RSA, one with EC."""

    world: World
    admin: psycopg.Connection[Any]
    a: Caller
    b: Caller
    rsa: str
    ec: str

    @cached_property
    def client(self) -> FlaskClient:
        return create_app(self.world.parts).test_client()

    def ask(self, auth: tuple[str, str] | None = None, **form: Any) -> TestResponse:
        """Ask for a token; fields set to None are left out. The machine's clock says what the gateway's says."""
        query, headers = form.pop("query", None), form.pop("headers", None)
        body = {name: v for name, v in ({"grant_type": "client_credentials"} | form).items() if v is not None}
        with time_machine.travel(self.world.clock.at):
            return self.client.post("/oauth2/token", data=body, auth=auth, query_string=query, headers=headers)

    def basic(self, **form: Any) -> TestResponse:
        return self.ask((self.a.client_id, self.a.secret), **form)

    def claims(self, client: str, **changes: Any) -> dict[str, Any]:
        now = int(self.world.clock.at.timestamp())
        said = {
            "iss": client,
            "sub": client,
            "aud": TOKEN_URL,
            "jti": secrets.token_hex(8),
            "iat": now,
            "exp": now + 60,
        }
        return {name: value for name, value in (said | changes).items() if value is not ABSENT}

    def proof(self) -> str:
        """A good assertion of the client that signs with RSA."""
        return jwt.encode(self.claims(self.rsa), rsa_key(), "RS256")

    def fresh(self) -> Town:
        """The town with an application of its own, so that no test uses up another's rate."""
        self.__dict__.pop("client", None)
        return self

    def prove(self, assertion: str, **form: Any) -> TestResponse:
        return self.ask(**{"client_assertion_type": ASSERTION, "client_assertion": assertion} | form)

    def read(self, token: str, path: str = "classes") -> TestResponse:
        return self.client.get(f"{READ}/{path}", headers={"Authorization": f"Bearer {token}"})

    def tokens(self) -> int:
        return self.admin.execute("SELECT count(*) FROM access_token").fetchone()[0]


@contextmanager
def open_town(addresses: Addresses, folder: Path) -> Iterator[Town]:
    settings = Settings(folder / "instance", URL, "", "", "", False, 0, 256)
    database = conninfo_to_dict(addresses.owner)["dbname"]
    with (
        world_on(addresses, settings, Steered(datetime(2026, 11, 2, 9, 0, tzinfo=UTC))) as world,
        psycopg.connect(addresses.admin, dbname=database, autocommit=True) as admin,
    ):
        a, b = (world.standing().reader("A", name="Reader A"), world.reader("B", name="Reader B"))

        def signer(key: dict[str, Any]) -> str:
            agreement, names = world.agreements["Reader A"], [world.refs["A"]]
            return onboarding.connect_vendor(world.office, world.by, "Reader A", agreement, names, [ROSTER], key)[0]

        curve = ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True)
        yield Town(world, admin, a, b, signer(public_jwk(rsa_key())), signer(curve))


def granted(answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json


def refused(answer: TestResponse, error: str) -> None:
    """The answer is OAuth's own error, with our code and remedy beside it, and never kept."""
    assert (answer.status_code, answer.mimetype) in {(400, "application/json"), (401, "application/json")}
    assert answer.json["error"] == error
    assert "access_token" not in answer.json
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json.get("error_description")
    assert answer.json.get("code")
    assert answer.json.get("next_step")
