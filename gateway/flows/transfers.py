"""A grant's own part of the ledger: what it received, without saying about whom."""

from __future__ import annotations

from typing import Any

from gateway.flows.parts import Parts
from gateway.identity.clients import Grant
from gateway.store import transfers
from gateway.store.facts import school_ref
from gateway.store.tenant import Place

PAGE = 500


def listing(parts: Parts, grant: Grant, after: str) -> dict[str, Any]:
    """Return the transfers of a grant, school by school, oldest first; `after` continues behind a position."""
    school_after, _, entry_after = after.partition(":")
    data: list[dict[str, Any]] = []
    for number in grant.schools:
        with parts.database.open_school(Place(grant.district, number)) as session:
            school = school_ref(session)
            if school_after and data == [] and school != school_after:
                continue
            start = int(entry_after) if entry_after.isdigit() and school == school_after else -1
            rows = transfers.of_grant(session, grant.ref, start, PAGE - len(data))
        school_after = ""
        data += [_shown(school, row) for row in rows]
        if len(data) >= PAGE:
            break
    return {"data": data, "next": data[-1]["position"] if len(data) >= PAGE else None}


def _shown(school: str, row: Any) -> dict[str, Any]:
    return {
        "id": row.transfer, "position": f"{school}:{row.entry}", "at": row.at.isoformat(),
        "operation": row.operation, "elements": row.elements, "subjects": row.subjects, "outcome": row.outcome,
    }  # fmt: skip
