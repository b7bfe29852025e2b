"""One pure function decides whether data may leave: every check is evaluated, the first failure reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from gateway import errors
from gateway.errors import Reason
from gateway.policy import rowplan
from gateway.policy.agreements import (
    agreement_check,
    element_check,
    governing,
    named,
    purpose_check,
    recipient_check,
    withheld_elements,
)
from gateway.policy.directions import directed_elements, directing, direction_check
from gateway.policy.facts import Agreement, Direction, Facts, Person, fingerprint
from gateway.policy.obligations import obligation_check, owed
from gateway.policy.request import RULES, Obligation, Operation, Request
from gateway.policy.scopes import actor_check, credential_check, ledger_check, scope_check
from gateway.policy.versions import policy_check

Check = Callable[[Request, Facts, datetime], Iterable[Reason]]
NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, and everything it rested on: the facts, the row if it was about one, the moment.

    `permitted` is empty and `plan` keeps nobody unless it permits; `rows` is what rows are judged by all the same, so
    that every reason is known. `obligations` are what sending it asks for.
    """

    request: Request
    reasons: tuple[Reason, ...]
    permitted: frozenset[str] = frozenset()
    withheld: tuple[tuple[str, Reason], ...] = ()
    plan: rowplan.RowPlan = rowplan.NOTHING
    agreement: Agreement | None = None
    directions: tuple[Direction, ...] = ()
    facts_hash: str = ""
    of_row: bool = False  # what denies is about the one person: outwardly there is no such record
    obligations: tuple[Obligation, ...] = ()
    facts: Facts = NO_FACTS
    row: Person | None = None
    rows: rowplan.RowPlan = rowplan.NOTHING
    at: datetime | None = None

    @property
    def permits(self) -> bool:
        return not self.reasons

    @property
    def primary(self) -> Reason | None:
        return self.reasons[0] if self.reasons else None

    @property
    def outcome(self) -> str:
        if self.reasons:
            return "deny"
        return "partial" if self.withheld else "permit"


def _elements(request: Request, facts: Facts, now: datetime) -> Iterable[Reason]:
    return element_check(request, facts, now, directed_elements(request, facts, now))


# The order of semantics: the request as a whole. Rows follow by the plan.
CHECKS: tuple[Check, ...] = (
    ledger_check,
    credential_check,
    scope_check,
    actor_check,
    direction_check,
    agreement_check,
    purpose_check,
    _elements,
    recipient_check,
    policy_check,
)


def decide(request: Request, facts: Facts, now: datetime) -> Decision:
    """Decide one request for one school. No clock, no database, no network; an exception denies."""
    try:
        return _decide(request, facts, now)
    except Exception:
        return Decision(request, (errors.INT_POLICY_ERROR,))


def _decide(request: Request, facts: Facts, now: datetime) -> Decision:
    agreement, _ = governing(request, facts, now)
    directions, _ = directing(request, facts, now)
    hashed = fingerprint(request, facts, now)
    withheld = withheld_elements(request, agreement, directed_elements(request, facts, now))
    listed = tuple(sorted(withheld.items(), key=lambda item: item[0]))
    permitted = request.elements - set(withheld)
    reasons = tuple(reason for check in CHECKS for reason in check(request, facts, now))
    reasons += tuple(obligation_check(request, permitted))
    under = named(request, facts)
    rows = rowplan.build(request, under, facts, now) if under else rowplan.NOTHING
    if reasons or agreement is None:
        return Decision(request, reasons or (errors.AGR_NONE,), withheld=listed, agreement=agreement,
                        directions=directions, facts_hash=hashed, facts=facts, rows=rows, at=now)  # fmt: skip
    return Decision(
        request, (), permitted, listed, rows, agreement, directions if RULES[request.operation].directed else (),
        hashed, False, owed(request, permitted), facts, None, rows, now,
    )  # fmt: skip


def decide_person(request: Request, facts: Facts, person: Person, now: datetime) -> Decision:
    """Decide a request about one person: the request as a whole, then that person's row."""
    return of_person(decide(request, facts, now), person)


def of_person(decision: Decision, person: Person) -> Decision:
    """Return what was decided of the request as a whole for one person's row, with every reason of both."""
    try:
        known = replace(decision, facts_hash=fingerprint(decision.facts_hash, person), row=person)
        of_row = (
            tuple(dict.fromkeys(rowplan.faults(decision.rows, person)))
            if decision.rows.parts or decision.permits
            else ()
        )
    except Exception:
        return Decision(decision.request, (errors.INT_POLICY_ERROR,))
    if not of_row:
        return known
    return replace(
        known, reasons=(*decision.reasons, *of_row), permitted=frozenset(), plan=rowplan.NOTHING,
        of_row=decision.permits, obligations=(),
    )  # fmt: skip


def decide_family(request: Request, *, ledger_ready: bool, verified: bool, person: Person) -> Decision:
    """Decide a family's request about its own child: no agreement stands behind it, a verified code does."""
    try:
        return _decide_family(request, ledger_ready, verified, person)
    except Exception:
        return Decision(request, (errors.INT_POLICY_ERROR,))


def _decide_family(request: Request, ledger_ready: bool, verified: bool, person: Person) -> Decision:
    if request.operation is not Operation.FAMILY:
        return Decision(request, (errors.SCP_MISSING,))
    of_request = _failed(
        (errors.LED_UNAVAILABLE, not ledger_ready),
        (errors.ACT_FAMILY_UNVERIFIED, not verified),
    )
    of_row = _failed(
        (errors.OWN_NOT_ASSOCIATED, not person.associated),
        (errors.RET_ERASED, person.erased),
    )
    reasons = of_request + of_row
    hashed = fingerprint(request, person, ledger_ready, verified)
    permitted = frozenset() if reasons else request.elements & RULES[request.operation].ceiling
    return Decision(
        request, reasons, permitted, facts_hash=hashed, of_row=bool(of_row) and not of_request,
        facts=Facts(ledger_ready), row=person,
    )  # fmt: skip


def _failed(*checks: tuple[Reason, bool]) -> tuple[Reason, ...]:
    return tuple(reason for reason, fails in checks if fails)
