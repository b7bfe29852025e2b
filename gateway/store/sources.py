"""Sources of rosters, their schools, and the runs that brought deliveries in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from gateway.policy.collection import Collection, collection
from gateway.store import tables
from gateway.store.facts import agreement_of
from gateway.store.letting_in import Seat
from gateway.store.tenant import Session
from mappings.oneroster.records import KINDS
from mappings.oneroster.repairs import Repairs, repairs_of
from mappings.oneroster.rows import Fault

KEPT_FAULTS = 20_000


def add(session: Session, source: str, name: str, kind: str, now: datetime, by: str, **more: Any) -> None:
    """Record a source of the session's district."""
    number = session.rows("SELECT nextval('source_number') AS n")[0].n
    session.insert(tables.source, source=source, number=number, name=name, kind=kind, status="active", created_at=now,
                   created_by=by, **more)  # fmt: skip


def find(session: Session, name: str) -> Any | None:
    """Return a source by reference or name."""
    return session.row(
        "SELECT * FROM source WHERE district = %(district)s AND (source = %(name)s OR name = %(name)s)", name=name
    )


def listing(session: Session) -> Sequence[Any]:
    return session.rows("SELECT * FROM source WHERE district = %(district)s ORDER BY name")


def number(session: Session, source: str) -> int:
    """Return the number under which is kept what a source of the session's district says."""
    said = "SELECT number FROM source WHERE district = %(district)s AND source = %(source)s"
    return int(session.rows(said, source=source)[0].number)


def note_capabilities(session: Session, source: str, found: dict[str, Any], now: datetime) -> None:
    """Keep what a source was found to offer."""
    session.run(
        "UPDATE source SET capabilities = %(found)s, probed_at = %(now)s "
        "WHERE district = %(district)s AND source = %(source)s",
        source=source, found=Jsonb(found), now=now,
    )  # fmt: skip


def note_pull(session: Session, source: str, cursor: datetime | None, full_at: datetime | None) -> None:
    """Keep how far a source was read: the latest change that came, and, after a full pull, when that was."""
    session.run(
        "UPDATE source SET cursor = greatest(cursor, %(cursor)s), full_at = coalesce(%(full_at)s, full_at) "
        "WHERE district = %(district)s AND source = %(source)s",
        source=source, cursor=cursor, full_at=full_at,
    )  # fmt: skip


def note_drift(session: Session, source: str, drift: int) -> None:
    """Keep how many records a full pull changed right after the changes alone had been brought in."""
    session.run(
        "UPDATE source SET drift = %(drift)s WHERE district = %(district)s AND source = %(source)s",
        source=source, drift=drift,
    )  # fmt: skip


def repairs(session: Session, source: str) -> Repairs:
    """Return the repairs that a source of the session's district has turned on."""
    said = "SELECT repairs FROM source WHERE district = %(district)s AND source = %(source)s"
    return repairs_of(session.rows(said, source=source)[0].repairs or ())


def keep_repairs(session: Session, source: str, repairs: Sequence[str]) -> None:
    """Record which repairs a source of the session's district has turned on."""
    session.run(
        "UPDATE source SET repairs = %(repairs)s WHERE district = %(district)s AND source = %(source)s",
        source=source, repairs=list(repairs),
    )  # fmt: skip


def set_guards(session: Session, source: str, guards: dict[str, Any]) -> None:
    """Record how much of its schools a source may change by itself, and who said so."""
    session.run("UPDATE source SET guards = %(guards)s WHERE district = %(district)s AND source = %(source)s",
                source=source, guards=Jsonb(guards))  # fmt: skip


def guards(session: Session, source: str) -> dict[str, Any]:
    """Return what was recorded of how much a source may change by itself; nothing where the defaults hold."""
    row = session.row("SELECT guards FROM source WHERE district = %(district)s AND source = %(source)s", source=source)
    return dict(row.guards or {}) if row else {}


def seats(session: Session, source: str) -> list[Seat]:
    """Return the onboarded schools this source delivers."""
    rows = session.rows(
        "SELECT school, ref, name, org_id FROM school WHERE district = %(district)s AND source = %(source)s ORDER BY school",
        source=source,
    )
    return [Seat(row.school, row.ref, row.name, row.org_id) for row in rows]


def covered(session: Session, now: datetime) -> dict[int, Collection]:
    """Return what may be brought in at each school whose agreement in force lets anything in."""
    rows = session.rows(
        "SELECT school, jsonb_agg(to_jsonb(a)) AS agreements, (SELECT g.policy FROM source_policy g WHERE g.district = "
        "%(district)s ORDER BY g.version DESC LIMIT 1) AS policy FROM (SELECT DISTINCT ON (school, agreement) * FROM "
        "agreement WHERE district = %(district)s ORDER BY school, agreement, version DESC) a GROUP BY school"
    )
    said = {
        row.school: collection([agreement_of(a, str(row.school)) for a in row.agreements], row.policy, now)
        for row in rows
    }
    return {school: what for school, what in said.items() if what}


