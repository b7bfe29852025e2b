"""The OAuth 2.0 server: client credentials by secret or by signed assertion, opaque tokens kept as hashes.

Authlib answers the protocol (RFC 6749, 6750, 7523); here are its extension points: who a client is, which scopes
it holds, what an assertion must be, where tokens are kept.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import ClientCredentialsGrant, InvalidScopeError
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion
from flask import Flask
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.clock import Clock, Ids
from gateway.identity import keys
from gateway.policy.facts import Credential
from gateway.store import credentials
from gateway.store.secrets import token_hash
from gateway.store.tenant import Database, Place
from mappings.text import is_text

TOKEN_SECONDS = 3600
LEEWAY = 30
ASSERTION_SECONDS = 300  # longest life of a client assertion (RFC 7523 section 3 leaves it to us)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a bearer token stands for: one vendor's grant, its schools and agreement, the scopes held."""

    ref: str
    vendor: str
    district: int
    schools: tuple[int, ...]
    agreement: str
    scopes: frozenset[str]
    client_id: str
    expires_at: datetime
    active: bool
    is_application: bool

    def credential(self, place: Place, school: str) -> Credential:
        """Return what a decision at one school is told of this grant; `school` is the school's reference."""
        covered = frozenset({school}) if place.school in self.schools else frozenset[str]()
        return Credential(self.ref, self.vendor, self.agreement, self.scopes, covered, self.active)

    def get_scope(self) -> str:
        return " ".join(sorted(self.scopes))

    def is_expired(self) -> bool:
        return False  # judged with our own clock when the token is looked up

    def is_revoked(self) -> bool:
        return not self.active


class Client:
    """A client as Authlib asks about it."""

    def __init__(self, row: Any) -> None:
        self.row, self.client_id = row, row.client_id

    def get_allowed_scope(self, scope: str | None) -> str:
        """An unknown scope is an error, not a smaller answer."""
        wanted = (scope or " ".join(self.row.scopes)).split()
        if not set(wanted) <= set(self.row.scopes):
            raise InvalidScopeError
        return " ".join(wanted)

    def check_client_secret(self, secret: str) -> bool:
        kept = self.row.secret_hash or ""
        return hmac.compare_digest(kept, token_hash(secret).hex())

    def check_endpoint_auth_method(self, method: str, _endpoint: str) -> bool:
        if method == "client_secret_basic":
            return bool(self.row.secret_hash)
        return method == "private_key_jwt" and self.row.public_key is not None

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


def is_usable_key(key: Mapping[str, Any]) -> bool:
    """Whether a JWK is a public RSA key of at least 2048 bits or a public EC key, and nothing private is in it."""
    if not all(isinstance(v, str) for v in key.values()) or {"d", "p", "q", "dp", "dq", "qi", "k"} & key.keys():
        return False
    if key.get("kty") == "RSA":
        return keys.usable({"kty": "RSA", "n": key.get("n"), "e": key.get("e")}) is not None
    try:
        return key.get("kty") == "EC" and bool(ECKey.import_key(dict(key)).public_key)
    except (JoseError, ValueError, KeyError, TypeError):
        return False


class _Credentials(ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "private_key_jwt"]

    def validate_token_request(self) -> None:
        try:
            extract_basic_authorization(self.request.headers)
        except UnicodeDecodeError as error:
            raise InvalidClientError(status_code=401) from error
        if self.request.args:
            raise InvalidRequestError("parameters go into the body")
        super().validate_token_request()

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        """Issue the scopes asked for, or all of the grant's when none are named."""
        scope = self.client.get_allowed_scope(self.request.payload.scope)
        token = self.generate_token(scope=scope, include_refresh_token=False)
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER


