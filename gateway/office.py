"""The parts of an installation that make no call to the outside: what the command line needs for most of its work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.clock import Clock, Ids
from gateway.embedded import EmbeddedPostgres
from gateway.flows.parts import Office
from gateway.settings import Settings, load
from gateway.store.secrets import open_vault
from gateway.store.tenant import Database


def make_office(settings: Settings, database_url: str, clock: Clock | None = None, ids: Ids | None = None) -> Office:
    """Choose the parts of an office."""
    return Office(settings, Database(database_url), open_vault(settings.keys), clock or Clock(), ids or Ids())


@contextmanager
def open_office() -> Iterator[Office]:
    """The office of this installation; its embedded database is started, and stopped again if nobody else uses it."""
    settings = load()
    if settings.database_url:
        office = make_office(settings, settings.database_url)
        yield office
        office.database.close()
        return
    server = EmbeddedPostgres(settings.instance)
    addresses = server.ensure()
    if server.started:
        from gateway.store.migrate import upgrade

        upgrade(addresses.owner)
    office = make_office(settings, addresses.application)
    try:
        yield office
    finally:
        office.database.close()
        server.stop()
