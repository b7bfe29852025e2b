"""Activities, batches of results, and the outbox: one row per grade on its way to one column."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store import tables
from gateway.store.tenant import Session

_HERE = "district = %(district)s AND school = %(school)s"


# --- activities ------------------------------------------------------------------------------------


def put_activity(session: Session, grant: str, your_id: str, activity: str, now: datetime, **values: Any) -> str:
    """Write an activity by the application's own id; return our reference, which stays."""
    (row,) = session.rows(
        "INSERT INTO activity (district, school, access_grant, your_id, activity, class_id, title, points, scale, "
        "due_on, updated_at) VALUES (%(district)s, %(school)s, %(grant)s, %(your_id)s, %(activity)s, %(class_id)s, "
        "%(title)s, %(points)s, %(scale)s, %(due_on)s, %(now)s) ON CONFLICT (district, school, access_grant, your_id) "
        "DO UPDATE SET class_id = excluded.class_id, title = excluded.title, points = excluded.points, "
        "scale = excluded.scale, due_on = excluded.due_on, updated_at = excluded.updated_at RETURNING activity",
        grant=grant, your_id=your_id, activity=activity, now=now, **{**values, "scale": Jsonb(values["scale"])},
    )  # fmt: skip
    return str(row.activity)


def activity(session: Session, grant: str, your_id: str) -> Any | None:
    return session.row(
        f"SELECT * FROM activity WHERE {_HERE} AND access_grant = %(grant)s AND your_id = %(your_id)s",
        grant=grant, your_id=your_id,
    )  # fmt: skip


def activities(session: Session, grant: str, class_id: str) -> Sequence[Any]:
    """Return the activities of a class, by title."""
    return session.rows(
        f"SELECT * FROM activity WHERE {_HERE} AND access_grant = %(grant)s AND class_id = %(class)s "
        "ORDER BY title, your_id LIMIT 500",
        grant=grant, **{"class": class_id},
    )  # fmt: skip


def activity_by_ref(session: Session, ref: str) -> Any | None:
    return session.row(f"SELECT * FROM activity WHERE {_HERE} AND activity = %(ref)s", ref=ref)


def column(session: Session, activity_ref: str, deployment: str, context_id: str) -> str | None:
    """Return the address of the column made for an activity in a course."""
    row = session.row(
        f"SELECT url FROM line_item WHERE {_HERE} AND activity = %(a)s AND deployment = %(d)s AND context_id = %(c)s",
        a=activity_ref, d=deployment, c=context_id,
    )  # fmt: skip
    return str(row.url) if row else None


def keep_column(session: Session, activity_ref: str, deployment: str, context_id: str, url: str, now: datetime) -> None:
    session.insert(
        tables.line_item, ignore=True, activity=activity_ref, deployment=deployment, context_id=context_id, url=url,
        created_at=now,
    )  # fmt: skip


def link_of_column(session: Session, activity_ref: str, deployment: str, context_id: str) -> str:
    """Return the LMS's link to an activity in a course, as the launches said under which its waiting results came: ""
    where they came from none that is the activity's own, or from several."""
    rows = session.rows(
        "SELECT DISTINCT l.facts ->> 'resource_link' AS link FROM outbox o JOIN activity a ON a.district = o.district "
        "AND a.school = o.school AND a.activity = o.activity JOIN result_batch b ON b.district = o.district "
        "AND b.school = o.school AND b.batch = o.batch JOIN launch l ON l.district = b.district AND l.school = b.school "
        "AND l.launch = b.launch WHERE o.district = %(district)s AND o.school = %(school)s AND o.activity = %(a)s "
        "AND o.deployment = %(d)s AND o.context_id = %(c)s AND l.deployment = o.deployment "
        "AND l.context_id = o.context_id AND l.facts ->> 'activity' = a.your_id "
        "AND l.facts ->> 'resource_link' IS NOT NULL LIMIT 2",
        a=activity_ref, d=deployment, c=context_id,
    )  # fmt: skip
    return str(rows[0].link) if len(rows) == 1 else ""


# --- batches ---------------------------------------------------------------------------------------


def keep_batch(session: Session, **values: Any) -> None:
    session.insert(tables.result_batch, **values)


def keep_results(session: Session, batch: str, results: Sequence[dict[str, Any]], now: datetime) -> None:
    for one in results:
        session.insert(tables.result, batch=batch, changed_at=now, **one)


def batch(session: Session, ref: str) -> Any | None:
    """Return a batch of the session's schools, with its activity."""
    return session.row(
        "SELECT b.*, a.your_id, a.title, a.points, a.class_id FROM result_batch b JOIN activity a ON "
        "a.district = b.district AND a.school = b.school AND a.activity = b.activity WHERE b.district = %(district)s "
        "AND b.school = ANY(%(schools)s) AND b.batch = %(ref)s",
        ref=ref,
    )


