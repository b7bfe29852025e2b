"""May a grade go to this course: one question, asked when results are handed in and again when each one is sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from gateway import errors
from gateway.errors import Reason
from gateway.flows import disclosure
from gateway.flows.parts import Parts
from gateway.policy import rowplan
from gateway.policy.decide import Decision, decide, decide_person
from gateway.policy.facts import Credential, Facts
from gateway.policy.request import RULES, Actor, ActorKind, Obligation, Operation, Request
from gateway.store import facts as fact_store
from gateway.store import roster
from gateway.store.tenant import Session

ELEMENTS = frozenset({"person.lti_subject", "result.score", "result.progress", "result.time"})
MEETS = frozenset({Obligation.READ_BACK})


def _ask(
    parts: Parts, session: Session, course: Any, class_id: str, teacher: str | None, launch: str
) -> tuple[Request, Facts]:
    """The teacher of a launch asks that grades of a class go to a linked course's LMS."""
    school = fact_store.school_ref(session)
    taught = roster.teaches(session, teacher) if teacher else frozenset()
    request = Request(
        parts.ids.new("tr"), Operation.GRADE, Actor(ActorKind.TEACHER, launch, taught), school, course.vendor,
        RULES[Operation.GRADE].purpose, ELEMENTS, ELEMENTS, class_id, endpoint=_host(course), meets=MEETS,
    )  # fmt: skip
    credential = Credential(
        course.registration, course.vendor, course.agreement or "", frozenset(), frozenset({school}),
        course.line_status == "active",
    )  # fmt: skip
    return request, fact_store.load(session, credential)


def _host(course: Any) -> str:
    """Where grades of a course go: the host of its line items; one that was never named is no agreement's."""
    ags = course.services.get("ags", {})
    return urlsplit(str(ags.get("lineitems") or ags.get("lineitem") or "")).hostname or "-"


def foresee(
    parts: Parts, session: Session, course: Any, class_id: str, launch: Any, people: Iterable[str]
) -> dict[str, Reason]:
    """Return who of these people could not get a grade sent, and why; a denial of all is recorded."""
    wanted = list(people)
    request, facts = _ask(parts, session, course, class_id, launch.person_id, launch.launch)
    decision = decide(request, facts, parts.clock.now())
    if not decision.permits:
        disclosure.deny(parts, session, decision, course.registration)
        return dict.fromkeys(wanted, said(decision))
    known = fact_store.people(session, wanted)
    return {p: errors.GRD_PUPIL for p in wanted if p not in known or rowplan.judge(decision.plan, known[p])}


def judge(
    parts: Parts, session: Session, course: Any, class_id: str, teacher: str | None, launch: str, person: str
) -> Decision:
    """Decide one grade, about to be sent."""
    request, facts = _ask(parts, session, course, class_id, teacher, launch)
    return decide_person(request, facts, fact_store.person(session, person), parts.clock.now())


def said(decision: Decision) -> Reason:
    """Return the reason as teacher and application read it: what is about one pupil looks alike, and what opens the
    line to an LMS is its registration."""
    if decision.primary is errors.AUT_TOKEN_EXPIRED:
        return errors.LTI_REGISTRATION_DISABLED
    return errors.GRD_PUPIL if decision.of_row else decision.primary or errors.INT_POLICY_ERROR
