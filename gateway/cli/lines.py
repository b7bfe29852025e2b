"""Lines in and out: roster sources and LMS deployments."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import acting, json_flag, main, school_flags, show, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@main.group()
def source() -> None:
    """Roster sources: files handed in, or deliveries fetched."""


@source.command("add")
@click.argument("name")
@click.option("--url", help="Where the bulk zip is fetched; files are handed in when absent.")
@click.option("--token-url", help="OAuth 2 token endpoint of the source.")
@click.option("--client-id", help="Our client id there; the secret comes from SCHOOLGATE_SOURCE_SECRET.")
@json_flag
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
    show(
        as_json,
        {"source": ref},
        [f"Source {name} is {ref}.", f"Next: schoolgate sync plan {shlex.quote(name)}{'' if url else ' DELIVERY'}"],
    )


@source.command("list")
@json_flag
@acting
def source_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the district's sources."""
    from gateway.store import sources

    with parts.database.open_district(by.district) as session:
        rows = [(r.source, r.name, r.kind, r.url) for r in sources.listing(session)]
    table("Sources", ("ref", "name", "kind", "url"), rows, as_json)


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
@school_flags
@json_flag
@acting
def lms_add(parts: Office, by: Person, vendor: str, schools: Sequence[str], as_json: bool, **said: Any) -> None:
    """Register an LMS of a vendor for schools, and print what its administrator types in."""
    from gateway.flows import onboarding, registration_desk

    said["hosts"] = tuple(said["hosts"])
    deployment = onboarding.add_lms(parts, by, vendor, onboarding.Lms(**said), schools)
    url = parts.settings.url
    ours = {
        "deployment": deployment, "login_url": f"{url}/lti/login", "redirect_uri": f"{url}/lti/launch",
        "target_link_uri": f"{url}/lti/launch", "jwks_url": registration_desk.key_address(parts, by, deployment),
    }  # fmt: skip
    show(as_json, ours, ["Type into the LMS:", *(f"  {k:16} {v}" for k, v in ours.items())])


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
@json_flag
@acting
def lms_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show LMS deployments and the schools they are granted."""
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        rows = [
            (r.deployment, r.issuer, r.client_id, r.deployment_id, r.product, r.agreement, r.schools)
            for r in directory.lms(session)
        ]
    table("LMS", ("deployment", "issuer", "client", "deployment id", "product", "agreement", "schools"), rows, as_json)
