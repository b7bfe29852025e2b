"""Whether what a delivery would change may be published without a person's word."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from gateway import errors
from gateway.flows.rosters.report import Report
from gateway.policy import guards
from gateway.policy.guards import DEFAULTS, Limits, Trip
from gateway.store import absences, sources
from gateway.store.history import Return
from gateway.store.holds import EVERYTHING, REMOVALS
from gateway.store.letting_in import Seat
from gateway.store.publish import Change, Projection
from gateway.store.staging import Staging
from gateway.store.tenant import Session
from mappings.oneroster.records import KINDS

_CODES = {"rekeyed": errors.SRC_REKEYED, "paired": errors.SRC_REKEYED, "rollover": errors.SRC_ROLLOVER}


def limits(session: Session, source: str) -> Limits:
    """Return how much this source may change of a school by itself."""
    said = sources.guards(session, source)
    return Limits(**{name: said[name] for name in guards.BOUNDS if name in said}) if said else DEFAULTS


def of_schools(projection: Projection | Return, allowed: Limits) -> list[Trip]:
    """Return the guards that the movements of rows at the schools trip. What a school lets go of because its own
    agreements let in less is no danger of the delivery."""
    refs = {seat.school: seat.ref for seat in projection.seats}
    changes = [*projection.changes(), *projection.roles_lost()]
    return guards.judge((_movement(refs[change.school], change) for change in changes), allowed)


def _movement(school: str, c: Change) -> guards.Movement:
    return guards.Movement(
        school, c.kind, c.before - c.left_out, c.added, c.changed - c.narrowed, c.removed - c.left_out
    )


def of_source(staging: Staging, report: Report) -> list[Trip]:
    """Return the guards that a delivery trips as a whole: a first one that lacks records, ids that were given anew, a
    school year that gave way to another."""
    if staging.first:
        return guards.judge_first(_lost_references(report, staging.lost()))
    report.rekeyed = absences.pairs(staging)
    pairs = sum(report.rekeyed.values())
    ids = guards.judge_ids(pairs, absences.alone(staging), absences.people(staging)) if pairs else []
    return [*ids, *guards.judge_years(*absences.years(staging))]


def what_waits(trips: list[Trip]) -> str | None:
    """Return whether everything waits, or the removals only; None where nothing does."""
    if not trips:
        return None
    return REMOVALS if all(trip.only_removals for trip in trips) else EVERYTHING


def told(trips: list[Trip], seats: list[Seat]) -> list[dict[str, object]]:
    """Return the trips as a report tells them."""
    names = {seat.ref: seat.name for seat in seats}
    return [asdict(trip) | {"name": names.get(trip.school, trip.kind)} for trip in trips]


def code(trips: list[Trip]) -> errors.Reason:
    """Return why something waits: the reason that says most of it."""
    special = [_CODES[trip.guard] for trip in trips if trip.guard in _CODES]
    return special[0] if special else errors.SRC_HELD


def _lost_references(report: Report, lost: dict[str, int]) -> Iterator[tuple[str, int, int]]:
    """Yield each file with its lines that refer to records that are nowhere, and all its lines. To demographics nothing
    refers: those of people who are not there say nothing of the other files."""
    for file in report.files:
        if file["kept"] and file["file"] != KINDS["demographics"].file:
            yield file["file"], lost.get(file["file"], 0), file["rows"]
