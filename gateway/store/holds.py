"""What waits for a second person: holds, and the records of deliveries that they keep back.

A hold of removals keeps records that a delivery no longer has: they stay accepted, as if it had them, until they are
released. A hold of everything keeps a whole delivery's difference, of which nothing was accepted. A record waits at
each school where its coming or going would show; released at one, it waits on for the others, and only then comes or
goes: a record that stands in several schools is one record of its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from gateway.store import tables
from gateway.store.staging import Staging, mirror, quoted
from gateway.store.tenant import Session
from mappings.oneroster.records import KINDS, Kind

WAITS = timedelta(days=14)  # then a hold ends by itself, and the next delivery is judged anew
REMOVALS, EVERYTHING, UNDO = "removals", "everything", "undo"
_ONE = "district = %(district)s AND hold = %(hold)s"
_ROWS = "source = %(source)s AND hold = %(hold)s"
_COLUMNS = "source, hold, kind, sourced_id, what, cause, line, hash, content, schools"


@dataclass(frozen=True, slots=True)
class Part:
    """What of a hold is meant: the rows at these schools, and these rows by kind and id; all where neither is named."""

    schools: tuple[int, ...] = ()
    rows: tuple[tuple[str, str], ...] = ()

    @property
    def whole(self) -> bool:
        return not (self.schools or self.rows)


# --- the hold --------------------------------------------------------------------------------------


def open_(
    session: Session, hold: str, source: str, run: str, kind: str, code: str, by: str, now: datetime,
    counts: Any, review: Any,
) -> None:  # fmt: skip
    """Record a hold."""
    session.insert(
        tables.sync_hold, hold=hold, source=source, run=run, kind=kind, state="open", code=code, acted_by=by,
        opened_at=now, expires_at=now + WAITS, counts=counts, review=review,
    )  # fmt: skip


def ask(session: Session, hold: str, by: str) -> bool:
    """Keep the first word of two for releasing a hold that no person met; False when there is one."""
    changed = session.run(
        f"UPDATE sync_hold SET asked_by = %(by)s WHERE {_ONE} AND state = 'open' AND asked_by IS NULL", hold=hold, by=by
    )
    return changed == 1


def find(session: Session, hold: str) -> Any | None:
    """Return a hold by its reference or that of the run that met it; it is nobody else's until the transaction ends."""
    return session.row(
        "SELECT * FROM sync_hold WHERE district = %(district)s AND (hold = %(hold)s OR run = %(hold)s) FOR UPDATE",
        hold=hold,
    )  # fmt: skip


def listing(session: Session, source: str | None = None, state: str | None = None) -> Sequence[Any]:
    """Return the holds of the district, or of one source or state, the newest first."""
    return session.rows(
        "SELECT h.*, s.name AS source_name FROM sync_hold h JOIN source s USING (district, source) "
        "WHERE h.district = %(district)s AND (%(source)s::text IS NULL OR h.source = %(source)s) "
        "AND (%(state)s::text IS NULL OR h.state = %(state)s) ORDER BY h.opened_at DESC, h.hold",
        source=source, state=state,
    )  # fmt: skip


def end(session: Session, hold: str, number: int, state: str, now: datetime, by: str | None) -> None:
    """End a hold; what it kept back is forgotten."""
    session.run(
        f"UPDATE sync_hold SET state = %(state)s, ended_at = %(now)s, ended_by = %(by)s WHERE {_ONE}",
        hold=hold, state=state, now=now, by=by,
    )  # fmt: skip
    session.run(f"DELETE FROM staging.held WHERE {_ROWS}", hold=hold, source=number)


def expire(session: Session, source: str, number: int, now: datetime) -> None:
    """End the holds of a source that have waited for as long as holds wait."""
    for row in listing(session, source, "open"):
        if row.expires_at <= now:
            end(session, row.hold, number, "expired", now, None)


def supersede(session: Session, source: str, number: int, now: datetime, *, kinds: Iterable[str]) -> None:
    """End the open holds of a source that a later delivery or an undo has overtaken."""
    for row in listing(session, source, "open"):
        if row.kind in kinds:
            end(session, row.hold, number, "superseded", now, None)


def close_healed(session: Session, source: str, number: int, now: datetime) -> None:
    """End the holds of removals of which nothing waits any more: everything came back, or went with something else."""
    for row in listing(session, source, "open"):
        if row.kind == REMOVALS and not waiting(session, number, row.hold):
            end(session, row.hold, number, "healed", now, None)


