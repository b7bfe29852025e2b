"""The only way to a session. A session is one transaction, acting in one narrow role for named schools.

`open_school` and `open_schools` see the rows of those schools and nothing else: row security in the database
enforces it, and each statement says it again. The other doors are for work before or beside one school; each
takes the one role listed for it in `store/roles.py`.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol, cast

import orjson
import psycopg
import sqlalchemy as sa
from psycopg import generators
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.rows import tuple_row
from psycopg.types.json import Jsonb
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.store import roles

_BEGIN = "BEGIN; "
# A commit that does not wait for the disk, and then a message to nobody, whose commit waits until everything written
# before it is on disk. One word to the database: the first commit lets go of the locks before the second one waits.
# Where the second word fails, the connection is idle: what was written before it is committed.
_FLUSH = "SELECT set_config('synchronous_commit', 'on', true), pg_logical_emit_message(true, 'schoolgate', '')"
_COMMIT_THEN_FLUSH = f"SET LOCAL synchronous_commit = off; COMMIT; {_FLUSH}"

# What a session raises when the database is gone or does not answer.
UNREACHABLE = (psycopg.Error, DBAPIError, PoolTimeout)
# Those of them that mean that it does not answer, or not to us.
NO_ANSWER = (psycopg.OperationalError, OperationalError, PoolTimeout)
# What it raises for a value that cannot be kept: NUL, half a character, a number out of range.
UNKEEPABLE = (psycopg.DataError, UnicodeEncodeError)


class Undo(Exception):  # noqa: N818 - a wish, not an error
    """Raised inside a session's block to leave it with nothing changed."""


class Place(NamedTuple):
    """A school: the first two columns of every key that is a school's."""

    district: int
    school: int


class Closing(Protocol):
    """What is still to be written when a transaction ends."""

    def write(self, session: Session) -> None:
        """Write it as part of the transaction, before something that follows it."""

    def end(self, session: Session) -> None:
        """Write it and end the transaction; when this returns it is on disk."""


@dataclass(slots=True)
class _Ending:
    """How a transaction ends; shared by all who look at it."""

    waits_for_disk: bool = False
    closing: Closing | None = None
    unsaid: str = ""  # commands that go to the database with whatever is said next
    owes: bool = False  # whether one of these does something
    has_only_read: bool = True  # as far as its statements show
    erasures: dict[int, int] = field(default_factory=dict)  # how many a school had when its facts were read


