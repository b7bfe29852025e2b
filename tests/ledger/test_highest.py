"""What a machine has signed it never takes back: not for a restored backup, not for a fork, not for a lost file."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep

import psycopg
import pytest

from gateway import jobs
from gateway.flows.checkpoints import Signer
from gateway.ledger import checkpoint, highest, log, merkle
from gateway.office import make_office
from gateway.store.tenant import Place
from tests.ledger.test_log import assert_stale, said, write
from tests.worlds import World

_HERE = "WHERE district = %(district)s AND school = %(school)s"


@pytest.fixture
def schools(world) -> World:
    return world.found("A", "B")


def sign(world: World, org: str = "A") -> checkpoint.Checkpoint:
    with world.office.database.open_school(world.places[org]) as session:
        return checkpoint.verify(*world.sign(session))


def file_of(world: World, org: str = "A") -> Path:
    return world.office.settings.checkpoints / f"schoolgate-{world.refs[org]}.json"


def as_owner(world: World, admin: str, *statements: str, org: str = "A") -> None:
    """Do to a log what only who holds the database's files can do: play an older one back, or another one in."""
    place = world.places[org]
    with psycopg.connect(admin) as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in statements:
            connection.execute(statement, {"district": place.district, "school": place.school})


@pytest.fixture
def admin(cluster, addresses) -> str:
    """The superuser's line to the worker's database: triggers and row security do not hold it."""
    name = addresses.owner.rpartition("/")[2].partition("?")[0]
    return cluster.template.admin.replace("@/postgres?", f"@/{name}?")


# --- below, beside ---------------------------------------------------------------------------------


def test_a_restored_backup_is_not_signed_until_it_holds_again_what_was_signed(schools, admin):
    write(schools, 1, 2)
    with schools.office.database.open_school(schools.places["A"]) as session:
        old = session.row(f"SELECT size, frontier FROM ledger_head {_HERE}")
    write(schools, 3, 4, 5)
    assert sign(schools).size == 5
    as_owner(
        schools, admin, f"DELETE FROM ledger_entry {_HERE} AND index >= 2", f"DELETE FROM ledger_checkpoint {_HERE}",
        f"UPDATE ledger_head SET size = 2, frontier = '\\x{bytes(old.frontier).hex()}' {_HERE}",
    )  # fmt: skip
    assert_stale(schools)
    write(schools, 3, 4, 5)
    assert sign(schools).size == 5
    write(schools, 6)
    assert sign(schools).size == 6


@pytest.mark.parametrize("more", [0, 1, 5], ids=["as long", "longer by one", "longer by more"])
def test_another_history_of_any_length_is_not_signed(schools, admin, more):
    write(schools, 1, 2, 3)
    sign(schools)
    bodies = [b"another"] * (3 + more)
    edge = merkle.Frontier()
    for body in bodies:
        edge.append(merkle.leaf_hash(body))
    as_owner(
        schools, admin, f"DELETE FROM ledger_entry {_HERE}", f"DELETE FROM ledger_checkpoint {_HERE}",
        f"UPDATE ledger_head SET size = {len(bodies)}, frontier = '\\x{edge.packed().hex()}' {_HERE}",
        f"INSERT INTO ledger_entry SELECT %(district)s, %(school)s, n, sha256('\\x00'::bytea || 'another'), 'another' "
        f"FROM generate_series(0, {len(bodies) - 1}) n",
    )  # fmt: skip
    assert_stale(schools)


SPOILED = {
    "empty": lambda whole: b"", "cut": lambda whole: whole[:-9], "no JSON": lambda whole: b"\xff\xfe",
    "a list": lambda whole: b"[1,2]", "a number": lambda whole: b"7",
    "other edge": lambda whole: whole[:-4] + (b'00"}' if whole[-4:-2] != b"00" else b'01"}'),
    "no edge": lambda whole: whole.replace(b"edge", b"egde"),
    "a note of nobody": lambda whole: whole.replace(b"=", b"A"),
}  # fmt: skip


@pytest.mark.parametrize("how", SPOILED)
def test_a_file_that_was_changed_signs_nothing(schools, how):
    write(schools, 1, 2, 3)
    sign(schools)
    path = file_of(schools)
    path.write_bytes(SPOILED[how](path.read_bytes()))
    assert_stale(schools)