class _Assertion(JWTBearerClientAssertion):  # type: ignore[misc]
    CLIENT_AUTH_METHOD = "private_key_jwt"

    def __init__(self, server: OAuthServer) -> None:
        super().__init__(leeway=LEEWAY)
        self.server = server

    def __call__(self, query_client: Any, request: Any) -> Client | None:
        """A client id beside the assertion is the assertion's own (RFC 7521 section 4.2)."""
        try:
            client: Client | None = super().__call__(query_client, request)
        except RecursionError as error:
            raise InvalidClientError from error
        if client and request.form.get("client_id", client.client_id) != client.client_id:
            raise InvalidClientError(description="The assertion is another client's.")
        return client

    def get_audiences(self) -> list[str]:
        return [self.server.token_url]

    def resolve_client_public_key(self, client: Client) -> RSAKey | ECKey:
        key = client.row.public_key
        if key is None:
            raise InvalidClientError(description="The client has no key.")
        return RSAKey.import_key(key) if key.get("kty") == "RSA" else ECKey.import_key(key)

    def verify_claims(self, claims: Mapping[str, Any]) -> None:
        """Exact audience, our own clock, a short life, an id used once (RFC 7523 section 3)."""
        if claims.get("aud") not in (self.server.token_url, [self.server.token_url]):
            raise InvalidClientError(description="Invalid claim: 'aud'")
        if claims.get("iss") != claims.get("sub"):
            raise InvalidClientError(description="Issuer and Subject MUST match.")
        now = self.server.clock.now().timestamp()
        for name, least, most in (
            ("exp", now - LEEWAY, now + ASSERTION_SECONDS), ("nbf", 0.0, now + LEEWAY), ("iat", 0.0, now + LEEWAY),
        ):  # fmt: skip
            if (name in claims or name == "exp") and not _is_between(claims.get(name), least, most):
                raise InvalidClientError(description=f"Invalid claim: '{name}'")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 1 <= len(jti) <= 255 or not jti.isprintable():
            raise InvalidClientError(description="Missing JWT ID.")
        if not self.validate_jti(claims, jti):
            raise InvalidClientError(description="JWT ID is used before.")

    def validate_jti(self, claims: Mapping[str, Any], jti: str) -> bool:
        until = datetime.fromtimestamp(float(claims["exp"]), UTC) + timedelta(minutes=2)
        with self.server.database.open_identity() as session:
            return credentials.use_assertion(session, claims["sub"], jti, until)


def _is_between(value: Any, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least < value <= most


class _Bearer(BearerTokenValidator):  # type: ignore[misc]
    def __init__(self, server: OAuthServer) -> None:
        super().__init__(realm="schoolgate")
        self.server = server

    def authenticate_token(self, token: str) -> Grant | None:
        return self.server.grant_of(token)


class OAuthServer:
    """Issues tokens at one token URL and recognises them again."""

    def __init__(self, database: Database, clock: Clock, ids: Ids, token_url: str) -> None:
        self.database, self.clock, self.ids, self.token_url = database, clock, ids, token_url
        self.protector = ResourceProtector()
        self.protector.register_token_validator(_Bearer(self))
        self._server = AuthorizationServer()

    def init_app(self, app: Flask) -> None:
        app.config["OAUTH2_ACCESS_TOKEN_GENERATOR"] = lambda *_a, **_k: self.ids.secret()
        app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": TOKEN_SECONDS}
        self._server.init_app(app, self._client, self._keep)
        self._server.register_grant(_Credentials)
        self._server.register_client_auth_method("private_key_jwt", _Assertion(self))

    def answer(self) -> Any:
        """Return the token endpoint's response to the current request."""
        return self._server.create_token_response()

    def _client(self, client_id: str) -> Client | None:
        if not is_text(client_id):
            return None
        with self.database.open_identity() as session:
            row = credentials.client(session, client_id)
        return Client(row) if row and row.status == "active" and row.grant_status == "active" else None

    def _keep(self, token: Mapping[str, Any], request: Any) -> None:
        now = self.clock.now()
        with self.database.open_identity() as session:
            credentials.keep_token(
                session, token_hash=token_hash(token["access_token"]), client_id=request.client.client_id,
                district=request.client.row.district, access_grant=request.client.row.access_grant,
                scopes=token.get("scope", "").split(), issued_at=now,
                expires_at=now + timedelta(seconds=TOKEN_SECONDS),
            )  # fmt: skip

    def grant_of(self, token: str) -> Grant | None:
        """Return what a bearer token stands for; None when it is unknown. Revoked ones say so."""
        with self.database.open_identity() as session:
            row = credentials.token(session, token_hash(token))
        if row is None:
            return None
        live = row.expires_at > self.clock.now() and row.revoked_at is None
        active = live and row.client_status == "active" and row.status == "active"
        return Grant(
            row.access_grant, row.vendor, row.district, tuple(row.schools or ()), row.agreement,
            frozenset(row.token_scopes), row.client_id, row.expires_at, active, row.is_application,
        )  # fmt: skip
