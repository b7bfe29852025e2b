"""Where a run stands, for whoever looks from another process: written beside the run's own transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gateway.store.tenant import Session

_HERE = "district = %(district)s AND source = %(source)s"


def note(session: Session, source: str, run: str, step: str, done: int, total: int | None, now: datetime) -> None:
    """Write down where a run stands; the first word of a run takes the place of what another left behind."""
    session.run(
        "INSERT INTO sync_progress AS p (district, source, run, step, done, total, began_at, stepped_at, updated_at) "
        "VALUES (%(district)s, %(source)s, %(run)s, %(step)s, %(done)s, %(total)s, %(now)s, %(now)s, %(now)s) "
        "ON CONFLICT (district, source) DO UPDATE SET run = excluded.run, step = excluded.step, done = excluded.done, "
        "total = excluded.total, updated_at = excluded.updated_at, "
        "began_at = CASE WHEN p.run = excluded.run THEN p.began_at ELSE excluded.began_at END, "
        "stepped_at = CASE WHEN (p.run, p.step) = (excluded.run, excluded.step) THEN p.stepped_at "
        "ELSE excluded.stepped_at END",
        source=source, run=run, step=step, done=done, total=total, now=now,
    )  # fmt: skip


def end(session: Session, source: str, run: str) -> None:
    """The run is over."""
    session.run(f"DELETE FROM sync_progress WHERE {_HERE} AND run = %(run)s", source=source, run=run)


def find(session: Session, source: str) -> Any | None:
    """Return where a source's run stands, or stood when it was last heard of."""
    return session.row(f"SELECT * FROM sync_progress WHERE {_HERE}", source=source)


def usual(session: Session, source: str) -> dict[str, float]:
    """Return how many seconds each step took in the last run that went through."""
    row = session.row(
        "SELECT report -> 'seconds' AS seconds FROM sync_run WHERE district = %(district)s AND source = %(source)s "
        "AND state IN ('published', 'unchanged') ORDER BY finished_at DESC LIMIT 1",
        source=source,
    )
    return dict(row.seconds) if row and row.seconds else {}
