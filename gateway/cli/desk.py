"""The `schoolgate` command: nouns, then verbs; plan before apply; every command acts as a named person.

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 held and in need of a person, 4 denied by policy.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gateway.errors import Refused
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person

OK, FAILED, HELD, DENIED = 0, 1, 3, 4
TOKEN = "SCHOOLGATE_TOKEN"  # noqa: S105 - the name of a variable


@contextmanager
def opened(*, create: bool = False) -> Iterator[Office]:
    """This installation's office; logs go to standard error."""
    from gateway.office import open_office

    with open_office(create=create) as office:
        yield office


def _person(parts: Office) -> Person:
    from gateway.identity.staff import person

    return person(parts.database, os.environ.get(TOKEN, ""), parts.clock.now())


def acting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Run a command with the parts and the person behind SCHOOLGATE_TOKEN; what it returns is the exit code."""

    @wraps(command)
    def run(**values: Any) -> None:
        with opened() as parts:
            status = command(parts, _person(parts), **values)
        sys.exit(status or OK)

    return run


class Desk(click.Group):
    """Whatever a command is refused for is said in words, with its code, remedy and owner."""

    def invoke(self, ctx: click.Context) -> Any:
        from gateway import errors

        try:
            return super().invoke(ctx)
        except errors.Refused as refused:
            sys.exit(_say_refusal(refused))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has had enough
            sys.exit(FAILED)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            sys.exit(_say_refusal(errors.Refused(errors.REQ_INVALID, f"{error.strerror or error}{where}")))
        except Exception as error:
            said = _from_database(error)
            if said is None:
                raise
            sys.exit(_say_refusal(said))


def _from_database(error: Exception) -> Refused | None:
    """What the database says no with, in words; None for what is none of its."""
    from gateway import errors
    from gateway.store.migrate import NO_SCHEMA
    from gateway.store.tenant import NO_ANSWER, UNKEEPABLE

    if isinstance(error, UNKEEPABLE):
        return errors.Refused(errors.REQ_INVALID, "a value holds what cannot be kept")
    if isinstance(error, NO_SCHEMA):
        return errors.Refused(errors.INT_SETTINGS, "the database is not of this version: run `schoolgate db upgrade`")
    if isinstance(error, NO_ANSWER):
        said = str(error.__cause__ or error).strip().splitlines()
        return errors.Refused(errors.INT_UNAVAILABLE, f"The database does not answer: {said[-1]}")
    return None


def _say_refusal(refused: Any) -> int:
    reason = refused.reason
    click.echo(f"Refused: {refused.detail}", err=True)
    click.echo(f"  code    {reason.code}", err=True)
    click.echo(f"  remedy  {reason.remedy}", err=True)
    click.echo(f"  who     {reason.owner}", err=True)
    return exit_code(reason.code)


def exit_code(refusal: str) -> int:
    policy = refusal.startswith(("ACT_", "AGR_", "DIR_", "AUT_", "PUR_", "ELM_", "RCP_"))
    return DENIED if policy or refusal == "SRC_AGREEMENT_MISSING" else FAILED


def show(as_json: bool, said: dict[str, Any], text: Sequence[str]) -> None:
    if as_json:
        click.echo(json.dumps(said, default=str))
    else:
        for line in text:
            click.echo(line)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([dict(zip(columns, map(_plain, row), strict=True)) for row in rows], default=str))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{title} ({len(rows)})"), title_justify="left", box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place == 0)
    for row in rows:
        table.add_row(*(escape(str(_plain(cell))) for cell in row))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _plain(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, list | tuple | frozenset):
        return ", ".join(map(str, value))
    return value.date().isoformat() if isinstance(value, datetime) else value


FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
school_flags = click.option("--school", "schools", multiple=True, help="A school (name or reference); all when none.")


@click.group(cls=Desk, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="schoolgate")
def main() -> None:
    """Schoolgate: a gateway between an assessment platform and schools' LMS, SIS and gradebooks.

    Commands act as the person whose token is in SCHOOLGATE_TOKEN. `schoolgate district add` makes the first one.
    """
