"""The application exchanges a one-time code for its launch, once, within a minute."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import datetime
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows import aliased, disclosure
from gateway.flows.launch.hand_over import ELEMENTS, Who, decide_entry, request_for
from gateway.flows.parts import Parts
from gateway.identity.clients import Grant
from gateway.policy import rowplan
from gateway.policy.decide import Decision, decide_person
from gateway.policy.minimise import clear
from gateway.store import aliases, registrations, roster
from gateway.store import facts as fact_store
from gateway.store.secrets import token_hash
from gateway.store.tenant import Session
from mappings import application, lti
from mappings.cleared import Cleared


def exchange(parts: Parts, grant: Grant, code: str) -> Cleared[bytes]:
    """Return the launch for its code, once, to the application it was made for. Raises Refused."""
    return aliased.answered(parts, grant, lambda: _exchange(parts, grant, code))


def _exchange(parts: Parts, grant: Grant, code: str) -> Cleared[bytes]:
    now = parts.clock.now()
    with parts.database.open_identity() as session:
        key = registrations.use_key(session, token_hash(code), "launch", grant.ref, now)
        if key is None:
            raise Refused(errors.LTI_CODE)
        session.narrow(registrations.place_of(key))
        outcome = _tell(parts, session, grant, key.ref, now)
    if isinstance(outcome, Refused):
        raise outcome
    return outcome


def _tell(parts: Parts, session: Session, grant: Grant, launch: str, now: datetime) -> Cleared[bytes] | Refused:
    row = registrations.launch(session, launch, now)
    if row is None:
        return Refused(errors.LTI_CODE)
    known = fact_store.known(session, grant.vendor, grant.agreement)
    request = request_for(parts, known.school, grant.vendor, row.role, row.class_id)
    facts = known.facts(grant.credential(session.place, known.school))
    nobody = row.person_id is None
    person = fact_store.NOBODY if nobody else fact_store.person(session, row.person_id)
    who = Who(row.person_id, "", row.role, person, visitor=nobody and row.facts["unnamed"])
    decision = decide_entry(request, facts, who, now)
    about = row.facts["about"]
    if decision.permits and about and rowplan.judge(decision.plan, fact_store.person(session, about)):
        decision = decide_person(request, facts, fact_store.person(session, about), now)
    if not decision.permits:
        return disclosure.deny(parts, session, decision, grant.ref)
    unnamed = decision.row is None
    cleared = clear(decision, application.Launch, _record(session, grant, row, decision, unnamed=unnamed))
    people = [one for one in (row.person_id, about) if one]
    held_back = Counter(_held_back(decide_person(request, facts, person, now))) if unnamed and not nobody else None
    disclosure.intend(parts, session, decision, grant.ref, people, cleared.payload, held_back)
    return cleared


def _held_back(denied: Decision) -> list[str]:
    """Why the person goes without a name, for the school's own log."""
    return [reason.code for reason in denied.reasons[:1]]


def _name_of(session: Session, grant: Grant, row: Any, *, unnamed: bool) -> str:
    """The application's id for whoever launched: the alias of the record, or a pseudonym that is no alias of any."""
    if unnamed and row.person_id:
        return aliases.pseudonym(session, grant.ref, "pseudonym", row.person_id)
    if unnamed:
        if not row.sub:  # nobody to know again: nothing is kept
            return hashlib.sha256(row.launch.encode()).hexdigest()[:32]
        return aliases.pseudonym(session, grant.ref, "visitor", f"{row.facts['registration']} {row.sub}")
    return aliases.outward(session, grant.ref, "user", [row.person_id])[row.person_id]


def _about(session: Session, grant: Grant, row: Any) -> dict[str, str] | None:
    person = row.facts["about"]
    if person is None:
        return None
    return {
        "id": application.outward(application.PERSON, aliases.outward(session, grant.ref, "user", [person])[person])
    }


def _accepts(settings: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a picker may hand back, as the LMS said; None where nothing is picked."""
    if settings is None:
        return None
    return {
        "types": settings["accept_types"], "multiple": settings["accept_multiple"],
        "line_item": settings["accept_lineitem"], "media_types": settings.get("accept_media_types"),
        "targets": settings["accept_presentation_document_targets"],
    }  # fmt: skip


def _record(session: Session, grant: Grant, row: Any, decision: Decision, *, unnamed: bool) -> dict[str, Any]:
    """Everything the answer could hold; what may leave is picked from it."""
    aliases.ensure_here(session, grant.schools, grant.ref)
    person = _name_of(session, grant, row, unnamed=unnamed)
    class_alias = aliases.outward(session, grant.ref, "class", [row.class_id])[row.class_id]
    user = None if unnamed else roster.user(session, row.person_id)
    class_ = roster.class_(session, row.class_id)
    course = registrations.course(session, row.deployment, row.context_id)
    ags = (course.services if course else {}).get("ags", {})
    teacher = row.role == "teacher"
    return {
        "id": row.launch,
        "kind": row.facts["kind"],
        "expires_at": row.expires_at.isoformat(),
        "person": {
            "id": application.outward(application.PERSON, person), "role": row.role,
            "name": f"{user.given_name} {user.family_name}" if user else None,
            "email": user.email if user else None,
        },
        "class_": {
            "id": application.outward(application.CLASS, class_alias), "title": class_.title if class_ else None,
            "matched": "sis",
        },
        "activity": {"your_id": row.facts.get("activity"), "column": "linked" if ags.get("lineitem") else "none"},
        "can": {
            "members": teacher, "grades": teacher and lti.SCOPE_SCORE in ags.get("scope", ()),
            "read_back": lti.SCOPE_RESULT in ags.get("scope", ()),
        },
        "about": _about(session, grant, row),
        "accepts": _accepts(row.facts["settings"]),
        "withheld": sorted(ELEMENTS - decision.permitted),
        "return_url": None if unnamed else row.facts.get("return_url"),
        "locale": row.facts.get("locale"),
    }  # fmt: skip