@dataclass(slots=True)
class Session:
    """One transaction for named schools. Statements are psycopg's: `%(name)s`."""

    pooled: PoolProxiedConnection  # perhaps not begun yet
    engine: sa.Engine
    district: int
    schools: tuple[int, ...]
    watch: Callable[[str], None] | None = None  # told of every statement
    ending: _Ending = field(default_factory=_Ending)

    @property
    def place(self) -> Place:
        """The one school of this session. Raises ValueError when it was opened for several."""
        (school,) = self.schools
        return Place(self.district, school)

    @property
    def connection(self) -> sa.Connection:
        """SQLAlchemy's connection, in this session's transaction."""
        _ = self.raw
        return sa.Connection(self.engine, self.pooled)

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The driver's own connection, in this session's transaction: for COPY and for jobs."""
        self.ending.has_only_read = False
        return self._begun()

    @property
    def _driver(self) -> psycopg.Connection[Any]:
        return cast("psycopg.Connection[Any]", self.pooled.driver_connection)

    def rows(self, statement: str, **values: Any) -> Sequence[Any]:
        """Return all rows. `%(district)s`, `%(school)s` and `%(schools)s` are those of the session."""
        return self._execute(statement, self._with_place(values)).fetchall()

    def columns(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return all rows by column, for many of them; without rows there are no columns."""
        cursor = self._execute(statement, self._with_place(values), many=True)
        return list(zip(*cursor.fetchall(), strict=True))

    def row(self, statement: str, **values: Any) -> Any | None:
        """Return the first row, or None."""
        return self._execute(statement, self._with_place(values)).fetchone()

    def run(self, statement: str, **values: Any) -> int:
        """Run a statement; return how many rows it touched."""
        return self._execute(statement, self._with_place(values)).rowcount

    def ask(self, statement: str, **values: Any) -> Any | None:
        """Return the first row of a statement, or None: what `row` returns, in one message to the database with what
        was to be said before it. Its plan is made once on a connection, for whatever values."""
        self._saw(statement)
        call = self._called(statement, values)
        result = say(self._driver, self._take_unsaid() + call)  # what was said before answers nothing
        if not result.ntuples:
            return None
        loading = Transformer(self._driver)
        loading.set_pgresult(result)
        return loading.load_row(0, _row_of(result))

    def soon(self, statement: str, **values: Any) -> None:
        """Run a statement in one message with the next one, whose failure is then also this one's."""
        self._saw(statement)
        call = self._called(statement, values)  # to plan it says what was unsaid until then
        self.ending.unsaid += call + "; "
        self.ending.owes = True

    def insert(self, table: sa.Table, *, ignore: bool = False, **values: Any) -> bool:
        """Insert one row, in the session's school or district where the table has one.

        With `ignore`, a row whose key exists is left alone. Return whether a row was written.
        """
        if "school" in table.c and "school" not in values:
            values["school"] = self.place.school
        if "district" in table.c and "district" not in values:
            values["district"] = self.district
        statement, json_names = _insertion(table, tuple(values), ignore)
        for name in json_names:
            values[name] = Jsonb(values[name])
        return self._execute(statement, values).rowcount == 1

    def at(self, school: int) -> Session:
        """The same transaction and role, seen as a session of one school of its district."""
        return Session(self.pooled, self.engine, self.district, (school,), self.watch, self.ending)

    def flush_after_commit(self) -> None:
        """Let go of this transaction's locks before it is on disk, and wait for the disk after: a lock that everybody
        at a school queues for is then not held while the disk turns, and those who wait for the disk wait together.

        Whoever opened the session goes on only when it is on disk, and so does whoever writes after it, because the
        log of the database is written in order. Who only reads might tell of what a crash still takes back: so this is
        for what nobody else answers from (launches, reads), not for what an application hands in.
        """
        self.ending.waits_for_disk = True

    def settle(self) -> None:
        """Wait until whatever this session has seen is on disk: another's commit shows before it is. Takes a second
        connection for it."""
        with closing(self.engine.raw_connection()) as other:
            say(cast("psycopg.Connection[Any]", other.driver_connection), _FLUSH)

    def commit(self) -> None:
        """Make everything true that was done here. Raises psycopg.Error when any statement had failed, even if
        somebody swallowed that."""
        if not self.is_begun and not self.ending.owes and not self.ending.closing:
            return  # nothing was asked of the database
        if self.is_begun and self._driver.info.transaction_status is not TransactionStatus.INTRANS:
            raise psycopg.errors.InFailedSqlTransaction("a statement had failed: nothing was written")
        last, self.ending.closing = self.ending.closing, None
        if last:
            last.end(self)
        else:
            self.end()

    def write_rest(self) -> None:
        """Write now what was left for the end of this transaction."""
        last, self.ending.closing = self.ending.closing, None
        if last:
            last.write(self)

    def end(self) -> None:
        """End this transaction; for who closes it."""
        self._say(_COMMIT_THEN_FLUSH if self.ending.waits_for_disk else "COMMIT")

    def end_reading(self) -> None:
        """End a transaction that has written nothing: there is nothing to wait for. Another can begin after it."""
        self._say("COMMIT")

    def end_with(self, statement: str, values: dict[str, Any]) -> None:
        """Run a last statement and end the transaction, in one message to the database: its locks are held for no
        longer than the database works on it. Where the transaction has ended already, do it in another one, for the
        rows of the same schools, flushed after its commit. Raises psycopg.Error: then nothing was written where the
        session `is_undone`."""
        begin = ""
        if self.is_begun and self._driver.info.transaction_status is not TransactionStatus.INTRANS:
            begin = f"ROLLBACK; BEGIN; {_entering(roles.SCHOOL, self.district, self.schools)}"
            self.flush_after_commit()
        call = self._called(statement, values)
        ending = _COMMIT_THEN_FLUSH if self.ending.waits_for_disk else "COMMIT"
        if self.watch:
            self.watch(f"{begin}{statement}; {ending}")
        answers = _answers(self._driver, f"{self._take_unsaid()}{begin}{call}; {ending}")
        failed = next(filter(_has_failed, answers), None)
        if failed and not any(answer.command_status == b"COMMIT" for answer in answers):
            raise _error(failed)
        if failed:
            self._say(_FLUSH)  # it is committed; what failed was waiting for the disk

    def _called(self, statement: str, values: dict[str, Any]) -> str:
        """Return the command that calls a planned statement with these values, each quoted by the driver."""
        name, names = self._planned(statement)
        if not names:
            return f"EXECUTE {name}"
        info, said = self.pooled.info, self._with_place(values)
        literal = (info.get("quoting") or info.setdefault("quoting", Transformer(self._driver))).as_literal
        return f"EXECUTE {name} ({b', '.join([bytes(literal(said[one])) for one in names]).decode()})"

    def _planned(self, statement: str) -> tuple[str, tuple[str, ...]]:
        """Return what a statement is called that this connection has planned once, for whatever values, and theirs."""
        planned = self.pooled.info.setdefault("planned", {})
        found: tuple[str, tuple[str, ...]] | None = planned.get(statement)
        if found is None:
            names, body = _numbered(statement)
            found = f"planned_{len(planned)}", names
            say(self._begun(), f"PREPARE {found[0]} AS {body}")
            planned[statement] = found
        return found

    @property
    def is_begun(self) -> bool:
        """Whether the database has heard of this transaction."""
        return not self.ending.unsaid.startswith(_BEGIN)

    def leave(self) -> None:
        """Undo what this transaction did, if it still goes on."""
        self._take_unsaid()
        if self._driver.info.transaction_status is not TransactionStatus.IDLE:
            say(self._driver, "ROLLBACK")

    def is_undone(self) -> bool:
        """Whether a transaction that failed has certainly written nothing: its connection stands, and waits for its end."""
        return self._driver.info.transaction_status is TransactionStatus.INERROR

    def has_written(self) -> bool:
        """Whether anything was written or locked in this transaction. The database is asked where more was said to it
        than questions."""
        if self.ending.owes or self.ending.has_only_read:
            return self.ending.owes
        (row,) = self.rows("SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS yes")
        return bool(row.yes)

    def plan_for_any(self) -> None:
        """From here on plan a statement once on a connection, for whatever values: for statements whose shape leaves
        no choice that depends on them. Planning for the values at hand is as much work as finding a hundred rows."""
        self.ending.unsaid += "SET LOCAL plan_cache_mode = force_generic_plan; "

    def command(self, command: str) -> None:
        """Run a command of our own, in which no value stands. The driver, seeing ROLLBACK or DROP, would forget every
        statement planned on this connection, and others count on theirs."""
        self.ending.has_only_read = False
        self._say(command)

    def saw_erasures(self, school: int, number: int | None) -> None:
        """Note how many people a school had erased when its facts were read: who was read then may be gone since."""
        if number is not None:
            self.ending.erasures[school] = number

    def narrow(self, place: Place) -> None:
        """Become a session of one school, in the same transaction. There is no way back."""
        self.enter(roles.SCHOOL, place.district, (place.school,))

    def administer(self, district: int) -> None:
        """Become a session for a district's schools, staff, vendors and registrations, in the same transaction."""
        self.enter(roles.ONBOARDING, district, ())

    def enter(self, role: str, district: int, schools: Sequence[int]) -> None:
        """Act from here on in this role, for these schools."""
        self.write_rest()
        self.ending.unsaid += _entering(role, district, schools)
        self.district, self.schools = district, tuple(schools)

    def _say(self, command: str) -> None:
        """Send a command, after what was to be said before it."""
        if self.watch and command:
            self.watch(command)
        say(self._driver, self._take_unsaid() + command)

    def _begun(self) -> psycopg.Connection[Any]:
        """The driver's connection, after everything that was to be said first."""
        if self.ending.unsaid:
            self._say("")
        return self._driver

    def _saw(self, statement: str) -> None:
        self.ending.has_only_read = self.ending.has_only_read and _is_question(statement)
        if self.watch:
            self.watch(statement)

    def _take_unsaid(self) -> str:
        unsaid, self.ending.unsaid, self.ending.owes = self.ending.unsaid, "", False
        return unsaid

    def _execute(
        self, statement: str, values: dict[str, Any] | None = None, *, many: bool = False
    ) -> psycopg.Cursor[Any]:
        self._saw(statement)
        cursor = self._begun().cursor(row_factory=tuple_row if many else _named, binary=many)
        return cursor.execute(statement.encode(), values)

    def _with_place(self, values: dict[str, Any]) -> dict[str, Any]:
        values.setdefault("district", self.district)
        values.setdefault("schools", list(self.schools))
        if len(self.schools) == 1:
            values.setdefault("school", self.schools[0])
        return values


