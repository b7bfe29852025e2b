"""What a source says, projected to what each school holds, compared with it, and published as one version.

Ownership belongs to the record: every record becomes one row per school it is associated with, and every
reference that leads out of the school is cut. Versions are counted per school, so that a school's numbers, dates
and tombstones follow its own projection alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store import letting_in
from gateway.store.letting_in import Narrowing, Seat
from gateway.store.staging import ID, Staging, mirror
from mappings.oneroster.records import KINDS, PROJECTED, Kind


@dataclass(slots=True)
class Change:
    """What a version would change for one school and kind of record; of what changes and goes, how much does so only
    because the school lets less in than what it holds."""

    school: int
    kind: str
    before: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    narrowed: int = 0
    left_out: int = 0

    @property
    def after(self) -> int:
        return self.before + self.added - self.removed


@dataclass(slots=True)
class Projection:
    """One delivery projected to its schools, in the staging's transaction."""

    staging: Staging
    seats: list[Seat]
    everything: bool = False  # else only what was touched
    versions: dict[int, int] = field(default_factory=dict)
    counts: dict[int, dict[str, int]] = field(default_factory=dict)
    still: set[str] = field(default_factory=set)  # kinds of which nothing was touched
    _changes: list[Change] | None = None

    @property
    def first(self) -> bool:
        """Whether no school here holds a version yet: then every row is an addition and nothing need be compared."""
        return not self.versions

    def note_touched(self) -> None:
        """Remember which records may look different, before what the source says is brought up to date: all of them where
        a child may have grown up without a word of the source."""
        self._read_versions()
        self.everything = self.everything or letting_in.bars(self.seats) or self._places_move()
        if self.everything:
            return
        for kind in PROJECTED:
            self._run(f"CREATE TEMP TABLE touched_{kind.name} (sourced_id {ID} PRIMARY KEY) ON COMMIT DROP")
        for kind in PROJECTED:
            for part in ("in", "gone"):
                self._touch(kind.name, f"SELECT sourced_id FROM {part}_{kind.name}")
        for kind_name in ("role", "enrollment"):
            for part in ("in", "gone"):
                query = f'SELECT m."user" FROM {mirror(kind_name)} m JOIN {part}_{kind_name} p USING (sourced_id)'
                self._touch("user", f"{query} WHERE m.source = %(source)s")
            self._touch("user", f'SELECT "user" FROM in_{kind_name}')
        self._touch("user", f"SELECT m.sourced_id FROM {mirror('user')} m, unnest(m.agents) a JOIN touched_user t "
                            "ON t.sourced_id = a WHERE m.source = %(source)s")  # fmt: skip
        self._touch("user", "SELECT sourced_id FROM touched_demographics")
        self._touch("demographics", "SELECT sourced_id FROM touched_user")
        self._touch("class", f"SELECT m.sourced_id FROM {mirror('class')} m JOIN touched_course t "
                             "ON t.sourced_id = m.course WHERE m.source = %(source)s")  # fmt: skip
        for kind in PROJECTED:
            self._run(f"ANALYZE touched_{kind.name}")
            if not self._rows(f"SELECT 1 FROM touched_{kind.name} LIMIT 1"):
                self.still.add(kind.name)

    def _places_move(self) -> bool:
        """Whether a school is new here, or an org came, went or changed: then anybody may sit elsewhere."""
        if any(seat.school not in self.versions for seat in self.seats):
            return True
        return bool(self._rows("SELECT 1 FROM in_org UNION ALL SELECT 1 FROM gone_org LIMIT 1"))

    def _touch(self, kind: str, query: str) -> None:
        self._run(f"INSERT INTO touched_{kind} {query} ON CONFLICT DO NOTHING")

    def _run(self, statement: str, **values: Any) -> int:
        return self.staging.run(statement, **values)

    def _rows(self, statement: str, **values: Any) -> Any:
        return self.staging.session.rows(statement, source=self.staging.source, **values)

    def _read_versions(self) -> None:
        for row in self._rows(
            "SELECT DISTINCT ON (school) school, version, counts FROM roster_version "
            "WHERE district = %(district)s AND school = ANY(%(seats)s) ORDER BY school, version DESC",
            seats=[seat.school for seat in self.seats],
        ):
            self.versions[row.school], self.counts[row.school] = row.version, row.counts

    # --- projecting ------------------------------------------------------------------------------

    def project(self) -> None:
        """Make `proj_<kind>`: the rows each school would hold of everything touched. The first version is only
        counted now, and written as it is projected."""
        if len(self.still) == len(PROJECTED):
            return
        self._make_seats()
        self._make_associations()
        for kind in () if self.first else self._moving():
            self._run(f"CREATE TEMP TABLE proj_{kind.name} ON COMMIT DROP AS {self._rows_of(kind)}")
            self._run(f"ANALYZE proj_{kind.name} (school, sourced_id, hash)")  # what it is joined by
            self._compare(kind)

    def _moving(self) -> list[Kind]:
        return [kind for kind in PROJECTED if kind.name not in self.still]

    def _make_seats(self) -> None:
        """Where each org sits: at or under a school of ours, or above it (districts, not other schools)."""
        self._run(
            'CREATE TEMP TABLE place ON COMMIT DROP AS SELECT school, org COLLATE "C" AS org '
            "FROM unnest(%(numbers)s::int[], %(orgs)s::text[]) AS given (school, org)",
            numbers=[seat.school for seat in self.seats], orgs=[seat.org_id for seat in self.seats],
        )  # fmt: skip
        org = mirror("org")
        self._run(
            "CREATE TEMP TABLE seat ON COMMIT DROP AS WITH RECURSIVE under(school, org) AS ("
            "SELECT school, org FROM place UNION "
            f"SELECT u.school, o.sourced_id FROM {org} o JOIN under u ON o.parent = u.org "
            "WHERE o.source = %(source)s AND o.type <> 'school') SELECT DISTINCT school, org FROM under"
        )
        self._run(
            "CREATE TEMP TABLE above ON COMMIT DROP AS WITH RECURSIVE up(school, org) AS ("
            f"SELECT p.school, o.parent FROM place p JOIN {org} o ON o.sourced_id = p.org AND o.source = %(source)s "
            f"UNION SELECT u.school, o.parent FROM up u JOIN {org} o ON o.sourced_id = u.org "
            f"AND o.source = %(source)s) SELECT DISTINCT u.school, u.org FROM up u JOIN {org} o ON "
            "o.sourced_id = u.org AND o.source = %(source)s WHERE o.type <> 'school'"
        )
        self._run("ANALYZE seat")

    def _make_associations(self) -> None:
        """Who belongs to which school: by a role there, or by an enrollment in one of its classes. Of everybody, or of
        those who were touched and their agents."""
        only = ""
        if not self.everything:
            self._run(
                "CREATE TEMP TABLE whose ON COMMIT DROP AS SELECT sourced_id AS user_id FROM touched_user "
                f"UNION SELECT agent FROM {mirror('user')} m JOIN touched_user t USING (sourced_id), "
                "unnest(m.agents) agent WHERE m.source = %(source)s"
            )
            self._run("ANALYZE whose")
            only = 'JOIN whose t ON t.user_id = x."user"'
        said = f"x.\"user\" AS user_id, x.role = 'student' AS pupil, x.role {letting_in.IS_RELATIVE} AS relative"
        self._run(
            "CREATE TEMP TABLE assoc ON COMMIT DROP AS SELECT school, user_id, bool_or(pupil) AS is_pupil, "
            f"bool_and(relative) AS is_relative FROM (SELECT s.school, {said} FROM {mirror('role')} x {only} "
            f"JOIN seat s ON s.org = x.org WHERE x.source = %(source)s UNION ALL "
            f"SELECT s.school, {said} FROM {mirror('enrollment')} x {only} "
            "JOIN seat s ON s.org = x.org WHERE x.source = %(source)s) a GROUP BY school, user_id"
        )
        self._bar_children()
        self._run("CREATE INDEX ON assoc (user_id)")
        self._run("ANALYZE assoc")

    def _bar_children(self) -> None:
        """Take out of a school's people the pupils that nobody there agreed to let in, and whoever is there for nobody
        else's sake; and see who of those that it holds would be such now."""
        if not letting_in.bars(self.seats):
            return
        people = (
            "SELECT a.school, a.user_id, a.is_pupil, a.is_relative, d.birth_date, m.agents FROM assoc a "
            f"JOIN {mirror('user')} m ON m.source = %(source)s AND m.sourced_id = a.user_id "
            f"LEFT JOIN {mirror('demographics')} d ON d.source = %(source)s AND d.sourced_id = a.user_id"
        )
        letting_in.bar(self._run, "barred", self.seats, people)
        self._run("DELETE FROM assoc a USING barred b WHERE b.school = a.school AND b.user_id = a.user_id")
        if not self.first:
            letting_in.bar(self._run, "barred_there", self.seats, letting_in.held_people("{0}.until IS NULL", "place"))

    def children(self) -> list[dict[str, Any]]:
        """Return how many pupils were not let in, and how many relatives of nobody who is, by school."""
        if not letting_in.bars(self.seats):
            return []
        refs = {seat.school: seat.ref for seat in self.seats}
        rows = self._rows("SELECT school, count(*) FILTER (WHERE NOT relative) AS pupils, count(*) FILTER (WHERE relative) "
                          "AS relatives FROM barred GROUP BY school ORDER BY school")  # fmt: skip
        return [{"school": refs[row.school], "pupils": row.pupils, "relatives": row.relatives} for row in rows]

    def of(self, kind: str) -> str:
        """The mirror of a kind, narrowed to what was touched."""
        if self.everything:
            return f"(SELECT * FROM {mirror(kind)} WHERE source = %(source)s) m"
        touched = f"{mirror(kind)} m JOIN touched_{kind} t USING (sourced_id)"
        return f"(SELECT m.* FROM {touched} WHERE m.source = %(source)s) m"

    # --- comparing -------------------------------------------------------------------------------

    def _compare(self, kind: Kind) -> None:
        """Make `diff_<kind>`: school, id, what happens to the row (a added, c changed, r removed), and whether only so
        because its school lets less in than what it holds.

        Where hashes differ, what the row says decides: one that is only spelled otherwise is no change.
        """
        name, columns = kind.name, stored_columns(kind)
        now = Narrowing(self.seats, "barred_there" if letting_in.bars(self.seats) else "")
        live = (
            f"SELECT l.* FROM roster_{name} l {{}} WHERE l.district = %(district)s "
            "AND l.school IN (SELECT school FROM place) AND l.until IS NULL"
        )
        ours, theirs = (", ".join(f'{side}."{c}"' for c in columns) for side in "pl")
        live = live.format("" if self.everything else f"JOIN touched_{name} t USING (sourced_id)")
        held = ", ".join(now.cut(kind, "l", c) for c in columns)
        narrowed = f"ROW({ours}) IS NOT DISTINCT FROM ROW({held})" if now.cuts(kind) else "FALSE"
        joined = (
            f"SELECT coalesce(p.school, l.school) AS school, coalesce(p.sourced_id, l.sourced_id) AS sourced_id, "
            "CASE WHEN l.school IS NULL THEN 'a' WHEN p.school IS NULL THEN 'r' ELSE 'c' END AS what, "
            f"CASE WHEN l.school IS NULL THEN FALSE WHEN p.school IS NULL THEN {now.left_out(kind, 'l')} "
            f"ELSE {narrowed} END AS by_us "
            f"FROM proj_{name} p FULL JOIN ({live}) l USING (school, sourced_id) "
            "WHERE l.school IS NULL OR p.school IS NULL "
            f"OR (p.hash <> l.hash AND ROW({ours}) IS DISTINCT FROM ROW({theirs}))"
        )
        self._run(f"CREATE TEMP TABLE diff_{name} ON COMMIT DROP AS {joined}")

    def changes(self) -> list[Change]:
        """Return what would change, one entry per school and kind."""
        if self._changes is None:
            self._changes = self._count()
        return self._changes

    def _count(self) -> list[Change]:
        found = {
            (seat.school, kind.name): Change(
                seat.school, kind.name, before=self.counts.get(seat.school, {}).get(kind.name, 0)
            )
            for seat in self.seats
            for kind in PROJECTED
        }
        words = {"a": "added", "c": "changed", "r": "removed"}
        ours = {"c": "narrowed", "r": "left_out"}
        for kind in self._moving():
            told = (
                f"(SELECT school, 'a' AS what, FALSE AS by_us FROM ({self._rows_of(kind)}) p) d"
                if self.first
                else f"diff_{kind.name}"
            )
            for row in self._rows(
                f"SELECT school, what, count(*) AS n, count(*) FILTER (WHERE by_us) AS ours FROM {told} GROUP BY school, what"
            ):
                change = found[row.school, kind.name]
                setattr(change, words[row.what], row.n)
                if row.ours:
                    setattr(change, ours[row.what], row.ours)
        return list(found.values())

    def _rows_of(self, kind: Kind) -> str:
        """The query of the rows that each school would hold of a kind."""
        return _PROJECTIONS[kind.name](self)

    def shown(self) -> dict[str, str]:
        """Return, of each kind, a query of (school, sourced_id): the rows that would come, change or go."""
        nothing = "SELECT NULL::int AS school, NULL::text AS sourced_id WHERE FALSE"
        found = dict.fromkeys(KINDS, nothing)
        for kind in self._moving():
            told = f"({self._rows_of(kind)}) p" if self.first else f"diff_{kind.name}"
            found[kind.name] = f"SELECT school, sourced_id FROM {told}"
        if len(self.still) < len(PROJECTED):
            roles = mirror("role") if "role" in self.staging.straight else "in_role"
            of_source = " WHERE i.source = %(source)s" if "role" in self.staging.straight else ""
            found["role"] = f"SELECT s.school, i.sourced_id FROM {roles} i JOIN seat s ON s.org = i.org{of_source}"
        return found

    def would_go(self, schools: Sequence[int], causes: Sequence[str]) -> dict[str, list[tuple[str, int]]]:
        """Return, by kind, the records (id, school) that would leave one of these schools, or any for such a cause."""
        return {
            kind.name: [
                (row.sourced_id, row.school)
                for row in self._rows(
                    f"SELECT d.sourced_id, d.school FROM diff_{kind.name} d WHERE d.what = 'r' AND NOT d.by_us AND (d.school = "
                    "ANY(%(at)s) OR EXISTS (SELECT FROM absence a WHERE a.kind = %(kind)s AND a.sourced_id = "
                    "d.sourced_id AND a.cause = ANY(%(causes)s)))",
                    at=list(schools), kind=kind.name, causes=list(causes),
                )
            ]
            for kind in (() if self.first else self._moving())
        }  # fmt: skip

    def quarantined(self) -> dict[tuple[int, str], int]:
        """Return how many rows that each school holds are bad in this delivery, by school and kind."""
        return {
            (row.school, kind.name): row.n
            for kind in PROJECTED
            for row in self._rows(
                f"SELECT r.school, count(*)::int AS n FROM bad_{kind.name} b JOIN roster_{kind.name} r ON r.district = "
                "%(district)s AND r.school = ANY(%(at)s) AND r.sourced_id = b.sourced_id AND r.until IS NULL "
                "GROUP BY r.school",
                at=[seat.school for seat in self.seats],
            )
        }

    def seated(self) -> list[tuple[int, str]]:
        """Return (school, org): the orgs at or under each school."""
        if len(self.still) == len(PROJECTED):
            return []
        return [(row.school, row.org) for row in self._rows("SELECT school, org FROM seat")]

    def classes_hit(self) -> dict[int, dict[str, tuple[bool, int]]]:
        """Return, by school, the classes that would go or lose members: whether each goes, and how many it loses."""
        found: dict[int, dict[str, tuple[bool, int]]] = {}
        moving = {kind.name for kind in self._moving()}
        if not self.first and "class" in moving:
            for row in self._rows("SELECT school, sourced_id FROM diff_class WHERE what = 'r'"):
                found.setdefault(row.school, {})[row.sourced_id] = (True, 0)
        if not self.first and "enrollment" in moving:
            for row in self._rows(
                'SELECT d.school, l."class" AS id, count(*)::int AS n FROM diff_enrollment d JOIN roster_enrollment l '
                "ON l.district = %(district)s AND l.school = d.school AND l.sourced_id = d.sourced_id "
                "AND l.until IS NULL WHERE d.what = 'r' GROUP BY 1, 2"
            ):
                here = found.setdefault(row.school, {})
                here[row.id] = (here.get(row.id, (False, 0))[0], row.n)
        return found

    def roles_lost(self) -> list[Change]:
        """Return, for each school where people lose roles but stay, how many roles there were and how many go.

        A roles.csv that was cut off changes people and removes none: this is where it shows.
        """
        if self.first or "user" in self.still:
            return []
        lost = self._rows(
            f"SELECT d.school, sum({_ROLES.format('l')} - {_ROLES.format('p')})::int AS n FROM diff_user d "
            "JOIN proj_user p USING (school, sourced_id) JOIN roster_user l ON l.district = %(district)s "
            "AND l.school = d.school AND l.sourced_id = d.sourced_id AND l.until IS NULL "
            f"WHERE d.what = 'c' GROUP BY d.school HAVING sum({_ROLES.format('l')} - {_ROLES.format('p')}) > 0"
        )
        before = self._rows(
            f"SELECT school, sum({_ROLES.format('l')})::int AS n FROM roster_user l WHERE district = %(district)s "
            "AND school = ANY(%(at)s) AND until IS NULL GROUP BY school",
            at=[row.school for row in lost],
        ) if lost else ()  # fmt: skip
        there = {row.school: row.n for row in before}
        return [Change(row.school, "role", before=there[row.school], removed=row.n) for row in lost]

    # --- publishing ------------------------------------------------------------------------------

    def publish(self, run: str, now: datetime) -> dict[int, int]:
        """Write one new version for each school with a change; return {school: version}."""
        changes = self.changes()
        moved = {c.school for c in changes if c.added or c.changed or c.removed}
        versions = {school: self.versions.get(school, 0) + 1 for school in moved}
        self._run(
            "CREATE TEMP TABLE fresh ON COMMIT DROP AS SELECT school, version "
            "FROM unnest(%(numbers)s::int[], %(versions)s::int[]) AS given (school, version)",
            numbers=list(versions), versions=list(versions.values()),
        )  # fmt: skip
        for kind in self._moving():
            self._write(kind, now)
        for school, version in versions.items():
            counts = {c.kind: c.after for c in changes if c.school == school}
            self._run(
                "INSERT INTO roster_version (district, school, version, run, published_at, counts) "
                "VALUES (%(district)s, %(number)s, %(version)s, %(run)s, %(now)s, %(counts)s)",
                number=school, version=version, run=run, now=now, counts=Jsonb(counts),
            )  # fmt: skip
        return versions

    def _write(self, kind: Kind, now: datetime) -> None:
        name, columns = kind.name, ", ".join(f'"{c}"' for c in stored_columns(kind))
        version, rows = "1", f"({self._rows_of(kind)}) p"
        if not self.first:
            self._run(
                f"UPDATE roster_{name} l SET until = f.version FROM diff_{name} d JOIN fresh f USING (school) "
                "WHERE d.what <> 'a' AND l.district = %(district)s AND l.school = d.school "
                "AND l.sourced_id = d.sourced_id AND l.until IS NULL"
            )
            rows = f"proj_{name} p JOIN fresh f USING (school) JOIN diff_{name} d USING (school, sourced_id)"
            version, rows = "f.version", rows + " WHERE d.what <> 'r'"
        self._run(
            f"INSERT INTO roster_{name} (district, school, sourced_id, since, modified, hash, {columns}) "
            f"SELECT %(district)s, p.school, p.sourced_id, {version}, %(now)s, p.hash, {columns} "
            f"FROM {rows} ORDER BY p.school, p.sourced_id",
            now=now,
        )


