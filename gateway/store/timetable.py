"""When sources are run, when they are paused, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from gateway.store import tables
from gateway.store.tenant import Session

_HERE = "district = %(district)s AND source = %(source)s"
# Those of a district that are paused at a moment: a pause without an end lasts until somebody ends it.
_PAUSED = f"{_HERE} AND from_at <= %(now)s AND (until_at IS NULL OR until_at > %(now)s) AND ended_at IS NULL"


def begin(session: Session, source: str, minute: int, now: datetime, by: str, **more: Any) -> None:
    """Put a source into the timetable: every night, without holidays or peaks. When it is due is reckoned later."""
    defaults: dict[str, Any] = {
        "weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "holidays": [], "peaks": [], "terms": False,
        "expects": False, "looks": False,
    }  # fmt: skip
    session.insert(
        tables.sync_timetable, source=source, minute=minute, due_at=now, waited_from=now, attempt=0, changed_at=now,
        changed_by=by, **(defaults | more),
    )  # fmt: skip


def find(session: Session, source: str) -> Any | None:
    """Return a source's line of the timetable, with its district's zone."""
    return session.row(
        "SELECT t.*, d.zone FROM sync_timetable t JOIN district d USING (district) "
        "WHERE t.district = %(district)s AND t.source = %(source)s",
        source=source,
    )


def lock(session: Session, source: str) -> Any | None:
    """Return the same for who will change it; None while somebody else does."""
    held = session.row(f"SELECT 1 FROM sync_timetable WHERE {_HERE} FOR UPDATE SKIP LOCKED", source=source)
    return find(session, source) if held else None


def change(session: Session, source: str, now: datetime, by: str, said: dict[str, Any]) -> None:
    """Change what is said; when the source is due is reckoned anew."""
    named = "".join(f", {name} = %({name})s" for name in said)
    session.run(
        f"UPDATE sync_timetable SET set_at = NULL, changed_at = %(now)s, changed_by = %(by)s{named} WHERE {_HERE}",
        source=source, now=now, by=by, **said,
    )  # fmt: skip


def reckon_district(session: Session) -> None:
    """The district's time has changed: when its sources are due is reckoned anew."""
    session.run("UPDATE sync_timetable SET set_at = NULL WHERE district = %(district)s")


def reckon(session: Session, source: str, due_at: datetime, now: datetime, said: str | None) -> None:
    """Write down when a source is looked at again, and the word that says why nothing was done."""
    session.run(
        f"UPDATE sync_timetable SET due_at = %(due)s, set_at = %(now)s, said = %(said)s WHERE {_HERE}",
        source=source, due=due_at, now=now, said=said,
    )  # fmt: skip


def waits_from(session: Session, source: str, now: datetime) -> None:
    session.run(f"UPDATE sync_timetable SET waited_from = %(now)s WHERE {_HERE}", source=source, now=now)


def attempt(session: Session, source: str, number: int) -> None:
    session.run(f"UPDATE sync_timetable SET attempt = %(number)s WHERE {_HERE}", source=source, number=number)


def came(session: Session, source: str, now: datetime) -> None:
    """A delivery of the source has come."""
    session.run(f"UPDATE sync_timetable SET came_at = %(now)s WHERE {_HERE}", source=source, now=now)


def came_since(session: Session, source: str, since: datetime) -> bool:
    """Whether a delivery has come since then: found, or brought by somebody."""
    return bool(
        session.row(
            f"SELECT 1 FROM sync_timetable WHERE {_HERE} AND came_at >= %(since)s UNION ALL "
            f"SELECT 1 FROM sync_run WHERE {_HERE} AND started_at >= %(since)s AND state <> 'planned' UNION ALL "
            f"SELECT 1 FROM arrival WHERE {_HERE} AND received_at >= %(since)s LIMIT 1",
            source=source, since=since,
        )
    )  # fmt: skip


def due(session: Session, now: datetime) -> Sequence[Any]:
    """Return (district, source) of every district that is due, was never reckoned, or was by a clock that ran ahead;
    for a session that sees the timetable and nothing else of them."""
    return session.rows(
        "SELECT district, source FROM sync_timetable WHERE due_at <= %(now)s OR set_at IS NULL OR set_at > %(now)s "
        "ORDER BY district, source",
        now=now,
    )


def looking(session: Session) -> Sequence[Any]:
    """Return (district, source) of every folder that is watched."""
    return session.rows("SELECT district, source FROM sync_timetable WHERE looks ORDER BY district, source")


def terms(session: Session, number: int) -> list[tuple[date, date]]:
    """Return the dates of the terms that a source's roster names; of its school years where it names no term."""
    rows = session.rows(
        "SELECT type, start_date, end_date FROM staging.session WHERE source = %(n)s AND start_date <= end_date",
        n=number,
    )
    terms_ = [(r.start_date, r.end_date) for r in rows if r.type in ("term", "semester")]
    return terms_ or [(r.start_date, r.end_date) for r in rows if r.type == "schoolYear"]


# --- pauses ----------------------------------------------------------------------------------------


def pause(
    session: Session, ref: str, source: str, from_at: datetime, until_at: datetime | None, reason: str, now: datetime,
    by: str,
) -> None:  # fmt: skip
    session.insert(tables.sync_pause, pause=ref, source=source, from_at=from_at, until_at=until_at, reason=reason,
                   created_at=now, created_by=by)  # fmt: skip


def paused(session: Session, source: str, now: datetime) -> Any | None:
    """Return the pause that a source is in, the one that ends last."""
    return session.row(
        f"SELECT * FROM sync_pause WHERE {_PAUSED} ORDER BY until_at DESC NULLS FIRST LIMIT 1", source=source, now=now
    )


def pauses(session: Session, source: str) -> Sequence[Any]:
    """Return the pauses of a source, the latest first."""
    return session.rows(f"SELECT * FROM sync_pause WHERE {_HERE} ORDER BY from_at DESC, pause LIMIT 30", source=source)


def resume(session: Session, source: str, now: datetime, by: str) -> int:
    """End the pause that a source is in; return how many there were."""
    return session.run(
        f"UPDATE sync_pause SET ended_at = %(now)s, ended_by = %(by)s WHERE {_PAUSED}", source=source, now=now, by=by
    )
