"""A school's own people look at its pupils: that is access, no disclosure, and the school's log says that it was done.

Who looked, at what, when, and how many people were in it. Not at whom, and nothing of them: a list of looks at one
pupil would be a thing to look at itself. What only counts pupils is no look at them. What cannot be written down is not
shown.
"""

from __future__ import annotations

from gateway.flows import disclosure
from gateway.flows.parts import Office
from gateway.identity.staff import Person as Staff
from gateway.ledger.entry import LOOKS
from gateway.store.tenant import Session

ANSWERS, DECISION, FAMILY, RECEIPT, ROSTER = LOOKS


def looked(parts: Office, session: Session, by: Staff, at: str, people: int) -> None:
    """Note that somebody looks at so many of the session's school's people; at none of them, nothing is noted. Raises
    Refused with LED_UNAVAILABLE."""
    if people:
        disclosure.event(
            parts, session, "access", parts.ids.new("ac"), "permit", actor={"kind": "staff", "ref": by.ref},
            looked_at=at, subjects=people,
        )  # fmt: skip
