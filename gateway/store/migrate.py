"""Brings a database to the schema this version needs."""

from __future__ import annotations

from importlib.resources import files

import psycopg
from alembic import command
from alembic.config import Config

from gateway.store.tenant import driver

# What a session raises when the database has not the schema of this version.
NO_SCHEMA = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedObject)


def upgrade(owner_url: str) -> None:
    """Run the missing migrations as the owner. Forward only."""
    config = Config()
    config.set_main_option("script_location", str(files("gateway.store") / "migrations"))
    config.set_main_option("sqlalchemy.url", driver(owner_url).replace("%", "%%"))
    command.upgrade(config, "head")
