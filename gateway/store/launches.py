"""What a launch asks of the database and writes there: few statements, because a bell rings for a whole school."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store.credentials import APPLICATION
from gateway.store.facts import KNOWN, PERSON
from gateway.store.tenant import Session, packed

_ARRIVE = """
WITH used AS (INSERT INTO launch_nonce (nonce_hash, expires_at) VALUES (%(nonce)s, %(forget_at)s)
    ON CONFLICT DO NOTHING RETURNING 1)
SELECT EXISTS (SELECT FROM used) AS fresh, r.status AS registration_status, r.jwks_url, d.deployment, d.district,
    d.status AS deployment_status,
    (SELECT array_agg(s.school) FROM deployment_school s WHERE s.district = d.district
        AND s.deployment = d.deployment) AS schools,
    (SELECT jsonb_agg(jsonb_build_object('school', l.school, 'class_id', l.class_id)) FROM context_link l
        WHERE l.district = d.district AND l.deployment = d.deployment AND l.context_id = %(context)s) AS links
FROM (SELECT) one LEFT JOIN registration r ON r.registration = %(registration)s
    LEFT JOIN deployment d ON d.registration = r.registration AND d.deployment_id = %(deployment_id)s
"""
# What is fenced (MATERIALIZED, OFFSET 0) is found once and by its own key, whatever the database knows of its tables: on
# the night after a first delivery it knows nothing, and would go through the whole roster for each launch.
_STANDING = f"""
WITH application AS MATERIALIZED ({APPLICATION}), known AS MATERIALIZED (SELECT coalesce(
    (SELECT u.sourced_id FROM roster_user u WHERE u.district = %(district)s AND u.school = %(school)s
        AND u.sourced_id = %(sis_id)s AND u.until IS NULL),
    (SELECT i.person_id FROM lms_identity i WHERE i.district = %(district)s AND i.school = %(school)s
        AND i.registration = %(registration)s AND i.sub = %(sub)s AND NOT %(nobody)s)) AS id,
    (SELECT m.person_id FROM lti1p1_user m WHERE m.district = %(district)s AND m.school = %(school)s
        AND m.registration = %(registration)s AND m.user_id = %(before)s AND NOT %(nobody)s) AS before),
said AS MATERIALIZED (SELECT coalesce(id, before) AS id, id IS NULL AND before IS NOT NULL AS migrated FROM known)
SELECT g.access_grant, g.vendor, g.agreement AS granted_under, g.scopes, g.status, g.launch_url,
    {KNOWN.format(agreement="g.agreement", vendor="g.vendor")}, said.id, said.migrated, p.*
FROM school s LEFT JOIN application g ON true CROSS JOIN said
    LEFT JOIN LATERAL (SELECT true AS associated, {PERSON}, (SELECT array_agg(e.role ORDER BY e.role)
        FROM roster_enrollment e WHERE e.district = u.district AND e.school = u.school AND e."user" = u.sourced_id
        AND e."class" = %(class_id)s AND e.until IS NULL) AS roles
    FROM roster_user u WHERE u.district = %(district)s AND u.school = %(school)s AND u.sourced_id = said.id
        AND u.until IS NULL OFFSET 0) p ON true
WHERE s.district = %(district)s AND s.school = %(school)s
"""
# All values of a launch come as one: each value that is quoted by itself costs more than what is done with it.
_KEEP = """
WITH said AS MATERIALIZED (SELECT * FROM jsonb_to_record(%(said)s::jsonb) AS s(launch text, deployment text,
        context_id text, class_id text, registration text, sub text, person_id text, evidence text, role text,
        access_grant text, facts jsonb, services jsonb, code_hash text, opens text, code_until timestamptz,
        created_at timestamptz, expires_at timestamptz)),
    known AS (INSERT INTO lms_identity (district, school, registration, sub, person_id, evidence, seen_at)
        SELECT %(district)s, %(school)s, registration, sub, person_id, evidence, created_at FROM said
        WHERE evidence <> ''
        ON CONFLICT (district, school, registration, sub) DO UPDATE SET person_id = excluded.person_id,
            evidence = excluded.evidence, seen_at = excluded.seen_at
        WHERE lms_identity.person_id <> excluded.person_id OR lms_identity.evidence <> excluded.evidence),
    served AS (UPDATE context_link l SET services = l.services || s.services FROM said s WHERE l.district = %(district)s
        AND l.school = %(school)s AND l.deployment = s.deployment AND l.context_id = s.context_id
        AND NOT l.services @> s.services),
    opened AS (INSERT INTO doorkey (district, school, key_hash, opens, ref, holder, expires_at)
        SELECT %(district)s, %(school)s, decode(code_hash, 'hex'), opens, launch, access_grant, code_until FROM said)
INSERT INTO launch (district, school, launch, deployment, context_id, class_id, sub, person_id, role, access_grant,
    decision, facts, created_at, expires_at)
SELECT %(district)s, %(school)s, launch, deployment, context_id, class_id, sub, person_id, role, access_grant, '{}', facts,
    created_at, expires_at FROM said
