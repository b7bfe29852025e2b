"""Brings a database to the schema this version needs."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import psycopg

from gateway.store.tenant import driver

# What a session raises when the database has not the schema of this version.
NO_SCHEMA = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedObject)
_MIGRATIONS = files("gateway.store") / "migrations"


def upgrade(owner_url: str) -> None:
    """Run the missing migrations as the owner. Forward only. Alembic is called on only where one is missing: every
    command starts with this question."""
    if _version(owner_url) == head():
        return
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("sqlalchemy.url", driver(owner_url).replace("%", "%%"))
    command.upgrade(config, "head")


@cache
def head() -> str:
    """Return the revision that this version needs: the last one, their files bear their numbers."""
    names = (path.name for path in (_MIGRATIONS / "versions").iterdir())
    return max(name.partition("_")[0] for name in names if name[0].isdigit())


def _version(owner_url: str) -> str | None:
    with psycopg.connect(owner_url) as session:
        try:
            row = session.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return row[0] if row else None
