"""Direction: did somebody entitled ask for this transfer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway import errors
from gateway.errors import Reason
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
    if direction.status != "active" or now < direction.valid_from or now >= direction.expires_at:
        return errors.DIR_EXPIRED
    entitled = PROFILES[facts.source_policy].may_direct(direction.role, request.operation)
    return None if entitled else errors.DIR_GRANTOR_NOT_ENTITLED


def directing(request: Request, facts: Facts, now: datetime) -> tuple[tuple[Direction, ...], Reason | None]:
    """Return the directions that stand behind the request, or why there is none.

    They are given under the agreement of the credential. A document goes only by a direction that names it. Each
    one asks for what it names: several stand together, and ending one of them never widens.
    """
    named = facts.credential.agreement if facts.credential else None
    mine = [d for d in facts.directions if d.agreement == named and (request.record is None or d.record is not None)]
    judged = [(d, _fault(d, request, facts, now)) for d in mine]
    good = tuple(d for d, fault in judged if fault is None)
    if good:
        return good, None
    said = [fault for _, fault in judged]
    return (), next(reason for reason in _NEAREST if reason in said or reason is errors.DIR_MISSING)


def direction_check(request: Request, facts: Facts, now: datetime) -> Iterable[Reason]:
    """A direction stands, unless the operation brings data in."""
    if not RULES[request.operation].directed:
        return ()
    _, reason = directing(request, facts, now)
    return (reason,) if reason else ()


def directed_elements(request: Request, facts: Facts, now: datetime) -> frozenset[str]:
    """Return the elements the directions narrow the agreement to; empty when they do not."""
    directions, _ = directing(request, facts, now)
    if not RULES[request.operation].directed or not all(d.elements for d in directions):
        return frozenset()
    return frozenset().union(*(d.elements for d in directions))
