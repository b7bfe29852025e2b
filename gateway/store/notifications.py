"""What the people of a district are told of its sources, and where it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from gateway.store import tables
from gateway.store.tenant import Session

_D = "district = %(district)s"


def add(session: Session, ref: str, source: str, cause: str, day: date, now: datetime, **more: Any) -> bool:
    """Tell of something; False when the district was told of it that day already. It is sent every way there is."""
    new = session.insert(
        tables.notification, ignore=True, notification=ref, source=source, cause=cause, day=day, made_at=now, **more
    )
    if new:
        session.run(
            "INSERT INTO notification_send (district, notification, way, state, tries, due_at) "
            f"SELECT district, %(ref)s, way, 'waiting', 0, %(now)s FROM notification_way WHERE {_D}",
            ref=ref, now=now,
        )  # fmt: skip
    return new


def listing(session: Session, *, unseen: bool, limit: int) -> Sequence[Any]:
    """Return notifications, the latest first, with how their sending stands."""
    return session.rows(
        "SELECT n.*, s.name AS source_name, (SELECT array_agg(x.way || ' ' || x.state ORDER BY x.way) "
        "FROM notification_send x WHERE x.district = n.district AND x.notification = n.notification) AS sends "
        "FROM notification n LEFT JOIN source s USING (district, source) "
        f"WHERE n.{_D} AND (NOT %(unseen)s OR n.seen_at IS NULL) ORDER BY n.made_at DESC, n.notification LIMIT %(limit)s",
        unseen=unseen, limit=limit,
    )  # fmt: skip


def see(session: Session, refs: Sequence[str], now: datetime, by: str) -> int:
    """Note that somebody has seen these, or all where none is named; return how many were new to everybody."""
    return session.run(
        f"UPDATE notification SET seen_at = %(now)s, seen_by = %(by)s WHERE {_D} AND seen_at IS NULL "
        "AND (%(refs)s::text[] = '{}' OR notification = ANY(%(refs)s))",
        refs=list(refs), now=now, by=by,
    )  # fmt: skip


def known(session: Session, refs: Sequence[str]) -> set[str]:
    rows = session.rows(
        f"SELECT notification FROM notification WHERE {_D} AND notification = ANY(%(refs)s)", refs=list(refs)
    )
    return {row.notification for row in rows}


# --- where it is sent ------------------------------------------------------------------------------


def send_to(session: Session, way: str, address: str, secret: bytes | None, now: datetime, by: str) -> None:
    """Send what is told from now on to this address too; one address each way."""
    stop(session, way)
    session.insert(tables.notification_way, way=way, address=address, secret=secret, changed_at=now, changed_by=by)


def stop(session: Session, way: str) -> int:
    return session.run(f"DELETE FROM notification_way WHERE {_D} AND way = %(way)s", way=way)


def ways(session: Session) -> Sequence[Any]:
    return session.rows(f"SELECT * FROM notification_way WHERE {_D} ORDER BY way")


def due(session: Session, now: datetime) -> list[int]:
    """Return the districts with something to send; for a session that sees no more of it than that."""
    rows = session.rows(
        "SELECT DISTINCT district FROM notification_send WHERE state = 'waiting' AND due_at <= %(now)s", now=now
    )
    return [row.district for row in rows]


def take(session: Session, now: datetime, until: datetime) -> Any | None:
    """Take one that is due, with its address; nobody else takes it before `until`. None when none is due."""
    return session.row(
        "WITH one AS (SELECT x.notification, x.way FROM notification_send x WHERE x.district = %(district)s "
        "AND x.state = 'waiting' AND x.due_at <= %(now)s ORDER BY x.due_at LIMIT 1 FOR UPDATE SKIP LOCKED), "
        "taken AS (UPDATE notification_send x SET tries = tries + 1, due_at = %(until)s FROM one "
        "WHERE x.district = %(district)s AND x.notification = one.notification AND x.way = one.way "
        "RETURNING x.notification, x.way, x.tries) "
        "SELECT t.way, t.tries, n.*, s.name AS source_name, d.ref AS district_ref, w.address, w.secret FROM taken t "
        "JOIN notification n ON n.district = %(district)s AND n.notification = t.notification "
        "JOIN district d ON d.district = n.district "
        "LEFT JOIN source s ON s.district = n.district AND s.source = n.source "
        "LEFT JOIN notification_way w ON w.district = n.district AND w.way = t.way",
        now=now, until=until,
    )  # fmt: skip


def settle(
    session: Session, ref: str, way: str, state: str, due_at: datetime, sent_at: datetime | None, code: str | None
) -> None:
    """Write down what became of a sending."""
    session.run(
        "UPDATE notification_send SET state = %(state)s, due_at = %(due)s, sent_at = %(sent)s, code = %(code)s "
        f"WHERE {_D} AND notification = %(ref)s AND way = %(way)s",
        ref=ref, way=way, state=state, due=due_at, sent=sent_at, code=code,
    )  # fmt: skip
