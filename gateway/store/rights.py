"""Families' requests, the tasks they make, and transcripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.store import tables
from gateway.store.tenant import Session

_HERE = "district = %(district)s AND school = %(school)s"


def answers(session: Session, person_id: str) -> Sequence[Any]:
    """Return the latest version of each of a family's answers."""
    return session.rows(
        f"SELECT * FROM (SELECT DISTINCT ON (consent) * FROM consent WHERE {_HERE} ORDER BY consent, version DESC) c "
        "WHERE person_id = %(person)s",
        person=person_id,
    )


def opt_outs(session: Session, person_id: str) -> Sequence[Any]:
    """Return the latest version of each of a person's opt-outs."""
    return session.rows(
        f"SELECT * FROM (SELECT DISTINCT ON (opt_out) * FROM opt_out WHERE {_HERE} ORDER BY opt_out, version DESC) o "
        "WHERE person_id = %(person)s",
        person=person_id,
    )


def with_answers(session: Session, people: Sequence[str]) -> frozenset[str]:
    """Return which of these people have answered or opted out, or somebody did for them."""
    rows = session.rows(
        f"SELECT person_id FROM consent WHERE {_HERE} AND person_id = ANY(%(ids)s) UNION "
        f"SELECT person_id FROM opt_out WHERE {_HERE} AND person_id = ANY(%(ids)s)",
        ids=list(people),
    )
    return frozenset(row.person_id for row in rows)


def copy_refusals(session: Session, old: str, new: str, ref: Callable[[str], str], now: datetime, by: str) -> list[str]:
    """Give a person every refusal and opt-out that stands for another, unless they have it; return the references."""
    copied = []
    for table, found, states in (
        (tables.consent, answers, ("refused", "withdrawn")),
        (tables.opt_out, opt_outs, ("active",)),
    ):
        theirs = [_said(table, row) for row in found(session, new)]
        for row in found(session, old):
            if row.status in states and _said(table, row) not in theirs:
                copied.append(ref("co" if table is tables.consent else "oo"))
                values = {c.name: getattr(row, c.name) for c in table.c if c.name not in ("district", "school")}
                values |= {
                    table.name: copied[-1],
                    "version": 1,
                    "person_id": new,
                    "recorded_at": now,
                    "recorded_by": by,
                }
                session.insert(table, **values)
    return copied


# What each kind of answer says, but of whom and by which paper: that could lead back to a pupil who was erased.
_REFUSED: tuple[tuple[sa.Table, str, Callable[..., Sequence[Any]], tuple[str, ...], tuple[str, ...]], ...] = (
    (tables.consent, "co", answers, ("refused", "withdrawn"), ("scope", "agreement", "status", "grantor")),
    (tables.opt_out, "oo", opt_outs, ("active",), ("category", "status")),
)


def refusals(session: Session, person: str, now: datetime) -> list[dict[str, Any]]:
    """Return what stands refused for a person, without anything that leads to them."""
    return [
        {"kind": table.name, "until": row.valid_until and row.valid_until.isoformat()}
        | {column: getattr(row, column) for column in columns}
        for table, _, found, states, columns in _REFUSED
        for row in found(session, person)
        if row.status in states and (row.valid_until is None or now < row.valid_until)
    ]


def keep_refusals(session: Session, mark: bytes, refused: Sequence[dict[str, Any]], now: datetime) -> None:
    session.insert(tables.kept_refusal, mark=mark, refusals=list(refused), kept_at=now)


def keeps_refusals(session: Session) -> bool:
    """Whether the session's school keeps refusals of anybody who was erased."""
    return session.row(f"SELECT 1 FROM kept_refusal WHERE {_HERE} LIMIT 1") is not None


def came_with(session: Session, version: int) -> list[str]:
    """Return the people whom a version of the session's school has and the one before it had not, or not so."""
    rows = session.rows(f"SELECT sourced_id FROM roster_user WHERE {_HERE} AND since = %(version)s", version=version)
    return [row.sourced_id for row in rows]


