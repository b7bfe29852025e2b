"""Questions to the one that decides: why something leaves or does not, and what would change if."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from gateway.cli.desk import FAILED, acting, json_flag, main, show, table

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@main.command()
@click.option("--vendor", required=True, help="The vendor (name or reference).")
@click.option("--student", required=True, help="sourcedId, local number or full name.")
@click.option("--element", required=True, help="A data element, such as person.email.")
@click.option("--purpose", help="Ask about this purpose; each operation serves one, and is asked for that otherwise.")
@json_flag
@acting
def explain(
    parts: Office, by: Person, vendor: str, student: str, element: str, purpose: str | None, as_json: bool
) -> None:
    """Say whether an element of a pupil may go to a vendor, by which operation and for which purpose, and why."""
    from gateway.flows import explain as flow

    answers = flow.explain(parts, by, vendor, student, element, purpose)
    said = [
        {"school": a.school, "agreement": a.agreement, "operation": a.operation, "purpose": a.purpose,
         "permitted": a.reason is None,
         "code": a.reason.code if a.reason else None, "because": a.because}
        for a in answers
    ]  # fmt: skip
    text = []
    for answer in answers:
        serves = f"for {answer.purpose}" if answer.purpose else ""
        where = " ".join(filter(None, (answer.school, answer.operation, serves, answer.agreement)))
        text += [f"{where}: {answer.sentence}", f"  because {answer.because}"]
        if answer.reason:
            text += [f"  code    {answer.reason.code}", f"  remedy  {answer.reason.remedy}"]
    show(as_json, {"answers": said}, text)


@main.command("what-if")
@click.option("--end-agreement", help="If this agreement (reference or number) were ended.")
@click.option("--refuse", "pupil", help="If the family of this pupil (id, number or name) refused.")
@click.option("--under", help="With --refuse: disclosure under this agreement, not all further use.")
@click.option("--policy", help="If this privacy policy governed.")
@json_flag
@acting
def what_if(
    parts: Office, by: Person, end_agreement: str | None, pupil: str | None, under: str | None, policy: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Say what ending an agreement, a refusal or another policy would change. Nothing is changed."""
    from gateway.flows import explain as flow

    if sum(one is not None for one in (end_agreement, pupil, policy)) != 1 or (under is not None and pupil is None):
        raise click.UsageError("name one change: --end-agreement, --refuse (--under) or --policy")
    if end_agreement is not None:
        change = flow.ending(flow.agreement_called(parts, by, end_agreement))
    elif pupil is not None:
        change = flow.refusing(
            flow.pupil_called(parts, by, pupil), None if under is None else flow.agreement_called(parts, by, under)
        )
    else:
        change = flow.governed_by(str(policy))
    effects = flow.what_if(parts, by, change)
    said = [
        {"school": e.school, "vendor": e.vendor, "agreement": e.agreement, "operation": e.operation,
         "elements": e.elements, "pupils": e.pupils, "code": e.reason.code if e.reason else None}
        for e in effects
    ]  # fmt: skip
    text = [
        f"{e.school} {e.vendor} {e.operation} under {e.agreement}: elements {e.elements[0]} → {e.elements[1]}, "
        f"pupils {e.pupils[0]} → {e.pupils[1]}" + (f" ({e.reason.code})" if e.reason else "")
        for e in effects
    ]
    show(as_json, {"effects": said}, text or ["Nothing that leaves would change."])


@main.group()
def decision() -> None:
    """Past decisions, and whether they were right by the papers of their day."""


@decision.command("list")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1, 10_000), help="Entries of each ledger.")
@json_flag
@acting
def decision_list(parts: Office, by: Person, last: int, as_json: bool) -> None:
    """Show the latest decisions of the schools you may look at, newest first."""
    from gateway.flows import replay as flow

    rows = [
        (one["id"], school, one["at"], one["operation"], one.get("vendor", ""), one["outcome"], one.get("reason", ""))
        for school, decided in flow.recent(parts, by, last) for one in decided
    ]  # fmt: skip
    table("Decisions", ("ref", "school", "at", "operation", "vendor", "outcome", "reason"), rows, as_json)


@decision.command("replay")
@click.argument("ref")
@json_flag
@acting
def decision_replay(parts: Office, by: Person, ref: str, as_json: bool) -> None:
    """Decide a past decision again from the versions it rested on; exit 1 where the answer is another.

    After an erasure what it rested on is gone, and the answer is "erased".
    """
    from gateway.flows import replay as flow

    found = flow.replay(parts, by, ref)
    entry = found.entry
    said = {
        "decision": found.decision, "school": found.school, "at": entry["at"], "verdict": found.verdict,
        "outcome": entry["outcome"], "code": entry.get("reason"), "relied_on": found.relied_on,
        "differences": found.differences,
    }  # fmt: skip
    text = [f"{found.decision} at {found.school}, {entry['at']}: {entry['operation']}, {entry['outcome']}"]
    if found.reason:
        text += [f"  because {found.reason.sentence}", f"  code    {found.reason.code}"]
    text += [f"  rested on {', '.join(found.relied_on)}"] if found.relied_on else []
    text += [f"  {_VERDICTS[found.verdict]}{', '.join(found.differences)}"]
    show(as_json, said, text)
    if found.verdict == flow.DIFFERS:
        sys.exit(FAILED)


_VERDICTS = {
    "same": "Decided again from those versions: the same answer.",
    "differs": "Decided again from those versions: NOT the same answer: ",
    "erased": "What it rested on is gone: the person it was about was erased.",
}  # fmt: skip
