"""Who was in a course of an LMS when it was read last: ids, and where it tells what changed since."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from gateway.store.tenant import Session

SPEAKS_FOR = timedelta(days=1)  # how long a reading is built upon, and believed where the LMS does not answer


def last(session: Session, deployment: str, context_id: str) -> Any | None:
    """Return the last reading of a course at the session's school."""
    return session.row(
        "SELECT source, differences, version, subs, people, whole_at, read_at FROM course_reading WHERE district = "
        "%(district)s AND school = %(school)s AND deployment = %(deployment)s AND context_id = %(context)s",
        deployment=deployment, context=context_id,
    )  # fmt: skip


def keep(
    session: Session, deployment: str, context_id: str, source: str, differences: str, version: int,
    people: Mapping[str, str], now: datetime,
) -> None:  # fmt: skip
    """Keep a course as it was read whole, {LMS user: our id}, unless it is linked here no more."""
    session.run(
        "INSERT INTO course_reading (district, school, deployment, context_id, source, differences, version, subs, "
        "people, whole_at, read_at) SELECT district, school, deployment, context_id, %(source)s, %(differences)s, "
        "%(version)s, %(subs)s::text[], %(people)s::text[], %(now)s, %(now)s FROM context_link WHERE district = "
        "%(district)s AND school = %(school)s AND deployment = %(deployment)s AND context_id = %(context)s "
        "ON CONFLICT (district, school, deployment, context_id) DO UPDATE SET source = excluded.source, differences = "
        "excluded.differences, version = excluded.version, subs = excluded.subs, people = excluded.people, whole_at = "
        "excluded.whole_at, read_at = excluded.read_at",
        deployment=deployment, context=context_id, source=source, differences=differences, version=version,
        subs=list(people), people=list(people.values()), now=now,
    )  # fmt: skip


def go_on(
    session: Session, deployment: str, context_id: str, before: Any, differences: str, people: Mapping[str, str],
    now: datetime,
) -> None:  # fmt: skip
    """Keep a course as it is by what changed since `before`; unless that is no longer what is kept of it: somebody was
    quicker, or a person in it was erased."""
    session.run(
        "UPDATE course_reading SET differences = %(differences)s, subs = %(subs)s::text[], people = %(people)s::text[], "
        "read_at = %(now)s WHERE district = %(district)s AND school = %(school)s AND deployment = %(deployment)s "
        "AND context_id = %(context)s AND differences = %(before)s AND whole_at = %(whole_at)s",
        deployment=deployment, context=context_id, differences=differences, subs=list(people),
        people=list(people.values()), now=now, before=before.differences, whole_at=before.whole_at,
    )  # fmt: skip
