"""What every test stands on: one embedded PostgreSQL for the whole run, a database of its own for each worker.

Tests keep apart by making districts of their own, as the product does; a test that needs a whole database to itself
asks for `fresh_database`.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import responses
from psycopg import sql
from psycopg.pq import TransactionStatus

from gateway.embedded import Addresses, EmbeddedPostgres
from gateway.office import make_office
from gateway.settings import Settings
from gateway.store import roles
from gateway.store.migrate import upgrade
from gateway.store.tenant import Database, Session
from tests import canaries
from tests.worlds import Steered, World

TEMPLATE = "template_schoolgate"
ROOM = 3 << 30  # bytes of memory that a run's databases may need
_names = itertools.count()
canaries.hear_logs()


def _shared(config: pytest.Config) -> Path:
    """The folder that all workers of this run share."""
    base = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    return base.parent if hasattr(config, "workerinput") else base


def _server(folder: Path) -> EmbeddedPostgres:
    """The run's server. Its data are in memory where the machine has a folder there with room: tests make databases
    and tables by the thousand, and files are made there in a tenth of the time."""
    instance, memory = folder / "instance", Path("/dev/shm")
    home = memory / f"schoolgate-{hashlib.sha256(str(instance).encode()).hexdigest()[:12]}"
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    return EmbeddedPostgres(instance, home if home.exists() or roomy else None)


class Cluster:
    """The run's PostgreSQL: hands out databases with the schema of this version."""

    def __init__(self, folder: Path) -> None:
        self.server = _server(folder)
        with (folder / "cluster.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.template = self.server.ensure(TEMPLATE)
            self._soften()
            upgrade(self.template.owner)

    def _soften(self) -> None:
        """Tests may lose what they wrote when the machine goes down."""
        with psycopg.connect(self.template.admin, autocommit=True) as admin:
            for line in ("fsync = off", "synchronous_commit = off", "full_page_writes = off", "max_wal_size = '256MB'"):
                admin.execute(f"ALTER SYSTEM SET {line}")
            admin.execute("SELECT pg_reload_conf()")

    def make(self, name: str, template: str = TEMPLATE) -> Addresses:
        """Return the addresses of a new database, a copy of the template."""
        with psycopg.connect(self.template.admin, autocommit=True) as admin:
            roles.make_database(admin, name, template)
        return Addresses(
            self.template.admin,
            self.template.owner.replace(TEMPLATE, name),
            self.template.application.replace(TEMPLATE, name),
        )

    def drop(self, name: str) -> None:
        with psycopg.connect(self.template.admin, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(autouse=True)
def listening() -> None:
    """Each test hears what libraries log, as at the beginning of a process, whatever the one before it set up."""
    logging.getLogger().setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return Cluster(_shared(request.config))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        folder = _shared(session.config)
        if (folder / "instance").exists():
            _server(folder).destroy()


@pytest.fixture(scope="session")
def addresses(cluster: Cluster, request: pytest.FixtureRequest) -> Addresses:
    """The worker's own database."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "main")
    return cluster.make(f"tests_{worker}")


@pytest.fixture(scope="session")
def database(addresses: Addresses) -> Iterator[Database]:
    opened = Database(addresses.application)
    yield opened
    opened.close()


@pytest.fixture
def fresh_database(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Callable[..., Addresses]]:
    """Makes databases that a test has to itself, copies of the template or of another of its own."""
    worker, made = getattr(request.config, "workerinput", {}).get("workerid", "main"), []

    def make(template: str = TEMPLATE) -> Addresses:
        made.append(f"own_{worker}_{next(_names)}")
        return cluster.make(made[-1], template)

    yield make
    for name in made:
        cluster.drop(name)


@pytest.fixture
def clock() -> Steered:
    return Steered(datetime(2026, 11, 2, 9, 0, tzinfo=UTC))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "instance", "http://127.0.0.1:8080", "", "", "", True, 0, 256)


@contextmanager
def world_on(addresses: Addresses, settings: Settings, clock: Steered) -> Iterator[World]:
    """A district of its own in this database."""
    office = make_office(settings, addresses.application, clock.clock)
    try:
        with canaries.flying(office.database, settings.instance, settings.redis_url):
            yield World(office, clock)
    finally:
        office.database.close()


@pytest.fixture(autouse=True)
def _no_token_is_where_it_may_not_be() -> Iterator[None]:
    """After every test, worlds that outlive it are judged too; the others are judged as they end."""
    yield
    for one in canaries.OPEN:
        one.check()


@pytest.fixture(autouse=True, scope="session")
def _who_seems_to_have_only_read_has_only_read() -> Iterator[None]:
    """A session that goes by its statements for having written nothing has written nothing, in every test."""
    real = Session.commit

    def checked(session: Session) -> None:
        reads, begun = session.ending.has_only_read and not session.ending.owes, session.is_begun
        if reads and begun and session._driver.info.transaction_status is TransactionStatus.INTRANS:
            (row,) = session.rows("SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS yes")
            assert not row.yes, "this session has written, and seems to have only read"
            session.ending.has_only_read = True
        real(session)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "commit", checked)
        yield


@pytest.fixture
def world(addresses: Addresses, settings: Settings, clock: Steered) -> Iterator[World]:
    """A district of the test's own: nothing in it but its administrator."""
    with world_on(addresses, settings, clock) as made:
        yield made


@pytest.fixture
def public_world(addresses: Addresses, settings: Settings, clock: Steered) -> Iterator[World]:
    """A world as in production: https outside, the sandbox switched off."""
    public = replace(settings, url="https://gateway.example", sandbox=False)
    with world_on(addresses, public, clock) as made:
        yield made


@pytest.fixture
def wire() -> Iterator[responses.RequestsMock]:
    """Answers of the outside at the HTTP layer; a call nobody expects fails."""
    with canaries.tapped(responses.RequestsMock(assert_all_requests_are_fired=False)) as mock:
        yield mock
