"""A session is one transaction: whole or not at all, on disk before its opener goes on, gone with its connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import psycopg
import pytest

from gateway.jobs import make_worker
from gateway.ledger import log
from gateway.store import roles, tenant
from gateway.store.tenant import UNREACHABLE, Database, Place, Session, Undo
from tests.worlds import World


@pytest.fixture
def place(world: World) -> Place:
    return world.onboard("A").places["A"]


def entry(world: World) -> dict[str, object]:
    return {"v": 1, "type": "task", "at": "2026-11-02T09:00:00.000Z", "school": world.refs["A"], "id": "ta_00000000",
            "outcome": "opened"}  # fmt: skip


def size(database: Database, place: Place) -> int:
    with database.open_school(place) as session:
        return len(log.bodies(session))


def test_what_is_raised_inside_leaves_nothing(world, place):
    before = size(world.office.database, place)
    with pytest.raises(RuntimeError), world.office.database.open_school(place) as session:
        log.append(session, [entry(world)])
        raise RuntimeError
    with world.office.database.open_school(place) as session:
        log.append(session, [entry(world)])
        raise Undo
    assert size(world.office.database, place) == before


@pytest.mark.parametrize("flushes", [False, True])
def test_a_failed_statement_that_somebody_swallowed_is_not_taken_for_written(world, place, flushes):
    before = size(world.office.database, place)
    with pytest.raises(psycopg.errors.InFailedSqlTransaction), world.office.database.open_school(place) as session:
        if flushes:
            session.flush_after_commit()
        log.append(session, [entry(world)])
        with pytest.raises(psycopg.errors.UndefinedTable):
            session.rows("SELECT * FROM nothing")
    assert size(world.office.database, place) == before


def test_a_session_keeps_no_role_and_no_school_for_the_next(world, place):
    with world.office.database.open_school(place) as session:
        assert session.row("SELECT current_user AS who").who == roles.SCHOOL
    with world.office.database.engine.connect() as connection:
        (who, schools) = connection.exec_driver_sql(
            "SELECT current_user, current_setting('schoolgate.schools', true)"
        ).one()
    assert (who == roles.SCHOOL, schools) == (False, "")


def test_what_is_left_for_later_goes_with_what_is_said_next(world, place):
    with world.office.database.open_school(place) as session:
        session.soon("SELECT ledger_append(%(district)s, '{}', '{}', '{}')")
        assert session.has_written()
        found = session.ask(
            "SELECT %(word)s::text AS word, current_user AS who, %(none)s::int AS none", word="o'%s\\\n", none=None
        )
        assert found == ("o'%s\\\n", roles.SCHOOL, None)
        assert session.ask("SELECT 1 WHERE false") is None


@pytest.mark.parametrize("then", ["nothing", "ask", "row"])
def test_what_is_left_for_later_is_true_at_the_end_or_undone_with_the_rest(world, place, then):
    insert = (
        "INSERT INTO doorkey (district, school, key_hash, opens, ref, holder, expires_at) "
        "VALUES (%(district)s, %(school)s, %(key)s, 'launch', 'la_1', 'gr_1', now())"
    )
    count = "SELECT count(*) AS n FROM doorkey WHERE district = %(district)s AND school = %(school)s"
    key = f"{place} {then}".encode()

    def leave(session: Session) -> None:
        session.soon(insert, key=key)
        if then != "nothing":
            getattr(session, then)("SELECT 1")

    with world.office.database.open_school(place) as session:
        leave(session)
        raise Undo
    with world.office.database.open_school(place) as session:
        assert session.row(count).n == 0
        leave(session)
    with world.office.database.open_school(place) as session:
        assert session.row(count).n == 1
    with pytest.raises(psycopg.errors.UniqueViolation), world.office.database.open_school(place) as session:
        leave(session)


def test_what_is_left_for_later_is_done_once(world, place):
    """Also where planning the next statement is what makes the database hear of the one before."""
    insert = (
        "INSERT INTO doorkey (district, school, key_hash, opens, ref, holder, expires_at) "
        "VALUES (%(district)s, %(school)s, %(key)s, 'launch', 'la_1', 'gr_1', now())"
    )
    with world.office.database.open_school(place) as session:
        session.soon(insert, key=b"one")
        assert session.is_begun
        session.soon(f"{insert} RETURNING 1", key=b"two")
        session.soon("SELECT 1")
    with world.office.database.open_school(place) as session:
        assert session.row("SELECT count(*) AS n FROM doorkey WHERE school = %(school)s").n == 2


def test_what_is_said_is_understood_whatever_the_machine_speaks(world, place, monkeypatch):
    """Values are quoted in the encoding of the connection, and commands are sent in ours."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    database = Database(world.office.database.url)
    with database.open_school(place) as session:
        assert session.ask("SELECT %(name)s::text AS name", name="Zoë'\\").name == "Zoë'\\"
    database.close()


