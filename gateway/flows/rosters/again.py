"""A delivery that is byte for byte the last one: nothing can have changed, so nothing is read.

Only where the last run was clean and took everything, the schools hold its versions, nothing waits, no row is looked at
anew every night, and all that decides what a row comes to is as it was: rules, repairs, schools, agreements, the age of
a child; and no child that is left out may have grown up.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from gateway.flows.rosters.report import Report
from gateway.store import history, holds, runs, sources
from gateway.store.letting_in import Seat
from gateway.store.staging import is_sure
from gateway.store.tenant import Session

_NIGHT = timedelta(hours=12)
_OF_A_NIGHT = ("quarantined", "narrowed", "left_out")  # said of a school's rows on the night on which it happens


def the_last_one(session: Session, report: Report) -> Any | None:
    """Return the run that took this very delivery, whole and clean, and after which nothing has happened; else None."""
    last = runs.last_accepted(session, report.source)
    if last is None or not report.delivery or last.delivery_hash != report.delivery:
        return None
    said = last.report
    same = all(said.get(name) == getattr(report, name) for name in ("collected", "let_in", "repairs", "skipped"))
    clean = not any(said.get(name) for name in ("causes", "absences", "children", "held_by", "hold", "undone"))
    whole = all(file["mode"] == "bulk" and not file["bad"] for file in said["files"])
    if not (same and clean and whole):
        return None
    serving = history.serving(session, report.source)
    if any(serving.get(school["school"]) != school["version"] for school in said["schools"]):
        return None
    since = (one for one in holds.listing(session, report.source) if one.opened_at >= last.finished_at)
    if any(since) or holds.listing(session, report.source, "open"):
        return None
    return last if is_sure(session, sources.number(session, report.source)) else None


def is_handed_in_again(session: Session, report: Report, now: datetime) -> bool:
    """Whether somebody hands in the last delivery once more, so that it says nothing a second time: the same bytes, and
    sooner than a night's export would come again after the last time that they said something."""
    said: datetime | None = None
    for at in runs.taken(session, report.source, report.delivery):
        said = at if said is None or at - said >= _NIGHT else said
    return said is not None and now - said < _NIGHT


def say(report: Report, last: Any, allowed: list[Seat]) -> None:
    """Say what reading it again would have said; of schools, under the names that they have now."""
    said, names = last.report, {seat.ref: seat.name for seat in allowed}
    report.same_as, report.state = last.run, "unchanged"
    report.dropped = said["dropped"]
    report.files = [{**file, "unchanged": file["accepted"] if file["kept"] else 0} for file in said["files"]]
    for school in said["schools"]:
        after = {kind: n["before"] + n["added"] - n["removed"] for kind, n in school["kinds"].items()}
        kinds = {kind: {"before": n, "added": 0, "changed": 0, "removed": 0} for kind, n in after.items()}
        now = {"name": names[school["school"]], "kinds": kinds, "same": after}
        report.schools.append(school | now | {word: {} for word in _OF_A_NIGHT})
