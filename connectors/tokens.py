"""Service tokens: client credentials and private_key_jwt, cached so that no school gets another's.

Several districts share one platform (Canvas cloud is one issuer): a cache keyed by issuer and scopes
hands one district the other's token. The key here is everything that decides what a token may do.

Sources: RFC 6749 §4.4 and §5, RFC 7523 §2.2 and §3; reference lti.md §3.3 SV-1 and SV-2.
"""

from __future__ import annotations

import hashlib
import json
import math
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakValueDictionary

import requests
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from connectors.egress import GuardedSession, answer_json, guard, require_success
from connectors.errors import AnswerUnreadable, ConnectorError, CredentialsRefused

MARGIN_SECONDS = 60.0
UNSAID_SECONDS = 300.0  # where expires_in is missing
LONGEST_SECONDS = 24 * 3600.0
ASSERTION_SECONDS = 60
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523 §2.2
_JSON = {"Accept": "application/json"}


@dataclass(frozen=True)
class TokenKey:
    """What a token is for. Two keys share a token only if all five parts are equal."""

    tenant: str
    registration: str
    token_url: str
    audience: str
    scopes: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "scopes", tuple(sorted(set(self.scopes))))

    def name(self) -> str:
        """The key as one cache name: a SHA-256 over the parts, whose borders cannot be shifted."""
        parts = [self.tenant, self.registration, self.token_url, self.audience, *self.scopes]
        return "token:" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Token:
    """A bearer token. Its repr and str do not show it."""

    value: str = field(repr=False)

    @property
    def header(self) -> str:
        """The Authorization header."""
        return f"Bearer {self.value}"


@dataclass(frozen=True)
class Grant:
    """What a token endpoint gave: the token, the seconds it is good for, and the scopes it said, None for those
    that were asked for (RFC 6749 §5.1)."""

    token: Token
    seconds: float
    scopes: frozenset[str] | None = None


Fetch = Callable[[], Grant]


class TokenCache(Protocol):
    """Where tokens are kept between calls. May forget anything at any moment.

    `set` keeps for `ttl` seconds. `lock` is held by one caller per name at a time.
    """

    def get(self, name: str) -> str | None: ...
    def set(self, name: str, value: str, ttl: float) -> None: ...
    def delete(self, name: str) -> None: ...
    def lock(self, name: str) -> AbstractContextManager[object]: ...


class ProcessCache:
    """A `TokenCache` for one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    def get(self, name: str) -> str | None:
        with self._guard:
            ends, value = self._kept.get(name, (0.0, ""))
            return value if value and self._clock() < ends else None

    def set(self, name: str, value: str, ttl: float) -> None:
        with self._guard:
            now = self._clock()
            self._kept = {key: kept for key, kept in self._kept.items() if kept[0] > now}
            self._kept[name] = (now + ttl, value)

    def delete(self, name: str) -> None:
        with self._guard:
            self._kept.pop(name, None)

    def lock(self, name: str) -> AbstractContextManager[object]:
        with self._guard:
            return self._locks.setdefault(name, threading.Lock())


class TokenBroker:
    """Gives the token of a key: from the cache, or fetched once however many ask."""

    def __init__(self, cache: TokenCache, *, margin: float = MARGIN_SECONDS) -> None:
        self._cache = cache
        self._margin = margin

    def token(self, key: TokenKey, fetch: Fetch) -> Token:
        """The key's token. `fetch` is called by one thread at a time; its errors are the caller's."""
        name = key.name()
        kept = self._cache.get(name)
        if kept:
            return Token(kept)
        with self._cache.lock(name):
            kept = self._cache.get(name)
            if kept:
                return Token(kept)
            grant = fetch()
            ttl = self._ttl(grant.seconds)
            if ttl > 0:
                self._cache.set(name, grant.token.value, ttl)
            return grant.token

    def forget(self, key: TokenKey, refused: Token | None = None) -> None:
        """Drop the key's token after a 401, so that the next call fetches one.

        With `refused` only that token is dropped: of ten threads that meet the same 401, the last must
        not drop what the first has fetched anew.
        """
        name = key.name()
        if refused is None or self._cache.get(name) == refused.value:
            self._cache.delete(name)

    def _ttl(self, seconds: float) -> float:
        """Seconds to keep a token: less the margin, or half its life where that is longer."""
        return max(seconds - self._margin, seconds / 2)


def client_secret(
    open_line: Callable[[], GuardedSession], key: TokenKey, client_id: str, secret: str, *, in_body: bool = False
) -> Fetch:
    """A fetch by client_secret_basic, or with both in the body. `open_line` opens a session that reaches the token URL.

    The fetch raises `CredentialsRefused` when the platform does not accept them, `AnswerRefused` with
    the status for its other refusals, `AnswerUnreadable` for an answer that is no token.
    """

    def fetch() -> Grant:
        if in_body:
            with open_line() as line:
                form = _form(key, client_id=client_id, client_secret=secret)
                return grant_of(answer_json(_accepted(line.post(key.token_url, data=form, headers=_JSON))))
        with open_line() as line, OAuth2Session(client_id, secret) as client:
            line.authorize(key.token_url)
            guard(client, line.adapter)
            # Authlib writes the credentials; its reading of the answer trips over an odd expires_in.
            basic = client.client_auth("client_secret_basic")
            try:
                response = client.post(key.token_url, data=_form(key), headers=_JSON, auth=basic)
            except (requests.RequestException, ValueError):
                raise ConnectorError("the token request cannot be written") from None
            return grant_of(answer_json(_accepted(response)))

    return fetch


def private_key_jwt(
    open_line: Callable[[], GuardedSession],
    key: TokenKey,
    client_id: str,
    signing_key: RSAKey,
    kid: str,
    *,
    deployment_id: str | None = None,
) -> Fetch:
    """A fetch by a signed assertion, as LTI Advantage asks for it. Raises as `client_secret` does."""

    def fetch() -> Grant:
        assertion = sign_assertion(client_id, key.audience, signing_key, kid, deployment_id=deployment_id)
        form = _form(key, client_assertion_type=_ASSERTION_TYPE, client_assertion=assertion)
        with open_line() as line:
            response = line.post(key.token_url, data=form, headers=_JSON)
            return grant_of(answer_json(_accepted(response)))

    return fetch


def _form(key: TokenKey, **more: str) -> dict[str, str]:
    """The token request's body (RFC 6749 §4.4.2); no scope where none is asked for."""
    scope = {"scope": " ".join(key.scopes)} if key.scopes else {}
    return {"grant_type": "client_credentials", **more, **scope}


