"""Deliveries that come by themselves: handed in at the district's own door, or found in a folder that is watched.

Each lies whole in the spool before anybody is told that it was taken, and a job runs it; a newer one takes the place of
one whose run has not begun.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway import errors
from gateway.errors import Refused
from gateway.flows import notifications
from gateway.flows.parts import Parts
from gateway.flows.rosters import progress, watching
from gateway.flows.rosters.nights import Plan
from gateway.flows.rosters.report import Report
from gateway.flows.rosters.spool import Readable, Spool
from gateway.flows.rosters.sync import refuse, sync, timetable_says
from gateway.flows.rosters.timetable import plan_of
from gateway.policy.persons import TIMETABLE
from gateway.store import arrivals, directory, sources, timetable
from gateway.store.tenant import Session


def hand_in(
    parts: Parts, district: int, source: str, by: str, stream: Readable, length: int, digest: str
) -> dict[str, Any]:
    """Take a delivery that somebody sends; return its run. The same bytes sent twice are one run. Raises Refused."""
    with parts.database.open_intake(district) as session:
        _known(session, source)
        timetable_says(session, source, parts.clock.now())
    if length > parts.settings.max_delivery_mb << 20:
        raise Refused(errors.REQ_TOO_LARGE, f"a delivery has at most {parts.settings.max_delivery_mb} MiB")
    spool, run = Spool.of(parts.settings), parts.ids.new("run")
    spool.take(run, stream, length, digest)
    with parts.database.open_intake(district) as session:
        same = [one for one in arrivals.waiting(session, source) if one.fingerprint == digest]
        if not same:
            _wait(parts, session, spool, source, run, digest, length, by)
    if same:
        spool.remove(run)
    return state_of(parts, district, source, same[0].run if same else run)


def _known(session: Session, source: str) -> None:
    found = sources.find(session, source)
    if found is None or found.source != source:
        raise Refused(errors.REQ_NOT_FOUND, "there is no such source in this district")


def _wait(
    parts: Parts, session: Session, spool: Spool, source: str, run: str, fingerprint: str, size: int, by: str
) -> None:
    """Put a delivery in line; one before it whose run has not begun is not needed any more."""
    now = parts.clock.now()
    for older in arrivals.waiting(session, source):
        arrivals.end(session, older.run, "replaced", now)
        spool.remove(older.run)
    arrivals.add(session, run, source, fingerprint, size, now, by)
    parts.defer(session, "take_delivery", lock=f"source:{source}", district=session.district, run=run)


def take(parts: Parts, district: int, run: str) -> Report | None:
    """Run a delivery that waits; None when it is over. A worker that is lost meanwhile leaves it to the next one."""
    with parts.database.open_intake(district) as session:
        found = arrivals.begin(session, run)
        done = found and sources.run(session, run)
    if found is None:
        return None
    spool = Spool.of(parts.settings)
    if done:  # the worker was lost between the run's end and this word
        report = None
    elif spool.path(run).exists():
        report = sync(parts, district, found.source, spool.path(run), found.acted_by, publish=True, run=run)
    else:
        report = refuse(parts, district, found.source, Refused(errors.SRC_UPLOAD_LOST), run, found.acted_by, run)
    with parts.database.open_intake(district) as session:
        arrivals.end(session, run, "over", parts.clock.now(), report.code if report else None)
        if report and report.state == "refused":
            notifications.tell(parts, session, "failed", found.source, code=report.code, run=run)
    spool.remove(run)
    return report


def state_of(parts: Parts, district: int, source: str, run: str) -> dict[str, Any]:
    """Return how a run stands. Raises Refused where the source has none of that name."""
    with parts.database.open_intake(district) as session:
        done, found = sources.run(session, run), arrivals.find(session, run)
        row = done or found
        if row is None or row.source != source:
            raise Refused(errors.REQ_NOT_FOUND, "there is no such run")
        now = progress.standing(session, source, parts.clock.now())
    said = {"run": run, "source": source, "state": row.state, "code": None, "progress": None}
    if done:
        report = done.report or {}
        return said | {
            "code": report.get("code"), "finished_at": done.finished_at, "files": report.get("files", []),
            "schools": report.get("schools", []), "causes": report.get("causes", []), "refusal": report.get("refusal"),
        }  # fmt: skip
    return said | {"code": row.code, "progress": now if now and now["run"] == run else None}


# --- watched folders -------------------------------------------------------------------------------


def look(parts: Parts, district: int, source: str) -> str | None:
    """Look into a source's folder; return the run of a delivery that was taken. One look takes one."""
    now = parts.clock.now()
    with parts.database.open_intake(district) as session:
        row, found = timetable.find(session, source), sources.find(session, source)
        if (
            row is None
            or found is None
            or not found.url
            or _waits(session, source, plan_of(session, row, found), parts)
        ):
            return None
        own = directory.district_ref(session)
        folder = watching.allowed(parts.settings, unquote(urlsplit(found.url).path), own)
        lying = watching.found_in(folder)
        arrivals.gone(session, source, [one.name for one in lying])
        looks = [(one, arrivals.looked(session, source, one.name, one.size, one.modified, now)) for one in lying]
    still = [one for one, look in looks if look.fingerprint is None and now - look.seen_at >= watching.STILL]
    return next((run for one in still if (run := _take_up(parts, district, source, folder, one))), None)


def _waits(session: Session, source: str, plan: Plan, parts: Parts) -> bool:
    now = parts.clock.now()
    return timetable.paused(session, source, now) is not None or plan.free(now) > now


def _take_up(parts: Parts, district: int, source: str, folder: Path, found: watching.Found) -> str | None:
    """Take what has been still: into the spool, in line, and out of the way. What came before is only noted."""
    spool, run, now = Spool.of(parts.settings), parts.ids.new("run"), parts.clock.now()
    try:
        with spool.writing(run) as part:
            fingerprint, size = watching.copy(folder, found, part, parts.settings.max_delivery_mb << 20)
    except watching.NotWhole:
        return None
    with parts.database.open_intake(district) as session:
        new = not arrivals.took_before(session, source, fingerprint)
        arrivals.took(session, source, found.name, fingerprint)
        timetable.came(session, source, now)
        if new:
            _wait(parts, session, spool, source, run, fingerprint, size, TIMETABLE)
    if not new:
        spool.remove(run)
    watching.put_away(folder, found, now)
    return run if new else None
