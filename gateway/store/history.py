"""What schools held before: versions as they were on a day, what changed since one, going back to one, and how long all
that is kept.

A row is true in the versions [since, until). Going back writes a new version that equals the older one; what was erased
since is in no version any more, so it does not come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from keyword import iskeyword
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store import letting_in
from gateway.store.letting_in import Narrowing, Seat
from gateway.store.publish import Change, stored_columns
from gateway.store.tenant import Session
from mappings.oneroster.records import PROJECTED, Kind
from mappings.oneroster.rows import NO_HASH

_HERE = "r.district = %(district)s AND r.school = %(school)s"
_THEN = "r.since <= %(version)s AND (r.until IS NULL OR r.until > %(version)s)"


# --- which version ---------------------------------------------------------------------------------


def on(session: Session, moment: datetime) -> Any | None:
    """Return the version that the session's school served at a moment; None before its first."""
    return session.row(
        "SELECT * FROM roster_version WHERE district = %(district)s AND school = %(school)s "
        "AND published_at <= %(at)s ORDER BY version DESC LIMIT 1",
        at=moment,
    )


def serving(session: Session, source: str) -> dict[str, int]:
    """Return which version each school of a source serves, by its reference."""
    rows = session.rows(
        "SELECT s.ref, max(v.version) AS version FROM school s JOIN roster_version v USING (district, school) "
        "WHERE s.district = %(district)s AND s.source = %(source)s GROUP BY s.ref",
        source=source,
    )
    return {row.ref: row.version for row in rows}


def kept_from(session: Session) -> int:
    """Return the oldest version of the session's school that is still kept; 0 before its first."""
    row = session.row(
        "SELECT min(version) AS v FROM roster_version WHERE district = %(district)s AND school = %(school)s"
    )
    return int(row.v or 0) if row else 0


def begun(session: Session) -> datetime:
    """Return when the oldest version of the session's school that is kept was published."""
    (row,) = session.rows(
        "SELECT min(published_at) AS at FROM roster_version WHERE district = %(district)s AND school = %(school)s"
    )
    at: datetime = row.at
    return at


def rows(session: Session, kind: str, version: int) -> Sequence[Any]:
    """Return the session's school's rows of a kind as they were in a version, by id."""
    return session.rows(
        f"SELECT r.sourced_id, {_named(kind)} FROM roster_{kind} r WHERE {_HERE} AND {_THEN} ORDER BY r.sourced_id",
        version=version,
    )


def _named(kind: str) -> str:
    """The columns of a kind under names that Python can say."""
    return ", ".join(f'r."{c}" AS "{c}{"_" if iskeyword(c) else ""}"' for c in stored_columns(_KINDS[kind]))


def changes_since(session: Session, kind: str, since: int, version: int) -> Sequence[Any]:
    """Return what of a kind differs between two versions of the session's school, by id: rows as they are in the later
    one with `gone` false, and for those that are no longer there only the id, when they went, and `gone` true."""
    nothing = ", ".join("NULL" for _ in stored_columns(_KINDS[kind]))
    return session.rows(
        f"SELECT r.sourced_id, FALSE AS gone, r.modified, {_named(kind)} FROM roster_{kind} r WHERE {_HERE} AND {_THEN} "
        "AND r.since > %(before)s UNION ALL SELECT x.sourced_id, TRUE, v.published_at, "
        f"{nothing} FROM (SELECT r.sourced_id, max(r.until) AS until FROM roster_{kind} r WHERE {_HERE} "
        "AND r.since <= %(before)s AND r.until > %(before)s AND r.until <= %(version)s AND NOT EXISTS (SELECT FROM "
        f"roster_{kind} n WHERE n.district = r.district AND n.school = r.school AND n.sourced_id = r.sourced_id "
        "AND n.since <= %(version)s AND (n.until IS NULL OR n.until > %(version)s)) GROUP BY r.sourced_id) x "
        "LEFT JOIN roster_version v ON v.district = %(district)s AND v.school = %(school)s AND v.version = x.until "
        "ORDER BY 1",
        version=version, before=since,
    )  # fmt: skip


_KINDS = {kind.name: kind for kind in PROJECTED}


# --- going back ------------------------------------------------------------------------------------


def last_published(session: Session, seats: Sequence[Seat]) -> str | None:
    """Return the run that published last at these schools."""
    row = session.row(
        "SELECT run FROM roster_version WHERE district = %(district)s AND school = ANY(%(at)s) "
        "ORDER BY published_at DESC, version DESC LIMIT 1",
        at=[seat.school for seat in seats],
    )
    return str(row.run) if row else None


