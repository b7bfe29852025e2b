"""Agreements with vendors, and directions under them: each change a new version, each in the ledger."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway import errors
from gateway.errors import Refused
from gateway.flows import disclosure
from gateway.flows.onboarding.places import places
from gateway.flows.onboarding.vendors import vendor_named
from gateway.flows.parts import Office
from gateway.identity.staff import Person
from gateway.policy.request import COMMERCIAL, Operation, Purpose
from gateway.store import facts as fact_store
from gateway.store.tenant import Session
from mappings.elements import REGISTER, expand


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
        maker = vendor_named(session, vendor)
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
