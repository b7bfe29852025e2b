"""Everything a school holds about one person, removed: all versions, payloads, facts, and the key of their handles.

Where a person stands is listed here, table by table; a test of the catalog fails for a column that could name one and
is not. Other schools' rows are not looked at: what a person is elsewhere shows nowhere in what happens here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gateway.store.tables import MIRRORS
from gateway.store.tenant import Session

_HERE = "district = %(district)s AND school = %(school)s"
_MINE = f"SELECT {{}} FROM {{}} WHERE {_HERE} AND person_id = %(person)s"
_SUBS = f"SELECT {{}} FROM lms_identity WHERE {_HERE} AND person_id = %(person)s"
_VISITOR = _SUBS.format("registration || ' ' || sub")
# Their own launches, those about them, and those of a visitor who turned out to be them.
_OWN = (
    "person_id = %(person)s OR facts ->> 'about' = %(person)s OR (person_id IS NULL AND (facts ->> 'registration', sub) "
    f"IN ({_SUBS.format('registration, sub')}))"
)
_LAUNCHES, _BATCHES = f"SELECT launch FROM launch WHERE {_HERE} AND ({_OWN})", _MINE.format("batch", "result")
_ENROLLMENTS = f'SELECT sourced_id FROM roster_enrollment WHERE {_HERE} AND "user" = %(person)s'
_OTHERS = f'SELECT sourced_id FROM roster_enrollment WHERE {_HERE} AND until IS NULL AND "user" <> %(person)s'

# In this order: what is found through another row goes before that row.
HELD: dict[str, str] = {
    "doorkey": f"(opens = 'family' AND ref = %(person)s) OR (opens IN ('launch', 'picker') AND ref IN ({_LAUNCHES})) "
    f"OR (opens = 'teacher_page' AND holder IN ({_LAUNCHES}))",
    "launch": _OWN,
    "lti1p1_user": "person_id = %(person)s",
    "outbox": "person_id = %(person)s",
    "result": "person_id = %(person)s",
    "transcript": "person_id = %(person)s",
    "consent": "person_id = %(person)s",
    "opt_out": "person_id = %(person)s",
    "alias": f"(kind IN ('user', 'demographics', 'pseudonym') AND sourced_id = %(person)s) "
    f"OR (kind = 'visitor' AND sourced_id IN ({_VISITOR})) "
    f"OR (kind = 'enrollment' AND sourced_id IN ({_ENROLLMENTS}) AND sourced_id NOT IN ({_OTHERS}))",
    "lms_identity": "person_id = %(person)s",
    "course_reading": "%(person)s = ANY(people)",  # whole: who else is in the course, the LMS is asked again
    "roster_enrollment": '"user" = %(person)s',
    "roster_demographics": "sourced_id = %(person)s",
    "roster_user": "sourced_id = %(person)s",
}
# What leads from the log to a person: it goes when nobody writes there any more who has read of them.
LINKS = ("decision", "subject_key")
# Columns that name a person and are emptied, not removed with their row; and why no row is needed of others.
EMPTIED = {
    "rights_request": "person_id", "transfer": "payload_key", "roster_user": "agents", "result_batch": "directed_by",
}  # fmt: skip


def keeps(session: Session, person: str) -> bool:
    """Whether the session's school keeps the person's record now."""
    found = session.row(
        f"SELECT 1 FROM roster_user WHERE {_HERE} AND sourced_id = %(person)s AND until IS NULL", person=person
    )
    return found is not None


def gone_since(session: Session, person: str) -> datetime | None:
    """Return since when the session's school no longer keeps the person's record; None where it never did."""
    row = session.row(
        "SELECT max(v.published_at) AS at FROM roster_user u JOIN roster_version v ON v.district = u.district "
        "AND v.school = u.school AND v.version = u.until WHERE u.district = %(district)s AND u.school = %(school)s "
        "AND u.sourced_id = %(person)s",
        person=person,
    )
    return row.at if row else None


def knows(session: Session, person: str) -> bool:
    """Whether the session's school holds anything of the person, in whatever version."""
    clauses = {**HELD, **dict.fromkeys(LINKS, "person_id = %(person)s")}
    return any(
        session.row(f"SELECT 1 FROM {table} WHERE {_HERE} AND ({clause}) LIMIT 1", person=person) is not None
        for table, clause in clauses.items()
    )