def before(session: Session, seats: Sequence[Seat], run: str) -> dict[int, int]:
    """Return, of the schools at which a run published their newest version, the version before it."""
    found = session.rows(
        "SELECT DISTINCT ON (school) school, version, run FROM roster_version WHERE district = %(district)s "
        "AND school = ANY(%(at)s) ORDER BY school, version DESC",
        at=[seat.school for seat in seats],
    )
    return {row.school: row.version - 1 for row in found if row.run == run}


def after(session: Session, seats: Sequence[Seat], run: str, finished: datetime) -> dict[int, int]:
    """Return the version of each school after a run; a school without one had no roster then, or it is not kept."""
    found = session.rows(
        "SELECT DISTINCT ON (school) school, version FROM roster_version WHERE district = %(district)s "
        "AND school = ANY(%(at)s) AND (run = %(run)s OR published_at <= %(finished)s) "
        "ORDER BY school, (run = %(run)s) DESC, version DESC",
        at=[seat.school for seat in seats], run=run, finished=finished,
    )  # fmt: skip
    return {row.school: row.version for row in found}


def kept(session: Session, to: Mapping[int, int]) -> bool:
    """Whether each of these versions of schools is still kept."""
    row = session.row(
        "SELECT count(*) AS n FROM roster_version v JOIN unnest(%(at)s::int[], %(to)s::int[]) w(school, version) "
        "USING (school, version) WHERE v.district = %(district)s",
        at=list(to), to=list(to.values()),
    )  # fmt: skip
    return bool(row and row.n == len(to))