# --- its rows --------------------------------------------------------------------------------------


def waiting(session: Session, number: int, hold: str) -> int:
    """Return how many records a hold keeps back."""
    (row,) = session.rows(f"SELECT count(*) AS n FROM staging.held WHERE {_ROWS}", source=number, hold=hold)
    return int(row.n)


def rows(session: Session, number: int, hold: str, limit: int) -> Sequence[Any]:
    """Return the records that a hold keeps back: kind, id, whether they come or go, why, at which schools (their
    references, and `at` their numbers), and whose each is (`person`)."""
    return session.rows(
        f"SELECT kind, sourced_id, what, cause, (SELECT array_agg(c.ref ORDER BY c.ref) FROM school c WHERE "
        f"c.district = %(district)s AND c.school = ANY(h.schools)) AS schools, h.schools AS at, {_PERSON} AS person "
        f"FROM staging.held h WHERE {_ROWS} ORDER BY kind, sourced_id LIMIT %(limit)s",
        source=number, hold=hold, limit=limit,
    )  # fmt: skip


def _whose(kind: Kind) -> str:
    """Whose a record that is held is: what comes says it itself, what goes in what was accepted of it."""
    if kind.person == "sourced_id":
        return f"WHEN '{kind.name}' THEN h.sourced_id"
    return (
        f"WHEN '{kind.name}' THEN coalesce(h.content ->> '{kind.person}', (SELECT m.\"{kind.person}\" FROM "
        f"{mirror(kind.name)} m WHERE m.source = h.source AND m.sourced_id = h.sourced_id))"
    )


_PERSON = f"CASE h.kind {' '.join(_whose(kind) for kind in KINDS.values() if kind.person)} END"


def strange(session: Session, number: int, hold: str, named: Sequence[tuple[str, str]]) -> list[str]:
    """Return, as KIND:ID, which of these rows the hold does not keep back."""
    found = session.rows(
        "SELECT n.kind, n.id FROM unnest(%(kinds)s::text[], %(ids)s::text[]) n(kind, id) WHERE NOT EXISTS (SELECT FROM "
        f"staging.held h WHERE h.{_ROWS.replace(' AND ', ' AND h.')} AND h.kind = n.kind AND h.sourced_id = n.id)",
        source=number, hold=hold, kinds=[kind for kind, _ in named], ids=[id_ for _, id_ in named],
    )  # fmt: skip
    return [f"{row.kind}:{row.id}" for row in found]


def by_school(session: Session, number: int, hold: str) -> Sequence[Any]:
    """Return how many records of each kind wait at each school, and which way."""
    return session.rows(
        "SELECT c.ref, c.name, h.kind, h.what, count(*) AS n FROM staging.held h, unnest(h.schools) s JOIN school c "
        f"ON c.district = %(district)s AND c.school = s WHERE h.{_ROWS.replace(' AND ', ' AND h.')} "
        "GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4",
        source=number, hold=hold,
    )  # fmt: skip


def kinds_waiting(session: Session, number: int) -> frozenset[str]:
    """Return the kinds of which removals of a source wait."""
    found = session.rows(
        "SELECT DISTINCT kind FROM staging.held WHERE source = %(source)s AND what = 'waits'",
        source=number,
    )  # fmt: skip
    return frozenset(row.kind for row in found)


def keep(staging: Staging, hold: str, kind: str, found: Iterable[Any]) -> None:
    """Keep back removals of one kind, (id, its schools as PostgreSQL writes them); `gone_<kind>` has them no longer."""
    rows = list(found)
    staging.run(
        f"WITH kept AS (DELETE FROM gone_{kind} g USING unnest(%(ids)s::text[]) k(id) WHERE g.sourced_id = k.id "
        f"RETURNING g.sourced_id) INSERT INTO staging.held ({_COLUMNS}) SELECT %(source)s, %(hold)s, '{kind}', "
        f"k.sourced_id, 'waits', coalesce(a.cause, ''), 0, 0, NULL, s.schools::int[] FROM kept k "
        "JOIN unnest(%(ids)s::text[], %(schools)s::text[]) s(id, schools) ON s.id = k.sourced_id "
        f"LEFT JOIN absence a ON a.kind = '{kind}' AND a.sourced_id = k.sourced_id",
        hold=hold, ids=[row[0] for row in rows], schools=[row[1] for row in rows],
    )  # fmt: skip


