"""Roster deliveries: plan, apply, undo, history, and what was wrong or missing in each."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import HELD, OK, acting, exit_code, json_flag, main, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.flows.rosters import Report
    from gateway.flows.rosters.progress import Listener, Moment
    from gateway.identity.staff import Person
    from gateway.store.tenant import Session


@main.group()
def sync() -> None:
    """Roster deliveries: plan, apply, undo, history, and holds that wait for a second person."""


def _sync(publish: bool) -> Callable[..., Any]:
    @click.argument("source_name", metavar="SOURCE")
    @click.argument("delivery", type=click.Path(path_type=Path), required=False)
    @click.option("--changes", is_flag=True, help="Pull only what changed since the source was read last.")
    @click.option("--in-peak", is_flag=True, help="Pull even in the hours that the source keeps free.")
    @json_flag
    @acting
    def run(
        parts: Office, by: Person, source_name: str, delivery: Path | None, changes: bool, in_peak: bool, as_json: bool
    ) -> int:
        from gateway.flows import rosters

        by.acts_for_district()
        with parts.database.open_district(by.district) as session:
            found = _found_source(session, source_name)
        with _shown() as listeners:
            if delivery is not None:
                report = rosters.sync(
                    parts, by.district, found.source, delivery, by.ref, publish=publish, listeners=listeners
                )
            else:
                from gateway.app import make_parts
                from gateway.flows.rosters import pull

                asked = pull.Asked(changes=changes, in_peak=in_peak)
                report = pull.pull(make_parts(parts), by, found, asked, publish=publish, listeners=listeners)
        return say_report(report, source_name, as_json)

    return run


@contextmanager
def _shown() -> Iterator[list[Listener]]:
    """Show on a terminal how far a run has come: rows, rows a second, time left. Elsewhere nothing is shown."""
    if not sys.stderr.isatty():
        yield []
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    step, rate = TextColumn("{task.description:8}"), TextColumn("{task.fields[rate]} rows/s")
    columns = (step, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("open", total=None, rate="-")

        def hear(now: Moment) -> None:
            rate = f"{bar.tasks[task].speed or 0:,.0f}"
            bar.update(task, description=now.step, completed=now.done, total=now.total, rate=rate)

        yield [hear]


def _found_source(session: Session, name: str) -> Any:
    from gateway import errors
    from gateway.store import sources

    found = sources.find(session, name)
    if found is None:
        raise errors.Refused(errors.REQ_UNKNOWN, f"there is no source {name} in this district")
    return found


plan = sync.command("plan", help="Say what a delivery would change; change nothing.")(_sync(publish=False))
apply = sync.command("apply", help="Bring a delivery in and publish one version, or hold it.")(_sync(publish=True))


def say_report(report: Report, source_name: str, as_json: bool, **more: Any) -> int:
    """Print a run's report, as JSON with what `more` says; return the exit code."""
    from gateway import report_text

    if as_json:
        # Of two hundred thousand faults, one form at a time is in memory.
        click.echo(json.dumps(report.as_dict() | {"faults": [f._asdict() for f in report.faults]} | more, default=str))
    else:
        for line in report_text.lines(report, source_name):
            click.echo(line)
    if report.state == "refused":
        return exit_code(report.code or "")
    return HELD if report.hold and report.hold.get("waiting") != 0 else OK


@sync.command("reconcile")
@click.argument("source_name", metavar="SOURCE")
@click.option("--in-peak", is_flag=True, help="Pull even in the hours that the source keeps free.")
@json_flag
@acting
def sync_reconcile(parts: Office, by: Person, source_name: str, in_peak: bool, as_json: bool) -> int:
    """Bring in what changed, then everything, and keep how many records only the whole showed (the drift)."""
    from gateway.app import make_parts
    from gateway.flows.rosters import pull

    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = _found_source(session, source_name)
    changes, everything = pull.reconcile(make_parts(parts), by, found, in_peak=in_peak)
    drift = pull.drift_of(changes, everything)
    if as_json:
        return say_report(everything, source_name, as_json, drift=drift, changes=changes and changes.as_dict())
    if changes is not None:
        say_report(changes, source_name, as_json)
    code = say_report(everything, source_name, as_json)
    click.echo("Drift: not known, as both readings are needed." if drift is None else f"Drift: {drift:,} rows.")
    return code


