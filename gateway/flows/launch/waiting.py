"""What waits to be linked, and for a copied course what the one before it is linked to: a suggestion, never a link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from gateway.flows.onboarding.places import places
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.store import launches, registrations
from gateway.store.tenant import Session
from mappings import lti
from mappings.lti_messages import LONGEST_ID, MOST_ORIGINS
from mappings.text import is_text


@dataclass(frozen=True, slots=True)
class Waiting:
    """A deployment or course that is not linked, and the courses it was copied from that are: the latest first."""

    row: Any
    copies: Sequence[Any]


def history(message: Mapping[str, Any]) -> list[str]:
    """Return which courses a launch's course was copied from, the latest first (LTI Core 1.3, appendix D.2): as the
    custom value that our registration asks for says, its ids encoded as in an address."""
    listed = lti.said(message.get("custom", {}).get("context_id_history")) or ""
    found = dict.fromkeys(unquote(part.strip()) for part in listed.split(","))
    return [one for one in found if 0 < len(one) <= LONGEST_ID and is_text(one)][:MOST_ORIGINS]


def waiting(parts: Office, by: Person) -> Sequence[Waiting]:
    """Return what of the district is not linked, the newest first."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        rows = launches.waiting(session)
    if not any(row.copied_from for row in rows):
        return [Waiting(row, ()) for row in rows]
    where = [place.school for place in places(parts, by, ())]
    with parts.database.open_schools(by.district, where) as session:
        return [Waiting(row, _copies(session, row)) for row in rows]


def _copies(session: Session, row: Any) -> Sequence[Any]:
    """The linked courses among those that a course was copied from, in their order."""
    if not row.copied_from:
        return ()
    found = registrations.classes_of(session, row.registration, row.copied_from)
    return sorted(found, key=lambda one: row.copied_from.index(one.context_id))
