"""What a person of the district does about registrations of LMSs: invite, approve or reject, change, rotate a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connectors.egress import origin_of
from connectors.errors import AddressRefused
from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.onboarding.lines import ADDRESSES, deployment_named, require_common
from gateway.flows.onboarding.places import places
from gateway.flows.onboarding.typed import require_address
from gateway.flows.onboarding.vendors import covered, vendor_named
from gateway.flows.parts import Office
from gateway.identity import keys
from gateway.identity.staff import Person
from gateway.store import credentials, directory, invites, registrations
from gateway.store.secrets import token_hash
from gateway.store.tenant import Place, Session

INVITE_DAYS = 7


@dataclass(frozen=True, slots=True)
class Invitation:
    """An address that works once; nobody can show it again."""

    ref: str
    url: str
    expires_at: datetime


def invite(
    parts: Office, by: Person, vendor: str, schools: Sequence[str], agreement: str | None, hosts: Sequence[str]
) -> Invitation:
    """Make an address at which an LMS of a vendor registers itself for schools, once. Raises Refused."""
    by.acts_for_district()
    where, now = places(parts, by, schools), parts.clock.now()
    made = Invitation(parts.ids.new("inv"), parts.ids.secret(), now + timedelta(days=INVITE_DAYS))
    named = sorted({_authority(host) for host in hosts})
    with parts.database.open_district(by.district) as session:
        maker = vendor_named(session, vendor)
        if agreement:
            covered(parts, by, maker.vendor, agreement, where)
        refs = {row.school: row.ref for row in directory.schools(session)}
        invites.add(
            session, made.ref, key_hash=token_hash(made.url), vendor=maker.vendor, agreement=agreement, hosts=named,
            schools=[refs[place.school] for place in where], key_set=parts.ids.new("re"), created_at=now,
            created_by=by.ref, expires_at=made.expires_at,
        )  # fmt: skip
    return Invitation(made.ref, f"{parts.settings.url}/lti/register?invite={made.url}", made.expires_at)


def _authority(host: str) -> str:
    """A host, or host:port, as addresses are compared with. Raises Refused."""
    try:
        found = origin_of(f"https://{host}/").authority
    except AddressRefused:
        found = ""
    if not found or set(host) & set("/?#@\\ "):
        raise Refused(errors.REQ_INVALID, "a host is a name, or a name and a port: lms.example.org")
    return found


def waiting(parts: Office, by: Person) -> list[Any]:
    """Return the district's invites that are still good, and the registrations that wait for a person."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        return list(invites.waiting(session, parts.clock.now()))


# --- deciding ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Approved:
    """What an approval made or changed; no deployment where an update brought none."""

    registration: str
    deployment: str | None
    update: bool


def approve(parts: Office, by: Person, ref: str, deployment_id: str | None) -> Approved:
    """Let a registration that waits take effect, and note it in the ledgers of its schools. Raises Refused."""
    by.acts_for_district()
    now = parts.clock.now()
    with parts.database.open_district(by.district) as session:
        row = _pending(session, ref)
        where = places(parts, by, row.schools)
        number = _deployment_id(row, deployment_id)
        if row.agreement and number:
            covered(parts, by, row.vendor, row.agreement, where)
        registrations.one_at_a_time(session, row.issuer, row.client_id)
        require_common(session, row.issuer, row.client_id, row.said["columns"])
        if row.said["update"]:
            _apply(session, row)
        else:
            registrations.change(session, row.registration, status="active")
        made = _deploy(parts, session, by, row, number, where)
        invites.decide(session, ref, "approved", now, by.ref)
        noted = registrations.schools_of(session, row.registration)
        note(parts, session, by, row.registration, row.vendor, noted, "accepted")
    if row.said["update"]:
        forget_keys(parts, row.registration, row.said["old"], row.said["columns"])
    if made:
        with parts.database.open_identity() as session:
            registrations.no_longer_waits(session, made)
    return Approved(row.registration, made, row.said["update"])


def reject(parts: Office, by: Person, ref: str) -> bool:
    """Turn down a registration that waits, and note it in the ledgers of its schools. What an update would have changed
    stays as it is. An invite at which nothing was registered is withdrawn: its address opens nothing any more. Return
    whether something had registered. Raises Refused."""
    by.acts_for_district()
    now = parts.clock.now()
    with parts.database.open_district(by.district) as session:
        if invites.withdraw(session, ref, now, by.ref):
            return False
        row = _pending(session, ref)
        where = places(parts, by, row.schools)
        invites.decide(session, ref, "rejected", now, by.ref)
        if not row.said["update"]:
            registrations.forget_pending(session, row.registration)
            credentials.retire_keys(session, row.registration, now)
        note(parts, session, by, row.registration, row.vendor, [place.school for place in where], "refused")
    return True


def _pending(session: Session, ref: str) -> Any:
    row = invites.lock(session, ref)
    if row is None:
        raise Refused(
            errors.REQ_UNKNOWN, f"no registration {ref} waits here: `schoolgate lms pending` lists those that do"
        )
    if row.state == "open":
        raise Refused(errors.REQ_UNKNOWN, f"nothing has registered at {ref} yet")
    if row.state != "pending":
        raise Refused(errors.REQ_CONFLICT, f"{ref} was {row.state} already")
    registrations.lock(session, row.registration)
    return row


def _deployment_id(row: Any, said: str | None) -> str | None:
    """The id of the deployment in the LMS: as it said itself, or as its administrator reads it off there."""
    if said is not None and (not 0 < len(said) <= 255 or not (said.isascii() and said.isprintable())):
        raise Refused(errors.REQ_INVALID, "a deployment id has 1 to 255 printable ASCII characters")
    if said and row.deployment_id and said != row.deployment_id:
        raise Refused(errors.REQ_CONTRADICTORY, f"the LMS gave the deployment id {row.deployment_id}")
    number: str | None = row.deployment_id or said
    if number is None and not row.said["update"]:
        raise Refused(errors.REQ_INVALID, "the LMS gave no deployment id: its administrator sees it there; say it with "
                                          "--deployment-id")  # fmt: skip
    return number


def _apply(session: Session, row: Any) -> None:
    """Make the difference that an update waits with. Raises Refused when it is one to something else by now."""
    known = registrations.by_ref(session, row.registration)
    if known is None or known.status == "pending":
        raise Refused(errors.REQ_CONFLICT, "the registration that this would change is not approved itself")
    if any(getattr(known, name) != value for name, value in row.said["old"].items()):
        raise Refused(errors.REQ_CONFLICT, "the registration has changed since: reject this, and invite the LMS again")
    registrations.change(session, row.registration, **row.said["columns"])


def _deploy(
    parts: Office, session: Session, by: Person, row: Any, number: str | None, where: Sequence[Place]
) -> str | None:  # fmt: skip
    if number is None or (row.said["update"] and registrations.has_deployment(session, row.registration, number)):
        return None
    ref = parts.ids.new("dep")
    schools = [place.school for place in where]
    made = directory.add_deployment(
        session, ref, row.registration, number, row.agreement, schools, parts.clock.now(), by.ref
    )  # fmt: skip
    if not made:
        raise Refused(errors.REQ_CONFLICT, "this deployment is registered already")
    return ref


def note(
    parts: Office, session: Session, by: Person, registration: str, vendor: str, schools: Sequence[int], outcome: str
) -> None:  # fmt: skip
    """Write it into the ledger of each school of the session's district: last in the transaction, in the order in which
    logs are locked."""
    district = session.district
    for school in sorted(schools):
        session.narrow(Place(district, school))
        disclosure.event(parts, session, "grant", registration, outcome, vendor=vendor,
                         actor={"kind": "staff", "ref": by.ref})  # fmt: skip


def forget_keys(parts: Office, registration: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    if old["jwks_url"] != new["jwks_url"]:
        with parts.database.open_identity() as session:
            registrations.forget_key_set(session, registration)


# --- changing by hand --------------------------------------------------------------------------------


def update(
    parts: Office, by: Person, deployment: str, said: Mapping[str, str | None], hosts: Sequence[str]
) -> list[str]:
    """Change the addresses of a deployment's registration, and note it in the ledgers of all schools it is granted.
    Return the columns that changed. Raises Refused."""
    by.acts_for_district()
    wanted = {name: value for name, value in said.items() if value is not None}
    for name in wanted.keys() - {"token_audience"}:
        require_address(parts, wanted[name])
    with parts.database.open_district(by.district) as session:
        known = _of_deployment(session, by, deployment)
        old = {name: getattr(known, name) for name in (*ADDRESSES, "hosts")}
        new = moved(old, wanted, sorted(map(_authority, hosts)))
        changed = [name for name in old if old[name] != new[name]]
        if not changed:
            raise Refused(errors.REQ_INVALID, "nothing of the registration would change")
        registrations.one_at_a_time(session, known.issuer, known.client_id)
        if set(changed) & set(ADDRESSES):
            require_common(session, known.issuer, known.client_id, new)
        registrations.change(session, known.registration, **new)
        schools = registrations.schools_of(session, known.registration)
        note(parts, session, by, known.registration, known.vendor, schools, "recorded")
    forget_keys(parts, known.registration, old, new)
    return changed


def moved(old: Mapping[str, Any], wanted: Mapping[str, str], hosts: Sequence[str]) -> dict[str, Any]:
    """The columns after a change: hosts that only the old addresses stood on go, and so does a default audience."""
    new = {**old, **wanted}
    if "token_audience" not in wanted and old["token_audience"] == old["token_url"]:
        new["token_audience"] = new["token_url"]
    kept = hosts or sorted(set(old["hosts"]) - {origin_of(old[name]).authority for name in ("token_url", "jwks_url")})
    new["hosts"] = sorted({*kept, *(origin_of(new[name]).authority for name in ("token_url", "jwks_url"))})
    return new


def _of_deployment(session: Session, by: Person, deployment: str) -> Any:
    found = deployment_named(session, deployment)
    known = registrations.lock(session, found.registration)
    if known is None or known.home_district != by.district:
        raise Refused(errors.REQ_CONFLICT, "this registration belongs to somebody else; ask the operator")
    return known


# --- keys --------------------------------------------------------------------------------------------


def rotate(parts: Office, by: Person, deployment: str) -> datetime:
    """Publish the next key of a deployment's registration; return from when on it signs. Raises Refused."""
    by.acts_for_district()
    with parts.database.open_district(by.district) as session:
        known = _of_deployment(session, by, deployment)
        return keys.rotate_tool_key(session, parts.vault, parts.ids.new("key"), known.registration, parts.clock.now())


def rotate_old(parts: Office) -> int:
    """Publish the next key of every registration whose newest is old enough; return how many."""
    now = parts.clock.now()
    with parts.database.open_identity() as session:
        due = credentials.with_old_keys(session, now - keys.KEY_AGE)
    made = 0
    for row in due:
        with suppress(Refused), parts.database.open_district(row.home_district) as session:  # another worker was faster
            keys.rotate_tool_key(session, parts.vault, parts.ids.new("key"), row.registration, now)
            made += 1
    return made


def key_address(parts: Office, by: Person, deployment: str) -> str:
    """Return where the LMS of a deployment fetches the keys that are signed with there."""
    with parts.database.open_district(by.district) as session:
        found = deployment_named(session, deployment)
    return f"{parts.settings.url}/lti/keys/{found.registration}.json"
