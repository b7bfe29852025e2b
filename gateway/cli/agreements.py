"""Vendors, agreements with them, and directions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import FILE, acting, json_flag, main, school_flags, show, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@main.group()
def vendor() -> None:
    """Vendors: who may receive data."""


@vendor.command("add")
@click.argument("name")
@click.option("--category", required=True, help="application, assessment, lms, sis, gradebook, higher_ed, employer.")
@click.option("--contact", required=True, help="Where families and schools reach the vendor.")
@click.option("--launch-url", help="The application's launch address; makes this vendor the application.")
@json_flag
@acting
def vendor_add(
    parts: Office, by: Person, name: str, category: str, contact: str, launch_url: str | None, as_json: bool
) -> None:
    """Make a vendor."""
    from gateway.flows import onboarding

    ref = onboarding.add_vendor(parts, by, name, category, contact, launch_url)
    show(as_json, {"vendor": ref}, [f"Vendor {name} is {ref}.", "Next: schoolgate agreement add …"])


@vendor.command("connect")
@click.argument("name")
@click.option("--agreement", required=True)
@click.option("--scope", "scopes", multiple=True, required=True)
@click.option("--public-key", type=FILE, help="Public JWK; then no secret is made.")
@school_flags
@json_flag
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
    show(as_json, shown, [f"{k:14} {v}" for k, v in shown.items() if v])


def _read_json(path: Path) -> Any:
    from gateway import errors

    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise errors.Refused(errors.REQ_INVALID, f"{path} is not JSON") from error


@vendor.command("list")
@json_flag
@acting
def vendor_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show vendors."""
    from gateway.store import directory

    with parts.database.open_district(by.district) as session:
        rows = [(r.vendor, r.name, r.category, r.contact, r.launch_url) for r in directory.vendors(session)]
    table("Vendors", ("ref", "name", "category", "contact", "launch"), rows, as_json)


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
@click.option("--document", type=FILE, help="The signed document; its hash is kept.")
@school_flags
@json_flag
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
    show(as_json, {"agreement": ref}, [f"Agreement with {vendor} is {ref}.",
           f"Next: schoolgate direction add --agreement {ref} … ; schoolgate vendor connect {vendor} …"])  # fmt: skip


@agreement.command("end")
@click.argument("ref")
@acting
def agreement_end(parts: Office, by: Person, ref: str) -> None:
    """End an agreement now, at every school."""
    from gateway.flows import onboarding

    click.echo(f"Ended at {onboarding.end_agreement(parts, by, ref)} schools; nothing flows under it any more.")


@agreement.command("list")
@json_flag
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
    table("Agreements", ("ref", "school", "vendor", "status", "until", "operations", "elements"), rows, as_json)


@main.group()
def direction() -> None:
    """Directions: somebody entitled asks for a transfer."""


@direction.command("add")
@click.option("--agreement", required=True)
@click.option("--operation", required=True)
@click.option("--until", required=True, help="The day it ends.")
@click.option("--element", "elements", multiple=True, help="Narrow it to elements.")
@click.option("--record", help="One document, as reference@version.")
@school_flags
@json_flag
@acting
def direction_add(
    parts: Office, by: Person, agreement: str, operation: str, until: str, elements: Sequence[str], record: str | None,
    schools: Sequence[str], as_json: bool,
) -> None:  # fmt: skip
    """Direct a kind of transfer, or one document."""
    from gateway.flows import onboarding

    ref = onboarding.add_direction(parts, by, agreement, operation, schools, _day(until), elements, record)
    show(as_json, {"direction": ref}, [f"Direction {ref} stands until {until}."])


@direction.command("revoke")
@click.argument("ref")
@acting
def direction_revoke(parts: Office, by: Person, ref: str) -> None:
    """Revoke a direction now."""
    from gateway.flows import onboarding

    click.echo(f"Revoked at {onboarding.revoke_direction(parts, by, ref)} schools.")


@direction.command("list")
@json_flag
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
    table("Directions", ("ref", "school", "agreement", "operation", "by", "status", "until"), rows, as_json)
