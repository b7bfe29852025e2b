"""Lines in and out: roster sources, LMS registrations and deployments, course links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.onboarding.places import places
from gateway.flows.onboarding.profiles import profile
from gateway.flows.onboarding.typed import readable, require_address
from gateway.flows.onboarding.vendors import covered, vendor_named
from gateway.flows.parts import Office
from gateway.flows.rosters import kinds
from gateway.identity.staff import Person
from gateway.policy.request import ActorKind
from gateway.store import directory, registrations, sources
from gateway.store.tenant import Place, Session


def add_source(
    parts: Office, by: Person, name: str, url: str | None, token_url: str | None, client_id: str | None, secret: str
) -> str:
    """Make a roster source: files handed in, or a bulk delivery fetched with OAuth client credentials."""
    by.acts_for_district()
    name = readable(name, "source")
    ref, now = parts.ids.new("src"), parts.clock.now()
    for address in (url, token_url):
        require_address(parts, address)
    sealed = parts.vault.seal(secret.encode(), f"source:{ref}") if secret else None
    with parts.database.open_district(by.district) as session:
        directory.one_at_a_time(session)
        if sources.find(session, name):
            raise Refused(errors.REQ_CONFLICT, "there is a source of that name")
        kind = "https" if url else kinds.HANDED_IN
        sources.add(
            session, ref, name, kind, now, by.ref, url=url, token_url=token_url, client_id=client_id, secret=sealed
        )
        kinds.begin(session, ref, kind, now, by.ref)
    return ref


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
        known = registrations.by_issuer(session, lms.issuer, lms.client_id)
        if not known:
            from gateway.identity import keys

            keys.make_tool_key(session, parts.vault, parts.ids.new("key"), ref, now)
            directory.add_registration(
                session, ref, now, by.ref, issuer=lms.issuer, client_id=lms.client_id, vendor=maker.vendor,
                product=lms.product, auth_url=lms.auth_url, token_url=lms.token_url,
                token_audience=lms.token_audience or lms.token_url, jwks_url=lms.jwks_url, hosts=hosts,
            )  # fmt: skip
        else:
            _widen(session, by, known[0], lms, hosts)
        registration = known[0].registration if known else ref
        made = directory.add_deployment(
            session, deployment, registration, lms.deployment_id, lms.agreement, [p.school for p in where], now, by.ref
        )
        if not made:
            raise Refused(errors.REQ_CONFLICT, "this deployment is registered already")
    return deployment


def _widen(session: Session, by: Person, known: Any, lms: Lms, hosts: list[str]) -> None:
    """Another deployment of a registration of the district's own may serve from further hosts (one client id for every
    site of a make); its addresses stay what they are. Raises Refused."""
    if known.home_district != by.district:
        raise Refused(errors.REQ_CONFLICT, "this registration belongs to somebody else; ask the operator")
    said = {"auth_url": lms.auth_url, "token_url": lms.token_url, "jwks_url": lms.jwks_url,
            "token_audience": lms.token_audience or lms.token_url}  # fmt: skip
    other = [name for name, value in said.items() if getattr(known, name) != value]
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
