"""Which rows: a small tree, decided row by row here and compiled to SQL by `store`. Both give the same rows.

The order of the parts is the order of reasons: ownership, child gate and consent, lifecycle.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from gateway import errors
from gateway.errors import Reason
from gateway.policy.facts import Agreement, Consent, Person
from gateway.policy.source_policies import SourcePolicy


@dataclass(frozen=True, slots=True)
class Owned:
    """The row belongs to the acting school."""


@dataclass(frozen=True, slots=True)
class OfAge:
    """A pupil's birth date is known and on or before `born_by`; others pass."""

    born_by: date


@dataclass(frozen=True, slots=True)
class NotRefused:
    """No refusal or withdrawal of disclosure to this agreement, or to all, stands at `at`."""

    agreement: str
    at: datetime


@dataclass(frozen=True, slots=True)
class NotRestricted:
    """The family has not refused further use at `at`."""

    at: datetime


Part = Owned | OfAge | NotRefused | NotRestricted


@dataclass(frozen=True, slots=True)
class RowPlan:
    """All parts must hold. A plan without parts permits nothing."""

    parts: tuple[Part, ...]


NOTHING = RowPlan(())


def build(agreement: Agreement, policy: SourcePolicy, now: datetime) -> RowPlan:
    """Return the plan for rows about people under this agreement."""
    gate = () if agreement.school_agent else (OfAge(born_by(policy.child_age, now)),)
    return RowPlan((Owned(), *gate, NotRefused(agreement.ref, now), NotRestricted(now)))


def born_by(child_age: int, now: datetime) -> date:
    """Return the last birth date of somebody who is older than `child_age` on that day.

    Born on 29 February, one grows older on 1 March of other years: the later day, so never too early.
    """
    today, years = now.date(), child_age + 1
    try:
        return today.replace(year=today.year - years)
    except ValueError:
        return date(today.year - years, 2, 28)


def judge(plan: RowPlan, person: Person) -> Reason | None:
    """Return why this row may not leave, or None. An erased person's row is nobody's."""
    if not plan.parts or not person.associated:
        return errors.OWN_NOT_ASSOCIATED
    if person.erased:
        return errors.RET_ERASED
    for part in plan.parts:
        reason = _fault(part, person)
        if reason:
            return reason
    return None


def _fault(part: Part, person: Person) -> Reason | None:
    match part:
        case Owned():
            return None if person.associated else errors.OWN_NOT_ASSOCIATED
        case OfAge(by):
            grown = not person.is_pupil or (person.birth_date is not None and person.birth_date <= by)
            return None if grown else errors.AGE_CHILD_NO_SCHOOL_AGREEMENT
        case NotRefused(agreement, at):
            said = [c for c in person.consents if _stands(c, "disclose", at) and c.agreement in (None, agreement)]
            if any(c.status == "refused" for c in said):
                return errors.CON_REFUSED
            return errors.CON_WITHDRAWN if any(c.status == "withdrawn" for c in said) else None
        case NotRestricted(at):
            said = [c for c in person.consents if _stands(c, "use", at)]
            refused = any(c.status in ("refused", "withdrawn") for c in said)
            return errors.RET_RESTRICTED if refused else None


def _stands(consent: Consent, scope: str, at: datetime) -> bool:
    if consent.scope != scope or consent.valid_from > at:
        return False
    return consent.valid_until is None or consent.valid_until > at
