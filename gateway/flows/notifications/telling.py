"""What a district is told, once for each cause, source and day; and how it is written to those outside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

from gateway.errors import VOCABULARY
from gateway.flows.parts import Office
from gateway.store import directory, notifications
from gateway.store.tenant import Session

_REASON = {"held": "SRC_HELD", "drifting": "SRC_DRIFT", "missing": "SRC_MISSING", "changed": "SRC_OFFER_CHANGED"}


def tell(
    parts: Office, session: Session, cause: str, source: str, *, code: str | None = None, run: str | None = None,
    said: Mapping[str, int] | None = None,
) -> bool:  # fmt: skip
    """Tell a district of something, in an intake session of it; False when it was told that day already. `said` are
    counts."""
    now = parts.clock.now()
    row = directory.district(session)
    day = now.astimezone(ZoneInfo(row.zone)).date() if row else now.date()
    return notifications.add(
        session, parts.ids.new("no"), source, cause, day, now, code=code or _REASON.get(cause), run=run,
        said=dict(said or {}),
    )  # fmt: skip


def body(row: Any) -> dict[str, Any]:
    """What is sent of a notification: references, a code with its sentence, counts, and the name of the source."""
    reason = VOCABULARY.get(row.code or "")
    return {
        "id": row.notification, "cause": row.cause, "source": row.source, "source_name": row.source_name or "",
        "district": row.district_ref, "run": row.run or "", "day": row.day.isoformat(), "said": row.said,
        "at": row.made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "code": row.code or "",
        "sentence": reason.sentence if reason else "", "remedy": reason.remedy if reason else "",
    }  # fmt: skip
