"""Runs migrations as the owner of the schema, in one transaction, under a lock so that two starts do not race."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from gateway.store.tables import metadata
from gateway.store.tenant import KEEPALIVES

_LOCK = 7_246_811


def run() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or ""
    engine = create_engine(url, poolclass=pool.NullPool, connect_args=dict(KEEPALIVES))
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=metadata, include_schemas=True)
        with context.begin_transaction():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            context.run_migrations()


run()
