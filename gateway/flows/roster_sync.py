"""Roster sync: a delivery is read, staged, checked, projected to its schools, guarded and published.

One transaction from the first row to the new version. A plan, a hold and a refusal change nothing; the last
version keeps serving.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

from connectors.oneroster_csv import Delivery, open_delivery
from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows import erasure
from gateway.flows.parts import Office
from gateway.ledger import entry, log
from gateway.policy import guards
from gateway.store import sources
from gateway.store.publish import Change, Projection, Seat
from gateway.store.staging import ReadAgain, Seen, Staging
from gateway.store.tenant import Session, Undo
from mappings.oneroster.csv import FILES, REQUIRED, Unreadable, read_header
from mappings.oneroster.records import KINDS
from mappings.oneroster.rows import Fault, FileReader, Tally

# Above these shares a file is not believed: bad rows, and lines that are not UTF-8.
BAD_SHARE, UNDECODABLE_SHARE = 0.5, 0.05
MOST_FAULTS = 200_000  # kept in memory while a file is read


@dataclass
class Report:
    """What a run found and did, for a person, `--json` and the run's record. `code` says why nothing was published."""

    run: str
    source: str
    state: str = "planned"
    code: str | None = None
    delivery: str | None = None
    files: list[dict[str, Any]] = field(default_factory=list)
    schools: list[dict[str, Any]] = field(default_factory=list)
    causes: list[dict[str, Any]] = field(default_factory=list)
    proposed: list[str] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    held_by: list[dict[str, Any]] = field(default_factory=list)
    refusal: dict[str, str] | None = None
    erased: int = 0
    not_erased: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The report without the single faults, which have a table of their own."""
        return {name: value for name, value in asdict(self).items() if name != "faults"}

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        began = perf_counter()
        yield
        self.seconds[step] = round(perf_counter() - began, 3)


def sync(parts: Office, district: int, source: str, path: Path, by: str, *, publish: bool) -> Report:
    """Bring a delivery in, or only say what it would do. The report's state is planned, published, unchanged,
    held or refused; a refusal names file, line and reason.

    Deletions that waited for a school's record to go are carried out where it has been gone for long enough.
    """
    report = _sync(parts, district, source, path, by, publish=publish)
    if report.state in ("published", "unchanged"):
        report.erased, report.not_erased = erasure.finish(parts, district, by)
    return report


def _sync(parts: Office, district: int, source: str, path: Path, by: str, *, publish: bool) -> Report:
    report, started = Report(parts.ids.new("run"), source), parts.clock.now()
    try:
        with parts.database.open_intake(district) as session:
            _run(parts, session, report, path, started, publish=publish, by=by)
            if report.state not in ("published", "unchanged"):
                raise Undo
            _record(session, report, source, started, parts.clock.now(), by)
            return report
    except Unreadable as unreadable:
        _refuse(report, VOCABULARY[unreadable.code], unreadable.detail, unreadable.file, unreadable.line)
    except Refused as refused:
        _refuse(report, refused.reason, refused.detail, path.name, 0)
    with parts.database.open_intake(district) as session:
        _record(session, report, source, started, parts.clock.now(), by)
    return report


def _run(parts: Office, session: Session, report: Report, path: Path, now: datetime, *, publish: bool, by: str) -> None:
    if not sources.lock(session, report.source):
        raise Refused(errors.SRC_BUSY)
    with _opened(parts, path) as delivery:
        report.delivery = delivery.fingerprint()
        report.passed_over = delivery.passed_over()
        staging = Staging(session, sources.number(session, report.source))
        with report.timed("read"):
            empty = _read(delivery, staging, report)
        with report.timed("check"):
            staging.check(complete=delivery.whole, skip=_not_delivered(delivery) | empty)
    report.faults = staging.faults()
    report.causes = _causes(report.faults)
    with report.timed("accept"):
        projection = Projection(staging, [])
        projection.seats = _seats(session, report, staging, now)
        behind = sources.skipped_last(session, report.source)
        projection.everything = any(seat.ref in behind for seat in projection.seats)
        projection.note_touched()
        staging.accept()
    with report.timed("project"):
        projection.project()
        changes = projection.changes()
    _describe(report, projection.seats, changes)
    _guard(
        session, report, projection.seats, [*changes, *projection.roles_lost()], _lost(report) if staging.first else ()
    )
    if publish and report.state == "planned":
        with report.timed("publish"):
            _publish(session, report, projection, now, by)


@contextmanager
def _opened(parts: Office, path: Path) -> Iterator[Delivery]:
    """Open a delivery. Raises Refused when it is not there or its files may not be read, else Unreadable."""
    try:
        if not (path.is_file() or path.is_dir()):
            raise Refused(errors.REQ_INVALID, f"there is no file or folder {path}")
        with open_delivery(path, parts.settings.max_delivery_mb << 20) as delivery:
            yield delivery
    except OSError as error:
        raise Refused(errors.REQ_INVALID, f"{error.filename or path} cannot be read: {error.strerror}") from error


# --- reading ---------------------------------------------------------------------------------------


def _read(delivery: Delivery, staging: Staging, report: Report) -> frozenset[str]:
    """Stage every file; return the optional kinds that came empty."""
    seen, empty = staging.known(), set()
    for name in delivery.files():
        try:
            tally = _read_file(delivery, name, staging, seen, report)
        except ReadAgain:
            tally = _read_file(delivery, name, staging, seen, report)
        kind = FILES[delivery.manifest.version][name].kind
        report.files.append(
            {"file": name, "rows": tally.lines, "accepted": tally.accepted, "unchanged": tally.unchanged,
             "bad": tally.bad, "repairs": sorted(tally.repairs)}
        )  # fmt: skip
        _believe(name, tally, required=name in REQUIRED[delivery.manifest.version])
        if not tally.lines:
            empty.add(kind)
            report.files[-1]["repairs"].append("no-rows")
    staging.tick_off(seen)
    return frozenset(empty)


def _read_file(delivery: Delivery, name: str, staging: Staging, seen: Seen, report: Report) -> Tally:
    file, faults = FILES[delivery.manifest.version][name], list[Fault]()

    def note(fault: Fault) -> None:
        if len(faults) == MOST_FAULTS:
            raise Unreadable("CSV_FAULT_BUDGET", name, f"more than {MOST_FAULTS} rows are bad", fault.line)
        faults.append(fault)

    blocks = delivery.blocks(name)
    first = next(blocks, [])
    reader = FileReader(read_header(file, first[0] if first else b""), seen, note)
    try:
        staging.copy(file.kind, reader.batches(chain([first[1:]], blocks)))
    except ReadAgain:
        faults.clear()
        raise
    finally:
        report.faults += faults
        report.causes = _causes(report.faults)
    staging.report(
        file.kind, faults, reader.tally.nameless, roles=delivery.manifest.version == "1.1" and file.kind == "user"
    )
    return reader.tally


def _believe(name: str, tally: Tally, *, required: bool) -> None:
    """Refuse a file that cannot be trusted as a whole."""
    if tally.cut:
        raise Unreadable("CSV_FILE_CUT", name, "the last line is broken off", tally.last)
    if required and not tally.lines:
        raise Unreadable("CSV_FILE_EMPTY", name)
    if tally.undecodable > 3 and tally.undecodable > UNDECODABLE_SHARE * tally.lines:
        raise Unreadable("CSV_ENCODING", name, "it looks like Windows-1252")
    few = tally.bad < 10 and tally.accepted
    if tally.bad > BAD_SHARE * tally.lines and not few:
        raise Unreadable("CSV_FAULT_BUDGET", name, f"{tally.bad} of {tally.lines} rows are bad")


def _not_delivered(delivery: Delivery) -> frozenset[str]:
    """Kinds whose file is absent: nothing is known of them, so nothing of them is gone."""
    there = {FILES[delivery.manifest.version][name].kind for name in delivery.files()}
    if delivery.manifest.version == "1.1":
        there.add("role")
    return frozenset(KINDS) - there


def _seats(session: Session, report: Report, staging: Staging, now: datetime) -> list[Seat]:
    """The onboarded schools of this source whose agreement lets us import; the rest is said, not made."""
    seats = sources.seats(session, report.source)
    ours = {seat.org_id for seat in seats}
    report.proposed = [f"{name} ({org})" for org, name in staging.proposed_schools() if org not in ours]
    covered = sources.covered(session, now)
    report.skipped = [
        {"school": seat.ref, "name": seat.name, "code": errors.SRC_AGREEMENT_MISSING.code}
        for seat in seats
        if seat.school not in covered
    ]
    if not seats:
        raise Refused(errors.SRC_NO_SCHOOL)
    allowed = [seat for seat in seats if seat.school in covered]
    if not allowed:
        raise Refused(errors.SRC_AGREEMENT_MISSING)
    return allowed


# --- saying what it would do -----------------------------------------------------------------------


def _causes(faults: list[Fault]) -> list[dict[str, Any]]:
    """Faults grouped by cause, the most frequent first."""
    groups = Counter((f.file, f.column, f.code, f.effect, f.hint if f.effect == "row" else "") for f in faults)
    first: dict[tuple[str, str, str, str, str], Fault] = {}
    for f in faults:
        first.setdefault((f.file, f.column, f.code, f.effect, f.hint if f.effect == "row" else ""), f)
    causes = []
    for key, count in sorted(groups.items(), key=lambda item: (-item[1], item[0])):
        reason, example = VOCABULARY[key[2]], first[key]
        causes.append(
            {"file": key[0], "column": key[1], "code": key[2], "costs": key[3], "count": count,
             "line": example.line, "shape": example.shape, "hint": example.hint, "sentence": reason.sentence,
             "remedy": reason.remedy, "owner": str(reason.owner)}
        )  # fmt: skip
    return causes


def _describe(report: Report, seats: list[Seat], changes: list[Change]) -> None:
    for seat in seats:
        kinds = {
            c.kind: {"before": c.before, "added": c.added, "changed": c.changed, "removed": c.removed}
            for c in changes
            if c.school == seat.school
        }
        report.schools.append({"school": seat.ref, "name": seat.name, "kinds": kinds})


def _lost(report: Report) -> Iterator[tuple[str, int, int]]:
    """Yield each file with its lines that refer to records that are nowhere, and all its lines. To demographics nothing
    refers: those of people who are not there say nothing of the other files."""
    lost = {(f.file, f.line) for f in report.faults if (f.code, f.effect) == ("CSV_REFERENCE", "row")}
    for file in report.files:
        if file["file"] != KINDS["demographics"].file:
            yield file["file"], sum(name == file["file"] for name, _ in lost), file["rows"]


def _guard(
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


# --- making it true --------------------------------------------------------------------------------


def _publish(session: Session, report: Report, projection: Projection, now: datetime, by: str) -> None:
    versions = projection.publish(report.run, now)
    report.state = "published" if versions else "unchanged"
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
        "operation": "roster.import", "actor": {"kind": "staff", "ref": by}, "outcome": "published",
        "subjects": users["before"] + users["added"] - users["removed"],
    }  # fmt: skip


def _record(session: Session, report: Report, source: str, started: datetime, now: datetime, by: str) -> None:
    sources.keep_run(session, report.run, source, report.state, started, now, report.delivery, report.as_dict(), by)
    sources.keep_faults(session, report.run, report.faults)


def _refuse(report: Report, reason: errors.Reason, detail: str, file: str, line: int) -> None:
    report.state, report.code = "refused", reason.code
    report.refusal = {
        "code": reason.code, "file": file, "line": str(line or ""), "sentence": reason.sentence, "detail": detail,
        "remedy": reason.remedy, "owner": str(reason.owner),
    }  # fmt: skip


def release(parts: Office, district: int, run: str, by: str) -> None:
    """Release a hold, by somebody else than whoever ran into it. The delivery is then sent again."""
    with parts.database.open_intake(district) as session:
        held = sources.held(session, run)
        if held is None:
            raise Refused(errors.REQ_UNKNOWN, f"no run {run} is held")
        if held.acted_by == by:
            raise Refused(errors.ACT_SECOND_PERSON)
        sources.release(session, run, by)


def schools_in(parts: Office, path: Path) -> list[tuple[str, str]]:
    """Return (sourcedId, name) of the schools a delivery names. Raises Refused."""
    faults: list[Fault] = []
    try:
        with _opened(parts, path) as delivery:
            lines = delivery.lines("orgs.csv")
            header = read_header(FILES[delivery.manifest.version]["orgs.csv"], next(lines, b""))
            rows = list(FileReader(header, Seen({"org": array("q")}), faults.append).rows(lines))
    except Unreadable as unreadable:
        reason = VOCABULARY[unreadable.code]
        raise Refused(reason, f"{unreadable.file}: {unreadable.detail or reason.sentence}") from unreadable
    found = [(row.sourced_id, str(row.values[0])) for row in rows if row.values[1] == "school"]
    if not found:
        raise Refused(errors.REQ_INVALID, "the delivery names no school: its orgs.csv has no row of type school")
    return found