def keep_carriers(staging: Staging, hold: str) -> None:
    """Keep back, with removals that wait, those of the records that they cannot stand without."""
    for kind in reversed(list(KINDS.values())):
        for column, target in kind.carriers:
            found = staging.session.rows(
                f"SELECT g.sourced_id, array_agg(DISTINCT s)::text FROM staging.held h JOIN {mirror(kind.name)} m "
                f'ON m.source = h.source AND m.sourced_id = h.sourced_id JOIN gone_{target} g ON g.sourced_id = m."{column}" '
                f"CROSS JOIN unnest(h.schools) s WHERE h.{_ROWS.replace(' AND ', ' AND h.')} AND h.kind = '{kind.name}' "
                "GROUP BY g.sourced_id",
                source=staging.source, hold=hold,
            )  # fmt: skip
            if found:
                keep(staging, hold, target, found)


def roles_of(
    staging: Staging, people: Sequence[tuple[str, int]], seats: Sequence[tuple[int, str]]
) -> dict[str, set[int]]:
    """Return the roles that go of people (id, school), each with the schools it is at; seats are (school, org)."""
    ids, at = zip(*people, strict=True) if people else ((), ())
    schools, orgs = zip(*seats, strict=True) if seats else ((), ())
    rows = staging.session.rows(
        f"SELECT g.sourced_id, s.school FROM gone_role g JOIN {mirror('role')} m ON m.source = %(source)s "
        "AND m.sourced_id = g.sourced_id JOIN unnest(%(schools)s::int[], %(orgs)s::text[]) s(school, org) ON s.org = m.org "
        'JOIN unnest(%(ids)s::text[], %(at)s::int[]) p(id, at) ON p.id = m."user" AND p.at = s.school',
        source=staging.source, ids=list(ids), at=list(at), schools=list(schools), orgs=list(orgs),
    )  # fmt: skip
    found: dict[str, set[int]] = {}
    for row in rows:
        found.setdefault(row.sourced_id, set()).add(row.school)
    return found


def let_come_back(staging: Staging, kind: str) -> None:
    """What a delivery has again waits no longer: as it was, changed, or bad."""
    staging.run(
        f"DELETE FROM staging.held h WHERE h.source = %(source)s AND h.kind = '{kind}' AND h.what = 'waits' AND (NOT EXISTS "
        f"(SELECT FROM unmet_{kind} u WHERE u.sourced_id = h.sourced_id) OR EXISTS (SELECT FROM in_{kind} i WHERE "
        f"i.sourced_id = h.sourced_id) OR EXISTS (SELECT FROM bad_{kind} b WHERE b.sourced_id = h.sourced_id))"
    )


def leave_out_waiting(staging: Staging, kind: str) -> None:
    """Of what a delivery lacks (`absent_<kind>`), leave out what waits already."""
    staging.run(
        f"DELETE FROM absent_{kind} a USING staging.held h WHERE h.source = %(source)s AND h.kind = '{kind}' "
        "AND h.what = 'waits' AND h.sourced_id = a.sourced_id"
    )


def went_along(staging: Staging) -> None:
    """What went with something else waits no longer."""
    for kind in KINDS:
        staging.run(
            f"DELETE FROM staging.held h USING gone_{kind} g WHERE h.source = %(source)s AND h.kind = '{kind}' "
            "AND h.what <> 'in' AND g.sourced_id = h.sourced_id"
        )


