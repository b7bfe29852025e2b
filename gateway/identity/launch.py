"""The launch gate: LTI 1.3 login initiation and launch, LI-1 to LI-9 and LV-01 to LV-36.

PyLTI1p3 lends the shapes: its `ToolConfAbstract` on our registrations, its Flask `OIDCLogin` with our state, and a
`MessageLaunch` whose `validate()` is this gate. None of its own checks, caches or network calls runs.

The state is not stored: it is a signed statement of what the login was (registration, nonce, target), bound to
the browser by a partitioned cookie. So unfinished logins cost nothing, and what is consumed, in one atomic step,
is the nonce.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from flask import Response
from pylti1p3.contrib.flask import FlaskMessageLaunch, FlaskOIDCLogin, FlaskRequest
from pylti1p3.cookie import CookieService
from pylti1p3.registration import Registration
from pylti1p3.session import SessionService

from gateway import errors
from gateway.clock import Clock
from gateway.errors import VOCABULARY, Refused
from gateway.identity import tokens
from gateway.identity.keys import PlatformKeys
from gateway.identity.platforms import Platform, Registrations, as_pylti
from gateway.identity.states import STATE_SECONDS, State, States, bind
from gateway.store import launches, registrations
from gateway.store.tenant import Session
from mappings import lti

LEEWAY = 60  # seconds of clock skew; Moodle's tokens live 60 seconds
OLDEST = 600  # seconds since issue
LONGEST = 86_400  # seconds from issue to expiry
MAX_PARAMETER = 2048
_FRAME = re.compile(r"[A-Za-z0-9_\-]{1,64}\Z")


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


_NO_LINE = object()  # what a launch calls the outside with: nothing


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
        return as_pylti(self._platform)

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


class GatewayLaunch(FlaskMessageLaunch):  # type: ignore[misc]
    """A message launch whose `validate()` is the gate: structure, key, signature, claims. `consume` is the last
    step and runs in the transaction that makes the launch true."""

    def __init__(
        self, form: Mapping[str, str], cookies: Mapping[str, str], tool_config: Registrations, states: States,
        keys: PlatformKeys, clock: Clock,
    ) -> None:  # fmt: skip
        request = FlaskRequest(cookies=cookies, session={}, request_data=dict(form), request_is_secure=True)
        super().__init__(
            request, tool_config, session_service=_Stateless(), cookie_service=_Cookies(), requests_session=_NO_LINE
        )  # fmt: skip
        self._form, self._browser, self._states, self._keys, self._clock = form, cookies, states, keys, clock
        self.admitted: Admitted | None = None
        self._state: State | None = None

    def validate(self) -> GatewayLaunch:
        """Run the gate. Raises Refused with the code of the first check that fails."""
        state = self._states.open(self._form["state"])
        name, value = self._states.cookie(state)
        if not hmac.compare_digest(self._browser.get(name, "").encode(), value.encode()):
            raise Refused(errors.LTI_BROWSER)
        self._state = state
        if "error" in self._form:
            raise Refused(errors.LTI_PLATFORM_ERROR)
        token = self._form.get("id_token", "")
        header, claims = tokens.read(token)
        platform = self._tool_config.platform(state.issuer, state.client_id)
        key = self._keys.key(platform.ref, platform.jwks_url, header["kid"])
        tokens.verify(token, key)
        now = self._clock.now().timestamp()
        for check in _CHECKS:
            check(claims, state, now)
        message = _message(claims, platform)
        if state.deployment_id and message["deployment_id"] != state.deployment_id:
            raise Refused(errors.LTI_DEPLOYMENT)
        if message["target_link_uri"] != state.target:
            raise Refused(errors.LTI_TARGET_LINK_URI)
        self.admitted = Admitted(platform, state, message)
        self._jwt, self._registration, self._validated = {"body": claims}, as_pylti(platform), True
        return self

    def consume(self, session: Session) -> tuple[Admitted, Any]:
        """Use up the nonce (LV-05, LV-21), after everything else was found good, and return with the admitted launch
        where it comes in (`store.launches.arrive`). Raises Refused."""
        if self.admitted is None:
            self.validate()
        admitted = self.admitted
        assert admitted is not None  # noqa: S101 - validate sets it or raises
        state, message = admitted.state, admitted.message
        found = launches.arrive(
            session, state.nonce_hash, state.forgotten_at, admitted.platform.ref, message["deployment_id"],
            message.get("context", {}).get("id"),
        )  # fmt: skip
        if not found.fresh:
            raise Refused(errors.LTI_REPLAYED)
        return admitted, found

    def spend(self, session: Session) -> None:
        """Use up the nonce of a login that came to nothing (LV-02)."""
        if self._state is not None:
            registrations.spend_nonce(session, self._state.nonce_hash, self._state.forgotten_at)


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
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11


def _nonce(claims: dict[str, Any], state: State, _now: float) -> None:
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "replace"), state.nonce.encode()):
        raise Refused(errors.LTI_NONCE)


_CHECKS: tuple[Callable[[dict[str, Any], State, float], None], ...] = (_issuer, _audience, _times, _nonce)


def _message(claims: dict[str, Any], platform: Platform) -> dict[str, Any]:
    """Return the message by our names (LV-22 to LV-31). Raises Refused with the claim's own code."""
    message, code, claim = lti.read_launch(claims)
    if code:
        raise Refused(VOCABULARY[code], f"{VOCABULARY[code].sentence} ({claim.rsplit('/', 1)[-1]})")
    services = [message.get("ags", {}).get("lineitems"), message.get("ags", {}).get("lineitem"),
                message.get("nrps", {}).get("context_memberships_url")]  # fmt: skip
    if not all(platform.serves(url) for url in services if url):
        raise Refused(errors.LTI_SERVICE_URL)
    return message
