"""Who is launching, may they, and on they go: to the application with a one-time code, or to the picker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.parts import Parts
from gateway.identity.launch import Admitted
from gateway.identity.platforms import Platform
from gateway.policy import anonymity
from gateway.policy.decide import Decision, decide_person
from gateway.policy.facts import Credential, Facts, Person
from gateway.policy.request import RULES, Actor, ActorKind, Obligation, Operation, Request
from gateway.store import facts as fact_store
from gateway.store import launches, registrations, roster
from gateway.store.secrets import token_hash
from gateway.store.tenant import Place, Session
from mappings import application, lti, lti_items, lti_messages, vocabulary

CODE_SECONDS = 60
PICKING = timedelta(minutes=30)  # how long a picker stays open
LAUNCH_HOURS = 8
ELEMENTS = frozenset(
    {
        "record.alias", "person.role", "person.name.full", "person.email", "person.locale", "launch.context",
        "class.section",
    }
)  # fmt: skip
MANDATORY = frozenset({"record.alias", "launch.context"})
MEETS = frozenset({Obligation.ALIASES, Obligation.REDISCLOSURE_NOTICE})


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the browser goes on to, and the cookie that makes it the teacher's, if one launched."""

    url: str
    teacher: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """Where an admitted launch came in."""

    place: Place
    deployment: str
    context_id: str
    class_id: str
    before: str | None = None  # who launches, as LTI 1.1 called them: where the LMS has proved it


def hand_over(parts: Parts, session: Session, admitted: Admitted, arrival: Arrival) -> Entry | Refused:
    """Decide a launch at the session's school and keep it; return where the browser goes on to, or the refusal."""
    now, message = parts.clock.now(), admitted.message
    row = _standing(session, admitted, arrival)
    if row.access_grant is None:
        return Refused(errors.AGR_NONE, "no application is connected to this school")
    who, known = _who(row, admitted), fact_store.known_of(session, session.place.school, row)
    application_host = urlsplit(row.launch_url).hostname
    request = request_for(parts, known.school, row.vendor, who.role, arrival.class_id, application_host)
    facts = known.facts(_credential(row, known.school))
    decision = decide_entry(request, facts, who, now)
    if not decision.permits:
        refused = disclosure.deny(parts, session, decision, row.access_grant)
        return Refused(errors.LTI_PERSON) if refused.reason is errors.OWN_NOT_ASSOCIATED else refused
    about = _about(session, admitted, arrival, who, decision)
    if about:
        shown = decide_person(request, facts, fact_store.person(session, about), now)
        if not shown.permits:
            disclosure.deny(parts, session, shown, row.access_grant)
            return Refused(errors.LTI_FOR_USER_UNKNOWN)  # as somebody who is not in the class
    if who.visitor:
        admitted = replace(admitted, excused=tuple(sorted({*admitted.excused, "anonymous"})))
    code = parts.ids.secret()
    cookie = parts.states.teacher_cookie(arrival.deployment, message.get("sub", ""), now.date())
    entry = Entry(_onward(parts, row, message["kind"], code), cookie if who.role == "teacher" else None)
    keep = Keeping(row.access_grant, code, now, decision.row is None, about)
    _keep(parts, session, admitted, arrival, who, keep)
    disclosure.note(parts, session, decision, row.access_grant)  # last: a whole school queues for its log
    return entry


def _onward(parts: Parts, row: Any, kind: str, code: str) -> str:
    """The application's address with the code; a teacher who picks stays here."""
    if kind == "deep_linking":
        return f"{parts.settings.url}/lti/pick/{code}"
    return f"{row.launch_url}{'&' if '?' in row.launch_url else '?'}{urlencode({'code': code})}"


def decide_entry(request: Request, facts: Facts, who: Who, now: datetime) -> Decision:
    """Decide a launch of a person; somebody who may not be named takes part without a name."""
    if who.visitor:
        return anonymity.decide_unnamed(request, facts, now)
    decision = decide_person(request, facts, who.facts, now)
    if anonymity.is_called_for(decision):
        unnamed = anonymity.decide_unnamed(request, facts, now)
        return unnamed if unnamed.permits else decision
    return decision


def _about(session: Session, admitted: Admitted, arrival: Arrival, who: Who, decision: Decision) -> str | None:
    """Whose work a teacher comes to look at: a pupil of the class (LV-32). Raises Refused."""
    message = admitted.message
    if message["kind"] != "resource_link" and (who.role != "teacher" or decision.row is None):
        raise Refused(errors.LTI_PERSON)
    if message["kind"] != "submission_review":
        return None
    if not _is_column_of(session, arrival, message["ags"]):
        raise Refused(errors.LTI_LINE_ITEM)
    person = registrations.person_of(session, admitted.platform.ref, message["for_user"]["user_id"])
    if person is None or person not in roster.pupils_of(session, arrival.class_id):
        raise Refused(errors.LTI_FOR_USER_UNKNOWN)
    return person