def test_the_file_of_another_log_signs_nothing(schools):
    write(schools, 1)
    write(schools, 2, org="B")
    sign(schools)
    sign(schools, "B")
    file_of(schools).write_bytes(file_of(schools, "B").read_bytes())
    assert_stale(schools)
    assert sign(schools, "B").size == 1


def test_where_it_cannot_be_kept_nothing_is_signed(schools):
    write(schools, 1)
    schools.office.settings.checkpoints.write_text("in the way")
    assert_stale(schools)


# --- kept ------------------------------------------------------------------------------------------


def test_what_is_kept_is_for_its_owner_only(schools):
    write(schools, 1)
    sign(schools)
    folder = schools.office.settings.checkpoints
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_write_that_was_interrupted_leaves_the_one_before(schools):
    write(schools, 1)
    sign(schools)
    file_of(schools).with_suffix(".new").write_text("half")
    write(schools, 2)
    assert sign(schools).size == 2


def test_entries_that_can_still_be_rolled_back_are_not_signed(schools):
    def both() -> None:
        with schools.office.database.open_school(schools.places["A"]) as session:
            log.append(session, [said(schools, 1)])
            schools.sign(session)

    with pytest.raises(ValueError, match="rolled back"):
        both()
    assert sign(schools).size == 0


def _sign_often(settings, url: str, place: Place, times: int) -> list[str]:
    office = make_office(settings, url)
    notes = []
    for _ in range(times):
        with office.database.open_school(place) as session:
            notes.append(log.sign_checkpoint(session, office.vault, office.clock.now(), settings.checkpoints)[0])
    office.database.close()
    return notes


def test_signers_in_several_processes_never_contradict_each_other(schools, addresses):
    """Each of them may meet a log that the others have signed further; none refuses, none goes back."""
    write(schools, 1)
    with schools.office.database.open_school(schools.places["A"]) as session:
        _, key = schools.sign(session)
    with get_context("spawn").Pool(3) as pool, ThreadPoolExecutor(2) as writers:
        own = (schools.office.settings, addresses.application, schools.places["A"], 12)
        asked = [pool.apply_async(_sign_often, own) for _ in range(3)]
        while not all(one.ready() for one in asked):
            list(writers.map(lambda n: write(schools, n), range(4)))
        sizes = [[checkpoint.verify(note, key).size for note in one.get(30)] for one in asked]
    assert all(own == sorted(own) for own in sizes)
    with highest.held(schools.office.settings.checkpoints, f"schoolgate/{schools.refs['A']}") as kept:
        assert kept.read(key).size == max(map(max, sizes))


# --- by itself -------------------------------------------------------------------------------------


def checkpoints(world: World, org: str) -> list[int]:
    with world.office.database.open_school(world.places[org]) as session:
        return [row.size for row in session.rows(f"SELECT size FROM ledger_checkpoint {_HERE} ORDER BY size")]


def test_logs_that_have_grown_are_signed_and_a_bad_one_stops_no_other(schools):
    signer = Signer(schools.office)
    write(schools, 1, 2)
    write(schools, 3, org="B")
    signer.round()
    assert (checkpoints(schools, "A"), checkpoints(schools, "B")) == ([2], [1])
    file_of(schools).write_text("not what was signed")
    write(schools, 4)
    write(schools, 5, org="B")
    signer.round()
    assert (checkpoints(schools, "A"), checkpoints(schools, "B")) == ([2], [1, 2])
    signer.round()
    assert checkpoints(schools, "B") == [1, 2]


def test_while_a_log_grows_it_is_signed_within_a_second(schools):
    stop = Event()
    thread = Thread(target=jobs.sign_checkpoints, args=(schools.office, stop))
    thread.start()
    try:
        write(schools, 1)
        until = monotonic() + 30
        while not checkpoints(schools, "A") and monotonic() < until:
            sleep(0.02)
        write(schools, 2)
    finally:
        stop.set()
        thread.join()
    assert checkpoints(schools, "A") == [1, 2]


def test_a_database_that_is_gone_for_a_while_does_not_end_it(schools, monkeypatch):
    rounds, stop = [], Event()

    def fail(self: Signer) -> int:
        rounds.append(1)
        if len(rounds) == 3:
            stop.set()
        raise psycopg.OperationalError

    monkeypatch.setattr(Signer, "round", fail)
    monkeypatch.setattr(jobs, "SIGN_SECONDS", 0.01)
    jobs.sign_checkpoints(schools.office, stop)
    assert len(rounds) >= 3
