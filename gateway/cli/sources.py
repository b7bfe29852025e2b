"""Roster sources: files handed in or found, deliveries fetched, services read page by page."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Collection, Sequence
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
    """Roster sources: files handed in or found, deliveries fetched, services read page by page."""


# What each kind of source needs, and what else may be said of it.
_SIGNED_IN = ("token_url", "client_id")
_SERVICE = ("product", "site", "application_id", "url", *_SIGNED_IN, "version", "method", "scopes", "peak", "zone")
_NEEDS = {"file": (), "https": ("url",), "rest": (), "folder": ("path",), "sftp": ("host", "user", "path")}
_MAY = {"file": _SIGNED_IN, "https": _SIGNED_IN, "rest": _SERVICE, "folder": (), "sftp": ("port", "host_key")}
_TOLD_BY = {"product": "rest", "host": "sftp", "url": "https", "path": "folder"}


@source.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(list(_NEEDS)), help="By what is given when absent; files are handed in.")
@click.option("--product", help=f"The make of a OneRoster service: {', '.join(sorted(makes.names()))}.")
@click.option("--site", help="The address the product runs at, as in https://sis.district.example.")
@click.option("--application-id", help="As ClassLink shows it.")
@click.option("--url", help="Where the bulk zip is fetched, or with --kind rest the service's base address.")
@click.option("--token-url", help="OAuth 2 token endpoint of the source.")
@click.option("--client-id", help=f"Our client id there; the secret or token comes from {_SECRET}.")
@click.option("--version", type=click.Choice(("1.1", "1.2")), help="Of the service, instead of the make's own.")
@click.option("--method", help="oauth2, oauth2-body, bearer, oauth1-sha1 or oauth1-sha256, instead of the make's own.")
@click.option("--scope", "scopes", multiple=True, help="Instead of the standard's own.")
@click.option("--peak", multiple=True, help="Hours in which the service is not pulled, as in 07:30-16:00.")
@click.option("--zone", help="The time zone of --peak, as in America/Chicago.")
@click.option("--path", help="The folder that is watched, or the zip's path on the SFTP server.")
@click.option("--host", help="The SFTP server.")
@click.option("--port", type=click.IntRange(1, 65535), help="Its port; 22 when absent.")
@click.option("--user", help=f"Our name there; the password or private key comes from {_SECRET}.")
@click.option(
    "--host-key", help="Its host key: SHA256:…, or a line of known_hosts. Without it, it is shown to compare."
)
@json_flag
@acting
def source_add(parts: Office, by: Person, name: str, kind: str | None, as_json: bool, **given: Any) -> None:
    """Make a roster source: files handed in, a zip fetched by https or SFTP, a service, or a folder that is watched.

    A make of service that Schoolgate knows needs three options at most; docs/products.md says which.
    """
    said = {option: value for option, value in given.items() if value not in (None, ())}
    kind = kind or next((kind for option, kind in _TOLD_BY.items() if option in said), "file")
    _require_fitting(kind, said)
    ref = _ADD[kind](parts, by, name, said, os.environ.get(_SECRET, ""))
    show(as_json, {"source": ref, "kind": kind}, [f"Source {name} is {ref}.", f"Next: schoolgate {_next(kind, name)}"])


def _require_fitting(kind: str, said: Collection[str]) -> None:
    """What would be put nowhere is not taken in silence."""
    missing = [option for option in _NEEDS[kind] if option not in said]
    wrong = [option for option in said if option not in (*_NEEDS[kind], *_MAY[kind])]
    if missing or wrong:
        options = " ".join(f"--{option.removesuffix('s').replace('_', '-')}" for option in missing or wrong)
        raise click.UsageError(f"a source of kind {kind} {'needs' if missing else 'takes no'} {options}")


def _next(kind: str, name: str) -> str:
    if kind == "rest":
        return f"source test {shlex.quote(name)}"
    return f"sync plan {shlex.quote(name)}{'' if kind in ('https', 'sftp') else ' DELIVERY'}"


def _add_zip(parts: Office, by: Person, name: str, said: dict[str, Any], secret: str) -> str:
    from gateway.flows import onboarding

    url, token_url, client_id = (said.get(option) for option in ("url", *_SIGNED_IN))
    return onboarding.add_source(parts, by, name, url, token_url, client_id, secret)


def _add_service(parts: Office, by: Person, name: str, said: dict[str, Any], secret: str) -> str:
    from gateway.flows import onboarding

    return onboarding.add_service(parts, by, name, onboarding.Service(**said), secret)


def _add_folder(parts: Office, by: Person, name: str, said: dict[str, Any], _secret: str) -> str:
    from gateway.flows.onboarding import deliveries

    return deliveries.add_folder(parts, by, name, said["path"])


def _add_sftp(parts: Office, by: Person, name: str, said: dict[str, Any], secret: str) -> str:
    from gateway.flows.onboarding import deliveries

    where = said["host"], said.get("port", 22), said["user"], said["path"]
    return deliveries.add_sftp(parts, by, name, where, secret, said.get("host_key") or _compared(parts, by, where))


_ADD = {"file": _add_zip, "https": _add_zip, "rest": _add_service, "folder": _add_folder, "sftp": _add_sftp}


def _compared(parts: Office, by: Person, where: tuple[str, int, str, str]) -> str:
    """Show a server's host key to whoever is at the terminal, for them to compare: there is no trust on first use."""
    from gateway import errors
    from gateway.flows.onboarding import deliveries

    shown = deliveries.shown_host_key(parts, by, where)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise errors.Refused(errors.SRC_HOST_KEY, f"{where[0]} shows {shown}; compare it, then add --host-key {shown}")
    click.echo(f"{where[0]} shows the host key {shown}", err=True)
    click.confirm("Is that what its administrator says?", abort=True, err=True)
    return shown


@source.command("token")
@click.argument("name")
@json_flag
@acting
def source_token(parts: Office, by: Person, name: str, as_json: bool) -> None:
    """Make the token with which a machine hands in deliveries of one source; the one before it ends."""
    from gateway.flows.onboarding import deliveries

    ref, token = deliveries.make_token(parts, by, name)
    door = f"{parts.settings.url}/district/v1/sources/{ref}/delivery"
    text = ["The token is shown once:", token, f"Next: PUT the zip to {door}"]
    show(as_json, {"source": ref, "token": token, "url": door}, text)


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
    """Turn a repair on: header-case, delimiter, starred-names, value-case, bulk-status, csv-1.0 or
    local-timestamps=ZONE."""
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
@json_flag
@acting
def source_guard(
    parts: Office, by: Person, name: str, removed: float | None, changed: float | None, remaining: float | None,
    reason: str, as_json: bool,
) -> None:  # fmt: skip
    """Set how much a source may change of a school before a second person has to look; the rest is as usual."""
    from gateway.flows import onboarding

    said = {"removed": removed, "changed": changed, "remaining": remaining}
    limits = onboarding.guard_source(parts, by, name, {k: v for k, v in said.items() if v is not None}, reason)
    figures = {"removed": limits.removed, "changed": limits.changed, "remaining": limits.remaining}
    text = f"{limits.removed:.0%} may go, {limits.changed:.0%} may change, {limits.remaining:.0%} must be left."
    show(as_json, {"source": name} | figures, [f"{name}: {text}"])
