"""A delivery on its way in: rows copied, checked as sets against each other and against what was accepted before.

Only new and changed rows are staged (`in_<kind>`); a row met unchanged is ticked off in memory. `gone_<kind>`
holds what is truly absent: not quarantined, not hidden behind a line whose record cannot be told. Everything
happens in one transaction; a plan rolls it back. Rows of files that are only checked are staged like the others, and
gone when the transaction ends.

Of a source of which nothing was accepted before, every row is new: it goes straight into the mirror, and
`in_<kind>` is a view of it there. What the checks take out, they take out of the mirror.
"""

from __future__ import annotations

import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import IO, Any, cast

import psycopg
from psycopg.errors import UniqueViolation
from psycopg.rows import namedtuple_row
from psycopg.sql import SQL, Literal

from gateway.store.tables import MIRRORS
from gateway.store.tenant import Session
from mappings.oneroster.records import CHECKED, KINDS, RECORDS, Column, Kind
from mappings.oneroster.rows import NO_HASH, Fault, Plain, Row

Batch = Plain | list[Row]
# How many rows the planner believes there are where a kind is kept.
_BELIEVED = "SELECT min(reltuples) FROM pg_class WHERE oid IN (SELECT to_regclass(t) FROM unnest(%(tables)s::text[]) t)"
_PACKED = "string_agg(int8send(hash), ''::bytea {})"  # as one value: a row each is many times the work
MANY = 2_000_000  # hashes of one kind: a set of more takes more memory than a run may
_AT_ONCE = 10_000
MOST_FAULTS = 20_000  # that are listed of one run; all are counted
_FAULT_COLUMNS = "file, line, column_name, code, effect, shape, hint, sourced_id"


class Seen:
    """Hashes of the rows a source had accepted before, ticked off as they are met. Eight bytes a row, and some hundred
    once its file is being read; of very many rows, whose hashes come in their order, nine, and more time."""

    def __init__(self, hashes: dict[str, array[int]]) -> None:
        self._hashes = hashes
        self._looked_up: dict[str, _Few | _Many] = {}

    def meet(self, kind: str, row_hash: int) -> int:
        """Return 0 for a hash never accepted, 1 when met for the first time in this run, 2 after that."""
        return self._of(kind).meet(row_hash)

    def meet_each(self, kind: str, hashes: Sequence[int]) -> Sequence[int]:
        """Meet those of these hashes that are met for the first time in this run; return the places of the others."""
        return self._of(kind).meet_each(hashes)

    def knows_none(self, kind: str, hashes: Sequence[int]) -> bool:
        """Whether none of these hashes was ever accepted."""
        return self._of(kind).knows_none(hashes)

    def unmet(self, kind: str) -> Iterable[int]:
        """Return the hashes not met in this run."""
        return self._hashes[kind] if kind in self._hashes else self._of(kind).unmet()

    def done(self, kind: str) -> None:
        """Keep of a kind whose file was read no more than what was not met."""
        looked_up = self._looked_up.pop(kind, None)
        if looked_up is not None:
            self._hashes[kind] = array("q", looked_up.unmet())

    def _of(self, kind: str) -> _Few | _Many:
        if kind not in self._looked_up:
            hashes = self._hashes.pop(kind, None) or array("q")
            self._looked_up[kind] = _Few(hashes) if len(hashes) <= MANY else _Many(hashes)
        return self._looked_up[kind]


class _Few:
    """Hashes that are looked up as a set."""

    def __init__(self, hashes: array[int]) -> None:
        self._known = set(hashes)
        self._unmet = self._known.copy()  # in a quarter of the time of another set

    def meet(self, row_hash: int) -> int:
        if row_hash in self._unmet:
            self._unmet.remove(row_hash)
            return 1
        return 2 if row_hash in self._known else 0

    def meet_each(self, hashes: Sequence[int]) -> Sequence[int]:
        met = set(hashes)
        if len(met) < len(hashes):  # one of them stands here twice
            return [place for place, row_hash in enumerate(hashes) if self.meet(row_hash) != 1]
        others = met - self._unmet
        self._unmet -= met
        return [place for place, row_hash in enumerate(hashes) if row_hash in others] if others else []

    def knows_none(self, hashes: Sequence[int]) -> bool:
        return self._known.isdisjoint(hashes)

    def unmet(self) -> Iterable[int]:
        return self._unmet


