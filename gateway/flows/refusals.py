"""What a family refused outlives the erasure of its pupil: a no does not become a yes because it was forgotten.

Of an erased pupil a school keeps no more than what was refused, under a mark: the keyed hash of the id by which the
school knew them. Its key is not in the database, so that nothing there leads from a mark to a pupil, or back. Where the
school's roster has the same id again, the refusals stand for it as before, and the mark is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from gateway.flows.parts import Office
from gateway.ledger import entry, log
from gateway.policy.persons import actor_kind
from gateway.store import rights, roles
from gateway.store.secrets import Vault
from gateway.store.tenant import Place, Session

_SIZE = 32  # bytes of a mark


def keep(parts: Office, session: Session, person: str) -> None:
    """Keep what stands refused for a person at the session's school, before they are erased there."""
    now = parts.clock.now()
    refused = rights.refusals(session, person, now)
    if refused:
        rights.keep_refusals(session, _mark(_key(parts.vault, session.place), person), refused, now)


def give_back(parts: Office, session: Session, schools: Mapping[int, tuple[str, int]], by: str) -> None:
    """Let what was refused stand for whoever came again. `schools` are the new versions, as {number: (reference,
    version)}; the heads of their logs are held first, so that nobody is being erased there who comes with them."""
    district, before = session.district, session.schools
    for school, (ref, version) in sorted(schools.items()):
        session.enter(roles.SCHOOL, district, (school,))
        log.hold(session)
        given = _given_back(parts, session, version, by)
        if given:
            log.append(session, [_recorded(parts, ref, one, by) for one in given])
    session.enter(roles.INTAKE, district, before)


def _given_back(parts: Office, session: Session, version: int, by: str) -> list[str]:
    """Return the references of the refusals that stand again at the session's school."""
    if not rights.keeps_refusals(session):
        return []
    key, now, given = _key(parts.vault, session.place), parts.clock.now(), list[str]()
    marks = {_mark(key, person): person for person in rights.came_with(session, version)}
    for row in rights.take_refusals(session, list(marks)):
        given += rights.refuse_again(session, marks[bytes(row.mark)], row.refusals, parts.ids.new, now, by)
    return given


def _key(vault: Vault, place: Place) -> bytes:
    return vault.derive(f"refusal|{place.district}|{place.school}")


def _mark(key: bytes, person: str) -> bytes:
    return blake2b(person.encode(), key=key, digest_size=_SIZE).digest()


def _recorded(parts: Office, school: str, ref: str, by: str) -> dict[str, object]:
    return {"v": entry.VERSION, "type": "consent", "at": entry.moment(parts.clock.now()), "school": school, "id": ref,
            "outcome": "recorded", "actor": {"kind": str(actor_kind(by)), "ref": by}}  # fmt: skip
