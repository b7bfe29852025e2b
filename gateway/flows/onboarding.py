"""Onboarding: districts, schools, people, sources, LMSs, vendors, agreements, directions, by a named person."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.parts import Office
from gateway.identity import clients
from gateway.identity.staff import DISTRICT_ROLES, SCHOOL_ROLES, Person
from gateway.ledger import log
from gateway.policy.request import CATEGORIES, COMMERCIAL, RULES, Operation, Purpose
from gateway.policy.source_policies import PROFILES
from gateway.store import aliases, directory, registrations, sources
from gateway.store import facts as fact_store
from gateway.store.secrets import token_hash
from gateway.store.tenant import Place, Session
from mappings import products
from mappings.elements import REGISTER, expand

TOKEN_DAYS = 365
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


_MOST_NAME = 200
# Line and paragraph ends, control characters, half characters, and marks that turn the direction of what follows.
_NOT_IN_NAMES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _name(text: str, what: str) -> str:
    """Return a name as it is kept, without blanks around it. Raises Refused unless a person can read it."""
    name = text.strip()
    kinds = {unicodedata.category(one) for one in name}
    if kinds & _NOT_IN_NAMES or _TURNS.intersection(name):
        raise Refused(errors.REQ_INVALID, f"the name of the {what} holds a control character")
    if not any(kind[0] in "LNPS" for kind in kinds):
        raise Refused(errors.REQ_INVALID, f"the name of the {what} is empty")
    if len(name) > _MOST_NAME:
        raise Refused(
            errors.REQ_INVALID, f"the name of the {what} has {len(name)} characters; {_MOST_NAME} is the most"
        )
    return name


def _token(parts: Office) -> tuple[str, bytes]:
    secret = parts.ids.secret()
    return secret, token_hash(secret)


# --- places and people -----------------------------------------------------------------------------


def add_district(parts: Office, name: str, admin: str, policy: str) -> tuple[str, str, str]:
    """Make a district with its first administrator. Return (district, administrator, personal token)."""
    if policy not in PROFILES:
        raise Refused(errors.REQ_INVALID, f"source policies are {', '.join(sorted(PROFILES))}")
    name, admin = _name(name, "district"), _name(admin, "administrator")
    now, ref, staff = parts.clock.now(), parts.ids.new("di"), parts.ids.new("st")
    secret, hashed = _token(parts)
    with parts.database.open_new_district() as session:
        directory.add_district(session, ref, name, policy, now, staff)
        directory.add_staff(session, staff, admin, hashed, now, staff, timedelta(days=TOKEN_DAYS))
        directory.give_role(session, staff, "district_admin", None, now, staff)
    return ref, staff, secret


def add_school(parts: Office, by: Person, name: str, source: str | None, org_id: str | None) -> str:
    """Make a school, with its ledger; link it to the org of a roster source where one is named."""
    by.acts_for_district()
    name = _name(name, "school")
    if (source is None) != (org_id is None):
        raise Refused(errors.REQ_INVALID, "a school of a source needs both: the source, and the school's org in it")
    now, ref = parts.clock.now(), parts.ids.new("sch")
    with parts.database.open_district(by.district) as session:
        found = _source(session, source)
        _require_free(directory.schools(session), name, found)
        place = directory.add_school(session, ref, name, found, org_id, now, by.ref)
        if place is None:
            raise Refused(errors.REQ_CONFLICT, "that org of the source has a school already")
        session.narrow(place)
        log.start(session, parts.vault, ref, parts.ids.new("key"), now)
    return ref


def _require_free(schools: Sequence[Any], name: str, source: str | None) -> None:
    """Schools may share a name only where each is an org of a roster: else nobody could tell them apart."""
    namesakes = [row for row in schools if row.name == name]
    if namesakes and (source is None or any(row.source is None for row in namesakes)):
        raise Refused(errors.REQ_CONFLICT, f"there is a school {name} already: {_listed(namesakes)}")


def _listed(schools: Sequence[Any]) -> str:
    """References of schools, with what tells them apart."""
    return ", ".join(f"{row.ref} (org {row.org_id})" if row.org_id else row.ref for row in schools)


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
            _require_free(schools, _name(name, "school"), found)
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
    """Make a person with a role at a school, or at the district. Return (reference, personal token)."""
    name = _name(name, "person")
    now, ref = parts.clock.now(), parts.ids.new("st")
    secret, hashed = _token(parts)
    roles = SCHOOL_ROLES if school else DISTRICT_ROLES
    if role not in roles:
        where = "a school" if school else "the district"
        raise Refused(errors.REQ_INVALID, f"roles at {where} are {', '.join(sorted(roles))}")
    with parts.database.open_district(by.district) as session:
        number = _school(session, school).school if school else None
        if number is None:
            by.acts_for_district()
        else:
            by.acts_for(number)
        directory.add_staff(session, ref, name, hashed, now, by.ref, timedelta(days=TOKEN_DAYS))
        directory.give_role(session, ref, role, number, now, by.ref)
    return ref, secret


def _school(session: Session, text: str) -> Any:
    found = directory.find_schools(session, text)
    if not found:
        raise Refused(errors.REQ_UNKNOWN, f"there is no school {text} in this district")
    if len(found) > 1:
        raise Refused(errors.REQ_AMBIGUOUS, f"{len(found)} schools are called {text}: {_listed(found)}")
    return found[0]


def places(parts: Office, by: Person, names: Sequence[str]) -> list[Place]:
    """Return the named schools of the person's district, all of them when none is named, in the order in which their
    logs are locked."""
    with parts.database.open_district(by.district) as session:
        found = [_school(session, name) for name in names] if names else directory.schools(session)
    if not found:
        raise Refused(errors.REQ_INVALID, "the district has no school yet: `schoolgate school add` makes one")
    return sorted(Place(row.district, row.school) for row in found)


# --- lines in and out ------------------------------------------------------------------------------


def add_source(
    parts: Office, by: Person, name: str, url: str | None, token_url: str | None, client_id: str | None, secret: str
) -> str:
    """Make a roster source: files handed in, or a bulk delivery fetched with OAuth client credentials."""
    by.acts_for_district()
    name = _name(name, "source")
    ref, now = parts.ids.new("src"), parts.clock.now()
    for address in (url, token_url):
        _require_address(parts, address)
    sealed = parts.vault.seal(secret.encode(), f"source:{ref}") if secret else None
    with parts.database.open_district(by.district) as session:
        if sources.find(session, name):
            raise Refused(errors.REQ_CONFLICT, "there is a source of that name")
        sources.add(
            session, ref, name, "https" if url else "file", now, by.ref, url=url, token_url=token_url,
            client_id=client_id, secret=sealed,
        )  # fmt: skip
    return ref


def _require_address(parts: Office, url: str | None) -> None:
    """An address that is registered is https, or loopback in a sandbox; the line itself judges it again."""
    if url is None:
        return
    try:
        address = urlsplit(url)
        _ = address.port
    except ValueError as error:
        raise Refused(errors.REQ_INVALID, "this is not an address: its host or port cannot be read") from error
    loopback = parts.settings.sandbox and address.hostname in LOOPBACK
    if not address.hostname or not (address.scheme == "https" or (loopback and address.scheme == "http")):
        raise Refused(errors.SRC_ADDRESS_REFUSED, f"{address.scheme}://{address.hostname} is not https")


@dataclass(frozen=True, slots=True)
class Lms:
    """What an LMS administrator is shown, typed in."""

    issuer: str
    client_id: str
    deployment_id: str
    auth_url: str
    token_url: str
    jwks_url: str
    product: str = "generic"
    token_audience: str | None = None
    hosts: tuple[str, ...] = ()
    agreement: str | None = None


def add_lms(parts: Office, by: Person, vendor: str, lms: Lms, schools: Sequence[str]) -> str:
    """Register an LMS and a deployment of it for schools. Return the deployment's reference."""
    by.acts_for_district()
    if lms.product not in products.names():
        raise Refused(errors.REQ_INVALID, f"products are {', '.join(sorted(products.names()))}")
    for url in (lms.auth_url, lms.token_url, lms.jwks_url):
        _require_address(parts, url)
    where = places(parts, by, schools)
    now, ref, deployment = parts.clock.now(), parts.ids.new("re"), parts.ids.new("dep")
    hosts = sorted({urlsplit(u).netloc for u in (lms.token_url, lms.jwks_url)} | set(lms.hosts))
    with parts.database.open_district(by.district) as session:
        maker = _vendor(session, vendor)
        if lms.agreement:
            _covered(parts, by, maker.vendor, lms.agreement, where)
        known = registrations.by_issuer(session, lms.issuer, lms.client_id)
        if not known:
            from gateway.identity import keys

            kid = keys.make_tool_key(session, parts.vault, parts.ids.new("key"), now)
            directory.add_registration(
                session, ref, now, by.ref, issuer=lms.issuer, client_id=lms.client_id, vendor=maker.vendor,
                product=lms.product, auth_url=lms.auth_url, token_url=lms.token_url,
                token_audience=lms.token_audience or lms.token_url, jwks_url=lms.jwks_url, hosts=hosts, kid=kid,
            )  # fmt: skip
        elif known[0].home_district != by.district:
            raise Refused(errors.REQ_CONFLICT, "this registration belongs to somebody else; ask the operator")
        registration = known[0].registration if known else ref
        made = directory.add_deployment(
            session, deployment, registration, lms.deployment_id, lms.agreement, [p.school for p in where], now, by.ref
        )
        if not made:
            raise Refused(errors.REQ_CONFLICT, "this deployment is registered already")
    return deployment