@lru_cache(maxsize=256)
def _insertion(table: sa.Table, names: tuple[str, ...], ignore: bool) -> tuple[str, tuple[str, ...]]:
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(f"%({name})s" for name in names)
    json_names = tuple(n for n in names if isinstance(table.c[n].type, JSONB))
    tail = " ON CONFLICT DO NOTHING" if ignore else ""
    return f'INSERT INTO "{table.name}" ({columns}) VALUES ({values}){tail}', json_names


# What a question does not hold. Of our own functions, `ledger_append` alone writes (migrations/versions).
_DEED = re.compile(
    r"\b(?:INSERT|UPDATE|DELETE|MERGE|TRUNCATE|COPY|CREATE|ALTER|DROP|LOCK|CALL|SHARE|NOTIFY|ledger_append|nextval|setval|"
    r"set_config|lo_\w+|pg_\w+)\b", re.IGNORECASE,
)  # fmt: skip


@lru_cache(maxsize=1024)
def _is_question(statement: str) -> bool:
    """Whether a statement certainly writes and locks nothing."""
    return statement.lstrip().startswith(("SELECT", "WITH")) and _DEED.search(statement) is None


_NAMED = re.compile(r"%\((\w+)\)s")


@lru_cache(maxsize=64)
def _numbered(statement: str) -> tuple[tuple[str, ...], str]:
    """Return the names of a statement's values, each once, and the statement with their numbers in their places."""
    names = tuple(dict.fromkeys(_NAMED.findall(statement)))
    return names, _NAMED.sub(lambda found: f"${names.index(found[1]) + 1}", statement)


