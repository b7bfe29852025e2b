"""Vendors: who may receive data, and the credentials they fetch it with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows.onboarding.places import personal_token, places
from gateway.flows.onboarding.typed import MOST_NAME, readable, require_address
from gateway.flows.parts import Office
from gateway.identity import clients
from gateway.identity.staff import Person
from gateway.policy.request import CATEGORIES, RULES
from gateway.store import aliases, directory, on_file
from gateway.store.tenant import Place, Session


def add_vendor(parts: Office, by: Person, name: str, category: str, contact: str, launch_url: str | None) -> str:
    """Make a vendor; the application is the one that launches go to."""
    by.acts_for_district()
    name = readable(name, "vendor")
    if category not in CATEGORIES:
        raise Refused(errors.REQ_INVALID, f"categories are {', '.join(sorted(CATEGORIES))}")
    _require_contact(contact)
    require_address(parts, launch_url)
    ref = parts.ids.new("ve")
    with parts.database.open_district(by.district) as session:
        directory.one_at_a_time(session)
        if directory.find_vendor(session, name):
            raise Refused(errors.REQ_CONFLICT, "there is a vendor of that name")
        directory.add_vendor(session, ref, name, category, contact, launch_url, parts.clock.now(), by.ref)
    return ref


_MAIL = re.compile(r"[^@\s<>\":/]+@[^@\s<>\".]+(\.[^@\s<>\".]+)+")


def _require_contact(contact: str) -> None:
    """What families are told to write to: an e-mail address, or a page."""
    page = re.fullmatch(r"https://[^\s<>\"/@]+\.[^\s<>\"@]+", contact)
    if not (page or _MAIL.fullmatch(contact.removeprefix("mailto:"))) or len(contact) > MOST_NAME:
        raise Refused(errors.REQ_INVALID, "the contact is an e-mail address or an https address")


def vendor_named(session: Session, text: str) -> Any:
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
    secret, hashed = personal_token(parts)
    where = places(parts, by, schools)
    with parts.database.open_district(by.district) as session:
        maker = vendor_named(session, vendor)
        schools_covered = covered(parts, by, maker.vendor, agreement, where)
        directory.add_grant(session, grant, maker.vendor, agreement, sorted(scopes), schools_covered, now, by.ref)
        directory.add_client(session, client_id, grant, None if public_key else hashed.hex(), public_key, now)
    with parts.database.open_schools(by.district, schools_covered) as session:
        aliases.ensure(session, grant)
    return client_id, None if public_key else secret


_OWN_SCOPES = frozenset({"transfers.read", "transcripts.write"})


def _require_public(key: Any) -> None:
    """A usable public RSA or EC key, without its private half."""
    if not isinstance(key, dict) or not clients.is_usable_key(key):
        raise Refused(errors.REQ_INVALID, "this is not a public RSA (2048 bits or more) or EC key in JWK form")


def covered(parts: Office, by: Person, vendor: str, agreement: str, among: list[Place]) -> list[int]:
    """Return at which of these schools this vendor's agreement is on file."""
    with parts.database.open_schools(by.district, [p.school for p in among]) as session:
        found = {
            row.school
            for row in on_file.latest(session, "agreement")
            if (row.agreement, row.vendor) == (agreement, vendor)
        }
    if not found:
        raise Refused(errors.AGR_NONE, "no such agreement of this vendor covers these schools")
    return sorted(found)
