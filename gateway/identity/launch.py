"""The launch gate: LTI 1.3 login initiation and launch, LI-1 to LI-9 and LV-01 to LV-36.

PyLTI1p3 lends the shapes: its `ToolConfAbstract` on our registrations, its Flask `OIDCLogin` with our state, and a
`MessageLaunch` whose `validate()` is this gate. None of its own checks, caches or network calls runs.

The state is not stored: it is a signed statement of what the login was (registration, nonce, target), bound to
the browser by a partitioned cookie. So unfinished logins cost nothing, and what is consumed, in one atomic step,
is the nonce.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any, TypeGuard
from urllib.parse import urlsplit

from flask import Response
from itsdangerous import BadSignature, URLSafeSerializer
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey
from pylti1p3.contrib.flask import FlaskMessageLaunch, FlaskOIDCLogin, FlaskRequest
from pylti1p3.cookie import CookieService
from pylti1p3.deployment import Deployment
from pylti1p3.registration import Registration
from pylti1p3.session import SessionService
from pylti1p3.tool_config import ToolConfAbstract

from gateway import errors
from gateway.clock import Clock, Ids
from gateway.errors import VOCABULARY, Refused
from gateway.identity.keys import PlatformKeys, strict_json
from gateway.store import registrations
from gateway.store.secrets import Vault
from gateway.store.tenant import Database, Session
from mappings import lti

STATE_SECONDS = 600
LEEWAY = 60  # seconds of clock skew; Moodle's tokens live 60 seconds
OLDEST = 600  # seconds since issue
LONGEST = 86_400  # seconds from issue to expiry
MAX_PARAMETER, MAX_TOKEN, MAX_DEPTH = 2048, 65_536, 20
_PREFIX = "state-"  # written by PyLTI1p3
_FRAME = re.compile(r"[A-Za-z0-9_\-]{1,64}\Z")
_B64URL = re.compile(r"[A-Za-z0-9_\-]+\Z")


@dataclass(frozen=True, slots=True)
class Platform:
    """A registration as the gate needs it."""

    ref: str
    issuer: str
    client_id: str
    auth_url: str
    jwks_url: str
    hosts: frozenset[str]
    status: str
    vendor: str


class Registrations(ToolConfAbstract):  # type: ignore[misc]
    """PyLTI1p3's tool configuration on our database. Remembers what it read for half a minute; what must be true
    at the moment of a launch is read again in the launch's own transaction."""

    SECONDS = 30

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._memory: dict[tuple[str, str | None], tuple[datetime, list[Platform]]] = {}

    def check_iss_has_one_client(self, _iss: str) -> bool:
        return False

    def check_iss_has_many_clients(self, _iss: str) -> bool:
        return True

    def platform(self, issuer: str, client_id: str | None) -> Platform:
        """Return the one enabled registration (LI-3). Raises Refused: unknown, ambiguous or disabled."""
        found = self._find(issuer, client_id)
        if not found:
            raise Refused(errors.LTI_ISSUER_UNKNOWN)
        if len(found) > 1:
            raise Refused(errors.LTI_REGISTRATION_AMBIGUOUS)
        if found[0].status != "active":
            raise Refused(errors.LTI_REGISTRATION_DISABLED)
        return found[0]

    def _find(self, issuer: str, client_id: str | None) -> list[Platform]:
        now = self._clock.now()
        known = self._memory.get((issuer, client_id))
        if known and now - known[0] < timedelta(seconds=self.SECONDS):
            return known[1]
        with self._database.open_identity() as session:
            found = [_platform(row) for row in registrations.by_issuer(session, issuer, client_id)]
        if found:
            self._memory[issuer, client_id] = (now, found)
        return found

    def find_registration_by_issuer(self, iss: str, *_a: Any, **_k: Any) -> Registration:
        return _as_pylti(self.platform(iss, None))

    def find_registration_by_params(self, iss: str, client_id: str, *_a: Any, **_k: Any) -> Registration:
        return _as_pylti(self.platform(iss, client_id or None))

    def find_deployment(self, iss: str, deployment_id: str) -> Deployment | None:
        return self.find_deployment_by_params(iss, deployment_id, "")

    def find_deployment_by_params(
        self, iss: str, deployment_id: str, client_id: str, *_a: Any, **_k: Any
    ) -> Deployment | None:
        platform = self.platform(iss, client_id or None)
        with self._database.open_identity() as session:
            row = registrations.arrival(session, platform.ref, deployment_id, "")
        known = row is not None and row.deployment is not None
        return Deployment().set_deployment_id(deployment_id) if known else None


