"""Families' codes and requests, and the disclosure log of a school."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import FAILED, acting, json_flag, main, show, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person
    from gateway.ledger.proof import Proven
    from gateway.ledger.receipt import Shown


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
    ref, person = erasure.ask(parts, by, place, pupil)
    text = [f"Opened {ref} about {person}; its tasks: schoolgate family requests --school {shlex.quote(where)}",
            f"Next: schoolgate family erase {ref} --school {shlex.quote(where)}"]  # fmt: skip
    show(as_json, {"request": ref, "person": person}, text)


@family.command("erase")
@click.argument("request")
@click.option("--school", "where", required=True)
@json_flag
@acting
def family_erase(parts: Office, by: Person, request: str, where: str, as_json: bool) -> None:
    """Carry out a deletion request: remove everything the school holds about the person, and their key in the log.

    While the school keeps the pupil's record the request is deferred, and carried out by a night two weeks after it
    has gone.
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
    from gateway.ledger import checkpoint, log, proof

    (place,) = onboarding.places(parts, by, [where])
    by.reads(place.school)
    with parts.database.open_school(place) as session:
        note, key = log.sign_checkpoint(session, parts.vault, parts.clock.now(), parts.settings.checkpoints)
        bodies = log.bodies(session, limit=checkpoint.verify(note, key).size)
    proof.write(out, key, note, bodies)
    click.echo(f"{len(bodies)} entries. Keep this key; it verifies every later bundle: {key}")
    click.echo(f"Next: schoolgate ledger verify {out}")


@ledger.command("receipt")
@click.option("--school", "where", required=True)
@click.option("--pupil", required=True, help="Name, local number or sourcedId.")
@click.option("--transfer", required=True, help="Its reference, tr_…")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The receipt to write (text).")
@acting
def ledger_receipt(parts: Office, by: Person, where: str, pupil: str, transfer: str, out: Path) -> None:
    """Write a receipt: this pupil was in this transfer, for anybody to verify."""
    from gateway.flows import onboarding, receipts

    (place,) = onboarding.places(parts, by, [where])
    receipt = receipts.issue(parts, by, place, pupil, transfer)
    out.write_text(receipt.text(), encoding="utf-8", newline="")
    click.echo(f"A receipt about one pupil: give it to nobody else. Its log's key: {receipt.key}")
    click.echo(f"Next: schoolgate ledger verify {out}")


@ledger.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--key", help="The verifier key you have kept; else the file's own.")
@click.option("--since", type=click.Path(path_type=Path), help="A checkpoint note or an earlier bundle you have kept.")
@json_flag
def ledger_verify(file: Path, key: str | None, since: Path | None, as_json: bool) -> None:
    """Verify a bundle or a receipt offline: no database, no network, no trust in whoever made it."""
    from gateway.errors import LED_INVALID
    from gateway.ledger import proof, receipt

    if since and receipt.is_receipt(file):
        raise click.UsageError("--since compares bundles; a receipt does not hold the entries for it")
    try:
        said, text = (
            _shown(receipt.verify(file, key)) if receipt.is_receipt(file) else _proven(proof.verify(file, key, since))
        )
    except (proof.BundleInvalid, receipt.ReceiptInvalid) as invalid:
        why, code = str(invalid), LED_INVALID
        refused = [f"NOT VALID: {why}", f"  code    {code.code}", f"  remedy  {code.remedy}"]
        show(as_json, {"valid": False, "why": why, "code": code.code}, refused)
        sys.exit(FAILED)
    if key is None:
        text += ["It agrees with itself. Whose it is shows only against the key you have kept (--key); signed with:",
                 f"  {said['key']}"]  # fmt: skip
    show(as_json, {"valid": True, "key_checked": key is not None} | said, text)


def _proven(proven: Proven) -> tuple[dict[str, Any], list[str]]:
    said = {"log": proven.origin, "entries": proven.size, "root": proven.root, "types": proven.by_type,
            "key": proven.key}  # fmt: skip
    by_type = ", ".join(f"{n} {kind}" for kind, n in sorted(proven.by_type.items()))
    return said, [f"Valid: {proven.origin}, {proven.size} entries ({by_type}).", f"Root {proven.root}"]


def _shown(shown: Shown) -> tuple[dict[str, Any], list[str]]:
    said = {
        "log": shown.origin,
        "entries": shown.size,
        "index": shown.index,
        "pupil": shown.pupil,
        "entry": shown.entry,
        "key": shown.key,
    }
    return said, [
        f"Valid: pupil {shown.pupil!r} was in transfer {shown.transfer} of {shown.entry['at']}.",
        f"To {shown.entry.get('vendor', 'the family')}: {', '.join(shown.entry.get('elements', ()))}",
        f"Entry {shown.index} of {shown.size} in {shown.origin}",
    ]