_ROLES = "jsonb_array_length(coalesce({}.roles, '[]'))"


def stored_columns(kind: Kind) -> list[str]:
    """Return the columns of a projected row, in order."""
    extra = ["roles", "is_pupil"] if kind.name == "user" else []
    return [c.name for c in kind.columns] + extra


def _select(kind: str, replaced: dict[str, str]) -> str:
    """The columns of a projection: those of the mirror, some replaced by an expression."""
    return ", ".join(f'{replaced[c]} AS "{c}"' if c in replaced else f'm."{c}"' for c in stored_columns(KINDS[kind]))


def _hashed(p: Projection, kind: str, school: str, source: str, replaced: dict[str, str]) -> str:
    """A projection whose hash covers what was cut or added for the school. What a school does not collect is cut."""
    replaced = dict(replaced)
    for column in KINDS[kind].columns:
        if there := letting_in.closed(p.seats, column):
            value = replaced.get(column.name, f'm."{column.name}"')
            replaced[column.name] = f"CASE WHEN {school} <> ALL (ARRAY{there}) THEN {value} END"
    inner = f"SELECT {school} AS school, m.sourced_id, m.hash AS of_row, {_select(kind, replaced)} FROM {source}"
    inner += " OFFSET 0"  # what is replaced is worked out once, not for the hash again
    names = ", ".join(f'"{c}"' for c in stored_columns(KINDS[kind]))
    whole = f"hashtextextended(ROW({names})::text, 0)"
    hashed = whole if replaced else f"coalesce(nullif(of_row, 0), {whole})"
    return f"SELECT school, sourced_id, {hashed} AS hash, {names} FROM ({inner}) x"


