"""Erasure: everything a school holds about one person goes, and the key that leads from the ledger to them.

It is for a person whose record the school no longer keeps. While it keeps the record, the record of disclosures is kept
with it (34 CFR 99.32(a)(2)): the erasure is written down as deferred, and done by a night two weeks after the record
went.
Who was told of the person is told to delete first: afterwards nobody could find them. What the family refused stays
refused, should the pupil come again (`refusals.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows import disclosure, refusals, rights_request
from gateway.flows.parts import Office
from gateway.identity.staff import Person as Staff
from gateway.ledger import handles, log
from gateway.store import directory, erasure, rights, roles, roster
from gateway.store.tenant import UNREACHABLE, Place, Session

OPEN = ("open", "deferred")
SURE = timedelta(days=14)  # a night may leave somebody out by mistake; what is erased does not come back


@dataclass(frozen=True, slots=True)
class Erasure:
    """How a deletion stands at the school: erased with so many rows removed, or deferred and why."""

    request: str
    reason: Reason | None
    rows: int

    @property
    def erased(self) -> bool:
        return self.reason is None


def ask(parts: Office, by: Staff, place: Place, pupil: str) -> tuple[str, str]:
    """Open a deletion request for a pupil by id, number or name, or for somebody by the id that the roster no longer
    has; return its reference and whom it is about, by id. Raises Refused for nobody, or several."""
    by.acts_for(place.school)
    with parts.database.open_school(place) as session:
        found = {row.sourced_id for row in roster.find_pupil(session, pupil)}
    with parts.database.open_erasure(place) as session:
        found |= {pupil} if erasure.knows(session, pupil) else set()
    if len(found) != 1:
        raise Refused(errors.OWN_NOT_ASSOCIATED, "no person, or several, of that id, name or number at this school")
    (person,) = found
    with parts.database.open_school(place) as session:
        request, _ = rights_request.open_deletion(parts, session, person, by.ref)
    return request, person


def erase(parts: Office, by: Staff, place: Place, request: str) -> Erasure:
    """Carry out a deletion request at its school. Raises Refused for one that is not open there."""
    by.acts_for(place.school)
    return _erase(parts, place, request, by.ref)


def finish(parts: Office, district: int, by: str) -> tuple[int, int]:
    """Carry out the deferred deletions of a district's schools that have not kept the record for so long as is `SURE`.

    Return how many were carried out, and how many could not be: those wait for the next night, and keep no other
    waiting.
    """
    with parts.database.open_district(district) as session:
        places = [Place(row.district, row.school) for row in directory.schools(session)]
    done = failed = 0
    for place in places:
        for request in _due(parts, place):
            try:
                done += _erase(parts, place, request, by).erased
            except (Refused, *UNREACHABLE):
                failed += 1
    return done, failed


def _due(parts: Office, place: Place) -> list[str]:
    now = parts.clock.now()
    with parts.database.open_school(place) as session:
        waiting = [row for row in rights.deferred(session) if not erasure.keeps(session, row.person_id)]
        gone = ((row.request, erasure.gone_since(session, row.person_id)) for row in waiting)
        return [request for request, since in gone if since is None or since + SURE <= now]


def _erase(parts: Office, place: Place, request: str, by: str) -> Erasure:
    """Everything in one transaction: a person is erased whole or not at all.

    Records go first. Then the head of the log is held, and who has read of the person writes no more: so the recipients
    are all there are, and nothing leads to the person again. A roster that brings them back holds it too: it came
    before, and nobody is erased; or it comes after, and what was refused stands for them.
    """
    with parts.database.open_school(place) as session:
        row = rights.request(session, request)
        if row is None or row.kind != "delete" or row.state not in OPEN:
            raise Refused(errors.REQ_UNKNOWN, f"no deletion {request} is open at this school")
        session.enter(roles.ERASURE, place.district, (place.school,))
        reason = errors.RET_RECORD_KEPT if erasure.keeps(session, row.person_id) else None
        rows = 0 if reason else _erase_records(parts, session, place, row.person_id)
        session.narrow(place)
        if reason is None:
            log.note_erasure(session)
            _require_gone(session, row.person_id)
        told = rights_request.open_tasks(parts, session, request, row.person_id)
        rows += 0 if reason else _unlink(parts, session, place, row.person_id)
        state = "deferred" if reason else "erased"
        rights.set_state(session, request, state)
        said = {"type_": "erasure", "ref": request, "outcome": state, "actor": {"kind": "staff", "ref": by},
                "reason": reason.code if reason else None}  # fmt: skip
        disclosure.events(parts, session, [*told, said])
    return Erasure(request, reason, rows)


def _erase_records(parts: Office, session: Session, place: Place, person: str) -> int:
    session.narrow(place)
    refusals.keep(parts, session, person)
    session.enter(roles.ERASURE, place.district, (place.school,))
    return erasure.erase(session, person)


def _require_gone(session: Session, person: str) -> None:
    if erasure.keeps(session, person):
        raise Refused(errors.RET_RECORD_KEPT, "the roster has just brought this person back")


def _unlink(parts: Office, session: Session, place: Place, person: str) -> int:
    alone = [(row.transfer, bytes(row.handles)) for row in erasure.lone_transfers(session)]
    lone = handles.find(session, parts.vault, person, alone)
    session.enter(roles.ERASURE, place.district, (place.school,))
    rows = erasure.unlink(session, person, lone)
    session.enter(roles.INTAKE, place.district, ())
    erasure.forget_faults(session, person)
    session.narrow(place)
    return rows
