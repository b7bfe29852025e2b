"""Background work on PostgreSQL: jobs are put in by the transaction that makes it true and hold references only."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import procrastinate
import structlog
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Status

from gateway.store.roles import JOBS
from gateway.store.tenant import KEEPALIVES, THEIR_KEEPALIVES, Place, Session

if TYPE_CHECKING:
    from gateway.flows.parts import Parts

_log = structlog.get_logger()
STALLED_SECONDS = 120
SIGN_SECONDS = 0.5  # between two rounds: a checkpoint is at most a second old while a log grows
# A drain that fails for whatever reason is run again, less and less often, for as long as its grades are kept.
_AGAIN = procrastinate.RetryStrategy(max_attempts=500, wait=10, linear_wait=10)


class Deferrer:
    """Puts jobs into a session's own transaction; its own connector is never opened."""

    def __init__(self) -> None:
        self._app = procrastinate.App(connector=procrastinate.SyncPsycopgConnector())

    def __call__(
        self,
        session: Session,
        task: str,
        due_at: datetime | None = None,
        lock: str | None = None,
        queueing_lock: str | None = None,
        **references: Any,
    ) -> None:
        """Jobs of one `lock` run one after the other; of one `queueing_lock` there is at most one that waits."""
        deferrer = self._app.configure_task(
            task, lock=lock, queueing_lock=queueing_lock, connection=session.raw,
            schedule_at=due_at.astimezone(UTC) if due_at else None,
        )  # fmt: skip
        with suppress(AlreadyEnqueued), session.raw.transaction():
            deferrer.defer(**references)


def make_worker(parts: Parts) -> procrastinate.App:
    """Return the application that runs jobs, with its tasks and timetable."""
    connector = procrastinate.PsycopgConnector(
        conninfo=parts.database.url, kwargs={"options": f"-c role={JOBS} {THEIR_KEEPALIVES}"} | KEEPALIVES,
        min_size=1, max_size=4,
    )  # fmt: skip
    app = procrastinate.App(connector=connector)

    @app.task(name="drain_column", retry=_AGAIN)
    def drain_column(district: int, school: int, activity: str, deployment: str, context: str) -> None:
        from gateway.flows import grade_delivery

        grade_delivery.drain(parts, Place(district, school), activity, deployment, context)

    @app.periodic(cron="*/5 * * * *")
    @app.task(name="sweep", queueing_lock="sweep", pass_context=True)
    async def sweep(context: procrastinate.JobContext, timestamp: int) -> None:  # noqa: ARG001
        """Run again what a killed worker left, and forget what has expired."""
        await run_again(app)
        await asyncio.to_thread(forget_expired, parts)

    @app.periodic(cron="17 3 * * *")
    @app.task(name="rotate_keys", queueing_lock="rotate_keys")
    def rotate_keys(timestamp: int) -> None:  # noqa: ARG001
        """Publish the next key of registrations whose key is old; when it signs is a matter of its own time."""
        from gateway.flows import registration_desk

        registration_desk.rotate_old(parts)

    _add_rosters(app, parts)
    return app


def _add_rosters(app: procrastinate.App, parts: Parts) -> None:
    """The tasks of the timetable of sources."""

    @app.periodic(cron="* * * * *")
    @app.task(name="timetable", queueing_lock="timetable")
    def timetable(timestamp: int) -> None:  # noqa: ARG001
        """Give each source that is due its job; look into watched folders; see to what is to be told."""
        from gateway.flows.rosters import running

        running.tick(parts)

    @app.periodic(cron="47 3 * * *")
    @app.task(name="forget_rosters", queueing_lock="forget_rosters")
    def forget_rosters(timestamp: int) -> None:  # noqa: ARG001
        """Forget the rosters of long ago, and what expired holds kept back."""
        from gateway.flows.rosters import running

        running.tidy(parts)

    @app.task(name="sync_source")
    def sync_source(district: int, source: str) -> None:
        from gateway.flows.rosters import running

        running.night(parts, district, source)

    @app.task(name="take_delivery")
    def take_delivery(district: int, run: str) -> None:
        from gateway.flows.rosters import arrivals

        arrivals.take(parts, district, run)

    @app.task(name="send_notifications")
    def send_notifications(district: int) -> None:
        from gateway.flows.notifications import sending

        sending.send_due(parts, district)


async def run_again(app: procrastinate.App) -> None:
    """Run again what a killed worker left; where its like waits already, that one takes its place."""
    for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        try:
            await app.job_manager.retry_job(job)
        except ConnectorException:
            await app.job_manager.finish_job(job, Status.FAILED, delete_job=False)


def forget_expired(parts: Parts) -> None:
    """Remove nonces, tokens and assertion ids that can no longer be valid, and answers that are repeated no longer."""
    from gateway.store import credentials, registrations, results

    with parts.database.open_identity() as session:
        registrations.forget_nonces(session, parts.clock.now())
        registrations.forget_launches(session, parts.clock.now())
        credentials.forget_tokens(session, parts.clock.now())
        results.forget_answers(session, parts.clock.now())


def sign_checkpoints(parts: Parts, stop: threading.Event) -> None:
    """Sign for the logs that grow, until told to stop and once more then. Nothing that goes wrong ends it."""
    from gateway.flows.checkpoints import Signer

    signer, stopped = Signer(parts), False
    while not stopped:
        stopped = stop.wait(SIGN_SECONDS)
        try:
            signer.round()
        except Exception as error:
            _log.error("no checkpoint was signed", code="INT_UNAVAILABLE", kind=type(error).__name__)


def work(parts: Parts, *, once: bool = False) -> None:
    """Run jobs until told to stop; with `once`, until none is due. Logs that have grown are signed beside it."""
    app, stop = make_worker(parts), threading.Event()

    async def run() -> None:
        async with app.open_async():
            await app.run_worker_async(
                wait=not once, concurrency=4, install_signal_handlers=not once, fetch_job_polling_interval=1.0
            )

    signer = threading.Thread(target=sign_checkpoints, args=(parts, stop), name="checkpoints")
    signer.start()
    try:
        asyncio.run(run())
    finally:
        stop.set()
        signer.join()
