"""Roster sources: files handed in, deliveries fetched, services read page by page."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import FAILED, OK, acting, json_flag, main, show, table
from mappings.products import sis as makes

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person

_SECRET = "SCHOOLGATE_SOURCE_SECRET"  # noqa: S105 - the name of a variable


@main.group()
def source() -> None:
    """Roster sources: files handed in, deliveries fetched, services read page by page."""


@source.command("add")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(("zip", "rest")),
    default="zip",
    show_default=True,
    help="A bulk zip, or a OneRoster service that is read page by page.",
)
@click.option("--product", help=f"With --kind rest, its make: {', '.join(sorted(makes.names()))}.")
@click.option("--site", help="The address the product runs at, as in https://sis.district.example.")
@click.option("--application-id", help="As ClassLink shows it.")
@click.option("--url", help="Where the zip is fetched, or the service's base address; files are handed in when absent.")
@click.option("--token-url", help="OAuth 2 token endpoint of the source.")
@click.option("--client-id", help=f"Our client id there; the secret or token comes from {_SECRET}.")
@click.option("--version", type=click.Choice(("1.1", "1.2")), help="Of the service, instead of the make's own.")
@click.option("--method", help="oauth2, oauth2-body, bearer, oauth1-sha1 or oauth1-sha256, instead of the make's own.")
@click.option("--scope", "scopes", multiple=True, help="Instead of the standard's own.")
@click.option("--peak", multiple=True, help="Hours in which it is not pulled, as in 07:30-16:00.")
@click.option("--zone", help="The time zone of --peak, as in America/Chicago.")
@json_flag
@acting
def source_add(parts: Office, by: Person, name: str, kind: str, as_json: bool, **said: Any) -> None:
    """Make a roster source.

    A make that Schoolgate knows needs three options at most; docs/products.md says which.
    """
    from gateway.flows import onboarding

    secret = os.environ.get(_SECRET, "")
    if kind == "rest":
        said["product"] = said["product"] or makes.DEFAULT
        ref = onboarding.add_service(parts, by, name, onboarding.Service(**said), secret)
        following = f"schoolgate source test {shlex.quote(name)}"
    else:
        url, token_url, client_id = (said.pop(one) for one in ("url", "token_url", "client_id"))
        _refuse_unasked(said)
        ref = onboarding.add_source(parts, by, name, url, token_url, client_id, secret)
        following = f"schoolgate sync plan {shlex.quote(name)}{'' if url else ' DELIVERY'}"
    show(as_json, {"source": ref}, [f"Source {name} is {ref}.", f"Next: {following}"])


def _refuse_unasked(said: dict[str, Any]) -> None:
    """What would be put nowhere is not taken in silence."""
    from gateway import errors

    extra = [f"--{name.removesuffix('s').replace('_', '-')}" for name, value in said.items() if value]
    if extra:
        raise errors.Refused(errors.REQ_INVALID, f"{', '.join(extra)} is said of a source of --kind rest only")


@source.command("list")
@json_flag
@acting
def source_list(parts: Office, by: Person, as_json: bool) -> None:
    """Show the district's sources: how far each was read, and how far its changes had drifted from the whole."""
    from gateway.store import sources

    with parts.database.open_district(by.district) as session:
        rows: Sequence[Any] = sources.listing(session)
    shown = [
        (r.source, r.name, r.kind, r.url, r.product, r.version, r.full_at, r.cursor, r.drift, r.peak) for r in rows
    ]
    columns = ("ref", "name", "kind", "url", "product", "version", "last full", "read to", "drift", "peak")
    table("Sources", columns, shown, as_json)


@source.command("test")
@click.argument("name")
@json_flag
@acting
def source_test(parts: Office, by: Person, name: str, as_json: bool) -> int:
    """Try the connection to a source: eight checks, what was seen, and who must mend it.

    Nothing is written there. What it offers is kept, so that the next pull asks for that; exits with 0 when all are ok.
    """
    from dataclasses import asdict

    from gateway.app import make_parts
    from gateway.flows import source_test

    found = source_test.run(make_parts(parts), by, name)
    ok = all(check.state == "ok" for check in found)
    if as_json:
        show(True, {"source": name, "ok": ok, "checks": [asdict(check) for check in found]}, [])
    else:
        rows = [(check.name, check.state.value, check.seen, check.who) for check in found]
        table("Connection", ("check", "state", "seen", "who must mend it"), rows, False)
    return OK if ok else FAILED


@source.group("repair")
def source_repair() -> None:
    """Named repairs of what a source's exporter writes wrong in one way; all are off until one is added."""


@source_repair.command("add")
@click.argument("source_name", metavar="SOURCE")
@click.argument("repair", metavar="NAME")
@json_flag
@acting
def source_repair_add(parts: Office, by: Person, source_name: str, repair: str, as_json: bool) -> None:
    """Turn a repair on: header-case, delimiter, starred-names, value-case, bulk-status or local-timestamps=ZONE."""
    from gateway.flows import onboarding

    _say_repairs(onboarding.repair_source(parts, by, source_name, add=repair), source_name, as_json)


@source_repair.command("remove")
@click.argument("source_name", metavar="SOURCE")
@click.argument("repair", metavar="NAME")
@json_flag
@acting
def source_repair_remove(parts: Office, by: Person, source_name: str, repair: str, as_json: bool) -> None:
    """Turn a repair off."""
    from gateway.flows import onboarding

    _say_repairs(onboarding.repair_source(parts, by, source_name, remove=repair), source_name, as_json)


@source_repair.command("list")
@click.argument("source_name", metavar="SOURCE")
@json_flag
@acting
def source_repair_list(parts: Office, by: Person, source_name: str, as_json: bool) -> None:
    """Show which repairs there are, and which of them are on."""
    from gateway.flows import onboarding

    _say_repairs(onboarding.repair_source(parts, by, source_name), source_name, as_json)


def _say_repairs(kept: list[str], source_name: str, as_json: bool) -> None:
    from mappings.oneroster.repairs import RULES

    on = {spelled.partition("=")[0]: spelled for spelled in kept}
    rows = [(on.get(name, name), "on" if name in on else "off", meaning) for name, meaning in RULES.items()]
    table(f"Repairs of {source_name}", ("repair", "is", "what it reads"), rows, as_json)


@source.command("guard")
@click.argument("name")
@click.option("--removed", type=float, help="Of a kind at a school, this share may go.")
@click.option("--changed", type=float, help="This share may change.")
@click.option("--remaining", type=float, help="This share must be left.")
@click.option("--reason", required=True, help="Why this source needs other limits than 0.1, 0.75 and 0.8.")
@acting
def source_guard(
    parts: Office, by: Person, name: str, removed: float | None, changed: float | None, remaining: float | None,
    reason: str,
) -> None:  # fmt: skip
    """Set how much a source may change of a school before a second person has to look; the rest is as usual."""
    from gateway.flows import onboarding

    said = {"removed": removed, "changed": changed, "remaining": remaining}
    limits = onboarding.guard_source(parts, by, name, {k: v for k, v in said.items() if v is not None}, reason)
    click.echo(
        f"{name}: {limits.removed:.0%} may go, {limits.changed:.0%} may change, {limits.remaining:.0%} must be left."
    )
