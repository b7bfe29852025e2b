"""Which rows about people may leave: a small tree, judged row by row here and compiled to SQL by `store.rowplan`.

Each part says of one person why their row may not leave, or None. A plan is all of its parts, in the order of the
checks: whose row it is, childhood, consent, lifecycle, the policy's version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from gateway import errors
from gateway.errors import Reason
from gateway.policy import versions
from gateway.policy.facts import Agreement, Consent, Facts, OptOut, Person
from gateway.policy.request import Request
from gateway.policy.source_policies import PROFILES

MAJORITY = 17  # the last age at which others answer for a pupil (34 CFR 99.5)
OWN_WORD, FOR_A_CHILD = frozenset({"eligible_student"}), frozenset({"parent", "school_as_agent"})
GRANTORS = OWN_WORD | FOR_A_CHILD
NO = frozenset({"refused", "withdrawn"})


@dataclass(frozen=True, slots=True)
class Owned:
    """The row belongs to the acting school."""

    def fault(self, person: Person) -> Reason | None:
        return None if person.associated else errors.OWN_NOT_ASSOCIATED


@dataclass(frozen=True, slots=True)
class Consented:
    """Somebody entitled agreed to disclosure to this agreement, or to all, and it stands at `at`: on file with its
    evidence, and from the day of majority (`adult_by`) on the pupil's own. Who is no pupil passes."""

    agreement: str
    at: datetime
    adult_by: date

    def fault(self, person: Person) -> Reason | None:
        """What comes nearest to a consent is said."""
        given = [c for c in person.consents if c.scope == "disclose" and c.agreement in (None, self.agreement)]
        standing = [c for c in given if c.status == "given" and _stands(c, self.at)]
        if standing or not person.is_pupil:
            return self._of_standing(standing, person) if person.is_pupil else None
        if any(c.status == "pending" and _stands(c, self.at) for c in given):
            return errors.CON_PENDING
        if any(c.status == "given" and c.valid_from <= self.at for c in given):
            return errors.CON_EXPIRED
        separate = any(c.scope == "use" and c.status == "given" and _stands(c, self.at) for c in person.consents)
        return errors.CON_THIRD_PARTY_NOT_SEPARATE if separate else errors.CON_REQUIRED

    def _of_standing(self, standing: list[Consent], person: Person) -> Reason | None:
        adult = _born_by(person, self.adult_by)
        entitled = [c for c in standing if c.grantor in (OWN_WORD if adult else FOR_A_CHILD)]
        if any(c.evidenced for c in entitled):
            return None
        if entitled:
            return errors.CON_EVIDENCE_MISSING
        return errors.AGE_RIGHTS_TRANSFERRED if adult else errors.CON_GRANTOR_NOT_ENTITLED


@dataclass(frozen=True, slots=True)
class OfAge:
    """A pupil's birth date is known and on or before `born_by`, or the family permits it where `consent` says how; who
    is no pupil passes."""

    born_by: date
    consent: Consented | None = None

    def fault(self, person: Person) -> Reason | None:
        if not person.is_pupil or _born_by(person, self.born_by):
            return None
        return self.consent.fault(person) if self.consent else errors.AGE_CHILD_NO_SCHOOL_AGREEMENT


@dataclass(frozen=True, slots=True)
class NotRefused:
    """No refusal or withdrawal of disclosure to this agreement, or to all, stands at `at`."""

    agreement: str
    at: datetime

    def fault(self, person: Person) -> Reason | None:
        said = {
            c.status for c in person.consents
            if c.scope == "disclose" and c.agreement in (None, self.agreement) and _stands(c, self.at)
        }  # fmt: skip
        if "refused" in said:
            return errors.CON_REFUSED
        return errors.CON_WITHDRAWN if "withdrawn" in said else None


@dataclass(frozen=True, slots=True)
class NotOptedOut:
    """Nobody opted out of recipients of this category, or of all, at `at`."""

    category: str
    at: datetime

    def fault(self, person: Person) -> Reason | None:
        mine = (o for o in person.opt_outs if o.status == "active" and o.category in (None, self.category))
        return errors.CON_OPT_OUT if any(_stands(o, self.at) for o in mine) else None


@dataclass(frozen=True, slots=True)
class NotRestricted:
    """The family has not refused further use at `at`."""

    at: datetime

    def fault(self, person: Person) -> Reason | None:
        barred = any(c.scope == "use" and c.status in NO and _stands(c, self.at) for c in person.consents)
        return errors.RET_RESTRICTED if barred else None


@dataclass(frozen=True, slots=True)
class Grown:
    """A change of the policy waits for the school of its children: a pupil's birth date is on or before `born_by`."""

    born_by: date

    def fault(self, person: Person) -> Reason | None:
        grown = not person.is_pupil or _born_by(person, self.born_by)
        return None if grown else errors.POL_RECONSENT_REQUIRED


@dataclass(frozen=True, slots=True)
class CollectedSince:
    """The school first delivered the person at `at` or later."""

    at: datetime

    def fault(self, person: Person) -> Reason | None:
        fresh = person.collected_at is not None and person.collected_at >= self.at
        return None if fresh else errors.POL_LESS_RESTRICTIVE_OLD_DATA


Part = Owned | OfAge | Consented | NotRefused | NotOptedOut | NotRestricted | Grown | CollectedSince


@dataclass(frozen=True, slots=True)
class RowPlan:
    """All parts must hold. A plan without parts permits nothing."""

    parts: tuple[Part, ...]


NOTHING = RowPlan(())


def build(request: Request, agreement: Agreement, facts: Facts, now: datetime) -> RowPlan:
    """Return the plan for rows about people under this agreement."""
    policy = PROFILES[facts.source_policy]
    child, agreed = born_by(policy.child_age, now), Consented(agreement.ref, now, born_by(MAJORITY, now))
    old = versions.old_until(request, facts, now)
    return RowPlan(
        (
            Owned(),
            *(() if agreement.school_agent else (OfAge(child, agreed if policy.consent_is_enough else None),)),
            *((agreed,) if agreement.consent_needed else ()),
            NotRefused(agreement.ref, now),
            NotOptedOut(agreement.category, now),
            NotRestricted(now),
            *((Grown(child),) if versions.children_wait(facts, now) else ()),
            *((CollectedSince(old),) if old else ()),
        )
    )


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
    """Return why this row may not leave, or None: the first of its faults."""
    return next(faults(plan, person), None)


def faults(plan: RowPlan, person: Person) -> Iterator[Reason]:
    """Yield every reason why this row may not leave, in the order of the checks. Of somebody else's row, or an erased
    person's, no more is said."""
    if not plan.parts or not person.associated:
        yield errors.OWN_NOT_ASSOCIATED
    elif person.erased:
        yield errors.RET_ERASED
    else:
        yield from filter(None, (part.fault(person) for part in plan.parts))


def _born_by(person: Person, day: date) -> bool:
    return person.birth_date is not None and person.birth_date <= day


def _stands(one: Consent | OptOut, at: datetime) -> bool:
    return one.valid_from <= at and (one.valid_until is None or one.valid_until > at)
