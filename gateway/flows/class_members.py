"""The members of a class for the application: the roster's, marked with who is in the LMS course too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows import aliased, courses, disclosure
from gateway.flows.courses import Present, Wanted
from gateway.flows.parts import Parts
from gateway.identity.clients import Grant
from gateway.policy import rowplan
from gateway.policy.decide import Decision, decide
from gateway.policy.minimise import clear
from gateway.policy.request import RULES, Actor, ActorKind, Obligation, Operation, Request
from gateway.store import aliases, roster
from gateway.store import facts as fact_store
from gateway.store.tenant import Place, Session
from mappings import application
from mappings.cleared import Cleared

ELEMENTS = frozenset(
    {"record.alias", "record.version", "person.role", "person.name.full", "person.email", "enrollment.membership"}
)
GROUPS = frozenset({"enrollment.group", "group.name"})
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


def _request(parts: Parts, session: Session, grant: Grant, class_id: str) -> Request:
    """A request of the application itself: for groups too where the LMS lists them."""
    elements = ELEMENTS | GROUPS if courses.lists_groups(session, class_id) else ELEMENTS
    return Request(
        parts.ids.new("tr"), Operation.MEMBERS, Actor(ActorKind.APPLICATION, grant.ref),
        fact_store.school_ref(session), grant.vendor, RULES[Operation.MEMBERS].purpose, elements, MANDATORY, class_id,
        meets=MEETS,
    )  # fmt: skip


def _decide(parts: Parts, session: Session, grant: Grant, class_id: str) -> Decision:
    request = _request(parts, session, grant, class_id)
    facts = fact_store.load(session, grant.credential(session.place, request.school))
    return decide(request, facts, parts.clock.now())


def _wanted(parts: Parts, grant: Grant, place: Place, class_id: str) -> Wanted:
    """How much of groups is asked for at the LMS: what may leave, and no more."""
    with parts.database.open_school(place) as session:
        if not courses.lists_groups(session, class_id):
            return Wanted.NOTHING
        permitted = _decide(parts, session, grant, class_id).permitted
    if "enrollment.group" not in permitted:
        return Wanted.NOTHING
    return Wanted.NAMES if "group.name" in permitted else Wanted.IDS


def members(parts: Parts, grant: Grant, class_text: str, request_id: str) -> Cleared[bytes]:
    """Return the members of a class. Raises Refused."""
    place, class_id = find_class(parts, grant, class_text)
    in_course = courses.refresh_members(parts, place, class_id, _wanted(parts, grant, place, class_id))
    return aliased.answered(parts, grant, lambda: _members(parts, grant, place, class_id, in_course, request_id))


def _members(
    parts: Parts, grant: Grant, place: Place, class_id: str, in_course: Present, request_id: str
) -> Cleared[bytes]:
    with parts.database.open_school(place) as session:
        decision = _decide(parts, session, grant, class_id)
        if decision.permits:
            outcome = _answer(parts, session, grant, class_id, in_course, decision, request_id)
        else:
            refused = disclosure.deny(parts, session, decision, grant.ref)
    if not decision.permits:
        raise refused
    return outcome


def _answer(
    parts: Parts, session: Session, grant: Grant, class_id: str, in_course: Present, decision: Decision,
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
    groups = _groups(session, grant, in_course, {row.sourced_id for row in kept})
    data = [_member(row, names[row.sourced_id], in_course, groups) for row in kept]
    record = {
        "data": sorted(data, key=lambda m: m["id"]), "snapshot": f"v{version}",
        "withheld": disclosure.said_counts(withheld), "request_id": request_id,
    }  # fmt: skip
    cleared = clear(decision, application.Members, record)
    disclosure.intend(parts, session, decision, grant.ref, (row.sourced_id for row in kept), cleared.payload, withheld)
    return cleared


def _groups(
    session: Session, grant: Grant, in_course: Present, kept: Set[str]
) -> Mapping[str, Sequence[Mapping[str, Any]]]:  # fmt: skip
    """The groups of those who are in the answer, under names of this grant's own: {our id: groups}."""
    met = {one.key for person in kept for one in in_course.groups.get(person, ())}
    ids = {key: application.outward(application.GROUP, aliases.pseudonym(session, grant.ref, "group", key))
           for key in sorted(met)}  # fmt: skip
    return {
        person: sorted(({"id": ids[one.key], "name": one.name, "set": one.set} for one in in_course.groups[person]),
                       key=lambda group: group["id"])
        for person in kept & in_course.groups.keys()
    }  # fmt: skip


def _member(
    row: Any, alias: str, in_course: Present, groups: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:  # fmt: skip
    return {
        "id": application.outward(application.PERSON, alias), "role": row.role,
        "name": f"{row.given_name} {row.family_name}", "email": row.email,
        "source": "both" if row.sourced_id in in_course.people else "sis",
        "groups": groups.get(row.sourced_id),
    }  # fmt: skip
