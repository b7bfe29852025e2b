"""Sources of rosters, their schools, and the runs that brought deliveries in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from gateway.policy.collection import Collection, collection
from gateway.store import tables
from gateway.store.facts import agreement_of
from gateway.store.publish import Seat
from gateway.store.tenant import Session
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


def last_accepted(session: Session, source: str) -> dict[str, Any]:
    """Return what the last accepted run of the source reported; of one that was never accepted, nothing."""
    row = session.row(
        "SELECT report FROM sync_run WHERE district = %(district)s AND source = %(source)s "
        "AND state IN ('published', 'unchanged') ORDER BY finished_at DESC, run DESC LIMIT 1",
        source=source,
    )
    return dict(row.report) if row else {}


def lock(session: Session, source: str) -> bool:
    """Take the source for this transaction; False when another run holds it."""
    row = session.row("SELECT pg_try_advisory_xact_lock(hashtext(%(key)s)) AS got", key=f"source:{source}")
    return bool(row and row.got)


def keep_run(
    session: Session, run: str, source: str, state: str, started: datetime, finished: datetime,
    delivery: str | None, report: dict[str, Any], by: str,
) -> None:  # fmt: skip
    """Record how a run ended."""
    session.insert(
        tables.sync_run, run=run, source=source, state=state, started_at=started, finished_at=finished,
        delivery_hash=delivery, report=report, acted_by=by,
    )  # fmt: skip


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


def held(session: Session, run: str) -> Any | None:
    """Return a held run."""
    return session.row(
        "SELECT * FROM sync_run WHERE district = %(district)s AND run = %(run)s AND state = 'held'", run=run
    )


def ask_release(session: Session, run: str, by: str) -> bool:
    """Keep the first word of two for releasing a hold that no person ran into; False when there is one."""
    changed = session.run(
        "UPDATE sync_run SET asked_by = %(by)s WHERE district = %(district)s AND run = %(run)s AND state = 'held' "
        "AND asked_by IS NULL",
        run=run, by=by,
    )  # fmt: skip
    return changed == 1


def release(session: Session, run: str, by: str) -> bool:
    """Release a hold, once; the next run of that very delivery may pass the guards."""
    changed = session.run(
        "UPDATE sync_run SET state = 'released', released_by = %(by)s WHERE district = %(district)s "
        "AND run = %(run)s AND state = 'held'",
        run=run, by=by,
    )  # fmt: skip
    return changed == 1


def take_release(session: Session, source: str, delivery: str) -> bool:
    """Use up a release of this very delivery, if there is one."""
    changed = session.run(
        "UPDATE sync_run SET state = 'used' WHERE district = %(district)s AND source = %(source)s "
        "AND delivery_hash = %(delivery)s AND state = 'released'",
        source=source, delivery=delivery,
    )  # fmt: skip
    return changed > 0


def history(session: Session, source: str, limit: int = 30) -> Sequence[Any]:
    return session.rows(
        "SELECT * FROM sync_run WHERE district = %(district)s AND source = %(source)s "
        "ORDER BY started_at DESC LIMIT %(limit)s",
        source=source, limit=limit,
    )  # fmt: skip
