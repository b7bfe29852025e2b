"""Families' codes and requests, and the disclosure log of a school."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.desk import FAILED, acting, json_flag, main, show, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@main.group()
def family() -> None:
    """Families: codes to their page, and their requests."""


@family.command("code")
@click.argument("pupil")
@click.option("--school", "where", required=True)
@json_flag
@acting
def family_code(parts: Office, by: Person, pupil: str, where: str, as_json: bool) -> None:
    """Print a code for the family of one pupil (name, local number or sourcedId); shown once."""
    from gateway.flows import onboarding, rights_request

    (place,) = onboarding.places(parts, by, [where])
    code, name = rights_request.issue_code(parts, by, place, pupil)
    url = f"{parts.settings.url}/family"
    show(as_json, {"code": code, "pupil": name, "url": url}, [f"For the family of {name}, at {url}:", code])


@family.command("requests")
@click.option("--school", "where", required=True)
@json_flag
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
    table("Requests", ("ref", "kind", "state", "opened", "due"), asked, as_json)
    table("Deletion tasks", ("ref", "request", "vendor", "agreement", "state", "due"), tasks, as_json)


@family.command("delete")
@click.argument("pupil")
@click.option("--school", "where", required=True)
@json_flag
@acting
def family_delete(parts: Office, by: Person, pupil: str, where: str, as_json: bool) -> None:
    """Open a deletion request for a pupil (name, local number or sourcedId), also one who has left."""
    from gateway.flows import erasure, onboarding

    (place,) = onboarding.places(parts, by, [where])
    ref = erasure.ask(parts, by, place, pupil)
    text = [f"Opened {ref}; its tasks: schoolgate family requests --school {where}",
            f"Next: schoolgate family erase {ref} --school {where}"]  # fmt: skip
    show(as_json, {"request": ref}, text)


@family.command("erase")
@click.argument("request")
@click.option("--school", "where", required=True)
@json_flag
@acting
def family_erase(parts: Office, by: Person, request: str, where: str, as_json: bool) -> None:
    """Carry out a deletion request: remove everything the school holds about the person, and their key in the log.

    While the school keeps the pupil's record the request is deferred, and carried out by the night that removes it.
    """
    from gateway.flows import erasure, onboarding

    (place,) = onboarding.places(parts, by, [where])
    done = erasure.erase(parts, by, place, request)
    said = {"request": done.request, "erased": done.erased, "rows": done.rows,
            "code": done.reason.code if done.reason else None}  # fmt: skip
    text = [f"Erased: {done.rows} rows, and the key that led to them in the log."]
    if done.reason:
        text = [f"Deferred: {done.reason.sentence}", f"  code    {done.reason.code}", f"  remedy  {done.reason.remedy}"]
    show(as_json, said, text)


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
@json_flag
def ledger_verify(bundle: Path, key: str | None, as_json: bool) -> None:
    """Verify a bundle offline: no database, no network, no trust in whoever made it."""
    from gateway.errors import LED_INVALID
    from gateway.ledger import proof

    try:
        proven = proof.verify(bundle, key)
    except proof.BundleInvalid as invalid:
        why, code = str(invalid), LED_INVALID
        text = [f"NOT VALID: {why}", f"  code    {code.code}", f"  remedy  {code.remedy}"]
        show(as_json, {"valid": False, "why": why, "code": code.code}, text)
        sys.exit(FAILED)
    said = {
        "valid": True,
        "log": proven.origin,
        "entries": proven.size,
        "root": proven.root,
        "types": proven.by_type,
    }
    by_type = ", ".join(f"{n} {kind}" for kind, n in sorted(proven.by_type.items()))
    show(as_json, said, [f"Valid: {proven.origin}, {proven.size} entries ({by_type}).", f"Root {proven.root}"])
