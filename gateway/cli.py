"""The `schoolgate` command: nouns, then verbs; plan before apply; every command acts as a named person.

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 held and in need of a person, 4 denied by policy.
"""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gateway.errors import Refused
    from gateway.flows.parts import Office
    from gateway.flows.roster_sync import Report
    from gateway.identity.staff import Person
    from gateway.store.tenant import Session

OK, FAILED, HELD, DENIED = 0, 1, 3, 4
_TOKEN = "SCHOOLGATE_TOKEN"  # noqa: S105 - the name of a variable


# --- parts, person, output -------------------------------------------------------------------------


@contextmanager
def _open(*, create: bool = False) -> Iterator[Office]:
    """This installation's office; logs go to standard error."""
    from gateway.office import open_office

    with open_office(create=create) as office:
        yield office


def _person(parts: Office) -> Person:
    from gateway.identity.staff import person

    return person(parts.database, os.environ.get(_TOKEN, ""), parts.clock.now())


def acting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Run a command with the parts and the person behind SCHOOLGATE_TOKEN; what it returns is the exit code."""

    @wraps(command)
    def run(**values: Any) -> None:
        with _open() as parts:
            status = command(parts, _person(parts), **values)
        sys.exit(status or OK)

    return run


class _Desk(click.Group):
    """Whatever a command is refused for is said in words, with its code, remedy and owner."""

    def invoke(self, ctx: click.Context) -> Any:
        from gateway import errors

        try:
            return super().invoke(ctx)
        except errors.Refused as refused:
            sys.exit(_say_refusal(refused))
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
    return _exit_code(reason.code)


def _exit_code(refusal: str) -> int:
    policy = refusal.startswith(("ACT_", "AGR_", "DIR_", "AUT_", "PUR_", "ELM_", "RCP_"))
    return DENIED if policy or refusal == "SRC_AGREEMENT_MISSING" else FAILED


def _print(as_json: bool, said: dict[str, Any], text: Sequence[str]) -> None:
    if as_json:
        click.echo(json.dumps(said, default=str))
    else:
        for line in text:
            click.echo(line)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], as_json: bool) -> None:
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


_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_schools = click.option("--school", "schools", multiple=True, help="A school (name or reference); all when none.")


@click.group(cls=_Desk, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="schoolgate")
def main() -> None:
    """Schoolgate: a gateway between an assessment platform and schools' LMS, SIS and gradebooks.

    Commands act as the person whose token is in SCHOOLGATE_TOKEN. `schoolgate district add` makes the first one.
    """


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
        elif words[0] == "as" and len(words) == 2:
            os.environ[_TOKEN] = words[1]
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


# --- running ---------------------------------------------------------------------------------------


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port on 127.0.0.1.")
@click.option("--workers", type=click.IntRange(1, 128), default=2, show_default=True, help="Web processes.")
@click.option("--web-only", is_flag=True, help="Do not run the worker.")
def serve(port: int, workers: int, web_only: bool) -> None:
    """Run the gateway: web processes and one worker, on the embedded database unless DATABASE_URL is set."""
    from gateway.serve import run

    with _open(create=True) as office:
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
    with _open(create=True) as office:
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


# --- places and people -----------------------------------------------------------------------------


@main.group()
def district() -> None:
    """Districts."""


@district.command("add")
@click.argument("name")
@click.option("--admin", required=True, help="Name of the first district administrator.")
@click.option("--policy", default="strictest", show_default=True, help="Privacy policy that governs.")
@_json
def district_add(name: str, admin: str, policy: str, as_json: bool) -> None:
    """Make a district and its first administrator. Whoever runs this holds the installation's keys."""
    from gateway.flows import onboarding

    with _open(create=True) as parts:
        ref, staff, token = onboarding.add_district(parts, name, admin, policy)
    text = [f"District {name} is {ref}.", f"{admin} is {staff}; the personal token is shown once:", token,
            "Next: export SCHOOLGATE_TOKEN=… ; schoolgate source add NAME ; schoolgate school add NAME"]  # fmt: skip
    _print(as_json, {"district": ref, "staff": staff, "token": token}, text)


