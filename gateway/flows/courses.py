"""Opens the line to an LMS course: the stored link, the registration, our key, the addresses a launch named."""

from __future__ import annotations

from collections.abc import Sequence
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
        link.services.get("notices", {}),
    )  # fmt: skip
    return LtiAdvantage(course, keys.tool_key(session, parts.vault, kid), parts.broker, parts.open_line)


def refresh_members(parts: Parts, place: Place, class_id: str) -> set[str]:
    """Read the members of the courses linked to a class, and remember who is who by SIS id.

    Returns our ids of those who are in a course. An LMS that cannot be read teaches us nothing new; what is known
    from before stays.
    """
    with parts.database.open_school(place) as session:
        linked = registrations.course_of_class(session, class_id)
        lines = [(row.registration, open_course(parts, session, row.deployment, row.context_id)) for row in linked]
    present: set[str] = set()
    for registration, line in lines:
        if line is None or not line.course.nrps:
            continue
        try:
            members = line.list_members()
        except ConnectorError:
            continue
        with parts.database.open_school(place) as session:
            present |= _learn(parts, session, registration, members)
    return present


def _learn(parts: Parts, session: Session, registration: str, members: Sequence[dict[str, Any]]) -> set[str]:
    """Join LMS users to roster people by the SIS id the LMS sends; an e-mail alone never joins."""
    said = {m["user_id"]: lti.said(m.get("lis_person_sourcedid")) for m in members if _counts(m)}
    known = {sub: person for sub, person in said.items() if person and roster.user(session, person) is not None}
    if known:
        registrations.know(session, registration, known, "nrps", parts.clock.now())
    return set(known.values())


def _counts(member: dict[str, Any]) -> bool:
    return member.get("status", "Active") == "Active" and vocabulary.TEST_USER not in member.get("roles", ())
