"""Holds: what a guard keeps back waits for a second person, who releases it whole, by school or by row, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows.parts import Office
from gateway.flows.rosters import looking, publishing, undoing, waiting
from gateway.flows.rosters.report import Report
from gateway.flows.rosters.sync import timetable_says
from gateway.identity.staff import Person as Staff
from gateway.policy.persons import first_of_two, is_person, require_second
from gateway.store import absences, directory, holds, runs, sources
from gateway.store.checks import Checks
from gateway.store.holds import UNDO, Part
from gateway.store.staging import Staging
from gateway.store.tenant import Session
from mappings.oneroster.records import KINDS

MOST_SHOWN = 20_000


def release(
    parts: Office, district: int, name: str, by: str, schools: Sequence[str] = (), rows: Sequence[tuple[str, str]] = ()
) -> Report:
    """Publish what a hold keeps back, or a part of it, as another person than whoever met it; once. Where no person met
    it, two people say so: of the first one the word is kept, and nothing released. Of a source that is paused only an
    undo is released."""
    now = parts.clock.now()
    with parts.database.open_intake(district) as session:
        hold, number = _open_hold(session, name, now)
        if hold.kind != UNDO:
            timetable_says(session, hold.source, now)
        first = first_of_two(hold.acted_by, hold.asked_by)
        if first is None and is_person(by) and holds.ask(session, hold.hold, by):
            return _asked(session, hold, number)
        require_second(first or by, by)
        if not sources.lock(session, hold.source):
            raise Refused(errors.SRC_BUSY)
        report = Report(parts.ids.new("run"), hold.source)
        runs.begin(session, report.run, hold.source, now, by)
        if hold.kind == UNDO:
            undoing.carry_out(parts, session, report, hold.review["to"], now, by)
        else:
            _publish_part(parts, session, report, hold, number, _part(session, schools, rows), now, by)
        left = holds.waiting(session, number, hold.hold)
        if not left:
            holds.end(session, hold.hold, number, "released", now, by)
        report.hold = {"hold": hold.hold, "kind": hold.kind, "waiting": left, "released": True}
        report.state = "published" if report.published else "unchanged"
        runs.end(session, report.run, report.state, now, None, report.as_dict())
    return report


def _asked(session: Session, hold: Any, number: int) -> Report:
    """Say that a second person has to say the same."""
    left = holds.waiting(session, number, hold.hold)
    report = Report(hold.run, hold.source, state="held", code=hold.code)
    report.hold = {"hold": hold.hold, "kind": hold.kind, "waiting": left, "released": False}
    return report


def discard(
    parts: Office, district: int, name: str, by: str, schools: Sequence[str] = (), rows: Sequence[tuple[str, str]] = ()
) -> int:
    """Forget what a hold keeps back, or a part of it; return how many records wait on. The next delivery is judged
    anew."""
    now = parts.clock.now()
    with parts.database.open_intake(district) as session:
        hold, number = _open_hold(session, name, now)
        if hold.kind != UNDO:
            _take(session, number, hold.hold, _part(session, schools, rows))
            holds.forget_due(session, number, hold.hold)
        left = holds.waiting(session, number, hold.hold)
        if not left:
            holds.end(session, hold.hold, number, "discarded", now, by)
    return left


def show(parts: Office, by: Staff, name: str, limit: int = MOST_SHOWN) -> tuple[Any, list[Any], list[Any]]:
    """Return a hold, how much of it waits at each school, and its records. The log of each school whose people are
    among them says that somebody looked. Raises Refused."""
    with parts.database.open_intake(by.district) as session:
        hold = holds.find(session, name)
        if hold is None:
            raise _unknown(name)
        number = sources.number(session, hold.source)
        counts, rows = holds.by_school(session, number, hold.hold), holds.rows(session, number, hold.hold, limit)
    people = Counter(school for school, _ in {(school, row.person) for row in rows if row.person for school in row.at})
    looking.note_people(parts, by, people)
    return hold, list(counts), list(rows)


def _open_hold(session: Session, name: str, now: datetime) -> tuple[Any, int]:
    """Return an open hold and the number of its source. Raises Refused for one that is over, or none."""
    hold = holds.find(session, name)
    if hold is None:
        raise _unknown(name)
    if hold.state != "open" or hold.expires_at <= now:
        state = hold.state if hold.state != "open" else "expired"
        raise Refused(errors.SRC_HOLD_OVER, f"hold {hold.hold} is {state}")
    return hold, sources.number(session, hold.source)


def _unknown(name: str) -> Refused:
    return Refused(
        errors.REQ_UNKNOWN, f"there is no hold {name} in this district; `schoolgate sync hold list` lists them"
    )


def _part(session: Session, schools: Sequence[str], rows: Sequence[tuple[str, str]]) -> Part:
    """Return what of a hold is meant. Raises Refused for a school or a kind that is not there."""
    numbers = []
    for name in schools:
        found = directory.find_schools(session, name)
        if len(found) != 1:
            raise Refused(errors.REQ_UNKNOWN, f"there is no school {name} in this district, or several")
        numbers.append(found[0].school)
    for kind, _ in rows:
        if kind not in KINDS:
            raise Refused(errors.REQ_INVALID, f"there are no rows of kind {kind}; name one of {', '.join(KINDS)}")
    return Part(tuple(numbers), tuple(rows))


def _take(session: Session, number: int, hold: str, part: Part) -> None:
    strange = holds.strange(session, number, hold, part.rows)
    if strange:
        raise Refused(errors.REQ_UNKNOWN, f"{', '.join(strange[:3])} does not wait in this hold")
    if not holds.take(session, number, hold, part):
        raise Refused(errors.REQ_UNKNOWN, "nothing of that waits in this hold")


def _publish_part(
    parts: Office, session: Session, report: Report, hold: Any, number: int, part: Part, now: datetime, by: str
) -> None:
    """Accept and publish what of a hold is due: the difference of a delivery, checked again where it leads."""
    staging = Staging(session, number, straight=False)
    absences.pair_held(staging, hold.hold)
    if not part.whole or holds.waiting(session, number, hold.hold):  # else only an agreement lets in less
        _take(session, number, hold.hold, part)
        holds.stage_due(staging, hold.hold)
    Checks(staging).run(complete=False, skip=frozenset(KINDS))
    report.faults = staging.faults()
    allowed, _ = publishing.seats(session, report, now)
    projection = publishing.project(session, staging, allowed, report)
    report.describe(projection.seats, projection.changes())
    waiting.carry_refusals(parts, session, projection, absences.under_new_ids(staging), by)
    publishing.publish(parts, session, report, projection, now, by)
    holds.went_along(staging)
