"""What a source says becomes one new version of its schools, and each changed school's ledger says so."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows.rosters.report import Report
from gateway.ledger import entry, log
from gateway.store import runs, sources
from gateway.store.history import Return
from gateway.store.publish import Projection, Seat
from gateway.store.staging import Staging
from gateway.store.tenant import Session


def seats(session: Session, report: Report, now: datetime) -> tuple[list[Seat], list[Seat]]:
    """Return the onboarded schools of this source whose agreement lets us import, and those whose does not. Raises
    Refused when there is none."""
    ours = sources.seats(session, report.source)
    covered = sources.covered(session, now)
    report.skipped = [
        {"school": seat.ref, "name": seat.name, "code": errors.SRC_AGREEMENT_MISSING.code}
        for seat in ours
        if seat.school not in covered
    ]
    if not ours:
        raise Refused(errors.SRC_NO_SCHOOL)
    allowed = [seat for seat in ours if seat.school in covered]
    if not allowed:
        raise Refused(errors.SRC_AGREEMENT_MISSING)
    return allowed, [seat for seat in ours if seat not in allowed]


def project(session: Session, staging: Staging, allowed: list[Seat], source: str) -> Projection:
    """Accept what is staged, and project it to its schools. All of it is compared, not only what was touched, where a
    school was left out the last time, or an undo made it differ from what the source says."""
    projection = Projection(staging, allowed)
    last = runs.last_accepted(session, source)
    if last is not None:
        behind = {one["school"] for one in last.report.get("skipped", ())}
        projection.everything = "undone" in last.report or any(seat.ref in behind for seat in allowed)
    projection.note_touched()
    staging.accept()
    projection.project()
    return projection


def publish(session: Session, report: Report, projection: Projection | Return, now: datetime, by: str) -> None:
    """Publish, and note at each school that changed that its roster was imported."""
    versions = projection.publish(report.run, now)
    report.published = bool(versions)
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
