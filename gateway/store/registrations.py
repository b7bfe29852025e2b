"""LMS registrations, deployments, course links, launches, and the keys that open one thing once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store import readings, tables
from gateway.store.tenant import Place, Session


def by_issuer(session: Session, issuer: str, client_id: str | None) -> Sequence[Any]:
    """Return the registrations of an issuer: every district's of a client where one is given, else the first 500."""
    return session.rows(
        "SELECT r.*, (SELECT jsonb_agg(to_jsonb(x)) FROM relaxation x WHERE x.registration = r.registration) AS "
        "relaxations FROM registration r WHERE issuer = %(issuer)s AND (%(client_id)s::text IS NULL "
        "OR client_id = %(client_id)s) ORDER BY registration LIMIT CASE WHEN %(client_id)s::text IS NULL THEN 500 END",
        issuer=issuer, client_id=client_id,
    )  # fmt: skip


def by_ref(session: Session, registration: str) -> Any | None:
    return session.row("SELECT * FROM registration WHERE registration = %(r)s", r=registration)


def lock(session: Session, registration: str) -> Any | None:
    """Return a registration; until this transaction ends nobody else changes it."""
    return session.row("SELECT * FROM registration WHERE registration = %(r)s FOR UPDATE", r=registration)


def one_at_a_time(session: Session, issuer: str, client_id: str) -> None:
    """Until this transaction ends nobody else registers this client or changes where it is served."""
    session.row("SELECT pg_advisory_xact_lock(hashtextextended(%(client)s, 13))", client=f"{issuer}\n{client_id}")


def having(session: Session, candidates: Sequence[str], deployment_id: str) -> set[str]:
    """Return those of these registrations that have a deployment of this id."""
    rows = session.rows(
        "SELECT registration FROM deployment WHERE registration = ANY(%(listed)s) AND deployment_id = %(d)s",
        listed=list(candidates), d=deployment_id,
    )  # fmt: skip
    return {row.registration for row in rows}


def has_deployment(session: Session, registration: str, deployment_id: str) -> bool:
    """Whether the registration has a deployment of this id."""
    row = session.row(
        "SELECT 1 FROM deployment WHERE registration = %(r)s AND deployment_id = %(d)s",
        r=registration, d=deployment_id,
    )  # fmt: skip
    return row is not None


def spend_nonce(session: Session, nonce_hash: bytes, expires_at: datetime) -> None:
    """Use up the nonce of a login that came to nothing."""
    session.insert(tables.launch_nonce, ignore=True, nonce_hash=nonce_hash, expires_at=expires_at)


def forget_nonces(session: Session, now: datetime) -> int:
    """Remove nonces whose tokens can no longer be valid."""
    return session.run("DELETE FROM launch_nonce WHERE expires_at < %(now)s", now=now)


def relax(
    session: Session, registration: str, name: str, value: str, reason: str, since: datetime, until: datetime, by: str
) -> None:
    """Excuse a registration from something; said again, the later word counts."""
    session.run(
        "INSERT INTO relaxation (registration, name, value, reason, since, until, created_by) VALUES (%(r)s, %(name)s, "
        "%(value)s, %(reason)s, %(since)s, %(until)s, %(by)s) ON CONFLICT (registration, name) DO UPDATE SET "
        "value = excluded.value, reason = excluded.reason, since = excluded.since, until = excluded.until, "
        "created_by = excluded.created_by",
        r=registration, name=name, value=value, reason=reason, since=since, until=until, by=by,
    )  # fmt: skip


def end_relaxation(session: Session, registration: str, name: str) -> bool:
    return bool(
        session.run("DELETE FROM relaxation WHERE registration = %(r)s AND name = %(name)s", r=registration, name=name)
    )


def relaxations(session: Session) -> Sequence[Any]:
    """Return what the registrations of the session's district are excused from."""
    return session.rows(
        "SELECT x.*, r.issuer, r.client_id FROM relaxation x JOIN registration r USING (registration) "
        "WHERE r.home_district = %(district)s ORDER BY x.until, x.registration, x.name"
    )


