"""Launch: a login begins, a launch arrives through the gate, the application exchanges a one-time code for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from gateway import errors
from gateway.errors import Refused
from gateway.flows import aliased, disclosure
from gateway.flows.parts import Parts
from gateway.identity.clients import Grant
from gateway.identity.launch import Admitted, GatewayLaunch, GatewayLogin
from gateway.policy.decide import Decision, decide_person
from gateway.policy.facts import Credential, Person
from gateway.policy.minimise import clear
from gateway.policy.request import Actor, ActorKind, Obligation, Operation, Purpose, Request
from gateway.store import aliases, launches, registrations, roster
from gateway.store import facts as fact_store
from gateway.store.secrets import token_hash
from gateway.store.tenant import Place, Session
from mappings import application, lti, vocabulary
from mappings.cleared import Cleared

CODE_SECONDS = 60
LAUNCH_HOURS = 8
ELEMENTS = frozenset(
    {
        "record.alias", "person.role", "person.name.full", "person.email", "person.locale", "launch.context",
        "class.section",
    }
)  # fmt: skip
MANDATORY = frozenset({"record.alias", "launch.context"})
MEETS = frozenset({Obligation.ALIASES, Obligation.REDISCLOSURE_NOTICE})


def begin(parts: Parts, parameters: Mapping[str, str]) -> Any:
    """Answer a login initiation with the redirect to the platform. Raises Refused (LI-1 to LI-9)."""
    login = GatewayLogin(parameters, parts.registrations, parts.states, [parts.launch_url])
    return login.redirect(parts.launch_url)


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


def arrive(parts: Parts, form: Mapping[str, str], cookies: Mapping[str, str]) -> Entry:
    """Let a launch in and return the application's address with a one-time code. Raises Refused.

    Nonce, launch, code and ledger entry become true in one transaction.
    """
    gate = GatewayLaunch(form, cookies, parts.registrations, parts.states, parts.keys, parts.clock)
    try:
        gate.validate()
    except Refused as refused:
        if refused.reason is errors.LTI_PLATFORM_ERROR:  # this login is over (LV-02)
            with parts.database.open_identity() as session:
                gate.spend(session)
        raise
    with parts.database.open_identity() as session:
        session.flush_after_commit()
        admitted, found = gate.consume(session)
        try:
            arrival = _locate(admitted, found)
            session.narrow(arrival.place)
            outcome: Entry | Refused = _hand_over(parts, session, admitted, arrival)
        except Refused as refused:
            if refused.reason is errors.LED_UNAVAILABLE:
                raise
            outcome = refused  # the nonce stays used
    if isinstance(outcome, Refused):
        raise outcome
    return outcome


def _locate(admitted: Admitted, row: Any) -> Arrival:
    """Find the school: the stored link from the course to a class, inside the deployment's schools."""
    message = admitted.message
    if "context" not in message:
        raise Refused(errors.LTI_CONTEXT)
    if row.registration_status != "active":
        raise Refused(errors.LTI_REGISTRATION_DISABLED)
    if row.deployment is None or row.deployment_status != "active":
        raise Refused(errors.LTI_DEPLOYMENT)
    links = [link for link in row.links or () if link["school"] in (row.schools or ())]
    if len(links) != 1:
        raise Refused(errors.LTI_CONTEXT_UNLINKED)
    place = Place(row.district, links[0]["school"])
    return Arrival(place, row.deployment, message["context"]["id"], links[0]["class_id"])


def _hand_over(parts: Parts, session: Session, admitted: Admitted, arrival: Arrival) -> Entry | Refused:
    now, message = parts.clock.now(), admitted.message
    row = _standing(session, admitted, arrival)
    if row.access_grant is None:
        return Refused(errors.AGR_NONE, "no application is connected to this school")
    who, known = _who(row, admitted), fact_store.known_of(session, session.place.school, row)
    application_host = urlsplit(row.launch_url).hostname
    request = _request(parts, known.school, row.vendor, who.role, arrival.class_id, application_host)
    decision = decide_person(request, known.facts(_credential(row, known.school)), who.facts, now)
    if not decision.permits:
        refused = disclosure.deny(parts, session, decision, row.access_grant)
        return Refused(errors.LTI_PERSON) if refused.reason is errors.OWN_NOT_ASSOCIATED else refused
    code = parts.ids.secret()
    url = f"{row.launch_url}{'&' if '?' in row.launch_url else '?'}{urlencode({'code': code})}"
    cookie = parts.states.teacher_cookie(arrival.deployment, message["sub"], now.date())
    entry = Entry(url, cookie if who.role == "teacher" else None)
    _keep(parts, session, admitted, arrival, who, row.access_grant, code, now)
    disclosure.note(parts, session, decision, row.access_grant)  # last: a whole school queues for its log
    return entry


@dataclass(frozen=True, slots=True)
class _Who:
    """Who is launching: the roster's person, whether the SIS id said so, and the role the roster gives in the class;
    what the platform says gives nobody power."""

    id: str | None
    by_sis_id: bool
    role: str
    facts: Person


def _standing(session: Session, admitted: Admitted, arrival: Arrival) -> Any:
    """Look up what the launch is decided by. The roster person is found by the SIS id the platform sends, or as known
    from before; never by e-mail. A test user is nobody, whatever id it carries."""
    message = admitted.message
    nobody = vocabulary.TEST_USER in message["roles"]
    return launches.standing(
        session, admitted.platform.ref, message["sub"], None if nobody else _sis_id(message), arrival.class_id,
        nobody=nobody,
    )  # fmt: skip


