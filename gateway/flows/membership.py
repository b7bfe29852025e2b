"""Who is in one course of an LMS: read whole, or by what has changed since, where the LMS says that (NRPS 2.0).

The LMS is the truth; what is kept of a reading saves asking it for everybody again. It is built upon for a day at most:
what an LMS forgot to tell, or what changed between two pages, is not believed for longer. And only while the school
serves the same roster: whoever comes into that was not recognised before. Differences say nothing of groups, so with
groups a course is read whole. Where the LMS answers with no whole list, its last answer stands for as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.contract import Membership
from connectors.errors import ConnectorError
from connectors.lti_advantage import LtiAdvantage
from gateway.flows.parts import Parts
from gateway.store import readings, registrations, roster
from gateway.store.tenant import Place, Session
from mappings import lti, vocabulary


@dataclass(frozen=True, slots=True)
class Linked:
    """One course of a class, as registrations lists it, the line to it, and its last reading."""

    row: Any
    line: LtiAdvantage
    reading: Any | None


@dataclass(frozen=True, slots=True)
class Found:
    """Our ids by those of the LMS; and what the LMS told of those it told of."""

    people: Mapping[str, str]
    members: Sequence[dict[str, Any]] = ()


def read(parts: Parts, place: Place, course: Linked, *, groups: bool) -> Found:
    """Return who is in a course now. Nobody is missing because an answer failed or ended half-way."""
    changes = None if groups else _changes(parts, place, course)
    if changes is not None:
        return _continued(parts, place, course, changes)
    try:
        whole = course.line.read_members(groups=groups)
    except ConnectorError:
        return Found(_people(course.reading) if _speaks(parts, course.reading) else {})
    return _whole(parts, place, course, whole)


def _changes(parts: Parts, place: Place, course: Linked) -> Membership | None:
    """What changed since the last reading; None where that cannot be told, or is not to be built upon."""
    before, source = course.reading, course.line.course.nrps.get("context_memberships_url")
    if before is None or not before.differences or before.source != source:
        return None
    if parts.clock.now() - before.whole_at >= readings.SPEAKS_FOR:
        return None
    with parts.database.open_school(place) as session:
        if roster.current_version(session) != before.version:
            return None
    try:
        return course.line.read_changes(before.differences)
    except ConnectorError:
        return None


def _continued(parts: Parts, place: Place, course: Linked, changes: Membership) -> Found:
    row, before = course.row, course.reading
    people = _people(before)
    for member in changes.members:
        people.pop(member["user_id"], None)
    with parts.database.open_school(place) as session:
        people |= _learn(parts, session, row.registration, changes.members)
        readings.go_on(session, row.deployment, row.context_id, before, changes.differences, people, parts.clock.now())
    return Found(people)


def _whole(parts: Parts, place: Place, course: Linked, whole: Membership) -> Found:
    row, source = course.row, course.line.course.nrps["context_memberships_url"]
    with parts.database.open_school(place) as session:
        version = roster.current_version(session)  # before its people: whoever comes meanwhile is looked for again
        people = _learn(parts, session, row.registration, whole.members)
        readings.keep(
            session, row.deployment, row.context_id, source, whole.differences, version, people, parts.clock.now()
        )
    return Found(people, whole.members)


def _people(reading: Any) -> dict[str, str]:
    return dict(zip(reading.subs, reading.people, strict=True))


def _speaks(parts: Parts, reading: Any | None) -> bool:
    return reading is not None and parts.clock.now() - reading.read_at < readings.SPEAKS_FOR


def _learn(parts: Parts, session: Session, registration: str, members: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Join LMS users to roster people by the SIS id the LMS sends, {LMS user: our id}; an e-mail alone never joins."""
    said = {m["user_id"]: lti.said(m.get("lis_person_sourcedid")) for m in members if _counts(m)}
    known = {sub: person for sub, person in said.items() if person and roster.user(session, person) is not None}
    if known:
        registrations.know(session, registration, known, "nrps", parts.clock.now())
    return known


def _counts(member: dict[str, Any]) -> bool:
    return member.get("status", "Active") == "Active" and vocabulary.TEST_USER not in member.get("roles", ())