def keep_waiting(
    session: Session, registration: str, deployment_id: str, context_id: str, district: int, deployment: str | None,
    title: str | None, now: datetime, copied_from: Sequence[str] = (),
) -> None:  # fmt: skip
    """Remember a deployment, or a course of one, that is not linked, and which courses it was copied from: as it said
    last when it said so. The newest of each registration are kept."""
    session.run(
        "INSERT INTO waiting_link AS w (registration, deployment_id, context_id, district, deployment, title, seen_at, "
        "copied_from) VALUES (%(r)s, %(d)s, %(c)s, %(home)s, %(deployment)s, %(title)s, %(now)s, %(origins)s::text[]) "
        "ON CONFLICT (district, registration, deployment_id, context_id) DO UPDATE SET seen_at = excluded.seen_at, "
        "title = coalesce(excluded.title, w.title), deployment = excluded.deployment, copied_from = "
        "CASE WHEN excluded.copied_from = '{}' THEN w.copied_from ELSE excluded.copied_from END",
        r=registration, d=deployment_id, c=context_id, home=district, deployment=deployment, title=title, now=now,
        origins=list(copied_from),
    )  # fmt: skip
    session.run(
        "DELETE FROM waiting_link WHERE registration = %(r)s AND (deployment_id, context_id) IN (SELECT deployment_id, "
        "context_id FROM waiting_link WHERE registration = %(r)s ORDER BY seen_at DESC OFFSET 200)",
        r=registration,
    )


def copied_from(session: Session, registration: str, deployment_id: str, context_id: str) -> list[str]:
    """Return which courses a course that waits was copied from, as far as its LMS has said."""
    row = session.row(
        "SELECT copied_from FROM waiting_link WHERE registration = %(r)s AND deployment_id = %(d)s "
        "AND context_id = %(c)s",
        r=registration, d=deployment_id, c=context_id,
    )  # fmt: skip
    return list(row.copied_from) if row else []


def classes_of(session: Session, registration: str, contexts: Sequence[str]) -> Sequence[Any]:
    """Return which of a registration's courses are linked to which classes of the session's schools."""
    return session.rows(
        "SELECT l.context_id, l.school, l.class_id, c.title, s.name AS school_name FROM context_link l "
        "JOIN deployment d ON d.district = l.district AND d.deployment = l.deployment "
        "JOIN school s ON s.district = l.district AND s.school = l.school "
        "LEFT JOIN roster_class c ON c.district = l.district AND c.school = l.school AND c.sourced_id = l.class_id "
        "AND c.until IS NULL WHERE l.district = %(district)s AND l.school = ANY(%(schools)s) "
        "AND d.registration = %(r)s AND l.context_id = ANY(%(contexts)s) ORDER BY l.context_id, l.school, l.class_id",
        r=registration, contexts=list(contexts),
    )  # fmt: skip


def take_notice(session: Session, notice_hash: bytes, forget_at: datetime) -> bool:
    """Use up a notice, durable with the caller's transaction; False when it was taken before."""
    return session.insert(tables.launch_nonce, ignore=True, nonce_hash=notice_hash, expires_at=forget_at)


def noticed(session: Session, registration: str, deployment_id: str, context_id: str, origins: Sequence[str]) -> Any:
    """Return the deployment that a notice is about with its state, or None; whether the course it names is linked, and
    whether one of those it was copied from is."""
    return session.row(
        "SELECT d.district, d.deployment, d.status, r.status AS registration_status, r.jwks_url, EXISTS (SELECT FROM context_link l "
        "WHERE l.district = d.district AND l.deployment = d.deployment AND l.context_id = %(c)s) AS linked, "
        "EXISTS (SELECT FROM context_link l JOIN deployment o ON o.district = l.district AND o.deployment = l.deployment "
        "WHERE o.registration = d.registration AND l.district = d.district AND l.context_id = ANY(%(origins)s)) AS "
        "known FROM deployment d JOIN registration r USING (registration) WHERE d.registration = %(r)s "
        "AND d.deployment_id = %(d)s",
        r=registration, d=deployment_id, c=context_id, origins=list(origins),
    )  # fmt: skip


def told(session: Session, district: int, deployment: str, notice_type: str, now: datetime) -> None:
    """Remember when a platform told something of a kind last."""
    session.run(
        "INSERT INTO last_notice (district, deployment, notice_type, at) VALUES (%(home)s, %(deployment)s, %(type)s, "
        "%(now)s) ON CONFLICT (district, deployment, notice_type) DO UPDATE SET at = excluded.at",
        home=district, deployment=deployment, type=notice_type, now=now,
    )  # fmt: skip


def last_told(session: Session, deployment: str) -> dict[str, datetime]:
    """Return when a platform told something last of a deployment of the session's district, by kind, the latest first."""
    rows = session.rows(
        "SELECT notice_type, at FROM last_notice WHERE district = %(district)s AND deployment = %(deployment)s "
        "ORDER BY at DESC, notice_type",
        deployment=deployment,
    )  # fmt: skip
    return {row.notice_type: row.at for row in rows}