def lone_transfers(session: Session) -> Sequence[Any]:
    """Return the transfers of the school that one person alone was in, with their handle."""
    return session.rows(f"SELECT transfer, handles FROM transfer WHERE {_HERE} AND length(handles) = 16")


def erase(session: Session, person: str) -> int:
    """Remove every record of a person at the session's school; return how many there were. Of answers to an application
    that were kept for repetition, what was said of the person's results goes too."""
    session.run(
        "UPDATE idempotency SET answer = jsonb_set(answer, '{results}', (SELECT coalesce(jsonb_agg(e), '[]') FROM "
        "jsonb_array_elements(answer -> 'results') e WHERE NOT EXISTS (SELECT FROM result r WHERE "
        "r.district = %(district)s AND r.school = %(school)s AND r.person_id = %(person)s "
        "AND r.batch = answer ->> 'id' AND r.ref = e ->> 'ref'))) WHERE district = %(district)s "
        f"AND answer ->> 'id' IN ({_BATCHES})", person=person,
    )  # fmt: skip
    removed = sum(
        session.run(f"DELETE FROM {table} WHERE {_HERE} AND ({clause})", person=person)
        for table, clause in HELD.items()
    )
    session.run(
        f"UPDATE roster_user SET agents = array_remove(agents, %(person)s) WHERE {_HERE} "
        "AND agents @> ARRAY[%(person)s]",
        person=person,
    )
    session.run(f"UPDATE result_batch SET directed_by = NULL WHERE {_HERE} AND directed_by = %(person)s", person=person)
    return removed


def unlink(session: Session, person: str, lone: Sequence[str]) -> int:
    """Remove what leads from the log to a person; return how many rows. `lone` are the transfers that nobody else was
    in: the key of what was sent goes, so that nobody can try out what it was."""
    session.run(f"UPDATE rights_request SET person_id = NULL WHERE {_HERE} AND person_id = %(person)s", person=person)
    session.run(
        f"UPDATE transfer SET payload_key = '' WHERE {_HERE} AND transfer = ANY(%(lone)s)", lone=list(lone)
    )  # fmt: skip
    return sum(session.run(f"DELETE FROM {link} WHERE {_HERE} AND person_id = %(person)s", person=person)
               for link in LINKS)  # fmt: skip


def forget_faults(session: Session, person: str) -> None:
    """Remove what earlier deliveries got wrong about a person or lacked, and what waits to come in about them, unless a
    source of the district still delivers them."""
    delivered = " UNION ALL ".join(
        f"SELECT 1 FROM {MIRRORS[kind]} m JOIN source s ON s.number = m.source WHERE s.district = %(district)s "
        f"AND m.sourced_id = %(person)s"
        for kind in ("user", "demographics")
    )  # fmt: skip
    session.run(
        "DELETE FROM sync_fault WHERE district = %(district)s AND sourced_id = %(person)s "
        f"AND file IN ('users.csv', 'demographics.csv') AND NOT EXISTS ({delivered})",
        person=person,
    )
    session.run(
        f"DELETE FROM sync_absence WHERE district = %(district)s AND person_id = %(person)s AND NOT EXISTS ({delivered})",
        person=person,
    )
    session.run(
        "DELETE FROM staging.held h USING source s WHERE s.district = %(district)s AND h.source = s.number "
        f"AND (h.sourced_id = %(person)s OR h.content ->> 'user' = %(person)s) AND NOT EXISTS ({delivered})",
        person=person,
    )
