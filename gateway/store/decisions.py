"""What decisions rested on, beside their entries in the ledger: references to versions, never the facts themselves.

The key is the ledger's: an entry has a decision's facts only as a hash under it. A row about one person is erased with
them; its key goes too, so that nobody can try out whose facts an entry was about.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from gateway.policy import facts
from gateway.store.facts import COLLECTED, NOBODY, agreement_of, consent_of, direction_of, opt_out_of, policy_version_of
from gateway.store.tenant import Session

# Of lines as `ledger.log` says them: those about a decision.
KEEP = """
INSERT INTO decision (district, school, decision, at, person_id, key, basis)
SELECT %(district)s, line.school, d.decision, d.at, d.person, decode(d.key, 'hex'), d.basis::jsonb
FROM line CROSS JOIN LATERAL jsonb_to_record(line.rested) AS d(decision text, at timestamptz, person text, key text,
    basis text)
WHERE line.rested IS NOT NULL
"""
_HERE = "district = %(district)s AND school = %(school)s"
_APART = timedelta(minutes=5)  # how far the clocks of two machines may be apart


class Kept(NamedTuple):
    """One decision of a school. `person` is whose row it was about, if one's."""

    school: int
    decision: str
    at: datetime
    person: str | None
    key: bytes
    basis: str


def said(kept: Kept) -> dict[str, Any]:
    """Return a decision as `KEEP` reads it: what JSON can say."""
    return kept._asdict() | {"key": kept.key.hex()}


def find(session: Session, decision: str) -> Any | None:
    """Return a decision of the session's school."""
    return session.row(f"SELECT * FROM decision WHERE {_HERE} AND decision = %(decision)s", decision=decision)


# --- the versions a decision names, read again ---------------------------------------------------------


def papers(session: Session, school: str, agreements: Sequence[str], directions: Sequence[str]) -> tuple[
    tuple[facts.Agreement, ...], tuple[facts.Direction, ...]
]:  # fmt: skip
    """Return these versions (ref@version) of agreements and directions, in this order; those that are gone are missing."""
    return (
        tuple(agreement_of(one, school) for one in _versions(session, "agreement", agreements)),
        tuple(direction_of(one) for one in _versions(session, "direction", directions)),
    )


def policy_versions(session: Session, named: Sequence[Sequence[Any]]) -> tuple[facts.PolicyVersion, ...]:
    """Return these versions of privacy policies, with what the school had been told and had agreed to by then."""
    rows = session.rows("SELECT * FROM policy_version WHERE district = %(district)s")
    by_id = {f"{row.policy}@{row.version}": row for row in rows}
    return tuple(
        policy_version_of(
            {
                "policy": row.policy, "version": row.version, "change": row.change, "opens": row.opens,
                "effective_at": row.effective_at.isoformat(),
                "words": [word for word, said in (("noticed", noticed), ("accepted", accepted)) if said],
            }
        )
        for name, noticed, accepted in named
        if (row := by_id.get(name)) is not None
    )  # fmt: skip


_PERSON = f"""
SELECT u.is_pupil, (SELECT b.birth_date FROM roster_demographics b WHERE b.district = u.district
    AND b.school = u.school AND b.sourced_id = u.sourced_id AND b.since <= %(version)s
    AND (b.until IS NULL OR b.until > %(version)s)) AS birth_date,
    {COLLECTED}
FROM roster_user u WHERE u.district = %(district)s AND u.school = %(school)s AND u.sourced_id = %(person)s
    AND u.since <= %(version)s AND (u.until IS NULL OR u.until > %(version)s)
"""


def person(
    session: Session, ref: str, version: int, consents: Sequence[str], opt_outs: Sequence[str]
) -> facts.Person:  # fmt: skip
    """Return the facts of a person as they were in a version of the school's roster, with these answers of theirs."""
    row = session.row(_PERSON, person=ref, version=version)
    if row is None:
        return NOBODY
    return facts.Person(
        True, row.is_pupil, row.birth_date, False,
        tuple(map(consent_of, _versions(session, "consent", consents))),
        tuple(map(opt_out_of, _versions(session, "opt_out", opt_outs))), row.collected_at, ref,
    )  # fmt: skip


def rosters_by(session: Session, at: datetime) -> list[int]:
    """Return the versions of the school's roster that may have been served at a moment, the likeliest first."""
    rows = session.rows(
        f"SELECT version FROM roster_version WHERE {_HERE} AND published_at <= %(at)s ORDER BY version DESC LIMIT 4",
        at=at + _APART,
    )
    return [row.version for row in rows]


def _versions(session: Session, kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return these versions of papers of a kind, as JSON, in the order they are named."""
    rows = session.rows(
        f"SELECT {kind} || '@' || version AS name, to_jsonb(k) AS said FROM {kind} k WHERE {_HERE} "
        f"AND {kind} || '@' || version = ANY(%(names)s)",
        names=list(names),
    )
    by_name = {row.name: row.said for row in rows}
    return [by_name[name] for name in names if name in by_name]