def no_longer_waits(session: Session, deployment: str, context_id: str = "") -> None:
    """Forget that a deployment waits, and a course of it: they are known and linked."""
    session.run(
        "DELETE FROM waiting_link w USING deployment d WHERE d.deployment = %(deployment)s AND w.registration = "
        "d.registration AND w.deployment_id = d.deployment_id AND w.context_id IN (%(context)s, '')",
        deployment=deployment, context=context_id,
    )  # fmt: skip


def keep_failure(
    session: Session, support: str, registration: str, district: int, code: str, facts: dict[str, Any], now: datetime
) -> None:
    """Remember how a launch failed, under its support number; the newest of each registration."""
    session.run(
        "INSERT INTO failed_launch (support, registration, district, at, code, facts) "
        "VALUES (%(support)s, %(r)s, %(home)s, %(now)s, %(code)s, %(facts)s) ON CONFLICT DO NOTHING",
        support=support, r=registration, home=district, code=code, facts=Jsonb(facts), now=now,
    )  # fmt: skip
    verified = bool(facts.get("verified"))  # anybody can fail before that: those take none of the others' room
    session.run(
        "DELETE FROM failed_launch WHERE registration = %(r)s AND support IN (SELECT support FROM failed_launch "
        "WHERE registration = %(r)s AND (facts -> 'verified')::boolean = %(verified)s ORDER BY at DESC, support "
        "OFFSET %(room)s)",
        r=registration,
        verified=verified,
        room=200 if verified else 20,
    )


def forget_launches(session: Session, now: datetime) -> None:
    """Remove keys that open nothing any more, readings of courses that nobody asked about since, and what waited or
    failed longer ago than a month."""
    session.run("DELETE FROM doorkey WHERE expires_at < %(now)s", now=now)
    session.run("DELETE FROM course_reading WHERE read_at < %(then)s", then=now - readings.SPEAKS_FOR)
    for table, column in (("waiting_link", "seen_at"), ("failed_launch", "at")):
        session.run(f"DELETE FROM {table} WHERE {column} < %(then)s", then=now - timedelta(days=30))


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


def forget_key_set(session: Session, registration: str) -> None:
    """Let nothing more be verified by keys from an address that a registration no longer has."""
    session.run(
        "UPDATE platform_keys SET key_set = '{\"keys\": []}', fetched_at = 'epoch' WHERE registration = %(r)s",
        r=registration,
    )


# --- registering itself ----------------------------------------------------------------------------


def change(session: Session, registration: str, **values: Any) -> None:
    """Change columns of a registration of the session's district."""
    columns = ", ".join(f"{tables.registration.c[name].name} = %({name})s" for name in values)
    session.run(
        f"UPDATE registration SET {columns} WHERE registration = %(r)s AND home_district = %(district)s",
        r=registration, **values,
    )  # fmt: skip


def forget_pending(session: Session, registration: str) -> None:
    """Remove a registration that nobody approved, so that its name is free again."""
    session.run(
        "DELETE FROM registration WHERE registration = %(r)s AND home_district = %(district)s AND status = 'pending'",
        r=registration,
    )


def schools_of(session: Session, registration: str) -> list[int]:
    """Return the schools of the district that any deployment of a registration is granted, in order."""
    rows = session.rows(
        "SELECT DISTINCT s.school FROM deployment d JOIN deployment_school s USING (district, deployment) "
        "WHERE d.district = %(district)s AND d.registration = %(r)s ORDER BY s.school",
        r=registration,
    )
    return [row.school for row in rows]


# --- courses ---------------------------------------------------------------------------------------

# A course is as much in use as its deployment and its registration are.
_LINE_STATUS = "CASE WHEN d.status = 'active' THEN r.status ELSE d.status END AS line_status"


def link_context(session: Session, deployment: str, context_id: str, class_id: str, now: datetime, by: str) -> bool:
    """Link a course to a class of the session's school; linking again moves the link. False where it is linked to a class
    of a school that the session does not see."""
    moved = session.run(
        "UPDATE context_link SET class_id = %(class)s, linked_at = %(now)s, linked_by = %(by)s WHERE district = "
        "%(district)s AND school = %(school)s AND deployment = %(deployment)s AND context_id = %(context)s",
        deployment=deployment, context=context_id, now=now, by=by, **{"class": class_id},
    )  # fmt: skip
    return bool(moved) or link_new(session, deployment, context_id, class_id, now, by)


def link_new(session: Session, deployment: str, context_id: str, class_id: str, now: datetime, by: str) -> bool:
    """Link a course that is linked nowhere to a class of the session's school; False where somebody was quicker."""
    return bool(session.run(
        "INSERT INTO context_link (district, school, deployment, context_id, class_id, services, linked_at, linked_by) "
        "VALUES (%(district)s, %(school)s, %(deployment)s, %(context)s, %(class)s, '{}', %(now)s, %(by)s) "
        "ON CONFLICT DO NOTHING",
        deployment=deployment, context=context_id, now=now, by=by, **{"class": class_id},
    ))  # fmt: skip


