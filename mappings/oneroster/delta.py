"""The lines of a delta file turned into rows: what changed and since when, and what is to be removed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from mappings import vocabulary as words
from mappings.oneroster.heads import MODIFIED, STATUS, Header
from mappings.oneroster.repairs import ZONED, same_but_case
from mappings.oneroster.rows import BATCH, NO_HASH, Fault, FileReader, Known, Plain, Row, is_id

_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,6})\d{0,3})?(Z|[+-]\d\d:?\d\d)?\Z")


class DeltaReader(FileReader):
    """Reads one delta file's data lines. Every sound row is yielded, with its moment: whether it is news is known where
    the moment of the accepted record is."""

    _all_roles = True

    def __init__(self, header: Header, known: Known, report: Callable[[Fault], None]) -> None:
        super().__init__(header, known, report)
        self.recognises_lines = False
        self._status, self._modified, self._bulk_empty = header.at(STATUS), header.at(MODIFIED), []
        self._statuses = words.STATUSES if self.file.binding == "oneroster_1p2_csv" else words.STATUSES_1P1

    def batches(self, blocks: Iterable[Sequence[bytes]]) -> Iterator[Plain | list[Row]]:
        start = 2
        for batch in (block[at : at + BATCH] for block in blocks for at in range(0, len(block), BATCH)):
            yield list(self._new((start + n, line, NO_HASH) for n, line in enumerate(batch)))
            start += len(batch)

    def _read(self, number: int, raw: bytes, line_hash: int, cells: list[str]) -> Iterator[Row]:
        said, at = cells[self._status], cells[self._modified]
        kept = self._kept(number, cells)
        status = self._status_of(number, said, kept[0])
        modified = status and self._moment_of(number, at, kept[0])
        if not status or not modified:
            return
        if status != "active":
            yield from self._removal(number, kept[0], modified)
            return
        row = self._checked(number, kept, self._hash(raw, line_hash, kept))
        if row is not None:
            self.tally.accepted += 1
            yield row._replace(modified=modified)
            yield from self._said_beside(number, kept)

    def _removal(self, number: int, sourced_id: str, modified: str) -> Iterator[Row]:
        if not is_id(sourced_id):
            self._bad(number, "sourcedId", "CSV_ID" if sourced_id else "CSV_VALUE_MISSING", named="", value=sourced_id)
            return
        self.tally.accepted += 1
        nothing = (None,) * (self._stored - 1)
        yield Row(self.file.kind, number, sourced_id, NO_HASH, nothing, modified, removed=True)

    def _status_of(self, number: int, said: str, sourced_id: str) -> str:
        """Return the row's status, or nothing after reporting why it has none."""
        if said in self._statuses:
            return said
        if "value-case" in self.allowed and (cased := same_but_case(said, self._statuses)):
            self.tally.repairs.add("value-case")
            return cased
        code = "CSV_VALUE_VOCABULARY" if said else "CSV_DELTA_INCOMPLETE"
        self._bad(
            number, STATUS, code, named=sourced_id, value=said, hint=f"one of {', '.join(sorted(self._statuses))}"
        )
        return ""

    def _moment_of(self, number: int, said: str, sourced_id: str) -> str:
        """Return the row's moment as ISO 8601 in UTC, or nothing after reporting why it has none."""
        moment = _moment(said)
        if moment is not None and moment.tzinfo is None:
            moment = self.allowed.at(moment)
            self.tally.repairs |= {ZONED} if moment else set()
        if moment is not None:
            return moment.astimezone(UTC).isoformat()
        code = "CSV_VALUE_TYPE" if said else "CSV_DELTA_INCOMPLETE"
        hint = "with a zone, as in 2026-11-02T09:00:00Z"
        self._bad(number, MODIFIED, code, named=sourced_id, value=said, hint=hint)
        return ""


def _moment(said: str) -> datetime | None:
    """Return a time stamp, without a zone where it names none; None for what is no time stamp."""
    found = _MOMENT.match(said)
    if not found:
        return None
    day, time, fraction, zone = found.groups()
    zone = "+00:00" if zone == "Z" else zone or ""
    try:
        moment = datetime.fromisoformat(f"{day}T{time}.{(fraction or '0').ljust(6, '0')}{zone}")
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment
