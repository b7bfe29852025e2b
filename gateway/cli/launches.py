"""Launches from an LMS: what waits to be linked, what failed and why, and what a registration is excused from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gateway.cli.desk import acting, json_flag, show, table
from gateway.cli.lines import lms

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@lms.command("waiting")
@json_flag
@acting
def waiting(parts: Office, by: Person, as_json: bool) -> None:
    """Show deployments and courses that launched and are not linked yet."""
    from gateway.flows import launch

    rows = [
        (r.deployment or "", r.deployment_id, r.context_id, r.title, r.seen_at.isoformat(timespec="seconds"),
         "lms link" if r.deployment else "lms add")
        for r in launch.waiting(parts, by)
    ]  # fmt: skip
    table("Waiting to be linked", ("deployment", "deployment id", "course", "title", "seen", "next"), rows, as_json)


@lms.command("launches")
@click.argument("deployment", required=False)
@json_flag
@acting
def launches(parts: Office, by: Person, deployment: str | None, as_json: bool) -> None:
    """Show the launches that failed, the latest first: no person is in them."""
    from gateway.flows import launch

    rows = [
        (r.support, r.at.isoformat(timespec="seconds"), r.code, r.registration, r.facts.get("message_type"),
         r.facts.get("course_roles"), r.facts.get("skew_seconds"))
        for r in launch.failures(parts, by, deployment)
    ]  # fmt: skip
    columns = ("support number", "at", "code", "registration", "message", "roles", "clock off by")
    table("Failed launches", columns, rows, as_json)


@lms.command("inspect")
@click.argument("number")
@json_flag
@acting
def inspect(parts: Office, by: Person, number: str, as_json: bool) -> None:
    """Look at one launch, by its support number or reference: what was there, how far it got. Redacted."""
    from gateway.errors import VOCABULARY
    from gateway.flows import launch

    told = launch.inspect(parts, by, number)
    text = [f"{name:14} {_said(value)}" for name, value in told.items()]
    reason = VOCABULARY.get(str(told["outcome"]))
    if reason:
        text += ["", reason.sentence, f"  remedy  {reason.remedy}", f"  who     {reason.owner}"]
    show(as_json, told, text)


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


@lms.command("relax")
@click.argument("deployment")
@click.argument("name")
@click.option("--reason", required=True, help="Why, and as agreed with whom.")
@click.option("--until", required=True, help="The day it ends.")
@click.option("--value", default="", help="Seconds of clock_skew; audiences of trusted_audience.")
@acting
def relax(parts: Office, by: Person, deployment: str, name: str, reason: str, until: str, value: str) -> None:
    """Excuse an LMS from one check: no_resource_link, anonymous, trusted_audience or clock_skew."""
    from gateway.flows import launch

    registration = launch.relax(parts, by, deployment, name, reason, until, value)
    click.echo(f"{name} is relaxed at {registration}. End it with: schoolgate lms strict {deployment} {name}")


@lms.command("strict")
@click.argument("deployment")
@click.argument("name")
@acting
def strict(parts: Office, by: Person, deployment: str, name: str) -> None:
    """End a relaxation of an LMS registration now."""
    from gateway.flows import launch

    click.echo(f"{name} is checked again at {launch.end_relaxation(parts, by, deployment, name)}.")


@lms.command("relaxations")
@json_flag
@acting
def relaxations(parts: Office, by: Person, as_json: bool) -> None:
    """Show what registrations are excused from, why, by whom and until when."""
    from gateway.flows import launch

    rows = [
        (r.registration, r.issuer, r.name, r.value, r.reason, r.created_by, r.until)
        for r in launch.relaxations(parts, by)
    ]
    columns = ("registration", "issuer", "relaxation", "value", "reason", "by", "until")
    table("Relaxations", columns, rows, as_json)