def unlink_elsewhere(session: Session, deployment: str, context_id: str, school: int) -> None:
    """Take a course from the classes of other schools of the session."""
    session.run(
        "DELETE FROM context_link WHERE district = %(district)s AND school = ANY(%(schools)s) AND school <> %(to)s "
        "AND deployment = %(deployment)s AND context_id = %(context)s",
        deployment=deployment, context=context_id, to=school,
    )  # fmt: skip


def course_of_class(session: Session, class_id: str) -> Sequence[Any]:
    """Return the LMS courses linked to a class, with their registration."""
    return session.rows(
        "SELECT l.deployment, l.context_id, l.services, d.registration, d.deployment_id, d.agreement, "
        f"{_LINE_STATUS}, r.vendor, r.product FROM context_link l JOIN deployment d ON d.district = l.district "
        "AND d.deployment = l.deployment JOIN registration r ON r.registration = d.registration "
        "WHERE l.district = %(district)s AND l.school = %(school)s AND l.class_id = %(class)s "
        "ORDER BY l.linked_at, l.context_id",
        **{"class": class_id},
    )


def course(session: Session, deployment: str, context_id: str) -> Any | None:
    """Return one linked course with its registration."""
    return session.row(
        "SELECT l.class_id, l.services, d.registration, d.deployment_id, d.agreement, r.vendor, "
        f"{_LINE_STATUS} FROM context_link l "
        "JOIN deployment d ON d.district = l.district AND d.deployment = l.deployment "
        "JOIN registration r ON r.registration = d.registration WHERE l.district = %(district)s "
        "AND l.school = %(school)s AND l.deployment = %(deployment)s AND l.context_id = %(context)s",
        deployment=deployment, context=context_id,
    )  # fmt: skip


def launched(session: Session, deployment: str, service: str = "") -> str | None:
    """Return the course of a deployment, at the session's school, that was linked first and launched since; where a
    service is asked for, with that."""
    row = session.row(
        "SELECT context_id FROM context_link WHERE district = %(district)s AND school = %(school)s "
        "AND deployment = %(deployment)s AND services <> '{}' AND (%(service)s = '' OR services ? %(service)s) "
        "ORDER BY linked_at, context_id LIMIT 1",
        deployment=deployment, service=service,
    )  # fmt: skip
    return str(row.context_id) if row else None


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


def keep_lti1p1_key(session: Session, registration: str, key: str, secret: bytes, now: datetime, by: str) -> None:
    """Keep the sealed secret of an LTI 1.1 consumer key of a registration; said again, the later one counts."""
    session.run(
        "INSERT INTO lti1p1_key (registration, consumer_key, secret, created_at, created_by) VALUES (%(r)s, %(key)s, "
        "%(secret)s, %(now)s, %(by)s) ON CONFLICT (registration, consumer_key) DO UPDATE SET secret = excluded.secret, "
        "created_at = excluded.created_at, created_by = excluded.created_by",
        r=registration, key=key, secret=secret, now=now, by=by,
    )  # fmt: skip


def lti1p1_secret(session: Session, registration: str, key: str) -> bytes | None:
    """Return the sealed secret of an LTI 1.1 consumer key."""
    row = session.row(
        "SELECT secret FROM lti1p1_key WHERE registration = %(r)s AND consumer_key = %(key)s", r=registration, key=key
    )
    return bytes(row.secret) if row else None


def keep_lti1p1_users(session: Session, registration: str, people: Mapping[str, str], now: datetime) -> list[str]:
    """Remember who LTI 1.1 users are, {user id: our id}: those whom the session's school's roster holds. Return the
    user ids that were kept."""
    rows = session.rows(
        "INSERT INTO lti1p1_user (district, school, registration, user_id, person_id, created_at) "
        "SELECT %(district)s, %(school)s, %(r)s, t.u, t.p, %(now)s FROM unnest(%(users)s::text[], %(ids)s::text[]) "
        "AS t(u, p) JOIN roster_user x ON x.district = %(district)s AND x.school = %(school)s AND x.sourced_id = t.p "
        "AND x.until IS NULL ON CONFLICT (district, school, registration, user_id) DO UPDATE SET "
        "person_id = excluded.person_id, created_at = excluded.created_at RETURNING user_id",
        r=registration, users=list(people), ids=list(people.values()), now=now,
    )  # fmt: skip
    return [row.user_id for row in rows]


# --- launches --------------------------------------------------------------------------------------


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
