"""What a registration is excused from: named, with a reason, until a day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.onboarding.lines import deployment_named
from gateway.flows.onboarding.typed import readable
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.policy.request import ActorKind
from gateway.store import registrations
from gateway.store.tenant import Place, Session
from mappings.lti_messages import MOST_SKEW, RELAXATIONS

LONGEST = timedelta(days=400)


def relax(parts: Office, by: Person, deployment: str, name: str, reason: str, until: str, value: str = "") -> str:
    """Excuse the registration of a deployment from one thing until a day. Return the registration. Raises Refused."""
    by.acts_for_district()
    now, ends = parts.clock.now(), _day(until)
    if not now < ends <= now + LONGEST:
        raise Refused(errors.REQ_INVALID, f"a relaxation ends within {LONGEST.days} days")
    reason, value = readable(reason, "reason"), _value(name, value)
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
        _require_own(session.district, registrations.by_ref(session, found.registration))
        registrations.relax(session, found.registration, name, value, reason, now, ends, by.ref)
        _note(parts, session, by, found, name, "recorded")
    return str(found.registration)


def end_relaxation(parts: Office, by: Person, deployment: str, name: str) -> str:
    """End a relaxation now. Return the registration. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
        _require_own(session.district, registrations.by_ref(session, found.registration))
        if not registrations.end_relaxation(session, found.registration, name):
            raise Refused(errors.REQ_UNKNOWN, f"{name} is not relaxed there")
        _note(parts, session, by, found, name, "ended")
    return str(found.registration)


def relaxations(parts: Office, by: Person) -> Sequence[Any]:
    """Return the relaxations of the district's own registrations, those that have ended too. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        return registrations.relaxations(session)


def _day(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC)
    except ValueError as error:
        raise Refused(errors.REQ_INVALID, f"{text} is no day (2027-01-31)") from error


def _value(name: str, value: str) -> str:
    if name not in RELAXATIONS:
        raise Refused(errors.REQ_INVALID, f"what can be relaxed is {', '.join(RELAXATIONS)}")
    if name == "clock_skew" and not (value.isdecimal() and value.isascii() and int(value) <= MOST_SKEW):
        raise Refused(errors.REQ_INVALID, f"clock_skew takes seconds, {MOST_SKEW} at most")
    if (name in ("trusted_audience", "clock_skew")) != bool(value):
        raise Refused(errors.REQ_INVALID, f"{name} takes {'a' if not value else 'no'} value")
    return value


def _require_own(district: int, registration: Any) -> None:
    if registration is None or registration.home_district != district:
        raise Refused(errors.REQ_CONFLICT, "this registration belongs to somebody else; ask the operator")


def _note(parts: Office, session: Session, by: Person, deployment: Any, name: str, outcome: str) -> None:
    """Write it to the log of each school that the deployment is granted, in the transaction that makes it true."""
    actor = {"kind": str(ActorKind.STAFF), "ref": by.ref}
    for school in sorted(deployment.schools):
        session.narrow(Place(deployment.district, school))
        disclosure.event(parts, session, "relaxation", deployment.registration, outcome, actor=actor, relaxation=name)
