"""Why a launch failed: eight steps, the first that was not passed, and what an administrator may look up later.

What is kept holds no person: kinds, times, lengths, which claims were there. It is kept for logins that we signed
ourselves, a bounded number for each registration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import structlog

from gateway import errors
from gateway.errors import VOCABULARY, Reason, Refused
from gateway.flows.onboarding.places import places
from gateway.flows.parts import Office, Parts
from gateway.identity.launch import GatewayLaunch
from gateway.identity.staff import Person
from gateway.store import launches, registrations
from gateway.store.tenant import UNREACHABLE
from mappings import lti, lti_messages, vocabulary
from mappings.text import is_text

STEPS = (
    "The LMS asked to open the activity, and is registered here",
    "The same browser came back",
    "The LMS sent a signed message",
    "The key it is signed with is known",
    "The signature is genuine",
    "The message is for this gateway, fresh and complete",
    "The course belongs to a school",
    "The school lets this person in",
)
# Which step a refusal belongs to; what is not listed says no to a person.
_LOGIN = ("LTI_LOGIN_", "LTI_ISSUER_", "LTI_REGISTRATION_", "LTI_TARGET_NOT", "LTI_STORAGE_", "REQ_", "RATE_")
_AT: dict[str, int] = {
    **dict.fromkeys(("LTI_FORM", "LTI_STATE", "LTI_BROWSER"), 2),
    **dict.fromkeys(("LTI_PLATFORM_ERROR", "LTI_TOKEN", "LTI_ALG", "LTI_KID"), 3),
    **dict.fromkeys(("LTI_KEY_UNKNOWN", "LTI_KEY_WEAK", "LTI_KEYS_UNREACHABLE"), 4),
    "LTI_SIGNATURE": 5,
    **dict.fromkeys(("LTI_CONTEXT", "LTI_CONTEXT_UNLINKED", "LTI_CONTEXT_LINKED"), 7),
    **dict.fromkeys(("LTI_PERSON", "LTI_FOR_USER_UNKNOWN", "LTI_LINE_ITEM", "LTI_CODE", "LTI_ITEM_NOT_ACCEPTED"), 8),
}
_COMPLETE = 6  # where every claim is looked at, whatever it is about
# What nobody outside is told apart (LV-36).
_OUTWARD = {errors.LTI_REGISTRATION_DISABLED: errors.LTI_ISSUER_UNKNOWN}
_LONGEST = 2000  # characters of an address that a browser is sent back to
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What a person reads: the steps with whether each was passed (None: not tried), what failed, in which claim."""

    steps: tuple[tuple[str, bool | None], ...]
    reason: Reason
    detail: str
    claim: str


def diagnose(refused: Refused) -> Diagnosis:
    """Return the diagnosis of a failed login or launch, as anybody may read it."""
    reason, claim = _OUTWARD.get(refused.reason, refused.reason), claim_of(refused)
    failed = step_of(reason, claim)
    steps = tuple((text, True if n < failed else False if n == failed else None) for n, text in enumerate(STEPS, 1))
    detail = refused.detail if reason is refused.reason and not claim else reason.sentence
    return Diagnosis(steps, reason, detail, claim)


def claim_of(refused: Refused) -> str:
    """Return which claim the gate found wrong, as it says behind the sentence of its code; "" where it names none."""
    named = refused.detail.removeprefix(refused.reason.sentence)
    return named[2:-1] if named.startswith(" (") and named.endswith(")") else ""


def step_of(reason: Reason, claim: str = "") -> int:
    """Return the number of the step at which a refusal is made."""
    if claim:
        return _COMPLETE
    if reason.code.startswith(_LOGIN):
        return 1
    return _AT.get(reason.code, _COMPLETE if reason.code.startswith("LTI_") else 8)


def way_back(gate: GatewayLaunch, refused: Refused, support: str) -> str:
    """Return where the LMS wants the browser back, to say there what went wrong (LTI Core 1.3, launch presentation).

    "" where its message was not genuine, where it names no address of its own, and where nobody may be told that it is
    known here (LV-36).
    """
    shown = gate.claims.get(lti.CLAIM + "launch_presentation")
    url = shown.get("return_url") if isinstance(shown, dict) else None
    if gate.platform is None or refused.reason in _OUTWARD or not isinstance(url, str):
        return ""
    if len(url) > _LONGEST or not is_text(url):
        return ""
    try:
        address, ours = urlsplit(url), gate.platform.serves(url)
    except ValueError:
        return ""
    said = urlencode({"lti_errormsg": refused.reason.sentence, "lti_errorlog": f"{refused.reason.code} {support}"})
    query = f"{address.query}&{said}" if address.query else said
    return urlunsplit(address._replace(query=query)) if ours else ""


