"""Who may do what in the database: an owner that only migrates, a login with no rights of its own, and narrow
roles that a session takes on for one transaction.

`bootstrap` runs once per database with administrator rights: the embedded server does it by itself, in
production a database administrator runs `schoolgate db bootstrap`.
"""

from __future__ import annotations

from types import MappingProxyType

import psycopg
from psycopg import sql

from gateway import errors
from gateway.errors import Refused

LEAST_VERSION = 160_000  # grants of roles that are taken on, not inherited
OWNER = "schoolgate_owner"
LOGIN = "schoolgate"

SCHOOL = "schoolgate_school"
IDENTITY = "schoolgate_identity"
ONBOARDING = "schoolgate_onboarding"
INTAKE = "schoolgate_intake"
ERASURE = "schoolgate_erasure"
JOBS = "schoolgate_jobs"

# The only roles that see more than the schools of one session, and why.
NARROW = MappingProxyType(
    {
        SCHOOL: "rows of the schools named in the session, by row security",
        IDENTITY: "finds out who is calling before any school is known; no pupil's record",
        ONBOARDING: "districts, schools, staff, vendors and registrations of one district; no pupil's record",
        INTAKE: "stages and publishes the roster of one district, and forgets versions that are not kept any longer",
        ERASURE: "removes one person at one school, by row security; nothing else deletes what is on file",
        JOBS: "the queue's own tables; its rows hold references only",
    }
)


def bootstrap(admin: str, owner_word: str, login_word: str, database: str) -> None:
    """Make roles and database unless they are there. `admin` is a superuser's connection string."""
    try:
        connected = psycopg.connect(admin, autocommit=True)
    except psycopg.ProgrammingError as error:
        raise Refused(errors.REQ_INVALID, "the administrator's address is not a postgresql:// address") from error
    with connected as connection:
        if connection.info.server_version < LEAST_VERSION:
            said = connection.info.parameter_status("server_version")
            raise Refused(errors.INT_SETTINGS, f"PostgreSQL 16 or newer is needed; this is {said}")
        have = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
        for statement in statements(have, owner_word, login_word):
            connection.execute(statement)
        made = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone()
        if not made:
            make_database(connection, database)


def make_database(connection: psycopg.Connection[tuple[object, ...]], database: str, template: str = "") -> None:
    """Make a database that nobody but our own roles can enter; empty, or a copy of `template`."""
    like = sql.Identifier(template or "template0")
    locale = sql.SQL("" if template else " ENCODING 'UTF8' LOCALE 'C'")
    name = sql.Identifier(database)
    connection.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}{}").format(name, sql.Identifier(OWNER), like, locale)
    )
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    names = sql.SQL(", ").join(map(sql.Identifier, (LOGIN, INTAKE)))
    connection.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(name, names))


def statements(have: set[str], owner_word: str, login_word: str) -> list[sql.Composed]:
    """Return the statements that make the missing roles."""
    made = []
    for role, word in ((OWNER, owner_word), (LOGIN, login_word)):
        if role not in have:
            text = "CREATE ROLE {} LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD {}"
            made.append(sql.SQL(text).format(sql.Identifier(role), sql.Literal(word)))
    for role in NARROW:
        if role not in have:
            made.append(sql.SQL("CREATE ROLE {} NOLOGIN NOBYPASSRLS").format(sql.Identifier(role)))
            grant = "GRANT {} TO {} WITH INHERIT FALSE, SET TRUE"
            made.append(sql.SQL(grant).format(sql.Identifier(role), sql.Identifier(LOGIN)))
    return made
