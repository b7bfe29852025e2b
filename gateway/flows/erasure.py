"""Erasure: everything a school holds about one person goes, and the key that leads from the ledger to them.

It is for a person whose record the school no longer keeps. While it keeps the record, the record of disclosures is kept
with it (34 CFR 99.32(a)(2)): the erasure is written down as deferred, and done by the night that removes the record.
Who was told of the person is told to delete first: afterwards nobody could find them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows import disclosure, rights_request
from gateway.flows.parts import Office
from gateway.identity.staff import Person as Staff
from gateway.ledger import handles
from gateway.store import directory, erasure, rights, roles, roster
from gateway.store.tenant import Place, Session

OPEN = ("open", "deferred")


@dataclass(frozen=True, slots=True)
class Erasure:
    """How a deletion stands at the school: erased with so many rows removed, or deferred and why."""

    request: str
    reason: Reason | None
    rows: int

    @property
    def erased(self) -> bool:
        return self.reason is None


def ask(parts: Office, by: Staff, place: Place, pupil: str) -> str:
    """Open a deletion request for a person by id, number or name, or by the id of somebody the roster no longer has;
    return its reference. Raises Refused."""
    by.acts_for(place.school)
    with parts.database.open_school(place) as session:
        found = [row.sourced_id for row in roster.find_pupil(session, pupil)]
    if not found:
        with parts.database.open_erasure(place) as session:
            found = [pupil] if erasure.knows(session, pupil) else []
    if len(found) != 1:
        raise Refused(errors.OWN_NOT_ASSOCIATED, "no person, or several, of that name or number at this school")
    with parts.database.open_school(place) as session:
        request, _ = rights_request.open_deletion(parts, session, found[0], by.ref)
    return request


def erase(parts: Office, by: Staff, place: Place, request: str) -> Erasure:
    """Carry out a deletion request at its school. Raises Refused for one that is not open there."""
    by.acts_for(place.school)
    return _erase(parts, place, request, by.ref)


def finish(parts: Office, district: int, by: str) -> list[Erasure]:
    """Carry out the deferred deletions of a district's schools that no longer keep the record; return those."""
    with parts.database.open_district(district) as session:
        places = [Place(row.district, row.school) for row in directory.schools(session)]
    done = []
    for place in places:
        with parts.database.open_erasure(place) as session:
            gone = [row.request for row in rights.deferred(session) if not erasure.keeps(session, row.person_id)]
        done += [_erase(parts, place, request, by) for request in gone]
    return done


def _erase(parts: Office, place: Place, request: str, by: str) -> Erasure:
    """Everything in one transaction: a person is erased whole or not at all. The log is locked last."""
    with parts.database.open_school(place) as session:
        row = rights.request(session, request)
        if row is None or row.kind != "delete" or row.state not in OPEN:
            raise Refused(errors.REQ_UNKNOWN, f"no deletion {request} is open at this school")
        told = rights_request.open_tasks(parts, session, request, row.person_id)
        session.enter(roles.ERASURE, place.district, (place.school,))
        reason = errors.RET_RECORD_KEPT if erasure.keeps(session, row.person_id) else None
        rows = 0 if reason else _remove(parts, session, row.person_id)
        state = "deferred" if reason else "erased"
        session.narrow(place)
        rights.set_state(session, request, state)
        said = {"type_": "erasure", "ref": request, "outcome": state, "actor": {"kind": "staff", "ref": by},
                "reason": reason.code if reason else None}  # fmt: skip
        disclosure.events(parts, session, [*told, said])
    return Erasure(request, reason, rows)


def _remove(parts: Office, session: Session, person: str) -> int:
    alone = ((row.transfer, bytes(row.handles)) for row in erasure.lone_transfers(session))
    removed = erasure.erase(session, person, handles.find(session, parts.vault, person, alone))
    session.enter(roles.INTAKE, session.district, ())
    erasure.forget_faults(session, person)
    return sum(removed.values())
