"""Roster sync: a delivery is read, staged, checked, projected to its schools, guarded and published.

One transaction from the first row to the new version. A plan, a hold and a refusal change nothing; the last
version keeps serving.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows import erasure
from gateway.flows.parts import Office
from gateway.flows.rosters import reading
from gateway.flows.rosters.judging import guard, lost_references
from gateway.flows.rosters.report import Report, described
from gateway.ledger import entry, log
from gateway.policy.collection import FRAME
from gateway.store import deltas, sources
from gateway.store.checks import Checks
from gateway.store.publish import Projection, Seat
from gateway.store.rules import Rules
from gateway.store.staging import Staging
from gateway.store.tenant import Session, Undo
from mappings.oneroster.csv import Unreadable


def sync(
    parts: Office,
    district: int,
    source: str,
    path: Path,
    by: str,
    *,
    publish: bool,
    pulled: dict[str, Any] | None = None,
) -> Report:
    """Bring a delivery in, or only say what it would do. The report's state is planned, published, unchanged,
    held or refused; a refusal names file, line and reason.

    Deletions that waited for a school's record to go are carried out where it has been gone for long enough.
    """
    report = _sync(parts, district, Report(parts.ids.new("run"), source, pulled=pulled), path, by, publish=publish)
    if report.state in ("published", "unchanged"):
        report.erased, report.not_erased = erasure.finish(parts, district, by)
    return report


def refuse(parts: Office, district: int, source: str, refused: Refused, what: str, by: str) -> Report:
    """Record a run that came to nothing before there was a delivery."""
    report, now = Report(parts.ids.new("run"), source), parts.clock.now()
    report.refuse(refused.reason, refused.detail, what, 0)
    with parts.database.open_intake(district) as session:
        _record(session, report, source, now, now, by)
    return report


def _sync(parts: Office, district: int, report: Report, path: Path, by: str, *, publish: bool) -> Report:
    source, started = report.source, parts.clock.now()
    try:
        with parts.database.open_intake(district) as session:
            _run(parts, session, report, path, started, publish=publish, by=by)
            if report.state not in ("published", "unchanged"):
                raise Undo
            _record(session, report, source, started, parts.clock.now(), by)
            return report
    except Unreadable as unreadable:
        report.refuse(
            VOCABULARY[unreadable.code], unreadable.detail, unreadable.file, unreadable.line, unreadable.repair
        )
    except Refused as refused:
        report.refuse(refused.reason, refused.detail, path.name, 0)
    with parts.database.open_intake(district) as session:
        _record(session, report, source, started, parts.clock.now(), by)
    return report


def _run(parts: Office, session: Session, report: Report, path: Path, now: datetime, *, publish: bool, by: str) -> None:
    if not sources.lock(session, report.source):
        raise Refused(errors.SRC_BUSY)
    repairs = sources.repairs(session, report.source)
    with reading.opened(parts, path, repairs) as delivery:
        report.read(delivery.manifest, delivery.fingerprint(), repairs)
        staging = Staging(session, sources.number(session, report.source))
        seats, before = _seats(session, report, now), sources.last_accepted(session, report.source)
        if report.collected != before.get("collected"):
            staging.forget_hashes()
        read = reading.Reading(delivery, staging, report, _collected(seats))
        with report.timed("read"):
            read.read()
        with report.timed("check"):
            report.unchanged(deltas.order(staging, now))
            checks = Checks(staging)
            checks.run(complete=delivery.whole, skip=read.not_delivered() | read.empty)
            Rules(checks).run()
    report.faults = staging.faults()
    report.causes = described(staging.causes(), report.version)
    with report.timed("accept"):
        projection = Projection(staging, _let_in(session, report, seats, staging))
        older = any(seat.born_by for seat in projection.seats)  # pupils grow up without a word of their source
        projection.everything = older or report.let_in != before.get("let_in")
        projection.note_touched()
        staging.accept()
        deltas.remember(staging, now)
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
        lost_references(report, staging.lost()) if staging.first else (),
    )
    if publish and report.state == "planned":
        with report.timed("publish"):
            _publish(session, report, projection, now, by)


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


def _let_in(session: Session, report: Report, seats: list[Seat], staging: Staging) -> list[Seat]:
    """The schools this delivery is for. Those it names anew are said, not made. Raises Refused where there is none."""
    ours = {seat.org_id for seat in sources.seats(session, report.source)}
    report.proposed = [f"{name} ({org})" for org, name in staging.proposed_schools() if org not in ours]
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
        "operation": "roster.import", "actor": {"kind": "staff", "ref": by}, "outcome": "published",
        "subjects": users["before"] + users["added"] - users["removed"],
    }  # fmt: skip


def _record(session: Session, report: Report, source: str, started: datetime, now: datetime, by: str) -> None:
    sources.keep_run(session, report.run, source, report.state, started, now, report.delivery, report.as_dict(), by)
    sources.keep_faults(session, report.run, report.faults)
