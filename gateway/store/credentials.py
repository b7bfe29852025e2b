"""OAuth clients, access tokens, client assertions and personal tokens: all kept as hashes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.store import tables
from gateway.store.tenant import Session

_GRANT = """
SELECT g.access_grant, g.vendor, g.agreement, g.scopes, g.status, g.district, v.name AS vendor_name,
    v.category, v.is_application, v.launch_url,
    (SELECT array_agg(s.school ORDER BY s.school) FROM access_grant_school s WHERE s.district = g.district
        AND s.access_grant = g.access_grant) AS schools
FROM access_grant g JOIN vendor v ON v.district = g.district AND v.vendor = g.vendor
"""
# The grant of the application at the session's school: of the assessment platform launches go to.
APPLICATION = f"""
SELECT g.* FROM ({_GRANT}) g WHERE g.district = %(district)s AND g.is_application AND g.status = 'active'
    AND %(school)s = ANY(g.schools) ORDER BY g.access_grant LIMIT 1
"""


def client(session: Session, client_id: str) -> Any | None:
    """Return a client with its grant's scopes."""
    return session.row(
        "SELECT c.*, g.scopes, g.status AS grant_status FROM client c JOIN access_grant g ON g.district = c.district "
        "AND g.access_grant = c.access_grant WHERE c.client_id = %(client_id)s",
        client_id=client_id,
    )


def use_assertion(session: Session, client_id: str, jti: str, expires_at: datetime) -> bool:
    """Use up a client assertion's id; False when it was used before."""
    return session.insert(tables.used_assertion, ignore=True, client_id=client_id, jti=jti, expires_at=expires_at)


def keep_token(session: Session, **values: Any) -> None:
    session.insert(tables.access_token, **values)


def token(session: Session, token_hash: bytes) -> Any | None:
    """Return an access token with its grant: vendor, agreement, schools, scopes."""
    return session.ask(
        "SELECT t.client_id, t.scopes AS token_scopes, t.expires_at, t.revoked_at, c.status AS client_status, g.* "
        f"FROM access_token t JOIN client c USING (client_id) JOIN ({_GRANT}) g ON g.district = t.district "
        "AND g.access_grant = t.access_grant WHERE t.token_hash = %(token)s",
        token=token_hash,
    )


def source_of_token(session: Session, hashed: bytes, now: datetime) -> Any | None:
    """Return (district, source) of a machine's token that is in force."""
    return session.row(
        "SELECT district, source FROM source_token WHERE token_hash = %(token)s AND expires_at > %(now)s "
        "AND revoked_at IS NULL",
        token=hashed, now=now,
    )  # fmt: skip


def keep_source_token(session: Session, hashed: bytes, source: str, now: datetime, by: str, lasts: timedelta) -> None:
    session.insert(tables.source_token, token_hash=hashed, source=source, created_at=now, created_by=by,
                   expires_at=now + lasts)  # fmt: skip


def end_source_tokens(session: Session, source: str, now: datetime) -> int:
    """End the tokens of a source of the session's district; return how many there were."""
    return session.run(
        "UPDATE source_token SET revoked_at = %(now)s WHERE district = %(district)s AND source = %(source)s "
        "AND revoked_at IS NULL",
        source=source, now=now,
    )  # fmt: skip


def forget_tokens(session: Session, now: datetime) -> int:
    """Remove tokens and assertion ids that have expired."""
    session.run("DELETE FROM used_assertion WHERE expires_at < %(now)s", now=now)
    return session.run("DELETE FROM access_token WHERE expires_at < %(now)s", now=now)


def grant(session: Session, access_grant: str) -> Any | None:
    """Return one grant of the session's district."""
    return session.row(
        f"SELECT g.* FROM ({_GRANT}) g WHERE g.district = %(district)s AND g.access_grant = %(grant)s",
        grant=access_grant,
    )


def grants(session: Session) -> Sequence[Any]:
    return session.rows(f"SELECT g.* FROM ({_GRANT}) g WHERE g.district = %(district)s ORDER BY g.vendor_name")


def grants_here(session: Session) -> Sequence[Any]:
    """Return the active grants that stand for the session's school."""
    return session.rows(
        "SELECT g.* FROM access_grant g JOIN access_grant_school s ON s.district = g.district AND s.access_grant = "
        "g.access_grant WHERE g.district = %(district)s AND s.school = %(school)s AND g.status = 'active' "
        "ORDER BY g.created_at, g.access_grant"
    )


def clients_of(session: Session, access_grant: str) -> Sequence[Any]:
    return session.rows(
        "SELECT client_id, status, created_at FROM client WHERE district = %(district)s AND access_grant = %(grant)s "
        "ORDER BY created_at",
        grant=access_grant,
    )


