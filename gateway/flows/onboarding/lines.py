"""Lines to LMSs: registrations and deployments, course links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.onboarding.places import places
from gateway.flows.onboarding.profiles import profile
from gateway.flows.onboarding.typed import require_address
from gateway.flows.onboarding.vendors import covered, vendor_named
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.policy.request import ActorKind
from gateway.store import directory, registrations
from gateway.store.tenant import Place, Session

ADDRESSES = ("auth_url", "token_url", "token_audience", "jwks_url")


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

    @property
    def addresses(self) -> dict[str, str]:
        """Where people sign in, and tokens and keys are fetched."""
        said = (self.auth_url, self.token_url, self.token_audience or self.token_url, self.jwks_url)
        return dict(zip(ADDRESSES, said, strict=True))


def add_lms(parts: Office, by: Person, vendor: str, lms: Lms, schools: Sequence[str]) -> str:
    """Register an LMS and a deployment of it for schools. Return the deployment's reference."""
    by.acts_for_district()
    profile(lms.product)
    for url in (lms.auth_url, lms.token_url, lms.jwks_url):
        require_address(parts, url)
    where = places(parts, by, schools)
    now, ref, deployment = parts.clock.now(), parts.ids.new("re"), parts.ids.new("dep")
    hosts = sorted({urlsplit(u).netloc.lower() for u in (lms.token_url, lms.jwks_url)} | set(lms.hosts))
    with parts.database.open_district(by.district) as session:
        maker = vendor_named(session, vendor)
        if lms.agreement:
            covered(parts, by, maker.vendor, lms.agreement, where)
        registrations.one_at_a_time(session, lms.issuer, lms.client_id)
        listed = registrations.by_issuer(session, lms.issuer, lms.client_id)
        known = next((row for row in listed if row.home_district == by.district), None)
        if known is None:
            from gateway.identity import keys

            require_common(session, lms.issuer, lms.client_id, lms.addresses)
            keys.make_tool_key(session, parts.vault, parts.ids.new("key"), ref, now)
            directory.add_registration(
                session, ref, now, by.ref, issuer=lms.issuer, client_id=lms.client_id, vendor=maker.vendor,
                product=lms.product, hosts=hosts, **lms.addresses,
            )  # fmt: skip
        else:
            _widen(session, known, lms, hosts)
        registration = known.registration if known else ref
        made = directory.add_deployment(
            session, deployment, registration, lms.deployment_id, lms.agreement, [p.school for p in where], now, by.ref
        )
        if not made:
            raise Refused(errors.REQ_CONFLICT, "this deployment is registered already")
    with parts.database.open_identity() as session:
        registrations.no_longer_waits(session, deployment)
    return deployment


def require_common(session: Session, issuer: str, client_id: str, addresses: Mapping[str, Any]) -> None:
    """Where districts share a client, its addresses are the same for all: none of them can lead the others' people, or
    the keys that speak for all, elsewhere. Raises Refused."""
    for row in registrations.by_issuer(session, issuer, client_id):
        theirs = row.home_district != session.district and row.status != "pending"
        if theirs and any(getattr(row, name) != addresses[name] for name in ADDRESSES):
            raise Refused(
                errors.REQ_CONFLICT, "this client id stands here with other addresses, not of this district alone; "
                "ask the operator (schoolgate lms move)"
            )  # fmt: skip


def _widen(session: Session, known: Any, lms: Lms, hosts: list[str]) -> None:
    """Another deployment of a registration of the district's own may serve from further hosts (one client id for every
    site of a make); its addresses stay what they are. Raises Refused."""
    other = [name for name, value in lms.addresses.items() if getattr(known, name) != value]
    if other:
        raise Refused(errors.REQ_CONFLICT, f"this client id is registered already, with another {', '.join(other)}")
    if not set(hosts) <= set(known.hosts):
        directory.serve_from(session, known.registration, sorted({*known.hosts, *hosts}))


def agree_lms(parts: Office, by: Person, deployment: str, agreement: str) -> None:
    """Name the agreement under which grades go to a deployment from now on. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
        covered(parts, by, found.vendor, agreement, [Place(by.district, school) for school in found.schools])
        directory.agree(session, found.deployment, agreement)


def switch_lms(parts: Office, by: Person, deployment: str, *, on: bool) -> str:
    """Let nobody in from a deployment, and ask and send nothing there, or do so again; note it in the ledgers of its
    schools. Return the deployment. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
        if not directory.switch(session, found.deployment, "active" if on else "disabled"):
            raise Refused(errors.REQ_CONFLICT, f"{deployment} is switched {'on' if on else 'off'} already")
        _note(parts, session, by, found, found.schools, "accepted" if on else "ended")
    return str(found.deployment)


def grant_lms(parts: Office, by: Person, deployment: str, schools: Sequence[str]) -> list[str]:
    """Grant a deployment further schools; note it in their ledgers. Return those that are new, by their references.
    Raises Refused."""
    by.acts_for_district()
    where = places(parts, by, schools)
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
        new = [place.school for place in where if place.school not in found.schools]
        if not new:
            raise Refused(errors.REQ_CONFLICT, f"{deployment} is granted these schools already")
        refs = [row.ref for row in directory.schools(session) if row.school in new]
        for school in new:
            directory.grant_school(session, found.deployment, school)
        _note(parts, session, by, found, new, "accepted")
    return refs


def _note(parts: Office, session: Session, by: Person, found: Any, schools: Sequence[int], outcome: str) -> None:
    """Write what became of a deployment into the ledgers of schools: last, in the order in which logs are locked."""
    actor = {"kind": str(ActorKind.STAFF), "ref": by.ref}
    for school in sorted(schools):
        session.narrow(Place(found.district, school))
        disclosure.event(parts, session, "grant", found.deployment, outcome, vendor=found.vendor, actor=actor)


def link_class(parts: Office, by: Person, deployment: str, context_id: str, school: str, class_id: str) -> None:
    """Link an LMS course to a class of a school the deployment is granted."""
    from gateway.store import roster

    (place,) = places(parts, by, [school])
    by.acts_for(place.school)
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
    if place.school not in found.schools:
        raise Refused(errors.ACT_WRONG_SCHOOL, "the deployment is not granted this school")
    mine = [school for school in found.schools if by.may_act(school)]
    with parts.database.open_schools(by.district, mine) as session:
        registrations.unlink_elsewhere(session, found.deployment, context_id, place.school)
        session.narrow(place)
        if roster.class_(session, class_id) is None:
            raise Refused(errors.OWN_NOT_ASSOCIATED, "there is no such class at this school")
        if not registrations.link_context(session, found.deployment, context_id, class_id, parts.clock.now(), by.ref):
            raise Refused(errors.REQ_CONFLICT, "the course is linked to a class of another school")
        actor = {"kind": str(ActorKind.STAFF), "ref": by.ref}
        disclosure.event(parts, session, "link", found.deployment, "recorded", actor=actor)
    with parts.database.open_identity() as session:
        registrations.no_longer_waits(session, found.deployment, context_id)


def deployment_named(session: Session, text: str) -> Any:
    """Return a deployment of the district by its reference or its id in the LMS. Raises Refused."""
    found = directory.find_deployments(session, text)
    if not found:
        raise Refused(errors.REQ_UNKNOWN, f"there is no LMS deployment {text} in this district")
    if len(found) > 1:
        refs = ", ".join(row.deployment for row in found)
        raise Refused(errors.REQ_AMBIGUOUS, f"{len(found)} deployments have the id {text}: {refs}")
    return found[0]
