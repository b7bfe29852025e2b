"""The log of a school on PostgreSQL: one unbroken sequence, part of the caller's transaction, and only ever longer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import pairwise

import pytest
from psycopg import DatabaseError

from gateway import errors
from gateway.errors import Refused
from gateway.ledger import checkpoint, entry, log, merkle, proof
from gateway.store import directory
from gateway.store.tenant import Place, Session, Undo
from tests.ledger.rfc6962 import mth
from tests.worlds import World


@pytest.fixture
def schools(world) -> World:
    """Schools A and B, their logs empty."""
    return world.found("A", "B")


def said(world: World, number: int = 0, **more: object) -> dict[str, object]:
    return {"v": 1, "type": "denial", "at": entry.moment(world.clock.at), "school": world.refs["A"],
            "id": f"tr_{number:08d}", "outcome": "deny"} | more  # fmt: skip


def write(world: World, *numbers: int, org: str = "A") -> list[int]:
    with world.office.database.open_school(world.places[org]) as session:
        return log.append(session, [said(world, number, school=world.refs[org]) for number in numbers])


def written(world: World, org: str = "A") -> list[bytes]:
    with world.office.database.open_school(world.places[org]) as session:
        return log.bodies(session)


def head(session: Session) -> tuple[int, bytes]:
    row = session.row("SELECT size, frontier FROM ledger_head WHERE district = %(district)s AND school = %(school)s")
    return row.size, merkle.Frontier(row.size, bytes(row.frontier)).root()


def assert_whole(world: World, org: str = "A") -> None:
    """Indices run from 0 without a gap, each leaf hash fits its entry, and the head is the root of them all."""
    with world.office.database.open_school(world.places[org]) as session:
        rows = session.rows(
            "SELECT index, leaf_hash, body FROM ledger_entry WHERE district = %(district)s AND school = %(school)s "
            "ORDER BY index"
        )
        assert [row.index for row in rows] == list(range(len(rows)))
        assert [bytes(row.leaf_hash) for row in rows] == [merkle.leaf_hash(bytes(row.body)) for row in rows]
        assert head(session) == (len(rows), mth([bytes(row.body) for row in rows]))


# --- one sequence ----------------------------------------------------------------------------------


def test_sixteen_writers_make_one_unbroken_log(schools):
    def work(writer: int) -> list[list[int]]:
        return [write(schools, *range(writer * 100 + turn * 10, writer * 100 + turn * 10 + 1 + turn % 3))
                for turn in range(5)]  # fmt: skip

    with ThreadPoolExecutor(16) as pool:
        batches = [batch for batches in pool.map(work, range(16)) for batch in batches]
    assert sorted(index for batch in batches for index in batch) == list(range(sum(map(len, batches))))
    assert all(batch == list(range(batch[0], batch[0] + len(batch))) for batch in batches)
    assert_whole(schools)


def test_an_entry_stands_where_its_writer_was_told(schools):
    places = {number: write(schools, number)[0] for number in (5, 3, 9)}
    found = [entry.decode(body)["id"] for body in written(schools)]
    assert {number: found.index(f"tr_{number:08d}") for number in places} == places


def test_a_part_of_a_log_is_read_by_index(schools):
    write(schools, *range(6))
    with schools.office.database.open_school(schools.places["A"]) as session:
        whole = log.bodies(session)
        assert log.bodies(session, 2, 3) == whole[2:5]
        assert log.bodies(session, 6) == []


def test_schools_keep_logs_of_their_own(schools):
    write(schools, 1, 2, 3)
    assert write(schools, 4, org="B") == [0]
    assert_whole(schools, "A")
    assert_whole(schools, "B")
    with schools.office.database.open_schools(schools.by.district, [p.school for p in schools.places.values()]) as both:
        assert log.append(both.at(schools.places["B"].school), [said(schools, school=schools.refs["B"])]) == [1]


# --- part of the caller's transaction --------------------------------------------------------------


@pytest.mark.parametrize("way_out", [Undo, RuntimeError], ids=["undone", "failed"])
def test_an_entry_goes_when_its_transaction_goes(schools, way_out):
    write(schools, 1)

    def fail() -> None:
        with schools.office.database.open_school(schools.places["A"]) as session:
            assert log.append(session, [said(schools, 2), said(schools, 3)]) == [1, 2]
            raise way_out

    if way_out is Undo:
        fail()
    else:
        with pytest.raises(way_out):
            fail()
    assert len(written(schools)) == 1
    assert write(schools, 4) == [1]
    assert_whole(schools)


def test_the_next_writer_waits_for_the_one_before_and_takes_its_place_if_it_fails(schools):
    appended, leave = threading.Event(), threading.Event()

    def hesitate() -> None:
        with schools.office.database.open_school(schools.places["A"]) as session:
            assert log.append(session, [said(schools, 1)]) == [0]
            appended.set()
            assert leave.wait(10)
            raise Undo

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(hesitate)
        assert appended.wait(10)
        second = pool.submit(write, schools, 2)
        assert not wait([second], 0.3).done
        leave.set()
        first.result(10)
        assert second.result(10) == [0]
    assert_whole(schools)


def test_what_does_not_fit_the_schema_is_not_written_and_neither_is_what_came_with_it(schools):
    with (
        pytest.raises(entry.InvalidEntry),
        schools.office.database.open_school(schools.places["A"]) as session,
    ):
        log.append(session, [said(schools, 1), said(schools, 2, note="Maria")])
    assert written(schools) == []


# --- only ever longer ------------------------------------------------------------------------------

_HERE = "WHERE district = %(district)s AND school = %(school)s"
FORBIDDEN = {
    "change a body": f"UPDATE ledger_entry SET body = 'x' {_HERE} AND index = 0",
    "change a hash": f"UPDATE ledger_entry SET leaf_hash = leaf_hash {_HERE}",
    "change nothing": "UPDATE ledger_entry SET body = body WHERE FALSE",
    "delete an entry": f"DELETE FROM ledger_entry {_HERE} AND index = 2",
    "delete none": "DELETE FROM ledger_entry WHERE FALSE",
    "truncate": "TRUNCATE ledger_entry",
    "truncate all": "TRUNCATE ledger_entry, ledger_head CASCADE",
    "write over": "INSERT INTO ledger_entry SELECT * FROM ledger_entry ON CONFLICT (district, school, index) "
    "DO UPDATE SET body = 'x'",
    "write again": f"INSERT INTO ledger_entry SELECT * FROM ledger_entry {_HERE} AND index = 0",
    "shrink the head": f"UPDATE ledger_head SET size = size - 1 {_HERE}",
    "empty the head": f"UPDATE ledger_head SET size = 0, frontier = '' {_HERE}",
    "rewrite the head": f"UPDATE ledger_head SET frontier = decode(repeat('00', 64), 'hex') {_HERE}",
    "rename the log": f"UPDATE ledger_head SET size = size + 1, origin = 'schoolgate/other' {_HERE}",
    "change the key": f"UPDATE ledger_head SET size = size + 1, kid = 'key_other' {_HERE}",
    "give the head away": f"UPDATE ledger_head SET size = size + 1, school = school + 1 {_HERE}",
    "delete the head": f"DELETE FROM ledger_head {_HERE}",
    "truncate the head": "TRUNCATE ledger_head",
    "change a checkpoint": f"UPDATE ledger_checkpoint SET note = 'x' {_HERE}",
    "delete a checkpoint": f"DELETE FROM ledger_checkpoint {_HERE}",
    "switch triggers off": "ALTER TABLE ledger_entry DISABLE TRIGGER ALL",
    "drop a trigger": "DROP TRIGGER append_only ON ledger_entry",
    "drop the table": "DROP TABLE ledger_entry",
    "replace the guard": "CREATE OR REPLACE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE sql AS ''",
    "play the replica": "SET session_replication_role = replica",
    "switch row security off": "ALTER TABLE ledger_head DISABLE ROW LEVEL SECURITY",
    "become the owner": "SET ROLE schoolgate_owner",
}


@contextmanager
def _door(world: World, name: str) -> Iterator[Session]:
    """A session of the school, of its district's intake, or the bare login that plays them all."""
    database, place = world.office.database, world.places["A"]
    if name == "intake":
        with database.open_intake(place.district) as session:
            yield session.at(place.school)
        return
    with database.open_school(place) as session:
        if name == "login":
            session.run("RESET ROLE")
        yield session