# --- our own keys -----------------------------------------------------------------------------------


def keep_signing_key(
    session: Session, kid: str, purpose: str, public: dict[str, Any], sealed: bytes, now: datetime,
    registration: str | None = None, used_from: datetime | None = None,
) -> None:  # fmt: skip
    """Write a key of ours: its private half sealed, its public half to publish. One of a registration signs from
    `used_from` on."""
    session.insert(
        tables.signing_key, kid=kid, purpose=purpose, public=public, private=sealed, created_at=now,
        registration=registration, used_from=used_from,
    )  # fmt: skip


def signing_key(session: Session, kid: str, purpose: str) -> bytes:
    """Return the sealed private half of a key of ours."""
    (row,) = session.rows(
        "SELECT private FROM signing_key WHERE kid = %(kid)s AND purpose = %(purpose)s", kid=kid, purpose=purpose
    )
    return bytes(row.private)


def public_keys(session: Session, purpose: str, now: datetime) -> list[dict[str, Any]]:
    """Return the public halves of our keys that are in use, those to come and those just retired among them."""
    rows = session.rows(
        "SELECT public FROM signing_key WHERE purpose = %(purpose)s AND (retired_at IS NULL OR retired_at > %(now)s) "
        "ORDER BY kid",
        purpose=purpose, now=now,
    )  # fmt: skip
    return [row.public for row in rows]


def public_keys_of(session: Session, key_set: str, now: datetime) -> list[dict[str, Any]]:
    """Return the same of one registration, by its own reference or the name that its invite gave its key set."""
    rows = session.rows(
        "SELECT public FROM signing_key WHERE purpose = 'lti' AND (retired_at IS NULL OR retired_at > %(now)s) AND "
        "(registration = %(set)s OR registration = (SELECT registration FROM lms_invite WHERE key_set = %(set)s "
        "AND state IN ('pending', 'approved'))) ORDER BY kid",
        set=key_set, now=now,
    )  # fmt: skip
    return [row.public for row in rows]


def signing_kid(session: Session, registration: str, now: datetime) -> str:
    """Return which key of a registration signs now: the newest whose time has come."""
    (row,) = session.rows(
        "SELECT kid FROM signing_key WHERE purpose = 'lti' AND registration = %(r)s AND used_from <= %(now)s "
        "ORDER BY used_from DESC, kid LIMIT 1",
        r=registration, now=now,
    )  # fmt: skip
    return str(row.kid)


def next_key_from(session: Session, registration: str, now: datetime) -> datetime | None:
    """Return when the key that is published already and does not sign yet will, where there is one."""
    row = session.row(
        "SELECT used_from FROM signing_key WHERE purpose = 'lti' AND registration = %(r)s AND used_from > %(now)s",
        r=registration, now=now,
    )  # fmt: skip
    return row.used_from if row else None


def retire_keys(session: Session, registration: str, at: datetime) -> int:
    """Say from when on the keys that a registration has now are not published any more."""
    return session.run(
        "UPDATE signing_key SET retired_at = %(at)s WHERE purpose = 'lti' AND registration = %(r)s "
        "AND (retired_at IS NULL OR retired_at > %(at)s)",
        r=registration, at=at,
    )  # fmt: skip


def with_old_keys(session: Session, before: datetime) -> Sequence[Any]:
    """Return the registrations in use whose newest key was made before a time, with their districts."""
    return session.rows(
        "SELECT registration, home_district FROM registration r WHERE status = 'active' AND NOT EXISTS (SELECT FROM "
        "signing_key k WHERE k.registration = r.registration AND k.purpose = 'lti' AND k.created_at >= %(before)s) "
        "ORDER BY registration",
        before=before,
    )


# --- people who act ---------------------------------------------------------------------------------


def staff_of_token(session: Session, token_hash: bytes, now: datetime) -> Any | None:
    """Return the person behind a personal token, with roles: district-wide, and by school."""
    return session.row(
        "SELECT t.district, s.staff, s.name, "
        "(SELECT coalesce(array_agg(r.role), '{}') FROM district_role r WHERE r.district = t.district "
        " AND r.staff = t.staff) AS district_roles, "
        "(SELECT coalesce(jsonb_agg(jsonb_build_array(r.school, r.role)), '[]') FROM school_role r "
        " WHERE r.district = t.district AND r.staff = t.staff) AS school_roles "
        "FROM staff_token t JOIN staff s ON s.district = t.district AND s.staff = t.staff "
        "WHERE t.token_hash = %(token)s AND t.expires_at > %(now)s AND t.revoked_at IS NULL AND s.status = 'active'",
        token=token_hash, now=now,
    )  # fmt: skip