def sign_assertion(
    client_id: str,
    audience: str,
    signing_key: RSAKey,
    kid: str,
    *,
    deployment_id: str | None = None,
    now: float | None = None,
) -> str:
    """A client assertion (RFC 7523 §3), RS256, good for 60 seconds and one use.

    `audience` is the token URL unless the platform says otherwise (D2L and Blackboard do);
    `deployment_id` adds the LTI claim that tells shared registrations apart.
    """
    issued = int(time.time() if now is None else now)
    claims: dict[str, object] = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": issued,
        "exp": issued + ASSERTION_SECONDS,
        "jti": str(uuid.uuid4()),
    }
    if deployment_id is not None:
        claims["https://purl.imsglobal.org/spec/lti/claim/deployment_id"] = deployment_id
    try:
        return jwt.encode({"alg": "RS256", "kid": kid}, claims, signing_key, algorithms=["RS256"])
    except (JoseError, ValueError):
        raise ConnectorError("the signing key cannot sign") from None


def grant_of(told: object) -> Grant:
    """The grant in a token endpoint's JSON (RFC 6749 §5.1).

    Raises `CredentialsRefused` where it is an error with a 200, `AnswerUnreadable` for the rest.
    """
    if not isinstance(told, dict):
        raise AnswerUnreadable("the token endpoint's answer is not an object")
    if "error" in told:
        raise _said_no("the token endpoint said no", told)
    value, kind = told.get("access_token"), told.get("token_type", "Bearer")
    # RFC 6750 §2.1: what is outside b64token must not be written into a header.
    if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable():
        raise AnswerUnreadable("the token endpoint gave no token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise AnswerUnreadable("the token endpoint gave a token that is not a bearer token")
    return Grant(Token(value), _seconds(told.get("expires_in")), _scopes(told.get("scope")))


def _scopes(told: object) -> frozenset[str] | None:
    """`scope` as words; some platforms send a list."""
    if isinstance(told, list):
        return frozenset(one for one in told if isinstance(one, str))
    return frozenset(told.split()) if isinstance(told, str) and told.strip() else None


def _seconds(told: object) -> float:
    """`expires_in` as seconds, 0 to a day: a number, or a number in a string as some send it."""
    if told is None or isinstance(told, bool):
        return UNSAID_SECONDS
    try:
        seconds = float(told) if isinstance(told, (int, float, str)) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    return UNSAID_SECONDS if math.isnan(seconds) else min(max(seconds, 0.0), LONGEST_SECONDS)


def _accepted(response: requests.Response) -> requests.Response:
    """The response, if the token endpoint accepted us.

    400 and 401 mean our credentials or our request were refused (RFC 6749 §5.2), 403 the same at some
    gateways; any other status that is not 2xx raises `AnswerRefused`.
    """
    if response.status_code in (400, 401, 403):
        raise _said_no(f"the token endpoint answered with status {response.status_code}", _json(response))
    return require_success(response)


def _json(response: requests.Response) -> object:
    try:
        return answer_json(response)
    except AnswerUnreadable:
        return None


# RFC 6749 §5.2. Other words of a platform are not repeated: nobody knows what stands in them.
_WORDS = frozenset({
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
    "invalid_scope",
})  # fmt: skip


def _said_no(detail: str, told: object) -> CredentialsRefused:
    word = told.get("error") if isinstance(told, dict) else None
    said = word if isinstance(word, str) and word in _WORDS else ""
    return CredentialsRefused(detail, said=said)