def agree_lms(parts: Office, by: Person, deployment: str, agreement: str) -> None:
    """Name the agreement under which grades go to a deployment from now on. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = _deployment(session, deployment)
        _covered(parts, by, found.vendor, agreement, [Place(by.district, school) for school in found.schools])
        directory.agree(session, found.deployment, agreement)


def link_class(parts: Office, by: Person, deployment: str, context_id: str, school: str, class_id: str) -> None:
    """Link an LMS course to a class of a school the deployment is granted."""
    from gateway.store import roster

    (place,) = places(parts, by, [school])
    by.acts_for(place.school)
    with parts.database.open_district(by.district) as session:
        found = _deployment(session, deployment)
    if place.school not in found.schools:
        raise Refused(errors.ACT_WRONG_SCHOOL, "the deployment is not granted this school")
    with parts.database.open_school(place) as session:
        if roster.class_(session, class_id) is None:
            raise Refused(errors.OWN_NOT_ASSOCIATED, "there is no such class at this school")
        registrations.link_context(session, found.deployment, context_id, class_id, parts.clock.now(), by.ref)


def _deployment(session: Session, text: str) -> Any:
    found = directory.find_deployments(session, text)
    if not found:
        raise Refused(errors.REQ_UNKNOWN, f"there is no LMS deployment {text} in this district")
    if len(found) > 1:
        refs = ", ".join(row.deployment for row in found)
        raise Refused(errors.REQ_AMBIGUOUS, f"{len(found)} deployments have the id {text}: {refs}")
    return found[0]


# --- vendors ---------------------------------------------------------------------------------------


def add_vendor(parts: Office, by: Person, name: str, category: str, contact: str, launch_url: str | None) -> str:
    """Make a vendor; the application is the one that launches go to."""
    by.acts_for_district()
    name = _name(name, "vendor")
    if category not in CATEGORIES:
        raise Refused(errors.REQ_INVALID, f"categories are {', '.join(sorted(CATEGORIES))}")
    _require_contact(contact)
    _require_address(parts, launch_url)
    ref = parts.ids.new("ve")
    with parts.database.open_district(by.district) as session:
        if directory.find_vendor(session, name):
            raise Refused(errors.REQ_CONFLICT, "there is a vendor of that name")
        directory.add_vendor(session, ref, name, category, contact, launch_url, parts.clock.now(), by.ref)
    return ref


_MAIL = re.compile(r"[^@\s<>\":/]+@[^@\s<>\".]+(\.[^@\s<>\".]+)+")


def _require_contact(contact: str) -> None:
    """What families are told to write to: an e-mail address, or a page."""
    page = re.fullmatch(r"https://[^\s<>\"/@]+\.[^\s<>\"@]+", contact)
    if not (page or _MAIL.fullmatch(contact.removeprefix("mailto:"))) or len(contact) > _MOST_NAME:
        raise Refused(errors.REQ_INVALID, "the contact is an e-mail address or an https address")


def _vendor(session: Session, text: str) -> Any:
    found = directory.find_vendor(session, text)
    if found is None:
        raise Refused(errors.REQ_UNKNOWN, f"there is no vendor {text} in this district")
    return found


def connect_vendor(
    parts: Office, by: Person, vendor: str, agreement: str, schools: Sequence[str], scopes: Sequence[str],
    public_key: dict[str, Any] | None,
) -> tuple[str, str | None]:  # fmt: skip
    """Make credentials for a vendor under an agreement. Return (client id, secret or None with a public key).

    The schools are those named, or all the agreement covers.
    """
    by.acts_for_district()
    unknown = set(scopes) - {scope for rule in RULES.values() for scope in rule.scopes} - _OWN_SCOPES
    if unknown:
        raise Refused(errors.SCP_UNKNOWN, f"unknown: {', '.join(sorted(unknown))}")
    if public_key is not None:
        _require_public(public_key)
    now, grant, client_id = parts.clock.now(), parts.ids.new("gr"), parts.ids.new("cl")
    secret, hashed = _token(parts)
    where = places(parts, by, schools)
    with parts.database.open_district(by.district) as session:
        maker = _vendor(session, vendor)
        covered = _covered(parts, by, maker.vendor, agreement, where)
        directory.add_grant(session, grant, maker.vendor, agreement, sorted(scopes), covered, now, by.ref)
        directory.add_client(session, client_id, grant, None if public_key else hashed.hex(), public_key, now)
    with parts.database.open_schools(by.district, covered) as session:
        aliases.ensure(session, grant)
    return client_id, None if public_key else secret


_OWN_SCOPES = frozenset({"transfers.read", "transcripts.write"})


def _require_public(key: Any) -> None:
    """A usable public RSA or EC key, without its private half."""
    if not isinstance(key, dict) or not clients.is_usable_key(key):
        raise Refused(errors.REQ_INVALID, "this is not a public RSA (2048 bits or more) or EC key in JWK form")


def _covered(parts: Office, by: Person, vendor: str, agreement: str, among: list[Place]) -> list[int]:
    """Return at which of these schools this vendor's agreement is on file."""
    with parts.database.open_schools(by.district, [p.school for p in among]) as session:
        found = {
            row.school for row in fact_store.agreements(session) if (row.agreement, row.vendor) == (agreement, vendor)
        }
    if not found:
        raise Refused(errors.AGR_NONE, "no such agreement of this vendor covers these schools")
    return sorted(found)


