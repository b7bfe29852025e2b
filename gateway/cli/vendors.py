"""Vendors and their credentials."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
    show(as_json, {"vendor": ref}, [f"Vendor {name.strip()} is {ref}.", "Next: schoolgate agreement add …"])


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
