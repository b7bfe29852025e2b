"""What left: one row per transfer, beside its entry in the ledger, to look through."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from gateway.store.tenant import Session

# Where the intents of transfers were just written is said by `places`; `nth` says which of them is a transfer's own.
KEEP = """
INSERT INTO transfer (district, school, transfer, operation, vendor, agreement, access_grant, at, handles, payload_key,
    outcome, elements, entry)
SELECT %(district)s, s, t, o, v, a, g, w, h, k, u, ARRAY(SELECT jsonb_array_elements_text(x)), placed.places[n]
FROM placed, unnest(%(own_schools)s::int[], %(own_transfers)s::text[], %(own_operations)s::text[],
    %(own_vendors)s::text[], %(own_agreements)s::text[], %(own_grants)s::text[], %(own_moments)s::timestamptz[],
    %(own_handles)s::bytea[], %(own_keys)s::bytea[], %(own_outcomes)s::text[], %(own_elements)s::jsonb[],
    %(nth)s::int[]) AS own(s, t, o, v, a, g, w, h, k, u, x, n)
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


def columns(kept: Sequence[Transfer]) -> dict[str, list[Any]]:
    """Return what `KEEP` asks for of transfers."""
    schools, names, operations, vendors, agreements, grants, moments, handles, keys, outcomes, elements = zip(
        *kept, strict=True
    )
    return {
        "own_schools": list(schools), "own_transfers": list(names), "own_operations": list(operations),
        "own_vendors": list(vendors), "own_agreements": list(agreements), "own_grants": list(grants),
        "own_moments": list(moments), "own_handles": list(handles), "own_keys": list(keys),
        "own_outcomes": list(outcomes), "own_elements": [Jsonb(one) for one in elements],
    }  # fmt: skip


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
