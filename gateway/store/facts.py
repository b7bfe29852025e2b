"""Loads what a decision looks at: versions on file, as `policy.facts` knows them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from gateway.policy import facts
from gateway.store import tables
from gateway.store.tenant import Session

_CURRENT_AGREEMENT = """
SELECT DISTINCT ON (agreement) agreement, version, vendor, status, effective_at, expires_at, body
FROM agreement WHERE district = %(district)s AND school = %(school)s AND vendor = %(vendor)s
AND agreement = %(agreement)s ORDER BY agreement, version DESC
"""
_CURRENT_DIRECTIONS = """
SELECT DISTINCT ON (direction) direction, version, agreement, operation, status, valid_from, expires_at, body
FROM direction WHERE district = %(district)s AND school = %(school)s AND agreement = %(agreement)s
ORDER BY direction, version DESC
"""
_SCHOOL = """
SELECT s.ref, d.source_policy, EXISTS (SELECT FROM ledger_head h WHERE h.district = s.district
AND h.school = s.school) AS ledger FROM school s JOIN district d USING (district)
WHERE s.district = %(district)s AND s.school = %(school)s
"""


def school_ref(session: Session) -> str:
    """Return the public reference of the session's school."""
    rows = session.rows("SELECT ref FROM school WHERE district = %(district)s AND school = %(school)s")
    return str(rows[0].ref)


def school_name(session: Session) -> str:
    """Return the name of the session's school."""
    rows = session.rows("SELECT name FROM school WHERE district = %(district)s AND school = %(school)s")
    return str(rows[0].name)


def load(session: Session, credential: facts.Credential) -> facts.Facts:
    """Return the facts about one credential at the session's school: its own agreement and the directions under it."""
    (school,) = session.rows(_SCHOOL)
    rows = session.rows(_CURRENT_AGREEMENT, vendor=credential.vendor, agreement=credential.agreement)
    agreements = tuple(_agreement(row, school.ref) for row in rows)
    directions = tuple(_direction(row) for row in session.rows(_CURRENT_DIRECTIONS, agreement=credential.agreement))
    return facts.Facts(school.ledger, credential, agreements, directions, school.source_policy)


def _agreement(row: Any, school: str) -> facts.Agreement:
    body = row.body
    return facts.Agreement(
        row.agreement, row.version, row.vendor, body["category"], row.status, frozenset({school}),
        frozenset(body["schedule"]), frozenset(body["purposes"]), frozenset(body["operations"]),
        row.effective_at, row.expires_at, bool(body["school_agent"]), body.get("document", ""),
    )  # fmt: skip


def _direction(row: Any) -> facts.Direction:
    return facts.Direction(
        row.direction, row.version, row.agreement, row.operation, row.body["role"], row.status, row.valid_from,
        row.expires_at, frozenset(row.body["elements"]), row.body.get("record"),
    )  # fmt: skip


def person(session: Session, person_id: str) -> facts.Person:
    """Return the facts of one person at the session's school; absent, foreign and erased look alike."""
    found = people(session, [person_id])
    return found.get(person_id, facts.Person(associated=False, is_pupil=True))


def people(session: Session, ids: Iterable[str]) -> dict[str, facts.Person]:
    """Return the facts of those of these people who belong to the session's school."""
    wanted = sorted(set(ids))
    rows = session.rows(
        "SELECT u.sourced_id, u.is_pupil, d.birth_date FROM roster_user u LEFT JOIN roster_demographics d "
        "ON d.district = u.district AND d.school = u.school AND d.sourced_id = u.sourced_id AND d.until IS NULL "
        "WHERE u.district = %(district)s AND u.school = %(school)s AND u.sourced_id = ANY(%(ids)s) "
        "AND u.until IS NULL",
        ids=wanted,
    )
    consents = _consents(session, wanted)
    return {
        row.sourced_id: facts.Person(True, row.is_pupil, row.birth_date, False, tuple(consents.get(row.sourced_id, ())))
        for row in rows
    }


