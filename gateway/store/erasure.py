"""Everything a school holds about one person, removed: all versions, payloads, facts, and the key of their handles.

Where a person stands is listed here, table by table; a test of the catalog fails for a column that could name one and
is not. Other schools' rows are not looked at: what a person is elsewhere shows nowhere in what happens here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.store.tables import MIRRORS
from gateway.store.tenant import Session

_HERE = "district = %(district)s AND school = %(school)s"
_MINE = f"SELECT {{}} FROM {{}} WHERE {_HERE} AND person_id = %(person)s"
_LAUNCHES, _BATCHES = _MINE.format("launch", "launch"), _MINE.format("batch", "result")
_ENROLLMENTS = f'SELECT sourced_id FROM roster_enrollment WHERE {_HERE} AND "user" = %(person)s'

# In this order: what is found through another row goes before that row.
HELD: dict[str, str] = {
    "doorkey": f"(opens = 'family' AND ref = %(person)s) OR (opens = 'launch' AND ref IN ({_LAUNCHES})) "
    f"OR (opens = 'teacher_page' AND holder IN ({_LAUNCHES}))",
    "launch": "person_id = %(person)s",
    "lms_identity": "person_id = %(person)s",
    "outbox": "person_id = %(person)s",
    "result": "person_id = %(person)s",
    "transcript": "person_id = %(person)s",
    "consent": "person_id = %(person)s",
    "opt_out": "person_id = %(person)s",
    "decision": "person_id = %(person)s",
    "alias": f"(kind <> 'enrollment' AND sourced_id = %(person)s) "
    f"OR (kind = 'enrollment' AND sourced_id IN ({_ENROLLMENTS}))",
    "roster_enrollment": '"user" = %(person)s',
    "roster_demographics": "sourced_id = %(person)s",
    "roster_user": "sourced_id = %(person)s",
    "subject_key": "person_id = %(person)s",
}
# Columns that name a person and are emptied, not removed with their row; and why no row is needed of others.
EMPTIED = {"rights_request": "person_id", "transfer": "payload_key", "roster_user": "agents"}


def keeps(session: Session, person: str) -> bool:
    """Whether the session's school keeps the person's record now."""
    found = session.row(
        f"SELECT 1 FROM roster_user WHERE {_HERE} AND sourced_id = %(person)s AND until IS NULL", person=person
    )
    return found is not None


def knows(session: Session, person: str) -> bool:
    """Whether the session's school holds anything of the person, in whatever version."""
    return any(
        session.row(f"SELECT 1 FROM {table} WHERE {_HERE} AND ({clause}) LIMIT 1", person=person) is not None
        for table, clause in HELD.items()
    )


def lone_transfers(session: Session) -> Sequence[Any]:
    """Return the transfers of the school that one person alone was in, with their handle."""
    return session.rows(f"SELECT transfer, handles FROM transfer WHERE {_HERE} AND length(handles) = 16")


def erase(session: Session, person: str, lone: Sequence[str]) -> dict[str, int]:
    """Remove everything about a person at the session's school; return how many rows, by table.

    `lone` are the transfers that nobody else was in: the key of what was sent goes, so that nobody can try out what it
    was. Answers to an application that were kept for repetition go with the results they were about.
    """
    session.run(
        "DELETE FROM idempotency WHERE district = %(district)s AND answer ->> 'id' IN "
        f"({_BATCHES})", person=person,
    )  # fmt: skip
    removed = {
        table: session.run(f"DELETE FROM {table} WHERE {_HERE} AND ({clause})", person=person)
        for table, clause in HELD.items()
    }
    session.run(
        f"UPDATE roster_user SET agents = array_remove(agents, %(person)s) WHERE {_HERE} "
        "AND agents @> ARRAY[%(person)s]",
        person=person,
    )
    session.run(f"UPDATE rights_request SET person_id = NULL WHERE {_HERE} AND person_id = %(person)s", person=person)
    session.run(
        f"UPDATE transfer SET payload_key = '' WHERE {_HERE} AND transfer = ANY(%(lone)s)", lone=list(lone)
    )  # fmt: skip
    return removed


def forget_faults(session: Session, person: str) -> None:
    """Remove what earlier deliveries got wrong about a person, unless a source of the district still delivers them."""
    delivered = " UNION ALL ".join(
        f"SELECT 1 FROM {MIRRORS[kind]} m JOIN source s ON s.number = m.source WHERE s.district = %(district)s "
        f"AND m.sourced_id = %(person)s"
        for kind in ("user", "demographics")
    )  # fmt: skip
    session.run(
        f"DELETE FROM sync_fault WHERE district = %(district)s AND sourced_id = %(person)s AND NOT EXISTS ({delivered})",
        person=person,
    )