def results(session: Session, batch_ref: str) -> Sequence[Any]:
    return session.rows(f"SELECT * FROM result WHERE {_HERE} AND batch = %(batch)s ORDER BY ref", batch=batch_ref)


def set_result(session: Session, batch_ref: str, ref: str, state: str, reason: str | None, now: datetime) -> None:
    session.run(
        f"UPDATE result SET state = %(state)s, reason = %(reason)s, changed_at = %(now)s WHERE {_HERE} "
        "AND batch = %(batch)s AND ref = %(ref)s",
        state=state, reason=reason, now=now, batch=batch_ref, ref=ref,
    )  # fmt: skip


def direct(session: Session, batch_ref: str, by: str) -> bool:
    """Mark a previewed batch as directed by a teacher, once."""
    changed = session.run(
        f"UPDATE result_batch SET state = 'queued', directed_by = %(by)s WHERE {_HERE} AND batch = %(batch)s "
        "AND state = 'preview'",
        by=by, batch=batch_ref,
    )  # fmt: skip
    return changed == 1


def finish(session: Session, batch_ref: str) -> None:
    """Mark a batch as done when nothing of it waits any more."""
    session.run(
        f"UPDATE result_batch b SET state = 'done' WHERE {_HERE} AND batch = %(batch)s AND state = 'queued' "
        "AND NOT EXISTS (SELECT FROM result r WHERE r.district = b.district AND r.school = b.school "
        "AND r.batch = b.batch AND r.state = 'waiting')",
        batch=batch_ref,
    )


# --- the outbox ------------------------------------------------------------------------------------


def last_in_lane(session: Session, lane: str) -> Any | None:
    """Return the newest grade of a lane, whatever became of it."""
    return session.row(
        f"SELECT * FROM outbox WHERE {_HERE} AND lane = %(lane)s ORDER BY fixed_at DESC LIMIT 1", lane=lane
    )


def last_delivered(session: Session, lane: str) -> Any | None:
    """Return the newest grade of a lane that the LMS holds as far as we know."""
    return session.row(
        f"SELECT * FROM outbox WHERE {_HERE} AND lane = %(lane)s AND state = 'acknowledged' "
        "ORDER BY fixed_at DESC LIMIT 1",
        lane=lane,
    )


def lock_lane(session: Session, lane: str) -> None:
    """Keep a second writer out of a lane until the transaction ends."""
    session.run("SELECT pg_advisory_xact_lock(hashtextextended(%(lane)s, 7))", lane=f"{session.place}:{lane}")


def enqueue(session: Session, **values: Any) -> None:
    session.insert(tables.outbox, **values)


def supersede(session: Session, lane: str, now: datetime) -> list[Any]:
    """Set aside grades of a lane that have not left, or perhaps left; a newer one, with a later time, replaces them."""
    return list(
        session.rows(
            f"UPDATE outbox SET state = 'superseded', changed_at = %(now)s WHERE {_HERE} AND lane = %(lane)s "
            "AND state IN ('ready', 'retry_wait', 'unknown') RETURNING delivery, batch, ref",
            lane=lane, now=now,
        )
    )  # fmt: skip


def due(
    session: Session, activity_ref: str, deployment: str, context_id: str, now: datetime, limit: int
) -> Sequence[Any]:
    """Return the grades of a column that may go now, the oldest of each lane; none of a lane with one on its way."""
    return session.rows(
        "SELECT * FROM (SELECT DISTINCT ON (o.lane) o.* FROM outbox o WHERE o.district = %(district)s "
        "AND o.school = %(school)s AND o.activity = %(activity)s AND o.deployment = %(deployment)s "
        "AND o.context_id = %(context)s AND o.state IN ('ready', 'retry_wait', 'sending', 'unknown') "
        "ORDER BY o.lane, o.fixed_at) t WHERE state IN ('ready', 'retry_wait') AND due_at <= %(now)s "
        "ORDER BY fixed_at, lane LIMIT %(limit)s",
        activity=activity_ref, deployment=deployment, context=context_id, now=now, limit=limit,
    )  # fmt: skip


def waiting(session: Session, activity_ref: str, deployment: str, context_id: str) -> Sequence[Any]:
    """Return every grade of a column that has not left, also behind one on its way."""
    return session.rows(
        f"SELECT * FROM outbox WHERE {_HERE} AND activity = %(activity)s AND deployment = %(deployment)s "
        "AND context_id = %(context)s AND state IN ('ready', 'retry_wait') ORDER BY fixed_at, lane",
        activity=activity_ref, deployment=deployment, context=context_id,
    )  # fmt: skip


def claim(session: Session, delivery: str, now: datetime, lease: datetime) -> Any | None:
    """Take a waiting grade for one attempt; None when somebody else has it."""
    return session.row(
        f"UPDATE outbox SET state = 'sending', attempt = attempt + 1, lease_until = %(lease)s, changed_at = %(now)s "
        f"WHERE {_HERE} AND delivery = %(delivery)s AND state IN ('ready', 'retry_wait') RETURNING *",
        delivery=delivery, now=now, lease=lease,
    )  # fmt: skip