def lock(session: Session, source: str) -> bool:
    """Take the source for this transaction; False when another run holds it."""
    row = session.row("SELECT pg_try_advisory_xact_lock(hashtext(%(key)s)) AS got", key=f"source:{source}")
    return bool(row and row.got)


def keep_faults(session: Session, run: str, faults: Sequence[Fault]) -> None:
    """Record the faults of a run, the first twenty thousand of them."""
    kept = list(faults[:KEPT_FAULTS])
    session.run(
        "INSERT INTO sync_fault (district, run, number, file, line, column_name, code, effect, shape, hint, "
        "sourced_id) SELECT %(district)s, %(run)s, * FROM unnest(%(n)s::int[], %(file)s::text[], %(line)s::int[], "
        "%(col)s::text[], %(code)s::text[], %(effect)s::text[], %(shape)s::text[], %(hint)s::text[], "
        "%(sid)s::text[])",
        run=run, n=list(range(len(kept))), file=[f.file for f in kept], line=[f.line for f in kept],
        col=[f.column for f in kept], code=[f.code for f in kept], effect=[f.effect for f in kept],
        shape=[f.shape for f in kept], hint=[f.hint for f in kept], sid=[f.sourced_id for f in kept],
    )  # fmt: skip


def run(session: Session, ref: str) -> Any | None:
    """Return a run of the session's district."""
    return session.row("SELECT * FROM sync_run WHERE district = %(district)s AND run = %(run)s", run=ref)


def faults(session: Session, ref: str, limit: int) -> Sequence[Any]:
    """Return the faults of a run that were kept, as they were found."""
    return session.rows(
        "SELECT * FROM sync_fault WHERE district = %(district)s AND run = %(run)s ORDER BY number LIMIT %(limit)s",
        run=ref, limit=limit,
    )  # fmt: skip


def people_of(session: Session, source: str, kind: str, ids: Sequence[str]) -> set[str]:
    """Return whose the records of a kind are that have these ids, as far as they were accepted once; nobody's, nobody."""
    column = KINDS[kind].person
    if column is None or column == "sourced_id":
        return set(ids) if column else set()
    rows = session.rows(
        f'SELECT DISTINCT "{column}" AS person FROM {tables.MIRRORS[kind]} WHERE source = %(number)s '
        "AND sourced_id = ANY(%(ids)s)",
        number=number(session, source), ids=list(ids),
    )  # fmt: skip
    return {row.person for row in rows}


def on_rosters(session: Session, source: str, people: Iterable[str]) -> dict[int, int]:
    """Return of how many of these people each school of a source keeps something in its roster, as it is or was."""
    rows = session.rows(
        "SELECT r.school, count(DISTINCT r.sourced_id) AS n FROM roster_user r JOIN school s USING (district, school) "
        "WHERE r.district = %(district)s AND s.source = %(source)s AND r.sourced_id = ANY(%(people)s) GROUP BY 1 ORDER BY 1",
        source=source, people=sorted(people),
    )  # fmt: skip
    return {row.school: row.n for row in rows}


def history(session: Session, source: str, limit: int = 30) -> Sequence[Any]:
    return session.rows(
        "SELECT * FROM sync_run WHERE district = %(district)s AND source = %(source)s "
        "ORDER BY started_at DESC, run DESC LIMIT %(limit)s",
        source=source, limit=limit,
    )  # fmt: skip


def linked_courses(session: Session) -> Sequence[Any]:
    """Return the courses of LMSs that are linked to classes of the session's schools."""
    return session.rows(
        "SELECT school, context_id, class_id FROM context_link WHERE district = %(district)s "
        "AND school = ANY(%(schools)s) ORDER BY school, deployment, context_id"
    )


def readers(session: Session) -> Sequence[Any]:
    """Return the active grants that may read rosters of the session's schools, with their vendor's name."""
    return session.rows(
        "SELECT DISTINCT s.school, s.access_grant, v.name AS vendor FROM access_grant_school s JOIN access_grant g "
        "ON g.district = s.district AND g.access_grant = s.access_grant AND g.status = 'active' JOIN vendor v "
        "ON v.district = g.district AND v.vendor = g.vendor JOIN agreement a ON a.district = s.district "
        "AND a.school = s.school AND a.agreement = g.agreement AND a.body -> 'operations' ? 'roster.read' "
        "WHERE s.district = %(district)s AND s.school = ANY(%(schools)s) ORDER BY 3, 2, 1"
    )
