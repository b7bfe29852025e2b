"""What may be brought in at a school: the elements that its agreements name, and its children only where they say so.

Nothing is collected because a source happens to send it. Without the frame a roster says of nobody where they belong:
an agreement for `roster.import` is one for the frame, whatever else its schedule names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from gateway.policy.facts import Agreement
from gateway.policy.request import Operation
from gateway.policy.rowplan import born_by
from gateway.policy.source_policies import PROFILES
from mappings.elements import REGISTER

FRAME = frozenset(
    {"record.source_id", "person.role", "person.enabled", "class.section", "enrollment.membership"}
    | {element.id for element in REGISTER.values() if element.category == "NON"}
)


@dataclass(frozen=True, slots=True)
class Collection:
    """What may be brought in at one school. Of `born_by` a pupil must be born on that day or before; None lets
    children in."""

    elements: frozenset[str]
    born_by: date | None


def collection(agreements: Iterable[Agreement], source_policy: str, now: datetime) -> Collection | None:
    """Return what a school's agreements let in, or None where none lets anything in."""
    standing = [a for a in agreements if a.status == "active" and a.effective_at <= now < a.expires_at]
    imports = [a for a in standing if Operation.ROSTER_IMPORT in a.operations]
    if not imports:
        return None
    named = frozenset[str]().union(*(a.schedule for a in imports))
    children = any(a.school_agent for a in imports)
    return Collection(FRAME | named, None if children else born_by(PROFILES[source_policy].child_age, now))
