"""The life of a run that brings a delivery in: how far it is, how it ended, and which one counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store import tables
from gateway.store.tenant import Session

# Runs after which the schools hold what the source said: of a hold, those of which a part was published.
ACCEPTED = "(state IN ('published', 'unchanged') OR (state = 'held' AND (report ->> 'published')::boolean))"
_THIS = "district = %(district)s AND run = %(run)s"


def begin(session: Session, run: str, source: str, now: datetime, by: str) -> None:
    """Record that a run is under way."""
    session.insert(tables.sync_run, run=run, source=source, state="running", started_at=now, report={}, acted_by=by,
                   step="open", rows_done=0, stepped_at=now, beat_at=now)  # fmt: skip


def beat(
    session: Session, run: str, step: str, rows: int, total: int | None, delivery: str | None, now: datetime
) -> None:
    """Record how far a run has come: its step, and the rows it has read of as many as there seem to be."""
    session.run(
        "UPDATE sync_run SET stepped_at = CASE WHEN step = %(step)s THEN stepped_at ELSE %(now)s END, step = %(step)s, "
        "rows_done = %(rows)s, rows_total = %(total)s, beat_at = %(now)s, delivery_hash = %(delivery)s "
        f"WHERE {_THIS} AND state = 'running'",
        run=run, step=step, rows=rows, total=total, now=now, delivery=delivery,
    )  # fmt: skip


def bury(session: Session, source: str, run: str, now: datetime) -> Sequence[Any]:
    """Record that other runs of a source, whose lock the caller has, were killed; return them, the last one first."""
    rows = session.rows(
        "UPDATE sync_run SET state = 'killed', finished_at = %(now)s WHERE district = %(district)s "
        "AND source = %(source)s AND run <> %(run)s AND state = 'running' RETURNING *",
        source=source, run=run, now=now,
    )  # fmt: skip
    return sorted(rows, key=lambda row: (row.started_at, row.run), reverse=True)


def end(session: Session, run: str, state: str, now: datetime, delivery: str | None, report: dict[str, Any]) -> None:
    """Record how a run ended."""
    session.run(
        "UPDATE sync_run SET state = %(state)s, finished_at = %(now)s, delivery_hash = %(delivery)s, "
        f"report = %(report)s, step = NULL WHERE {_THIS}",
        run=run, state=state, now=now, delivery=delivery, report=Jsonb(report),
    )  # fmt: skip


def last_accepted(session: Session, source: str) -> Any | None:
    """Return the last run of a source after which the schools held what it said, or what an undo made of it."""
    return session.row(
        f"SELECT * FROM sync_run WHERE district = %(district)s AND source = %(source)s AND {ACCEPTED} "
        "ORDER BY finished_at DESC, started_at DESC, run DESC LIMIT 1",
        source=source,
    )  # fmt: skip


def taken(session: Session, source: str, delivery: str | None) -> list[datetime]:
    """Return when a delivery was taken, in order, since another one was: a release or an undo brings none."""
    rows = session.rows(
        f"SELECT started_at FROM sync_run WHERE district = %(district)s AND source = %(source)s AND {ACCEPTED} "
        "AND delivery_hash = %(delivery)s AND started_at > coalesce((SELECT max(started_at) FROM sync_run WHERE district = "
        f"%(district)s AND source = %(source)s AND {ACCEPTED} AND delivery_hash <> %(delivery)s), '-infinity') "
        "ORDER BY started_at",
        source=source, delivery=delivery,
    )  # fmt: skip
    return [row.started_at for row in rows]


def under_way(session: Session, source: str) -> Any | None:
    """Return the run of a source that is under way: its step, the rows it has read, when it began and last said so, and
    `rows_expected`: as many as the last accepted delivery had. None where no run is."""
    return session.row(
        "SELECT r.*, (SELECT coalesce(sum((f ->> 'rows')::bigint), 0)::bigint FROM (SELECT report FROM sync_run "
        f"WHERE district = %(district)s AND source = %(source)s AND {ACCEPTED} ORDER BY finished_at DESC LIMIT 1) l, "
        "jsonb_array_elements(l.report -> 'files') f) AS rows_expected FROM sync_run r WHERE district = %(district)s "
        "AND source = %(source)s AND state = 'running' ORDER BY started_at DESC LIMIT 1",
        source=source,
    )


def usual(session: Session, source: str) -> dict[str, float]:
    """Return how many seconds each step took in the last run that read a delivery and went through."""
    row = session.row(
        "SELECT report -> 'seconds' AS seconds FROM sync_run WHERE district = %(district)s AND source = %(source)s "
        "AND state IN ('published', 'unchanged') AND report -> 'seconds' <> '{}' ORDER BY finished_at DESC LIMIT 1",
        source=source,
    )
    return dict(row.seconds) if row and row.seconds else {}