def _sis_id(message: Mapping[str, Any]) -> str | None:
    return lti.said(message.get("lis", {}).get("person_sourcedid"))


def _who(row: Any, admitted: Admitted) -> _Who:
    roles = row.roles or ["none"]
    role = "teacher" if "teacher" in roles else roles[0]
    facts = fact_store.person_of(row) if row.associated else fact_store.NOBODY
    return _Who(row.id, row.id is not None and row.id == _sis_id(admitted.message), role, facts)


def _credential(row: Any, school: str) -> Credential:
    return Credential(
        row.access_grant, row.vendor, row.granted_under, frozenset(row.scopes), frozenset({school}),
        row.status == "active",
    )  # fmt: skip


def _request(
    parts: Parts, school: str, vendor: str, role: str, class_id: str, endpoint: str | None = None
) -> Request:  # fmt: skip
    kind = ActorKind.TEACHER if role == "teacher" else ActorKind.PUPIL
    return Request(
        parts.ids.new("tr"), Operation.LAUNCH, Actor(kind, disclosure.actor_ref(kind, None)), school, vendor,
        Purpose.ASSESSMENT, ELEMENTS, MANDATORY, class_id, endpoint=endpoint, meets=MEETS,
    )  # fmt: skip


def _keep(
    parts: Parts, session: Session, admitted: Admitted, arrival: Arrival, who: _Who, access_grant: str,
    code: str, now: datetime,
) -> None:  # fmt: skip
    message = admitted.message
    shown = message.get("presentation", {})
    facts = {
        "activity": lti.said(message.get("custom", {}).get("activity")),
        "return_url": shown.get("return_url"),
        "locale": lti.said(shown.get("locale")),
        "resource_link": message["resource_link"]["id"],
        "course_roles": sorted(vocabulary.course_roles(message["roles"])),
    }
    launches.keep(
        session, launch=parts.ids.new("la"), deployment=arrival.deployment, context_id=arrival.context_id,
        class_id=arrival.class_id, registration=admitted.platform.ref, sub=message["sub"], person_id=who.id,
        by_sis_id=who.by_sis_id, role=who.role, access_grant=access_grant, facts=facts,
        services={name: message[name] for name in ("ags", "nrps") if name in message}, code_hash=token_hash(code),
        code_until=now + timedelta(seconds=CODE_SECONDS), created_at=now,
        expires_at=now + timedelta(hours=LAUNCH_HOURS),
    )  # fmt: skip


# --- exchange --------------------------------------------------------------------------------------


def exchange(parts: Parts, grant: Grant, code: str) -> Cleared[bytes]:
    """Return the launch for its code, once, to the application it was made for. Raises Refused."""
    return aliased.answered(parts, grant, lambda: _exchange(parts, grant, code))


def _exchange(parts: Parts, grant: Grant, code: str) -> Cleared[bytes]:
    now = parts.clock.now()
    with parts.database.open_identity() as session:
        key = registrations.use_key(session, token_hash(code), "launch", grant.ref, now)
        if key is None:
            raise Refused(errors.LTI_CODE)
        session.narrow(registrations.place_of(key))
        outcome = _tell(parts, session, grant, key.ref, now)
    if isinstance(outcome, Refused):
        raise outcome
    return outcome


def _tell(parts: Parts, session: Session, grant: Grant, launch: str, now: datetime) -> Cleared[bytes] | Refused:
    row = registrations.launch(session, launch, now)
    if row is None:
        return Refused(errors.LTI_CODE)
    known = fact_store.known(session, grant.vendor, grant.agreement)
    request = _request(parts, known.school, grant.vendor, row.role, row.class_id)
    facts = known.facts(grant.credential(session.place, known.school))
    decision = decide_person(request, facts, fact_store.person(session, row.person_id), now)
    if not decision.permits:
        return disclosure.deny(parts, session, decision, grant.ref)
    cleared = clear(decision, application.Launch, _record(session, grant, row, decision))
    disclosure.intend(parts, session, decision, grant.ref, [row.person_id], cleared.payload)
    return cleared


def _record(session: Session, grant: Grant, row: Any, decision: Decision) -> dict[str, Any]:
    """Everything the answer could hold; what may leave is picked from it."""
    aliases.ensure_here(session, grant.schools, grant.ref)
    person = aliases.outward(session, grant.ref, "user", [row.person_id])[row.person_id]
    class_alias = aliases.outward(session, grant.ref, "class", [row.class_id])[row.class_id]
    user, class_ = roster.user(session, row.person_id), roster.class_(session, row.class_id)
    course = registrations.course(session, row.deployment, row.context_id)
    ags = (course.services if course else {}).get("ags", {})
    teacher = row.role == "teacher"
    return {
        "id": row.launch,
        "kind": "resource_link",
        "expires_at": row.expires_at.isoformat(),
        "person": {
            "id": application.outward(application.PERSON, person), "role": row.role,
            "name": f"{user.given_name} {user.family_name}" if user else None,
            "email": user.email if user else None,
        },
        "class_": {
            "id": application.outward(application.CLASS, class_alias), "title": class_.title if class_ else None,
            "matched": "sis",
        },
        "activity": {"your_id": row.facts.get("activity"), "column": "linked" if ags.get("lineitem") else "none"},
        "can": {
            "members": teacher, "grades": teacher and lti.SCOPE_SCORE in ags.get("scope", ()),
            "read_back": lti.SCOPE_RESULT in ags.get("scope", ()),
        },
        "withheld": sorted(name for name, _ in decision.withheld),
        "return_url": row.facts.get("return_url"),
        "locale": row.facts.get("locale"),
    }  # fmt: skip
