"""How a source knows us: OAuth 2 client credentials, a token that does not expire, or a signature on each request.

Each lets a session carry credentials to the origin of one address, and nowhere else.

Sources: RFC 6749 §2.3.1 and §4.4; RFC 5849 §3.4 (OAuth 1.0a); HMAC-SHA256 as 1EdTech's security framework and
ClassLink's clients sign (reference oneroster.md §1b: one that signs it is refused by one that knows SHA1 only).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

from authlib.integrations.requests_client import OAuth1Auth
from authlib.oauth1 import ClientAuth
from authlib.oauth1.rfc5849.signature import generate_signature_base_string
from requests.auth import AuthBase

from connectors.egress import GuardedSession, origin_of
from connectors.errors import AnswerRefused, CredentialsRefused
from connectors.tokens import Token, TokenBroker, TokenKey, client_secret

HMAC_SHA256 = "HMAC-SHA256"
_BUSY = frozenset({429, 500, 502, 503, 504})


class Credentials(Protocol):
    """What a pull needs of them."""

    def admit(self, line: GuardedSession, url: str) -> AuthBase | None:
        """Let the session show them at the origin of `url`; what is returned signs each request."""

    def renew(self) -> bool:
        """After a 401: forget what was shown; False where there is nothing newer to show."""


@dataclass(slots=True)
class ClientCredentials:
    """OAuth 2: a token for our id and secret, fetched anew once it is no longer accepted."""

    key: TokenKey
    client_id: str
    secret: str = field(repr=False)
    in_body: bool
    broker: TokenBroker
    open_line: Callable[..., GuardedSession]
    _shown: Token | None = None

    def admit(self, line: GuardedSession, url: str) -> AuthBase | None:
        line.authorize(url, lambda: self._token().header)
        return None

    def renew(self) -> bool:
        self.broker.forget(self.key, self._shown)
        return True

    def _token(self) -> Token:
        host = origin_of(self.key.token_url).authority
        fetch = client_secret(
            lambda: self.open_line({host}), self.key, self.client_id, self.secret, in_body=self.in_body
        )
        try:
            self._shown = self.broker.token(self.key, fetch)
        except AnswerRefused as refused:
            if refused.status in _BUSY:
                raise
            # A 404 there must not be read as one of the collection that was asked for.
            raise CredentialsRefused(f"the token address answers {refused.status}") from refused
        return self._shown


@dataclass(frozen=True, slots=True)
class StaticBearer:
    """A token that was typed in and does not expire, as roster hubs give them."""

    token: Token

    def admit(self, line: GuardedSession, url: str) -> AuthBase | None:
        line.authorize(url, lambda: self.token.header)
        return None

    def renew(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Signature:
    """OAuth 1.0a without a user: each request is signed, every query parameter with it (RFC 5849 §3.4.1.3)."""

    client_id: str
    secret: str = field(repr=False)
    method: str = HMAC_SHA256

    def admit(self, line: GuardedSession, url: str) -> AuthBase | None:
        line.authorize(url)
        signer: AuthBase = OAuth1Auth(self.client_id, self.secret, signature_method=self.method)
        return signer

    def renew(self) -> bool:
        return False


def _sign_sha256(client: Any, request: Any) -> str:
    """The signature of RFC 5849 §3.4.2 with SHA-256 for SHA-1."""
    key = "&".join(quote(secret or "", safe="~") for secret in (client.client_secret, client.token_secret))
    digest = hmac.digest(key.encode(), generate_signature_base_string(request).encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


ClientAuth.register_signature_method(HMAC_SHA256, _sign_sha256)
