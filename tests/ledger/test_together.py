"""Intents that are written together keep every promise of one that is written alone."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from gateway import errors
from gateway.errors import Refused
from gateway.ledger import entry, log, together
from gateway.store import tenant, transfers
from gateway.store.tenant import Session, Undo
from tests.ledger.test_log import assert_whole, said, write, written
from tests.worlds import World

_HERE = "WHERE district = %(district)s AND school = %(school)s"
_LOCK = f"SELECT size FROM ledger_head {_HERE} FOR UPDATE"


@pytest.fixture
def schools(world) -> World:
    return world.found("A", "B")


def line(world: World, number: int, org: str = "A", **spoiled: object) -> log.Line:
    ref = f"tr_{number:08d}"
    sent = transfers.Transfer(world.places[org].school, ref, "roster.read", "ve_00000000", "ag_00000000", "gr_00000000",
                              datetime.now(UTC), bytes(16), bytes(32), "answered", ["person.name.given"])  # fmt: skip
    body = entry.encode(said(world, number, type="intent", outcome="permit", school=world.refs[org]))
    return log.Line(world.places[org].school, body, sent._replace(**spoiled))


def intend(world: World, *lines: log.Line, org: str = "A", also: str = "") -> None:
    with world.office.database.open_school(world.places[org]) as session:
        together.intend(session, lines)
        if also:
            session.run(also)


@contextmanager
def one_leads(world: World, org: str = "A") -> Iterator[None]:
    """Somebody else holds the head, and one of this process waits for it: whoever comes now waits behind that one."""
    with ThreadPoolExecutor(1) as pool:
        with world.office.database.open_school(world.places[org]) as session:
            session.row(_LOCK)
            first = pool.submit(intend, world, line(world, 999, org), org=org)
            _wait_until(lambda: _queue(world, org)._busy)
            yield
            _wait_until(lambda: not first.done())
        first.result(10)


def _queue(world: World, org: str) -> together._Queue:
    place = world.places[org]
    queues = together._queues.setdefault(world.office.database.engine, {})
    return queues.setdefault((place.district, place.school), together._Queue())


def _wait_until(holds) -> None:
    waiter = threading.Event()
    for _ in range(2000):
        if holds():
            return
        waiter.wait(0.005)
    raise AssertionError("it never came")


def ids(world: World, org: str = "A") -> set[str]:
    return {entry.decode(body)["id"] for body in written(world, org)}


def kept(world: World, org: str = "A") -> dict[str, int]:
    with world.office.database.open_school(world.places[org]) as session:
        return {row.transfer: row.entry for row in session.rows(f"SELECT transfer, entry FROM transfer {_HERE}")}


def test_who_waits_is_written_for_and_each_transfer_knows_its_entry(schools):
    commits: list[str] = []
    schools.office.database.watch = commits.append
    with ThreadPoolExecutor(8) as pool:
        with one_leads(schools):
            asked = [pool.submit(intend, schools, line(schools, n)) for n in range(8)]
            _wait_until(lambda: len(_queue(schools, "A")._waiting) == 8)
        for one in asked:
            one.result(10)
    schools.office.database.watch = None
    assert len([c for c in commits if "ledger_append" in c]) == 2  # the first, and one for the eight
    assert_whole(schools)
    places = kept(schools)
    assert len(places) == 9
    assert [entry.decode(body)["id"] for body in written(schools)] == sorted(places, key=places.__getitem__)


def test_one_that_cannot_be_written_takes_no_other_with_it(schools):
    intend(schools, line(schools, 5))
    with ThreadPoolExecutor(8) as pool:
        with one_leads(schools):
            asked = [pool.submit(intend, schools, line(schools, n)) for n in (1, 5, 2, 3)]  # 5 is there already
            _wait_until(lambda: len(_queue(schools, "A")._waiting) == 4)
        said = [one.exception(10) for one in asked]
    assert [type(error) for error in said] == [type(None), Refused, type(None), type(None)]
    assert said[1].reason is errors.LED_UNAVAILABLE
    assert ids(schools) == {f"tr_{n:08d}" for n in (1, 2, 3, 5, 999)}
    assert_whole(schools)
    intend(schools, line(schools, 7))
    assert not _queue(schools, "A")._busy


def test_whose_transaction_goes_leaves_no_intent(schools):
    for way_out in (Undo, RuntimeError):
        try:
            with schools.office.database.open_school(schools.places["A"]) as session:
                together.intend(session, [line(schools, 1)])
                raise way_out
        except RuntimeError:
            pass
    assert (written(schools), kept(schools)) == ([], {})


def test_what_a_caller_writes_besides_is_true_with_its_intent_or_not_at_all(schools):
    salt = "INSERT INTO subject_key VALUES (%(district)s, %(school)s, 'p{}', 'salt')"
    intend(schools, line(schools, 1), also=salt.format(1))
    with pytest.raises(Refused):
        intend(schools, line(schools, 1), also=salt.format(2))
    with ThreadPoolExecutor(2) as pool:
        with one_leads(schools):
            asked = [pool.submit(intend, schools, line(schools, n), also=salt.format(p)) for n, p in ((3, 3), (1, 9))]
            _wait_until(lambda: len(_waiting_in_database(schools)) >= 3)
        assert [type(one.exception(10)) for one in asked] == [type(None), Refused]
    with schools.office.database.open_school(schools.places["A"]) as session:
        assert {row.person_id for row in session.rows("SELECT person_id FROM subject_key")} == {"p1", "p3"}
    assert_whole(schools)


def _waiting_in_database(world: World) -> list[int]:
    with world.office.database.open_school(world.places["A"]) as session:
        return session.rows("SELECT pid FROM pg_locks WHERE NOT granted")


def test_an_outcome_stands_behind_its_intent_though_that_was_left_for_the_end(schools):
    with schools.office.database.open_school(schools.places["A"]) as session:
        together.intend(session, [line(schools, 1)])
        log.append(session, [said(schools, 1, type="outcome", outcome="acknowledged")])
        together.intend(session, [line(schools, 2)])
        together.intend(session, [line(schools, 3)])
    assert [entry.decode(body)["id"][-1] for body in written(schools)] == ["1", "1", "2", "3"]
    assert [entry.decode(body)["type"] for body in written(schools)][:2] == ["intent", "outcome"]
    assert_whole(schools)


def test_a_transaction_that_has_written_is_never_taken_for_one_that_has_only_read(schools, monkeypatch):
    """Whatever a caller did, its transaction is ended apart from its intent only if the database knows of nothing."""
    real = Session.end_reading

    def checked(session: Session) -> None:
        (row,) = session.rows("SELECT pg_current_xact_id_if_assigned() IS NULL AS yes")
        assert row.yes
        real(session)

    monkeypatch.setattr(Session, "end_reading", checked)
    with ThreadPoolExecutor(6) as pool:
        with one_leads(schools):
            asked = [pool.submit(intend, schools, line(schools, n), also="SELECT 1") for n in range(3)]
            _wait_until(lambda: len(_queue(schools, "A")._waiting) == 3)
        for one in asked:
            one.result(10)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_when_the_connection_of_who_leads_is_cut_nobody_is_told_it_was_written(schools, cluster, monkeypatch):
    real = Session.end_with

    def cut(session: Session, statement: str, values: dict) -> None:
        with psycopg.connect(cluster.template.admin, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [session.raw.info.backend_pid])
        real(session, statement, values)

    with ThreadPoolExecutor(4) as pool:
        with one_leads(schools):
            asked = [pool.submit(intend, schools, line(schools, n)) for n in range(3)]
            _wait_until(lambda: len(_queue(schools, "A")._waiting) == 3)
            monkeypatch.setattr(Session, "end_with", cut)
        told = {getattr(one.exception(10), "reason", None) for one in asked}
    monkeypatch.undo()
    assert told == {errors.LED_UNAVAILABLE}
    assert ids(schools) == {"tr_00000999"}
    intend(schools, line(schools, 8))
    assert_whole(schools)
    del asked
    gc.collect()  # the pool lets go of its other connections, open as they are


def test_many_callers_of_several_schools_make_unbroken_logs(schools):
    both = [place.school for place in schools.places.values()]

    def work(caller: int) -> None:
        for turn in range(6):
            number = caller * 10 + turn
            if caller % 3:
                intend(schools, line(schools, number, "AB"[caller % 2]), org="AB"[caller % 2])
            else:
                with schools.office.database.open_schools(schools.by.district, both) as session:
                    together.intend(session, [line(schools, number, org) for org in "BA"])

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    for org in "AB":
        assert_whole(schools, org)
        assert len(kept(schools, org)) == 4 * 6 + 4 * 6
        assert {entry.decode(body)["school"] for body in written(schools, org)} == {schools.refs[org]}


def test_nothing_intended_writes_nothing(schools):
    intend(schools)
    assert written(schools) == []
    assert write(schools, 1) == [0]


def test_who_leads_at_once_writes_for_nobody_else(schools, monkeypatch):
    """What a caller wrote stands or falls with its own intent: somebody else's bad line may not decide it."""
    intend(schools, line(schools, 5))
    salt = "INSERT INTO subject_key VALUES (%(district)s, %(school)s, 'p1', 'salt')"
    queue, reached = _queue(schools, "A"), threading.Event()
    real = queue.pass_on

    def pass_on() -> None:
        reached.set()
        _wait_until(lambda: queue._waiting)
        real()

    monkeypatch.setattr(queue, "pass_on", pass_on)
    with ThreadPoolExecutor(2) as pool:
        leader = pool.submit(intend, schools, line(schools, 1), also=salt)
        _wait_until(reached.is_set)
        monkeypatch.setattr(queue, "pass_on", real)
        other = pool.submit(intend, schools, line(schools, 5))
        assert leader.exception(10) is None
        assert isinstance(other.exception(10), Refused)
    assert "tr_00000001" in ids(schools)


