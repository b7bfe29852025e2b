"""Roster sources: files handed in, a bulk delivery that is fetched, or a OneRoster service read page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from gateway import errors
from gateway.errors import Refused
from gateway.flows.onboarding.profiles import site_of
from gateway.flows.onboarding.typed import read_zone, readable, require_address
from gateway.flows.parts import Office
from gateway.flows.rosters import kinds, nights
from gateway.identity.staff import Person
from gateway.policy.guards import Limits
from gateway.store import directory, sources
from mappings.oneroster.repairs import RULES, repairs_of
from mappings.products import sis as makes
from mappings.products.lines import put, variables
from mappings.products.sis import Sis
from mappings.products.sis.shape import ASKED, METHODS

_WITH_TOKEN_URL = frozenset({"oauth2", "oauth2-body"})


def add_source(
    parts: Office, by: Person, name: str, url: str | None, token_url: str | None, client_id: str | None, secret: str
) -> str:
    """Make a roster source: files handed in, or a bulk delivery fetched with OAuth client credentials."""
    return _add(
        parts,
        by,
        name,
        kinds.ZIP if url else kinds.HANDED_IN,
        secret,
        url=url,
        token_url=token_url,
        client_id=client_id,
    )


@dataclass(frozen=True, slots=True)
class Service:
    """What a person types of a OneRoster service; the rest its make knows."""

    product: str = makes.DEFAULT
    site: str | None = None
    application_id: str | None = None
    url: str | None = None
    token_url: str | None = None
    client_id: str | None = None
    version: str | None = None
    method: str | None = None
    scopes: Sequence[str] = ()
    peak: Sequence[str] = ()
    zone: str | None = None


def add_service(parts: Office, by: Person, name: str, typed: Service, secret: str) -> str:
    """Make a source that is read page by page. Raises Refused when something is missing that its make does not know."""
    known = make(typed.product)
    if not secret:
        raise Refused(errors.REQ_INVALID, "the secret or token of the source is read from SCHOOLGATE_SOURCE_SECRET")
    method = _one_of("method", typed.method or known.says("methods", METHODS)[0], METHODS)
    version = _one_of("version", typed.version or known.says("version", "1.2"), ("1.1", "1.2"))
    filled = _filled(parts, known, typed, method)
    return _add(
        parts, by, name, kinds.REST, secret, url=filled["url"], token_url=filled.get("token_url"),
        client_id=typed.client_id, product=typed.product, version=version, method=method,
        scopes=list(typed.scopes or known.says("scopes", ())), peak=_windows(typed), zone=_zone(typed),
    )  # fmt: skip


def make(name: str) -> Sis:
    """Return the profile of a make of SIS that is pulled. Raises Refused."""
    if name not in makes.names():
        raise Refused(errors.REQ_INVALID, f"products are {', '.join(sorted(makes.names()))}")
    known = makes.sis(name)
    if not known.pulled:
        raise Refused(errors.REQ_INVALID, f"{known.label} is not pulled: {known.habits['no_pull'].value}")
    return known


def _add(parts: Office, by: Person, name: str, kind: str, secret: str, **more: Any) -> str:
    by.acts_for_district()
    for address in (more["url"], more["token_url"]):
        require_address(parts, address)
    return keep(parts, by, name, kind, secret, **more)


def keep(parts: Office, by: Person, name: str, kind: str, secret: str = "", **more: Any) -> str:
    """Record a source of the person's district, its secret sealed, and give it its night. Raises Refused."""
    name, ref, now = readable(name, "source"), parts.ids.new("src"), parts.clock.now()
    sealed = parts.vault.seal(secret.encode(), f"source:{ref}") if secret else None
    with parts.database.open_district(by.district) as session:
        directory.one_at_a_time(session)
        if sources.find(session, name):
            raise Refused(errors.REQ_CONFLICT, "there is a source of that name")
        sources.add(session, ref, name, kind, now, by.ref, secret=sealed, **more)
        kinds.begin(session, ref, kind, now, by.ref)
    return ref


