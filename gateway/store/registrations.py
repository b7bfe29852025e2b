"""LMS registrations, deployments, course links, launches, and the keys that open one thing once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store import tables
from gateway.store.tenant import Place, Session

_ARRIVAL = """
SELECT r.status AS registration_status, r.vendor, d.deployment, d.district, d.status AS deployment_status,
    (SELECT array_agg(s.school) FROM deployment_school s WHERE s.district = d.district
        AND s.deployment = d.deployment) AS schools,
    (SELECT jsonb_agg(jsonb_build_object('school', l.school, 'class_id', l.class_id)) FROM context_link l
        WHERE l.district = d.district AND l.deployment = d.deployment AND l.context_id = %(context)s) AS links
FROM registration r LEFT JOIN deployment d
    ON d.registration = r.registration AND d.deployment_id = %(deployment_id)s
WHERE r.registration = %(registration)s
"""


def by_issuer(session: Session, issuer: str, client_id: str | None) -> Sequence[Any]:
    """Return the registrations of an issuer, narrowed by client id where one is given."""
    return session.rows(
        "SELECT * FROM registration WHERE issuer = %(issuer)s AND (%(client_id)s::text IS NULL "
        "OR client_id = %(client_id)s) ORDER BY registration LIMIT 3",
        issuer=issuer, client_id=client_id,
    )  # fmt: skip


def by_ref(session: Session, registration: str) -> Any | None:
    return session.row("SELECT * FROM registration WHERE registration = %(r)s", r=registration)


def arrival(session: Session, registration: str, deployment_id: str, context_id: str) -> Any | None:
    """Return where a launch comes in: registration and deployment with their state, schools and course links."""
    return session.row(_ARRIVAL, registration=registration, deployment_id=deployment_id, context=context_id)


def consume_nonce(session: Session, nonce_hash: bytes, expires_at: datetime) -> bool:
    """Use up a nonce; False when it was used before. Durable with the caller's transaction."""
    return session.insert(tables.launch_nonce, ignore=True, nonce_hash=nonce_hash, expires_at=expires_at)


def forget_nonces(session: Session, now: datetime) -> int:
    """Remove nonces whose tokens can no longer be valid."""
    return session.run("DELETE FROM launch_nonce WHERE expires_at < %(now)s", now=now)


# --- platform keys ---------------------------------------------------------------------------------


def keep_key_set(session: Session, registration: str, key_set: dict[str, Any], now: datetime) -> None:
    """Keep the last good key set of a platform."""
    session.run(
        "INSERT INTO platform_keys (registration, key_set, fetched_at) VALUES (%(r)s, %(k)s, %(now)s) "
        "ON CONFLICT (registration) DO UPDATE SET key_set = excluded.key_set, fetched_at = excluded.fetched_at",
        r=registration, k=Jsonb(key_set), now=now,
    )  # fmt: skip


def key_set(session: Session, registration: str) -> Any | None:
    return session.row("SELECT key_set, fetched_at FROM platform_keys WHERE registration = %(r)s", r=registration)


# --- courses ---------------------------------------------------------------------------------------


def link_context(session: Session, deployment: str, context_id: str, class_id: str, now: datetime, by: str) -> None:
    """Link a course to a class of the session's school; linking again moves the link."""
    session.run(
        "INSERT INTO context_link (district, school, deployment, context_id, class_id, services, linked_at, linked_by) "
        "VALUES (%(district)s, %(school)s, %(deployment)s, %(context)s, %(class)s, '{}', %(now)s, %(by)s) "
        "ON CONFLICT (district, school, deployment, context_id) DO UPDATE SET class_id = excluded.class_id, "
        "linked_at = excluded.linked_at, linked_by = excluded.linked_by",
        deployment=deployment, context=context_id, now=now, by=by, **{"class": class_id},
    )  # fmt: skip


def keep_services(session: Session, deployment: str, context_id: str, services: dict[str, Any]) -> None:
    """Remember the service addresses a verified launch named for its course."""
    session.run(
        "UPDATE context_link SET services = services || %(services)s WHERE district = %(district)s "
        "AND school = %(school)s AND deployment = %(deployment)s AND context_id = %(context)s "
        "AND NOT services @> %(services)s",
        deployment=deployment, context=context_id, services=Jsonb(services),
    )  # fmt: skip


def course_of_class(session: Session, class_id: str) -> Sequence[Any]:
    """Return the LMS courses linked to a class, with their registration."""
    return session.rows(
        "SELECT l.deployment, l.context_id, l.services, d.registration, d.deployment_id, d.agreement, d.status, r.status AS "
        "registration_status, r.vendor, r.product FROM context_link l JOIN deployment d ON d.district = l.district "
        "AND d.deployment = l.deployment JOIN registration r ON r.registration = d.registration "
        "WHERE l.district = %(district)s AND l.school = %(school)s AND l.class_id = %(class)s "
        "ORDER BY l.linked_at, l.context_id",
        **{"class": class_id},
    )


