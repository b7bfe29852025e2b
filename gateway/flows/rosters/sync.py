"""Roster sync: a delivery is read, staged, checked, projected to its schools, guarded and published.

One transaction from the first row to the new version. A plan, a hold and a refusal change nothing; the last
version keeps serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows import erasure, notifications
from gateway.flows.parts import Office
from gateway.flows.rosters import reading
from gateway.flows.rosters.judging import guard, lost_references
from gateway.flows.rosters.progress import Listener, watched
from gateway.flows.rosters.report import Report, causes
from gateway.ledger import entry, log
from gateway.policy.collection import FRAME
from gateway.policy.persons import actor_kind
from gateway.store import sources, timetable
from gateway.store.checks import Checks
from gateway.store.publish import Projection, Seat
from gateway.store.staging import Staging
from gateway.store.tenant import Session, Undo
from mappings.oneroster.csv import Unreadable


def sync(
    parts: Office, district: int, source: str, path: Path, by: str, *, publish: bool, run: str | None = None,
    pulled: dict[str, Any] | None = None, listeners: Iterable[Listener] = (),
) -> Report:  # fmt: skip
    """Bring a delivery in, or only say what it would do. The report's state is planned, published, unchanged,
    held or refused; a refusal names file, line and reason. `listeners` hear how far it has come.

    Deletions that waited for a school's record to go are carried out where it has been gone for long enough.
    """
    report, started = Report(run or parts.ids.new("run"), source, pulled=pulled), parts.clock.now()
    with watched(parts, district, source, report.run, listeners) as report.progress:
        _sync(parts, district, report, started, path, by, publish=publish)
        if report.state in ("published", "unchanged"):
            report.erased, report.not_erased = erasure.finish(parts, district, by)
    return report


def refuse(
    parts: Office, district: int, source: str, refused: Refused, what: str, by: str, run: str | None = None
) -> Report:
    """Record a run that came to nothing before there was a delivery."""
    report, now = Report(run or parts.ids.new("run"), source), parts.clock.now()
    report.refuse(refused.reason, refused.detail, what, 0)
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
        seats, before = _seats(session, report, now), sources.last_accepted(session, report.source)
        if report.collected != before.get("collected"):
            staging.forget_hashes()
        with report.timed("read"):
            empty = reading.read(delivery, staging, report, _collected(seats))
        with report.timed("check"):
            Checks(staging).run(complete=delivery.whole, skip=reading.not_delivered(delivery) | empty)
    report.faults = staging.faults()
    report.causes = causes(report.faults)
    with report.timed("accept"):
        projection = Projection(staging, _let_in(session, report, seats, staging, publish=publish))
        older = any(seat.born_by for seat in projection.seats)  # pupils grow up without a word of their source
        projection.everything = older or report.let_in != before.get("let_in")
        projection.note_touched()
        staging.accept()
    with report.timed("project"):
        projection.project()
        changes = projection.changes()
    report.children = projection.children()
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


def _seats(session: Session, report: Report, now: datetime) -> list[Seat]:
    """The onboarded schools of this source, each with what may be brought in there; of those without an agreement that
    lets anything in, it is said."""
    covered, seats = sources.covered(session, now), list[Seat]()
    for seat in sources.seats(session, report.source):
        if seat.school in covered:
            seats.append(seat.letting_in(covered[seat.school]))
        else:
            code = errors.SRC_AGREEMENT_MISSING.code
            report.skipped.append({"school": seat.ref, "name": seat.name, "code": code})
    report.collected = _mark(sorted(_collected(seats)))
    report.let_in = _mark([(seat.ref, sorted(seat.elements), seat.born_by is None) for seat in seats])
    return seats


def _mark(said: Any) -> str:
    return sha256(orjson.dumps(said)).hexdigest()


def _collected(seats: list[Seat]) -> frozenset[str]:
    """The elements that at least one school lets in."""
    return FRAME.union(*(seat.elements for seat in seats))


def _let_in(session: Session, report: Report, seats: list[Seat], staging: Staging, *, publish: bool) -> list[Seat]:
    """The schools this delivery is for. Those it names anew are said, not made; of a district that has none yet, a plan
    says which ones there would be. Raises Refused where there is none."""
    ours = {seat.org_id for seat in sources.seats(session, report.source)}
    report.proposed = [f"{name} ({org})" for org, name in staging.proposed_schools() if org not in ours]
    if not ours and not publish:
        return []
    if not ours:
        raise Refused(errors.SRC_NO_SCHOOL)
    if not seats:
        raise Refused(errors.SRC_AGREEMENT_MISSING)
    return seats


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
