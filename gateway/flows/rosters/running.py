"""The timetable at work: every minute it is asked what is due, and each source that is gets one job.

Nothing here decides for a person: what a guard holds stays held. A run that failed is tried again a few times that
night; the try is counted before it begins, so that a delivery which kills its worker is not tried for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import structlog

from gateway import errors
from gateway.errors import Refused
from gateway.flows import notifications
from gateway.flows.parts import Parts
from gateway.flows.rosters import arrivals, looking, nights, publishing, pull, services
from gateway.flows.rosters.kinds import REST
from gateway.flows.rosters.report import Report
from gateway.flows.rosters.sync import refuse
from gateway.flows.rosters.timetable import plan_of
from gateway.policy.persons import TIMETABLE
from gateway.store import directory, sources, timetable
from gateway.store.notifications import due as unsent
from gateway.store.tenant import Session

_log = structlog.get_logger()


def tick(parts: Parts) -> None:
    """Ask what is due, look into the folders that are watched, and see to what is to be told. One district's trouble
    is not another's."""
    now = parts.clock.now()
    with parts.database.open_identity() as session:
        due, looking, telling = timetable.due(session, now), timetable.looking(session), unsent(session, now)
    for district, rows in groupby(due, key=lambda row: row.district):
        _apart(lambda d=district, r=list(rows): _consider(parts, d, [row.source for row in r]))  # type: ignore[misc]
    for row in looking:
        _apart(lambda r=row: arrivals.look(parts, r.district, r.source))  # type: ignore[misc]
    for district in telling:
        _apart(lambda d=district: _send(parts, d))  # type: ignore[misc]


def tidy(parts: Parts) -> None:
    """Forget in every district what is kept no longer."""
    with parts.database.open_identity() as session:
        districts = directory.places(session)
    for district in districts:
        _apart(lambda d=district: looking.forget(parts, d))  # type: ignore[misc]


def _apart(work: Callable[[], Any]) -> None:
    try:
        work()
    except Refused as refused:
        _log.warning("the timetable could not do something", code=refused.reason.code)
    except Exception as error:
        _log.error("the timetable could not do something", code="INT_UNEXPECTED", kind=type(error).__name__)


def _send(parts: Parts, district: int) -> None:
    with parts.database.open_intake(district) as session:
        parts.defer(session, "send_notifications", queueing_lock=f"notify:{district}", district=district)


def _consider(parts: Parts, district: int, due: Sequence[str]) -> None:
    with parts.database.open_intake(district) as session:
        for source in due:
            row, found = timetable.lock(session, source), sources.find(session, source)
            if row is not None and found is not None:
                _judge(parts, session, row, found)


def _judge(parts: Parts, session: Session, row: Any, found: Any) -> None:
    now = parts.clock.now()
    plan, pause = plan_of(session, row, found), timetable.paused(session, row.source, now)
    verdict = nights.judge(plan, row.due_at, row.set_at, pause and pause.until_at, pause is not None, now)
    if verdict is None:
        return
    timetable.reckon(session, row.source, verdict.due_at, now, verdict.said or (row.said if not verdict.run else None))
    if not verdict.run:
        return
    if row.expects:
        _should_have_come(parts, session, row)
    else:
        key = f"source:{row.source}"
        parts.defer(session, "sync_source", lock=key, queueing_lock=key, district=session.district, source=row.source)


def _should_have_come(parts: Parts, session: Session, row: Any) -> None:
    """Tell the district where no delivery has come since the last time one should have."""
    if not timetable.came_since(session, row.source, row.waited_from):
        notifications.tell(parts, session, "missing", row.source)
    timetable.waits_from(session, row.source, parts.clock.now())


# --- one night of one source -----------------------------------------------------------------------


def night(parts: Parts, district: int, source: str) -> Report | None:
    """Fetch a source's delivery and bring it in, as the timetable; None where it is left alone."""
    attempt = _begin(parts, district, source)
    if attempt is None:
        return None
    report = _run(parts, district, source)
    _end(parts, district, source, report, attempt)
    _log.info("night", source=source, run=report.run, state=report.state, code=report.code, count=attempt)
    return report


def _begin(parts: Parts, district: int, source: str) -> int | None:
    """Count a try before it is made; return its number, or None where the source is paused, gone or given up."""
    now = parts.clock.now()
    with parts.database.open_intake(district) as session:
        row, found = timetable.lock(session, source), sources.find(session, source)
        if row is None or found is None:
            return None
        if timetable.paused(session, source, now):
            timetable.reckon(session, source, row.due_at, now, errors.SRC_PAUSED.code)
            return None
        free = plan_of(session, row, found).free(now)
        if free > now:  # the job waited in line for too long
            timetable.reckon(session, source, free, now, errors.SRC_PEAK.code)
            return None
        if row.attempt >= nights.TRIES:  # each took its worker along
            timetable.attempt(session, source, 0)
            notifications.tell(parts, session, "failed", source, code=errors.INT_UNEXPECTED.code)
            return None
        timetable.attempt(session, source, row.attempt + 1)
        return int(row.attempt) + 1


def _run(parts: Parts, district: int, source: str) -> Report:
    found = pull.reloaded(parts, district, source)
    try:
        return _read(parts, district, found) if found.kind == REST else pull.bring(parts, district, found, TIMETABLE)
    except Refused as refused:
        return refuse(parts, district, source, refused, found.url, TIMETABLE)
    except Exception as error:
        _log.error("a night failed", source=source, code="INT_UNEXPECTED", kind=type(error).__name__)
        return refuse(parts, district, source, Refused(errors.INT_UNEXPECTED), found.url, TIMETABLE)


def _read(parts: Parts, district: int, found: Any) -> Report:
    """Look at what a service offers, and read what changed there; now and then everything, to see what drifted, and
    where something else is offered or collected than before: of that the changes hold only what is newest."""
    other = services.probe_and_note(parts, district, found)
    if other:
        with parts.database.open_intake(district) as session:
            notifications.tell(parts, session, "changed", found.source, said={"changes": len(other)})
    found = pull.reloaded(parts, district, found.source)
    if other or publishing.collects_otherwise(parts, district, found):
        return pull.bring(parts, district, found, TIMETABLE)  # what is new in it has not drifted
    if services.wants_everything(found, parts.clock.now()):
        return pull.bring_whole(parts, district, found, TIMETABLE)[1]
    return pull.bring(parts, district, found, TIMETABLE, pull.Asked(changes=True))


def _end(parts: Parts, district: int, source: str, report: Report, attempt: int) -> None:
    """What failed is tried again later; when no try is left the district is told."""
    now = parts.clock.now()
    with parts.database.open_intake(district) as session:
        row, found = timetable.find(session, source), sources.find(session, source)
        if row is None or found is None:
            return
        later = None
        if report.state == "refused":
            later = nights.again(plan_of(session, row, found), attempt, row.due_at, now)
            if later is None:
                said = {"tries": attempt}
                notifications.tell(parts, session, "failed", source, code=report.code, run=report.run, said=said)
        else:
            timetable.came(session, source, now)
        timetable.reckon(session, source, later or row.due_at, now, report.code)
        if later is None:
            timetable.attempt(session, source, 0)