def copy_all(staging: Staging, other: Session, hold: str, shown: Mapping[str, str]) -> None:
    """Copy a delivery's whole difference out of its transaction, which will be undone, into another one.

    `shown` has, of each kind, a query of (school, sourced_id): where its records would show.
    """
    for name in KINDS:
        accepted = f"(SELECT * FROM {mirror(name)} WHERE source = %(source)s)"
        arriving = accepted if name in staging.straight else f"in_{name}"
        at = f"(SELECT sourced_id, array_agg(DISTINCT school) AS schools FROM ({shown[name]}) x GROUP BY 1)"
        query = (
            f"COPY (WITH at AS MATERIALIZED {at} SELECT %(source)s::int, %(hold)s, '{name}', i.sourced_id, 'in', '', "
            f"i.line, i.hash, to_jsonb(i) - ARRAY['source', 'sourced_id', 'line', 'hash', 'missed'], "
            f"coalesce(a.schools, '{{}}') FROM {arriving} i LEFT JOIN at a USING (sourced_id) UNION ALL "
            f"SELECT %(source)s::int, %(hold)s, '{name}', g.sourced_id, 'gone', coalesce(c.cause, ''), 0, 0, NULL, "
            f"coalesce(a.schools, '{{}}') FROM gone_{name} g LEFT JOIN at a USING (sourced_id) "
            f"LEFT JOIN absence c ON c.kind = '{name}' AND c.sourced_id = g.sourced_id) TO STDOUT"
        )
        _stream(staging, other, query, {"source": staging.source, "hold": hold})

    places = staging.session.rows("SELECT school, org FROM seat")
    other.run(
        _ROLES_WERE, source=staging.source, hold=hold, at=[p.school for p in places], orgs=[p.org for p in places]
    )


# A role that changes or goes shows where it was, too.
_ROLES_WERE = (
    "UPDATE staging.held h SET schools = ARRAY(SELECT DISTINCT s FROM unnest(h.schools || p.schools) s ORDER BY s) FROM "
    "(SELECT m.sourced_id, array_agg(DISTINCT s.school) AS schools FROM staging.role m JOIN unnest(%(at)s::int[], "
    "%(orgs)s::text[]) s(school, org) ON s.org = m.org WHERE m.source = %(source)s GROUP BY m.sourced_id) p "
    "WHERE h.source = %(source)s AND h.hold = %(hold)s AND h.kind = 'role' AND p.sourced_id = h.sourced_id"
)


def _stream(staging: Staging, other: Session, query: str, values: dict[str, Any]) -> None:
    with (
        psycopg.ClientCursor(staging.session.raw).copy(query.encode(), values) as taken,
        other.raw.cursor().copy(f"COPY staging.held ({_COLUMNS}) FROM STDIN") as given,
    ):
        for chunk in taken:
            given.write(chunk)


# --- a part of it ----------------------------------------------------------------------------------


def take(session: Session, number: int, hold: str, part: Part) -> int:
    """Note that a part of a hold waits no longer; return of how many records. Those that now wait nowhere are `due`.

    What arrives takes along what it cannot come without; what cannot stay without what goes, goes with it later.
    """
    session.run('CREATE TEMP TABLE due (kind text, sourced_id text COLLATE "C", PRIMARY KEY (kind, sourced_id)) '
                "ON COMMIT DROP")  # fmt: skip
    here, touched = {"source": number, "hold": hold}, 0
    if part.whole:
        touched += session.run(f"INSERT INTO due SELECT kind, sourced_id FROM staging.held WHERE {_ROWS}", **here)
    if part.schools:
        (row,) = session.rows(_LESS, at=list(part.schools), **here)
        touched += row.n
    if part.rows:
        touched += session.run(
            f"INSERT INTO due SELECT kind, sourced_id FROM staging.held WHERE {_ROWS} AND (kind, sourced_id) IN "
            "(SELECT * FROM unnest(%(kinds)s::text[], %(ids)s::text[])) ON CONFLICT DO NOTHING",
            kinds=[kind for kind, _ in part.rows], ids=[id_ for _, id_ in part.rows], **here,
        )  # fmt: skip
    _take_along(session, number, hold)
    _take_rest(session, number, hold)
    return touched


_LESS = (
    "WITH less AS (UPDATE staging.held SET schools = ARRAY(SELECT s FROM unnest(schools) s WHERE s <> ALL(%(at)s::int[])) "
    f"WHERE {_ROWS} AND schools && %(at)s::int[] RETURNING kind, sourced_id, schools), "
    "now AS (INSERT INTO due SELECT kind, sourced_id FROM less WHERE schools = '{}' ON CONFLICT DO NOTHING) "
    "SELECT count(*) AS n FROM less"
)


def _take_along(session: Session, number: int, hold: str) -> None:
    """What arrives needs what it refers to, unless an older record of it stands. Until nothing is added.

    A guardian is not needed: where they do not show, they are not led to.
    """
    leads = [(kind.name, column, target) for kind in KINDS.values() for column, target in _leads(kind)]
    while sum(
        session.run(
            _ALONG.format(kind=kind, value=value, target=target, mirror=mirror(target)), source=number, hold=hold
        )
        for kind, value, target in leads
    ):
        pass