_HERE = "(SELECT school, org FROM seat UNION SELECT school, org FROM above)"


def _org(p: Projection) -> str:
    cut = f"CASE WHEN (s.school, m.parent) IN {_HERE} THEN m.parent END"
    return _hashed(p, "org", "s.school", f"{p.of('org')} JOIN {_HERE} s ON s.org = m.sourced_id", {"parent": cut})


def _session(p: Projection) -> str:
    return _hashed(p, "session", "s.school", f"{p.of('session')} CROSS JOIN place s", {})


def _course(p: Projection) -> str:
    return _hashed(p, "course", "s.school", f"{p.of('course')} JOIN {_HERE} s ON s.org = m.org", {})


def _class(p: Projection) -> str:
    """A course that is known but quarantined has no org yet: it is named, and not led to."""
    source = (
        f"{p.of('class')} JOIN seat s ON s.org = m.org "
        f"LEFT JOIN {mirror('course')} c ON c.source = %(source)s AND c.sourced_id = m.course"
    )
    cut = f"CASE WHEN c.sourced_id IS NULL OR (s.school, c.org) IN {_HERE} THEN m.course END"
    return _hashed(p, "class", "s.school", source, {"course": cut})


def _user(p: Projection) -> str:
    only = "" if p.everything else 'JOIN touched_user t ON t.sourced_id = r."user"'
    roles = (
        '(SELECT z.school AS at, r."user" AS user_id, jsonb_agg(jsonb_strip_nulls(jsonb_build_object('
        "'roleType', r.role_type, 'role', r.role, 'org', r.org, 'beginDate', r.begin_date, 'endDate', r.end_date)) "
        f"ORDER BY r.role_type, r.role, r.org, r.sourced_id) AS roles FROM {mirror('role')} r {only} "
        'JOIN seat z ON z.org = r.org WHERE r.source = %(source)s GROUP BY z.school, r."user") y'
    )
    agents = (
        "(SELECT o.school AS at, w.sourced_id AS user_id, array_agg(g.user_id ORDER BY g.user_id) AS agents "
        f"FROM (SELECT m.sourced_id, unnest(m.agents) AS agent FROM {p.of('user')}) w "
        "JOIN assoc o ON o.user_id = w.sourced_id JOIN assoc g ON g.user_id = w.agent AND g.school = o.school "
        "GROUP BY o.school, w.sourced_id) k"
    )
    source = (
        f"{p.of('user')} JOIN assoc a ON a.user_id = m.sourced_id "
        f"LEFT JOIN {roles} ON y.at = a.school AND y.user_id = m.sourced_id "
        f"LEFT JOIN {agents} ON k.at = a.school AND k.user_id = m.sourced_id"
    )
    org = "CASE WHEN (a.school, m.primary_org) IN (SELECT school, org FROM seat) THEN m.primary_org END"
    replaced = {"roles": "y.roles", "is_pupil": "a.is_pupil", "agents": "k.agents", "primary_org": org}
    return _hashed(p, "user", "a.school", source, replaced)


def _enrollment(p: Projection) -> str:
    source = f"{p.of('enrollment')} JOIN seat s ON s.org = m.org"
    if letting_in.bars(p.seats):
        source += ' AND NOT EXISTS (SELECT FROM barred b WHERE b.school = s.school AND b.user_id = m."user")'
    return _hashed(p, "enrollment", "s.school", source, {})


def _demographics(p: Projection) -> str:
    """Of a school that collects nothing of them, nobody's."""
    told = letting_in.told_of_people(p.seats)
    source = f"{p.of('demographics')} JOIN assoc a ON a.user_id = m.sourced_id AND a.school = ANY (ARRAY{told}::int[])"
    return _hashed(p, "demographics", "a.school", source, {})


_PROJECTIONS = {
    "org": _org,
    "session": _session,
    "course": _course,
    "class": _class,
    "user": _user,
    "enrollment": _enrollment,
    "demographics": _demographics,
}