@sync.command("history")
@click.argument("source_name", metavar="SOURCE")
@json_flag
@acting
def sync_history(parts: Office, by: Person, source_name: str, as_json: bool) -> None:
    """Show the last runs of a source."""
    from gateway.store import sources

    with parts.database.open_intake(by.district) as session:
        rows = sources.history(session, _found_source(session, source_name).source)
    shown = [
        (r.run, r.state, r.started_at.isoformat(timespec="seconds"), len(r.report.get("causes", ())), _far(r))
        for r in rows
    ]
    table("Runs", ("run", "state", "started", "kinds of fault", "how far"), shown, as_json)


def _far(run: Any) -> str:
    """How far a run that is under way has come, or one that was killed had come."""
    return f"{run.step}, {run.rows_done:,} rows" if run.step else ""


@sync.command("errors")
@click.argument("run")
@click.option(
    "--limit", type=click.IntRange(1, 20_000), default=20_000, show_default=True, help="Show the first of them."
)
@click.option(
    "--format", "form", type=click.Choice(("table", "csv", "certification")), default="table", show_default=True,
    help="csv is for the registrar; certification says which files were imported and rejected, and why.",
)  # fmt: skip
@json_flag
@acting
def sync_errors(parts: Office, by: Person, run: str, limit: int, form: str, as_json: bool) -> None:
    """List what was wrong in the delivery of a run, row by row; a refused, held or planned run has its list too.

    That of a refused run begins with why nothing was taken.

    No value of the roster is shown, only its shape: digits as 9, letters as a.
    """
    from gateway import fault_text
    from gateway.flows.rosters import looking
    from gateway.store import sources

    by.acts_for_district()
    found, rows = looking.faults(parts, by, run, 0 if form == "certification" else limit)
    if form == "certification":
        certified = fault_text.certified(found.report)
        click.echo(json.dumps(certified) if as_json else "\n".join(fault_text.certification_lines(certified)))
        return
    shown = fault_text.refused(found.report) + fault_text.listed(found.report.get("version", ""), rows)
    if form == "csv" and not as_json:
        click.echo(fault_text.as_csv(shown), nl=False)
        return
    table(f"Faults of {run}", fault_text.COLUMNS, shown, as_json)
    more = sum(cause["count"] for cause in found.report.get("causes", ())) - len(rows)
    if more > 0 and not as_json:
        click.echo(f"… and {more} more; the first {sources.KEPT_FAULTS:,} of a run are kept.")


@sync.command("absences")
@click.argument("run")
@click.option(
    "--limit", type=click.IntRange(1, 20_000), default=20_000, show_default=True, help="Show the first of them."
)
@json_flag
@acting
def sync_absences(parts: Office, by: Person, run: str, limit: int, as_json: bool) -> None:
    """List the records that a run did not meet again, each with the reason; only `source-deleted` are removed by
    themselves."""
    from gateway.flows.rosters import looking

    by.acts_for_district()
    rows = looking.missing(parts, by, run, limit)
    table(f"Missing in {run}", ("kind", "id", "cause"), [(r.kind, r.sourced_id, r.cause) for r in rows], as_json)


@sync.command("undo")
@click.argument("source_name", metavar="SOURCE")
@click.option(
    "--to", "run", help="Go back to what the schools held after this run; to before the last one when absent."
)
@click.option("--plan/--apply", "only_plan", default=True, help="Say what it would change (the default), or do it.")
@json_flag
@acting
def sync_undo(parts: Office, by: Person, source_name: str, run: str | None, only_plan: bool, as_json: bool) -> int:
    """Go back to an earlier version of a source's schools, as a new version.

    What was erased since stays erased, and refusals and consents stay. The next delivery is compared with what the
    schools then hold. Where a guard trips, a second person releases it.
    """
    from gateway.flows import rosters

    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = _found_source(session, source_name)
    report = rosters.undo(parts, by.district, found.source, by.ref, to=run, publish=not only_plan)
    return say_report(report, source_name, as_json)