"""


def arrive(
    session: Session, nonce_hash: bytes, forget_at: datetime, registration: str, deployment_id: str,
    context_id: str | None,
) -> Any:  # fmt: skip
    """Use up a nonce, durable with the caller's transaction, and return where its launch comes in.

    `fresh` is false when the nonce was used before. Registration and deployment come with their state, where its keys
    are, the schools of the deployment, and the course's links; what is unknown is None.
    """
    return session.ask(
        _ARRIVE, nonce=nonce_hash, forget_at=forget_at, registration=registration, deployment_id=deployment_id,
        context=context_id,
    )  # fmt: skip


def standing(
    session: Session, registration: str, sub: str, sis_id: str | None, class_id: str, *, nobody: bool = False,
    before: str | None = None,
) -> Any:  # fmt: skip
    """Return all that a launch is decided by at the session's school, as it is on file now: the application's grant
    (`access_grant` is None when there is none), what `store.facts.KNOWN` says about its agreement, and who the LMS
    user is: by the SIS id the LMS says, else as known from before, else (`migrated`) as imported for its user `before` of LTI 1.1.

    With the facts of `store.facts.PERSON` and the roles in the class according to the roster; `id` is None for
    somebody unknown, `associated` is None for somebody the roster does not hold.
    """
    return session.ask(
        _STANDING, registration=registration, sub=sub, sis_id=sis_id, class_id=class_id, nobody=nobody,
        before=before,
    )  # fmt: skip


def application(session: Session, grant: str) -> Any | None:
    """Return the application behind a grant that stands, by name and address."""
    return session.row(
        "SELECT v.name, v.launch_url FROM access_grant g JOIN vendor v ON v.district = g.district AND "
        "v.vendor = g.vendor WHERE g.district = %(district)s AND g.access_grant = %(grant)s AND g.status = 'active' "
        "AND v.launch_url IS NOT NULL",
        grant=grant,
    )


def school_name(session: Session) -> str:
    (row,) = session.rows("SELECT name FROM school WHERE district = %(district)s AND school = %(school)s")
    return str(row.name)


def source_of(session: Session) -> str | None:
    """Return which source delivers the session's school."""
    (row,) = session.rows("SELECT source FROM school WHERE district = %(district)s AND school = %(school)s")
    return str(row.source) if row.source else None


def may_link(session: Session, deployment: str, context_id: str, district: int, school: int) -> bool:
    """Whether a course of a deployment may still be linked to a class of a school: granted, and linked nowhere."""
    row = session.row(
        "SELECT NOT EXISTS (SELECT FROM context_link l WHERE l.district = d.district AND l.deployment = d.deployment "
        "AND l.context_id = %(context)s) AS free FROM deployment d JOIN deployment_school s ON s.district = d.district "
        "AND s.deployment = d.deployment WHERE d.district = %(home)s AND d.deployment = %(deployment)s "
        "AND d.status = 'active' AND s.school = %(at)s AND EXISTS (SELECT FROM registration r WHERE "
        "r.registration = d.registration AND r.status = 'active')",
        context=context_id, deployment=deployment, home=district, at=school,
    )  # fmt: skip
    return bool(row and row.free)


def close_picker(session: Session, launch: str) -> bool:
    """Use up every key to the picker of a launch; False when none was left: it was answered."""
    return bool(session.run(
        "DELETE FROM doorkey WHERE district = %(district)s AND school = %(school)s AND opens = 'picker' "
        "AND ref = %(launch)s",
        launch=launch,
    ))  # fmt: skip


def propose(session: Session, launch: str, items: Any, key_hash: bytes, now: datetime) -> bool:
    """Keep what was picked elsewhere, with another key to the same picker; False when it was answered already."""
    added = session.run(
        "INSERT INTO doorkey (district, school, key_hash, opens, ref, holder, expires_at) SELECT district, school, "
        "%(key)s, opens, ref, holder, expires_at FROM doorkey WHERE district = %(district)s AND school = %(school)s "
        "AND opens = 'picker' AND ref = %(launch)s AND expires_at > %(now)s LIMIT 1",
        key=key_hash, launch=launch, now=now,
    )  # fmt: skip
    session.run(
        "UPDATE launch SET facts = facts || jsonb_build_object('items', %(items)s::jsonb) WHERE district = %(district)s "
        "AND school = %(school)s AND launch = %(launch)s",
        launch=launch,
        items=Jsonb(items),
    )
    return bool(added)


def failures(session: Session, deployment: str | None) -> Sequence[Any]:
    """Return the failed launches of the registrations of the session's district, newest first."""
    return session.rows(
        "SELECT f.* FROM failed_launch f WHERE f.district = %(district)s AND (%(deployment)s::text IS NULL OR "
        "f.registration IN (SELECT registration FROM deployment d WHERE d.district = %(district)s AND "
        "%(deployment)s IN (d.deployment, d.deployment_id))) ORDER BY f.at DESC, f.support LIMIT 200",
        deployment=deployment,
    )


def failure(session: Session, support: str) -> Any | None:
    return session.row(
        "SELECT * FROM failed_launch WHERE district = %(district)s AND support = %(support)s", support=support
    )


def launch_called(session: Session, ref: str) -> Any | None:
    """Return a launch of the session's schools, alive or not."""
    return session.row(
        "SELECT * FROM launch WHERE district = %(district)s AND school = ANY(%(schools)s) AND launch = %(ref)s", ref=ref
    )


def waiting(session: Session) -> Sequence[Any]:
    """Return what launched and is not linked, of the session's district, newest first."""
    return session.rows("SELECT * FROM waiting_link WHERE district = %(district)s ORDER BY seen_at DESC, context_id")


def keep(session: Session, code_hash: bytes, **values: Any) -> None:
    """Record a launch that passed the gate, the hash of its one-time code, who its person is when the SIS id said
    so, or a migration (`evidence`, "" for neither), and the service addresses it named for its course; in one message
    with what follows. Raises one of `store.tenant.UNKEEPABLE`."""
    session.soon(_KEEP, said=packed(values | {"code_hash": code_hash.hex()}))
