"""What left: one row per transfer, beside its entry in the ledger, to look through."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from gateway.store.tenant import Session

# Of lines as `ledger.log` says them: those with a transfer. Where each was just written is said by `places`.
KEEP = """
INSERT INTO transfer (district, school, transfer, operation, vendor, agreement, access_grant, at, handles, payload_key,
    outcome, elements, entry)
SELECT %(district)s, line.school, t.transfer, t.operation, t.vendor, t.agreement, t.access_grant, t.at,
    decode(t.handles, 'hex'), decode(t.payload_key, 'hex'), t.outcome, t.elements, placed.places[line.nth]
FROM placed, line CROSS JOIN LATERAL jsonb_to_record(line.transfer) AS t(transfer text, operation text, vendor text,
    agreement text, access_grant text, at timestamptz, handles text, payload_key text, outcome text, elements text[])
WHERE line.transfer IS NOT NULL
"""
_HERE = "district = %(district)s AND school = %(school)s"


class Transfer(NamedTuple):
    """A transfer as one school's record has it."""

    school: int
    transfer: str
    operation: str
    vendor: str
    agreement: str
    access_grant: str
    at: datetime
    handles: bytes
    payload_key: bytes
    outcome: str
    elements: list[str]


def said(kept: Transfer) -> dict[str, Any]:
    """Return a transfer as `KEEP` reads it: what JSON can say."""
    return kept._asdict() | {"handles": kept.handles.hex(), "payload_key": kept.payload_key.hex()}


def set_outcome(session: Session, transfer: str, outcome: str) -> None:
    session.run(
        f"UPDATE transfer SET outcome = %(outcome)s WHERE {_HERE} AND transfer = %(transfer)s",
        outcome=outcome, transfer=transfer,
    )  # fmt: skip


def one(session: Session, transfer: str) -> Any | None:
    """Return a transfer of the session's school: its place in the ledger and its handles."""
    return session.row(
        f"SELECT entry, handles FROM transfer WHERE {_HERE} AND transfer = %(transfer)s", transfer=transfer
    )


def of_school(session: Session) -> Sequence[Any]:
    """Return the transfers of the session's school with who received them, oldest first."""
    return session.rows(
        "SELECT t.transfer, t.operation, t.agreement, t.vendor, t.entry, t.at, t.elements, t.handles, t.outcome, "
        "coalesce(v.name, '') AS vendor_name, coalesce(v.contact, '') AS contact FROM transfer t LEFT JOIN vendor v "
        "ON v.district = t.district AND v.vendor = t.vendor WHERE t.district = %(district)s "
        "AND t.school = %(school)s ORDER BY t.entry"
    )


def of_grant(session: Session, grant: str, after: int, limit: int) -> Sequence[Any]:
    """Return the transfers of one grant at the session's school, from an entry on."""
    return session.rows(
        f"SELECT transfer, operation, entry, at, elements, length(handles) / 16 AS subjects, outcome FROM transfer "
        f"WHERE {_HERE} AND access_grant = %(grant)s AND entry > %(after)s ORDER BY entry LIMIT %(limit)s",
        grant=grant, after=after, limit=limit,
    )  # fmt: skip