def _is_column_of(session: Session, arrival: Arrival, ags: Mapping[str, Any]) -> bool:
    """Whether a line item is one of this course: beneath its list of line items, as an earlier launch named it."""
    course = registrations.course(session, arrival.deployment, arrival.context_id)
    known = (course.services if course else {}).get("ags", {})
    listed, item = urlsplit(known.get("lineitems") or ""), urlsplit(ags["lineitem"])
    beneath = item.path.startswith(listed.path.rstrip("/") + "/") and "/../" not in item.path
    return ags["lineitem"] == known.get("lineitem") or (beneath and item.netloc == listed.netloc != "")


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a launch is kept: for which grant, its code, when, whether without a name, and whose work it is about."""

    access_grant: str
    code: str
    now: datetime
    unnamed: bool
    about: str | None


@dataclass(frozen=True, slots=True)
class Who:
    """Who is launching: the roster's person, what says so now (`lis`, `migrated`, "" for what was known before), and
    the role the roster gives in the class; what the platform says gives nobody power. A `visitor` is unknown to the
    roster, let in as the registration says."""

    id: str | None
    evidence: str
    role: str
    facts: Person
    visitor: bool = False


def _standing(session: Session, admitted: Admitted, arrival: Arrival) -> Any:
    """Look up what the launch is decided by. The roster person is found by the SIS id the platform sends, or as known
    from before; never by e-mail. A test user is nobody, whatever id it carries."""
    message = admitted.message
    nobody = vocabulary.TEST_USER in message["roles"] or "sub" not in message
    return launches.standing(
        session, admitted.platform.ref, message.get("sub", ""), None if nobody else sis_id(message), arrival.class_id,
        nobody=nobody, before=arrival.before,
    )  # fmt: skip


def sis_id(message: Mapping[str, Any]) -> str | None:
    """Return the id of the roster that the LMS sends for a person, if it sends one."""
    return lti.said(message.get("lis", {}).get("person_sourcedid"))


def _who(row: Any, admitted: Admitted) -> Who:
    if row.id is None and "anonymous" in admitted.excuses and sis_id(admitted.message) is None:
        learner = "student" in vocabulary.course_roles(admitted.message["roles"])
        return Who(None, "", "student" if learner else "none", fact_store.NOBODY, visitor=True)
    roles = row.roles or ["none"]
    role = "teacher" if "teacher" in roles else roles[0]
    facts = fact_store.person_of(row) if row.associated else fact_store.NOBODY
    by_sis_id = row.id is not None and row.id == sis_id(admitted.message)
    return Who(row.id, "lis" if by_sis_id else "migrated" if row.migrated else "", role, facts)


def _credential(row: Any, school: str) -> Credential:
    return Credential(
        row.access_grant, row.vendor, row.granted_under, frozenset(row.scopes), frozenset({school}),
        row.status == "active",
    )  # fmt: skip


def request_for(
    parts: Parts, school: str, vendor: str, role: str, class_id: str, endpoint: str | None = None
) -> Request:  # fmt: skip
    kind = ActorKind.TEACHER if role == "teacher" else ActorKind.PUPIL
    return Request(
        parts.ids.new("tr"), Operation.LAUNCH, Actor(kind, disclosure.actor_ref(kind, None)), school, vendor,
        RULES[Operation.LAUNCH].purpose, ELEMENTS, MANDATORY, class_id, endpoint=endpoint, meets=MEETS,
    )  # fmt: skip


def _keep(parts: Parts, session: Session, admitted: Admitted, arrival: Arrival, who: Who, keep: Keeping) -> None:
    message, kind = admitted.message, admitted.message["kind"]
    shown = message.get("presentation", {})
    facts = {
        "kind": kind,
        "unnamed": keep.unnamed,
        "about": keep.about,
        "excused": list(admitted.excused),
        "tier": admitted.tier,
        "settings": message.get("settings"),
        "activity": _activity(message),
        "return_url": _back(admitted.platform, shown.get("return_url")),
        "registration": admitted.platform.ref,
        "locale": lti.said(shown.get("locale")),
        "resource_link": message.get("resource_link", {}).get("id"),
        "course_roles": sorted(vocabulary.course_roles(message["roles"])),
    }
    launches.keep(
        session, launch=parts.ids.new("la"), deployment=arrival.deployment, context_id=arrival.context_id,
        class_id=arrival.class_id, registration=admitted.platform.ref, sub=message.get("sub", ""), person_id=who.id,
        evidence=who.evidence, role=who.role, access_grant=keep.access_grant, facts=facts,
        services={name: message[name] for name in lti_messages.SERVICES if name in message and kind == "resource_link"},
        code_hash=token_hash(keep.code), opens="picker" if kind == "deep_linking" else "launch",
        code_until=keep.now + (PICKING if kind == "deep_linking" else timedelta(seconds=CODE_SECONDS)),
        created_at=keep.now, expires_at=keep.now + timedelta(hours=LAUNCH_HOURS),
    )  # fmt: skip


def _activity(message: Mapping[str, Any]) -> str | None:
    """The application's activity of a link, by its custom value, or by its address: some products lose the values of
    what was picked. Whatever else a platform puts there (a name it substitutes, say) is nobody's activity."""
    named = lti.said(message.get("custom", {}).get("activity"))
    if named is not None and application.is_your_id(named):
        return named
    return lti_items.read_activity_link(message["target_link_uri"])[1]


def _back(platform: Platform, url: str | None) -> str | None:
    """Where the LMS wants the browser back: an address of its own."""
    return url if url and platform.serves(url) else None
