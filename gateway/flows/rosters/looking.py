"""What a school's roster was on a day, and what changed since, for staff who look at their own school: access, not a
disclosure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import structlog

from gateway import errors
from gateway.errors import Refused
from gateway.flows import access
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.store import history, holds, sources
from gateway.store.tenant import Place, Session
from mappings.oneroster.records import KINDS

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Look:
    """Rows of one kind as one version of a school has them, or what changed up to it."""

    version: int
    published_at: datetime
    rows: list[Any]


def as_it_was(parts: Office, by: Person, place: Place, kind: str, day: date) -> Look:
    """Return a school's rows of a kind as they were at the end of a day (UTC). Raises Refused for what is not kept."""
    by.acts_for(place.school)
    with parts.database.open_school(place) as session:
        version = _version(parts, session, day)
        found = Look(version.version, version.published_at, list(history.rows(session, kind, version.version)))
        _note(parts, session, by, kind, found)
    _log.info("roster_looked_at", kind=kind, count=len(found.rows))
    return found


def changes(parts: Office, by: Person, place: Place, kind: str, since: date) -> Look:
    """Return what changed of a kind since the end of a day (UTC), what is gone among it. Raises Refused for a day of
    which the changes are not kept: an answer would lack what went before."""
    by.acts_for(place.school)
    with parts.database.open_school(place) as session:
        before, now = _version(parts, session, since), _version(parts, session, parts.clock.now().date())
        rows = history.changes_since(session, kind, before.version, now.version)
        found = Look(now.version, now.published_at, list(rows))
        _note(parts, session, by, kind, found)
    _log.info("roster_looked_at", kind=kind, count=len(rows))
    return found


def _note(parts: Office, session: Session, by: Person, kind: str, found: Look) -> None:
    """Write down how many people were shown; classes, courses and orgs are nobody's."""
    people = KINDS[kind].person
    if people:
        access.looked(parts, session, by, access.ROSTER, len({getattr(row, people) for row in found.rows}))


def _version(parts: Office, session: Session, day: date) -> Any:
    now = parts.clock.now()
    end = min(datetime.combine(day + timedelta(days=1), time(), UTC), now)
    found = history.on(session, end)
    if found is None and not history.kept_from(session):
        raise Refused(errors.REQ_UNKNOWN, "this school has no roster yet")
    if found is None or end < now - timedelta(days=parts.settings.history_days):
        raise Refused(errors.SRC_HISTORY, f"rosters are kept for {parts.settings.history_days} days")
    return found


def forget(parts: Office, district: int) -> int:
    """Forget what schools of a district held longer ago than rosters are kept, and what holds kept back that have
    expired; return how many rows of rosters. For the timetable. A source of which a run is under way keeps its holds
    until the next time."""
    now = parts.clock.now()
    with parts.database.open_intake(district) as session:
        waiting = {hold.source for hold in holds.listing(session, state="open") if hold.expires_at <= now}
    for source in sorted(waiting):
        with parts.database.open_intake(district) as session:
            if sources.lock(session, source):
                holds.expire(session, source, sources.number(session, source), now)
    with parts.database.open_intake(district) as session:
        return history.forget(session, now - timedelta(days=parts.settings.history_days))