def test_a_caller_that_dies_while_it_waits_stops_nobody(schools, monkeypatch):
    class Dead(BaseException):
        pass

    class Gate:
        def acquire(self) -> None:
            raise Dead

        def release(self) -> None:
            pass

    turn = together._Turn
    with one_leads(schools), monkeypatch.context() as dying:
        dying.setattr(together, "_Turn", lambda lines: turn(lines, gate=Gate()))
        with pytest.raises(Dead):
            intend(schools, line(schools, 1))
    intend(schools, line(schools, 2))
    assert "tr_00000002" in ids(schools)


def test_a_flush_that_fails_after_the_commit_writes_nothing_twice(schools, monkeypatch):
    """The entries are committed, only their way to the disk is in doubt: it is tried again; where it fails nobody is
    told that anything may be sent."""

    def flushed(number: int) -> None:
        with schools.office.database.open_school(schools.places["A"]) as session:
            session.flush_after_commit()
            together.intend(session, [line(schools, number)])

    monkeypatch.setattr(tenant, "_COMMIT_THEN_FLUSH", "SET LOCAL synchronous_commit = off; COMMIT; SELECT 1/0")
    flushed(1)
    monkeypatch.setattr(tenant, "_FLUSH", "SELECT 1/0")
    with pytest.raises(Refused):
        flushed(2)
    assert len(written(schools)) == 2
    assert {"tr_00000001", "tr_00000002"} == ids(schools)


@pytest.mark.parametrize("flushes", [False, True])
def test_what_was_stopped_before_it_began_is_not_taken_for_committed(schools, monkeypatch, flushes):
    """As by somebody who cancels what a connection does."""
    intend(schools, line(schools, 1))
    monkeypatch.setattr(tenant, "_BEGIN", "SELECT 1/0; BEGIN; ")
    with pytest.raises(Refused), schools.office.database.open_school(schools.places["A"]) as session:
        if flushes:
            session.flush_after_commit()
        together.intend(session, [line(schools, 2)])
    monkeypatch.undo()
    assert ids(schools) == {"tr_00000001"}