# --- agreements and directions ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Terms:
    """What an agreement says."""

    schedule: tuple[str, ...]
    purposes: tuple[str, ...]
    operations: tuple[str, ...]
    effective_at: datetime
    expires_at: datetime
    retention_days: int | None
    school_agent: bool = False
    document: Path | None = None


def add_agreement(parts: Office, by: Person, vendor: str, terms: Terms, schools: Sequence[str]) -> str:
    """Record an agreement for schools, the same version at each. Return its reference. Raises Refused."""
    by.acts_for_district()
    ref, now = parts.ids.new("ag"), parts.clock.now()
    _require_terms(terms)
    where = places(parts, by, schools)
    with parts.database.open_district(by.district) as session:
        maker = _vendor(session, vendor)
    body = {
        "category": maker.category, "schedule": _elements(terms.schedule), "purposes": sorted(terms.purposes),
        "operations": sorted(terms.operations), "school_agent": terms.school_agent,
        "retention_days": terms.retention_days, "document": _document(terms.document),
    }  # fmt: skip
    with parts.database.open_schools(by.district, [p.school for p in where]) as session:
        for place in where:
            here = session.at(place.school)
            version = fact_store.record_agreement(
                here, ref, maker.vendor, "active", terms.effective_at, terms.expires_at, body, now, by.ref
            )
            _note(parts, here, "agreement", ref, version, "recorded", by)
    return ref