class _Many:
    """Hashes in their order, which are looked up in it, as a set of them would not fit."""

    def __init__(self, hashes: array[int]) -> None:
        self._known, self._met = hashes, bytearray(len(hashes))

    def _place(self, row_hash: int) -> int | None:
        place = bisect_left(self._known, row_hash)
        return place if place < len(self._known) and self._known[place] == row_hash else None

    def meet(self, row_hash: int) -> int:
        place = self._place(row_hash)
        if place is None:
            return 0
        self._met[place] += (first := not self._met[place])
        return 1 if first else 2

    def meet_each(self, hashes: Sequence[int]) -> Sequence[int]:
        return [place for place, row_hash in enumerate(hashes) if self.meet(row_hash) != 1]

    def knows_none(self, hashes: Sequence[int]) -> bool:
        return all(self._place(row_hash) is None for row_hash in hashes)

    def unmet(self) -> Iterable[int]:
        return (row_hash for row_hash, met in zip(self._known, self._met, strict=True) if not met)


class ReadAgain(Exception):  # noqa: N818 - a wish, not an error
    """An id stands twice in a file whose rows went straight into the mirror: read it again, to be staged."""


class Staging:
    """The staging of one delivery of one source, in one intake session."""

    def __init__(
        self, session: Session, source: int, *, waits: frozenset[str] = frozenset(), straight: bool = True
    ) -> None:
        """`waits` are the kinds of which removals wait; `straight`: a first delivery's rows go into the mirror."""
        self.session, self.source, self.waits = session, source, waits
        self._later: dict[str, IO[bytes]] = {}
        self.roles_in_users = False  # 1.1: a user's row holds the roles
        self.delta: frozenset[str] = frozenset()  # kinds of which only what changed is delivered
        self.elsewhere: set[str] = set()  # kinds that are not kept, of which this delivery does not hold all
        session.run("SET LOCAL work_mem = '256MB'")
        self.fresh = {kind for kind in KINDS if not self._has_rows(kind)} | set(CHECKED)
        self.straight: set[str] = set()
        self.sure: set[str] = set()  # kinds of which every row is recognised by its hash and none was missed before
        self.all_met: set[str] = set()  # those of them of which every row was met again
        self.kinds: dict[str, Kind] = {}  # that have tables here
        for kind in KINDS.values():
            self._make_room(kind, straight=straight and self.first)
        for table in _OF_ALL:
            session.run(f"CREATE TEMP TABLE {table} ON COMMIT DROP")
        if self.straight:
            self._join_as_sets()

    @property
    def first(self) -> bool:
        """Whether nothing of this source was accepted before."""
        return len(self.fresh) == len(RECORDS)

    def _make_room(self, kind: Kind, *, straight: bool = False) -> None:
        """Make the tables of a kind, and of those that it is judged with."""
        if kind.name in self.kinds:
            return
        self.kinds[kind.name] = kind
        for table in _TABLES:
            self.session.run(f"CREATE TEMP TABLE {table.format(kind.name)} ON COMMIT DROP")
        self._open(kind, straight=straight)
        if kind.name in CHECKED:
            for other in (*(column.refers_to for column in kind.references), *_ALONG.get(kind.name, ())):
                self._make_room(RECORDS[other])

    def _open(self, kind: Kind, *, straight: bool) -> None:
        """Make `in_<kind>`: a table of its own, or a view of the source's rows in the mirror."""
        name = kind.name
        if straight:
            self.straight.add(name)
            columns = SQL(f"line, sourced_id, hash, {quoted(c.name for c in kind.columns)}")
            view = SQL(f"CREATE TEMP VIEW in_{name} AS SELECT {{}} FROM {mirror(name)} WHERE source = {{}}")
            self.session.raw.execute(view.format(columns, Literal(self.source)))
            return
        typed = ", ".join(f'"{c.name}" {c.type}{_c(c)}' for c in kind.columns)
        staged = ", ".join(part for part in (_STAGED, typed) if part)
        self.run(f"CREATE TEMP TABLE in_{name} ({staged}) ON COMMIT DROP")

    def expect(self, kinds: Collection[str], delta: frozenset[str], elsewhere: Iterable[str]) -> None:
        """Say, before anything is copied, which kinds come, of which of them only what changed, and of which that are
        not kept not all is there to be referred to."""
        self.delta, self.elsewhere = delta, set(elsewhere)
        for kind in kinds:
            self._make_room(RECORDS[kind])
        for kind in delta:
            self._stage_instead(kind)

    def file_of(self, kind: str) -> str:
        """Return the file in which the rows of a kind stand."""
        return RECORDS["user"].file if self.roles_in_users and kind == "role" else RECORDS[kind].file

    def moves(self, kind: str) -> bool:
        """Whether a record of a kind is staged or gone."""
        return self.holds(kind) or self.row(f"SELECT 1 FROM gone_{kind} LIMIT 1") is not None

    def drop(self, kind: str) -> None:
        """Take back the rows of a kind that is only checked; what refers to them is not looked at."""
        self.elsewhere.add(kind)
        if kind in self.kinds:
            self.run(f"DELETE FROM in_{kind}")

    def holds(self, kind: str) -> bool:
        """Whether a row of a kind is staged."""
        return self.row(f"SELECT 1 FROM in_{kind} LIMIT 1") is not None

    def _join_as_sets(self) -> None:
        """Of rows that came in this transaction, or a moment before it, there are no statistics: they are joined as the
        whole that they are, and never row by row because a planner believes that there is but one."""
        self.session.run("SET LOCAL enable_nestloop = off")

    def _stage_instead(self, kind: str) -> None:
        if kind in self.straight:
            self.straight.remove(kind)
            self.session.command(f"DROP VIEW in_{kind}")
            self._open(RECORDS[kind], straight=False)

    def _has_rows(self, kind: str) -> bool:
        return self.row(f"SELECT 1 FROM {mirror(kind)} WHERE source = %(source)s LIMIT 1") is not None

    def row(self, statement: str, **values: Any) -> Any:
        return self.session.row(statement, source=self.source, **values)

    def run(self, statement: str, **values: Any) -> int:
        """Run a statement that may name `%(source)s`."""
        return self.session.run(statement, source=self.source, **values)

    # --- rows in ---------------------------------------------------------------------------------

    def known(self) -> Seen:
        """Return the hashes of rows accepted before. A row accepted with a warning is always checked anew."""
        found = {kind: array("q") for kind in self.fresh}
        for kind in KINDS:
            if kind in self.fresh:
                continue
            row = self._binary(
                f"SELECT bool_or(hash = {NO_HASH} OR missed > 0) AS unsure, count(*) AS kept, ({_BELIEVED}) AS believed, "
                f"count(*) FILTER (WHERE hash <> {NO_HASH}) AS hashed, {_PACKED.format('')} FILTER (WHERE hash <> {NO_HASH} "
                f"AND (SELECT reltuples <= {MANY} FROM pg_class WHERE oid = to_regclass(%(mirror)s))) AS packed "
                f"FROM {mirror(kind)} WHERE source = %(source)s",
                tables=[f"staging.{kind}", f"roster_{kind}"], mirror=f"staging.{kind}",
            )  # fmt: skip
            if row.believed < row.kept / 2:
                self._join_as_sets()
            if not row.unsure:
                self.sure.add(kind)
            found[kind] = _unpacked(row.packed)
            if len(found[kind]) < row.hashed or row.kept > MANY:
                found[kind] = self._hashes_of(kind, in_order=row.kept > MANY)
        return Seen(found)

    def _binary(self, statement: str, **values: Any) -> Any:
        """Return the first row, in the database's own form: as text, twice as much of bytes would be in memory."""
        with self.session.raw.cursor(binary=True, row_factory=namedtuple_row) as cursor:
            return cursor.execute(statement.encode(), {"source": self.source, **values}).fetchone()

    def _hashes_of(self, kind: str, *, in_order: bool) -> array[int]:
        row = self._binary(
            f"SELECT {_PACKED.format('ORDER BY hash' if in_order else '')} AS packed FROM {mirror(kind)} "
            f"WHERE source = %(source)s AND hash <> {NO_HASH}"
        )
        return _unpacked(row.packed)

    def begin_anew(self, collected: Collection[str]) -> None:
        """Have every record read anew, whatever was accepted before: other elements are collected than then. Of those
        that are not any more nothing stays, also of a record of which nothing comes."""
        for kind in KINDS.values():
            if kind.name in self.fresh:
                continue
            closed = [column.name for column in kind.columns if column.element not in collected]
            if len(closed) == len(kind.columns):
                self.run(f"DELETE FROM {mirror(kind.name)} WHERE source = %(source)s")
            else:
                emptied = "".join(f', "{name}" = NULL' for name in closed)
                self.run(f"UPDATE {mirror(kind.name)} SET hash = {NO_HASH}{emptied} WHERE source = %(source)s")

    def copy(self, kind: str, batches: Iterable[Batch]) -> None:
        """Copy rows in. Rows of another kind among them (roles of 1.1 users) are set aside, then copied.
        Raises ReadAgain, with none of the rows copied."""
        try:
            with self.session.raw.transaction():
                self._copy(kind, batches)
        except UniqueViolation as twice:
            for one in (kind, *self._later):
                self._stage_instead(one)
            raise ReadAgain from twice
        finally:
            for spool in self._later.values():
                spool.close()
            self._later.clear()

    def _copy(self, kind: str, batches: Iterable[Batch]) -> None:
        cursor, head = self._cursor(), self._head(kind)
        # The connection does not wait for the server: it takes rows in while the next ones are being read.
        with cursor.copy(self._copy_into(kind)) as target:
            for batch in batches:
                lines = _plain_lines(head, batch) if isinstance(batch, Plain) else self._lines(kind, head, batch)
                target.write(lines.encode())
        for other, spool in self._later.items():
            self._make_room(RECORDS[other])
            with spool, self._cursor().copy(self._copy_into(other)) as target:
                spool.seek(0)
                while chunk := spool.read(1 << 20):
                    target.write(chunk)

    def _lines(self, kind: str, head: str, rows: Iterable[Row]) -> str:
        """Return COPY text of rows of `kind`; set those of another kind aside."""
        lines, spelled = [], _moved_line if kind in self.delta else _line
        for row in rows:
            if row.kind == kind:
                lines.append(head + spelled(row))
            else:
                self._set_aside(row)
        return "".join(lines)

    def _copy_into(self, kind: str) -> str:
        named = ("line", "sourced_id", "hash", *(c.name for c in RECORDS[kind].columns))
        columns = quoted((*named, "modified", "removed") if kind in self.delta else named)
        if kind in self.straight:
            return f"COPY {mirror(kind)} (source, {columns}) FROM STDIN (NULL '')"
        return f"COPY in_{kind} ({columns}) FROM STDIN (NULL '')"

    def _head(self, kind: str) -> str:
        """What each copied row of a kind begins with: the mirror wants to know the source."""
        return f"{self.source}\t" if kind in self.straight else ""

    def _set_aside(self, row: Row) -> None:
        if row.kind not in self._later:
            spool = tempfile.SpooledTemporaryFile(1 << 24)  # noqa: SIM115 - closed with the staging
            self._later[row.kind] = cast("IO[bytes]", spool)
        line = _moved_line(row) if row.kind in self.delta else _line(row)
        self._later[row.kind].write((self._head(row.kind) + line).encode())

    def _cursor(self) -> psycopg.Cursor[Any]:
        return self.session.raw.cursor()

    def say(self, fault: Fault) -> None:
        """Keep a fault of a whole file."""
        self.session.run(
            f"INSERT INTO fault ({_FAULT_COLUMNS}) VALUES (%(file)s, %(line)s, %(column)s, %(code)s, %(effect)s, "
            "%(shape)s, %(hint)s, %(sourced_id)s)",
            **fault._asdict(),
        )  # fmt: skip

    def report(self, kind: str, faults: Sequence[Fault], nameless: int, *, roles: bool = False) -> None:
        """Keep the faults of a file; rows they cost count as present. `nameless`: lines of unknown records."""
        with self._cursor().copy(f"COPY fault ({_FAULT_COLUMNS}) FROM STDIN") as target:
            for fault in faults:
                target.write_row(fault)
        self.run(
            f"INSERT INTO bad_{kind} SELECT DISTINCT sourced_id FROM fault WHERE file = %(file)s "
            "AND effect = 'row' AND sourced_id IS NOT NULL AND code <> 'CSV_ID_TWICE' ON CONFLICT DO NOTHING",
            file=RECORDS[kind].file,
        )
        if nameless:
            self.run(f"INSERT INTO nameless VALUES ('{kind}', {nameless})")
        self.roles_in_users = self.roles_in_users or roles
        if roles and nameless:
            self.run(f"INSERT INTO nameless VALUES ('role', {nameless})")

    def tick_off(self, seen: Seen, absent: frozenset[str]) -> None:
        """Note which of the accepted records were not met again as they were. Of a kind of which only what changed came,
        or nothing (`absent`) beside a delta, that says nothing."""
        silent = self.delta | absent if self.delta else frozenset[str]()
        for kind in self.kinds:
            if kind not in self.fresh and kind not in silent:
                self._note_unmet(kind, seen.unmet(kind))
            if kind not in self.straight:
                self.run(f"ANALYZE in_{kind}")

    def _note_unmet(self, kind: str, hashes: Iterable[int]) -> None:
        """Note the ids of the records of these hashes, and of those without a hash, which are never met."""
        each = iter(hashes)
        some = list(islice(each, _AT_ONCE))
        if kind in self.sure and not some:
            self.all_met.add(kind)
            return
        with self._cursor().copy("COPY unmet FROM STDIN") as target:
            target.write(f"{NO_HASH}\n")
            while some:
                target.write("".join([f"{row_hash}\n" for row_hash in some]))
                some = list(islice(each, _AT_ONCE))
        self.run(
            f"WITH not_met AS (DELETE FROM unmet RETURNING hash) INSERT INTO unmet_{kind} "
            f"SELECT sourced_id FROM {mirror(kind)} WHERE source = %(source)s AND hash IN (SELECT hash FROM not_met)"
        )
        self.run(f"ANALYZE unmet_{kind}")

    # --- accepted --------------------------------------------------------------------------------

    def accept(self) -> None:
        """Bring what the source says up to date: removed, new and changed records."""
        for kind in KINDS.values():
            name, columns = kind.name, quoted(c.name for c in kind.columns)
            if name in self.straight:
                self.session.command(f"DROP VIEW in_{name}")
                continue
            if name not in self.fresh:
                self.run(
                    f"DELETE FROM {mirror(name)} m USING gone_{name} g "
                    "WHERE m.source = %(source)s AND m.sourced_id = g.sourced_id"
                )
                self.run(
                    f"DELETE FROM {mirror(name)} m USING in_{name} i "
                    "WHERE m.source = %(source)s AND m.sourced_id = i.sourced_id"
                )
            self.run(
                f"INSERT INTO {mirror(name)} (source, sourced_id, hash, modified, {columns}) "
                f"SELECT %(source)s, sourced_id, hash, modified, {columns} FROM in_{name} ORDER BY sourced_id"
            )

    def faults(self) -> list[Fault]:
        """Return the first faults, in the order of files and lines: as many as a list may hold."""
        order = list(dict.fromkeys(kind.file for kind in RECORDS.values()))
        found = self.session.rows(
            f"SELECT {_FAULT_COLUMNS} FROM fault ORDER BY array_position(%(order)s::text[], file), line, column_name, "
            "sourced_id LIMIT %(most)s",
            order=order, most=MOST_FAULTS,
        )  # fmt: skip
        return [Fault(*row) for row in found]

    def respell(self, columns: Mapping[tuple[str, str], str]) -> None:
        """Call columns in faults what this delivery calls them: by file and name, the name that stands in its header."""
        for (file, column), own in columns.items():
            said = "UPDATE fault SET column_name = %(own)s WHERE file = %(file)s AND column_name = %(column)s"
            self.session.run(said, own=own, file=file, column=column)

    def causes(self) -> list[tuple[Fault, int]]:
        """Return the first fault of each cause, and how many there are of it; the most frequent cause first."""
        rows = self.session.rows(
            "SELECT file, min(line) AS line, column_name, code, effect, (array_agg(shape ORDER BY line))[1] AS shape, "
            "(array_agg(hint ORDER BY line))[1] AS hint, (array_agg(sourced_id ORDER BY line))[1] AS sourced_id, "
            "count(*) AS n FROM fault "
            "GROUP BY file, column_name, code, effect, CASE WHEN effect = 'row' THEN hint END "
            'ORDER BY n DESC, file COLLATE "C", column_name COLLATE "C", code COLLATE "C", effect, 7'
        )
        return [(Fault(*row[:8]), row.n) for row in rows]

    def lost(self) -> dict[str, int]:
        """Return, by file, how many lines refer to records that are nowhere."""
        rows = self.session.rows(
            "SELECT file, count(DISTINCT line) AS n FROM fault WHERE code = 'CSV_REFERENCE' AND effect = 'row' GROUP BY 1"
        )
        return {row.file: row.n for row in rows}

    def proposed_schools(self) -> list[tuple[str, str]]:
        """Return (sourcedId, name) of the schools this delivery names anew."""
        rows = self.session.rows("SELECT sourced_id, name FROM in_org WHERE type = 'school' ORDER BY name, sourced_id")
        return [(row.sourced_id, row.name) for row in rows]


