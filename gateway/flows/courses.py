"""Opens the line to an LMS course: the stored link, the registration, our key, the addresses a launch named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from connectors.errors import ConnectorError
from connectors.lti_advantage import Course, LtiAdvantage
from gateway.flows import membership
from gateway.flows.membership import Linked
from gateway.flows.parts import Parts
from gateway.identity import keys
from gateway.store import credentials, readings, registrations
from gateway.store.tenant import Place, Session


def open_course(parts: Parts, session: Session, deployment: str, context_id: str) -> LtiAdvantage | None:
    """Return the line to a linked course, or None when the link, its registration or a launch is missing, or
    it is switched off."""
    link = registrations.course(session, deployment, context_id)
    if link is None or link.line_status != "active" or not link.services:
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
    """Ask who is in the courses linked to a class, and remember who is who by SIS id.

    Returns our ids of those who are in a course, with their groups where these are wanted. An LMS that cannot be read
    teaches us nothing new; what is known from before stays.
    """
    present = Present()
    for course in _linked(parts, place, class_id):
        wants = groups if course.line.course.groups else Wanted.NOTHING
        found = membership.read(parts, place, course, groups=wants is not Wanted.NOTHING)
        present.people.update(found.people.values())
        if wants is Wanted.NOTHING or not found.members:
            continue
        named = _named(course.line) if wants is Wanted.NAMES else {}
        for member in found.members:
            if member["user_id"] in found.people:
                there = present.groups.setdefault(found.people[member["user_id"]], [])
                there += _groups_of(member, course.row.registration, named)
    return present


def _linked(parts: Parts, place: Place, class_id: str) -> list[Linked]:
    """The courses of a class whose members can be asked for."""
    with parts.database.open_school(place) as session:
        rows = [
            (row, open_course(parts, session, row.deployment, row.context_id))
            for row in registrations.course_of_class(session, class_id)
        ]
        return [
            Linked(row, line, readings.last(session, row.deployment, row.context_id))
            for row, line in rows
            if line is not None and line.course.nrps
        ]


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