def _entering(role: str, district: int, schools: Sequence[int]) -> str:
    """The commands that make the rest of a transaction act in a role of `store/roles.py`, for schools by number."""
    listed = ",".join(str(int(school)) for school in schools)
    return (
        f"SET LOCAL ROLE {role}; SET LOCAL schoolgate.district = '{int(district)}'; "
        f"SET LOCAL schoolgate.schools = '{{{listed}}}'; "
    )


def packed(value: Any) -> str:
    """Return what a statement takes as one JSON value. Raises psycopg.DataError for half a character."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        raise psycopg.DataError(str(error)) from error


def say(raw: psycopg.Connection[Any], command: str) -> PGresult:
    """Send commands, whose values were quoted by the driver; return the answer to the last. Raises psycopg.Error."""
    result = raw.pgconn.exec_(command.encode())
    if _has_failed(result):
        raise _error(result)
    return result


def _answers(raw: psycopg.Connection[Any], command: str) -> list[PGresult]:
    """Send commands as `say` does; return the answer to each, the last of which may have failed. Raises psycopg.Error
    where the connection does."""
    raw.pgconn.send_query(command.encode())
    return raw.wait(generators.execute(raw.pgconn))


def _has_failed(result: PGresult) -> bool:
    return result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)


def _error(result: PGresult) -> psycopg.Error:
    return psycopg.errors.error_from_result(result, encoding="utf-8")


def _named(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Any]:
    return _row_of(cursor.pgresult)


def _row_of(result: PGresult | None) -> Callable[[Sequence[Any]], Any]:
    """Rows whose columns are attributes; a column that Python could not name so is reached by its place."""
    return partial(tuple.__new__, _row_class(tuple(result.fname(n) for n in range(result.nfields)) if result else ()))


@lru_cache(maxsize=512)
def _row_class(names: tuple[bytes | None, ...]) -> Any:
    return namedtuple("Row", [(name or b"").decode() for name in names], rename=True)


def driver(url: str) -> str:
    """Return the address with the driver SQLAlchemy shall use."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