def settle(
    session: Session, delivery: str, attempt: int, state: str, reason: str | None, due_at: datetime, now: datetime,
    was: Sequence[str],
) -> bool:  # fmt: skip
    """Write what became of a grade; False when another attempt has it by now (the fence)."""
    changed = session.run(
        f"UPDATE outbox SET state = %(state)s, reason = %(reason)s, due_at = %(due)s, changed_at = %(now)s, "
        f"lease_until = NULL WHERE {_HERE} AND delivery = %(delivery)s AND attempt = %(attempt)s "
        "AND state = ANY(%(was)s)",
        delivery=delivery, attempt=attempt, state=state, reason=reason, due=due_at, now=now, was=list(was),
    )  # fmt: skip
    return changed == 1


def keep_payload(session: Session, delivery: str, payload: bytes, transfer: str) -> None:
    session.run(
        f"UPDATE outbox SET payload = %(payload)s, transfer = %(transfer)s WHERE {_HERE} AND delivery = %(delivery)s",
        delivery=delivery, payload=payload, transfer=transfer,
    )  # fmt: skip


def doubtful(session: Session, activity_ref: str, deployment: str, context_id: str, now: datetime) -> Sequence[Any]:
    """Return grades of a column whose fate is unknown: marked so, or left behind past their lease."""
    session.run(
        f"UPDATE outbox SET state = 'unknown', changed_at = %(now)s WHERE {_HERE} AND activity = %(activity)s "
        "AND deployment = %(deployment)s AND context_id = %(context)s AND state = 'sending' AND lease_until < %(now)s",
        activity=activity_ref, deployment=deployment, context=context_id, now=now,
    )  # fmt: skip
    return session.rows(
        f"SELECT * FROM outbox WHERE {_HERE} AND activity = %(activity)s AND deployment = %(deployment)s "
        "AND context_id = %(context)s AND state = 'unknown' ORDER BY lane, fixed_at",
        activity=activity_ref, deployment=deployment, context=context_id,
    )  # fmt: skip


def postpone(session: Session, delivery: str, due_at: datetime) -> None:
    """Say when a waiting or doubtful grade is looked at again."""
    session.run(f"UPDATE outbox SET due_at = %(due)s WHERE {_HERE} AND delivery = %(d)s", due=due_at, d=delivery)


def just_delivered(
    session: Session, activity_ref: str, deployment: str, context_id: str, since: datetime
) -> Sequence[Any]:
    """Return the newest delivered grade of each lane of a column, of those settled since a moment."""
    return session.rows(
        "SELECT DISTINCT ON (lane) * FROM outbox WHERE district = %(district)s AND school = %(school)s "
        "AND activity = %(activity)s AND deployment = %(deployment)s AND context_id = %(context)s "
        "AND state = 'acknowledged' AND changed_at >= %(since)s ORDER BY lane, fixed_at DESC",
        activity=activity_ref, deployment=deployment, context=context_id, since=since,
    )  # fmt: skip


def still_open(
    session: Session, activity_ref: str, deployment: str, context_id: str, *, readable: bool
) -> datetime | None:
    """Return when the next grade of a column is due, or None. Doubtful ones count where the column can be read."""
    row = session.row(
        f"SELECT min(due_at) AS due FROM outbox WHERE {_HERE} AND activity = %(activity)s "
        "AND deployment = %(deployment)s AND context_id = %(context)s "
        "AND (state IN ('ready', 'retry_wait', 'sending') OR (state = 'unknown' AND %(readable)s))",
        activity=activity_ref, deployment=deployment, context=context_id, readable=readable,
    )  # fmt: skip
    return row.due if row else None


# --- idempotency -----------------------------------------------------------------------------------

# Longer than any launch lives, and a batch is handed in under a live one: what is forgotten cannot be done twice.
KEPT_FOR_REPETITION = timedelta(days=1)


def answered(session: Session, grant: str, key: str) -> Any | None:
    return session.row(
        "SELECT body_hash, status, answer FROM idempotency WHERE district = %(district)s AND access_grant = %(grant)s "
        "AND key = %(key)s",
        grant=grant, key=key,
    )  # fmt: skip


def keep_answer(
    session: Session, grant: str, key: str, body_hash: bytes, status: int, answer: dict[str, Any], now: datetime
) -> bool:
    """Keep an answer for its key; False when another request with the key was faster."""
    return session.insert(
        tables.idempotency, ignore=True, access_grant=grant, key=key, body_hash=body_hash, status=status, answer=answer,
        created_at=now,
    )  # fmt: skip


def forget_answers(session: Session, now: datetime) -> int:
    """Remove the answers that are kept no longer, of all districts; return how many."""
    return session.run("DELETE FROM idempotency WHERE created_at < %(then)s", then=now - KEPT_FOR_REPETITION)
