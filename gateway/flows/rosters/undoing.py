"""Undo: the schools of a source go back to what they held, as a new version; a plan first.

What was erased since stays erased; consents, refusals and links are not touched. The next delivery is compared with
what the schools then hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from gateway import errors
from gateway.errors import Refused
from gateway.flows.parts import Office
from gateway.flows.rosters import judging, publishing, waiting
from gateway.flows.rosters.report import Report
from gateway.store import history, holds, runs, sources
from gateway.store.tenant import Session, Undo


def undo(parts: Office, district: int, source: str, by: str, *, to: str | None = None, publish: bool) -> Report:
    """Go back to before the last run that published, or to what a run left; or only say what that would do. Where a
    guard trips it is held for a second person."""
    report, now = Report(parts.ids.new("run"), source), parts.clock.now()
    with parts.database.open_intake(district) as session:
        runs.begin(session, report.run, source, now, by)
    try:
        with parts.database.open_intake(district) as session:
            _undo(parts, session, report, to, now, by, publish=publish)
            if not report.published:
                raise Undo
            runs.end(session, report.run, report.state, now, None, report.as_dict())
            return report
    except Refused as refused:
        report.refuse(refused.reason, refused.detail, "undo", 0)
    with parts.database.open_intake(district) as session:
        if report.hold and publish:
            waiting.open_(session, report, now, by, sources.number(session, source), to=report.undone)
        runs.end(session, report.run, report.state, now, None, report.as_dict())
    return report


def _undo(
    parts: Office, session: Session, report: Report, to: str | None, now: datetime, by: str, *, publish: bool
) -> None:
    if not sources.lock(session, report.source):
        raise Refused(errors.SRC_BUSY)
    allowed, _ = publishing.seats(session, report, now)
    refs = {seat.school: seat.ref for seat in allowed}
    goal = _goal(session, report, to)
    back = history.Return(session, [seat for seat in allowed if seat.school in goal], goal)
    report.undone = {refs[school]: version for school, version in goal.items()}
    back.compare()
    trips = judging.of_schools(back, judging.limits(session, report.source))
    report.held_by = judging.told(trips, allowed)
    report.describe(back.seats, back.changes())
    if trips:
        report.code, report.hold = errors.SRC_HELD.code, {"hold": parts.ids.new("hold"), "kind": holds.UNDO}
        report.state = "held" if publish else "planned"
    elif publish:
        publish_return(parts, session, report, back, now, by)


def publish_return(
    parts: Office, session: Session, report: Report, back: history.Return, now: datetime, by: str
) -> None:
    """Publish what schools go back to; what waits of the source waited for another roster."""
    publishing.publish(parts, session, report, back, now, by)
    number = sources.number(session, report.source)
    holds.supersede(session, report.source, number, now, kinds=(holds.REMOVALS, holds.EVERYTHING))
    report.state = "published" if report.published else "unchanged"


def carry_out(parts: Office, session: Session, report: Report, to: Mapping[str, int], now: datetime, by: str) -> None:
    """Carry out an undo that was held, to the versions {school's reference: version}."""
    allowed, _ = publishing.seats(session, report, now)
    goal = {seat.school: to[seat.ref] for seat in allowed if seat.ref in to}
    _require_kept(session, goal)
    back = history.Return(session, [seat for seat in allowed if seat.school in goal], goal)
    report.undone = dict(to)
    back.compare()
    report.describe(back.seats, back.changes())
    publish_return(parts, session, report, back, now, by)


def _goal(session: Session, report: Report, to: str | None) -> dict[int, int]:
    """Return the version each school goes back to. Raises Refused where there is none, or it is not kept."""
    seats = sources.seats(session, report.source)
    allowed = {s["school"] for s in report.skipped}
    seats = [seat for seat in seats if seat.ref not in allowed]
    if to is None:
        last = history.last_published(session, seats)
        goal = history.before(session, seats, last) if last else {}
        goal = {school: version for school, version in goal.items() if version}
    else:
        run = sources.run(session, to)
        if run is None or run.source != report.source or run.finished_at is None:
            raise Refused(
                errors.REQ_UNKNOWN, f"there is no run {to} of this source; `schoolgate sync history` lists them"
            )
        goal = history.after(session, seats, to, run.finished_at)
    if not goal:
        raise Refused(
            errors.SRC_NOTHING_BEFORE, _why_none(to, published=history.last_published(session, seats) is not None)
        )
    _require_kept(session, goal)
    return goal


def _why_none(to: str | None, *, published: bool) -> str:
    if not published:
        return "Nothing of this source was published yet."
    return (
        f"The schools had none after run {to}, or it is not kept any more."
        if to
        else "What they have is the first one."
    )


def _require_kept(session: Session, goal: Mapping[int, int]) -> None:
    if not history.kept(session, goal):
        raise Refused(errors.SRC_NOTHING_BEFORE, "The one before is not kept any more.")
