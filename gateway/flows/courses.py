"""Opens the line to an LMS course: the stored link, the registration, our key, the addresses a launch named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from connectors.errors import ConnectorError
from connectors.lti_advantage import Course, LtiAdvantage
from gateway.flows.parts import Parts
from gateway.identity import keys
from gateway.store import credentials, registrations, roster
from gateway.store.tenant import Place, Session
from mappings import lti, vocabulary


def open_course(parts: Parts, session: Session, deployment: str, context_id: str) -> LtiAdvantage | None:
    """Return the line to a linked course, or None when the link, its registration or a launch is missing."""
    link = registrations.course(session, deployment, context_id)
    if link is None or link.registration_status != "active" or not link.services:
        return None
    platform = registrations.by_ref(session, link.registration)
    if platform is None:
        return None
    kid = credentials.signing_kid(session, platform.registration, parts.clock.now())
    course = Course(
        f"{session.place.district}:{session.place.school}", platform.registration, platform.client_id,
        link.deployment_id, platform.token_url, platform.token_audience, kid, frozenset(platform.hosts),
        link.services.get("ags", {}), link.services.get("nrps", {}),
        link.services.get("notices", {}), link.services.get("groups", {}),
    )  # fmt: skip
    return LtiAdvantage(course, keys.tool_key(session, parts.vault, kid), parts.broker, parts.open_line)


MOST_GROUPS = 50  # of one member of a course


@dataclass(frozen=True, slots=True)
class Present:
    """Who is in the LMS courses of a class, by our ids, and their groups there."""

    people: set[str] = field(default_factory=set)
    groups: dict[str, list[Group]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """One group of an LMS course; `key` is its registration and its id there. Names only where they were asked for."""

    key: str
    name: str | None = None
    set: str | None = None


class Wanted(StrEnum):
    """How much of groups is read."""

    NOTHING = "nothing"
    IDS = "ids"
    NAMES = "names"


def lists_groups(session: Session, class_id: str) -> bool:
    """Whether a launch of a course linked to a class has named a groups service."""
    return any("groups" in row.services for row in registrations.course_of_class(session, class_id))


def refresh_members(parts: Parts, place: Place, class_id: str, groups: Wanted = Wanted.NOTHING) -> Present:
    """Read the members of the courses linked to a class, and remember who is who by SIS id.

    Returns our ids of those who are in a course, with their groups where these are wanted. An LMS that cannot be read
    teaches us nothing new; what is known from before stays.
    """
    with parts.database.open_school(place) as session:
        linked = registrations.course_of_class(session, class_id)
        lines = [(row.registration, open_course(parts, session, row.deployment, row.context_id)) for row in linked]
    present = Present()
    for registration, line in lines:
        if line is None or not line.course.nrps:
            continue
        wants = groups if line.course.groups else Wanted.NOTHING
        try:
            members = line.read_members(groups=wants is not Wanted.NOTHING).members
        except ConnectorError:
            continue
        named = _named(line) if wants is Wanted.NAMES else {}
        with parts.database.open_school(place) as session:
            known = _learn(parts, session, registration, members)
        present.people.update(known.values())
        for member in members if wants is not Wanted.NOTHING else ():
            if member["user_id"] in known:
                there = present.groups.setdefault(known[member["user_id"]], [])
                there += _groups_of(member, registration, named)
    return present


def _named(line: LtiAdvantage) -> dict[str, dict[str, Any]]:
    """The groups of a course by their ids; where they cannot be read, they go without names."""
    try:
        return {one["id"]: one for one in line.list_groups()}
    except ConnectorError:
        return {}


def _groups_of(member: dict[str, Any], registration: str, named: dict[str, dict[str, Any]]) -> Iterator[Group]:
    for one in (member.get("group_enrollments") or ())[:MOST_GROUPS]:
        known = named.get(one["group_id"], {})
        yield Group(f"{registration} {one['group_id']}", known.get("name"), known.get("set"))


def _learn(parts: Parts, session: Session, registration: str, members: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Join LMS users to roster people by the SIS id the LMS sends, {LMS user: our id}; an e-mail alone never joins."""
    said = {m["user_id"]: lti.said(m.get("lis_person_sourcedid")) for m in members if _counts(m)}
    known = {sub: person for sub, person in said.items() if person and roster.user(session, person) is not None}
    if known:
        registrations.know(session, registration, known, "nrps", parts.clock.now())
    return known


def _counts(member: dict[str, Any]) -> bool:
    return member.get("status", "Active") == "Active" and vocabulary.TEST_USER not in member.get("roles", ())
