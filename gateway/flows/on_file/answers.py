"""Families' answers: consents and refusals, each about one scope, and opt-outs of kinds of recipients."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows.on_file.desk import Desk, Paper
from gateway.policy.request import CATEGORIES
from gateway.policy.rowplan import MAJORITY, OWN_WORD, born_by
from gateway.store import facts as fact_store


def consent(desk: Desk, said: dict[str, Any]) -> list[Paper]:
    """Return an answer as it would be on file at its school. Raises Refused for one that could not count."""
    (school,) = desk.schools([said["school"]])
    desk.by.acts_for(school.school)
    person, agreement = desk.pupil(school.school, said["pupil"]), _agreement(desk, school.school, said)
    begins, until = desk.period(said, said.get("answered", desk.begun("consent", said, "valid_from")))
    until = until if said["status"] != "withdrawn" else None  # what was withdrawn does not come back by itself
    body = {"number": said.get("number"), "method": said.get("method"), "document": said.get("document"),
            "answered_at": _iso(said.get("answered"))}  # fmt: skip
    evidenced = all(body[name] for name in ("method", "document", "answered_at"))
    if said["status"] == "given":
        _require_counts(desk, school.school, person, said, evidenced=evidenced, until=until)
    columns = {
        "person_id": person, "scope": said["scope"], "agreement": agreement, "status": said["status"],
        "grantor": said["grantor"], "evidenced": evidenced, "valid_from": begins, "valid_until": until, "body": body,
    }  # fmt: skip
    return [Paper("consent", school.school, columns)]


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _agreement(desk: Desk, school: int, said: dict[str, Any]) -> str | None:
    named = said.get("agreement")
    if named is None:
        return None
    if said["scope"] == "use":
        raise Refused(errors.REQ_CONTRADICTORY, "use here is no matter of an agreement: name none, or scope disclose")
    found = [row for row in desk.numbered("agreement", named) if row.school == school]
    if not found:
        raise Refused(errors.AGR_SCHOOL_NOT_COVERED, f"{named} does not cover this school")
    return str(found[0].agreement)


def _require_counts(
    desk: Desk, school: int, person: str, said: dict[str, Any], *, evidenced: bool, until: datetime | None
) -> None:
    """Refuse a yes that no decision would rest on."""
    if not evidenced:
        raise Refused(errors.CON_EVIDENCE_MISSING)
    if said["answered"] > desk.now:
        raise Refused(errors.REQ_CONTRADICTORY, "it was answered in the future")
    if until is not None and until <= desk.now:
        raise Refused(errors.CON_EXPIRED)
    born = fact_store.person(desk.session.at(school), person).birth_date
    adult = born is not None and born <= _majority(desk)
    if adult != (said["grantor"] in OWN_WORD):
        raise Refused(errors.AGE_RIGHTS_TRANSFERRED if adult else errors.CON_GRANTOR_NOT_ENTITLED)


def _majority(desk: Desk) -> date:
    return born_by(MAJORITY, desk.now)


def opt_out(desk: Desk, said: dict[str, Any]) -> list[Paper]:
    """Return an opting out as it would be on file at its school. Raises Refused."""
    (school,) = desk.schools([said["school"]])
    desk.by.acts_for(school.school)
    category = said.get("category")
    if category is not None and category not in CATEGORIES:
        raise Refused(errors.REQ_INVALID, f"categories are {', '.join(sorted(CATEGORIES))}")
    begins, until = desk.period(said, desk.begun("opt_out", said, "valid_from"))
    columns = {
        "person_id": desk.pupil(school.school, said["pupil"]), "category": category, "status": said["status"],
        "valid_from": begins, "valid_until": until, "body": {"number": said.get("number")},
    }  # fmt: skip
    return [Paper("opt_out", school.school, columns)]