def _platform(row: Any) -> Platform:
    return Platform(
        row.registration, row.issuer, row.client_id, row.auth_url, row.jwks_url, frozenset(row.hosts), row.status,
        row.vendor,
    )  # fmt: skip


def _as_pylti(platform: Platform) -> Registration:
    made = Registration().set_issuer(platform.issuer).set_client_id(platform.client_id)
    return made.set_auth_login_url(platform.auth_url).set_key_set_url(platform.jwks_url)


# --- state -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class State:
    """What a login was: signed, ten minutes good, bound to one browser."""

    id: str
    nonce: str
    registration: str
    issuer: str
    client_id: str
    deployment_id: str
    target: str
    at: int


class States:
    """Makes and opens states, and the cookies that bind them."""

    def __init__(self, vault: Vault, clock: Clock, ids: Ids) -> None:
        self._signer = URLSafeSerializer(vault.derive("lti-state"), salt="state")
        self._cookie_key = vault.derive("lti-state-cookie")
        self._teacher_key = vault.derive("lti-teacher-cookie")
        self._clock, self._ids = clock, ids

    def make(self, platform: Platform, deployment_id: str, target: str) -> tuple[State, str]:
        """Return a new state and its text."""
        state = State(
            self._ids.secret(), self._ids.secret(), platform.ref, platform.issuer, platform.client_id,
            deployment_id, target, int(self._clock.now().timestamp()),
        )  # fmt: skip
        values = [state.id, state.nonce, state.registration, state.issuer, state.client_id,
                  state.deployment_id, state.target, state.at]  # fmt: skip
        return state, str(self._signer.dumps(values))

    def open(self, text: str) -> State:
        """Return the state behind a text (LV-03). Raises Refused with LTI_STATE."""
        try:
            state = State(*self._signer.loads(text.removeprefix(_PREFIX)))
        except (BadSignature, TypeError, ValueError) as error:
            raise Refused(errors.LTI_STATE) from error
        if not 0 <= self._clock.now().timestamp() - state.at <= STATE_SECONDS:
            raise Refused(errors.LTI_STATE)
        return state

    def cookie(self, state: State) -> tuple[str, str]:
        """Return the name and value of the cookie that binds a state to a browser. The name is not the secret."""
        digest = hmac.digest(self._cookie_key, state.id.encode(), "sha256").hex()
        return f"__Host-lti-{digest[:12]}", digest[12:]

    def teacher_cookie(self, deployment: str, sub: str, day: date) -> tuple[str, str]:
        """Return the name and value of the cookie that makes a browser a teacher's for the day of a launch."""
        who = f"{deployment}\n{sub}"
        name = hmac.digest(self._teacher_key, who.encode(), "sha256").hex()
        value = hmac.digest(self._teacher_key, f"{day}\n{who}".encode(), "sha256").hex()
        return f"__Host-teacher-{name[:12]}", value

    def is_teachers_browser(self, launch: Any, cookies: Mapping[str, str]) -> bool:
        """Whether these cookies are of the browser in which this launch, or another of the same day, was made."""
        name, value = self.teacher_cookie(launch.deployment, launch.sub, launch.created_at.astimezone(UTC).date())
        return hmac.compare_digest(cookies.get(name, "").encode(), value.encode())


def bind(response: Response, name: str, value: str, seconds: int) -> None:
    """Set a cookie that binds a browser: secure, partitioned, out of scripts' reach, in an LMS's frame too."""
    response.set_cookie(
        name, value, max_age=seconds, secure=True, httponly=True, path="/", samesite="None", partitioned=True
    )


class _Cookies(CookieService):  # type: ignore[misc]
    """Sets the one cookie of a login, on every reply secure, partitioned and out of scripts' reach."""

    def __init__(self, name: str = "", value: str = "") -> None:
        self.name, self.value = name, value

    def get_cookie(self, _name: str) -> str | None:
        return None

    def set_cookie(self, _name: str, _value: str | int, exp: int | None = 3600) -> None:
        """The cookie was chosen when the state was made."""

    def update_response(self, response: Response) -> None:
        bind(response, self.name, self.value, STATE_SECONDS)


class _Stateless(SessionService):  # type: ignore[misc]
    """Nothing is kept between login and launch: the state carries it."""

    def __init__(self) -> None:
        """No storage."""

    def save_nonce(self, nonce: str) -> None:
        """The nonce is in the state."""


# --- login -----------------------------------------------------------------------------------------


