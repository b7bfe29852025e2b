"""Roster sync: a delivery is read, staged, checked, projected to its schools, guarded and published.

One transaction from the first row to the new version. A plan and a refusal change nothing; where a guard trips, what
it is about waits for a second person, and the last version of that keeps serving.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows import erasure, notifications
from gateway.flows.parts import Office
from gateway.flows.rosters import again, impact, judging, publishing, reading, waiting
from gateway.flows.rosters.progress import Listener, Progress
from gateway.flows.rosters.report import Report, described
from gateway.policy.guards import Trip
from gateway.store import absences, deltas, holds, runs, sources, timetable
from gateway.store.checks import Checks
from gateway.store.letting_in import Seat
from gateway.store.publish import Projection
from gateway.store.rules import Rules
from gateway.store.staging import Staging
from gateway.store.tenant import Session, Undo
from mappings.oneroster.csv import Unreadable, spelled_in


def sync(
    parts: Office, district: int, source: str, path: Path, by: str, *, publish: bool,
    pulled: dict[str, Any] | None = None, run: str | None = None, listeners: Iterable[Listener] = (),
) -> Report:  # fmt: skip
    """Bring a delivery in, or only say what it would do. The report's state is planned, published, unchanged, held or
    refused. Held is what needs a second person: all of the delivery, or, where `published` says so, its removals. A
    refusal names file, line and reason. `listeners` hear how far it has come.

    Deletions that waited for a school's record to go are carried out where it has been gone for long enough.
    """
    report = Report(run or parts.ids.new("run"), source, pulled=pulled)
    progress = Progress(parts, district, report, tuple(listeners))
    progress.begin(by)
    _sync(parts, district, progress, path, by, publish=publish)
    if report.published or report.state == "unchanged":
        report.erased, report.not_erased = erasure.finish(parts, district, by)
    return report


def refuse(
    parts: Office, district: int, source: str, refused: Refused, what: str, by: str, run: str | None = None
) -> Report:
    """Record a run that came to nothing before there was a delivery."""
    report, now = Report(run or parts.ids.new("run"), source), parts.clock.now()
    report.refuse(refused.reason, refused.detail, what, 0)
    with parts.database.open_intake(district) as session:
        runs.begin(session, report.run, source, now, by)
        record(session, report, now)
    return report


def _sync(parts: Office, district: int, progress: Progress, path: Path, by: str, *, publish: bool) -> None:
    report = progress.report
    try:
        with parts.database.open_intake(district) as session:
            _Night(parts, session, progress, path, parts.clock.now(), by, publish).run()
            if report.state == "planned" or not (
                report.published or report.state == "unchanged" or waiting.keeps_removals(report)
            ):
                raise Undo
            record(session, report, parts.clock.now())
            _tell_of_hold(parts, session, report, publish=publish)
            return
    except Unreadable as unreadable:
        report.refuse(
            VOCABULARY[unreadable.code], unreadable.detail, unreadable.file, unreadable.line, unreadable.repair
        )
    except Refused as refused:
        report.refuse(refused.reason, refused.detail, path.name, 0)
    with parts.database.open_intake(district) as session:
        record(session, report, parts.clock.now())
        _tell_of_hold(parts, session, report, publish=publish)


def _tell_of_hold(parts: Office, session: Session, report: Report, *, publish: bool) -> None:
    """Tell the district, once a day, of what waits for a second person: since this run, or an earlier one."""
    open_holds = holds.listing(session, report.source, "open") if publish else ()
    if open_holds:
        newest, counts = open_holds[0], {"guards": len(report.held_by)}
        notifications.tell(parts, session, "held", report.source, code=newest.code, run=newest.run, said=counts)


def timetable_says(session: Session, source: str, now: datetime) -> None:
    """Raise Refused while a source is paused: nothing of it is fetched or published then."""
    pause = timetable.paused(session, source, now)
    if pause:
        until = f"until {pause.until_at:%Y-%m-%d %H:%M} UTC" if pause.until_at else "until somebody resumes it"
        raise Refused(errors.SRC_PAUSED, f"the source is paused {until}: {pause.reason}")


def record(session: Session, report: Report, now: datetime) -> None:
    """Record how a run ended, what was wrong and what was missing."""
    runs.end(session, report.run, report.state, now, report.delivery, report.as_dict())
    sources.keep_faults(session, report.run, report.faults)
    absences.record(session, report.run, report.missing)


@dataclass
class _Night:
    """One run, in its transaction."""

    parts: Office
    session: Session
    progress: Progress
    path: Path
    now: datetime
    by: str
    publish: bool

    @property
    def report(self) -> Report:
        return self.progress.report

    def run(self) -> None:
        if not sources.lock(self.session, self.report.source):
            raise Refused(errors.SRC_BUSY)
        if self.publish:
            timetable_says(self.session, self.report.source, self.now)
        staged = self._stage()
        if staged is None:
            return
        staging, allowed = staged
        projection, trips = self._judge(staging, allowed)
        self.report.held_by = judging.told(trips, allowed)
        self._describe(projection)
        if self.report.hold:
            self.report.code = judging.code(trips).code
        if not self.publish:
            (self.report.hold or {}).pop("hold", None)
            impact.note(self.parts, self.session.district, self.report, projection)
        elif self.report.hold and not waiting.keeps_removals(self.report):
            self.report.state = "held"
            impact.note(self.parts, self.session.district, self.report, projection)
            waiting.keep_everything(self.parts, self.report, projection, self.now, self.by)
        else:
            self._publish(staging, projection)

    def _stage(self) -> tuple[Staging, list[Seat]] | None:
        """Read and check a delivery, and say of each record that is missing why it is. None for the delivery that was
        taken the last time."""
        report, number = self.report, sources.number(self.session, self.report.source)
        repairs = sources.repairs(self.session, report.source)
        with reading.opened(self.parts, self.path, repairs) as delivery:
            report.read(delivery.manifest, delivery.fingerprint, repairs)
            self.progress.take_up()
            allowed, left_out = publishing.let_in(self.session, report, self.now)
            collected = publishing.collected(report, allowed, self.now)
            last = again.the_last_one(self.session, report) if self.publish else None
            if last:
                again.say(report, last, allowed)
                return None
            staging = Staging(self.session, number, waits=holds.kinds_waiting(self.session, number))
            publishing.begin_anew(self.session, report, staging, collected)
            read = reading.Reading(delivery, staging, report, collected, self.progress)
            with self.progress.step("read"), delivery.lying_still():
                read.read()
            with self.progress.step("check"):
                report.unchanged(deltas.order(staging, self.now))
                checks = Checks(staging)
                again_today = again.is_handed_in_again(self.session, report, self.now)
                skip = read.not_delivered() | read.empty
                checks.run(complete=delivery.whole, another=not again_today, skip=skip)
                Rules(checks).run()
            staging.respell(spelled_in(report.version))
        report.faults = staging.faults()
        report.causes = described(staging.causes(), report.version)
        ours = {seat.org_id for seat in sources.seats(self.session, report.source)}
        report.proposed = [f"{name} ({org})" for org, name in staging.proposed_schools() if org not in ours]
        if self.publish or allowed or left_out:  # of a district without schools, a plan says which there would be
            publishing.require(allowed, left_out)
        absences.classify(staging, left_out)
        report.absences, report.missing = absences.counted(staging), absences.listed(staging)
        return staging, allowed

    def _judge(self, staging: Staging, allowed: list[Seat]) -> tuple[Projection, list[Trip]]:
        """Compare with what the schools hold. Where only removals are too many, compare again without them."""
        limits = judging.limits(self.session, self.report.source)
        trips = judging.of_source(staging, self.report)
        self.session.command("SAVEPOINT compared")
        projection = self._compare(staging, allowed, "project")
        trips += judging.of_schools(projection, limits)
        kind = judging.what_waits(trips)
        if kind == holds.REMOVALS:
            hold = self.parts.ids.new("hold")
            kept = waiting.withhold(staging, projection, hold, trips)
            rest = self._compare(staging, allowed, "project again")
            more = judging.of_schools(rest, limits) if kept else trips
            if not more:
                self.report.hold = {"hold": hold, "kind": kind, "waiting": kept}
                return rest, trips
            trips += [trip for trip in more if trip not in trips]
            self.session.command("ROLLBACK TO SAVEPOINT compared")
            kind, projection = holds.EVERYTHING, self._compare(staging, allowed, "project all")
        if kind:
            self.report.hold = {"hold": self.parts.ids.new("hold"), "kind": kind}
        return projection, trips

    def _compare(self, staging: Staging, allowed: list[Seat], step: str) -> Projection:
        with self.progress.step(step):
            projection = publishing.project(self.session, staging, allowed, self.report)
            projection.changes()
        return projection

    def _describe(self, projection: Projection) -> None:
        report, refs = self.report, {seat.school: seat.ref for seat in projection.seats}
        report.children = projection.children()
        report.describe(projection.seats, projection.changes())
        for word in ("narrowed", "left_out"):  # by our own agreements, whatever came
            report.note(word, {(refs[c.school], c.kind): n for c in projection.changes() if (n := getattr(c, word))})
        bad = projection.quarantined() if report.faults else {}
        report.note("quarantined", {(refs[school], kind): n for (school, kind), n in bad.items()})
        if waiting.keeps_removals(report) and report.hold:
            waits = holds.by_school(self.session, projection.staging.source, report.hold["hold"])
            report.note("waiting", {(row.ref, row.kind): row.n for row in waits})

    def _publish(self, staging: Staging, projection: Projection) -> None:
        report = self.report
        with self.progress.step("publish"):
            deltas.remember(staging, self.now)
            waiting.carry_refusals(self.parts, self.session, projection, absences.under_new_ids(staging), self.by)
            publishing.publish(self.parts, self.session, report, projection, self.now, self.by)
            number = staging.source
            holds.went_along(staging)
            holds.close_healed(self.session, report.source, number, self.now)
            holds.supersede(self.session, report.source, number, self.now, kinds=(holds.EVERYTHING, holds.UNDO))
            report.state = "published" if report.published else "unchanged"
            if report.hold:
                report.state = "held"
                waiting.open_(self.session, report, self.now, self.by, number)
