"""What a delivery would do beyond the roster: to launches from linked courses, and to what vendors see."""

from __future__ import annotations

from typing import Any

from gateway.flows.parts import Office
from gateway.flows.rosters.report import Report
from gateway.store import sources
from gateway.store.publish import Projection


def note(parts: Office, district: int, report: Report, projection: Projection) -> None:
    """Say which linked courses would lose their class or members of it, and how many rows each vendor's grants would
    see come and go: at most, for what is withheld from them is not looked at."""
    seats = {seat.school: seat for seat in projection.seats}
    if not seats:
        return
    hit = projection.classes_hit()
    with parts.database.open_schools(district, sorted(seats)) as session:
        links, grants = sources.linked_courses(session), sources.readers(session)
    courses = []
    for link in links:
        if link.class_id in hit.get(link.school, {}):
            goes, members = hit[link.school][link.class_id]
            courses.append({"school": seats[link.school].ref, "course": link.context_id, "class": link.class_id,
                            "loses": "class" if goes else "members", "members": members})  # fmt: skip
    report.impact = {"courses": courses, "vendors": _vendors(projection, grants)}


def _vendors(projection: Projection, grants: Any) -> list[dict[str, Any]]:
    come, go = (dict.fromkeys({c.school for c in projection.changes()}, 0) for _ in range(2))
    for change in projection.changes():
        come[change.school] += change.added
        go[change.school] += change.removed
    found: dict[tuple[str, str], list[int]] = {}
    for row in grants:
        sums = found.setdefault((row.vendor, row.access_grant), [0, 0])
        sums[0] += come.get(row.school, 0)
        sums[1] += go.get(row.school, 0)
    return [{"vendor": vendor, "grant": grant, "appear": appear, "go": gone}
            for (vendor, grant), (appear, gone) in sorted(found.items()) if appear or gone]  # fmt: skip
