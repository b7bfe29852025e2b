"""LMSs that register themselves: invite, look, approve or reject; and what is changed of a registration by hand."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import FILE, acting, json_flag, school_flags, show, table
from gateway.cli.lines import lms

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@lms.command("invite")
@click.argument("vendor")
@school_flags
@click.option("--agreement", help="The vendor's agreement under which grades may go there.")
@click.option("--host", "hosts", multiple=True, help="Another host of this LMS, such as that of a shared issuer.")
@json_flag
@acting
def lms_invite(
    parts: Office, by: Person, vendor: str, schools: Sequence[str], agreement: str | None, hosts: Sequence[str],
    as_json: bool,
) -> None:  # fmt: skip
    """Make a one-time address at which an LMS registers itself."""
    from gateway.flows import registration_desk

    made = registration_desk.invite(parts, by, vendor, schools, agreement, hosts)
    show(
        as_json,
        {"invite": made.ref, "address": made.url, "expires_at": made.expires_at},
        [
            f"Registration address {made.ref}, until {made.expires_at:%Y-%m-%d %H:%M} UTC; it is shown this once:",
            f"  {made.url}",
            "The administrator of the LMS gives it to the LMS, where tools are registered by URL. It works once; an",
            "attempt that fails can be repeated with it. What comes of it waits: schoolgate lms pending",
        ],
    )


@lms.command("pending")
@json_flag
@acting
def lms_pending(parts: Office, by: Person, as_json: bool) -> None:
    """Show invites that are still good, and registrations that wait, with what the LMS did otherwise than asked."""
    from gateway.flows import registration_desk

    rows = [
        (r.invite, _state(r), r.vendor_name, r.issuer, r.client_id, r.deployment_id, list(_otherwise(r.said or {})))
        for r in registration_desk.waiting(parts, by)
    ]
    columns = ("ref", "state", "vendor", "issuer", "client", "deployment id", "differences")
    table("LMS registrations", columns, rows, as_json)


def _state(row: Any) -> str:
    if row.state == "open":
        return f"open; the last attempt failed with {row.problem}" if row.problem else "open"
    return "waits, changes a registration" if row.said["update"] else "waits, new"


def _otherwise(said: Mapping[str, Any]) -> Iterator[str]:
    """What differs: from what was asked for, and from what an update would replace."""
    for kind, names in said.get("differences", {}).items():
        yield f"{kind} {'; '.join(names)}"
    for name, old in said.get("old", {}).items():
        new = said["columns"][name]
        if old != new:
            yield f"{name} {_plain(old)} -> {_plain(new)}"


def _plain(value: Any) -> str:
    return " ".join(value) if isinstance(value, list) else str(value)


@lms.command("approve")
@click.argument("ref")
@click.option("--deployment-id", help="As the LMS shows it, where the LMS did not say it itself.")
@json_flag
@acting
def lms_approve(parts: Office, by: Person, ref: str, deployment_id: str | None, as_json: bool) -> None:
    """Let a registration that waits take effect."""
    from gateway.flows import registration_desk

    done = registration_desk.approve(parts, by, ref, deployment_id)
    said = {"registration": done.registration, "deployment": done.deployment, "update": done.update}
    text = ["The registration is changed." if done.update else "The LMS is registered."]
    if done.deployment:
        text.append(f"Next: schoolgate lms link {shlex.quote(done.deployment)} --context COURSE --school … --class …")
    show(as_json, said, text)


@lms.command("reject")
@click.argument("ref")
@json_flag
@acting
def lms_reject(parts: Office, by: Person, ref: str, as_json: bool) -> None:
    """Turn down a registration that waits, or withdraw an invite that nobody used; nothing of it stays in effect."""
    from gateway.flows import registration_desk

    registered = registration_desk.reject(parts, by, ref)
    text = (f"{ref} is rejected. The LMS may still show the tool: its administrator deletes it there."
            if registered else f"{ref} is withdrawn: its address opens nothing any more.")  # fmt: skip
    show(as_json, {"ref": ref, "state": "rejected" if registered else "withdrawn"}, [text])


def _addresses(command: Callable[..., Any]) -> Callable[..., Any]:
    """The addresses of an LMS, those that change."""
    for option in (
        click.option("--token-audience", help="When the LMS wants another audience than its token URL."),
        click.option("--jwks-url"),
        click.option("--token-url"),
        click.option("--auth-url", help="OIDC authorization endpoint."),
    ):
        command = option(command)
    return command


@lms.command("update")
@click.argument("deployment")
@_addresses
@click.option("--host", "hosts", multiple=True, help="Other hosts of this LMS's services, in place of those on file.")
@json_flag
@acting
def lms_update(
    parts: Office, by: Person, deployment: str, hosts: Sequence[str], as_json: bool, **said: str | None
) -> None:  # fmt: skip
    """Change the addresses of an LMS registration."""
    from gateway.flows import registration_desk

    changed = registration_desk.update(parts, by, deployment, said, hosts)
    show(as_json, {"changed": changed}, [f"Changed: {', '.join(changed)}."])


@lms.command("move")
@click.argument("issuer")
@click.argument("client_id")
@_addresses
@click.option("--apply", "applied", is_flag=True, help="Change them; without this, only say what would change.")
@json_flag
@acting
def lms_move(
    parts: Office, by: Person, issuer: str, client_id: str, applied: bool, as_json: bool, **said: str | None
) -> None:  # fmt: skip
    """Change the addresses of an LMS client that several districts share, for all of them at once.

    For who runs this installation, as the setting `operators` says: no district changes these alone. The hosts of each
    registration follow; every school that a deployment is granted finds the change in its ledger.
    """
    from gateway.flows import shared_clients

    found = (shared_clients.move if applied else shared_clients.plan)(parts, by, issuer, client_id, said)
    addresses = {name: {"before": old, "after": new} for name, (old, new) in found.addresses.items()}
    touched = [
        {"district": one.district, "registration": one.registration, "status": one.status,
         "hosts": {"before": one.hosts[0], "after": one.hosts[1]}, "schools": len(one.schools)}
        for one in found.touched
    ]  # fmt: skip
    text = [f"{name:14} {old} -> {new}" for name, (old, new) in found.addresses.items()]
    text += [f"{one.district}: {one.registration}, {one.status}, schools: {len(one.schools)}" for one in found.touched]
    text.append("Changed for all of them." if applied else "Nothing is changed: add --apply.")
    show(as_json, {"applied": applied, "addresses": addresses, "touched": touched}, text)


@lms.command("rotate")
@click.argument("deployment")
@json_flag
@acting
def lms_rotate(parts: Office, by: Person, deployment: str, as_json: bool) -> None:
    """Publish the next key of an LMS registration; the worker does it by itself every 90 days."""
    from gateway.flows import registration_desk

    at = registration_desk.rotate(parts, by, deployment)
    address = registration_desk.key_address(parts, by, deployment)
    show(
        as_json,
        {"signs_from": at, "jwks_url": address},
        [
            f"The next key is published and signs from {at:%Y-%m-%d %H:%M} UTC; the present one stays published",
            f"for 48 hours more. The LMS finds both at {address}",
        ],
    )


@lms.command("migrate")
@click.argument("deployment")
@click.option("--consumer-key", required=True, help="Its LTI 1.1 key; the secret comes from SCHOOLGATE_LTI11_SECRET.")
@json_flag
@acting
def lms_migrate(parts: Office, by: Person, deployment: str, consumer_key: str, as_json: bool) -> None:
    """Let an LMS prove by an LTI 1.1 secret who its users were before LTI 1.3."""
    from gateway.flows.onboarding import migration

    secret = os.environ.get("SCHOOLGATE_LTI11_SECRET", "")
    registration = migration.migrate(parts, by, deployment, consumer_key, secret)
    text = f"What {registration} signs with that secret is believed. Next: schoolgate lms migrate-users"
    show(as_json, {"registration": registration}, [text])


@lms.command("migrate-users")
@click.argument("deployment")
@click.argument("file", type=FILE)
@json_flag
@acting
def lms_migrate_users(parts: Office, by: Person, deployment: str, file: Path, as_json: bool) -> None:
    """Say who the users of LTI 1.1 are: a CSV file with the columns lti11_user_id and sourcedId.

    It counts for launches in which the LMS proves the user id, and whose SIS id does not say who it is.
    """
    from gateway.errors import REQ_INVALID, Refused
    from gateway.flows.onboarding import migration

    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Refused(REQ_INVALID, "the file is not UTF-8") from error
    done = migration.migrate_users(parts, by, deployment, text)
    said = {"kept": done.kept, "unknown": done.unknown}
    show(as_json, said, [f"{done.kept} users are known from now on; {done.unknown} are in no roster of these schools."])
