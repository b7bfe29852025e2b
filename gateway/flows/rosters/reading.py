"""A delivery is opened, read into staging, and believed or not."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from connectors.oneroster_csv import Delivery, open_delivery
from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows.parts import Office
from gateway.flows.rosters.report import Report, causes
from gateway.store.staging import ReadAgain, Seen, Staging
from mappings.oneroster.csv import FILES, REQUIRED, CsvFile, Unreadable, leave_unread, read_header
from mappings.oneroster.records import KINDS
from mappings.oneroster.rows import Fault, FileReader, Tally

# Above these shares a file is not believed: bad rows, and lines that are not UTF-8.
BAD_SHARE, UNDECODABLE_SHARE = 0.5, 0.05
MOST_FAULTS = 200_000  # kept in memory while a file is read


@contextmanager
def opened(parts: Office, path: Path) -> Iterator[Delivery]:
    """Open a delivery. Raises Refused when it is not there or its files may not be read, else Unreadable."""
    try:
        if not (path.is_file() or path.is_dir()):
            raise Refused(errors.REQ_INVALID, f"there is no file or folder {path}")
        with open_delivery(path, parts.settings.max_delivery_mb << 20) as delivery:
            yield delivery
    except OSError as error:
        raise Refused(errors.REQ_INVALID, f"{error.filename or path} cannot be read: {error.strerror}") from error


def read(delivery: Delivery, staging: Staging, report: Report, collected: frozenset[str]) -> frozenset[str]:
    """Stage what is collected of every file; return the optional kinds that came empty."""
    seen, empty = staging.known(), set()
    report.progress.expect(delivery.sizes[name] for name in delivery.files())
    for name in delivery.files():
        file = FILES[delivery.manifest.version][name]
        if file.name == KINDS["demographics"].file and not any(file.element(c) in collected for c in file.columns[3:]):
            _leave_unread(delivery, file, report)
            continue
        try:
            tally = _read_file(delivery, file, staging, seen, report, collected)
        except ReadAgain:
            tally = _read_file(delivery, file, staging, seen, report, collected)
        report.files.append(
            {"file": name, "rows": tally.lines, "accepted": tally.accepted, "unchanged": tally.unchanged,
             "bad": tally.bad, "repairs": sorted(tally.repairs)}
        )  # fmt: skip
        _believe(name, tally, required=name in REQUIRED[delivery.manifest.version])
        if not tally.lines:
            empty.add(file.kind)
            report.files[-1]["repairs"].append("no-rows")
    staging.tick_off(seen)
    return frozenset(empty)


def _leave_unread(delivery: Delivery, file: CsvFile, report: Report) -> None:
    """Count the lines of a file of which nothing is collected."""
    lines = max(sum(map(len, delivery.blocks(file.name))) - 1, 0)
    report.drop(file, file.columns[3:], lines)


def _read_file(
    delivery: Delivery, file: CsvFile, staging: Staging, seen: Seen, report: Report, collected: frozenset[str]
) -> Tally:
    name, faults = file.name, list[Fault]()

    def note(fault: Fault) -> None:
        if len(faults) == MOST_FAULTS:
            raise Unreadable("CSV_FAULT_BUDGET", name, f"more than {MOST_FAULTS} rows are bad", fault.line)
        faults.append(fault)

    blocks = report.progress.counted(delivery.blocks(name))
    first = next(blocks, [])
    header, dropped = leave_unread(read_header(file, first[0] if first else b""), collected)
    reader = FileReader(header, seen, note)
    try:
        staging.copy(file.kind, reader.batches(chain([first[1:]], blocks)))
    except ReadAgain:
        faults.clear()
        raise
    finally:
        report.faults += faults
        report.causes = causes(report.faults)
    staging.report(
        file.kind, faults, reader.tally.nameless, roles=delivery.manifest.version == "1.1" and file.kind == "user"
    )
    report.drop(file, dropped, reader.tally.lines)
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


def not_delivered(delivery: Delivery) -> frozenset[str]:
    """Kinds whose file is absent: nothing is known of them, so nothing of them is gone."""
    there = {FILES[delivery.manifest.version][name].kind for name in delivery.files()}
    if delivery.manifest.version == "1.1":
        there.add("role")
    return frozenset(KINDS) - there


def schools_in(parts: Office, path: Path) -> list[tuple[str, str]]:
    """Return (sourcedId, name) of the schools a delivery names. Raises Refused."""
    faults: list[Fault] = []
    try:
        with opened(parts, path) as delivery:
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
