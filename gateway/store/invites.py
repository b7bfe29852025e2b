"""Invites: addresses at which one LMS may register itself, once, and what it registered there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store import tables
from gateway.store.tenant import Session


def add(session: Session, ref: str, **values: Any) -> None:
    """Write an address at which one LMS may register itself, by its hash."""
    session.insert(tables.lms_invite, invite=ref, state="open", **values)


def by_key(session: Session, key_hash: bytes, now: datetime) -> Any | None:
    """Return the invite behind an address that still works."""
    return session.row(
        "SELECT * FROM lms_invite WHERE key_hash = %(key)s AND state = 'open' AND expires_at > %(now)s",
        key=key_hash, now=now,
    )  # fmt: skip


def claim(session: Session, ref: str, now: datetime, until: datetime) -> bool:
    """Take an invite for one attempt; False while another is under way, or when it was used."""
    taken = session.run(
        "UPDATE lms_invite SET claimed_until = %(until)s WHERE district = %(district)s AND invite = %(ref)s "
        "AND state = 'open' AND expires_at > %(now)s AND (claimed_until IS NULL OR claimed_until <= %(now)s)",
        ref=ref, now=now, until=until,
    )  # fmt: skip
    return taken == 1


def release(session: Session, ref: str, claimed_until: datetime, problem: str) -> None:
    """Give an invite back after an attempt that came to nothing, with what was wrong."""
    session.run(
        "UPDATE lms_invite SET claimed_until = NULL, problem = %(problem)s WHERE district = %(district)s "
        "AND invite = %(ref)s AND state = 'open' AND claimed_until = %(until)s",
        ref=ref, problem=problem, until=claimed_until,
    )  # fmt: skip


def answer(session: Session, ref: str, claimed_until: datetime, now: datetime, said: Any, **values: Any) -> bool:
    """Use up an invite: what an LMS registered at it waits for a person. False when the claim was lost meanwhile."""
    written = session.run(
        "UPDATE lms_invite SET state = 'pending', problem = NULL, registration = %(registration)s, issuer = %(issuer)s, "
        "client_id = %(client_id)s, deployment_id = %(deployment_id)s, said = %(said)s, answered_at = %(now)s "
        "WHERE district = %(district)s AND invite = %(ref)s AND state = 'open' AND claimed_until = %(until)s",
        ref=ref, until=claimed_until, now=now, said=Jsonb(said), **values,
    )  # fmt: skip
    return written == 1


def waiting(session: Session, now: datetime) -> Sequence[Any]:
    """Return the district's invites that an LMS may still use, or that wait for a person."""
    return session.rows(
        "SELECT i.*, v.name AS vendor_name FROM lms_invite i JOIN vendor v USING (district, vendor) "
        "WHERE i.district = %(district)s AND (i.state = 'pending' OR (i.state = 'open' AND i.expires_at > %(now)s)) "
        "ORDER BY i.created_at, i.invite",
        now=now,
    )  # fmt: skip


def lock(session: Session, ref: str) -> Any | None:
    """Return an invite; until this transaction ends nobody else decides about it."""
    return session.row(
        "SELECT * FROM lms_invite WHERE district = %(district)s AND invite = %(ref)s FOR UPDATE", ref=ref
    )


def withdraw(session: Session, ref: str, now: datetime, by: str) -> bool:
    """End an invite at which nothing was registered; False for any other. An attempt that is under way comes to
    nothing."""
    return bool(session.run(
        "UPDATE lms_invite SET state = 'withdrawn', decided_at = %(now)s, decided_by = %(by)s "
        "WHERE district = %(district)s AND invite = %(ref)s AND state = 'open'",
        ref=ref, now=now, by=by,
    ))  # fmt: skip


def decide(session: Session, ref: str, state: str, now: datetime, by: str) -> None:
    session.run(
        "UPDATE lms_invite SET state = %(state)s, decided_at = %(now)s, decided_by = %(by)s "
        "WHERE district = %(district)s AND invite = %(ref)s",
        ref=ref, state=state, now=now, by=by,
    )  # fmt: skip
