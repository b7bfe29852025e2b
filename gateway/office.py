"""The parts of an installation that make no call to the outside: what the command line needs for most of its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway import errors
from gateway.clock import Clock, Ids
from gateway.embedded import EmbeddedPostgres
from gateway.errors import Refused
from gateway.flows.parts import Office
from gateway.settings import Settings, load, usable
from gateway.store import directory
from gateway.store.secrets import open_vault
from gateway.store.tenant import Database


def make_office(settings: Settings, database_url: str, clock: Clock | None = None, ids: Ids | None = None) -> Office:
    """Choose the parts of an office."""
    return Office(settings, Database(database_url), open_vault(settings.keys), clock or Clock(), ids or Ids())


def open_installed(settings: Settings, database_url: str, *, create: bool = True) -> Office:
    """The office of an installation: its key is made with the installation, and never again. Raises Refused."""
    database = Database(database_url)

    def may_make() -> bool:
        with database.open_identity() as session:
            new = directory.is_new(session)
        if new and not create:
            raise _nothing_in(settings)
        return new

    try:
        return Office(settings, database, open_vault(settings.keys, may_make), Clock(), Ids())
    except BaseException:
        database.close()
        raise


def _nothing_in(settings: Settings) -> Refused:
    return Refused(errors.INT_NO_INSTALLATION, f"there is no installation in {settings.instance}")


@contextmanager
def open_office(*, create: bool) -> Iterator[Office]:
    """The office of this installation, which is made when it is not there and `create` says so. Its embedded database
    is started, and stopped again if nobody else uses it. Raises Refused."""
    settings = load()
    server = None if settings.database_url else EmbeddedPostgres(settings.instance)
    try:
        with usable(settings.instance):
            if server and not create and not server.exists():
                raise _nothing_in(settings)
            url = _start(server) if server else settings.database_url
            office = open_installed(settings, url, create=create)
        try:
            yield office
        finally:
            office.database.close()
    finally:
        if server:
            server.stop()


def _start(server: EmbeddedPostgres) -> str:
    """Start the embedded database and return the application's address; whoever starts it brings it up to date."""
    addresses = server.ensure()
    if server.started:
        from gateway.store.migrate import upgrade

        upgrade(addresses.owner)
    return addresses.application
