"""The members of a class for the application: the roster's, marked with who is in the LMS course too."""

from __future__ import annotations

from collections import Counter
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows import aliased, courses, disclosure
from gateway.flows.parts import Parts
from gateway.identity.clients import Grant
from gateway.policy import rowplan
from gateway.policy.decide import Decision, decide
from gateway.policy.minimise import clear
from gateway.policy.request import Actor, ActorKind, Obligation, Operation, Purpose, Request
from gateway.store import aliases, roster
from gateway.store import facts as fact_store
from gateway.store.tenant import Place, Session
from mappings import application
from mappings.cleared import Cleared

ELEMENTS = frozenset(
    {"record.alias", "record.version", "person.role", "person.name.full", "person.email", "enrollment.membership"}
)
MANDATORY = frozenset({"record.alias", "enrollment.membership"})
MEETS = frozenset({Obligation.ALIASES, Obligation.REDISCLOSURE_NOTICE})


def find_class(parts: Parts, grant: Grant, text: str) -> tuple[Place, str]:
    """Return the school and our id of a class of this grant. Raises Refused; foreign and absent look alike."""
    alias = application.inward(application.CLASS, text)
    if not grant.schools:
        raise Refused(errors.OWN_NOT_ASSOCIATED)
    aliases.ensure_everywhere(parts.database, grant.district, grant.schools, grant.ref)
    with parts.database.open_schools(grant.district, grant.schools) as session:
        found = aliases.inward(session, grant.ref, "class", [alias]).get(alias)
    if found is None:
        raise Refused(errors.OWN_NOT_ASSOCIATED)
    return Place(grant.district, found[0]), found[1]


def request_for(parts: Parts, grant: Grant, school: str, operation: Operation, class_id: str | None) -> Request:
    """Return a request of the application itself for its own purpose."""
    return Request(
        parts.ids.new("tr"), operation, Actor(ActorKind.APPLICATION, grant.ref), school, grant.vendor,
        Purpose.ASSESSMENT, ELEMENTS, MANDATORY, class_id, meets=MEETS,
    )  # fmt: skip


def members(parts: Parts, grant: Grant, class_text: str, request_id: str) -> Cleared[bytes]:
    """Return the members of a class. Raises Refused."""
    place, class_id = find_class(parts, grant, class_text)
    in_course = courses.refresh_members(parts, place, class_id)
    return aliased.answered(parts, grant, lambda: _members(parts, grant, place, class_id, in_course, request_id))


def _members(
    parts: Parts, grant: Grant, place: Place, class_id: str, in_course: set[str], request_id: str
) -> Cleared[bytes]:
    now = parts.clock.now()
    with parts.database.open_school(place) as session:
        school = fact_store.school_ref(session)
        facts = fact_store.load(session, grant.credential(session.place, school))
        decision = decide(request_for(parts, grant, school, Operation.MEMBERS, class_id), facts, now)
        if decision.permits:
            outcome = _answer(parts, session, grant, class_id, in_course, decision, request_id)
        else:
            refused = disclosure.deny(parts, session, decision, grant.ref)
    if not decision.permits:
        raise refused
    return outcome


def _answer(
    parts: Parts, session: Session, grant: Grant, class_id: str, in_course: set[str], decision: Decision,
    request_id: str,
) -> Cleared[bytes]:  # fmt: skip
    aliases.ensure_here(session, grant.schools, grant.ref)
    version = roster.current_version(session)  # before its rows: who reads again from here on misses nothing
    rows = roster.members(session, class_id)
    people = fact_store.people(session, (row.sourced_id for row in rows))
    judged = {row.sourced_id: rowplan.judge(decision.plan, people[row.sourced_id]) for row in rows}
    withheld = Counter(reason.code for reason in judged.values() if reason)
    kept = [row for row in rows if judged[row.sourced_id] is None]
    names = aliases.outward(session, grant.ref, "user", (row.sourced_id for row in kept))
    data = [_member(row, names[row.sourced_id], in_course) for row in kept]
    record = {
        "data": sorted(data, key=lambda m: m["id"]), "snapshot": f"v{version}",
        "withheld": disclosure.said_counts(withheld), "request_id": request_id,
    }  # fmt: skip
    cleared = clear(decision, application.Members, record)
    disclosure.intend(parts, session, decision, grant.ref, (row.sourced_id for row in kept), cleared.payload, withheld)
    return cleared


def _member(row: Any, alias: str, in_course: set[str]) -> dict[str, Any]:
    return {
        "id": application.outward(application.PERSON, alias), "role": row.role,
        "name": f"{row.given_name} {row.family_name}", "email": row.email,
        "source": "both" if row.sourced_id in in_course else "sis",
    }  # fmt: skip
