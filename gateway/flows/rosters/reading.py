"""A delivery is opened, read into staging, and believed or not."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from connectors.oneroster_csv import Delivery, open_delivery
from gateway import errors
from gateway.errors import VOCABULARY, Refused
from gateway.flows.parts import Office
from gateway.flows.rosters.progress import Progress
from gateway.flows.rosters.report import Report, causes
from gateway.store.staging import ReadAgain, Seen, Staging
from mappings.oneroster.csv import FILES, REQUIRED, CsvColumn, CsvFile, Unreadable
from mappings.oneroster.delta import DeltaReader
from mappings.oneroster.heads import Header, leave_unread
from mappings.oneroster.records import CHECKED, KINDS
from mappings.oneroster.repairs import NONE, Repairs, repairs_of
from mappings.oneroster.rows import Fault, FileReader, Tally

# Above these shares a file is not believed: bad rows, and lines that are not UTF-8.
BAD_SHARE, UNDECODABLE_SHARE = 0.5, 0.05
# Accounts are often not exported, and roles stand without them: they are compared where they are delivered.
_MAY_BE_ELSEWHERE = ("profile",)
MOST_FAULTS = 200_000  # kept in memory while a file is read


@contextmanager
def opened(parts: Office, path: Path, repairs: Repairs = NONE) -> Iterator[Delivery]:
    """Open a delivery. Raises Refused when it is not there or its files may not be read, else Unreadable."""
    try:
        if not (path.is_file() or path.is_dir()):
            raise Refused(errors.REQ_INVALID, f"there is no file or folder {path}")
        with open_delivery(path, parts.settings.max_delivery_mb << 20, repairs) as delivery:
            yield delivery
    except OSError as error:
        raise Refused(errors.REQ_INVALID, f"{error.filename or path} cannot be read: {error.strerror}") from error


@dataclass(slots=True)
class Reading:
    """One delivery being read into staging: how each file lies, which are bulk and which delta, and what of those
    that are kept is collected."""

    delivery: Delivery
    staging: Staging
    report: Report
    collected: frozenset[str]
    progress: Progress
    headers: dict[str, Header] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    dropped: dict[str, tuple[CsvColumn, ...]] = field(default_factory=dict)

    @property
    def files(self) -> Mapping[str, CsvFile]:
        return FILES[self.delivery.manifest.version]

    def read(self) -> None:
        """Stage every file."""
        self._look_ahead()
        delta = frozenset(kind for name, mode in self.modes.items() if mode == "delta" for kind in self._kinds(name))
        kinds = {kind for name in self.headers for kind in self._kinds(name)}
        self.staging.expect(kinds, delta, self._elsewhere(bool(delta)))
        self.progress.expect(self.delivery.sizes[name] for name in self.headers)
        seen = self.staging.known()
        for name in list(self.headers):
            with self._set_aside(name):
                if self._is_left_unread(name):
                    continue
                self._take(name, seen)
        self.staging.tick_off(seen, self.not_delivered())

    def not_delivered(self) -> frozenset[str]:
        """Kinds whose file is absent: nothing is known of them, so nothing of them is gone."""
        return frozenset(KINDS) - {kind for name in self.headers for kind in self._kinds(name)}

    def _look_ahead(self) -> None:
        """Read every header, and tell bulk from delta, before a row is believed."""
        for name in self.delivery.files():
            with self._set_aside(name):
                header = self.delivery.header(name)
                said, mode = self.delivery.manifest.modes[name], self.delivery.mode(name, header)
                if header.file.kept:
                    header, self.dropped[name] = leave_unread(header, self.collected)
                self.headers[name], self.modes[name] = header, mode
                if mode != said:
                    hint = f"the manifest says {said}, the rows say {mode}"
                    self._note(Fault(name, 0, "", "CSV_MODE_CONTRADICTED", "noted", "", hint))

    def _kinds(self, name: str) -> list[str]:
        """The kinds of record that a file holds: a user of 1.1 holds the roles."""
        kind = self.files[name].kind
        return [kind, "role"] if kind == "user" and "roles.csv" not in self.files else [kind]

    def _elsewhere(self, some_delta: bool) -> Iterator[str]:
        """Kinds that are not kept, and of which this delivery does not hold all that rows may refer to."""
        for kind in CHECKED.values():
            mode, aside = self.modes.get(kind.file, ""), kind.file in self.delivery.sizes
            if mode == "delta" or (not mode and (some_delta or aside or kind.name in _MAY_BE_ELSEWHERE)):
                yield kind.name

    @contextmanager
    def _set_aside(self, name: str) -> Iterator[None]:
        """A file that is only checked costs itself: the roster does not wait for it. One that is cut shows that the
        whole delivery is."""
        try:
            yield
        except Unreadable as bad:
            if self.files[name].kept or bad.code in ("CSV_FILE_CUT", "CSV_ZIP_DAMAGED"):
                raise
            self._note(Fault(name, bad.line, "", bad.code, "file", "", bad.detail))
            self.headers.pop(name, None)
            self.modes.pop(name, None)
            self.staging.drop(self.files[name].kind)

    def _is_left_unread(self, name: str) -> bool:
        """Whether nothing of a file is collected; its lines are counted then."""
        columns = self.headers[name].file.columns
        if name != KINDS["demographics"].file or any(c.to for c in columns if c.to != "sourced_id"):
            return False
        lines = sum(map(len, self.delivery.blocks(name))) - 1
        self.report.drop(self.files[name], self.dropped[name], lines)
        return True

    def _note(self, fault: Fault) -> None:
        self.report.faults.append(fault)
        self.staging.say(fault)

    def _take(self, name: str, seen: Seen) -> None:
        mode, kept = self.modes[name], self.files[name].kept
        try:
            tally = self._copy(name, seen)
        except ReadAgain:
            tally = self._copy(name, seen)
        for kind in self._kinds(name):
            seen.done(kind)
        self.report.files.append(
            {"file": name, "mode": mode, "kept": kept, "rows": tally.lines, "accepted": tally.accepted,
             "unchanged": tally.unchanged, "bad": tally.bad, "repairs": sorted(tally.repairs)}
        )  # fmt: skip
        _believe(name, tally, required=mode == "bulk" and name in REQUIRED[self.delivery.manifest.version])
        if not tally.lines:
            self.empty |= set(self._kinds(name))
            self.report.files[-1]["repairs"].append("no-rows")

    def _copy(self, name: str, seen: Seen) -> Tally:
        faults = list[Fault]()

        def note(fault: Fault) -> None:
            if len(faults) == MOST_FAULTS:
                raise Unreadable("CSV_FAULT_BUDGET", name, f"more than {MOST_FAULTS} rows are bad", fault.line)
            faults.append(fault)

        header = self.headers[name]
        reader = (DeltaReader if self.modes[name] == "delta" else FileReader)(header, seen, note)
        blocks = self.progress.counted(self.delivery.blocks(name, hashed=reader.recognises_lines))
        first = next(blocks, [])
        try:
            self.staging.copy(
                header.file.kind, reader.batches(header.spelled(block) for block in chain([first[1:]], blocks))
            )
        except ReadAgain:
            faults.clear()
            raise
        finally:
            self.report.faults += faults
            self.report.causes = causes(self.report.faults, self.report.version)
        self.report.drop(self.files[name], self.dropped.get(name, ()), reader.tally.lines)
        self.staging.report(header.file.kind, faults, reader.tally.nameless, roles="role" in self._kinds(name)[1:])
        return reader.tally


def _believe(name: str, tally: Tally, *, required: bool) -> None:
    """Refuse a file that cannot be trusted as a whole."""
    if tally.cut:
        raise Unreadable("CSV_FILE_CUT", name, "the last line is broken off", tally.last)
    if required and not tally.lines:
        raise Unreadable("CSV_FILE_EMPTY", name)
    if tally.undecodable > 3 and tally.undecodable > UNDECODABLE_SHARE * tally.lines:
        raise Unreadable("CSV_ENCODING", name, "it looks like Windows-1252")
    few = tally.bad < 10 and (tally.accepted or not required)
    if tally.bad > BAD_SHARE * tally.lines and not few:
        raise Unreadable("CSV_FAULT_BUDGET", name, f"{tally.bad} of {tally.lines} rows are bad")


def schools_in(parts: Office, path: Path, repairs: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Return (sourcedId, name) of the schools a delivery names; `repairs` are those of its source. Raises Refused."""
    faults: list[Fault] = []
    try:
        with opened(parts, path, repairs_of(repairs)) as delivery:
            header, lines = delivery.header("orgs.csv"), delivery.lines("orgs.csv")
            next(lines)
            rows = list(FileReader(header, Seen({"org": array("q")}), faults.append).rows(header.spelled(list(lines))))
    except Unreadable as unreadable:
        reason = VOCABULARY[unreadable.code]
        raise Refused(reason, f"{unreadable.file}: {unreadable.detail or reason.sentence}") from unreadable
    found = [(row.sourced_id, str(row.values[0])) for row in rows if row.values[1] == "school"]
    if not found:
        raise Refused(errors.REQ_INVALID, "the delivery names no school: its orgs.csv has no row of type school")
    return found
