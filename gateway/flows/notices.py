"""Notices of an LMS: what it tells us by itself, each taken once; and which of them it is asked for.

An LMS sends a notice once and never again, so nothing rests on one: what a course was copied from, launches say too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from connectors.errors import ConnectorError
from connectors.lti_advantage import LtiAdvantage
from gateway import errors
from gateway.errors import Refused
from gateway.flows import courses
from gateway.flows.checks import in_words
from gateway.flows.onboarding.lines import deployment_named
from gateway.flows.parts import Office, Parts
from gateway.identity import notices
from gateway.identity.staff import Person
from gateway.identity.tokens import strict_json
from gateway.store import registrations
from gateway.store.tenant import Place, Session
from mappings import lti_notices

# A notice's id is forgotten when its token has long been too old: it lives 600 seconds from its issue, and clocks may
# differ by 300.
REMEMBERED = timedelta(days=1)
_log = structlog.get_logger()


def take(parts: Parts, body: bytes, support: str) -> None:
    """Take the notices of one request that are genuine; the others are on record. Raises Refused for what is no list
    of notices."""
    try:
        listed = lti_notices.read_batch(strict_json(body))
    except (ValueError, RecursionError) as error:
        raise Refused(errors.LTI_NOTICE) from error
    for number, token in enumerate(listed, 1):
        _take_one(parts, token, f"{support}.{number}")


def _take_one(parts: Parts, token: str, support: str) -> None:
    notice = None
    try:
        notice = notices.verified(parts.registrations, parts.keys, parts.clock, token)
        state = _act(parts, notice, notice.read(parts.registrations))
    except Refused as refused:
        _log.warning("notice_refused", code=refused.reason.code)
        if notice is not None:
            _keep(parts, notice, refused, support)
        return
    _log.info("notice", state=state)


def _act(parts: Parts, notice: notices.Notice, message: dict[str, Any]) -> str:
    """Do what a notice is about, once: in one transaction with its being used up. Raises Refused."""
    at, said = notice.platform.ref, message["notice"]
    context, origins = message.get("context", {}), message.get("origins", [])
    with parts.database.open_identity() as session:
        row = registrations.noticed(session, at, message["deployment_id"], context.get("id", ""), origins)
        if row is None or row.status != "active":
            raise Refused(errors.LTI_DEPLOYMENT)
        if row.registration_status != "active":
            raise Refused(errors.LTI_REGISTRATION_DISABLED)
        parts.registrations.require_keys_at(notice.platform, row.jwks_url)
        if not registrations.take_notice(session, _hash(at, said["id"]), parts.clock.now() + REMEMBERED):
            return "repeated"
        registrations.told(session, row.district, row.deployment, said["type"], parts.clock.now())
        if row.known and not row.linked:
            _suggest(parts, session, at, message, row)
    return "taken"


def _suggest(parts: Parts, session: Session, registration: str, message: dict[str, Any], row: Any) -> None:
    """Remember of a new course what it was copied from, for somebody who links it: nothing is linked by this."""
    context = message["context"]
    registrations.keep_waiting(
        session, registration, message["deployment_id"], context["id"], row.district, row.deployment,
        context.get("title"), parts.clock.now(), message["origins"],
    )  # fmt: skip


def _hash(registration: str, notice_id: str) -> bytes:
    return hashlib.sha256(f"notice\0{registration}\0{notice_id}".encode()).digest()


def _keep(parts: Parts, notice: notices.Notice, refused: Refused, support: str) -> None:
    """Keep that a notice was refused, beside the launches that failed. Only one whose signature is its platform's: what
    anybody can send would push out what somebody needs."""
    said = notice.claims.get(lti_notices.NOTICE)
    named = said.get("type") if isinstance(said, dict) else None
    facts = {"message_type": named if isinstance(named, str) and named in lti_notices.TYPES else None, "verified": True}
    at = notice.platform
    if not at.home:
        return
    with parts.database.open_identity() as session:
        registrations.keep_failure(
            session, support, at.ref, at.home, refused.reason.code, facts, parts.clock.now()
        )  # fmt: skip


# --- which notices are sent to us --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Handler:
    """One kind of notice, where its platform sends it, whether that was so before (kept, changed, elsewhere), and when
    one came here last."""

    notice_type: str
    address: str
    state: str
    last: datetime | None


def subscribe(parts: Parts, by: Person, deployment: str) -> list[Handler]:
    """Have a deployment's LMS send us the notices that we can use, and return where it sends each then. What is so
    already is left alone. Raises Refused."""
    by.acts_for_district()
    ours, line = f"{parts.settings.url}/lti/notices", _line(parts, by, deployment)
    wanted = [one for one in line.course.notices["notice_types_supported"] if one in lti_notices.TYPES]
    try:
        before = line.read_notice_handlers()
        changed = [one for one in wanted if before.get(one) != ours]
        for one in changed:
            line.send_notices(one, ours)
        after = line.read_notice_handlers() if changed else before
    except ConnectorError as error:
        raise Refused(errors.LTI_NOTICE_SERVICE, f"The LMS: {in_words(error)}.") from error
    states = {one: "changed" if one in changed else "kept" for one in after if after[one] == ours}
    came = last(parts, by, deployment)
    kinds = sorted({*wanted, *after, *came})
    return [Handler(one, after.get(one, ""), states.get(one, "elsewhere"), came.get(one)) for one in kinds]


def last(parts: Office, by: Person, deployment: str) -> dict[str, datetime]:
    """Return when a notice of a deployment came last, by its kind, the latest first. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
        return registrations.last_told(session, found.deployment)


def _line(parts: Parts, by: Person, deployment: str) -> LtiAdvantage:
    """The line to a course of this deployment whose launch has named the service. Raises Refused."""
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
    if found.status != "active":
        raise Refused(errors.LTI_NOTICE_SERVICE, "The deployment is switched off.")
    for school in found.schools:
        with parts.database.open_school(Place(by.district, school)) as session:
            context = registrations.launched(session, found.deployment, "notices")
            line = courses.open_course(parts, session, found.deployment, context) if context else None
        if line is not None:
            return line
    raise Refused(errors.LTI_NOTICE_SERVICE, "No linked course has been launched that names a notification service.")
