"""What a school's roster was on a day, and what changed since, for staff of that school."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import acting, json_flag, main, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.flows.rosters.looking import Look
    from gateway.identity.staff import Person

_SHOWN = {
    "user": ("given_name", "family_name", "identifier", "grades", "roles"),
    "class": ("title", "course", "terms"),
    "enrollment": ("class", "user", "role", "begin_date", "end_date"),
    "course": ("title", "course_code", "org"),
    "session": ("title", "type", "start_date", "end_date"),
    "org": ("name", "type", "parent"),
}
_DAY = click.DateTime(["%Y-%m-%d"])


@main.group()
def roster() -> None:
    """What schools hold: as it was on a day, and what changed since."""


def _looking(command: Callable[..., Any]) -> Callable[..., Any]:
    kinds = click.Choice(list(_SHOWN))
    command = click.option("--kind", type=kinds, default="user", show_default=True, help="Which records.")(command)
    return click.option("--school", "school_name", required=True, help="The school (name or reference).")(command)


@roster.command("show")
@_looking
@click.option("--on", "day", type=_DAY, required=True, help="As it was at the end of this day (UTC).")
@json_flag
@acting
def roster_show(parts: Office, by: Person, school_name: str, kind: str, day: datetime, as_json: bool) -> None:
    """Show a school's roster as it was on a day."""
    from gateway import logs
    from gateway.flows import onboarding
    from gateway.flows.rosters import looking

    logs.configure()
    (place,) = onboarding.places(parts, by, [school_name])
    found = looking.as_it_was(parts, by, place, kind, day.date())
    _say(f"{school_name}, version {found.version}", kind, found, as_json)


@roster.command("changes")
@_looking
@click.option("--since", "day", type=_DAY, required=True, help="What changed after the end of this day (UTC).")
@json_flag
@acting
def roster_changes(parts: Office, by: Person, school_name: str, kind: str, day: datetime, as_json: bool) -> None:
    """Show what changed at a school since a day, what is gone among it."""
    from gateway import logs
    from gateway.flows import onboarding
    from gateway.flows.rosters import looking

    logs.configure()
    (place,) = onboarding.places(parts, by, [school_name])
    found = looking.changes(parts, by, place, kind, day.date())
    _say(f"{school_name} up to version {found.version}", kind, found, as_json, "gone", "modified")


def _say(title: str, kind: str, found: Look, as_json: bool, *more: str) -> None:
    columns = (*more, *_SHOWN[kind])
    rows = [
        (row.sourced_id, *(_cell(getattr(row, "class_" if name == "class" else name)) for name in columns))
        for row in found.rows
    ]
    table(title, ("id", *columns), rows, as_json)


def _cell(value: Any) -> Any:
    """A value as a cell; roles by their names."""
    if isinstance(value, list):
        return [one["role"] if isinstance(one, dict) else one for one in value]
    return value.isoformat() if isinstance(value, datetime) else value