def _consents(session: Session, ids: list[str]) -> dict[str, list[facts.Consent]]:
    found: dict[str, list[facts.Consent]] = {}
    for row in session.rows(
        "SELECT DISTINCT ON (consent) consent, version, person_id, scope, status, agreement, valid_from, "
        "valid_until FROM consent WHERE district = %(district)s AND school = %(school)s AND person_id = ANY(%(ids)s) "
        "ORDER BY consent, version DESC",
        ids=ids,
    ):
        found.setdefault(row.person_id, []).append(
            facts.Consent(
                row.consent, row.version, row.scope, row.status, row.agreement, row.valid_from, row.valid_until
            )
        )
    return found


# --- recording versions ----------------------------------------------------------------------------


def record_agreement(
    session: Session, ref: str, vendor: str, status: str, effective: datetime, expires: datetime,
    body: dict[str, Any], now: datetime, by: str,
) -> int:  # fmt: skip
    """Write the next version of an agreement for the session's school; return its number."""
    version = _next(session, "agreement", ref)
    session.insert(
        tables.agreement, agreement=ref, version=version, vendor=vendor, status=status, effective_at=effective,
        expires_at=expires, body=body, recorded_at=now, recorded_by=by,
    )  # fmt: skip
    return version


def record_direction(
    session: Session, ref: str, agreement: str, operation: str, status: str, valid_from: datetime,
    expires: datetime, body: dict[str, Any], now: datetime, by: str,
) -> int:  # fmt: skip
    """Write the next version of a direction for the session's school; return its number."""
    version = _next(session, "direction", ref)
    session.insert(
        tables.direction, direction=ref, version=version, agreement=agreement, operation=operation, status=status,
        valid_from=valid_from, expires_at=expires, body=body, recorded_at=now, recorded_by=by,
    )  # fmt: skip
    return version


def record_consent(
    session: Session, ref: str, person_id: str, scope: str, status: str, agreement: str | None,
    valid_from: datetime, body: dict[str, Any], now: datetime, by: str,
) -> int:  # fmt: skip
    """Write the next version of a family's answer; return its number."""
    version = _next(session, "consent", ref)
    session.insert(
        tables.consent, consent=ref, version=version, person_id=person_id, scope=scope, status=status,
        agreement=agreement, valid_from=valid_from, valid_until=None, body=body, recorded_at=now, recorded_by=by,
    )  # fmt: skip
    return version


def _next(session: Session, entity: str, ref: str) -> int:
    """The next version number of an entity, its earlier versions locked against a second writer."""
    row = session.row(
        f"SELECT coalesce(max(version), 0) + 1 AS next FROM {entity} WHERE district = %(district)s "
        f"AND school = %(school)s AND {entity} = %(ref)s",
        ref=ref,
    )
    return int(row.next) if row else 1


def agreements(session: Session) -> list[Any]:
    """Return the latest version of every agreement of the session's schools."""
    return list(
        session.rows(
            "SELECT DISTINCT ON (a.school, a.agreement) a.*, v.name AS vendor_name, s.ref AS school_ref "
            "FROM agreement a JOIN vendor v ON v.district = a.district AND v.vendor = a.vendor "
            "JOIN school s ON s.district = a.district AND s.school = a.school WHERE a.district = %(district)s AND a.school = ANY(%(schools)s) "
            "ORDER BY a.school, a.agreement, a.version DESC"
        )
    )


def directions(session: Session) -> list[Any]:
    """Return the latest version of every direction of the session's schools."""
    return list(
        session.rows(
            "SELECT DISTINCT ON (d.school, d.direction) d.*, s.ref AS school_ref FROM direction d JOIN school s "
            "ON s.district = d.district AND s.school = d.school WHERE d.district = %(district)s "
            "AND d.school = ANY(%(schools)s) ORDER BY d.school, d.direction, d.version DESC"
        )
    )
