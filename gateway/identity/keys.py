"""Keys: those of LMS platforms, fetched and remembered; and ours, made, sealed and published."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from connectors.egress import GuardedSession, answer_json, origin_of, require_success
from connectors.errors import ConnectorError
from gateway import errors
from gateway.cache import Cache
from gateway.clock import Clock
from gateway.errors import Refused
from gateway.store import credentials, registrations
from gateway.store.secrets import Vault
from gateway.store.tenant import Database, Session
from mappings.text import all_text

FRESH = timedelta(minutes=5)  # a key withdrawn by the platform is refused after at most this long
PAUSE = timedelta(seconds=30)  # between two fetches provoked by unknown keys (LV-10)
LAST_GOOD = timedelta(hours=24)  # how long the last good set serves while the platform is down
MAX_SET_BYTES, MAX_KEYS, MIN_BITS = 256 << 10, 50, 2048

OpenLine = Callable[..., GuardedSession]


@dataclass(slots=True)
class _Remembered:
    fetched_at: datetime
    url: str
    keys: dict[str, RSAKey] = field(default_factory=dict)
    weak: frozenset[str] = frozenset()


class PlatformKeys:
    """The signing keys of registered platforms, by registration and kid."""

    def __init__(self, database: Database, cache: Cache, clock: Clock, open_line: OpenLine) -> None:
        self._database, self._cache, self._clock, self._open_line = database, cache, clock, open_line
        self._memory: dict[str, _Remembered] = {}
        self._failed: dict[str, datetime] = {}
        self._guard = threading.Lock()

    def key(self, registration: str, jwks_url: str, kid: str) -> RSAKey:
        """Return the platform's key. Raises Refused: unknown, weak, or the set cannot be read."""
        known = self._memory.get(registration)
        now = self._clock.now()
        fresh = known is not None and known.url == jwks_url and now - known.fetched_at <= FRESH
        if known is None or not fresh or kid not in known.keys | dict.fromkeys(known.weak):
            known = self._renew(registration, jwks_url, kid)
        if kid in known.weak:
            raise Refused(errors.LTI_KEY_WEAK)
        if kid not in known.keys:
            raise Refused(errors.LTI_KEY_UNKNOWN)
        return known.keys[kid]

    def look(self, jwks_url: str) -> tuple[int, int]:
        """Fetch a key set anew and keep nothing: how many of its keys are usable, and how many are not. Raises
        ConnectorError, and ValueError for what is no key set."""
        keys, weak = _read(self._fetch(jwks_url))
        return len(keys), len(weak)

    def _renew(self, registration: str, jwks_url: str, kid: str) -> _Remembered:
        """Ask what another process has fetched, then the platform; at most once per pause."""
        now = self._clock.now()
        with self._cache.alone(f"jwks:{registration}"):
            with self._database.open_identity() as session:
                kept = registrations.key_set(session, registration)
            if kept is not None and kept.key_set.get("url") != jwks_url:
                kept = None  # of an address that is no longer registered
            newer = kept is not None and now - kept.fetched_at < PAUSE
            if kept is not None and (newer or (now - kept.fetched_at < FRESH and _has(kept.key_set, kid))):
                return self._remember(registration, kept.key_set, kept.fetched_at)
            fetched = self._fetched(registration, jwks_url, now)
            if fetched is None:
                if kept is not None and now - kept.fetched_at < LAST_GOOD:
                    return self._remember(registration, kept.key_set, kept.fetched_at)
                raise Refused(errors.LTI_KEYS_UNREACHABLE)
            with self._database.open_identity() as session:
                registrations.keep_key_set(session, registration, fetched, now)
            return self._remember(registration, fetched, now)

    def _fetched(self, registration: str, url: str, now: datetime) -> dict[str, Any] | None:
        """Return the platform's key set; None when it cannot be read, and for a pause after it could not."""
        failed = self._failed.get(registration)
        if failed is not None and failed <= now < failed + PAUSE:
            return None
        try:
            found = self._fetch(url)
        except (ConnectorError, ValueError):
            self._failed[registration] = now
            return None
        self._failed.pop(registration, None)
        return found

    def _fetch(self, url: str) -> dict[str, Any]:
        with self._open_line({origin_of(url).authority}, total_seconds=5.0, max_bytes=MAX_SET_BYTES) as line:
            found = answer_json(require_success(line.get(url)))
        if not isinstance(found, dict) or not isinstance(found.get("keys"), list):
            raise ValueError("not a key set")
        if len(found["keys"]) > MAX_KEYS or not all(isinstance(k, dict) for k in found["keys"]) or not all_text(found):
            raise ValueError("not a key set")
        return {"keys": found["keys"], "url": url}

    def _remember(self, registration: str, key_set: dict[str, Any], at: datetime) -> _Remembered:
        remembered = _Remembered(at, key_set["url"])
        remembered.keys, remembered.weak = _read(key_set)
        with self._guard:
            self._memory[registration] = remembered
        return remembered


