"""Agreements and directions: what must be said for one to be enforced, judged before it is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows.on_file.desk import Desk, Paper
from gateway.policy.agreements import ASSURED_FOR, COMMITMENTS
from gateway.policy.request import COMMERCIAL, Operation, Purpose
from mappings.elements import REGISTER, expand


def agreement(desk: Desk, said: dict[str, Any]) -> list[Paper]:
    """Return an agreement as it would stand at each of its schools. Raises Refused where it could not be enforced."""
    desk.by.acts_for_district()
    maker = desk.vendor(said["vendor"])
    begins, expires = desk.period(said, desk.begun("agreement", said, "effective_at"))
    body = {
        "number": said.get("number"), "category": maker.category, "schedule": elements(said["schedule"]),
        "purposes": sorted(said["purposes"]), "operations": sorted(said["operations"]),
        "school_agent": said["school_agent"], "consent_needed": said["consent_needed"],
        "retention_days": said.get("retention_days"), "document": said.get("document", ""),
        "commitments": _commitments(said["commitments"]), "assured_at": _iso(said.get("assured")),
        "debarred_until": _iso(said.get("debarred_until")), "endpoints": sorted(said["endpoints"]),
        "subprocessors": sorted(said["subprocessors"]),
    }  # fmt: skip
    _require_terms(body)
    if said["status"] == "active":
        require_active(desk, body)
        if desk.imports and expires <= desk.now:
            raise Refused(errors.AGR_EXPIRED, "the agreement is over: leave it out, or say until when it was renewed")
    columns = {"vendor": maker.vendor, "status": said["status"], "effective_at": begins, "expires_at": expires}
    papers = [Paper("agreement", s.school, columns | {"body": body}) for s in desk.schools(said["schools"])]
    if desk.imports:
        _require_alone(desk, papers)
    return papers


def _commitments(named: Sequence[str]) -> list[str]:
    listed = set(COMMITMENTS) if "all" in named else set(named)
    unknown = listed.difference(COMMITMENTS)
    if unknown:
        raise Refused(errors.REQ_INVALID, f"commitments are all, {', '.join(COMMITMENTS)}")
    return sorted(listed)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _require_terms(body: dict[str, Any]) -> None:
    """Refuse what no agreement may say, and words that mean nothing."""
    if set(body["purposes"]) & {str(p) for p in COMMERCIAL}:
        raise Refused(errors.PUR_COMMERCIAL)
    if str(Purpose.PROFILING) in body["purposes"]:
        raise Refused(errors.PUR_PROFILE)
    for said, known, what in (
        (body["purposes"], {str(p) for p in Purpose}, "purpose"),
        (body["operations"], {str(o) for o in Operation}, "operation"),
    ):
        if set(said) - known or not said:
            raise Refused(errors.REQ_INVALID, f"{what}s are {', '.join(sorted(known))}")
    for name in body["schedule"]:
        if REGISTER[name].technical:
            raise Refused(errors.ELM_TECHNICAL, f"{name} never leaves")
        if REGISTER[name].never_export:
            raise Refused(errors.ELM_NEVER_EXPORT, f"{name} never leaves")


def require_active(desk: Desk, body: dict[str, Any]) -> None:
    """Refuse to activate an agreement that lacks what binds its vendor: every later request would be denied."""
    if body["retention_days"] is None:
        raise Refused(errors.AGR_COMMITMENTS_INCOMPLETE, "an agreement without a retention term cannot be activated")
    lacking = sorted(set(COMMITMENTS) - set(body["commitments"]))
    if lacking:
        raise Refused(errors.AGR_COMMITMENTS_INCOMPLETE, f"the vendor has not committed to {', '.join(lacking)}")
    if not body["document"]:
        raise Refused(errors.AGR_UNSIGNED)
    assured = datetime.fromisoformat(body["assured_at"]) if body["assured_at"] else None
    if assured is None or not assured <= desk.now < assured + ASSURED_FOR:
        raise Refused(errors.AGR_ASSURANCE_STALE)


def _require_alone(desk: Desk, papers: Iterable[Paper]) -> None:
    """Refuse a second agreement for what one of the same vendor covers already, at the same school and time."""
    for paper in papers:
        mine = paper.columns
        for row in desk.latest("agreement"):
            same = (row.school, row.vendor) == (paper.school, mine["vendor"]) and row.status == "active"
            if not same or row.body.get("number") == paper.number:
                continue
            shared = set(row.body["operations"]) & set(mine["body"]["operations"])
            if shared and row.effective_at < mine["expires_at"] and mine["effective_at"] < row.expires_at:
                raise Refused(errors.REQ_OVERLAP, f"{row.agreement} covers {', '.join(sorted(shared))} in that time")


def elements(names: Sequence[str]) -> list[str]:
    """Return the elements that these names stand for, sorted. Raises Refused."""
    try:
        return sorted(expand(names))
    except KeyError as error:
        raise Refused(errors.REQ_INVALID, f"there is no data element {error.args[0]}") from error


def direction(desk: Desk, said: dict[str, Any]) -> list[Paper]:
    """Return a direction as it would stand at each of its schools. Raises Refused."""
    if said["operation"] not in {str(o) for o in Operation}:
        raise Refused(errors.REQ_INVALID, f"operations are {', '.join(sorted(str(o) for o in Operation))}")
    narrowed, at = elements(said["elements"]), {school.school for school in desk.schools(said["schools"])}
    for school in at:
        desk.by.acts_for(school)
    begins, expires = desk.period(said, desk.begun("direction", said, "valid_from"))
    if expires <= desk.now:
        raise Refused(errors.DIR_EXPIRED, "the direction is over already")
    covered = [row for row in desk.numbered("agreement", said["agreement"]) if row.school in at]
    if not covered:
        raise Refused(errors.AGR_SCHOOL_NOT_COVERED, f"{said['agreement']} does not cover these schools")
    for row in covered:
        _require_within(row, said["operation"], narrowed)
    return [
        Paper(
            "direction", row.school,
            {"agreement": row.agreement, "operation": said["operation"], "status": "active", "valid_from": begins,
             "expires_at": expires,
             "body": {"number": said.get("number"), "role": desk.by.acts_for(row.school), "elements": narrowed,
                      "record": said.get("record")}},
        )
        for row in covered
    ]  # fmt: skip


def _require_within(agreement: Any, operation: str, narrowed: Sequence[str]) -> None:
    """Refuse a direction for what its agreement does not cover: nothing would ever flow under it."""
    body = agreement.body
    if agreement.status == "ended":
        raise Refused(errors.AGR_REVOKED, f"{agreement.agreement} was ended")
    if operation not in body["operations"]:
        raise Refused(errors.AGR_OPERATION, f"{agreement.agreement} covers {', '.join(body['operations'])}")
    beyond = set(narrowed) - set(body["schedule"])
    if beyond:
        said = f"{', '.join(sorted(beyond))}: {agreement.agreement} covers {', '.join(body['schedule'])}"
        raise Refused(errors.ELM_NOT_IN_SCHEDULE, said)
