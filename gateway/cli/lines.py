"""Lines to LMSs: registrations, deployments and course links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import FAILED, OK, acting, json_flag, main, school_flags, show, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


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


@lms.command("grant")
@click.argument("deployment")
@click.option("--school", "schools", multiple=True, required=True, help="Its name or reference; may be repeated.")
@json_flag
@acting
def lms_grant(parts: Office, by: Person, deployment: str, schools: Sequence[str], as_json: bool) -> None:
    """Grant an LMS deployment further schools."""
    from gateway.flows import onboarding

    new = onboarding.grant_lms(parts, by, deployment, schools)
    said = {"deployment": deployment, "granted": new}
    show(as_json, said, [f"{deployment} is granted {', '.join(new)} besides. Next: schoolgate lms link"])


@lms.command("off")
@click.argument("deployment")
@json_flag
@acting
def lms_off(parts: Office, by: Person, deployment: str, as_json: bool) -> None:
    """Let nobody in from an LMS deployment any more, and ask and send nothing there.

    Grades that wait to be sent there are not sent, and say so; links and what is known of people stay for `lms on`.
    """
    _switch(parts, by, deployment, as_json, on=False)


@lms.command("on")
@click.argument("deployment")
@json_flag
@acting
def lms_on(parts: Office, by: Person, deployment: str, as_json: bool) -> None:
    """Let people in again from an LMS deployment that was switched off."""
    _switch(parts, by, deployment, as_json, on=True)


def _switch(parts: Office, by: Person, deployment: str, as_json: bool, *, on: bool) -> None:
    from gateway.flows import onboarding

    ref, state = onboarding.switch_lms(parts, by, deployment, on=on), "on" if on else "off"
    show(as_json, {"deployment": ref, "state": state}, [f"{deployment} is switched {state}."])


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
            (r.deployment, "on" if r.line_status == "active" else "off", r.issuer, r.client_id, r.deployment_id,
             r.product, r.agreement, r.schools)
            for r in directory.lms(session)
        ]  # fmt: skip
    columns = ("deployment", "state", "issuer", "client", "deployment id", "product", "agreement", "schools")
    table("LMS", columns, rows, as_json)


@lms.command("test")
@click.argument("deployment")
@json_flag
@acting
def lms_test(parts: Office, by: Person, deployment: str, as_json: bool) -> int:
    """Try the connection to an LMS: nine checks, what was seen, and who must mend it; and when it last told something.

    Nothing is written in the LMS, and nothing of what is read there is kept. Exits with 0 when all nine are ok.
    """
    from dataclasses import asdict

    from gateway.app import make_parts
    from gateway.flows import connection_test, notices

    found = connection_test.run(make_parts(parts), by, deployment)
    ok = all(check.state == "ok" for check in found)
    kind, came = next(iter(notices.last(parts, by, deployment).items()), ("", None))
    if as_json:
        last = {"type": kind, "at": came.isoformat(timespec="seconds")} if came else None
        said = {"deployment": deployment, "ok": ok, "checks": [asdict(check) for check in found], "last_notice": last}
        show(True, said, [])
    else:
        rows = [(check.name, check.state.value, check.seen, check.who) for check in found]
        table("Connection", ("check", "state", "seen", "who must mend it"), rows, False)
        click.echo(
            f"The last notice came at {came:%Y-%m-%d %H:%M} UTC, of type {kind}." if came else "No notice came yet."
        )
    return OK if ok else FAILED