def _has(key_set: dict[str, Any], kid: str) -> bool:
    return any(key.get("kid") == kid for key in key_set["keys"])


def _read(key_set: dict[str, Any]) -> tuple[dict[str, RSAKey], frozenset[str]]:
    """Return usable keys by kid, and the kids of keys that must not be used (LV-09)."""
    keys: dict[str, RSAKey] = {}
    weak = set()
    for jwk in key_set["keys"]:
        kid = jwk.get("kid")
        if not isinstance(kid, str) or not kid:
            continue
        if kid in keys or kid in weak:
            keys.pop(kid, None)
            weak.add(kid)
            continue
        key = usable(jwk)
        if key is None:
            weak.add(kid)
        else:
            keys[kid] = key
    return keys, frozenset(weak)


def usable(jwk: dict[str, Any]) -> RSAKey | None:
    """An RSA public key of at least 2048 bits, not meant for encryption; nothing else."""
    if jwk.get("kty") != "RSA" or jwk.get("use", "sig") != "sig" or jwk.get("alg", "RS256") != "RS256":
        return None
    try:
        modulus = base64.urlsafe_b64decode(jwk["n"] + "==")
        if int.from_bytes(modulus).bit_length() < MIN_BITS:
            return None
        return RSAKey.import_key({name: jwk[name] for name in ("kty", "n", "e")})
    except (JoseError, ValueError, KeyError, TypeError):
        return None


# --- ours ------------------------------------------------------------------------------------------

# A key set may be kept for a day by those who fetch it (some LMSs do): a key is published for two
# before it signs, and for two after it has signed last.
OVERLAP = timedelta(hours=48)
KEY_AGE = timedelta(days=90)  # then the worker makes the next one


def make_tool_key(
    session: Session, vault: Vault, kid: str, registration: str, now: datetime, used_from: datetime | None = None
) -> str:
    """Make an RSA key for a registration, sealed at rest; return its kid. It signs at once, or from `used_from` on."""
    key = RSAKey.generate_key(MIN_BITS, private=True)
    public = {**key.as_dict(private=False), "kid": kid, "alg": "RS256", "use": "sig"}
    sealed = vault.seal(key.as_pem(private=True), f"signing_key:{kid}")
    credentials.keep_signing_key(session, kid, "lti", public, sealed, now, registration, used_from or now)
    return kid


def rotate_tool_key(session: Session, vault: Vault, kid: str, registration: str, now: datetime) -> datetime:
    """Make the next key of a registration, published at once; return from when on it signs. The one before it stays
    published for as long again. Raises Refused while a next one is waiting already."""
    registrations.lock(session, registration)
    waiting = credentials.next_key_from(session, registration, now)
    if waiting is not None:
        raise Refused(
            errors.REQ_CONFLICT, f"the next key is published already and signs from {waiting:%Y-%m-%d %H:%M} UTC"
        )
    credentials.retire_keys(session, registration, now + 2 * OVERLAP)
    make_tool_key(session, vault, kid, registration, now, now + OVERLAP)
    return now + OVERLAP


def tool_key(session: Session, vault: Vault, kid: str) -> RSAKey:
    """Return a private key of ours."""
    return RSAKey.import_key(vault.open(credentials.signing_key(session, kid, "lti"), f"signing_key:{kid}"))


def sign(session: Session, vault: Vault, kid: str, claims: dict[str, Any]) -> str:
    """Return these claims as a token signed by a key of ours."""
    return jwt.encode({"alg": "RS256", "kid": kid, "typ": "JWT"}, claims, tool_key(session, vault, kid))


_PUBLIC = ("kty", "n", "e", "kid", "alg", "use")


def public_set(session: Session, now: datetime) -> bytes:
    """Return our key set as JSON: public members only."""
    return _as_set(credentials.public_keys(session, "lti", now))


def public_set_of(session: Session, key_set: str, now: datetime) -> bytes:
    """Return the key set of one registration. Raises Refused where there is none."""
    found = credentials.public_keys_of(session, key_set, now)
    if not found:
        raise Refused(errors.REQ_NOT_FOUND)
    return _as_set(found)


def _as_set(found: list[dict[str, Any]]) -> bytes:
    return orjson.dumps({"keys": [{name: key[name] for name in _PUBLIC} for key in found]})