def keep(parts: Parts, gate: GatewayLaunch, refused: Refused, support: str) -> None:
    """Keep how a launch failed under its support number, if its login was ours; never in the way of the answer."""
    if not gate.registration or refused.reason in (errors.LTI_REPLAYED, errors.LTI_STATE):
        return
    try:
        with parts.database.open_identity() as session:
            platform = registrations.by_ref(session, gate.registration)
            if platform is not None:
                facts = _redacted(gate, claim_of(refused), parts.clock.now().timestamp())
                registrations.keep_failure(
                    session, support, platform.registration, platform.home_district, refused.reason.code, facts,
                    parts.clock.now(),
                )  # fmt: skip
    except UNREACHABLE as error:
        _log.warning("failure_not_kept", kind=type(error).__name__)


def _redacted(gate: GatewayLaunch, wrong: str, now: float) -> dict[str, Any]:
    """What is kept of a message: nothing about a person. Claims count once their signature is verified; of the one that
    was wrong its name is kept."""
    claims, header = gate.claims, gate.header
    issued, expires = _number(claims.get("iat")), _number(claims.get("exp"))
    named = {name.rsplit("/", 1)[-1] for name in claims}
    kind = claims.get(lti.CLAIM + "message_type")
    roles = claims.get(lti.CLAIM + "roles")
    words = vocabulary.course_roles([r for r in roles if isinstance(r, str)]) if isinstance(roles, list) else ()
    return {
        "tier": gate.tier, "alg": header.get("alg"), "has_kid": "kid" in header,
        "skew_seconds": None if issued is None else round(issued - now),
        "lives_seconds": None if issued is None or expires is None else round(expires - issued),
        "message_type": kind if isinstance(kind, str) and kind in lti_messages.KINDS else None,
        "course_roles": sorted(words), "claims": sorted(named & _CLAIM_NAMES), "verified": bool(claims),
        "wrong_claim": wrong or None,
    }  # fmt: skip


# In the order in which they are read.
_FACTS = (
    "message_type", "course_roles", "tier", "alg", "has_kid", "verified", "skew_seconds", "lives_seconds",
    "wrong_claim", "claims",
)  # fmt: skip


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and abs(value) < 1e12 else None


_CLAIM_NAMES = frozenset(
    {
        "iss", "aud", "azp", "exp", "iat", "nbf", "nonce", "sub", "email", "name", "given_name", "family_name",
        "version", "message_type", "deployment_id", "target_link_uri", "roles", "resource_link", "context", "lis",
        "custom", "launch_presentation", "tool_platform", "endpoint", "namesroleservice", "deep_linking_settings",
        "for_user", "groupsservice", "platformnotificationservice", "lti1p1",
    }
)  # fmt: skip


# --- the inspector -------------------------------------------------------------------------------------


def failures(parts: Office, by: Person, deployment: str | None = None) -> Sequence[Any]:
    """Return the latest failed launches of the district's registrations. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        return launches.failures(session, deployment)


def inspect(parts: Office, by: Person, number: str) -> dict[str, Any]:
    """Return what is known of one launch, by its support number or its own reference: redacted. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = launches.failure(session, number)
    if found is not None:
        failed = step_of(VOCABULARY[found.code], found.facts.get("wrong_claim") or "")
        said = {"support": found.support, "at": found.at, "registration": found.registration, "outcome": found.code}
        said |= {"passed": failed - 1, "of": len(STEPS), "failed_at": STEPS[failed - 1]}
        return said | {name: found.facts[name] for name in _FACTS if name in found.facts}
    where = [place.school for place in places(parts, by, ())]
    with parts.database.open_schools(by.district, where) as session:
        row = launches.launch_called(session, number)
    if row is None:
        raise Refused(errors.REQ_UNKNOWN, f"there is no launch {number} of this district on record")
    facts = {name: row.facts.get(name) for name in ("kind", "tier", "unnamed", "excused", "course_roles", "activity")}
    said = {"launch": row.launch, "at": row.created_at, "deployment": row.deployment, "outcome": "let in"}
    return said | {"passed": len(STEPS), "of": len(STEPS), "role": row.role} | facts