class GatewayLogin(FlaskOIDCLogin):  # type: ignore[misc]
    """Login initiation with our checks and our state (LI-1 to LI-9)."""

    def __init__(
        self, parameters: Mapping[str, str], tool_config: Registrations, states: States, targets: Sequence[str]
    ) -> None:
        request = FlaskRequest(
            cookies={}, session={}, request_data=dict(parameters) or {"": ""}, request_is_secure=True
        )
        self.cookies = _Cookies()
        super().__init__(request, tool_config, session_service=_Stateless(), cookie_service=self.cookies)
        self._states, self._targets, self._parameters = states, targets, parameters
        self._state: State | None = None

    def validate_oidc_login(self) -> Registration:
        said = self._parameters
        for name, reason in (
            ("iss", errors.LTI_LOGIN_ISS),
            ("login_hint", errors.LTI_LOGIN_HINT),
            ("target_link_uri", errors.LTI_LOGIN_TARGET),
        ):
            if not 0 < len(said.get(name, "")) <= MAX_PARAMETER:
                raise Refused(reason)
        if any(len(value) > 4 * MAX_PARAMETER for value in said.values()):
            raise Refused(errors.LTI_LOGIN_PARAMETER)
        if said["target_link_uri"] not in self._targets:
            raise Refused(errors.LTI_TARGET_NOT_ALLOWED)
        if "lti_storage_target" in said and not _FRAME.match(said["lti_storage_target"]):
            raise Refused(errors.LTI_STORAGE_TARGET)
        self._platform = self._tool_config.platform(said["iss"], said.get("client_id") or None)
        return _as_pylti(self._platform)

    def _get_uuid(self) -> str:
        deployment = self._parameters.get("lti_deployment_id", "")
        self._state, text = self._states.make(self._platform, deployment, self._parameters["target_link_uri"])
        self.cookies.name, self.cookies.value = self._states.cookie(self._state)
        return text

    def _generate_nonce(self) -> str:
        assert self._state is not None  # noqa: S101 - the state is made first
        return self._state.nonce

    def _prepare_redirect_url(self, launch_url: str) -> str:
        url: str = super()._prepare_redirect_url(launch_url)
        base = self._platform.auth_url
        return base + "&" + url[len(base) + 1 :] if "?" in base else url


# --- launch ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Admitted:
    """A launch whose every claim was checked; its nonce is not used up yet."""

    platform: Platform
    state: State
    message: dict[str, Any]
    nonce_hash: bytes
    nonce_until: datetime


class GatewayLaunch(FlaskMessageLaunch):  # type: ignore[misc]
    """A message launch whose `validate()` is the gate: structure, key, signature, claims. `consume` is the last
    step and runs in the transaction that makes the launch true."""

    def __init__(
        self, form: Mapping[str, str], cookies: Mapping[str, str], tool_config: Registrations, states: States,
        keys: PlatformKeys, clock: Clock,
    ) -> None:  # fmt: skip
        request = FlaskRequest(cookies=cookies, session={}, request_data=dict(form), request_is_secure=True)
        super().__init__(request, tool_config, session_service=_Stateless(), cookie_service=_Cookies())
        self._form, self._browser, self._states, self._keys, self._clock = form, cookies, states, keys, clock
        self.admitted: Admitted | None = None

    def validate(self) -> GatewayLaunch:
        """Run the gate. Raises Refused with the code of the first check that fails."""
        state = self._states.open(self._form["state"])
        name, value = self._states.cookie(state)
        if not hmac.compare_digest(self._browser.get(name, "").encode(), value.encode()):
            raise Refused(errors.LTI_BROWSER)
        if "error" in self._form:
            raise Refused(errors.LTI_PLATFORM_ERROR)
        token = self._form.get("id_token", "")
        header = read_header(token)
        platform = self._tool_config.platform(state.issuer, state.client_id)
        key = self._keys.key(platform.ref, platform.jwks_url, header["kid"])
        claims = verify(token, key)
        now = self._clock.now().timestamp()
        for check in _CHECKS:
            check(claims, state, now)
        message = _message(claims, platform)
        if state.deployment_id and message["deployment_id"] != state.deployment_id:
            raise Refused(errors.LTI_DEPLOYMENT)
        if message["target_link_uri"] != state.target:
            raise Refused(errors.LTI_TARGET_LINK_URI)
        until = datetime.fromtimestamp(claims["exp"] + 2 * LEEWAY, UTC)
        self.admitted = Admitted(platform, state, message, sha256(state.nonce.encode()).digest(), until)
        self._jwt, self._registration, self._validated = {"body": claims}, _as_pylti(platform), True
        return self

    def consume(self, session: Session) -> Admitted:
        """Use up the nonce (LV-05, LV-21), after everything else was found good. Raises Refused."""
        if self.admitted is None:
            self.validate()
        admitted = self.admitted
        assert admitted is not None  # noqa: S101 - validate sets it or raises
        if not registrations.consume_nonce(session, admitted.nonce_hash, admitted.nonce_until):
            raise Refused(errors.LTI_REPLAYED)
        return admitted


