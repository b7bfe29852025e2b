"""Roster sync: a delivery is read, staged, checked, projected to its schools, guarded and published.

One transaction from the first row to the new version. A plan, a hold and a refusal change nothing; the last
version keeps serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows import erasure, notifications
from gateway.flows.parts import Office
from gateway.flows.rosters import reading
from gateway.flows.rosters.judging import guard, lost_references
from gateway.flows.rosters.progress import Listener, watched
from gateway.flows.rosters.report import Report, causes
from gateway.ledger import entry, log
from gateway.policy.persons import actor_kind
from gateway.store import sources, timetable
from gateway.store.checks import Checks
from gateway.store.publish import Projection, Seat
from gateway.store.staging import Staging
from gateway.store.tenant import Session, Undo
from mappings.oneroster.csv import Unreadable


def sync(
    parts: Office, district: int, source: str, path: Path, by: str, *, publish: bool, run: str | None = None,
    listeners: Iterable[Listener] = (),
) -> Report:  # fmt: skip
    """Bring a delivery in, or only say what it would do. The report's state is planned, published, unchanged,
    held or refused; a refusal names file, line and reason. `listeners` hear how far it has come.

    Deletions that waited for a school's record to go are carried out where it has been gone for long enough.
    """
    report, started = Report(run or parts.ids.new("run"), source), parts.clock.now()
    with watched(parts, district, source, report.run, listeners) as report.progress:
        _sync(parts, district, report, started, path, by, publish=publish)
        if report.state in ("published", "unchanged"):
            report.erased, report.not_erased = erasure.finish(parts, district, by)
    return report


def refuse(parts: Office, district: int, source: str, refused: Refused, by: str, run: str | None = None) -> Report:
    """Write down a run that came to nothing because there was no delivery to read."""
    report, now = Report(run or parts.ids.new("run"), source), parts.clock.now()
    report.refuse(refused.reason, refused.detail, "", 0)
    with parts.database.open_intake(district) as session:
        _record(parts, session, report, now, by)
    return report


def _sync(
    parts: Office, district: int, report: Report, started: datetime, path: Path, by: str, *, publish: bool
) -> None:
    try:
        with parts.database.open_intake(district) as session:
            _run(parts, session, report, path, started, publish=publish, by=by)
            if report.state not in ("published", "unchanged"):
                raise Undo
            _record(parts, session, report, started, by)
            return
    except Unreadable as unreadable:
        report.refuse(VOCABULARY[unreadable.code], unreadable.detail, unreadable.file, unreadable.line)
    except Refused as refused:
        report.refuse(refused.reason, refused.detail, path.name, 0)
    with parts.database.open_intake(district) as session:
        _record(parts, session, report, started, by)
        if publish and report.state == "held":
            counts = {"guards": len(report.held_by)}
            notifications.tell(parts, session, "held", report.source, code=report.code, run=report.run, said=counts)


def _run(parts: Office, session: Session, report: Report, path: Path, now: datetime, *, publish: bool, by: str) -> None:
    if not sources.lock(session, report.source):
        raise Refused(errors.SRC_BUSY)
    if publish:
        timetable_says(session, report.source, now)
    with reading.opened(parts, path) as delivery:
        report.delivery = delivery.fingerprint()
        report.passed_over = delivery.passed_over()
        staging = Staging(session, sources.number(session, report.source))
        with report.timed("read"):
            empty = reading.read(delivery, staging, report)
        with report.timed("check"):
            Checks(staging).run(complete=delivery.whole, skip=reading.not_delivered(delivery) | empty)
    report.faults = staging.faults()
    report.causes = causes(report.faults)
    with report.timed("accept"):
        projection = Projection(staging, [])
        projection.seats = _seats(session, report, staging, now, publish=publish)
        behind = sources.skipped_last(session, report.source)
        projection.everything = any(seat.ref in behind for seat in projection.seats)
        projection.note_touched()
        staging.accept()
    with report.timed("project"):
        projection.project()
        changes = projection.changes()
    report.describe(projection.seats, changes)
    guard(
        session,
        report,
        projection.seats,
        [*changes, *projection.roles_lost()],
        lost_references(report) if staging.first else (),
    )
    if publish and report.state == "planned":
        with report.timed("publish"):
            _publish(session, report, projection, now, by)


def timetable_says(session: Session, source: str, now: datetime) -> None:
    """Raise Refused while a source is paused: nothing of it is fetched or published then."""
    pause = timetable.paused(session, source, now)
    if pause:
        until = f"until {pause.until_at:%Y-%m-%d %H:%M} UTC" if pause.until_at else "until somebody resumes it"
        raise Refused(errors.SRC_PAUSED, f"the source is paused {until}: {pause.reason}")


def _seats(session: Session, report: Report, staging: Staging, now: datetime, *, publish: bool) -> list[Seat]:
    """The onboarded schools of this source whose agreement lets us import; the rest is said, not made. The first plan
    of a district, which has no school yet, says which ones there would be."""
    seats = sources.seats(session, report.source)
    ours = {seat.org_id for seat in seats}
    report.proposed = [f"{name} ({org})" for org, name in staging.proposed_schools() if org not in ours]
    covered = sources.covered(session, now)
    report.skipped = [
        {"school": seat.ref, "name": seat.name, "code": errors.SRC_AGREEMENT_MISSING.code}
        for seat in seats
        if seat.school not in covered
    ]
    if not seats and not publish:
        return []
    if not seats:
        raise Refused(errors.SRC_NO_SCHOOL)
    allowed = [seat for seat in seats if seat.school in covered]
    if not allowed:
        raise Refused(errors.SRC_AGREEMENT_MISSING)
    return allowed


def _publish(session: Session, report: Report, projection: Projection, now: datetime, by: str) -> None:
    versions = projection.publish(report.run, now)
    report.state = "published" if versions else "unchanged"
    by_ref = {seat.ref: versions.get(seat.school, projection.versions.get(seat.school)) for seat in projection.seats}
    for school in report.schools:
        school["version"] = by_ref[school["school"]]
    for seat in projection.seats:
        if seat.school in versions:
            log.append(session.at(seat.school), [_imported(report, seat, now, by)])


def _imported(report: Report, seat: Seat, now: datetime, by: str) -> dict[str, Any]:
    kinds = next(s["kinds"] for s in report.schools if s["school"] == seat.ref)
    users = kinds["user"]
    return {
        "v": entry.VERSION, "type": "import", "at": entry.moment(now), "school": seat.ref, "id": report.run,
        "operation": "roster.import", "actor": {"kind": str(actor_kind(by)), "ref": by},
        "outcome": "published", "subjects": users["before"] + users["added"] - users["removed"],
    }  # fmt: skip


def _record(parts: Office, session: Session, report: Report, started: datetime, by: str) -> None:
    sources.keep_run(
        session,
        report.run,
        report.source,
        report.state,
        started,
        parts.clock.now(),
        report.delivery,
        report.as_dict(),
        by,
    )
    sources.keep_faults(session, report.run, report.faults)