def _unpacked(packed: bytes | None) -> array[int]:
    hashes = array("q", packed or b"")
    hashes.byteswap()  # int8send writes network order
    return hashes


def is_sure(session: Session, source: int) -> bool:
    """Whether every record of a source would be recognised by its hash, and none of them was missing before."""
    unsure = " UNION ALL ".join(
        f"SELECT 1 FROM {mirror(kind)} WHERE source = %(source)s AND (hash = {NO_HASH} OR missed > 0)" for kind in KINDS
    )
    return session.row(f"SELECT 1 FROM ({unsure}) u LIMIT 1", source=source) is None


def mirror(kind: str) -> str:
    """Return the quoted name of a kind's mirror."""
    return f'staging."{MIRRORS[kind].name}"'


def quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


# An id of a staged record: at most 255 characters, so that nothing is made for longer ones.
ID = 'text STORAGE PLAIN COLLATE "C"'
_TABLES = (
    f"unmet_{{}} (sourced_id {ID})",
    f"bad_{{}} (sourced_id {ID} PRIMARY KEY)",
    f"gone_{{}} (sourced_id {ID} PRIMARY KEY)",
)
# A score's words are judged by the scale of its result, or of its line item.
_ALONG = {"result": ("result_scale", "line_item_scale")}
_OF_ALL = (
    "nameless (kind text, lines int)",
    "unmet (hash bigint)",
    "fault (file text, line int, column_name text, code text, effect text, shape text, hint text, sourced_id text)",
)
# What each staged row says beside the columns of its kind.
_STAGED = (
    'line int, sourced_id text COLLATE "C", hash bigint, modified timestamptz, removed boolean NOT NULL DEFAULT FALSE'
)


def _c(column: Column) -> str:
    return ' COLLATE "C"' if column.refers_to else ""


def _line(row: Row) -> str:
    cells = "".join(["\t" + (value or "") for value in row.values])
    if "\\" in cells:
        cells = cells.replace("\\", "\\\\")
    return f"{row.line}\t{row.sourced_id}\t{row.hash}{cells}\n"


def _moved_line(row: Row) -> str:
    """A row of a delta: since when, and whether the record is to go."""
    return f"{_line(row)[:-1]}\t{row.modified or ''}\t{row.removed}\n"


def _plain_lines(head: str, rows: Plain) -> str:
    """Return COPY text of rows that stand column by column."""
    ids, *columns = rows.columns
    lines = map(str, range(rows.start, rows.start + len(ids)))
    text = f"\n{head}".join(map("\t".join, zip(lines, ids, map(str, rows.hashes), *columns, strict=True)))
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    return f"{head}{text}\n"