_MOST_RETENTION = 36_500


def _require_terms(terms: Terms) -> None:
    """Refuse an agreement that could not be enforced."""
    if set(terms.purposes) & {str(p) for p in COMMERCIAL}:
        raise Refused(errors.PUR_COMMERCIAL)
    if str(Purpose.PROFILING) in terms.purposes:
        raise Refused(errors.PUR_PROFILE)
    for said, known, what in (
        (terms.purposes, {str(p) for p in Purpose}, "purpose"),
        (terms.operations, {str(o) for o in Operation}, "operation"),
    ):
        unknown = set(said) - known
        if unknown or not said:
            raise Refused(errors.REQ_INVALID, f"{what}s are {', '.join(sorted(known))}")
    _require_exportable(_elements(terms.schedule))
    if terms.retention_days is None:
        raise Refused(errors.AGR_COMMITMENTS_INCOMPLETE, "an agreement without a retention term cannot be activated")
    if not 0 < terms.retention_days <= _MOST_RETENTION:
        raise Refused(errors.REQ_INVALID, f"the retention term is from 1 to {_MOST_RETENTION} days")
    if terms.expires_at <= terms.effective_at:
        raise Refused(errors.REQ_INVALID, "the agreement ends before it begins (today, unless its first day is named)")


def _require_exportable(elements: Sequence[str]) -> None:
    for name in elements:
        if REGISTER[name].technical:
            raise Refused(errors.ELM_TECHNICAL, f"{name} never leaves")
        if REGISTER[name].never_export:
            raise Refused(errors.ELM_NEVER_EXPORT, f"{name} never leaves")


def _elements(names: Sequence[str]) -> list[str]:
    """Return the elements that these names stand for, sorted. Raises Refused."""
    try:
        return sorted(expand(names))
    except KeyError as error:
        raise Refused(errors.REQ_INVALID, f"there is no data element {error.args[0]}") from error