def _leads(kind: Kind) -> Iterator[tuple[str, str]]:
    """Yield, of each reference of a record that is held, the JSON list of ids it leads to, and their kind."""
    for column in kind.references:
        if column.refers_to != "user" or column.hard:
            value = f"h.content -> '{column.name}'"
            yield value if column.type == "text[]" else f"jsonb_build_array({value})", str(column.refers_to)
    if kind.name == "demographics":
        yield "jsonb_build_array(h.sourced_id)", "user"


_ALONG = (
    "INSERT INTO due SELECT DISTINCT '{target}', t.sourced_id FROM due d JOIN staging.held h ON h.source = %(source)s "
    "AND h.hold = %(hold)s AND h.kind = '{kind}' AND h.sourced_id = d.sourced_id AND h.what = 'in' CROSS JOIN LATERAL "
    "jsonb_array_elements_text(CASE WHEN jsonb_typeof({value}) = 'array' THEN {value} ELSE '[]' END) v(id) "
    "JOIN staging.held t ON t.source = %(source)s AND t.hold = %(hold)s AND t.kind = '{target}' AND t.what = 'in' "
    "AND t.sourced_id = v.id WHERE d.kind = '{kind}' AND NOT EXISTS (SELECT FROM {mirror} m WHERE m.source = %(source)s "
    "AND m.sourced_id = t.sourced_id) ON CONFLICT DO NOTHING"
)


def _take_rest(session: Session, number: int, hold: str) -> None:
    """What shows at no school goes with the last of what does."""
    session.run(
        f"INSERT INTO due SELECT kind, sourced_id FROM staging.held WHERE {_ROWS} AND NOT EXISTS (SELECT FROM "
        "staging.held o WHERE o.source = %(source)s AND o.hold = %(hold)s AND o.schools <> '{}' AND NOT EXISTS "
        "(SELECT FROM due d WHERE d.kind = o.kind AND d.sourced_id = o.sourced_id)) ON CONFLICT DO NOTHING",
        source=number, hold=hold,
    )  # fmt: skip


def stage_due(staging: Staging, hold: str) -> None:
    """Make what is due the difference of a delivery: `in_<kind>` and `gone_<kind>`; it waits no longer."""
    for kind in KINDS.values():
        name, columns = kind.name, quoted(c.name for c in kind.columns)
        due = (f"staging.held h JOIN due d USING (kind, sourced_id) WHERE h.source = %(source)s AND h.hold = %(hold)s "
               f"AND h.kind = '{name}' AND h.what = ")  # fmt: skip
        typed = ", ".join(f'"{c.name}" {c.type}' for c in kind.columns)
        staging.run(
            f"INSERT INTO in_{name} (line, sourced_id, hash, {columns}) SELECT line, sourced_id, hash, "
            f"{columns} FROM (SELECT h.line, h.sourced_id, h.hash, h.content FROM {due} 'in') h "
            f"CROSS JOIN LATERAL jsonb_to_record(h.content) r({typed})", hold=hold,
        )  # fmt: skip
        staging.run(f"INSERT INTO unmet_{name} SELECT sourced_id FROM in_{name}")
        staging.run(f"INSERT INTO gone_{name} SELECT h.sourced_id FROM {due[:-2]} <> 'in'", hold=hold)
        staging.run(  # what waits on is known of: what leads to it is not cut
            f"INSERT INTO bad_{name} SELECT sourced_id FROM staging.held h WHERE h.source = %(source)s AND h.hold = "
            f"%(hold)s AND h.kind = '{name}' AND h.what = 'in' AND NOT EXISTS (SELECT FROM in_{name} i "
            "WHERE i.sourced_id = h.sourced_id)",
            hold=hold,
        )
        staging.run(f"ANALYZE in_{name}")
    forget_due(staging.session, staging.source, hold)


def forget_due(session: Session, number: int, hold: str) -> None:
    """Keep back no longer what is due."""
    session.run(
        f"DELETE FROM staging.held h USING due d WHERE h.{_ROWS.replace(' AND ', ' AND h.')} "
        "AND d.kind = h.kind AND d.sourced_id = h.sourced_id",
        source=number, hold=hold,
    )  # fmt: skip