@dataclass(slots=True)
class Return:
    """Schools going back to older versions `to`, in one intake transaction. What they do not let in any more does not
    come back."""

    session: Session
    seats: list[Seat]
    to: Mapping[int, int]
    versions: dict[int, int] = field(default_factory=dict)
    _changes: list[Change] = field(default_factory=list)

    def compare(self) -> None:
        """Make `undo_<kind>` (school, id, a c r) of what differs between now and then, and `back_<kind>`: the rows."""
        for row in self._rows(
            "SELECT school, max(version) AS version FROM roster_version WHERE district = %(district)s "
            "AND school = ANY(%(at)s) GROUP BY school"
        ):
            self.versions[row.school] = row.version
        self._run(
            "CREATE TEMP TABLE goal ON COMMIT DROP AS SELECT * FROM unnest(%(at)s::int[], %(to)s::int[]) g(school, version)"
        )
        if letting_in.bars(self.seats):
            then = "{0}.since <= g.version AND ({0}.until IS NULL OR {0}.until > g.version)"
            letting_in.bar(self._run, "barred_then", self.seats, letting_in.held_people(then, "goal"))
        now = Narrowing(self.seats, "barred_then" if letting_in.bars(self.seats) else "")
        for kind in PROJECTED:
            self._go_back(kind, now)
            self._compare(kind.name, [f'"{c}"' for c in stored_columns(kind)])

    def _go_back(self, kind: Kind, now: Narrowing) -> None:
        """Make `back_<kind>`. What was cut of a row is not in its hash: it has none, and is compared by what it says."""
        columns = stored_columns(kind)
        cut = ", ".join(f'{now.cut(kind, "r", c)} AS "{c}"' for c in columns)
        self._run(
            f"CREATE TEMP TABLE back_{kind.name} ON COMMIT DROP AS SELECT r.school, r.sourced_id, "
            f"{NO_HASH if now.cuts(kind) else 'r.hash'} AS hash, {cut} FROM goal g JOIN roster_{kind.name} r "
            "ON r.district = %(district)s AND r.school = g.school AND r.since <= g.version AND r.until > g.version "
            f"WHERE NOT {now.left_out(kind, 'r')}"
        )

    def _compare(self, kind: str, columns: list[str]) -> None:
        mine = "r.district = %(district)s AND r.school = g.school"
        ours, theirs = (", ".join(f"{side}.{c}" for c in columns) for side in "bl")
        self._run(
            f"CREATE TEMP TABLE undo_{kind} ON COMMIT DROP AS SELECT coalesce(b.school, l.school) AS school, "
            "coalesce(b.sourced_id, l.sourced_id) AS sourced_id, CASE WHEN l.school IS NULL THEN 'a' "
            f"WHEN b.school IS NULL THEN 'r' ELSE 'c' END AS what FROM back_{kind} b FULL JOIN (SELECT r.* FROM goal g "
            f"JOIN roster_{kind} r ON {mine} AND r.since > g.version AND r.until IS NULL) l USING (school, sourced_id) "
            f"WHERE b.school IS NULL OR l.school IS NULL OR ROW({ours}) IS DISTINCT FROM ROW({theirs})"
        )
        before = {row.school: row.n for row in self._rows(
            f"SELECT r.school, count(*)::int AS n FROM goal g JOIN roster_{kind} r ON {mine} AND r.until IS NULL "
            "GROUP BY r.school"
        )}  # fmt: skip
        counted: dict[tuple[int, str], int] = {
            (row.school, row.what): row.n
            for row in self._rows(f"SELECT school, what, count(*)::int AS n FROM undo_{kind} GROUP BY 1, 2")
        }
        for seat in self.seats:
            moves = (counted.get((seat.school, what), 0) for what in "acr")
            self._changes.append(Change(seat.school, kind, before.get(seat.school, 0), *moves))

    def changes(self) -> list[Change]:
        """Return what would change, one entry per school and kind."""
        return self._changes

    def roles_lost(self) -> list[Change]:
        """Going back loses no roles but those of people who change: an older version was judged when it came."""
        return []

    def publish(self, run: str, now: datetime) -> dict[int, int]:
        """Write one new version for each school that differs; return {school: version}."""
        moved = sorted({c.school for c in self._changes if c.added or c.changed or c.removed})
        fresh = {school: self.versions[school] + 1 for school in moved}
        for kind in PROJECTED:
            columns = ", ".join(f'"{c}"' for c in stored_columns(kind))
            self._run(
                f"UPDATE roster_{kind.name} l SET until = f.version FROM undo_{kind.name} d JOIN unnest(%(moved)s::int[], "
                "%(fresh)s::int[]) f(school, version) USING (school) WHERE d.what <> 'a' AND l.district = %(district)s "
                "AND l.school = d.school AND l.sourced_id = d.sourced_id AND l.until IS NULL",
                moved=moved, fresh=list(fresh.values()),
            )  # fmt: skip
            self._run(
                f"INSERT INTO roster_{kind.name} (district, school, sourced_id, since, modified, hash, {columns}) SELECT "
                f"%(district)s, b.school, b.sourced_id, f.version, %(now)s, b.hash, {columns} FROM back_{kind.name} b "
                f"JOIN undo_{kind.name} d USING (school, sourced_id) JOIN unnest(%(moved)s::int[], %(fresh)s::int[]) "
                "f(school, version) USING (school) WHERE d.what <> 'r'",
                moved=moved, fresh=list(fresh.values()), now=now,
            )  # fmt: skip
        for school, version in fresh.items():
            counts = {c.kind: c.after for c in self._changes if c.school == school}
            self.session.run(
                "INSERT INTO roster_version (district, school, version, run, published_at, counts) "
                "VALUES (%(district)s, %(number)s, %(version)s, %(run)s, %(now)s, %(counts)s)",
                number=school, version=version, run=run, now=now, counts=Jsonb(counts),
            )  # fmt: skip
        return fresh

    def _run(self, statement: str, **values: Any) -> int:
        return self.session.run(statement, at=list(self.to), to=list(self.to.values()), **values)

    def _rows(self, statement: str) -> Sequence[Any]:
        return self.session.rows(statement, at=list(self.to), to=list(self.to.values()))


# --- how long ---------------------------------------------------------------------------------------


def forget(session: Session, horizon: datetime) -> int:
    """Forget what the district's schools held before they last published up to this moment; return how many rows."""
    session.run(
        "CREATE TEMP TABLE kept_from ON COMMIT DROP AS SELECT school, max(version) AS version FROM roster_version "
        "WHERE district = %(district)s AND published_at <= %(horizon)s GROUP BY school",
        horizon=horizon,
    )
    removed = sum(
        session.run(
            f"DELETE FROM roster_{kind.name} r USING kept_from k WHERE r.district = %(district)s "
            "AND r.school = k.school AND r.until <= k.version"
        )
        for kind in PROJECTED
    )
    session.run(
        "DELETE FROM roster_version v USING kept_from k WHERE v.district = %(district)s AND v.school = k.school "
        "AND v.version < k.version"
    )
    return removed
