"""The launch gate: a message arrives, LV-01 to LV-36. Login initiation is in `login`.

PyLTI1p3 lends the shape: a `MessageLaunch` whose `validate()` is this gate. None of its own checks, caches or network
calls runs.

The state is not stored: it is a signed statement of what the login was (registration, nonce, target), bound to
the browser by a partitioned cookie, or by what the LMS keeps for it. So unfinished logins cost nothing, and what is
consumed, in one atomic step, is the nonce.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from pylti1p3.contrib.flask import FlaskMessageLaunch, FlaskRequest

from gateway import errors
from gateway.clock import Clock
from gateway.errors import VOCABULARY, Refused
from gateway.identity import tokens
from gateway.identity.keys import PlatformKeys
from gateway.identity.login import Cookies, Stateless
from gateway.identity.platforms import Platform, Registrations, as_pylti
from gateway.identity.states import State, States, Storage
from gateway.store import launches, registrations
from gateway.store.tenant import Session
from mappings import lti_messages
from mappings.lti import CLAIM
from mappings.lti_messages import LONGEST_ID

LEEWAY = 60  # seconds of clock skew; Moodle's tokens live 60 seconds
OLDEST = 600  # seconds since issue
LONGEST = 86_400  # seconds from issue to expiry

_NO_LINE = object()  # what a launch calls the outside with: nothing


@dataclass(frozen=True, slots=True)
class Admitted:
    """A launch whose every claim was checked; its nonce is not used up yet."""

    platform: Platform
    state: State
    message: dict[str, Any]
    tier: str = "cookie"  # what proved the browser: cookie or storage
    excused: tuple[str, ...] = ()  # relaxations of the registration that it needed
    excuses: frozenset[str] = frozenset()  # those that the registration has
    expires: float = 0  # the `exp` of its token


class Unproven(Exception):  # noqa: N818 - a question, not a fault
    """No cookie came back: what the LMS keeps for this login is to be asked for, once."""

    def __init__(self, storage: Storage) -> None:
        super().__init__()
        self.storage = storage


class Terms:
    """What the claims of one token are held against: from whom and for whom it must be, the moment, and what the
    registration is excused from. `used` says which relaxations were needed."""

    def __init__(
        self, issuer: str, client_id: str, excuses: Mapping[str, str], now: float, is_client: Callable[[str], bool]
    ) -> None:  # fmt: skip
        self.issuer, self.client_id, self.excuses, self.now, self.is_client = issuer, client_id, excuses, now, is_client
        self._used: set[str] = set()

    @property
    def used(self) -> tuple[str, ...]:
        return tuple(sorted(self._used))

    def use(self, relaxation: str) -> bool:
        """Whether the registration has this relaxation; it is then on record as needed."""
        if relaxation in self.excuses:
            self._used.add(relaxation)
        return relaxation in self.excuses

    def leeway(self, off: float) -> float:
        """Return by how many seconds the clocks may differ: more than usual only where that is needed and excused."""
        more = int(self.excuses.get("clock_skew", 0))
        return more if LEEWAY <= off < more and self.use("clock_skew") else LEEWAY


PROOF = "platform_storage"  # the field in which the page brings what the LMS kept


class GatewayLaunch(FlaskMessageLaunch):  # type: ignore[misc]
    """A message launch whose `validate()` is the gate: structure, key, signature, claims. `consume` is the last
    step and runs in the transaction that makes the launch true."""

    def __init__(
        self, form: Mapping[str, str], cookies: Mapping[str, str], tool_config: Registrations, states: States,
        keys: PlatformKeys, clock: Clock,
    ) -> None:  # fmt: skip
        request = FlaskRequest(cookies=cookies, session={}, request_data=dict(form), request_is_secure=True)
        super().__init__(
            request, tool_config, session_service=Stateless(), cookie_service=Cookies(), requests_session=_NO_LINE
        )  # fmt: skip
        self._form, self._browser, self._states, self._keys, self._clock = form, cookies, states, keys, clock
        self.admitted: Admitted | None = None
        self.state: State | None = None
        self.registration = ""  # whose launch this is, as far as that is known
        self.header: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}  # only once their signature is verified
        self.platform: Platform | None = None  # whose signature that is
        self.tier = "cookie"

    def validate(self) -> GatewayLaunch:
        """Run the gate. Raises Refused with the code of the first check that fails, and Unproven where the browser has
        no cookie and the LMS can be asked."""
        self.state = state = self._states.open(self._form["state"])
        self.registration = state.registration
        self._recognise(state)
        if "error" in self._form:
            raise Refused(errors.LTI_PLATFORM_ERROR)
        token = self._form.get("id_token", "")
        self.header, claims = tokens.read(token)
        platform = self._tool_config.platform(
            state.issuer, state.client_id, state.deployment_id or deployment_named(claims)
        )
        self.registration = platform.whose
        key = self._keys.key(platform.ref, platform.jwks_url, self.header["kid"])
        tokens.verify(token, key)
        self.claims, self.platform, now = claims, platform, self._clock.now()
        of_issuer = self._tool_config.of_issuer(state.issuer)
        terms = Terms(state.issuer, state.client_id, platform.excuses(now), now.timestamp(), of_issuer)
        check_token(claims, terms)
        _nonce(claims, state)
        if not platform.home:
            raise Refused(errors.LTI_DEPLOYMENT)
        message = _message(claims, platform, terms)
        if state.deployment_id and message["deployment_id"] != state.deployment_id:
            raise Refused(errors.LTI_DEPLOYMENT)
        if message.setdefault("target_link_uri", state.target) != state.target:
            raise Refused(errors.LTI_TARGET_LINK_URI)
        self.admitted = Admitted(
            platform, state, message, self.tier, terms.used, frozenset(terms.excuses), claims["exp"]
        )
        self._jwt, self._registration, self._validated = {"body": claims}, as_pylti(platform), True
        return self

    def _recognise(self, state: State) -> None:
        """The browser is the one of the login (LV-04): by its cookie or by what the LMS kept; never by neither."""
        name, value = self._states.cookie(state)
        if hmac.compare_digest(self._browser.get(name, "").encode(), value.encode()):
            return
        kept = self._states.storage(
            state, self._tool_config.platform(state.issuer, state.client_id, state.deployment_id)
        )
        if kept is None:
            raise Refused(errors.LTI_BROWSER)
        if PROOF not in self._form:
            raise Unproven(kept)
        if not hmac.compare_digest(self._form[PROOF].encode(), kept.value.encode()):
            raise Refused(errors.LTI_BROWSER)
        self.tier = "storage"

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
        self._tool_config.require_keys_at(admitted.platform, found.jwks_url)
        if not found.fresh:
            raise Refused(errors.LTI_REPLAYED)
        return admitted, found

    def spend(self, session: Session) -> None:
        """Use up the nonce of a login that came to nothing (LV-02)."""
        if self.state is not None:
            registrations.spend_nonce(session, self.state.nonce_hash, self.state.forgotten_at)


def deployment_named(claims: Mapping[str, Any]) -> str:
    """The deployment that a token is of, as it says itself: only whose keys it must be signed with rests on that."""
    said = claims.get(CLAIM + "deployment_id")
    return said if isinstance(said, str) and len(said) <= LONGEST_ID else ""


def check_token(claims: dict[str, Any], terms: Terms) -> None:
    """Check what every signed message says of itself: from whom, for whom, when (LV-12 to LV-19). Raises Refused."""
    for check in (_issuer, _audience, _times):
        check(claims, terms)


def _issuer(claims: dict[str, Any], terms: Terms) -> None:
    if claims.get("iss") != terms.issuer:
        raise Refused(errors.LTI_ISS)


def _audience(claims: dict[str, Any], terms: Terms) -> None:
    """LV-13 to LV-16: for us, for nobody else who is not trusted, and for the client of the login."""
    said, ours = claims.get("aud"), terms.client_id
    listed = [said] if isinstance(said, str) else said
    if not isinstance(listed, list) or ours not in listed:
        swapped = isinstance(said, str) and terms.is_client(said)
        raise Refused(errors.LTI_CLIENT if swapped else errors.LTI_AUD)
    if any(one != ours for one in listed) and not _trusted(listed, terms):
        raise Refused(errors.LTI_AUD_UNTRUSTED)
    if len(listed) > 1 and "azp" not in claims:
        raise Refused(errors.LTI_AZP_MISSING)
    if "azp" in claims and claims["azp"] != ours:
        raise Refused(errors.LTI_AZP)


def _trusted(listed: list[Any], terms: Terms) -> bool:
    trusted = {terms.client_id, *terms.excuses.get("trusted_audience", "").split()}
    return all(isinstance(one, str) and one in trusted for one in listed) and terms.use("trusted_audience")


def _times(claims: dict[str, Any], terms: Terms) -> None:
    """LV-17 to LV-19: finite numbers, sixty seconds of leeway."""
    expires, issued, now = claims.get("exp"), claims.get("iat"), terms.now
    if not _is_time(expires) or now >= expires + terms.leeway(now - expires):
        raise Refused(errors.LTI_EXP)
    if not _is_time(issued) or issued > now + terms.leeway(issued - now) or issued < now - OLDEST:
        raise Refused(errors.LTI_IAT)
    if "nbf" in claims and (not _is_time(claims["nbf"]) or claims["nbf"] > now + terms.leeway(claims["nbf"] - now)):
        raise Refused(errors.LTI_NBF)
    if expires - issued > LONGEST:
        raise Refused(errors.LTI_LIFETIME)


def _is_time(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11


def _nonce(claims: dict[str, Any], state: State) -> None:
    said, ours = claims.get("nonce"), state.nonce
    if not isinstance(said, str) or not hmac.compare_digest(said.encode("utf-8", "replace"), ours.encode()):
        raise Refused(errors.LTI_NONCE)


def _message(claims: dict[str, Any], platform: Platform, terms: Terms) -> dict[str, Any]:
    """Return the message by our names (LV-22 to LV-32). Raises Refused with the claim's own code."""
    excused = frozenset(terms.excuses)
    message, code, claim = lti_messages.read_launch(claims, excused)
    if code:
        raise Refused(VOCABULARY[code], f"{VOCABULARY[code].sentence} ({claim.rsplit('/', 1)[-1]})")
    for name, left_out in lti_messages.EXCUSES.items():
        if left_out not in message and (name == "anonymous" or "resource_link" in lti_messages.needed(message["kind"])):
            terms.use(name)
    if not all(platform.serves(url) for url in lti_messages.services(message)):
        raise Refused(errors.LTI_SERVICE_URL)
    if "settings" in message and not platform.serves(message["settings"]["deep_link_return_url"]):
        raise Refused(errors.LTI_RETURN_URL)
    return message
