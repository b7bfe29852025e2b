"""A delivery's lines turned into rows and faults.

Pure: lines in, rows and faults out. One physical line is one record (the binding forbids line breaks inside
fields), so an unreadable line costs that line. A row that was accepted before is recognised by its hash and
not checked again; a row accepted with a warning has no hash, so that it is reported every night.

The hash of a row is that of its plain spelling: what is kept of it, in the columns of the binding, quoted only
where it must be. So a line that is spelled plainly is recognised before it is taken apart.
"""

from __future__ import annotations

import csv as _csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import count, repeat
from operator import itemgetter
from typing import NamedTuple, Protocol

from mappings import vocabulary as words
from mappings.oneroster.cells import NOT_OF_TYPE, NOT_SAID
from mappings.oneroster.columns import CsvColumn, Effect
from mappings.oneroster.heads import Header
from mappings.oneroster.lines import Block, hash_lines
from mappings.oneroster.records import RECORDS
from mappings.oneroster.repairs import same_but_case

MAX_VALUE = 2000
MAX_ID = 255
NO_HASH = 0
BATCH = 500  # lines looked up together


class Fault(NamedTuple):
    """What is wrong, and where: physical line (the header is 1), column, code, shape of the value."""

    file: str
    line: int
    column: str
    code: str
    effect: Effect = "row"
    shape: str = ""
    hint: str = ""
    sourced_id: str | None = None


class Row(NamedTuple):
    """One accepted record: `values` in the order of the kind's columns, None where empty. One of a delta says since
    when it is so, and perhaps that the record is to be removed."""

    kind: str
    line: int
    sourced_id: str
    hash: int
    values: tuple[str | None, ...]
    modified: str | None = None
    removed: bool = False


class Plain(NamedTuple):
    """Accepted records of one kind, all new and plainly spelled, from the line `start` on, column by column: the ids,
    then the columns of the kind, empty texts where nothing stands."""

    kind: str
    start: int
    hashes: Sequence[int]
    columns: Sequence[Sequence[str]]

    def rows(self) -> Iterator[Row]:
        """Yield the records one by one."""
        kept = ((cell or None for cell in column) for column in self.columns[1:])
        values = zip(*kept, strict=True)
        return map(Row, repeat(self.kind), count(self.start), self.columns[0], self.hashes, values)


class Known(Protocol):
    """Rows accepted by an earlier run, by hash."""

    def meet(self, kind: str, row_hash: int) -> int:
        """Return 0 for a hash never accepted, 1 when met for the first time in this run, 2 after that."""

    def meet_each(self, kind: str, hashes: Sequence[int]) -> Sequence[int]:
        """Meet those of these hashes that are met for the first time in this run; return the places of the others."""

    def knows_none(self, kind: str, hashes: Sequence[int]) -> bool:
        """Whether none of these hashes was ever accepted."""


class _Bad(Exception):  # noqa: N818 - a finding, caught one call up
    """A value does not fit; `kept` is what remains of it when the column's faults cost the value only, `cased` what it
    is where a source may write words in another case."""

    def __init__(self, code: str, hint: str = "", kept: str | None = None, cased: str | None = None) -> None:
        super().__init__(code)
        self.code, self.hint, self.kept, self.cased = code, hint, kept, cased


# --- values ----------------------------------------------------------------------------------------

