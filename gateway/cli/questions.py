"""Questions to the one that decides: why something leaves or does not, and what would change if."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gateway.cli.desk import acting, json_flag, main, show

if TYPE_CHECKING:
    from gateway.flows.parts import Office
    from gateway.identity.staff import Person


@main.command()
@click.option("--vendor", required=True, help="The vendor (name or reference).")
@click.option("--student", required=True, help="sourcedId, local number or full name.")
@click.option("--element", required=True, help="A data element, such as person.email.")
@json_flag
@acting
def explain(parts: Office, by: Person, vendor: str, student: str, element: str, as_json: bool) -> None:
    """Say whether an element of a pupil may go to a vendor, and why."""
    from gateway.flows import explain as flow

    answers = flow.explain(parts, by, vendor, student, element)
    said = [
        {"school": a.school, "agreement": a.agreement, "operation": a.operation, "permitted": a.reason is None,
         "code": a.reason.code if a.reason else None, "because": a.because}
        for a in answers
    ]  # fmt: skip
    text = []
    for answer in answers:
        where = " ".join(filter(None, (answer.school, answer.operation, answer.agreement)))
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

    if sum(one is not None for one in (end_agreement, pupil, policy)) != 1 or (under and not pupil):
        raise click.UsageError("name one change: --end-agreement, --refuse (--under) or --policy")
    if end_agreement:
        change = flow.ending(flow.agreement_called(parts, by, end_agreement))
    elif pupil:
        change = flow.refusing(
            flow.pupil_called(parts, by, pupil), flow.agreement_called(parts, by, under) if under else None
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
