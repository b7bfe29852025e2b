"""Who was in a transfer, without saying who: keyed handles that only a person's own salt can lead back to.

Two steps of BLAKE2b (RFC 7693). The opening, 32 bytes, is the keyed hash of the transfer and the person's salt (its
last 32 bytes), under a key of the installation and school. The handle, 16 bytes, is the hash of the opening and the
person's id. Handles of one person in two transfers cannot be linked without the salt; destroying the salt erases the
person from the log for good, and every proof still verifies.

An opening may be shown: it proves that this person was in this transfer (`receipt.py`), and says nothing of any other.
A receipt of absence needs nothing new: handles are kept sorted, so two neighbours and the opening show a gap.

BLAKE2b has its key built in: one pass, where HMAC takes two. A page of a roster makes a handle for every pupil on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from psycopg.types.json import Jsonb

from gateway.ledger import merkle
from gateway.store.secrets import Vault
from gateway.store.tenant import Session

SIZE, OPENING = 16, 32  # bytes of a handle and of what opens it
People = Mapping[str, bytes | None]  # persons of a school, each with the salt where it has been read


def handles_of(session: Session, vault: Vault, persons: Iterable[str], transfer: str) -> bytes:
    """Return the sorted handles of these persons in this transfer, one after the other."""
    school = session.place.school
    return handles_of_each(session, vault, {school: dict.fromkeys(persons)}, {school: transfer})[school]


def handles_of_each(
    session: Session, vault: Vault, people: Mapping[int, People], transfers: Mapping[int, str]
) -> dict[int, bytes]:
    """Return {school: the sorted handles of its people in its transfer}, for several of the session's schools."""
    unread = [(school, one) for school in sorted(people) for one, salt in sorted(people[school].items()) if not salt]
    read, found = _salts(session, unread) if unread else {}, {}
    for school, own in people.items():
        salted = [(one, salt or read[school, one]) for one, salt in own.items()]
        found[school] = b"".join(sorted(_handles(_school_key(session.at(school), vault), salted, transfers[school])))
    return found


def find(session: Session, vault: Vault, person: str, transfers: Iterable[tuple[str, bytes]]) -> list[str]:
    """Return those transfers, given as (reference, handles), that this person was in."""
    salt = _salt(session, person)
    if salt is None:
        return []
    key, found = _school_key(session, vault), []
    for transfer, handles in transfers:
        (mine,) = _handles(key, [(person, salt)], transfer)
        if mine in split(handles):
            found.append(transfer)
    return found


def opening(session: Session, vault: Vault, person: str, transfer: str) -> bytes | None:
    """Return what opens this person's handle in this transfer, and no other; None where there is no salt (any more)."""
    salt = _salt(session, person)
    return (
        None
        if salt is None
        else blake2b(transfer.encode() + salt, key=_school_key(session, vault), digest_size=OPENING).digest()
    )


def handle(opened: bytes, person: str) -> bytes:
    """Return the handle of a person from its opening: all that a stranger needs to check it."""
    return blake2b(opened + person.encode(), digest_size=SIZE).digest()


def split(handles: bytes) -> list[bytes]:
    """Return handles that stand one after the other, one by one."""
    return [handles[i : i + SIZE] for i in range(0, len(handles), SIZE)]


def leaves(handles: bytes) -> list[bytes]:
    """Return the leaf hashes of sorted handles: the tree that `subjects_root` is the root of."""
    return [merkle.leaf_hash(one) for one in split(handles)]


def root_of(handles: bytes) -> str:
    """Return the root over the sorted handles, in hex: what the ledger keeps of them."""
    return merkle.root(leaves(handles)).hex()


def _salt(session: Session, person: str) -> bytes | None:
    row = session.row(
        "SELECT salt FROM subject_key WHERE district = %(district)s AND school = %(school)s AND person_id = %(person)s",
        person=person,
    )
    return bytes(row.salt) if row else None


def _school_key(session: Session, vault: Vault) -> bytes:
    place = session.place
    return vault.derive(f"subject|{place.district}|{place.school}")


def _handles(key: bytes, people: Iterable[tuple[str, bytes]], transfer: str) -> list[bytes]:
    """Hash what is common to a transfer, its key and name, once; and each salt after it."""
    common, found = blake2b(transfer.encode(), digest_size=OPENING, key=key), []
    for person, salt in people:
        own = common.copy()
        own.update(salt)
        found.append(handle(own.digest(), person))
    return found


Subject = tuple[int, str]  # a person at a school


def _salts(session: Session, subjects: Sequence[Subject]) -> dict[Subject, bytes]:
    known = _read(session, subjects)
    missing = [one for one in subjects if one not in known]
    if missing:
        session.run(
            "INSERT INTO subject_key (district, school, person_id, salt) SELECT %(district)s, s, p, k "
            "FROM unnest(%(at)s::int[], %(persons)s::text[], %(salts)s::bytea[]) AS t(s, p, k) ON CONFLICT DO NOTHING",
            at=[school for school, _ in missing], persons=[person for _, person in missing],
            salts=[os.urandom(32) for _ in missing],
        )  # fmt: skip
        known |= _read(session, missing)
    return known


def _read(session: Session, subjects: Sequence[Subject]) -> dict[Subject, bytes]:
    """Look at each school's own persons, one school after the other."""
    persons: dict[int, list[str]] = {}
    for school, person in subjects:
        persons.setdefault(school, []).append(person)
    rows = session.rows(
        "SELECT k.school, k.person_id, k.salt FROM jsonb_to_recordset(%(persons)s) AS t(s int, p text[]) "
        "CROSS JOIN LATERAL (SELECT * FROM subject_key k WHERE k.district = %(district)s AND k.school = t.s "
        "AND k.person_id = ANY(t.p) OFFSET 0) k",
        persons=Jsonb([{"s": school, "p": own} for school, own in persons.items()]),
    )
    return {(row.school, row.person_id): row.salt for row in rows}
