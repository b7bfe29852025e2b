"""The timetable as people set it: nights, school days, holidays, peak windows, pauses. `running` keeps to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from gateway import errors
from gateway.errors import Refused
from gateway.flows.onboarding.typed import read_zone, readable
from gateway.flows.parts import Office
from gateway.flows.rosters import nights
from gateway.flows.rosters.nights import Plan
from gateway.flows.rosters.sync import timetable_says
from gateway.identity.staff import Person
from gateway.store import directory, sources, timetable
from gateway.store.tenant import Session


def plan_of(session: Session, row: Any, source: Any) -> Plan:
    """Return the plan of a line of the timetable, with the terms that the source's own roster names, and with the peaks
    that were said of the source itself."""
    return _plan(row, source, timetable.terms(session, source.number) if row.terms else [])


def _plan(row: Any, source: Any, terms: Sequence[nights.Dates] = ()) -> Plan:
    return nights.read_plan(
        row.zone, row.minute, row.weekdays, row.holidays, row.peaks, terms, source.peak or (), source.zone
    )


def require_open(session: Session, source: Any, now: datetime, *, in_peak: bool = False) -> None:
    """Raise Refused while nothing is to be asked of a source: it is paused, or in its peak."""
    timetable_says(session, source.source, now)
    row = timetable.find(session, source.source)
    if row is None or in_peak:
        return
    free = plan_of(session, row, source).free(now)
    if free > now:
        raise Refused(errors.SRC_PEAK, f"they are over at {free:%Y-%m-%d %H:%M} UTC")


def show(parts: Office, by: Person, name: str) -> dict[str, Any]:
    """Return how a source stands in the timetable, with its pauses."""
    now = parts.clock.now()
    with parts.database.open_intake(by.district) as session:
        found = named(session, name)
        row, pause = timetable.find(session, found.source), timetable.paused(session, found.source, now)
        kept = timetable.pauses(session, found.source)
        due = _due(plan_of(session, row, found), row, now) if row else None
        zone = getattr(directory.district(session), "zone", "UTC")
    said: dict[str, Any] = {"source": found.source, "name": found.name, "kind": found.kind, "zone": zone,
                            "nightly": row is not None}  # fmt: skip
    if row:
        said |= {
            "at": nights.spell_minute(row.minute), "weekdays": row.weekdays, "holidays": row.holidays,
            "peaks": row.peaks, "their_peaks": [f"{one} {found.zone}" for one in found.peak or ()],
            "terms": row.terms, "expects": row.expects, "next": due,
            "attempt": row.attempt, "said": row.said, "came_at": row.came_at,
        }  # fmt: skip
    said["paused"] = _said_pause(pause) if pause else None
    said["pauses"] = [_said_pause(one) for one in kept]
    return said


def _due(plan: Plan, row: Any, now: datetime) -> datetime:
    return plan.next_due(now) if row.set_at is None or row.set_at > now + nights.CLOCK_STEP else row.due_at


def _said_pause(row: Any) -> dict[str, Any]:
    names = ("pause", "from_at", "until_at", "reason", "created_by", "ended_at", "ended_by")
    return {name: getattr(row, name) for name in names}


def set_plan(parts: Office, by: Person, name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """Change what is said of a source in the timetable, and nothing else; return how it stands. Raises Refused."""
    by.acts_for_district()
    now = parts.clock.now()
    changes = _read(said)
    with parts.database.open_district(by.district) as session:
        found = named(session, name)
        row = timetable.find(session, found.source)
        if row is None:
            timetable.begin(session, found.source, nights.own_minute(found.source), now, by.ref, expects=True)
            row = timetable.find(session, found.source)
        _require_sense(row, changes)
        timetable.change(session, found.source, now, by.ref, changes)
        _require_an_hour(_plan(timetable.find(session, found.source), found), now)
    return show(parts, by, name)


def _read(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said as it is kept. Raises Refused, naming what cannot be read."""
    changes: dict[str, Any] = {}
    for what, value in said.items():
        try:
            changes |= _READ[what](value)
        except ValueError as error:
            raise Refused(errors.REQ_INVALID, f"{what} {value}: {error}") from error
    return changes


