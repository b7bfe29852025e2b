"""What staff look at of their own schools' rosters: as they were on a day, what changed since, and what was wrong or
missing in a run. That is access, not a disclosure: each school's log says that somebody looked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import structlog

from gateway import errors
from gateway.errors import Refused
from gateway.flows import access
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.store import absences, history, holds, sources
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


def faults(parts: Office, by: Person, run: str, limit: int) -> tuple[Any, Sequence[Any]]:
    """Return a run and the first of its faults, which name records. Raises Refused."""
    with parts.database.open_intake(by.district) as session:
        found = _run(session, run)
        rows = sources.faults(session, run, limit)
        named = _named((_KINDS[row.file], row.sourced_id) for row in rows if row.file in _KINDS and row.sourced_id)
        people = {
            person for kind, ids in named.items() for person in sources.people_of(session, found.source, kind, ids)
        }
        shown = sources.on_rosters(session, found.source, people)
    note_people(parts, by, shown)
    return found, rows


def missing(parts: Office, by: Person, run: str, limit: int) -> Sequence[Any]:
    """Return the first of the records that a run did not meet again, each with the reason. Raises Refused."""
    with parts.database.open_intake(by.district) as session:
        found = _run(session, run)
        rows = absences.of_run(session, run, limit)
        shown = sources.on_rosters(session, found.source, {row.person_id for row in rows if row.person_id})
    note_people(parts, by, shown)
    return rows


_KINDS = {kind.file: kind.name for kind in KINDS.values() if kind.person}


def _named(found: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    named: dict[str, list[str]] = {}
    for kind, sourced_id in found:
        named.setdefault(kind, []).append(sourced_id)
    return named


def _run(session: Session, run: str) -> Any:
    found = sources.run(session, run)
    if found is None:
        raise Refused(errors.REQ_UNKNOWN, f"there is no run {run}; `schoolgate sync history` lists them")
    return found


def note_people(parts: Office, by: Person, shown: Mapping[int, int]) -> None:
    """Write down, at each school by its number, how many of its people are about to be shown. Raises Refused."""
    if shown:
        with parts.database.open_schools(by.district, list(shown)) as session:
            for school, people in sorted(shown.items()):
                access.looked(parts, session.at(school), by, access.ROSTER, people)


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
    if found is None and end >= now - timedelta(days=parts.settings.history_days):
        raise Refused(errors.SRC_HISTORY, f"the first roster of this school is of {history.begun(session):%Y-%m-%d}")
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