def test_who_asks_nothing_says_nothing(world, place):
    """So it costs nothing, and it is no error that the database was not heard of."""
    with world.office.database.open_school(place) as session:
        assert not session.is_begun
    with pytest.raises(ZeroDivisionError), world.office.database.open_school(place) as session:
        raise ZeroDivisionError
    with world.office.database.open_school(place) as session:
        assert session.row("SELECT current_user AS who").who == roles.SCHOOL


@pytest.mark.parametrize(
    ("statement", "is_question"),
    [
        ("SELECT 1", True), ("  WITH a AS (SELECT 1) SELECT * FROM a", True), ("INSERT INTO a VALUES (1)", False),
        ("WITH a AS (DELETE FROM b RETURNING 1) SELECT * FROM a", False), ("SELECT 1 FROM a FOR UPDATE", False),
        ("select 1 from a for share", False), ("SELECT nextval('a')", False), ("SELECT ledger_append(1)", False),
        ("SELECT pg_advisory_xact_lock(1)", False), ("COPY a TO STDOUT", False), ("SAVEPOINT a", False),
    ],
)  # fmt: skip
def test_a_question_is_known_by_its_words(statement, is_question):
    assert tenant._is_question(statement) is is_question


def test_connections_that_were_cut_cost_one_request_and_no_more(world, place, addresses):
    database = world.office.database
    with database.open_school(place) as one, database.open_school(place) as other:
        pids = [s.row("SELECT pg_backend_pid() AS pid").pid for s in (one, other)]
    with psycopg.connect(addresses.admin, autocommit=True) as admin:
        for pid in pids:
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])
    with pytest.raises(UNREACHABLE), database.open_school(place) as session:
        session.rows("SELECT 1")
    for _ in range(4):
        assert size(database, place) >= 0


def test_a_connection_cut_in_the_middle_leaves_nothing(world, place, addresses):
    database, before = world.office.database, size(world.office.database, place)
    with pytest.raises(UNREACHABLE), database.open_school(place) as session:
        log.append(session, [entry(world)])
        pid = session.row("SELECT pg_backend_pid() AS pid").pid
        with psycopg.connect(addresses.admin, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", [pid])
    assert size(database, place) == before


def test_what_the_ledger_holds_is_on_disk_before_the_opener_goes_on(world, place):
    """The lock is let go first: the commit does not wait for the disk, a message after it does."""
    said: list[str] = []
    world.office.database.watch = said.append
    with world.office.database.open_school(place) as session:
        session.flush_after_commit()
        log.append(session, [entry(world)])
        (written,) = session.rows("SELECT pg_current_wal_insert_lsn() AS at")
    world.office.database.watch = None
    with world.office.database.open_school(place) as session:
        (flushed,) = session.rows("SELECT pg_current_wal_flush_lsn() >= %(at)s::pg_lsn AS yes", at=str(written.at))
    assert flushed.yes
    assert said[-1].startswith(
        "SET LOCAL synchronous_commit = off; COMMIT; SELECT set_config('synchronous_commit', 'on'"
    )


def test_many_at_once_write_one_sequence(world, place):
    database, before = world.office.database, size(world.office.database, place)

    def write() -> None:
        for _ in range(10):
            with database.open_school(place) as session:
                log.append(session, [entry(world)])

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.open_school(place) as session:
        rows = session.rows(
            "SELECT index FROM ledger_entry WHERE district = %(district)s AND school = %(school)s ORDER BY index"
        )
    assert [row.index for row in rows] == list(range(before + 60))


# --- who goes without a word -------------------------------------------------------------------------

_BEATS = {"keepalives": "1", "keepalives_idle": "20", "keepalives_interval": "10", "keepalives_count": "3"}
# As it was asked for: on a socket of the same machine it shows as 0.
_THEIRS = "SELECT name, reset_val, source FROM pg_settings WHERE starts_with(name, 'tcp_keepalives_') ORDER BY name"


def theirs(rows: Iterable[Any]) -> list[tuple[str, str, str]]:
    return [(row[0], row[1], row[2]) for row in rows]


WANTED = [("tcp_keepalives_count", "3", "client"), ("tcp_keepalives_idle", "20", "client"),
          ("tcp_keepalives_interval", "10", "client")]  # fmt: skip


def test_a_connection_misses_a_database_that_has_gone_and_is_missed_by_it(world):
    with world.office.database.open_identity() as session:
        ours = session.raw.info.get_parameters()
        assert theirs(session.rows(_THEIRS)) == WANTED
    assert _BEATS.items() <= ours.items()
    assert ours["tcp_user_timeout"] == "50000"


def test_a_connection_of_a_worker_does_too(world):
    app = make_worker(world.parts)

    async def ask() -> list[dict[str, Any]]:
        async with app.open_async():
            return await app.connector.execute_query_all_async(_THEIRS)

    assert [tuple(row.values()) for row in asyncio.run(ask())] == WANTED
