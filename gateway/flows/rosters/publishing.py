"""What a source says becomes one new version of its schools, and each changed school's ledger says so."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any

import orjson

from gateway import errors
from gateway.errors import Refused
from gateway.flows import refusals
from gateway.flows.parts import Office
from gateway.flows.rosters.report import Report
from gateway.ledger import entry, log
from gateway.policy.collection import FRAME
from gateway.policy.persons import actor_kind
from gateway.store import runs, sources
from gateway.store.history import Return
from gateway.store.letting_in import Seat
from gateway.store.publish import Projection
from gateway.store.staging import Staging
from gateway.store.tenant import Session
from mappings.oneroster.lines import RULES


def seats(session: Session, report: Report, now: datetime) -> tuple[list[Seat], list[Seat]]:
    """Return the onboarded schools of this source whose agreement lets us import, and those whose does not. Raises
    Refused when there is none."""
    allowed, left_out = let_in(session, report, now)
    require(allowed, left_out)
    return allowed, left_out


def let_in(session: Session, report: Report, now: datetime) -> tuple[list[Seat], list[Seat]]:
    """Return the onboarded schools of this source, each with what may be brought in there; and those without an
    agreement that lets anything in."""
    covered, allowed, left_out = sources.covered(session, now), list[Seat](), list[Seat]()
    for seat in sources.seats(session, report.source):
        if seat.school in covered:
            allowed.append(seat.letting_in(covered[seat.school]))
        else:
            left_out.append(seat)
    code = errors.SRC_AGREEMENT_MISSING.code
    report.skipped = [{"school": seat.ref, "name": seat.name, "code": code} for seat in left_out]
    return allowed, left_out


def require(allowed: list[Seat], left_out: list[Seat]) -> None:
    """Raise Refused where there is no school, or none that lets anything in."""
    if not allowed and not left_out:
        raise Refused(errors.SRC_NO_SCHOOL)
    if not allowed:
        raise Refused(errors.SRC_AGREEMENT_MISSING)


def collected(report: Report, allowed: list[Seat], now: datetime) -> frozenset[str]:
    """Return the elements that at least one school lets in, and note what this run relies on."""
    elements = FRAME.union(*(seat.elements for seat in allowed))
    report.collected = _mark(sorted(elements))
    there = [(seat.ref, seat.org_id, sorted(seat.elements), _from_age(seat, now)) for seat in allowed]
    report.let_in = _mark([RULES.decode(), there])
    return elements


def collects_otherwise(parts: Office, district: int, source: Any) -> bool:
    """Whether other elements are collected of a source now than when something of it was last taken."""
    report, now = Report("", source.source), parts.clock.now()
    with parts.database.open_intake(district) as session:
        allowed, _ = let_in(session, report, now)
        collected(report, allowed, now)
        last = runs.last_accepted(session, source.source)
    return bool(last and last.report.get("collected") and last.report["collected"] != report.collected)


def _from_age(seat: Seat, now: datetime) -> int | None:
    """How old a pupil must be to be let in at a school: the same every day, unless another policy governs."""
    return now.year - seat.born_by.year if seat.born_by else None


def begin_anew(session: Session, report: Report, staging: Staging, elements: frozenset[str]) -> None:
    """Have every record read anew where other elements are collected than the last time."""
    last = runs.last_accepted(session, report.source)
    if last is None or last.report.get("collected") != report.collected:
        staging.begin_anew(elements)


def _mark(said: Any) -> str:
    return sha256(orjson.dumps(said)).hexdigest()


def project(session: Session, staging: Staging, allowed: list[Seat], report: Report) -> Projection:
    """Accept what is staged, and project it to its schools. All of it is compared, not only what was touched, where the
    schools let in something else than the last time (of an undo and a release nothing is known)."""
    projection = Projection(staging, allowed)
    last = runs.last_accepted(session, report.source)
    if last is not None:
        projection.everything = not report.let_in or last.report.get("let_in") != report.let_in
    projection.note_touched()
    staging.accept()
    projection.project()
    return projection


def publish(
    parts: Office, session: Session, report: Report, projection: Projection | Return, now: datetime, by: str
) -> None:
    """Publish, and note at each school that changed that its roster was imported. For who comes again after an erasure
    stands what was refused for them."""
    versions = projection.publish(report.run, now)
    refs = {seat.school: seat.ref for seat in projection.seats}
    refusals.give_back(parts, session, {school: (refs[school], n) for school, n in versions.items()}, by)
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
        "operation": "roster.import", "actor": {"kind": str(actor_kind(by)), "ref": by},
        "outcome": "published",
        "subjects": users["before"] + users["added"] - users["removed"],
    }  # fmt: skip
