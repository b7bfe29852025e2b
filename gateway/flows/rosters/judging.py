"""Whether what a delivery would change may be published without a person's word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

from gateway import errors
from gateway.errors import Refused
from gateway.flows.parts import Office
from gateway.flows.rosters.report import Report
from gateway.policy import guards
from gateway.policy.persons import first_of_two, is_person, require_second
from gateway.store import sources
from gateway.store.publish import Change, Seat
from gateway.store.tenant import Session
from mappings.oneroster.records import KINDS


def guard(
    session: Session, report: Report, seats: list[Seat], changes: list[Change],
    lost: Iterable[tuple[str, int, int]],
) -> None:  # fmt: skip
    refs = {seat.school: seat.ref for seat in seats}
    movements = (guards.Movement(refs[c.school], c.kind, c.before, c.added, c.changed, c.removed) for c in changes)
    names = {seat.ref: seat.name for seat in seats}
    trips = [*guards.judge(movements), *guards.judge_first(lost)]
    report.held_by = [asdict(trip) | {"name": names.get(trip.school, trip.kind)} for trip in trips]
    if report.held_by and not sources.take_release(session, report.source, report.delivery or ""):
        report.state, report.code = "held", errors.SRC_HELD.code


def lost_references(report: Report) -> Iterator[tuple[str, int, int]]:
    """Yield each file with its lines that refer to records that are nowhere, and all its lines. To demographics nothing
    refers: those of people who are not there say nothing of the other files."""
    lost = {(f.file, f.line) for f in report.faults if (f.code, f.effect) == ("CSV_REFERENCE", "row")}
    for file in report.files:
        if file["file"] != KINDS["demographics"].file:
            yield file["file"], sum(name == file["file"] for name, _ in lost), file["rows"]


def release(parts: Office, district: int, run: str, by: str) -> bool:
    """Release a hold, by somebody else than whoever ran into it; the delivery is then sent again. Where that was the
    timetable, two people say so: of the first one the word is kept, and False returned."""
    with parts.database.open_intake(district) as session:
        held = sources.held(session, run)
        if held is None:
            raise Refused(errors.REQ_UNKNOWN, f"no run {run} is held")
        first = first_of_two(held.acted_by, held.asked_by)
        if first is None and is_person(by) and sources.ask_release(session, run, by):
            return False
        require_second(first or by, by)
        return sources.release(session, run, by)
