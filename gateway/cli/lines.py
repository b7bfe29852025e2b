"""Lines in and out: roster sources and LMS deployments."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import FAILED, OK, acting, json_flag, main, school_flags, show, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@main.group()
def source() -> None:
    """Roster sources: files handed in, or deliveries fetched."""


@source.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice(["file", "https", "folder", "sftp"]), help="By what is given when absent.")
@click.option("--url", help="Where the bulk zip is fetched; files are handed in when absent.")
@click.option("--token-url", help="OAuth 2 token endpoint of the source.")
@click.option("--client-id", help="Our client id there; the secret comes from SCHOOLGATE_SOURCE_SECRET.")
@click.option("--path", help="The folder that is watched, or the zip's path on the SFTP server.")
@click.option("--host", help="The SFTP server.")
@click.option("--port", type=click.IntRange(1, 65535), default=22, show_default=True, help="Its port.")
@click.option("--user", help="Our name there; the password or private key comes from SCHOOLGATE_SOURCE_SECRET.")
@click.option(
    "--host-key", help="Its host key: SHA256:…, or a line of known_hosts. Without it, it is shown to compare."
)
@json_flag
@acting
def source_add(
    parts: Office, by: Person, name: str, kind: str | None, port: int, as_json: bool, **given: str | None
) -> None:
    """Make a roster source: files handed in, a zip fetched by https or SFTP, a folder that is watched."""
    from gateway.flows import onboarding
    from gateway.flows.onboarding import deliveries

    kind = kind or next((kind for kind, needs in _NEEDS.items() if needs and given[needs[0]]), "file")
    _require_fitting(kind, given)
    secret = os.environ.get("SCHOOLGATE_SOURCE_SECRET", "")
    if kind == "folder":
        ref = deliveries.add_folder(parts, by, name, str(given["path"]))
    elif kind == "sftp":
        where = str(given["host"]), port, str(given["user"]), str(given["path"])
        ref = deliveries.add_sftp(parts, by, name, where, secret, given["host_key"] or _compared(parts, by, where))
    else:
        ref = onboarding.add_source(parts, by, name, given["url"], given["token_url"], given["client_id"], secret)
    plan = f"sync plan {shlex.quote(name)}{'' if kind in ('https', 'sftp') else ' DELIVERY'}"
    text = [f"Source {name} is {ref}.", f"Next: schoolgate {plan}"]
    show(as_json, {"source": ref, "kind": kind}, text)


# What each kind of source needs, the one by which it is told first; and what it may be given.
_NEEDS = {"https": ("url",), "sftp": ("host", "user", "path"), "folder": ("path",), "file": ()}
_MAY = {"https": ("token_url", "client_id"), "sftp": ("host_key",), "folder": (), "file": ("token_url", "client_id")}


def _require_fitting(kind: str, given: dict[str, str | None]) -> None:
    missing = [name for name in _NEEDS[kind] if not given[name]]
    wrong = [name for name, value in given.items() if value and name not in (*_NEEDS[kind], *_MAY[kind])]
    if missing or wrong:
        options = " ".join(f"--{name.replace('_', '-')}" for name in missing or wrong)
        raise click.UsageError(f"a source of kind {kind} {'needs' if missing else 'takes no'} {options}")


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
    """Show the district's sources."""
    from gateway.store import sources

    with parts.database.open_district(by.district) as session:
        rows = [(r.source, r.name, r.kind, r.url) for r in sources.listing(session)]
    table("Sources", ("ref", "name", "kind", "url"), rows, as_json)


@main.group()
def lms() -> None:
    """LMS registrations, deployments and course links."""


@lms.command("sheet")
@click.argument("product")
@click.option("--site", help="The address the LMS runs at; the sheet then names its addresses.")
@json_flag
def lms_sheet(product: str, site: str | None, as_json: bool) -> None:
    """Print the paste sheet of a make of LMS: what to type into it, and what to bring back.

    It needs no registration and no token. Every line says whether it was seen, is documented or was reported.
    """
    from gateway.flows import onboarding
    from gateway.settings import load

    found = onboarding.sheet(load(), product, site)
    show(as_json, found, _sheet(found))


def _sheet(found: dict[str, Any]) -> Sequence[str]:
    """A paste sheet as text, the evidence word at the end of each line."""
    typed = [(one["label"], one["value"] if one["kind"] == "ours" else f"choose: {one['value']}", one["evidence"])
             for one in found["type"]]  # fmt: skip
    brought = [(one["label"], f"{one['option']} {one['value']}".rstrip(), one["evidence"]) for one in found["bring"]]
    filled = [(one["name"], _open(one["value"]), one["evidence"]) for one in found["filled"]]
    at, look = found["type_at"], found["look_at"]
    return [
        f"{found['label']}: the paste sheet. Each line is seen, documented or reported; docs/products.md says where.",
        "", "1. Type into the LMS", f"   at {at['value']}  ({at['evidence']})", *_rows(typed),
        "", "2. Bring back", f"   from {look['value']}  ({look['evidence']})", *_rows(brought),
        *(["", "3. What Schoolgate then knows by itself", *_rows(filled)] if filled else []),
        *(["", "Good to know", *(f"   {one['sentence']}  ({one['evidence']})" for one in found["habits"])]
          if found["habits"] else []),
        "", f"Then: {shlex.join(found['next'])}",
    ]  # fmt: skip


