"""Districts, schools and the people who act for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.onboarding.typed import read_zone, readable
from gateway.flows.parts import Office
from gateway.identity.staff import DISTRICT_ROLES, SCHOOL_ROLES, Person
from gateway.ledger import log
from gateway.policy.source_policies import PROFILES
from gateway.store import directory, on_file, sources
from gateway.store.facts import school_ref
from gateway.store.secrets import token_hash
from gateway.store.tenant import Place, Session
from mappings.oneroster.rows import is_id

TOKEN_DAYS = 365


def personal_token(parts: Office) -> tuple[str, bytes]:
    secret = parts.ids.secret()
    return secret, token_hash(secret)


def add_district(parts: Office, name: str, admin: str, policy: str, zone: str = "UTC") -> tuple[str, str, str]:
    """Make a district with its first administrator. Return (district, administrator, personal token).

    Districts may share a name, as they do: each acts by tokens of its own and shows its reference, and none learns here
    that there is another.
    """
    if policy not in PROFILES:
        raise Refused(errors.REQ_INVALID, f"source policies are {', '.join(sorted(PROFILES))}")
    name, admin, zone = readable(name, "district"), readable(admin, "administrator"), read_zone(zone)
    now, ref, staff = parts.clock.now(), parts.ids.new("di"), parts.ids.new("st")
    secret, hashed = personal_token(parts)
    with parts.database.open_new_district() as session:
        directory.add_district(session, ref, name, policy, zone, now, staff)
        directory.add_staff(session, staff, admin, hashed, now, staff, timedelta(days=TOKEN_DAYS))
        directory.give_role(session, staff, "district_admin", None, now, staff)
    return ref, staff, secret


def add_school(parts: Office, by: Person, name: str, source: str | None, org_id: str | None) -> str:
    """Make a school, with its ledger, which says first by which privacy policy it is governed; link it to the org of a
    roster source where one is named."""
    by.acts_for_district()
    name = readable(name, "school")
    if (source is None) != (org_id is None):
        raise Refused(errors.REQ_INVALID, "a school of a source needs both: the source, and the school's org in it")
    now, ref = parts.clock.now(), parts.ids.new("sch")
    if org_id is not None and not is_id(org_id):
        raise Refused(errors.REQ_INVALID, "the school's org is a sourcedId: up to 255 letters, digits and . - _ / @")
    with parts.database.open_district(by.district) as session:
        directory.one_at_a_time(session)
        found = _source(session, source)
        _require_free(directory.schools(session), name, found)
        place = directory.add_school(session, ref, name, found, org_id, now, by.ref)
        if place is None:
            raise Refused(errors.REQ_CONFLICT, "that org of the source has a school already")
        governs = on_file.source_policies(session)[-1]
        session.narrow(place)
        log.start(session, parts.vault, ref, parts.ids.new("key"), now)
        disclosure.event(
            parts, session, "policy", parts.ids.new("pw"), "governs", actor={"kind": "staff", "ref": by.ref},
            policy=f"{governs.policy}@{governs.version}",
        )  # fmt: skip
    return ref


def _require_free(schools: Sequence[Any], name: str, source: str | None) -> None:
    """Schools may share a name only where each is an org of a roster: else nobody could tell them apart."""
    namesakes = [row for row in schools if row.name == name]
    if namesakes and (source is None or any(row.source is None for row in namesakes)):
        raise Refused(errors.REQ_CONFLICT, f"there is a school {name} already: {_listed(namesakes)}")


def _listed(schools: Sequence[Any]) -> str:
    """References of schools, with what tells them apart."""
    return ", ".join(f"{row.ref} (org {row.org_id})" if row.org_id else row.ref for row in schools)


def repairs_for_schools(parts: Office, by: Person, source: str | None) -> list[str]:
    """Return the repairs of a source that schools are made of: the district's only source when none is named."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        named = _source(session, source) or _only_source(session)
        return next(list(row.repairs or ()) for row in sources.listing(session) if row.source == named)


def add_schools(
    parts: Office, by: Person, orgs: Sequence[tuple[str, str]], source: str | None
) -> list[tuple[str, str, str, bool]]:
    """Make a school of each (org, name) of a source that has none yet: of the district's only source when none is
    named. Return (reference, name, org, whether it is new). Nothing is made when one of them cannot be."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = _source(session, source) or _only_source(session)
        schools = directory.schools(session)
    there = {row.org_id: row for row in schools if row.source == found}
    first: dict[str, str] = {}
    for org, name in orgs:
        first.setdefault(org, name)
    orgs = list(first.items())
    for org, name in orgs:
        if org not in there:
            _require_free(schools, readable(name, f"school {org}"), found)
    return [
        (there[org].ref, there[org].name, org, False)
        if org in there
        else (add_school(parts, by, name, found, org), name, org, True)
        for org, name in orgs
    ]


def _only_source(session: Session) -> str:
    listed = sources.listing(session)
    if len(listed) != 1:
        names = ", ".join(row.name for row in listed) or "none yet: `schoolgate source add` makes one"
        raise Refused(errors.REQ_INVALID, f"say which source delivers these schools (--source); there is {names}")
    return str(listed[0].source)


def _source(session: Session, source: str | None) -> str | None:
    if source is None:
        return None
    found = sources.find(session, source)
    if found is None:
        raise Refused(errors.REQ_UNKNOWN, f"there is no source {source} in this district")
    return str(found.source)


def add_staff(parts: Office, by: Person, name: str, role: str, school: str | None) -> tuple[str, str]:
    """Make a person with a role at a school, or at the district where none is named: a blank one is no school, and not
    all of them. Return (reference, personal token)."""
    name = readable(name, "person")
    now, ref = parts.clock.now(), parts.ids.new("st")
    secret, hashed = personal_token(parts)
    roles = DISTRICT_ROLES if school is None else SCHOOL_ROLES
    if role not in roles:
        where = "the district" if school is None else "a school"
        raise Refused(errors.REQ_INVALID, f"roles at {where} are {', '.join(sorted(roles))}")
    with parts.database.open_district(by.district) as session:
        number = None if school is None else school_named(session, school).school
        if number is None:
            by.acts_for_district()
        else:
            by.acts_for(number)
        directory.add_staff(session, ref, name, hashed, now, by.ref, timedelta(days=TOKEN_DAYS))
        directory.give_role(session, ref, role, number, now, by.ref)
    return ref, secret


def school_named(session: Session, text: str) -> Any:
    found = directory.find_schools(session, text)
    if not found:
        raise Refused(errors.REQ_UNKNOWN, f"there is no school {text} in this district")
    if len(found) > 1:
        raise Refused(errors.REQ_AMBIGUOUS, f"{len(found)} schools are called {text}: {_listed(found)}")
    return found[0]


def readable_schools(parts: Office, by: Person) -> Iterator[tuple[Session, str]]:
    """A session for each school of the district that the person may look at, and its reference."""
    for place in places(parts, by, ()):
        if by.may_read(place.school):
            with parts.database.open_school(place) as session:
                yield session, school_ref(session)


def places(parts: Office, by: Person, names: Sequence[str]) -> list[Place]:
    """Return the named schools of the person's district, all of them when none is named, in the order in which their
    logs are locked."""
    with parts.database.open_district(by.district) as session:
        found = [school_named(session, name) for name in names] if names else directory.schools(session)
    if not found:
        raise Refused(errors.REQ_INVALID, "the district has no school yet: `schoolgate school add` makes one")
    return sorted(Place(row.district, row.school) for row in found)