def read_header(token: str) -> dict[str, Any]:
    """Check a compact JWS's structure and return its header (LV-06 to LV-08). Raises Refused."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_TOKEN or not all(_B64URL.match(p) for p in parts):
        raise Refused(errors.LTI_TOKEN)
    header = _part(parts[0])
    _part(parts[1])
    if header.get("alg") != "RS256" or "crit" in header or "b64" in header:
        raise Refused(errors.LTI_ALG)
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= 255:
        raise Refused(errors.LTI_KID)
    return header


def _part(text: str) -> dict[str, Any]:
    """Decode one part: canonical base64url, UTF-8 JSON object, unique names, bounded depth."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
            raise Refused(errors.LTI_TOKEN)
        found = strict_json(raw)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise Refused(errors.LTI_TOKEN) from error
    if not isinstance(found, dict) or _depth(found) > MAX_DEPTH:
        raise Refused(errors.LTI_TOKEN)
    return found


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(item) for item in inner), default=0)


def verify(token: str, key: RSAKey) -> dict[str, Any]:
    """Return the claims of a token signed by this key (LV-11). Keys named in the token are never used."""
    try:
        signed = jws.deserialize_compact(token, key, algorithms=["RS256"])
    except (JoseError, ValueError, TypeError) as error:
        raise Refused(errors.LTI_SIGNATURE) from error
    claims: dict[str, Any] = strict_json(signed.payload)
    return claims


def _issuer(claims: dict[str, Any], state: State, _now: float) -> None:
    if claims.get("iss") != state.issuer:
        raise Refused(errors.LTI_ISS)


def _audience(claims: dict[str, Any], state: State, _now: float) -> None:
    """LV-13 to LV-16: for us, for nobody else, and for the client of the login."""
    said = claims.get("aud")
    listed = [said] if isinstance(said, str) else said
    if not isinstance(listed, list) or not listed or any(a != state.client_id for a in listed):
        raise Refused(errors.LTI_AUD)
    if "azp" in claims and claims["azp"] != state.client_id:
        raise Refused(errors.LTI_AZP)
    if len(listed) > 1 and "azp" not in claims:
        raise Refused(errors.LTI_AZP)


def _times(claims: dict[str, Any], _state: State, now: float) -> None:
    """LV-17 to LV-19: finite numbers, sixty seconds of leeway."""
    expires, issued = claims.get("exp"), claims.get("iat")
    if not _is_time(expires) or now >= expires + LEEWAY:
        raise Refused(errors.LTI_EXP)
    if not _is_time(issued) or issued > now + LEEWAY or issued < now - OLDEST:
        raise Refused(errors.LTI_IAT)
    if "nbf" in claims and (not _is_time(claims["nbf"]) or claims["nbf"] > now + LEEWAY):
        raise Refused(errors.LTI_NBF)
    if expires - issued > LONGEST:
        raise Refused(errors.LTI_LIFETIME)


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 < value < 1e11


def _nonce(claims: dict[str, Any], state: State, _now: float) -> None:
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), state.nonce.encode()):
        raise Refused(errors.LTI_NONCE)


_CHECKS: tuple[Callable[[dict[str, Any], State, float], None], ...] = (_issuer, _audience, _times, _nonce)


def _message(claims: dict[str, Any], platform: Platform) -> dict[str, Any]:
    """Return the message by our names (LV-22 to LV-31). Raises Refused with the claim's own code."""
    message, code, claim = lti.read_launch(claims)
    if code:
        raise Refused(VOCABULARY[code], f"{VOCABULARY[code].sentence} ({claim.rsplit('/', 1)[-1]})")
    services = [message.get("ags", {}).get("lineitems"), message.get("ags", {}).get("lineitem"),
                message.get("nrps", {}).get("context_memberships_url")]  # fmt: skip
    for url in services:
        if url and urlsplit(url).netloc.lower() not in platform.hosts:
            raise Refused(errors.LTI_SERVICE_URL)
    return message
