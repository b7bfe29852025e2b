"""What a run keeps back: its removals, or all of it, until a second person has looked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from gateway.flows.parts import Office
from gateway.flows.rosters.report import Report
from gateway.ledger import entry, log
from gateway.policy.guards import Trip
from gateway.store import absences, holds, rights, roles
from gateway.store.holds import EVERYTHING, REMOVALS
from gateway.store.publish import Projection
from gateway.store.staging import Staging
from gateway.store.tenant import Session
from mappings.oneroster.records import PROJECTED


def keeps_removals(report: Report) -> bool:
    """Whether only removals wait, while the rest of the delivery goes on."""
    return bool(report.hold and report.hold["kind"] == REMOVALS)


def withhold(staging: Staging, projection: Projection, hold: str, trips: Sequence[Trip]) -> int:
    """Go back to before the comparison, and keep back what would leave the schools whose guards trip, and people who
    come again under new ids; return how many records."""
    refs = {seat.ref: seat.school for seat in projection.seats}
    absences.let_follow(staging)
    gone = projection.would_go([refs[t.school] for t in trips if t.school], [absences.REKEYED])
    seats = projection.seated()
    staging.session.command("ROLLBACK TO SAVEPOINT compared")
    for kind in PROJECTED:
        found = defaultdict(set)
        for sourced_id, school in gone.get(kind.name, ()):
            found[sourced_id].add(school)
        _keep(staging, hold, kind.name, found)
    _keep(staging, hold, "role", holds.roles_of(staging, gone.get("user", ()), seats))
    holds.keep_carriers(staging, hold)
    return holds.waiting(staging.session, staging.source, hold)


def _keep(staging: Staging, hold: str, kind: str, found: dict[str, set[int]]) -> None:
    if found:
        holds.keep(staging, hold, kind, [(id_, f"{{{','.join(map(str, at))}}}") for id_, at in sorted(found.items())])


def open_(
    session: Session, report: Report, now: datetime, by: str, number: int, to: dict[str, int] | None = None
) -> None:
    """Record the hold of a run, with how much waits at each school."""
    hold = report.hold or {}
    counts = [[row.ref, row.name, row.kind, row.what, row.n] for row in holds.by_school(session, number, hold["hold"])]
    hold["expires"] = (now + holds.WAITS).isoformat()
    review = {"guards": report.held_by, "rekeyed": report.rekeyed, "impact": report.impact, "to": to}
    holds.open_(
        session, hold["hold"], report.source, report.run, hold["kind"], report.code or "", by, now, counts, review
    )


def keep_everything(parts: Office, report: Report, projection: Projection, now: datetime, by: str) -> None:
    """Keep a delivery's whole difference back, in a transaction of its own: that of the run will be undone."""
    staging = projection.staging
    with parts.database.open_intake(staging.session.district) as other:
        holds.supersede(other, report.source, staging.source, now, kinds=(EVERYTHING,))
        hold = (report.hold or {})["hold"]
        holds.copy_all(staging, other, hold, projection.shown())
        (report.hold or {})["waiting"] = holds.waiting(other, staging.source, hold)
        open_(other, report, now, by, staging.source)


def carry_refusals(
    parts: Office, session: Session, projection: Projection, pairs: Sequence[tuple[str, str]], by: str
) -> None:
    """Whoever comes again under a new id is refused what was refused for the old one: that never widens what leaves.

    Nothing else is carried over: one key in common does not show that two records are one person's.
    """
    if not pairs:
        return
    now, district, schools = parts.clock.now(), session.district, session.schools
    for seat in projection.seats:
        session.enter(roles.SCHOOL, district, (seat.school,))
        answered = rights.with_answers(session, [old for old, _ in pairs])
        copied = [ref for old, new in pairs if old in answered
                  for ref in rights.copy_refusals(session, old, new, parts.ids.new, now, by)]  # fmt: skip
        if copied:
            log.append(session, [_recorded(seat.ref, ref, now, by) for ref in copied])
    session.enter(roles.INTAKE, district, schools)


def _recorded(school: str, ref: str, now: datetime, by: str) -> dict[str, object]:
    return {"v": entry.VERSION, "type": "consent", "at": entry.moment(now), "school": school, "id": ref,
            "outcome": "recorded", "actor": {"kind": "staff", "ref": by}}  # fmt: skip
