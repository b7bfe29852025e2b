"""Deliveries that were handed in or found, from their arrival to the end of their run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gateway.store import tables
from gateway.store.tenant import Session

_HERE = "district = %(district)s AND source = %(source)s"


def add(session: Session, run: str, source: str, fingerprint: str, size: int, now: datetime, by: str) -> None:
    """A whole delivery lies in the spool and waits for its run."""
    session.insert(tables.arrival, run=run, source=source, fingerprint=fingerprint, size=size, state="waiting",
                   acted_by=by, received_at=now)  # fmt: skip


def find(session: Session, run: str) -> Any | None:
    return session.row("SELECT * FROM arrival WHERE district = %(district)s AND run = %(run)s", run=run)


def waiting(session: Session, source: str) -> Sequence[Any]:
    """Return those whose run has not begun."""
    return session.rows(
        f"SELECT * FROM arrival WHERE {_HERE} AND state = 'waiting' ORDER BY received_at", source=source
    )


def took_before(session: Session, source: str, fingerprint: str) -> bool:
    """Whether these very bytes came from the source before and were read to an end."""
    row = session.row(
        f"SELECT 1 FROM arrival WHERE {_HERE} AND fingerprint = %(f)s AND state IN ('waiting', 'running', 'over') LIMIT 1",
        source=source, f=fingerprint,
    )  # fmt: skip
    return row is not None


def begin(session: Session, run: str) -> Any | None:
    """Take an arrival whose run begins now, or begins again after a worker was lost; None when it is over."""
    return session.row(
        "UPDATE arrival SET state = 'running' WHERE district = %(district)s AND run = %(run)s "
        "AND state IN ('waiting', 'running') RETURNING *",
        run=run,
    )


def end(session: Session, run: str, state: str, now: datetime, code: str | None = None) -> None:
    """The run is over, or will never be: another delivery took its place."""
    session.run(
        "UPDATE arrival SET state = %(state)s, ended_at = %(now)s, code = %(code)s "
        "WHERE district = %(district)s AND run = %(run)s",
        run=run, state=state, now=now, code=code,
    )  # fmt: skip


# --- watched folders -------------------------------------------------------------------------------


def looked(session: Session, source: str, name: str, size: int, modified: datetime, now: datetime) -> Any:
    """Note how a file looks; return since when it has looked so, and the fingerprint it was taken with."""
    return session.rows(
        "INSERT INTO watched_file AS w (district, source, name, size, modified, seen_at) "
        "VALUES (%(district)s, %(source)s, %(name)s, %(size)s, %(modified)s, %(now)s) "
        "ON CONFLICT (district, source, name) DO UPDATE SET size = excluded.size, modified = excluded.modified, "
        "seen_at = CASE WHEN (w.size, w.modified) = (excluded.size, excluded.modified) AND w.seen_at <= excluded.seen_at "
        "THEN w.seen_at ELSE excluded.seen_at END, "
        "fingerprint = CASE WHEN (w.size, w.modified) = (excluded.size, excluded.modified) THEN w.fingerprint END "
        "RETURNING seen_at, fingerprint",
        source=source, name=name, size=size, modified=modified, now=now,
    )[0]  # fmt: skip


def took(session: Session, source: str, name: str, fingerprint: str) -> None:
    session.run(
        f"UPDATE watched_file SET fingerprint = %(f)s WHERE {_HERE} AND name = %(name)s",
        source=source, name=name, f=fingerprint,
    )  # fmt: skip


def gone(session: Session, source: str, there: Sequence[str]) -> None:
    """Forget the files of a folder that are not there any more."""
    session.run(f"DELETE FROM watched_file WHERE {_HERE} AND name <> ALL(%(there)s)", source=source, there=list(there))
