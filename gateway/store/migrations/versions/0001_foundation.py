"""The foundation: every table of version 0.1, row security, grants, and the job queue's own schema."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from procrastinate.schema import SchemaManager
from procrastinate.testing import InMemoryConnector

from gateway.store.roles import INTAKE, JOBS, SCHOOL

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.get_bind().exec_driver_sql(Path(__file__).with_suffix(".sql").read_text())
    op.get_bind().exec_driver_sql(SchemaManager(InMemoryConnector()).get_schema().replace("%", "%%"))
    _grant_queue(JOBS)
    _grant_queue(SCHOOL)
    _grant_queue(INTAKE)


def _grant_queue(role: str) -> None:
    """The worker runs the queue; a session of a school or of an intake may only put a job in, inside its own
    transaction."""
    tables = "procrastinate_jobs, procrastinate_events, procrastinate_periodic_defers, procrastinate_workers"
    rights = "SELECT, INSERT, UPDATE, DELETE" if role == JOBS else "SELECT, INSERT"
    for statement in (
        f"GRANT {rights} ON {tables} TO {role}",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    ):
        op.get_bind().exec_driver_sql(statement)