# --- what is typed, and what the make knows -------------------------------------------------------------


def _filled(parts: Office, known: Sis, typed: Service, method: str) -> Mapping[str, str]:
    """The addresses of a service: as typed, or by the make's template. Raises Refused."""
    site = site_of(parts.settings, typed.site)
    values = {"site": site} if site else {}
    values |= {"application_id": quote(typed.application_id, safe="")} if typed.application_id else {}
    filled: dict[str, str] = {}
    for name, said in (("url", typed.url), ("token_url", typed.token_url)):
        template = said or (known.setup[name].value if name in known.setup else "")
        if template:
            filled[name] = template if said else put(template, values)
        if name == "url" and filled.get("url"):
            values["origin"] = _origin(filled["url"])
    if method not in _WITH_TOKEN_URL:
        filled.pop("token_url", None)
    _complete(known, typed, method, filled)
    return filled


def _complete(known: Sis, typed: Service, method: str, filled: Mapping[str, str]) -> None:
    needed = ["url", *(["token_url"] if method in _WITH_TOKEN_URL else [])]
    missing = {name for name in needed if name not in filled}
    missing |= {one for name in needed if name in filled for one in variables(filled[name]) if one in ASKED}
    if method != "bearer" and not typed.client_id:
        missing.add("client_id")
    if missing:
        raise Refused(
            errors.REQ_INVALID, f"{known.label} needs {', '.join(ASKED[one] for one in ASKED if one in missing)}"
        )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _one_of(what: str, said: str, known: Sequence[str]) -> str:
    if said not in known:
        raise Refused(errors.REQ_INVALID, f"the {what} of a source is one of {', '.join(known)}")
    return said


def _windows(typed: Service) -> list[str]:
    try:
        return nights.read_peaks(typed.peak)
    except ValueError as error:
        raise Refused(errors.REQ_INVALID, f"--peak is two times of day, as in 07:30-16:00: {error}") from error


def _zone(typed: Service) -> str | None:
    if typed.peak and not typed.zone:
        raise Refused(errors.REQ_INVALID, "--peak needs --zone, as in America/Chicago")
    return read_zone(typed.zone) if typed.zone else None


def repair_source(
    parts: Office, by: Person, name: str, *, add: str | None = None, remove: str | None = None
) -> list[str]:
    """Turn a repair of a source on or off, or neither; return those that are on. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        source = sources.find(session, name)
        if source is None:
            raise Refused(errors.REQ_UNKNOWN, f"there is no source {name} in this district")
        changed = (add or remove or "").partition("=")[0]
        kept = [one for one in source.repairs or () if one.partition("=")[0] != changed]
        if remove and changed not in RULES:
            raise Refused(errors.REQ_INVALID, f"{remove} is no repair; there are {', '.join(RULES)}")
        try:
            repairs_of([*kept, add] if add else kept)
        except ValueError as error:
            raise Refused(errors.REQ_INVALID, str(error)) from error
        kept = sorted([*kept, add] if add else kept)
        if add or remove:
            sources.keep_repairs(session, source.source, kept)
    return kept


def guard_source(parts: Office, by: Person, name: str, said: dict[str, float], reason: str) -> Limits:
    """Record how much of a school a source may change by itself, who says so and why. Raises Refused out of bounds."""
    by.acts_for_district()
    try:
        limits = Limits(**said)
    except ValueError as error:
        raise Refused(errors.REQ_INVALID, str(error)) from error
    why = {"by": by.ref, "at": parts.clock.now().isoformat(), "reason": readable(reason, "reason")}
    with parts.database.open_district(by.district) as session:
        found = sources.find(session, name)
        if found is None:
            raise Refused(errors.REQ_UNKNOWN, f"there is no source {name} in this district")
        sources.set_guards(session, found.source, said | why)
    return limits