@pytest.mark.parametrize("statement", [pytest.param(line, id=name) for name, line in FORBIDDEN.items()])
@pytest.mark.parametrize("door", ["school", "intake", "login"])
def test_the_application_cannot_rewrite_what_is_written(schools, door, statement):
    write(schools, 1, 2, 3)
    with schools.office.database.open_school(schools.places["A"]) as session:
        note, _ = schools.sign(session)
    before = written(schools)
    with pytest.raises(DatabaseError), _door(schools, door) as session:
        session.run(statement)
    assert written(schools) == before
    assert_whole(schools)
    with schools.office.database.open_school(schools.places["A"]) as session:
        assert schools.sign(session)[0] == note


OF_ANOTHER = {
    "grow its head": "UPDATE ledger_head SET size = size + 1 WHERE school = %(theirs)s",
    "grow every head": "UPDATE ledger_head SET size = size + 1 WHERE school <> %(school)s",
    "delete its entries": "DELETE FROM ledger_entry WHERE school = %(theirs)s",
    "change its entries": "UPDATE ledger_entry SET body = 'x' WHERE school = %(theirs)s",
    "write into it": "INSERT INTO ledger_entry VALUES (%(district)s, %(theirs)s, 3, 'x', 'x')",
    "open another log": "INSERT INTO ledger_head VALUES (%(district)s, %(theirs)s, 'o', 'k', 0, '')",
    "checkpoint it": "INSERT INTO ledger_checkpoint VALUES (%(district)s, %(theirs)s, 9, 'x', now())",
    "read it": "SELECT 1 FROM ledger_entry WHERE school = %(theirs)s",
    "read its head": "SELECT 1 FROM ledger_head WHERE school = %(theirs)s",
}