def take_refusals(session: Session, marks: Sequence[bytes]) -> Sequence[Any]:
    """Return what is kept under these marks, and keep it there no longer."""
    return session.rows(
        f"DELETE FROM kept_refusal WHERE {_HERE} AND mark = ANY(%(marks)s) RETURNING mark, refusals", marks=list(marks)
    )


def refuse_again(
    session: Session, person: str, refused: Sequence[dict[str, Any]], ref: Callable[[str], str], now: datetime, by: str
) -> list[str]:
    """Put on file for a person what was refused, from now on; return the references."""
    kinds = {table.name: (table, prefix, columns) for table, prefix, _, _, columns in _REFUSED}
    given = []
    for one in refused:
        table, prefix, columns = kinds[one["kind"]]
        given.append(ref(prefix))
        values: dict[str, Any] = {column: one[column] for column in columns}
        values |= {
            table.name: given[-1], "version": 1, "person_id": person, "valid_from": now,
            "valid_until": one["until"] and datetime.fromisoformat(one["until"]),
            "body": {"number": None, "method": "kept over an erasure"}, "recorded_at": now, "recorded_by": by,
        }  # fmt: skip
        if table is tables.consent:
            values["evidenced"] = False
        session.insert(table, **values)
    return given


def _said(table: sa.Table, row: Any) -> tuple[Any, ...]:
    """What an answer says, whoever it is of."""
    bookkeeping = {"district", "school", table.name, "version", "person_id", "recorded_at", "recorded_by"}
    return tuple(getattr(row, c.name) for c in table.c if c.name not in bookkeeping)


def open_request(session: Session, **values: Any) -> None:
    session.insert(tables.rights_request, **values)


def requests(session: Session) -> Sequence[Any]:
    return session.rows(f"SELECT * FROM rights_request WHERE {_HERE} ORDER BY opened_at")


def request(session: Session, ref: str) -> Any | None:
    """Return a request, held until the transaction ends: nobody carries it out at the same time."""
    return session.row(f"SELECT * FROM rights_request WHERE {_HERE} AND request = %(ref)s FOR UPDATE", ref=ref)


def deferred(session: Session) -> Sequence[Any]:
    """Return the deletions that wait until the school no longer keeps the record."""
    return session.rows(f"SELECT * FROM rights_request WHERE {_HERE} AND kind = 'delete' AND state = 'deferred'")


def set_state(session: Session, ref: str, state: str) -> None:
    session.run(
        f"UPDATE rights_request SET state = %(state)s WHERE {_HERE} AND request = %(ref)s", state=state, ref=ref
    )


def open_task(session: Session, **values: Any) -> None:
    session.insert(tables.deletion_task, **values)


def tasks(session: Session) -> Sequence[Any]:
    """Return deletion tasks with the vendor's name."""
    return session.rows(
        "SELECT k.*, v.name AS vendor_name FROM deletion_task k JOIN vendor v ON v.district = k.district "
        "AND v.vendor = k.vendor WHERE k.district = %(district)s AND k.school = %(school)s ORDER BY k.due_at, k.task"
    )


def keep_transcript(
    session: Session, transcript: str, person_id: str, document: bytes, grant: str, now: datetime
) -> int:
    """Keep the next version of a transcript; return its number."""
    (row,) = session.rows(
        f"SELECT coalesce(max(version), 0) + 1 AS next FROM transcript WHERE {_HERE} AND transcript = %(t)s",
        t=transcript,
    )
    session.insert(
        tables.transcript, transcript=transcript, version=row.next, person_id=person_id, document=document,
        created_at=now, access_grant=grant,
    )  # fmt: skip
    return int(row.next)


def transcript(session: Session, ref: str) -> Any | None:
    """Return the latest version of a transcript of the session's schools."""
    return session.row(
        "SELECT * FROM transcript WHERE district = %(district)s AND school = ANY(%(schools)s) "
        "AND transcript = %(ref)s ORDER BY version DESC LIMIT 1",
        ref=ref,
    )
