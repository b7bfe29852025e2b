"""Running the gateway: batch, serve, worker, the database, the generated pages."""

from __future__ import annotations

import io
import os
import shlex
import sys
from pathlib import Path

import click

from gateway.cli.desk import FAILED, OK, TOKEN, main, opened


@main.command()
def batch() -> None:
    """Run commands from standard input, one a line, in one process; after each a line `-- exit CODE`.

    `as TOKEN` makes the following commands act as the person of that token. A refused command does not stop the rest.
    """
    worst = OK
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    for line in sys.stdin:
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            click.echo(f"Error: {error}", err=True)
            words = [""]
        if not words:
            continue
        if not words[0]:
            code = 2
        elif words[0] == "batch":
            click.echo("Error: this is a batch already: its lines are commands, `as TOKEN`, or comments", err=True)
            code = 2
        elif words[0] == "as" and len(words) == 2:
            os.environ[TOKEN] = words[1]
            code = OK
        else:
            code = _run_line(words)
        worst = max(worst, code)
        click.echo(f"-- exit {code}")
        sys.stdout.flush()
    sys.exit(worst)


def _run_line(words: list[str]) -> int:
    try:
        main.main(args=words, prog_name="schoolgate", standalone_mode=False)
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else FAILED
    except click.ClickException as wrong:
        wrong.show()
        return 2
    return OK


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port on 127.0.0.1.")
@click.option("--workers", type=click.IntRange(1, 128), default=2, show_default=True, help="Web processes.")
@click.option("--web-only", is_flag=True, help="Do not run the worker.")
def serve(port: int, workers: int, web_only: bool) -> None:
    """Run the gateway: web processes and one worker, on the embedded database unless DATABASE_URL is set."""
    from gateway.serve import run

    with opened(create=True) as office:
        office.database.ping()
        code = run(port, workers, with_worker=not web_only)
    sys.exit(code)


@main.command()
@click.option("--once", is_flag=True, help="Run what is due, then stop.")
def worker(once: bool) -> None:
    """Run background jobs: grade deliveries and the timetable."""
    from gateway import logs
    from gateway.app import make_parts
    from gateway.jobs import work

    logs.configure()
    with opened(create=True) as office:
        office.database.ping()
        work(make_parts(office), once=once)


@main.group()
def db() -> None:
    """The database's schema and roles."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema to what this version needs (as DATABASE_OWNER_URL, or embedded)."""
    from gateway.embedded import EmbeddedPostgres
    from gateway.settings import load, usable
    from gateway.store.migrate import upgrade

    settings = load()
    if settings.database_url:
        if not settings.database_owner_url:
            raise click.UsageError("set DATABASE_OWNER_URL to the owner's address")
        upgrade(settings.database_owner_url)
    else:
        server = EmbeddedPostgres(settings.instance)
        with usable(settings.instance):
            upgrade(server.ensure().owner)
        server.stop()
    click.echo("The schema is up to date.")


@db.command("bootstrap")
@click.option("--admin-url", required=True, help="PostgreSQL address of an administrator.")
@click.option("--database", default="schoolgate", show_default=True)
def db_bootstrap(admin_url: str, database: str) -> None:
    """Make the roles and the database once, as an administrator; passwords come from two variables."""
    from gateway.store import roles

    owner, login = os.environ.get("SCHOOLGATE_OWNER_PASSWORD"), os.environ.get("SCHOOLGATE_LOGIN_PASSWORD")
    if not owner or not login:
        raise click.UsageError("set SCHOOLGATE_OWNER_PASSWORD and SCHOOLGATE_LOGIN_PASSWORD")
    roles.bootstrap(admin_url, owner, login, database)
    click.echo(f"Roles and database {database} are there. Next, with the two passwords in their places:")
    click.echo(f"  export DATABASE_OWNER_URL=postgresql://{roles.OWNER}:…@HOST/{database}  ; schoolgate db upgrade")
    click.echo(f"  export DATABASE_URL=postgresql://{roles.LOGIN}:…@HOST/{database}")


@db.command("remove")
@click.option("--yes", is_flag=True, required=True, help="Yes, remove this installation's embedded database.")
def db_remove(yes: bool) -> None:  # noqa: ARG001 - click insists on it
    """Stop and remove the embedded database of this installation. There is no way back."""
    from gateway.embedded import EmbeddedPostgres
    from gateway.settings import load, usable

    settings = load()
    if settings.database_url:
        raise click.UsageError("this installation has no embedded database")
    server = EmbeddedPostgres(settings.instance)
    with usable(settings.instance):
        there = server.exists()
        server.destroy()
    click.echo("Removed." if there else f"There is no embedded database of {settings.instance}.")


@main.command()
@click.option("--check", is_flag=True, help="Only say whether the pages are up to date.")
def docs(check: bool) -> None:
    """Write the generated pages of docs/ of a source tree: refusals, commands, settings, elements."""
    from gateway.reference import write

    if not Path("docs/reference").is_dir():
        raise click.UsageError("there is no folder docs/reference here; the pages are part of the source tree")
    stale = write(main, Path("docs"), check=check)
    for path in stale:
        click.echo(f"{'stale' if check else 'written'}: {path}")
    sys.exit(FAILED if check and stale else OK)