def _document(path: Path | None) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""


def _note(parts: Office, session: Session, kind: str, ref: str, version: int, outcome: str, by: Person) -> None:
    versioned = f"{ref}@{version}"
    about = {"directions": [versioned]} if kind == "direction" else {kind: versioned}
    disclosure.event(parts, session, kind, ref, outcome, actor={"kind": "staff", "ref": by.ref}, **about)


def end_agreement(parts: Office, by: Person, ref: str) -> int:
    """End an agreement now, at every school it covers. Return how many. Earlier versions stay as they were."""
    by.acts_for_district()
    where, now = places(parts, by, ()), parts.clock.now()
    with parts.database.open_schools(by.district, [p.school for p in where]) as session:
        rows = [row for row in fact_store.agreements(session) if row.agreement == ref and row.status != "ended"]
        for row in rows:
            here = session.at(row.school)
            version = fact_store.record_agreement(
                here, ref, row.vendor, "ended", row.effective_at, min(row.expires_at, now), row.body, now, by.ref
            )
            _note(parts, here, "agreement", ref, version, "ended", by)
    if not rows:
        raise Refused(errors.REQ_UNKNOWN, f"there is no agreement {ref} here that has not ended")
    return len(rows)


_RECORD = re.compile(r"[\w.-]{1,100}@[1-9]\d{0,8}", re.ASCII)


def add_direction(
    parts: Office, by: Person, agreement: str, operation: str, schools: Sequence[str], expires_at: datetime,
    elements: Sequence[str], record: str | None,
) -> str:  # fmt: skip
    """Record that somebody entitled asks for a kind of transfer, or for one document. Return its reference."""
    if operation not in {str(o) for o in Operation}:
        raise Refused(errors.REQ_INVALID, f"operations are {', '.join(sorted(str(o) for o in Operation))}")
    narrowed = _elements(elements)
    if record is not None and not _RECORD.fullmatch(record):
        raise Refused(errors.REQ_INVALID, "a record is named as reference@version, as in ts_…@1")
    where, now, ref = places(parts, by, schools), parts.clock.now(), parts.ids.new("dr")
    if expires_at <= now:
        raise Refused(errors.REQ_INVALID, "the direction has expired before it begins")
    with parts.database.open_schools(by.district, [p.school for p in where]) as session:
        covered = [row for row in fact_store.agreements(session) if row.agreement == agreement]
        if not covered:
            raise Refused(errors.REQ_UNKNOWN, f"there is no agreement {agreement} at these schools")
        for row in covered:
            _require_within(row, operation, narrowed)
        for row in covered:
            role = by.acts_for(row.school)
            here = session.at(row.school)
            body = {"role": role, "elements": narrowed, "record": record}
            version = fact_store.record_direction(
                here, ref, agreement, operation, "active", now, expires_at, body, now, by.ref
            )
            _note(parts, here, "direction", ref, version, "recorded", by)
    return ref


def _require_within(agreement: Any, operation: str, elements: Sequence[str]) -> None:
    """Refuse a direction for what its agreement does not cover: nothing would ever flow under it."""
    body = agreement.body
    if agreement.status == "ended":
        raise Refused(errors.AGR_REVOKED, f"{agreement.agreement} was ended")
    if operation not in body["operations"]:
        raise Refused(errors.AGR_OPERATION, f"{agreement.agreement} covers {', '.join(body['operations'])}")
    beyond = set(elements) - set(body["schedule"])
    if beyond:
        said = f"{', '.join(sorted(beyond))}: {agreement.agreement} covers {', '.join(body['schedule'])}"
        raise Refused(errors.ELM_NOT_IN_SCHEDULE, said)


def revoke_direction(parts: Office, by: Person, ref: str) -> int:
    """Revoke a direction at every school it stands for. Return how many."""
    where, now = places(parts, by, ()), parts.clock.now()
    with parts.database.open_schools(by.district, [p.school for p in where]) as session:
        rows = [row for row in fact_store.directions(session) if row.direction == ref and row.status == "active"]
        for row in rows:
            by.acts_for(row.school)
            here = session.at(row.school)
            version = fact_store.record_direction(
                here,
                ref,
                row.agreement,
                row.operation,
                "revoked",
                row.valid_from,
                row.expires_at,
                row.body,
                now,
                by.ref,
            )
            _note(parts, here, "direction", ref, version, "ended", by)
    if not rows:
        raise Refused(errors.REQ_UNKNOWN, f"there is no direction {ref} here that stands")
    return len(rows)
