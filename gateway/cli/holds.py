"""Holds: what a guard keeps back, for a second person to release, whole or in part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import HELD, acting, json_flag, show, table
from gateway.cli.sync import sync

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@sync.group()
def hold() -> None:
    """Holds: what a guard keeps back waits for a second person, for two weeks."""


def _part(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a part of a hold."""
    rows = click.option("--row", "rows", multiple=True, metavar="KIND:ID", help="Only this row, as in user:1234.")
    schools = click.option("--school", "schools", multiple=True, help="Only at this school (name or reference).")
    return schools(rows(command))


def _split(rows: Sequence[str]) -> list[tuple[str, str]]:
    for row in rows:
        if ":" not in row:
            raise click.UsageError(f"{row} names no row; write KIND:ID, as in user:1234")
    return [(kind, id_) for kind, _, id_ in (row.partition(":") for row in rows)]


@hold.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@json_flag
@acting
def hold_list(parts: Office, by: Person, everything: bool, as_json: bool) -> None:
    """Show what waits for a second person."""
    from gateway.store import holds

    by.acts_for_district()
    with parts.database.open_intake(by.district) as session:
        rows = holds.listing(session, state=None if everything else "open")
    shown = [
        (r.hold, r.source_name, r.kind, r.code, r.state, r.run, r.acted_by, r.opened_at, r.expires_at) for r in rows
    ]
    columns = ("hold", "source", "what waits", "why", "state", "run", "met by", "since", "expires")
    table("Holds", columns, shown, as_json)


@hold.command("show")
@click.argument("name", metavar="HOLD")
@click.option("--limit", type=click.IntRange(0, 20_000), default=50, show_default=True, help="Show the first rows.")
@json_flag
@acting
def hold_show(parts: Office, by: Person, name: str, limit: int, as_json: bool) -> None:
    """Show what a hold keeps back: how much at each school, which guards tripped, and its rows with their causes."""
    from gateway.flows import rosters

    by.acts_for_district()
    found, counts, rows = rosters.show(parts, by, name, limit)
    said = {
        "hold": found.hold, "run": found.run, "what_waits": found.kind, "code": found.code, "state": found.state,
        "met_by": found.acted_by, "since": found.opened_at, "expires": found.expires_at, "review": found.review,
        "schools": [{"school": r.ref, "name": r.name, "kind": r.kind, "way": _way(r.what), "rows": r.n}
                    for r in counts],
        "rows": [{"kind": r.kind, "id": r.sourced_id, "way": _way(r.what), "cause": r.cause, "schools": r.schools or []}
                 for r in rows],
    }  # fmt: skip
    if as_json:
        show(as_json, said, [])
        return
    for line in _text(said):
        click.echo(line)


def _way(what: str) -> str:
    return "comes or changes" if what == "in" else "goes"


def _text(said: dict[str, Any]) -> list[str]:
    from gateway.errors import VOCABULARY

    rekeyed = said["review"]["rekeyed"]
    lines = [
        f"Hold {said['hold']} of run {said['run']} is {said['state']}: {said['what_waits']} [{said['code']}]",
        f"  {VOCABULARY[said['code']].sentence}",
        f"  {VOCABULARY[said['code']].remedy}",
        *(f"  {r['rows']:6,} × {r['kind']} {r['way']} at {r['name']} {r['school']}" for r in said["schools"]),
        *(f"  {n:6,} people under new ids, known by {key}" for key, n in rekeyed.items()),
        *(f"    {r['kind']}:{r['id']} {r['way']} {r['cause']}".rstrip() for r in said["rows"]),
    ]
    if said["state"] == "open":
        lines.append(f"Next, as another person than {said['met_by']}: schoolgate sync hold release {said['hold']}")
    return lines


@hold.command("release")
@click.argument("name", metavar="HOLD")
@_part
@json_flag
@acting
def hold_release(
    parts: Office, by: Person, name: str, schools: tuple[str, ...], rows: tuple[str, ...], as_json: bool
) -> int:
    """Publish what a hold keeps back, as another person than whoever met it; the delivery is not needed again.

    HOLD is the reference of the hold or of the run that met it.
    """
    from gateway.cli.sync import say_report
    from gateway.flows import rosters

    by.acts_for_district()
    report = rosters.release(parts, by.district, name, by.ref, schools, _split(rows))
    if report.hold and report.hold["released"] is False:
        hold_ref = report.hold["hold"]
        waits = f"{hold_ref} waits for a second person's word. Next: they run schoolgate sync hold release {hold_ref}"
        show(as_json, report.hold, [waits])
        return HELD
    return say_report(report, report.source, as_json)


@hold.command("discard")
@click.argument("name", metavar="HOLD")
@_part
@json_flag
@acting
def hold_discard(
    parts: Office, by: Person, name: str, schools: tuple[str, ...], rows: tuple[str, ...], as_json: bool
) -> None:
    """Forget what a hold keeps back; the next delivery is judged anew."""
    from gateway.flows import rosters

    by.acts_for_district()
    left = rosters.discard(parts, by.district, name, by.ref, schools, _split(rows))
    show(as_json, {"hold": name, "waiting": left}, [f"Discarded; {left:,} rows of it wait on."])