def _open(template: str) -> str:
    """What is not known yet, in capitals as in the command that follows."""
    return re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), template)


def _rows(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    wide = min(max(len(label) for label, *_ in rows), 44)
    return [f"   {label:{wide}}  {value}  ({evidence})" for label, value, evidence in rows]


@lms.command("add")
@click.argument("vendor")
@click.option(
    "--product", default="generic", show_default=True, help="Its make; `lms sheet PRODUCT` says what to type."
)
@click.option("--site", help="The address the LMS runs at, as in https://lms.school.example.")
@click.option("--client-id", help="As the LMS shows it.")
@click.option("--deployment-id", help="As the LMS shows it.")
@click.option(
    "--registration-id", help="Last part of the LMS's own token address (Sakai) or key set address (Open edX)."
)
@click.option("--issuer", help="Instead of the make's own.")
@click.option("--auth-url", help="OIDC authorization endpoint, instead of the make's own.")
@click.option("--token-url", help="Instead of the make's own.")
@click.option("--jwks-url", help="Instead of the make's own.")
@click.option("--token-audience", help="When the LMS wants another audience than its token URL.")
@click.option("--host", "hosts", multiple=True, help="Another host of this LMS's services.")
@click.option("--agreement", help="The vendor's agreement under which grades may go there.")
@school_flags
@json_flag
@acting
def lms_add(
    parts: Office, by: Person, vendor: str, product: str, schools: Sequence[str], as_json: bool, **said: Any
) -> None:
    """Register an LMS of a vendor for schools, and print what its administrator types in.

    A make that Schoolgate knows needs three options at most; the generic one needs every address.
    """
    from gateway.flows import onboarding, registration_desk

    whole = onboarding.Lms(**onboarding.complete(parts.settings, product, said))
    deployment = onboarding.add_lms(parts, by, vendor, whole, schools)
    told = onboarding.ours(parts.settings.url)
    ours = {"deployment": deployment} | {k: told[k] for k in ("login_url", "redirect_uri", "target_link_uri")}
    ours["jwks_url"] = registration_desk.key_address(parts, by, deployment)
    more = f"`schoolgate lms sheet {product}` says where each goes."
    show(as_json, ours, ["Type into the LMS:", *(f"  {k:16} {v}" for k, v in ours.items()), more])


@lms.command("agree")
@click.argument("deployment")
@click.argument("agreement")
@json_flag
@acting
def lms_agree(parts: Office, by: Person, deployment: str, agreement: str, as_json: bool) -> None:
    """Name the agreement under which grades may go to a deployment."""
    from gateway.flows import onboarding

    onboarding.agree_lms(parts, by, deployment, agreement)
    said = {"deployment": deployment, "agreement": agreement}
    show(as_json, said, [f"Grades to {deployment} now go under {agreement}."])


@lms.command("link")
@click.argument("deployment")
@click.option("--context", "context_id", required=True, help="The course's id in the LMS (context.id).")
@click.option("--school", "where", required=True)
@click.option("--class", "class_id", required=True, help="The class's sourcedId in the roster.")
@json_flag
@acting
def lms_link(
    parts: Office, by: Person, deployment: str, context_id: str, where: str, class_id: str, as_json: bool
) -> None:
    """Link an LMS course to a class."""
    from gateway.flows import onboarding

    onboarding.link_class(parts, by, deployment, context_id, where, class_id)
    said = {"deployment": deployment, "context": context_id, "class": class_id}
    show(as_json, said, ["Linked. Launches from this course now act for that class."])


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


@lms.command("test")
@click.argument("deployment")
@json_flag
@acting
def lms_test(parts: Office, by: Person, deployment: str, as_json: bool) -> int:
    """Try the connection to an LMS: nine checks, what was seen, and who must mend it.

    Nothing is written in the LMS, and nothing of what is read there is kept. Exits with 0 when all nine are ok.
    """
    from dataclasses import asdict

    from gateway.app import make_parts
    from gateway.flows import connection_test

    found = connection_test.run(make_parts(parts), by, deployment)
    ok = all(check.state == "ok" for check in found)
    if as_json:
        show(True, {"deployment": deployment, "ok": ok, "checks": [asdict(check) for check in found]}, [])
    else:
        rows = [(check.name, check.state.value, check.seen, check.who) for check in found]
        table("Connection", ("check", "state", "seen", "who must mend it"), rows, False)
    return OK if ok else FAILED