_ID = re.compile(rf"[0-9A-Za-z.\-_/@]{{1,{MAX_ID}}}\Z")
_EXT = re.compile(r"ext:[a-zA-Z0-9.\-_]{1,100}\Z")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
_YEAR = re.compile(r"(19|20)[0-9]{2}\Z")
_INT = re.compile(r"[+-]?[0-9]{1,9}\Z")
_FLOAT = re.compile(r"[+-]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})(?:[eE][+-]?[0-9]{1,2})?\Z")
_PAIR = re.compile(r"\{[^{}:]+:[^{}]+\}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
# What no batch of plain lines holds: control characters but the lines' own ends, and quotes.
_NOT_PLAIN = bytes([*range(10), *range(11, 32), 127, ord('"')])
_NOT_IN_PLAIN = ("\u0085", "\u2028", "\u2029", NOT_OF_TYPE, NOT_SAID)
# Every quote opens a cell, closes one, or is doubled within one.
_QUOTED_RIGHT = re.compile(r'(?:"(?:[^"]|"")*"|[^",]*)(?:,(?:"(?:[^"]|"")*"|[^",]*))*\Z')
_ID_LETTERS = re.compile(r"[0-9A-Za-z.\-_/@]*\Z")


def is_id(value: str) -> bool:
    """Whether this is a sourcedId a delivery may hold."""
    return _ID.match(value) is not None


def shape(value: str) -> str:
    """Return the shape of a value without the value: digits as 9, letters as a, at most 24 places."""
    mapped = "".join("9" if c.isdigit() else "a" if c.isalpha() or not c.isascii() else c for c in value[:24])
    return mapped + ("…" if len(value) > 24 else "")


def array(parts: Iterable[str]) -> str | None:
    """Return a PostgreSQL array literal, or None for no parts."""
    quoted = ['"' + p.replace("\\", "\\\\").replace('"', '\\"') + '"' for p in parts]
    return "{" + ",".join(quoted) + "}" if quoted else None


def _split(value: str) -> list[str]:
    return [part for part in (p.strip() for p in value.split(",")) if part]


def _id(value: str) -> str:
    if not _ID.match(value):
        raise _Bad("CSV_ID")
    return value


def _ids(value: str) -> str | None:
    return array([_id(part) for part in _split(value)])


def _texts(value: str) -> str | None:
    return array(_split(value))


def _date(value: str) -> str:
    if _DATE.match(value):
        try:
            date.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    raise _Bad("CSV_VALUE_TYPE", "YYYY-MM-DD")


def _year(value: str) -> str:
    if not _YEAR.match(value):
        raise _Bad("CSV_VALUE_TYPE", "YYYY")
    return value


def _bool(value: str) -> str:
    if value not in words.BOOLEANS:
        cased = same_but_case(value, words.BOOLEANS)
        raise _Bad("CSV_VALUE_TYPE", "true or false, in lower case", cased=cased)
    return value


def _int(value: str) -> str:
    if not _INT.match(value):
        raise _Bad("CSV_VALUE_TYPE", "a whole number")
    return value


def _float(value: str) -> str:
    if not _FLOAT.match(value):
        raise _Bad("CSV_VALUE_TYPE", "a number, with a point")
    return value


def _pairs(value: str) -> str | None:
    parts = _split(_bounded(value))
    bad = [part for part in parts if not _PAIR.match(part)]
    if bad:
        raise _Bad("CSV_VALUE_TYPE", "{name:value}", array(part for part in parts if _PAIR.match(part)))
    return array(parts)


def _word_of(column: CsvColumn) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value in column.vocabulary or (column.extensible and _EXT.match(value)):
            return value
        cased = same_but_case(value, column.vocabulary)
        raise _Bad("CSV_VALUE_VOCABULARY", _nearest(value, column.vocabulary), cased=cased)

    return check


def _words_of(column: CsvColumn) -> Callable[[str], str | None]:
    def known(part: str) -> bool:
        return part in column.vocabulary or bool(column.extensible and _EXT.match(part))

    def check(value: str) -> str | None:
        parts = _split(value)
        bad = [p for p in parts if not known(p)]
        if bad:
            hint, rest = _nearest(bad[0], column.vocabulary), array(filter(known, parts))
            cased = [p if known(p) else same_but_case(p, column.vocabulary) or "" for p in parts]
            raise _Bad("CSV_VALUE_VOCABULARY", hint, rest, array(cased) if all(cased) else None)
        return array(parts)

    return check


def _nearest(value: str, vocabulary: frozenset[str]) -> str:
    folded = value.strip().lower()
    digits = "".join(c for c in value if c.isdigit()).zfill(2)
    near = [w for w in sorted(vocabulary) if w.lower() == folded or w == digits]
    return f"did you mean {near[0]}?" if near else ""


def _user_id(value: str) -> str | None:
    """The one identifier of OneRoster 1.0, which has no type: its column's name stands for it."""
    if not _PAIR.match(f"{{userId:{value}}}"):
        raise _Bad("CSV_VALUE_TYPE", "one identifier, without braces")
    return array([f"{{userId:{_bounded(value)}}}"])


def _grade(value: str) -> str | None:
    """The grade or the range of grades of OneRoster 1.0."""
    first, dash, last = (part.strip().zfill(2) if part.strip().isdecimal() else part for part in value.partition("-"))
    if not dash and first in words.GRADES:
        return array([first])
    grades = [f"{n:02d}" for n in range(1, 13)]
    if not dash or first not in grades or last not in grades[grades.index(first) :]:
        raise _Bad("CSV_VALUE_VOCABULARY", "a grade, as in 9, or a range, as in 9-12")
    return array(grades[grades.index(first) : grades.index(last) + 1])


def _sex_of(column: CsvColumn) -> Check:
    """The capital words of OneRoster 1.0 are those of the other versions."""
    spelled = _word_of(column)

    def check(value: str) -> str:
        try:
            return str(spelled(value)).lower()
        except _Bad as bad:
            raise _Bad(bad.code, bad.hint, cased=bad.cased and bad.cased.lower()) from None

    return check


def _bounded(value: str) -> str:
    if len(value) > MAX_VALUE:
        raise _Bad("CSV_VALUE_LENGTH", f"at most {MAX_VALUE} characters")
    return value


Check = Callable[[str], "str | None"]
_CHECKS: dict[str, Check] = {
    "id": _id, "ids": _ids, "texts": _texts, "date": _date, "year": _year, "bool": _bool, "text": _bounded,
    "int": _int, "float": _float, "pairs": _pairs, "user_id": _user_id, "grade": _grade,
}  # fmt: skip
_BY_WORDS: dict[str, Callable[[CsvColumn], Check]] = {"word": _word_of, "words": _words_of, "sex": _sex_of}


def _check_of(column: CsvColumn) -> Check:
    return _BY_WORDS[column.type](column) if column.type in _BY_WORDS else _CHECKS[column.type]


def _of_type(cell: str, check: Check) -> str | None:
    """A cell that says which value of JSON stood there is of no column's type."""
    if cell.startswith((NOT_OF_TYPE, NOT_SAID)):
        raise _Bad("CSV_VALUE_TYPE", f"{cell[1:60]} where a value of this column should stand")
    return check(cell)


def _checked_together(column: CsvColumn, check: Check, cells: Sequence[str]) -> Sequence[str] | None:
    """Return the values of a column's cells, or None if any of them is bad or missing."""
    if column.required and "" in cells:
        return None
    if column.type == "id":
        return cells if max(map(len, cells)) <= MAX_ID and _ID_LETTERS.match("".join(cells)) else None
    try:
        found = {cell: (cell and check(cell)) or "" for cell in set(cells)}
    except _Bad:
        return None
    return [found[cell] for cell in cells]


# --- lines -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tally:
    """What reading a file came to. `nameless` counts bad lines whose record cannot be told;
    `cut` says that the last line is bad and has no end; `gone` counts rows that say their record is no more."""

    lines: int = 0
    accepted: int = 0
    unchanged: int = 0
    bad: int = 0
    nameless: int = 0
    undecodable: int = 0
    cut: bool = False
    gone: int = 0
    last: int = 1
    repairs: set[str] = field(default_factory=set)


class FileReader:
    """Reads one file's data lines into rows and faults; counts rows accepted earlier without yielding them.

    `report` is called with each Fault.
    """

    _all_roles = False  # of a 1.1 user: only those that are new or changed

    def __init__(self, header: Header, known: Known, report: Callable[[Fault], None]) -> None:
        self.file, self.width, self.known, self.report = header.file, header.width, known, report
        self.allowed = header.allowed
        self.tally = Tally(repairs=set(header.repairs))
        self._headers = {p: c.header for c, p in zip(self.file.columns, header.positions, strict=True)}
        at = {c.to: (c, p) for c, p in zip(self.file.columns, header.positions, strict=True) if c.to}
        self._id_first, self._id_header = at["sourced_id"][1] == 0, at["sourced_id"][0].header
        stored = ["sourced_id", *(c.name for c in RECORDS[self.file.kind].columns)]
        kept = stored + [name for name in at if name[0] in "@+"]
        # A cell is appended to each line, so that an absent column (-1) reads as empty.
        self._keep = itemgetter(*(at[n][1] if n in at else -1 for n in kept))
        self._plan = [(i, c, _check_of(c)) for i, c in ((i, at[n][0]) for i, n in enumerate(kept) if n in at)]
        self._places = [at[n][1] for n in kept if n in at]
        self._stored, self._of_1p1 = len(stored), "@orgs" in at
        self._beside = kept.index("+profile") if "+profile" in at else 0
        self._bulk_empty = [
            p
            for c, p in zip(self.file.columns, header.positions, strict=True)
            if p >= 0 and c.type in ("status", "modified")
        ]
        self._live = kept.index("@live") if "@live" in at else 0
        self._implied = [dict(self.file.implied).get(name) for name in kept]
        places = {name: place for place, name in enumerate(kept) if name[0] != "+"}
        self._spell = itemgetter(*(places.get(c.to or "", -1) for c in self.file.columns))
        # Lines of these columns, in this order, may be recognised as they are.
        self.recognises_lines = header.positions == tuple(range(header.width)) and not self._of_1p1
        self._unkept = [p for p, c in enumerate(self.file.columns) if c.to in (None, "@live") or c.to[0] == "+"]
        self._unread = [p for p, c in enumerate(self.file.columns) if c.type == "unread"]
        self._as_it_stands = bool(self._unread)
        self._good: list[dict[str, str | None]] = [{} for _ in kept]

    def rows(self, lines: Iterable[bytes]) -> Iterator[Row]:
        """Yield the accepted rows that are new or changed."""
        for batch in self.batches([list(lines)]):
            yield from batch.rows() if isinstance(batch, Plain) else batch

    def batches(self, blocks: Iterable[Sequence[bytes]]) -> Iterator[Plain | list[Row]]:
        """Yield the accepted rows that are new or changed among the lines of these blocks, many at a time."""
        start = 2
        for block in blocks:
            hashes = block.hashes if isinstance(block, Block) and (self._as_it_stands or not self._unread) else None
            pieces = [block] if hashes else (block[at : at + BATCH] for at in range(0, len(block), BATCH))
            for piece in pieces:
                yield from self._batch(start, piece, hashes)
                start += len(piece)
                self.tally.last = start - 1

    def _batch(self, start: int, batch: Sequence[bytes], hashed: Sequence[int] | None) -> Iterator[Plain | list[Row]]:
        lines, hashes, left = self._look_up(batch, hashed)
        self._count_unchanged(len(batch) - len(left))
        if len(left) < len(batch):
            if left:
                yield list(self._new((start + n, lines[n], hashes[n]) for n in left))
            return
        for at in range(0, len(batch), BATCH):
            some, theirs = lines[at : at + BATCH], hashes[at : at + BATCH]
            yield self._all_new(start + at, some, theirs) or list(self._new(zip(count(start + at), some, theirs)))

    def _look_up(
        self, batch: Sequence[bytes], hashed: Sequence[int] | None
    ) -> tuple[Sequence[bytes], Sequence[int], Sequence[int]]:
        """Return lines without what nobody agreed to collect, their hashes, and the places of those not met before.

        A line that holds nothing of that is met as it stands. While such lines come, that is tried first; `hashed` are
        the hashes of the lines as they stand, where they are known.
        """
        kind = self.file.kind
        if not self.recognises_lines:  # of columns in an order of their own, nothing is known yet
            return batch, [NO_HASH] * len(batch), range(len(batch))
        if not self._as_it_stands and self._unread:
            batch, hashed = self._emptied(batch), None
        hashes = hashed or hash_lines(batch)
        places = self.known.meet_each(kind, hashes)
        if not (self._as_it_stands and places):
            return batch, hashes, places
        lines, known = list(batch), list(hashes)
        emptied = self._emptied([lines[place] for place in places])
        for place, line, row_hash in zip(places, emptied, hash_lines(emptied), strict=True):
            lines[place], known[place] = line, row_hash
        left = [places[n] for n in self.known.meet_each(kind, [known[place] for place in places])]
        self._as_it_stands = len(places) < len(batch) or len(left) == len(batch)
        return lines, known, left

    def _emptied(self, batch: Sequence[bytes]) -> Sequence[bytes]:
        """Return lines whose cells that nobody agreed to collect are empty. Lines that are not plain stay as they are:
        such cells are not kept of them."""
        columns = self._columns(batch) if self._unread and self.recognises_lines else None
        if columns is None:
            return batch
        for place in self._unread:
            columns[place] = [""] * len(batch)
        return [f"{line}\n".encode() for line in map(",".join, zip(*columns, strict=True))]

    def _count_unchanged(self, lines: int) -> None:
        self.tally.lines += lines
        self.tally.accepted += lines
        self.tally.unchanged += lines

    def _all_new(self, start: int, batch: Sequence[bytes], hashes: Sequence[int]) -> Plain | None:
        """Return the rows of lines that are all new, plain and sound: such are checked column by column.
        None if any of them must be looked at by itself; nothing is reported or counted then."""
        kind = self.file.kind
        columns = self._columns(batch) if self.recognises_lines and self.known.knows_none(kind, hashes) else None
        if columns is None or any(any(columns[p]) for p in self._unkept):
            return None
        values: list[Sequence[str]] = [("",) * len(batch)] * self._stored
        for (i, column, check), position in zip(self._plan, self._places, strict=True):
            found = _checked_together(column, check, columns[position])
            if found is None:
                return None
            if i < self._stored:
                values[i] = found
        self.tally.lines += len(batch)
        self.tally.accepted += len(batch)
        return Plain(kind, start, hashes, values)

    def _columns(self, batch: Sequence[bytes]) -> list[list[str]] | None:
        """Return the columns of lines without quotes or control characters, all as wide as the header; else None."""
        lines = b"".join(batch).replace(b"\r\n", b"\n")
        if not lines.endswith(b"\n") or len(lines.translate(None, _NOT_PLAIN)) < len(lines):
            return None
        try:
            text = lines.decode()
        except UnicodeDecodeError:
            return None
        if not text.isascii() and any(mark in text for mark in _NOT_IN_PLAIN):
            return None
        # Each line's end becomes a cell of its own: where all ends stand in one column, all lines are equally wide.
        cells = text.replace("\n", ",\n,").split(",")
        cells.pop()
        columns = [cells[place :: self.width + 1] for place in range(self.width + 1)]
        return columns if columns.pop().count("\n") == len(batch) == len(columns[0]) else None

    def _new(self, lines: Iterable[tuple[int, bytes, int]]) -> Iterator[Row]:
        """Yield the accepted rows that are new or changed among these lines: number, line, hash of its spelling."""
        tally = self.tally
        for number, raw, line_hash in lines:
            tally.last = number
            if raw in (b"\n", b"\r\n"):
                tally.repairs.add("blank-lines")
                continue
            tally.lines += 1
            bad = tally.bad
            cells = self._cells(number, raw)
            if cells is not None:
                yield from self._read(number, raw, line_hash, cells)
            if tally.bad > bad and not raw.endswith(b"\n"):
                tally.cut = True

    def _read(self, number: int, raw: bytes, line_hash: int, cells: list[str]) -> Iterator[Row]:
        """Yield the row of a line if it is new or changed and sound, and what it says beside that."""
        bad, kept = self.tally.bad, self._kept(number, cells)
        if self._live and self._is_gone(number, kept[self._live]):
            return
        row = self._accepted(number, kept, self._hash(raw, line_hash, kept))
        if row is not None:
            yield row
        if self.tally.bad == bad:
            yield from self._said_beside(number, kept)

    def _is_gone(self, number: int, status: str) -> bool:
        """Whether a row of 1.0 says that its record is no more: it counts, and is as good as absent."""
        spelled = same_but_case(status, words.STATUSES_1P1) if "value-case" in self.allowed else status
        if spelled not in words.STATUSES_1P1 - {"active"}:
            return False
        if not self.tally.gone:
            hint = "this row and all others that are inactive or tobedeleted are as good as absent"
            self.report(Fault(self.file.name, number, "status", "CSV_STATUS_IN_BULK", "noted", "", hint))
        self.tally.gone += 1
        return True

    def _said_beside(self, number: int, kept: tuple[str, ...]) -> Iterator[Row]:
        if self._of_1p1:
            yield from self._roles_1p1(number, kept)
        elif self._beside and (profile := kept[self._beside]) and _ID.match(profile):
            yield Row("role_profile", number, kept[0], NO_HASH, (kept[1], profile))

    def _cells(self, number: int, raw: bytes) -> list[str] | None:
        """Return the line's cells, or None after reporting why it has none."""
        code, column, cells = "", "", []
        try:
            text = raw.decode("utf-8").rstrip("\r\n")
            if _CONTROL.search(text):
                code = "CSV_LINE_BREAK"
            elif '"' not in text:
                cells = text.split(",")
            else:
                cells = next(_csv.reader([text], strict=True))
                if not _QUOTED_RIGHT.match(text):
                    self.tally.repairs.add("stray-quotes")
            if not code and len(cells) != self.width:
                code = "CSV_LINE_COLUMNS"
        except UnicodeDecodeError as error:
            self.tally.undecodable += 1
            code, column = "CSV_LINE_ENCODING", self._column_at(raw[: error.start].count(b","))
        except _csv.Error:
            code, column = "CSV_LINE_UNREADABLE", self._column_at(text[: text.index('"')].count(","))
        if code:
            # Two records may stand on one line where a line's end was lost: the second cannot be told.
            self.tally.nameless += raw.count(b",") >= 2 * (self.width - 1) > 0
            start = raw.split(b",", 1)[0].decode("utf-8", "replace").strip('"')
            self._bad(number, column, code, named=start if self._id_first else "")
            return None
        return cells

    def _column_at(self, position: int) -> str:
        return self._headers.get(position, f"column {position + 1}")

    def _bad(self, number: int, column: str, code: str, *, named: str, value: str = "", hint: str = "") -> None:
        """Report a fault that costs the row."""
        known = named if _ID.match(named) else None
        self.tally.bad += 1
        self.tally.nameless += known is None
        self.report(Fault(self.file.name, number, column, code, "row", shape(value), hint, known))

    def _kept(self, number: int, cells: list[str]) -> tuple[str, ...]:
        """Return the cells of the stored columns, the id first."""
        for position in self._bulk_empty:
            if cells[position]:
                self._note_bulk(number, self._headers[position])
                break
        cells.append("")
        kept: tuple[str, ...] = self._keep(cells)
        return kept

    def _hash(self, raw: bytes, line_hash: int, kept: tuple[str, ...]) -> int:
        """Return the hash of a row, which is that of its line if the line is spelled plainly."""
        plain = ",".join(cells := self._spell((*kept, ""))).encode()
        if b'"' in plain or plain.count(b",") >= len(cells):
            plain = ",".join(map(_quoted, cells)).encode()
        known = line_hash != NO_HASH and raw.rstrip(b"\r\n") == plain
        return line_hash if known else hash_lines([plain])[0] or 1

    def _accepted(self, number: int, kept: tuple[str, ...], row_hash: int) -> Row | None:
        """Return the row if it is new or changed and sound; count it if it was accepted before."""
        met = self.known.meet(self.file.kind, row_hash)
        if met == 2:
            hint = "the same row stands on another line"
            self._bad(number, self._id_header, "CSV_ID_TWICE", named=kept[0], hint=hint)
            return None
        row = None if met else self._checked(number, kept, row_hash)
        if met or row is not None:
            self.tally.accepted += 1
            self.tally.unchanged += met
        return row

    def _note_bulk(self, number: int, column: str) -> None:
        code, hint = "CSV_STATUS_IN_BULK", "ignored on this and all rows of the file"
        self.report(Fault(self.file.name, number, column, code, "value", "", hint))
        self._bulk_empty = []

    def _checked(self, number: int, raw: tuple[str, ...], row_hash: int) -> Row | None:
        values = list(self._implied)
        for i, column, check in self._plan:
            cell = raw[i]
            if cell and not (cell == NOT_SAID and column.to == "username"):
                good = self._good[i]
                if cell in good:
                    values[i] = good[cell]
                    continue
                try:
                    values[i] = _of_type(cell, check)
                except _Bad as bad:
                    if bad.cased is not None and "value-case" in self.allowed:
                        self.tally.repairs.add("value-case")
                        values[i], row_hash = bad.cased, NO_HASH
                        continue
                    if not self._spare(number, column, cell, bad, raw[0]):
                        return None
                    values[i], row_hash = bad.kept, NO_HASH
                else:
                    if column.type not in ("id", "text") and len(good) < 4096:
                        good[cell] = values[i]
            elif column.required and not cell:
                self._bad(number, column.header, "CSV_VALUE_MISSING", named=raw[0])
                return None
        return Row(self.file.kind, number, raw[0], row_hash, tuple(values[1 : self._stored]))

    def _spare(self, number: int, column: CsvColumn, cell: str, bad: _Bad, sourced_id: str) -> bool:
        """Report a bad value; return whether the row lives on without it."""
        if column.effect != "value":
            self._bad(number, column.header, bad.code, named=sourced_id, value=cell, hint=bad.hint)
            return False
        self.report(Fault(self.file.name, number, column.header, bad.code, "value", shape(cell), bad.hint, sourced_id))
        return True

    def _roles_1p1(self, number: int, raw: tuple[str, ...]) -> Iterator[Row]:
        """A 1.1 user names its orgs and one role: one role record per org, the first one primary."""
        user, (orgs, role) = raw[0], raw[-2:]
        for index, org in enumerate(dict.fromkeys(_split(orgs))):
            spelled = same_but_case(role, words.USER_ROLES_1P1) or role  # another case was let through, or is right
            word = words.ROLE_1P1_TO_1P2.get(spelled, spelled)
            values = (user, "secondary" if index else "primary", word, None, None, org)
            row_hash = hash_row((f"{user}@{org}", *(v or "" for v in values)))
            if self._all_roles or not self.known.meet("role", row_hash):
                yield Row("role", number, f"{user}@{org}", row_hash, values)


def hash_row(cells: tuple[str, ...]) -> int:
    """Return the signed 64-bit hash of a record under the current rules; never NO_HASH."""
    return hash_lines(["\x1f".join(cells).encode()])[0] or 1


def _quoted(cell: str) -> str:
    """Spell a cell as CSV does, quoted only where it must be."""
    return '"' + cell.replace('"', '""') + '"' if "," in cell or '"' in cell else cell
