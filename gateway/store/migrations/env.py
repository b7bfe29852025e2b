"""Runs migrations as the owner of the schema, in one transaction, under a lock so that two starts do not race."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from gateway.store.tables import metadata

_LOCK = 7_246_811


def run() -> None:
    engine = create_engine(context.config.get_main_option("sqlalchemy.url") or "", poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, include_schemas=True)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            context.run_migrations()


run()
