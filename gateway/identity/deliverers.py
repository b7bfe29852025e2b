"""Who brings a delivery to a district's own door: one of its administrators, or a machine with a source's token."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from gateway import errors
from gateway.errors import Refused
from gateway.identity import staff
from gateway.store import credentials
from gateway.store.secrets import token_hash
from gateway.store.tenant import Database

MACHINE = "sys_deliverer"  # a program, so never one of two people


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Who brings a delivery. A machine may bring those of its own `source` only; a person those of the district."""

    ref: str
    district: int
    source: str | None

    def may_bring(self, source: str) -> None:
        """Raise Refused for another source than one's own, as for one that is not there."""
        if self.source not in (None, source):
            raise Refused(errors.REQ_NOT_FOUND, "there is no such source in this district")


def deliverer(database: Database, token: str, now: datetime) -> Deliverer:
    """Return whom a token belongs to. Raises Refused."""
    with database.open_identity() as session:
        row = credentials.source_of_token(session, token_hash(token), now) if token else None
    if row:
        return Deliverer(MACHINE, row.district, row.source)
    person = staff.person(database, token, now)
    person.acts_for_district()
    return Deliverer(person.ref, person.district, None)
