"""What schools have on file, in versions: agreements, directions, families' answers, opt-outs, words on the policy.

Nothing is updated in place: a change is the next version, and what a decision rested on stays readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from gateway.store import tables
from gateway.store.tenant import Session

VERSIONED = {t.name: t for t in (tables.agreement, tables.direction, tables.consent, tables.opt_out)}


def one_at_a_time(session: Session) -> None:
    """Until this transaction ends nobody else puts anything on file in this district: what is planned stays true."""
    session.row("SELECT set_config('lock_timeout', '10s', true), pg_advisory_xact_lock(%(district)s, 1)")


def record(session: Session, kind: str, ref: str, now: datetime, by: str, **columns: Any) -> int:
    """Write the next version of a paper for the session's school; return its number."""
    row = session.row(
        f"SELECT coalesce(max(version), 0) + 1 AS next FROM {kind} WHERE district = %(district)s "
        f"AND school = %(school)s AND {kind} = %(ref)s",
        ref=ref,
    )
    version = int(row.next) if row else 1
    written: dict[str, Any] = columns | {kind: ref, "version": version, "recorded_at": now, "recorded_by": by}
    session.insert(VERSIONED[kind], **written)
    return version


def latest(session: Session, kind: str) -> Sequence[Any]:
    """Return the latest version of each paper of a kind, at each of the session's schools, with the school's reference."""
    return session.rows(
        f"SELECT DISTINCT ON (k.school, k.{kind}) k.*, s.ref AS school_ref, s.name AS school_name FROM {kind} k "
        "JOIN school s ON s.district = k.district AND s.school = k.school WHERE k.district = %(district)s "
        f"AND k.school = ANY(%(schools)s) ORDER BY k.school, k.{kind}, k.version DESC"
    )


def versions(session: Session, kind: str, ref: str) -> Sequence[Any]:
    """Return all versions of one paper at the session's schools, oldest first."""
    return session.rows(
        f"SELECT * FROM {kind} WHERE district = %(district)s AND school = ANY(%(schools)s) AND {kind} = %(ref)s "
        "ORDER BY school, version",
        ref=ref,
    )


def schools(session: Session) -> Sequence[Any]:
    """Return the session's schools, in the order in which their logs are locked."""
    return session.rows(
        "SELECT school, ref, name, org_id FROM school WHERE district = %(district)s AND school = ANY(%(schools)s) "
        "ORDER BY school"
    )


def vendors(session: Session) -> Sequence[Any]:
    return session.rows("SELECT vendor, name, category FROM vendor WHERE district = %(district)s ORDER BY vendor")


OF_DISTRICT = {t.name: t for t in (tables.policy_version, tables.source_policy)}


def add_of_district(session: Session, kind: str, now: datetime, by: str, **columns: Any) -> None:
    """Write a version of a privacy policy, or which one governs from now on."""
    session.insert(OF_DISTRICT[kind], recorded_at=now, recorded_by=by, **columns)


def source_policies(session: Session) -> Sequence[Any]:
    """Return which privacy policies have governed the district, the present one last."""
    return session.rows("SELECT * FROM source_policy WHERE district = %(district)s ORDER BY version")


def policy_versions(session: Session) -> Sequence[Any]:
    return session.rows("SELECT * FROM policy_version WHERE district = %(district)s ORDER BY policy, version")


def add_policy_word(session: Session, now: datetime, by: str, **columns: Any) -> bool:
    """Write that the session's school was told of a version, or agreed to it; False when that is on file already."""
    return session.insert(tables.policy_word, ignore=True, recorded_at=now, recorded_by=by, **columns)


def policy_words(session: Session) -> Sequence[Any]:
    return session.rows(
        "SELECT w.*, s.ref AS school_ref, s.name AS school_name FROM policy_word w JOIN school s "
        "ON s.district = w.district AND s.school = w.school WHERE w.district = %(district)s "
        "AND w.school = ANY(%(schools)s) ORDER BY w.policy, w.version, w.school, w.word"
    )
