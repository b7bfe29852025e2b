"""A client that several districts share at one LMS: its addresses are the same for all, so none of them changes them.

Whoever runs the installation does, under their own name: an operator, as the setting `operators` says. All of its
registrations change in one transaction or none does, and every school that a deployment of one is granted finds it in
its ledger. What is verified or asked for afterwards is so at the new addresses: keys from another than the registered
one verify nothing, and a token is kept under the address that gave it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows.onboarding.lines import ADDRESSES
from gateway.flows.onboarding.typed import require_address
from gateway.flows.parts import Office
from gateway.flows.registration_desk import forget_keys, moved, note
from gateway.identity.staff import Person
from gateway.store import directory, registrations
from gateway.store.tenant import Session


@dataclass(frozen=True, slots=True)
class Touched:
    """One district's registration of the client: its hosts before and after, and how much hangs on it."""

    district: str
    registration: str
    status: str
    hosts: tuple[Sequence[str], Sequence[str]]
    schools: Sequence[int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What would change: the addresses by name, before and after, and of whom."""

    issuer: str
    client_id: str
    addresses: Mapping[str, tuple[str, str]]
    touched: Sequence[Touched]


def plan(parts: Office, by: Person, issuer: str, client_id: str, said: Mapping[str, str | None]) -> Plan:
    """Return what a change of a shared client's addresses would change, and change nothing. Raises Refused."""
    wanted = _wanted(parts, by, said)
    with parts.database.open_district(by.district) as session:
        return _plan(session, issuer, client_id, wanted)[0]


def move(parts: Office, by: Person, issuer: str, client_id: str, said: Mapping[str, str | None]) -> Plan:
    """Change a shared client's addresses for all districts at once, and note it in the ledgers of their schools. Raises
    Refused."""
    wanted = _wanted(parts, by, said)
    with parts.database.open_district(by.district) as session:
        registrations.one_at_a_time(session, issuer, client_id)
        found, rows = _plan(session, issuer, client_id, wanted)
        for row, new in rows:
            session.administer(row.home_district)
            registrations.change(session, row.registration, **new)
        for (row, _), touched in zip(rows, found.touched, strict=True):
            session.administer(row.home_district)
            note(parts, session, by, row.registration, row.vendor, touched.schools, "recorded")
    for row, new in rows:
        forget_keys(parts, row.registration, {"jwks_url": row.jwks_url}, new)
    return found


def _wanted(parts: Office, by: Person, said: Mapping[str, str | None]) -> dict[str, str]:
    if by.ref not in parts.settings.operators.split():
        raise Refused(
            errors.ACT_NOT_STAFF, f"districts share this: who runs the installation changes it, whom the setting "
            f"`operators` names; {by.ref} is not among them"
        )  # fmt: skip
    wanted = {name: value for name, value in said.items() if value is not None}
    for name in wanted.keys() - {"token_audience"}:
        require_address(parts, wanted[name])
    return wanted


def _plan(
    session: Session, issuer: str, client_id: str, wanted: Mapping[str, str]
) -> tuple[Plan, list[tuple[Any, dict[str, Any]]]]:
    """The plan, and each registration with its columns afterwards: in the order in which logs are locked."""
    listed = registrations.by_issuer(session, issuer, client_id)
    rows = sorted((row for row in listed if row.status != "pending"), key=lambda row: row.home_district)
    if not rows:
        raise Refused(errors.REQ_UNKNOWN, "no district has registered this client of this issuer")
    if len(rows) == 1:
        raise Refused(errors.REQ_CONFLICT, "one district alone has this client and changes it: schoolgate lms update")
    after = [(row, moved({name: getattr(row, name) for name in (*ADDRESSES, "hosts")}, wanted, ())) for row in rows]
    addresses = {name: _both(name, after) for name in ADDRESSES}
    changed = {name: pair for name, pair in addresses.items() if pair[0] != pair[1]}
    if not changed:
        raise Refused(errors.REQ_INVALID, "nothing of the registrations would change")
    return Plan(issuer, client_id, changed, [_touched(session, row, new) for row, new in after]), after


def _both(name: str, after: Sequence[tuple[Any, Mapping[str, Any]]]) -> tuple[str, str]:
    """An address of all of them, before and after. Raises Refused where they would differ after."""
    olds, news = {getattr(row, name) for row, _ in after}, {new[name] for _, new in after}
    if len(news) > 1:
        raise Refused(errors.REQ_CONTRADICTORY, f"the districts' registrations would differ in {name}: say it")
    return ", ".join(sorted(olds)), news.pop()


def _touched(session: Session, row: Any, new: Mapping[str, Any]) -> Touched:
    session.administer(row.home_district)
    home, schools = directory.district(session), registrations.schools_of(session, row.registration)
    name = f"{home.name} ({home.ref})" if home else ""
    return Touched(name, row.registration, row.status, (row.hosts, new["hosts"]), schools)