def course(session: Session, deployment: str, context_id: str) -> Any | None:
    """Return one linked course with its registration."""
    return session.row(
        "SELECT l.class_id, l.services, d.registration, d.deployment_id, d.agreement, r.vendor, r.status AS registration_status "
        "FROM context_link l "
        "JOIN deployment d ON d.district = l.district AND d.deployment = l.deployment "
        "JOIN registration r ON r.registration = d.registration WHERE l.district = %(district)s "
        "AND l.school = %(school)s AND l.deployment = %(deployment)s AND l.context_id = %(context)s",
        deployment=deployment, context=context_id,
    )  # fmt: skip


# --- people in an LMS ------------------------------------------------------------------------------


def know(session: Session, registration: str, people: dict[str, str], evidence: str, now: datetime) -> None:
    """Remember which roster person an LMS user is, {sub: our id}, and on what evidence."""
    session.run(
        "INSERT INTO lms_identity (district, school, registration, sub, person_id, evidence, seen_at) "
        "SELECT %(district)s, %(school)s, %(registration)s, s, p, %(evidence)s, %(now)s "
        "FROM unnest(%(subs)s::text[], %(ids)s::text[]) AS t(s, p) "
        "ON CONFLICT (district, school, registration, sub) DO UPDATE SET person_id = excluded.person_id, "
        "evidence = excluded.evidence, seen_at = excluded.seen_at "
        "WHERE lms_identity.person_id <> excluded.person_id OR lms_identity.evidence <> excluded.evidence",
        registration=registration, subs=list(people), ids=list(people.values()), evidence=evidence, now=now,
    )  # fmt: skip


def person_of(session: Session, registration: str, sub: str) -> str | None:
    """Return the roster person behind an LMS user."""
    row = session.row(
        "SELECT person_id FROM lms_identity WHERE district = %(district)s AND school = %(school)s "
        "AND registration = %(registration)s AND sub = %(sub)s",
        registration=registration, sub=sub,
    )  # fmt: skip
    return str(row.person_id) if row else None


def subs_of(session: Session, registration: str, people: list[str]) -> dict[str, str]:
    """Return {our id: LMS user} for those of these people the LMS has told us of."""
    rows = session.rows(
        "SELECT person_id, sub FROM lms_identity WHERE district = %(district)s AND school = %(school)s "
        "AND registration = %(registration)s AND person_id = ANY(%(people)s) ORDER BY seen_at",
        registration=registration, people=people,
    )  # fmt: skip
    return {row.person_id: row.sub for row in rows}


# --- launches --------------------------------------------------------------------------------------


def keep_launch(session: Session, **values: Any) -> None:
    """Record a launch that passed the gate."""
    session.insert(tables.launch, **values)


def launch(session: Session, ref: str, now: datetime) -> Any | None:
    """Return a launch of the session's schools that is still alive."""
    return session.row(
        "SELECT * FROM launch WHERE district = %(district)s AND school = ANY(%(schools)s) AND launch = %(ref)s "
        "AND expires_at > %(now)s",
        ref=ref, now=now,
    )  # fmt: skip


# --- keys that open one thing ----------------------------------------------------------------------


def cut_key(session: Session, key_hash: bytes, opens: str, ref: str, holder: str, expires_at: datetime) -> None:
    """Keep the hash of a key to one thing at the session's school."""
    session.insert(tables.doorkey, key_hash=key_hash, opens=opens, ref=ref, holder=holder, expires_at=expires_at)


def try_key(session: Session, key_hash: bytes, opens: str, now: datetime) -> Any | None:
    """Return what a key opens (district, school, ref, holder), or None."""
    return session.row(
        "SELECT district, school, ref, holder, expires_at FROM doorkey WHERE key_hash = %(key)s "
        "AND opens = %(opens)s AND expires_at > %(now)s",
        key=key_hash, opens=opens, now=now,
    )  # fmt: skip


def use_key(session: Session, key_hash: bytes, opens: str, holder: str, now: datetime) -> Any | None:
    """Use up a key of this holder and return what it opens; a second use finds nothing."""
    return session.row(
        "DELETE FROM doorkey WHERE key_hash = %(key)s AND opens = %(opens)s AND holder = %(holder)s "
        "AND expires_at > %(now)s RETURNING district, school, ref",
        key=key_hash, opens=opens, holder=holder, now=now,
    )  # fmt: skip


def place_of(row: Any) -> Place:
    return Place(row.district, row.school)