def _weekdays(days: Sequence[str]) -> dict[str, Any]:
    wanted = {day.lower() for day in days}
    if not wanted or wanted - set(nights.WEEKDAYS):
        raise ValueError(f"weekdays are {', '.join(nights.WEEKDAYS)}")
    return {"weekdays": [day for day in nights.WEEKDAYS if day in wanted]}


def _holidays(spans: Sequence[str]) -> dict[str, Any]:
    return {"holidays": [f"{first}/{last}" for first, last in sorted(map(nights.read_dates, spans))]}


_READ: dict[str, Callable[[Any], dict[str, Any]]] = {
    "at": lambda text: {"minute": nights.read_minute(text)}, "weekdays": _weekdays, "holidays": _holidays,
    "peaks": lambda windows: {"peaks": nights.read_peaks(windows)}, "terms": lambda yes: {"terms": bool(yes)},
}  # fmt: skip


def _require_sense(row: Any, changes: Mapping[str, Any]) -> None:
    """Raise Refused where the night itself lies in a peak window."""
    minute, peaks = changes.get("minute", row.minute), changes.get("peaks", row.peaks)
    noon = datetime(2026, 1, 1, minute // 60, minute % 60, tzinfo=ZoneInfo("UTC"))
    if Plan(ZoneInfo("UTC"), minute, peaks=tuple(map(nights.read_window, peaks))).free(noon) != noon:
        raise Refused(errors.REQ_CONTRADICTORY, f"{nights.spell_minute(minute)} lies in a peak window")


def _require_an_hour(plan: Plan, now: datetime) -> None:
    """Raise Refused where its own peaks and those that were said of the source itself leave no time to run in."""
    free = plan.free(now)
    if plan.free(free) != free:
        raise Refused(errors.REQ_CONTRADICTORY, "with the peaks of the source itself no hour of the day is left")


def set_zone(parts: Office, by: Person, zone: str) -> str:
    """Say in which time zone a district lives; its nights are reckoned anew."""
    by.acts_for_district()
    key = read_zone(zone)
    with parts.database.open_district(by.district) as session:
        directory.set_zone(session, key)
        timetable.reckon_district(session)
    return key


def local(parts: Office, by: Person, at: datetime) -> datetime:
    """Return a time that was typed without an offset as one in the district's zone."""
    with parts.database.open_district(by.district) as session:
        row = directory.district(session)
    return at.replace(tzinfo=ZoneInfo(row.zone if row else "UTC"))


# --- pauses ----------------------------------------------------------------------------------------


def pause(
    parts: Office, by: Person, name: str, reason: str, from_at: datetime | None, until_at: datetime | None
) -> dict[str, Any]:
    """Leave a source alone from now or a later time, until a time or until somebody resumes it. Raises Refused."""
    by.acts_for_district()
    reason, now = readable(reason, "reason"), parts.clock.now()
    begins = max(from_at or now, now)
    if until_at and until_at <= begins:
        raise Refused(errors.REQ_CONTRADICTORY, "the pause is over before it begins")
    with parts.database.open_district(by.district) as session:
        found = named(session, name)
        timetable.pause(session, parts.ids.new("pa"), found.source, begins, until_at, reason, now, by.ref)
    return show(parts, by, name)


def resume(parts: Office, by: Person, name: str) -> dict[str, Any]:
    """End the pause that a source is in. Raises Refused where it is in none."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = named(session, name)
        if not timetable.resume(session, found.source, parts.clock.now(), by.ref):
            raise Refused(errors.REQ_CONFLICT, f"source {found.name} is not paused")
    return show(parts, by, name)


def named(session: Session, name: str) -> Any:
    """Return a source of the session's district by name or reference. Raises Refused."""
    found = sources.find(session, name)
    if found is None:
        raise Refused(errors.REQ_UNKNOWN, f"there is no source {name} in this district")
    return found
