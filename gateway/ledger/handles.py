"""Who was in a transfer, without saying who: keyed handles that only a person's own salt can lead back to.

A handle is HMAC(HMAC(installation and school, salt), transfer), 16 bytes. Handles of one person in two
transfers cannot be linked without the salt; destroying the salt erases the person from the log for good,
and every proof still verifies.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Iterable

from gateway.ledger import merkle
from gateway.store.secrets import Vault
from gateway.store.tenant import Session

SIZE = 16


def handles_of(session: Session, vault: Vault, persons: Iterable[str], transfer: str) -> bytes:
    """Return the sorted handles of these persons in this transfer, one after the other."""
    salts = _salts(session, sorted(set(persons)))
    key = _school_key(session, vault)
    return b"".join(sorted(_handle(key, salt, transfer) for salt in salts.values()))


def find(session: Session, vault: Vault, person: str, transfers: Iterable[tuple[str, bytes]]) -> list[str]:
    """Return those transfers, given as (reference, handles), that this person was in."""
    row = session.row(
        "SELECT salt FROM subject_key WHERE district = %(district)s AND school = %(school)s AND person_id = %(person)s",
        person=person,
    )
    if row is None:
        return []
    key, found = _school_key(session, vault), []
    for transfer, handles in transfers:
        mine = _handle(key, bytes(row.salt), transfer)
        if any(handles[i : i + SIZE] == mine for i in range(0, len(handles), SIZE)):
            found.append(transfer)
    return found


def root_of(handles: bytes) -> str:
    """Return the root over the sorted handles, in hex: what the ledger keeps of them."""
    leaves = [merkle.leaf_hash(handles[i : i + SIZE]) for i in range(0, len(handles), SIZE)]
    return merkle.root(leaves).hex()


def _school_key(session: Session, vault: Vault) -> bytes:
    place = session.place
    return vault.derive(f"subject|{place.district}|{place.school}")


def _handle(key: bytes, salt: bytes, transfer: str) -> bytes:
    person = hmac.digest(key, salt, "sha256")
    return hmac.digest(person, transfer.encode(), "sha256")[:SIZE]


def _salts(session: Session, persons: list[str]) -> dict[str, bytes]:
    known = _read(session, persons)
    missing = [p for p in persons if p not in known]
    if missing:
        session.run(
            "INSERT INTO subject_key (district, school, person_id, salt) "
            "SELECT %(district)s, %(school)s, p, s FROM unnest(%(p)s::text[], %(s)s::bytea[]) AS t(p, s) "
            "ON CONFLICT DO NOTHING",
            p=missing, s=[os.urandom(32) for _ in missing],
        )  # fmt: skip
        known |= _read(session, missing)
    return known


def _read(session: Session, persons: list[str]) -> dict[str, bytes]:
    rows = session.rows(
        "SELECT person_id, salt FROM subject_key WHERE district = %(district)s AND school = %(school)s "
        "AND person_id = ANY(%(persons)s)",
        persons=persons,
    )
    return {row.person_id: bytes(row.salt) for row in rows}
