"""Roster deliveries: plan, apply, history, errors, release of a hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import HELD, OK, acting, exit_code, json_flag, main, show, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.flows.rosters import Report
    from gateway.flows.rosters.progress import Listener, Moment
    from gateway.identity.staff import Person
    from gateway.store.tenant import Session


@main.group()
def sync() -> None:
    """Roster deliveries: plan, apply, history, release of a hold."""


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
        return _say_report(report, source_name, as_json)

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


def _say_report(report: Report, source_name: str, as_json: bool) -> int:
    from gateway import report_text

    if as_json:
        click.echo(json.dumps(report.as_dict() | {"faults": [f._asdict() for f in report.faults]}, default=str))
    else:
        for line in report_text.lines(report, source_name):
            click.echo(line)
    if report.state == "refused":
        return exit_code(report.code or "")
    return HELD if report.state == "held" else OK


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
    if changes is not None and not as_json:
        _say_report(changes, source_name, as_json)
    return _say_report(everything, source_name, as_json)


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
        (r.run, r.state, r.started_at.isoformat(timespec="seconds"), len(r.report.get("causes", ()))) for r in rows
    ]
    table("Runs", ("run", "state", "started", "kinds of fault"), shown, as_json)


@sync.command("errors")
@click.argument("run")
@click.option(
    "--limit", type=click.IntRange(1, 20_000), default=20_000, show_default=True, help="Show the first of them."
)
@json_flag
@acting
def sync_errors(parts: Office, by: Person, run: str, limit: int, as_json: bool) -> None:
    """List what was wrong in the delivery of a run, row by row; a refused, held or planned run has its list too."""
    from gateway import errors
    from gateway.store import sources

    by.acts_for_district()
    with parts.database.open_intake(by.district) as session:
        found = sources.run(session, run)
        rows = sources.faults(session, run, limit)
    if found is None:
        raise errors.Refused(errors.REQ_UNKNOWN, f"there is no run {run}; `schoolgate sync history` lists them")
    shown = [(r.file, r.line, r.sourced_id, r.column_name, r.code, r.effect, r.shape, r.hint) for r in rows]
    columns = ("file", "line", "sourced_id", "column", "code", "effect", "shape", "hint")
    table(f"Faults of {run}", columns, shown, as_json)
    more = sum(cause["count"] for cause in found.report.get("causes", ())) - len(rows)
    if more > 0 and not as_json:
        click.echo(f"… and {more} more; the first {sources.KEPT_FAULTS:,} of a run are kept.")


@sync.command("release")
@click.argument("run")
@json_flag
@acting
def sync_release(parts: Office, by: Person, run: str, as_json: bool) -> int:
    """Release a hold, as another person than whoever ran into it; then apply the same delivery again.

    A hold that the timetable ran into needs two people: the word of the first is kept, and the second one releases it.
    """
    from gateway.flows import rosters

    by.acts_for_district()
    released = rosters.release(parts, by.district, run, by.ref)
    after = "is released once. Next: schoolgate sync apply SOURCE with the same delivery"
    waits = f"waits for a second person's word. Next: they run schoolgate sync release {run}"
    show(as_json, {"run": run, "released": released}, [f"{run} {after if released else waits}"])
    return OK if released else HELD
