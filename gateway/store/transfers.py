"""What left: one row per transfer, beside its entry in the ledger, to look through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.store import tables
from gateway.store.tenant import Session

_HERE = "district = %(district)s AND school = %(school)s"


def keep(session: Session, **values: Any) -> None:
    """Write a transfer whose intent was just written."""
    session.insert(tables.transfer, **values)


def set_outcome(session: Session, transfer: str, outcome: str) -> None:
    session.run(
        f"UPDATE transfer SET outcome = %(outcome)s WHERE {_HERE} AND transfer = %(transfer)s",
        outcome=outcome, transfer=transfer,
    )  # fmt: skip


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
