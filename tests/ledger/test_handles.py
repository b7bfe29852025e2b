"""Handles say that somebody was in a transfer, and only the person's own salt says who."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import pairwise
from random import Random

import pytest

from gateway.ledger import entry, handles, log, merkle, proof
from gateway.store.secrets import Vault
from gateway.store.tenant import Session
from tests.ledger.rfc6962 import mth
from tests.worlds import World

_HERE = "WHERE district = %(district)s AND school = %(school)s"


@pytest.fixture
def schools(world) -> World:
    return world.found("A", "B")


def made(world: World, transfer: str, *persons: str, org: str = "A") -> bytes:
    with world.office.database.open_school(world.places[org]) as session:
        return handles.handles_of(session, world.office.vault, persons, transfer)


def found(
    world: World, person: str, transfers: dict[str, bytes], org: str = "A", vault: Vault | None = None
) -> list[str]:
    with world.office.database.open_school(world.places[org]) as session:
        return handles.find(session, vault or world.office.vault, person, transfers.items())


def forget(world: World, person: str) -> None:
    with world.office.database.open_erasure(world.places["A"]) as session:
        assert session.run(f"DELETE FROM subject_key {_HERE} AND person_id = %(person)s", person=person) == 1


def single(joined: bytes) -> list[bytes]:
    return [joined[place : place + handles.SIZE] for place in range(0, len(joined), handles.SIZE)]


# --- who cannot be linked --------------------------------------------------------------------------


def test_a_transfer_has_one_handle_for_each_person_in_an_order_that_says_nothing(schools):
    some = made(schools, "tr_00000001", "p3", "p1", "p2", "p1")
    assert len(single(some)) == 3
    assert single(some) == sorted(single(some))
    assert some == made(schools, "tr_00000001", "p1", "p2", "p3")
    assert made(schools, "tr_00000002") == b""


def test_one_person_in_two_transfers_cannot_be_linked(schools):
    every = [made(schools, f"tr_{n:08d}", "p1") for n in range(50)]
    assert len(set(every)) == 50
    halves = {handle[:8] for handle in every} | {handle[8:] for handle in every}
    assert len(halves) == 100


def test_one_person_at_two_schools_is_two(schools):
    assert made(schools, "tr_00000001", "p1", org="A") != made(schools, "tr_00000001", "p1", org="B")
    assert found(schools, "p1", {"tr_00000001": made(schools, "tr_00000001", "p1", org="A")}, org="B") == []


def test_even_with_the_same_salt_two_schools_make_different_handles(schools):
    for org in "AB":
        with schools.office.database.open_school(schools.places[org]) as session:
            session.run("INSERT INTO subject_key VALUES (%(district)s, %(school)s, 'p1', %(salt)s)", salt=bytes(32))
    assert made(schools, "tr_00000001", "p1", org="A") != made(schools, "tr_00000001", "p1", org="B")


def test_two_people_share_no_salt_and_a_salt_is_made_once(schools):
    made(schools, "tr_00000001", "p1", "p2")
    made(schools, "tr_00000002", "p1", "p2")
    with schools.office.database.open_school(schools.places["A"]) as session:
        salts = [bytes(row.salt) for row in session.rows(f"SELECT salt FROM subject_key {_HERE}")]
    assert [len(salt) for salt in salts] == [32, 32]
    assert len(set(salts)) == 2


def test_writers_that_meet_a_person_at_once_agree_on_its_salt(schools):
    with ThreadPoolExecutor(8) as pool:
        names = [f"tr_{n:08d}" for n in range(16)]
        transfers = dict(zip(names, pool.map(lambda name: made(schools, name, "p1", "p2"), names), strict=True))
    assert found(schools, "p1", transfers) == names
    assert found(schools, "p2", transfers) == names


def test_no_handle_holds_the_id_or_the_salt_or_the_plain_hash_of_a_person(schools):
    handle = made(schools, "tr_00000001", "p1")
    with schools.office.database.open_school(schools.places["A"]) as session:
        salt = bytes(session.row(f"SELECT salt FROM subject_key {_HERE}").salt)
    for guess in (b"p1", b"tr_00000001", salt, salt + b"p1", salt + b"tr_00000001", b"p1tr_00000001"):
        assert handle not in (sha256(guess).digest()[:16], guess[:16])


# --- what a person was in --------------------------------------------------------------------------


def test_a_person_is_found_in_exactly_its_own_transfers(schools):
    chance, people = Random(5), [f"p{n}" for n in range(12)]
    members = {f"tr_{n:08d}": chance.sample(people, chance.randint(0, 8)) for n in range(30)}
    transfers = {name: made(schools, name, *persons) for name, persons in members.items()}
    for person in people:
        assert found(schools, person, transfers) == [name for name, persons in members.items() if person in persons]


def test_handles_of_another_transfer_do_not_pass_for_this_one(schools):
    assert found(schools, "p1", {"tr_00000002": made(schools, "tr_00000001", "p1")}) == []


def test_a_handle_across_two_others_is_none(schools):
    handle = made(schools, "tr_00000001", "p1")
    assert found(schools, "p1", {"tr_00000001": bytes(8) + handle + bytes(8)}) == []


def test_looking_for_somebody_nobody_knows_leaves_no_trace(schools):
    assert found(schools, "p1", {"tr_00000001": bytes(16)}) == []
    with schools.office.database.open_school(schools.places["A"]) as session:
        assert session.rows("SELECT 1 FROM subject_key") == []


def test_another_installation_finds_nobody(schools):
    transfers = {"tr_00000001": made(schools, "tr_00000001", "p1")}
    assert found(schools, "p1", transfers) == ["tr_00000001"]
    assert found(schools, "p1", transfers, vault=Vault(bytes(32))) == []


# --- erased ----------------------------------------------------------------------------------------


def recorded(session: Session, world: World, transfer: str, some: bytes) -> None:
    log.append(
        session,
        [{"v": 1, "type": "intent", "at": entry.moment(world.clock.at), "school": world.refs["A"], "id": transfer,
          "outcome": "permit", "subjects": len(single(some)), "subjects_root": handles.root_of(some)}],
    )  # fmt: skip


def test_a_destroyed_salt_loses_the_person_and_nothing_else(schools, tmp_path):
    transfers = {}
    for name, persons in {"tr_00000001": ["p1", "p2"], "tr_00000002": ["p1"], "tr_00000003": ["p2"]}.items():
        with schools.office.database.open_school(schools.places["A"]) as session:
            transfers[name] = handles.handles_of(session, schools.office.vault, persons, name)
            recorded(session, schools, name, transfers[name])

    def exported(path):
        with schools.office.database.open_school(schools.places["A"]) as session:
            note, key = schools.sign(session)
            proof.write(path, key, note, log.bodies(session))
        return proof.verify(path, key)

    before = exported(tmp_path / "before.zip")
    forget(schools, "p1")
    assert found(schools, "p1", transfers) == []
    assert found(schools, "p2", transfers) == ["tr_00000001", "tr_00000003"]
    assert exported(tmp_path / "after.zip") == before
    assert (before.size, before.by_type) == (3, {"intent": 3})


def test_somebody_who_comes_back_is_somebody_new(schools):
    old = {"tr_00000001": made(schools, "tr_00000001", "p1")}
    forget(schools, "p1")
    new = {"tr_00000002": made(schools, "tr_00000002", "p1")}
    assert made(schools, "tr_00000001", "p1") != old["tr_00000001"]
    assert found(schools, "p1", old | new) == ["tr_00000002"]


def test_erasing_at_one_school_leaves_the_other_alone(schools):
    at_b = {"tr_00000001": made(schools, "tr_00000001", "p1", org="B")}
    made(schools, "tr_00000001", "p1")
    forget(schools, "p1")
    assert found(schools, "p1", at_b, org="B") == ["tr_00000001"]


# --- what the ledger keeps -------------------------------------------------------------------------


def test_the_root_is_that_of_the_handles_as_leaves(schools):
    for count in range(6):
        some = made(schools, "tr_00000001", *(f"p{n}" for n in range(count)))
        assert handles.root_of(some) == mth(single(some)).hex()


def test_a_handle_is_proven_to_be_among_those_recorded(schools):
    some = single(made(schools, "tr_00000001", *(f"p{n}" for n in range(7))))
    leaves, root = [merkle.leaf_hash(one) for one in some], bytes.fromhex(handles.root_of(b"".join(some)))
    assert all(merkle.verify_inclusion(leaf, n, 7, merkle.inclusion(n, leaves), root) for n, leaf in enumerate(leaves))
    assert all(before < after for before, after in pairwise(some))
