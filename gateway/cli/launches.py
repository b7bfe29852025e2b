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
    """Show deployments and courses that are not linked yet, and what a course was copied from, where that is linked.

    Such a copy is no more than a suggestion: nothing is linked until somebody does.
    """
    from gateway.flows import launch

    rows = [
        (w.row.deployment or "", w.row.deployment_id, w.row.context_id, w.row.title,
         w.row.seen_at.isoformat(timespec="seconds"), "lms link" if w.row.deployment else "lms add",
         [f"{one.context_id} ({one.title or one.class_id}: --school {one.school_name} --class {one.class_id})"
          for one in w.copies])
        for w in launch.waiting(parts, by)
    ]  # fmt: skip
    columns = ("deployment", "deployment id", "course", "title", "seen", "next", "copied from")
    table("Waiting to be linked", columns, rows, as_json)


@lms.command("notices")
@click.argument("deployment")
@json_flag
@acting
def notices(parts: Office, by: Person, deployment: str, as_json: bool) -> None:
    """Have an LMS tell us of what happens there, such as a course that is copied; show where its notices go and when
    one came last.

    What is as it should be is left alone, so it can be run at any time. A linked course must have been launched before.
    """
    from gateway.app import make_parts
    from gateway.flows import notices as flow

    rows = [
        (h.notice_type, h.address, h.state, h.last.isoformat(timespec="seconds") if h.last else "")
        for h in flow.subscribe(make_parts(parts), by, deployment)
    ]
    table("Notices", ("notice", "goes to", "state", "last came"), rows, as_json)


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
@json_flag
@acting
def relax(
    parts: Office, by: Person, deployment: str, name: str, reason: str, until: str, value: str, as_json: bool
) -> None:
    """Excuse an LMS from one check: no_resource_link, anonymous, trusted_audience or clock_skew."""
    from gateway.flows import launch

    registration = launch.relax(parts, by, deployment, name, reason, until, value)
    text = f"{name} is relaxed at {registration}. End it with: schoolgate lms strict {deployment} {name}"
    show(as_json, {"registration": registration, "relaxation": name, "until": until}, [text])


@lms.command("strict")
@click.argument("deployment")
@click.argument("name")
@json_flag
@acting
def strict(parts: Office, by: Person, deployment: str, name: str, as_json: bool) -> None:
    """End a relaxation of an LMS registration now."""
    from gateway.flows import launch

    registration = launch.end_relaxation(parts, by, deployment, name)
    said = {"registration": registration, "relaxation": name}
    show(as_json, said, [f"{name} is checked again at {registration}."])


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
