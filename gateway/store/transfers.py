"""What left: one row per transfer, beside its entry in the ledger, to look through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from gateway.store import tables
from gateway.store.tenant import Session

_KEEP_EACH = """
INSERT INTO transfer (district, school, transfer, agreement, entry, handles, payload_key, elements, operation, vendor,
    access_grant, at, outcome)
SELECT %(district)s, o.*, %(operation)s, %(vendor)s, %(access_grant)s, %(at)s, %(outcome)s
FROM (SELECT s, t, a, e, h, k, ARRAY(SELECT jsonb_array_elements_text(x)) FROM unnest(%(own_schools)s::int[],
    %(own_transfers)s::text[], %(own_agreements)s::text[], %(own_entries)s::bigint[], %(own_handles)s::bytea[],
    %(own_keys)s::bytea[], %(own_elements)s::jsonb[]) AS u(s, t, a, e, h, k, x)) o
"""
_HERE = "district = %(district)s AND school = %(school)s"


def keep(session: Session, **values: Any) -> None:
    """Write a transfer whose intent was just written."""
    session.insert(tables.transfer, **values)


class Own(NamedTuple):
    """What of one transfer to several schools is one school's own."""

    school: int
    transfer: str
    agreement: str
    entry: int
    handles: bytes
    payload_key: bytes
    elements: list[str]


def keep_each(session: Session, own: Sequence[Own], **common: Any) -> None:
    """Write one transfer for each of several schools of the session."""
    schools, transfers, agreements, entries, handles, keys, elements = zip(*own, strict=True)
    session.run(
        _KEEP_EACH, own_schools=list(schools), own_transfers=list(transfers), own_agreements=list(agreements),
        own_entries=list(entries), own_handles=list(handles), own_keys=list(keys),
        own_elements=[Jsonb(one) for one in elements], **common,
    )  # fmt: skip


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
