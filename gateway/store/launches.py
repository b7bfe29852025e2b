"""What a launch asks of the database and writes there: few statements, because a bell rings for a whole school."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store.credentials import APPLICATION
from gateway.store.facts import KNOWN, PERSON
from gateway.store.tenant import Session

_ARRIVE = """
WITH used AS (INSERT INTO launch_nonce (nonce_hash, expires_at) VALUES (%(nonce)s, %(forget_at)s)
    ON CONFLICT DO NOTHING RETURNING 1)
SELECT EXISTS (SELECT FROM used) AS fresh, r.status AS registration_status, d.deployment, d.district,
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
WITH application AS MATERIALIZED ({APPLICATION}), said AS MATERIALIZED (SELECT coalesce(
    (SELECT u.sourced_id FROM roster_user u WHERE u.district = %(district)s AND u.school = %(school)s
        AND u.sourced_id = %(sis_id)s AND u.until IS NULL),
    (SELECT i.person_id FROM lms_identity i WHERE i.district = %(district)s AND i.school = %(school)s
        AND i.registration = %(registration)s AND i.sub = %(sub)s AND NOT %(nobody)s)) AS id)
SELECT g.access_grant, g.vendor, g.agreement AS granted_under, g.scopes, g.status, g.launch_url,
    {KNOWN.format(agreement="g.agreement", vendor="g.vendor")}, said.id, p.*
FROM school s LEFT JOIN application g ON true CROSS JOIN said
    LEFT JOIN LATERAL (SELECT true AS associated, {PERSON}, (SELECT array_agg(e.role ORDER BY e.role)
        FROM roster_enrollment e WHERE e.district = u.district AND e.school = u.school AND e."user" = u.sourced_id
        AND e."class" = %(class_id)s AND e.until IS NULL) AS roles
    FROM roster_user u WHERE u.district = %(district)s AND u.school = %(school)s AND u.sourced_id = said.id
        AND u.until IS NULL OFFSET 0) p ON true
WHERE s.district = %(district)s AND s.school = %(school)s
"""
_KEEP = """
WITH known AS (INSERT INTO lms_identity (district, school, registration, sub, person_id, evidence, seen_at)
        SELECT %(district)s, %(school)s, %(registration)s, %(sub)s, %(person_id)s, 'lis', %(created_at)s
        WHERE %(by_sis_id)s
        ON CONFLICT (district, school, registration, sub) DO UPDATE SET person_id = excluded.person_id,
            evidence = excluded.evidence, seen_at = excluded.seen_at
        WHERE lms_identity.person_id <> excluded.person_id OR lms_identity.evidence <> excluded.evidence),
    served AS (UPDATE context_link SET services = services || %(services)s WHERE district = %(district)s
        AND school = %(school)s AND deployment = %(deployment)s AND context_id = %(context_id)s
        AND NOT services @> %(services)s),
    opened AS (INSERT INTO doorkey (district, school, key_hash, opens, ref, holder, expires_at)
        VALUES (%(district)s, %(school)s, %(code_hash)s, 'launch', %(launch)s, %(access_grant)s, %(code_until)s))
INSERT INTO launch (district, school, launch, deployment, context_id, class_id, sub, person_id, role, access_grant,
    decision, facts, created_at, expires_at)
VALUES (%(district)s, %(school)s, %(launch)s, %(deployment)s, %(context_id)s, %(class_id)s, %(sub)s, %(person_id)s,
    %(role)s, %(access_grant)s, '{}', %(facts)s, %(created_at)s, %(expires_at)s)
"""


def arrive(
    session: Session, nonce_hash: bytes, forget_at: datetime, registration: str, deployment_id: str,
    context_id: str | None,
) -> Any:  # fmt: skip
    """Use up a nonce, durable with the caller's transaction, and return where its launch comes in.

    `fresh` is false when the nonce was used before. Registration and deployment come with their state, the schools
    of the deployment, and the course's links; what is unknown is None.
    """
    return session.row(
        _ARRIVE, nonce=nonce_hash, forget_at=forget_at, registration=registration, deployment_id=deployment_id,
        context=context_id,
    )  # fmt: skip


def standing(
    session: Session, registration: str, sub: str, sis_id: str | None, class_id: str, *, nobody: bool = False
) -> Any:
    """Return all that a launch is decided by at the session's school, as it is on file now: the application's grant
    (`access_grant` is None when there is none), what `store.facts.KNOWN` says about its agreement, and who the LMS
    user is: by the SIS id the LMS says, else as known from before.

    With the facts of `store.facts.PERSON` and the roles in the class according to the roster; `id` is None for
    somebody unknown, `associated` is None for somebody the roster does not hold.
    """
    return session.row(
        _STANDING, registration=registration, sub=sub, sis_id=sis_id, class_id=class_id, nobody=nobody
    )  # fmt: skip


def keep(session: Session, *, services: dict[str, Any], facts: dict[str, Any], **values: Any) -> None:
    """Record a launch that passed the gate, the hash of its one-time code, who its person is when the SIS id said
    so (`by_sis_id`), and the service addresses it named for its course."""
    session.run(_KEEP, services=Jsonb(services), facts=Jsonb(facts), **values)
