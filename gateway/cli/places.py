"""Districts, schools and the people who act."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.desk import acting, json_flag, main, opened, show, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@main.group()
def district() -> None:
    """Districts."""


@district.command("add")
@click.argument("name")
@click.option("--admin", required=True, help="Name of the first district administrator.")
@click.option("--policy", default="strictest", show_default=True, help="Privacy policy that governs.")
@click.option("--zone", default="UTC", show_default=True, help="Its time zone, as America/Chicago.")
@json_flag
def district_add(name: str, admin: str, policy: str, zone: str, as_json: bool) -> None:
    """Make a district and its first administrator. Whoever runs this holds the installation's keys."""
    from gateway.flows import onboarding

    with opened(create=True) as parts:
        ref, staff, token = onboarding.add_district(parts, name, admin, policy, zone)
    name, admin = name.strip(), admin.strip()
    text = [f"District {name} is {ref}.", f"{admin} is {staff}; the personal token is shown once:", token,
            "Next: export SCHOOLGATE_TOKEN=… ; schoolgate source add NAME ; schoolgate sync plan NAME ZIP"]  # fmt: skip
    show(as_json, {"district": ref, "staff": staff, "token": token}, text)


@district.command("list")
@json_flag
@acting
def district_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the person's district."""
    from gateway.store import directory, on_file

    with parts.database.open_district(by.district) as session:
        row, policies = directory.district(session), on_file.source_policies(session)
    found = [(row.ref, row.name, policies[-1].policy, row.created_at)] if row else []
    table("Districts", ("ref", "name", "policy", "since"), found, as_json)


@main.group()
def school() -> None:
    """Schools. Deliveries propose schools; only this command makes them."""


@school.command("add")
@click.argument("name", required=False)
@click.option("--source", help="The roster source that delivers this school.")
@click.option("--org", "org_id", help="The school's sourcedId in that source.")
@click.option("--all-in", "delivery", type=click.Path(path_type=Path, exists=True),
              help="Make every school that a delivery names.")  # fmt: skip
@json_flag
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
    name = str(name).strip()
    ref = onboarding.add_school(parts, by, name, source, org_id)
    show(as_json, {"ref": ref, "name": name, "org": org_id}, [f"School {name} is {ref}.", _AFTER_SCHOOLS])


_AFTER_SCHOOLS = (
    "Next: schoolgate vendor add NAME --category sis … ; schoolgate agreement add NAME … --operation roster.import ; "
    "schoolgate sync plan SOURCE DELIVERY"
)


def _add_schools(parts: Office, by: Person, delivery: Path, source: str | None, as_json: bool) -> None:
    from gateway.flows import onboarding, rosters

    repairs = onboarding.repairs_for_schools(parts, by, source)
    made = onboarding.add_schools(parts, by, rosters.schools_in(parts, delivery, repairs), source)
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
@json_flag
@acting
def school_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the district's schools."""
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        rows = [(r.ref, r.name, r.source_name, r.org_id) for r in directory.schools(session)]
    table("Schools", ("ref", "name", "source", "org"), rows, as_json)


@main.group()
def staff() -> None:
    """People who act: administrators and privacy officers."""


@staff.command("add")
@click.argument("name")
@click.option("--role", required=True, help="district_admin, school_admin or privacy_officer.")
@click.option("--school", "where", help="The school, for a role at a school.")
@json_flag
@acting
def staff_add(parts: Office, by: Person, name: str, role: str, where: str | None, as_json: bool) -> None:
    """Make a person and print the personal token, once."""
    from gateway.flows import onboarding

    ref, token = onboarding.add_staff(parts, by, name, role, where)
    show(
        as_json, {"staff": ref, "token": token}, [f"{name.strip()} is {ref}; the personal token is shown once:", token]
    )


@staff.command("list")
@json_flag
@acting
def staff_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show people and their roles."""
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        rows = [(r.staff, r.name, r.district_roles, r.school_roles) for r in directory.staff(session)]
    table("Staff", ("ref", "name", "district", "schools"), rows, as_json)
