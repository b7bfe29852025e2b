"""Policy version: a change of the privacy policy counts when the school was told, and where it had to agree, agreed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway import errors
from gateway.errors import Reason
from gateway.policy.facts import Facts, PolicyVersion
from gateway.policy.request import Request
from gateway.policy.source_policies import PROFILES, STRICTEST

EDITORIAL, MATERIAL, LESS_RESTRICTIVE = "editorial", "material", "less_restrictive"
CHANGES = (EDITORIAL, MATERIAL, LESS_RESTRICTIVE)


def in_force(facts: Facts, now: datetime) -> tuple[PolicyVersion, ...]:
    """Return the versions of the governing policy in effect; of any policy, where the strictest governs."""
    governing = {facts.source_policy} if facts.source_policy != STRICTEST else set(PROFILES)
    return tuple(v for v in facts.policy_versions if v.policy in governing and v.effective_at <= now)


def policy_check(_request: Request, facts: Facts, now: datetime) -> Iterable[Reason]:
    """The school was told of every change its policy tells of, and agreed where the whole school must."""
    profile, versions = PROFILES[facts.source_policy], in_force(facts, now)
    if any(not v.noticed and (profile.tells_of_all or v.change != EDITORIAL) for v in versions):
        yield errors.POL_NOTICE_PENDING
    if profile.school_accepts and any(map(_unanswered, versions)):
        yield errors.POL_RECONSENT_REQUIRED


def _unanswered(version: PolicyVersion) -> bool:
    return version.change != EDITORIAL and not version.accepted


def children_wait(facts: Facts, now: datetime) -> bool:
    """Whether the school has not agreed to a change, so that it does not reach its children."""
    return any(map(_unanswered, in_force(facts, now)))


def old_until(request: Request, facts: Facts, now: datetime) -> datetime | None:
    """Return the moment before which what was delivered stays out of this purpose, which a later version opened and
    the school did not agree to; None when there is none."""
    opening = [v.effective_at for v in in_force(facts, now) if _opens(v, request)]
    return max(opening, default=None)


def _opens(version: PolicyVersion, request: Request) -> bool:
    return version.change == LESS_RESTRICTIVE and not version.accepted and request.purpose in version.opens