@pytest.mark.parametrize("statement", [pytest.param(line, id=name) for name, line in OF_ANOTHER.items()])
def test_another_school_neither_sees_nor_touches_the_log(schools, statement):
    write(schools, 1, 2, 3)
    touched = 0
    try:
        with schools.office.database.open_school(schools.places["B"]) as session:
            touched = session.run(statement, theirs=schools.places["A"].school)
    except DatabaseError:
        pass
    assert touched == 0
    assert len(written(schools)) == 3
    assert_whole(schools)


def test_a_head_that_was_grown_without_entries_is_not_signed(schools):
    """The database cannot hash; a head rewritten while it grows shows before anything is signed over it."""
    write(schools, 1, 2, 3)
    with schools.office.database.open_school(schools.places["A"]) as session:
        session.run(f"UPDATE ledger_head SET size = 4, frontier = decode(repeat('00', 32), 'hex') {_HERE}")
    assert_stale(schools)


def assert_stale(world: World) -> None:
    with pytest.raises(Refused) as refused, world.office.database.open_school(world.places["A"]) as session:
        world.sign(session)
    assert refused.value.reason is errors.LED_CHECKPOINT_STALE


# --- what cannot be written ------------------------------------------------------------------------


@pytest.fixture
def bare(schools) -> Place:
    """A school that nobody opened a log for."""
    with schools.office.database.open_district(schools.by.district) as session:
        return directory.add_school(
            session, schools.office.ids.new("sch"), "School C", None, None, schools.clock.at, "st_aaaaaaaa"
        )


def test_a_school_without_a_log_records_nothing(schools, bare):
    with schools.office.database.open_school(bare) as session:
        assert not log.is_ready(session)
    for ask in (lambda session: log.append(session, [said(schools)]), schools.sign):
        with pytest.raises(Refused) as refused, schools.office.database.open_school(bare) as session:
            ask(session)
        assert refused.value.reason is errors.LED_UNAVAILABLE


BLOCKED = {
    "a place that is taken": "INSERT INTO ledger_entry VALUES (%(district)s, %(school)s, 1, 'x', 'x')",
    "a head that does not fit its size": f"UPDATE ledger_head SET size = 3 {_HERE}",
}


@pytest.mark.parametrize("statement", [pytest.param(line, id=name) for name, line in BLOCKED.items()])
def test_a_log_that_cannot_be_written_says_so_and_takes_the_transaction_with_it(schools, statement):
    write(schools, 1)
    with schools.office.database.open_school(schools.places["A"]) as session:
        session.run(statement)

    def send() -> None:
        with schools.office.database.open_school(schools.places["A"]) as session:
            session.run("INSERT INTO subject_key VALUES (%(district)s, %(school)s, 'p1', 'salt')")
            log.append(session, [said(schools, 2)])

    with pytest.raises(Refused) as refused:
        send()
    assert refused.value.reason is errors.LED_UNAVAILABLE
    with schools.office.database.open_school(schools.places["A"]) as session:
        assert session.rows(f"SELECT 1 FROM subject_key {_HERE}") == []


# --- checkpoints -----------------------------------------------------------------------------------


def exported(world: World, path) -> proof.Proven:
    """Export the log of school A as the command does, and verify the bundle with its key."""
    with world.office.database.open_school(world.places["A"]) as session:
        note, key = world.sign(session)
        proof.write(path, key, note, log.bodies(session))
    return proof.verify(path, key)


def test_a_bundle_of_the_log_verifies(schools, tmp_path):
    write(schools, *range(20))
    proven = exported(schools, tmp_path / "bundle.zip")
    assert (proven.size, proven.by_type) == (20, {"denial": 20})
    assert (proven.origin, proven.root) == (f"schoolgate/{schools.refs['A']}", mth(written(schools)).hex())


def test_later_checkpoints_are_consistent_with_earlier_ones(schools):
    signed = []
    for size in (1, 2, 5, 1, 9):
        write(schools, *range(size))
        with schools.office.database.open_school(schools.places["A"]) as session:
            note, key = schools.sign(session)
            assert schools.sign(session) == (note, key)
            signed.append(checkpoint.verify(note, key))
    leaves = [merkle.leaf_hash(body) for body in written(schools)]
    for old, new in pairwise(signed):
        steps = merkle.consistency(old.size, leaves[: new.size])
        assert merkle.verify_consistency(old.size, new.size, steps, old.root, new.root)


def test_each_school_signs_with_a_key_of_its_own(schools):
    signed = {}
    for org in "AB":
        with schools.office.database.open_school(schools.places[org]) as session:
            signed[org] = schools.sign(session)
    (note, _), (_, key) = signed["A"], signed["B"]
    with pytest.raises(checkpoint.InvalidCheckpoint):
        checkpoint.verify(note, key)
