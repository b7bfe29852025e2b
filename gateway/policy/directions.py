"""Direction: did somebody entitled ask for this transfer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway import errors
from gateway.errors import Reason
from gateway.policy.agreements import governing
from gateway.policy.facts import Direction, Facts
from gateway.policy.request import RULES, Request
from gateway.policy.source_policies import PROFILES

_NEAREST = (
    errors.DIR_GRANTOR_NOT_ENTITLED,
    errors.DIR_EXPIRED,
    errors.DIR_REVOKED,
    errors.DIR_SCOPE_MISMATCH,
    errors.DIR_MISSING,
)


def _fault(direction: Direction, request: Request, facts: Facts, now: datetime) -> Reason | None:
    if direction.operation != request.operation or direction.record not in (None, request.record):
        return errors.DIR_SCOPE_MISMATCH
    if direction.status == "revoked":
        return errors.DIR_REVOKED
    if now < direction.valid_from or now >= direction.expires_at:
        return errors.DIR_EXPIRED
    entitled = PROFILES[facts.source_policy].may_direct(direction.role, request.operation)
    return None if entitled else errors.DIR_GRANTOR_NOT_ENTITLED


def directing(request: Request, facts: Facts, now: datetime) -> tuple[Direction | None, Reason | None]:
    """Return the direction that stands behind the request, or why there is none.

    It must be given under the agreement that governs. A document goes only by a direction that names it. Of
    several that stand, the narrowest one counts, so that an addition never widens.
    """
    agreement, _ = governing(request, facts, now)
    under = {agreement.ref} if agreement else {a.ref for a in facts.agreements if a.vendor == request.vendor}
    mine = [d for d in facts.directions if d.agreement in under]
    if request.record is not None:
        mine = [d for d in mine if d.record is not None]
    faults = {d: _fault(d, request, facts, now) for d in mine}
    good = [d for d, fault in faults.items() if fault is None]
    if good:
        return min(good, key=lambda d: (not d.elements, len(d.elements), d.id)), None
    said = {fault for fault in faults.values() if fault}
    return None, next(reason for reason in _NEAREST if reason in said or reason is errors.DIR_MISSING)


def direction_check(request: Request, facts: Facts, now: datetime) -> Iterable[Reason]:
    """A direction stands, unless the operation brings data in."""
    if not RULES[request.operation].directed:
        return ()
    _, reason = directing(request, facts, now)
    return (reason,) if reason else ()


def directed_elements(request: Request, facts: Facts, now: datetime) -> frozenset[str]:
    """Return the elements the direction narrows the agreement to; empty when it does not."""
    direction, _ = directing(request, facts, now)
    return direction.elements if direction else frozenset()