@district.command("list")
@_json
@acting
def district_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the person's district."""
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        row = directory.district(session)
    found = [(row.ref, row.name, row.source_policy, row.created_at)] if row else []
    _table("Districts", ("ref", "name", "policy", "since"), found, as_json)


@main.group()
def school() -> None:
    """Schools. Deliveries propose schools; only this command makes them."""


@school.command("add")
@click.argument("name", required=False)
@click.option("--source", help="The roster source that delivers this school.")
@click.option("--org", "org_id", help="The school's sourcedId in that source.")
@click.option("--all-in", "delivery", type=click.Path(path_type=Path, exists=True),
              help="Make every school that a delivery names.")  # fmt: skip
@_json
@acting
def school_add(
    parts: Office, by: Person, name: str | None, source: str | None, org_id: str | None, delivery: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Make a school, or all schools a delivery of a source names."""
    from gateway.flows import onboarding

    if (delivery is None) == (name is None) or (delivery is not None and org_id is not None):
        raise click.UsageError("name one school, or a delivery with --all-in")
    if delivery is not None:
        _add_schools(parts, by, delivery, source, as_json)
        return
    ref = onboarding.add_school(parts, by, str(name), source, org_id)
    _print(as_json, {"ref": ref, "name": name, "org": org_id}, [f"School {name} is {ref}.", _AFTER_SCHOOLS])


_AFTER_SCHOOLS = "Next: schoolgate agreement add … --operation roster.import ; schoolgate sync plan SOURCE DELIVERY"


def _add_schools(parts: Office, by: Person, delivery: Path, source: str | None, as_json: bool) -> None:
    from gateway.flows import onboarding, roster_sync

    made = onboarding.add_schools(parts, by, roster_sync.schools_in(parts, delivery), source)
    if as_json:
        click.echo(json.dumps([dict(zip(("ref", "name", "org", "new"), one, strict=True)) for one in made]))
        return
    new, there = ([one for one in made if one[3] is wanted] for wanted in (True, False))
    for group, sentence in ((new, "School {} is {}."), (there, "School {} is there already: {}.")):
        for ref, title, *_ in group[:20]:
            click.echo(sentence.format(title, ref))
        if len(group) > 20:
            click.echo(f"… and {len(group) - 20} more.")
    click.echo(_AFTER_SCHOOLS if new else "Nothing to add: every school of the delivery is there.")


@school.command("list")
@_json
@acting
def school_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the district's schools."""
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        rows = [(r.ref, r.name, r.source_name, r.org_id) for r in directory.schools(session)]
    _table("Schools", ("ref", "name", "source", "org"), rows, as_json)


@main.group()
def staff() -> None:
    """People who act: administrators and privacy officers."""


@staff.command("add")
@click.argument("name")
@click.option("--role", required=True, help="district_admin, school_admin or privacy_officer.")
@click.option("--school", "where", help="The school, for a role at a school.")
@_json
@acting
def staff_add(parts: Office, by: Person, name: str, role: str, where: str | None, as_json: bool) -> None:
    """Make a person and print the personal token, once."""
    from gateway.flows import onboarding

    ref, token = onboarding.add_staff(parts, by, name, role, where)
    _print(as_json, {"staff": ref, "token": token}, [f"{name} is {ref}; the personal token is shown once:", token])


@staff.command("list")
@_json
@acting
def staff_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show people and their roles."""
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        rows = [(r.staff, r.name, r.district_roles, r.school_roles) for r in directory.staff(session)]
    _table("Staff", ("ref", "name", "district", "schools"), rows, as_json)


# --- lines in and out ------------------------------------------------------------------------------


@main.group()
def source() -> None:
    """Roster sources: files handed in, or deliveries fetched."""


@source.command("add")
@click.argument("name")
@click.option("--url", help="Where the bulk zip is fetched; files are handed in when absent.")
@click.option("--token-url", help="OAuth 2 token endpoint of the source.")
@click.option("--client-id", help="Our client id there; the secret comes from SCHOOLGATE_SOURCE_SECRET.")
@_json
@acting
def source_add(
    parts: Office,
    by: Person,
    name: str,
    url: str | None,
    token_url: str | None,
    client_id: str | None,
    as_json: bool,
) -> None:
    """Make a roster source."""
    from gateway.flows import onboarding

    secret = os.environ.get("SCHOOLGATE_SOURCE_SECRET", "")
    ref = onboarding.add_source(parts, by, name, url, token_url, client_id, secret)
    _print(as_json, {"source": ref}, [f"Source {name} is {ref}.", f"Next: schoolgate sync plan {name}"])


@source.command("list")
@_json
@acting
def source_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the district's sources."""
    from gateway.store import sources

    with parts.database.open_district(by.district) as session:
        rows = [(r.source, r.name, r.kind, r.url) for r in sources.listing(session)]
    _table("Sources", ("ref", "name", "kind", "url"), rows, as_json)


@main.group()
def lms() -> None:
    """LMS registrations, deployments and course links."""


@lms.command("add")
@click.argument("vendor")
@click.option("--issuer", required=True)
@click.option("--client-id", required=True)
@click.option("--deployment-id", required=True)
@click.option("--auth-url", required=True, help="OIDC authorization endpoint.")
@click.option("--token-url", required=True)
@click.option("--jwks-url", required=True)
@click.option("--token-audience", help="When the LMS wants another audience than its token URL.")
@click.option("--product", default="generic", show_default=True, help="moodle, canvas, generic.")
@click.option("--host", "hosts", multiple=True, help="Another host of this LMS's services.")
@click.option("--agreement", help="The vendor's agreement under which grades may go there.")
@_schools
@_json
@acting
def lms_add(parts: Office, by: Person, vendor: str, schools: Sequence[str], as_json: bool, **said: Any) -> None:
    """Register an LMS of a vendor for schools, and print what its administrator types in."""
    from gateway.flows import onboarding

    said["hosts"] = tuple(said["hosts"])
    deployment = onboarding.add_lms(parts, by, vendor, onboarding.Lms(**said), schools)
    url = parts.settings.url
    ours = {
        "deployment": deployment, "login_url": f"{url}/lti/login", "redirect_uri": f"{url}/lti/launch",
        "target_link_uri": f"{url}/lti/launch", "jwks_url": f"{url}/.well-known/jwks.json",
    }  # fmt: skip
    _print(as_json, ours, ["Type into the LMS:", *(f"  {k:16} {v}" for k, v in ours.items())])


@lms.command("agree")
@click.argument("deployment")
@click.argument("agreement")
@acting
def lms_agree(parts: Office, by: Person, deployment: str, agreement: str) -> None:
    """Name the agreement under which grades may go to a deployment."""
    from gateway.flows import onboarding

    onboarding.agree_lms(parts, by, deployment, agreement)
    click.echo(f"Grades to {deployment} now go under {agreement}.")


@lms.command("link")
@click.argument("deployment")
@click.option("--context", "context_id", required=True, help="The course's id in the LMS (context.id).")
@click.option("--school", "where", required=True)
@click.option("--class", "class_id", required=True, help="The class's sourcedId in the roster.")
@acting
def lms_link(parts: Office, by: Person, deployment: str, context_id: str, where: str, class_id: str) -> None:
    """Link an LMS course to a class."""
    from gateway.flows import onboarding

    onboarding.link_class(parts, by, deployment, context_id, where, class_id)
    click.echo("Linked. Launches from this course now act for that class.")


@lms.command("list")
@_json
@acting
def lms_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show LMS deployments and the schools they are granted."""
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        rows = [
            (r.deployment, r.issuer, r.client_id, r.deployment_id, r.product, r.agreement, r.schools)
            for r in directory.lms(session)
        ]
    _table("LMS", ("deployment", "issuer", "client", "deployment id", "product", "agreement", "schools"), rows, as_json)


# --- vendors, agreements, directions ---------------------------------------------------------------


@main.group()
def vendor() -> None:
    """Vendors: who may receive data."""


@vendor.command("add")
@click.argument("name")
@click.option("--category", required=True, help="application, assessment, lms, sis, gradebook, higher_ed, employer.")
@click.option("--contact", required=True, help="Where families and schools reach the vendor.")
@click.option("--launch-url", help="The application's launch address; makes this vendor the application.")
@_json
@acting
def vendor_add(
    parts: Office, by: Person, name: str, category: str, contact: str, launch_url: str | None, as_json: bool
) -> None:
    """Make a vendor."""
    from gateway.flows import onboarding

    ref = onboarding.add_vendor(parts, by, name, category, contact, launch_url)
    _print(as_json, {"vendor": ref}, [f"Vendor {name} is {ref}.", "Next: schoolgate agreement add …"])


@vendor.command("connect")
@click.argument("name")
@click.option("--agreement", required=True)
@click.option("--scope", "scopes", multiple=True, required=True)
@click.option("--public-key", type=_FILE, help="Public JWK; then no secret is made.")
@_schools
@_json
@acting
def vendor_connect(
    parts: Office, by: Person, name: str, agreement: str, scopes: Sequence[str], public_key: Path | None,
    schools: Sequence[str], as_json: bool,
) -> None:  # fmt: skip
    """Make OAuth client credentials for a vendor under an agreement."""
    from gateway.flows import onboarding

    key = _read_json(public_key) if public_key else None
    client_id, secret = onboarding.connect_vendor(parts, by, name, agreement, schools, scopes, key)
    shown = {"client_id": client_id, "client_secret": secret, "token_url": f"{parts.settings.url}/oauth2/token"}
    _print(as_json, shown, [f"{k:14} {v}" for k, v in shown.items() if v])


def _read_json(path: Path) -> Any:
    from gateway import errors

    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise errors.Refused(errors.REQ_INVALID, f"{path} is not JSON") from error


@vendor.command("list")
@_json
@acting
def vendor_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show vendors."""
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        rows = [(r.vendor, r.name, r.category, r.contact, r.launch_url) for r in directory.vendors(session)]
    _table("Vendors", ("ref", "name", "category", "contact", "launch"), rows, as_json)


def _day(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time.min, UTC)
    except ValueError as error:
        raise click.BadParameter(f"{text} is not a date (YYYY-MM-DD)") from error


@main.group()
def agreement() -> None:
    """Agreements with vendors, each change a new version."""


@agreement.command("add")
@click.argument("vendor")
@click.option("--element", "schedule", multiple=True, required=True, help="Data element or NDPA category code.")
@click.option("--purpose", "purposes", multiple=True, required=True)
@click.option("--operation", "operations", multiple=True, required=True)
@click.option("--from", "begins", help="First day (default: now).")
@click.option("--until", required=True, help="The day it ends.")
@click.option("--retention-days", type=int, help="How long the vendor may keep the data.")
@click.option("--school-agent", is_flag=True, help="The school acts for families of children (COPPA).")
@click.option("--document", type=_FILE, help="The signed document; its hash is kept.")
@_schools
@_json
@acting
def agreement_add(
    parts: Office,
    by: Person,
    vendor: str,
    begins: str | None,
    until: str,
    schools: Sequence[str],
    as_json: bool,
    **said: Any,
) -> None:
    """Record an agreement for schools."""
    from gateway.flows import onboarding

    for name in ("schedule", "purposes", "operations"):
        said[name] = tuple(said[name])
    effective = _day(begins) if begins else parts.clock.now()
    terms = onboarding.Terms(effective_at=effective, expires_at=_day(until), **said)
    ref = onboarding.add_agreement(parts, by, vendor, terms, schools)
    _print(as_json, {"agreement": ref}, [f"Agreement with {vendor} is {ref}.",
           f"Next: schoolgate direction add --agreement {ref} … ; schoolgate vendor connect {vendor} …"])  # fmt: skip


@agreement.command("end")
@click.argument("ref")
@acting
def agreement_end(parts: Office, by: Person, ref: str) -> None:
    """End an agreement now, at every school."""
    from gateway.flows import onboarding

    click.echo(f"Ended at {onboarding.end_agreement(parts, by, ref)} schools; nothing flows under it any more.")


@agreement.command("list")
@_json
@acting
def agreement_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the latest version of each agreement, by school."""
    from gateway.flows import onboarding
    from gateway.store import facts

    where = [place.school for place in onboarding.places(parts, by, ())]
    with parts.database.open_schools(by.district, where) as session:
        rows = [
            (f"{r.agreement}@{r.version}", r.school_ref, r.vendor_name, r.status, r.expires_at, r.body["operations"],
             len(r.body["schedule"]))
            for r in facts.agreements(session)
        ]  # fmt: skip
    _table("Agreements", ("ref", "school", "vendor", "status", "until", "operations", "elements"), rows, as_json)


@main.group()
def direction() -> None:
    """Directions: somebody entitled asks for a transfer."""


@direction.command("add")
@click.option("--agreement", required=True)
@click.option("--operation", required=True)
@click.option("--until", required=True, help="The day it ends.")
@click.option("--element", "elements", multiple=True, help="Narrow it to elements.")
@click.option("--record", help="One document, as reference@version.")
@_schools
@_json
@acting
def direction_add(
    parts: Office, by: Person, agreement: str, operation: str, until: str, elements: Sequence[str], record: str | None,
    schools: Sequence[str], as_json: bool,
) -> None:  # fmt: skip
    """Direct a kind of transfer, or one document."""
    from gateway.flows import onboarding

    ref = onboarding.add_direction(parts, by, agreement, operation, schools, _day(until), elements, record)
    _print(as_json, {"direction": ref}, [f"Direction {ref} stands until {until}."])


@direction.command("revoke")
@click.argument("ref")
@acting
def direction_revoke(parts: Office, by: Person, ref: str) -> None:
    """Revoke a direction now."""
    from gateway.flows import onboarding

    click.echo(f"Revoked at {onboarding.revoke_direction(parts, by, ref)} schools.")


@direction.command("list")
@_json
@acting
def direction_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the latest version of each direction, by school."""
    from gateway.flows import onboarding
    from gateway.store import facts

    where = [place.school for place in onboarding.places(parts, by, ())]
    with parts.database.open_schools(by.district, where) as session:
        rows = [
            (
                f"{r.direction}@{r.version}",
                r.school_ref,
                r.agreement,
                r.operation,
                r.body["role"],
                r.status,
                r.expires_at,
            )
            for r in facts.directions(session)
        ]
    _table("Directions", ("ref", "school", "agreement", "operation", "by", "status", "until"), rows, as_json)


# --- sync ------------------------------------------------------------------------------------------


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


@main.group()
def sync() -> None:
    """Roster deliveries: plan, apply, history, release of a hold."""


def _sync(publish: bool) -> Callable[..., Any]:
    @click.argument("source_name", metavar="SOURCE")
    @click.argument("delivery", type=click.Path(path_type=Path), required=False)
    @_json
    @acting
    def run(parts: Office, by: Person, source_name: str, delivery: Path | None, as_json: bool) -> int:
        from gateway.flows import roster_sync

        by.acts_for_district()
        with parts.database.open_district(by.district) as session:
            found = _found_source(session, source_name)
        if delivery is None:
            from gateway.app import make_parts
            from gateway.flows import roster_pull

            with roster_pull.fetched(make_parts(parts), by.district, found) as path:
                report = roster_sync.sync(parts, by.district, found.source, path, by.ref, publish=publish)
        else:
            report = roster_sync.sync(parts, by.district, found.source, delivery, by.ref, publish=publish)
        return _say_report(report, source_name, as_json)

    return run


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
        return _exit_code(report.code or "")
    return HELD if report.state == "held" else OK


@sync.command("history")
@click.argument("source_name", metavar="SOURCE")
@_json
@acting
def sync_history(parts: Office, by: Person, source_name: str, as_json: bool) -> None:
    """Show the last runs of a source."""
    from gateway.store import sources

    with parts.database.open_intake(by.district) as session:
        rows = sources.history(session, _found_source(session, source_name).source)
    shown = [
        (r.run, r.state, r.started_at.isoformat(timespec="seconds"), len(r.report.get("causes", ()))) for r in rows
    ]
    _table("Runs", ("run", "state", "started", "kinds of fault"), shown, as_json)


@sync.command("errors")
@click.argument("run")
@click.option(
    "--limit", type=click.IntRange(1, 20_000), default=20_000, show_default=True, help="Show the first of them."
)
@_json
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
    shown = [(r.file, r.line, r.column_name, r.code, r.effect, r.shape, r.hint) for r in rows]
    _table(f"Faults of {run}", ("file", "line", "column", "code", "effect", "shape", "hint"), shown, as_json)
    more = sum(cause["count"] for cause in found.report.get("causes", ())) - len(rows)
    if more > 0 and not as_json:
        click.echo(f"… and {more} more; the first {sources.KEPT_FAULTS:,} of a run are kept.")


@sync.command("release")
@click.argument("run")
@acting
def sync_release(parts: Office, by: Person, run: str) -> None:
    """Release a hold, as another person than whoever ran into it; then apply the same delivery again."""
    from gateway.flows import roster_sync

    by.acts_for_district()
    roster_sync.release(parts, by.district, run, by.ref)
    click.echo(f"{run} is released once. Next: schoolgate sync apply SOURCE with the same delivery")


# --- families and the ledger -----------------------------------------------------------------------


@main.group()
def family() -> None:
    """Families: codes to their page, and their requests."""


@family.command("code")
@click.argument("pupil")
@click.option("--school", "where", required=True)
@_json
@acting
def family_code(parts: Office, by: Person, pupil: str, where: str, as_json: bool) -> None:
    """Print a code for the family of one pupil (name, local number or sourcedId); shown once."""
    from gateway.flows import onboarding, rights_request

    (place,) = onboarding.places(parts, by, [where])
    code, name = rights_request.issue_code(parts, by, place, pupil)
    url = f"{parts.settings.url}/family"
    _print(as_json, {"code": code, "pupil": name, "url": url}, [f"For the family of {name}, at {url}:", code])


@family.command("requests")
@click.option("--school", "where", required=True)
@_json
@acting
def family_requests(parts: Office, by: Person, where: str, as_json: bool) -> None:
    """Show families' requests at a school, and the deletion tasks that are open."""
    from gateway.flows import onboarding
    from gateway.store import rights

    (place,) = onboarding.places(parts, by, [where])
    by.reads(place.school)
    with parts.database.open_school(place) as session:
        asked = [(r.request, r.kind, r.state, r.opened_at, r.due_at) for r in rights.requests(session)]
        tasks = [(t.task, t.request, t.vendor_name, t.agreement, t.state, t.due_at) for t in rights.tasks(session)]
    _table("Requests", ("ref", "kind", "state", "opened", "due"), asked, as_json)
    _table("Deletion tasks", ("ref", "request", "vendor", "agreement", "state", "due"), tasks, as_json)


@main.group()
def ledger() -> None:
    """The disclosure log of a school."""


@ledger.command("export")
@click.option("--school", "where", required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The bundle to write (zip).")
@acting
def ledger_export(parts: Office, by: Person, where: str, out: Path) -> None:
    """Write a bundle that anybody can verify without this gateway."""
    from gateway.flows import onboarding
    from gateway.ledger import log, proof

    (place,) = onboarding.places(parts, by, [where])
    by.reads(place.school)
    with parts.database.open_school(place) as session:
        note, key = log.sign_checkpoint(session, parts.vault, parts.clock.now())
        bodies = log.bodies(session)
    proof.write(out, key, note, bodies)
    click.echo(f"{len(bodies)} entries. Keep this key; it verifies every later bundle: {key}")
    click.echo(f"Next: schoolgate ledger verify {out}")


@ledger.command("verify")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--key", help="The verifier key you have kept; else the bundle's own.")
@_json
def ledger_verify(bundle: Path, key: str | None, as_json: bool) -> None:
    """Verify a bundle offline: no database, no network, no trust in whoever made it."""
    from gateway.errors import LED_INVALID
    from gateway.ledger import proof

    try:
        proven = proof.verify(bundle, key)
    except proof.BundleInvalid as invalid:
        why, code = str(invalid), LED_INVALID
        text = [f"NOT VALID: {why}", f"  code    {code.code}", f"  remedy  {code.remedy}"]
        _print(as_json, {"valid": False, "why": why, "code": code.code}, text)
        sys.exit(FAILED)
    said = {
        "valid": True,
        "log": proven.origin,
        "entries": proven.size,
        "root": proven.root,
        "types": proven.by_type,
    }
    by_type = ", ".join(f"{n} {kind}" for kind, n in sorted(proven.by_type.items()))
    _print(as_json, said, [f"Valid: {proven.origin}, {proven.size} entries ({by_type}).", f"Root {proven.root}"])


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


if __name__ == "__main__":
    main()