# Who goes without a word (a machine that stops, a wire that is cut) is missed within a minute. By us, so that nobody waits
# for an answer that will not come; by the database, so that it lets go of what was locked: the head of a log, above all.
# The system's own keepalives begin after two hours. On a socket of the same machine none of it has a meaning.
KEEPALIVES = {
    "keepalives": 1, "keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 50_000,
}  # fmt: skip
THEIR_KEEPALIVES = "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"
# The buffers of temporary tables are taken as they are needed; once they are in use, their number cannot be changed.
_OPTIONS = f"-c TimeZone=UTC -c temp_buffers=64MB {THEIR_KEEPALIVES}"


class Database:
    """Opens sessions on one PostgreSQL."""

    def __init__(self, url: str, *, pool_size: int = 12) -> None:
        self.url = url
        self.watch: Callable[[str], None] | None = None
        self.engine = sa.create_engine(
            driver(url), pool_size=pool_size, max_overflow=8, pool_timeout=5, isolation_level="AUTOCOMMIT", pool_reset_on_return=None,
            connect_args={"connect_timeout": 5, "client_encoding": "utf8", "prepare_threshold": 3, "options": _OPTIONS} | KEEPALIVES,
        )  # fmt: skip

    @contextmanager
    def _open(self, role: str, district: int, schools: Sequence[int]) -> Iterator[Session]:
        with closing(self.engine.raw_connection()) as connection:
            session = Session(connection, self.engine, district, tuple(schools), self.watch)
            session.ending.unsaid = f"{_BEGIN}{_entering(role, district, schools)}"
            try:
                yield session
                session.commit()
            except BaseException as error:
                self._roll_back(connection, session)
                if not isinstance(error, Undo):
                    raise

    def _roll_back(self, connection: PoolProxiedConnection, session: Session) -> None:
        """Leave nothing of a transaction; a connection that is gone takes its idle neighbours along."""
        try:
            session.leave()
        except psycopg.Error:
            connection.invalidate()
            self.engine.dispose()

    @contextmanager
    def open_school(self, place: Place) -> Iterator[Session]:
        """A session for the rows of one school."""
        with self._open(roles.SCHOOL, place.district, (place.school,)) as session:
            yield session

    @contextmanager
    def open_schools(self, district: int, schools: Sequence[int]) -> Iterator[Session]:
        """A session for the rows of several schools of one district; none of them is an error."""
        if not schools:
            raise ValueError("a session needs a school")
        with self._open(roles.SCHOOL, district, sorted(set(schools))) as session:
            yield session

    @contextmanager
    def open_erasure(self, place: Place) -> Iterator[Session]:
        """A session that removes a person at one school."""
        with self._open(roles.ERASURE, place.district, (place.school,)) as session:
            yield session

    @contextmanager
    def open_identity(self) -> Iterator[Session]:
        """A session that finds out who is calling. It can be narrowed to the school it finds."""
        with self._open(roles.IDENTITY, 0, ()) as session:
            yield session

    @contextmanager
    def open_district(self, district: int) -> Iterator[Session]:
        """A session for one district's schools, staff, vendors and registrations; no pupil's record."""
        with self._open(roles.ONBOARDING, district, ()) as session:
            yield session

    @contextmanager
    def open_new_district(self) -> Iterator[Session]:
        """A session for a district that does not exist yet."""
        with self._open(roles.ONBOARDING, 0, ()) as session:
            number = session.rows("SELECT nextval('district_number')")[0][0]
            session.administer(number)
            yield session

    @contextmanager
    def open_intake(self, district: int) -> Iterator[Session]:
        """A session that stages and publishes the roster of one district."""
        with self._open(roles.INTAKE, district, ()) as session:
            yield session

    def ping(self) -> None:
        """Raise one of UNREACHABLE unless the database answers, with the schema this version needs."""
        with self.open_identity() as session:
            session.rows("SELECT 1 FROM launch_nonce LIMIT 1")

    def close(self) -> None:
        self.engine.dispose()
