"""Agreement, purpose, elements and recipient: what the school has promised and been promised."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from gateway import errors
from gateway.errors import Reason
from gateway.policy.facts import Agreement, Facts
from gateway.policy.request import COMMERCIAL, RULES, Purpose, Request
from mappings.elements import REGISTER

# What a vendor binds itself to: the twelve of the Student Privacy Pledge, and what makes it a school official (34 CFR
# 99.31(a)(1)(i)(B) and 99.33(a)).
COMMITMENTS = (
    "no_excess_collection",
    "no_sale",
    "no_targeted_ads",
    "no_profile",
    "no_material_change_without_choice",
    "no_over_retention",
    "authorized_collection_only",
    "clear_disclosure",
    "access_and_correction",
    "security_program",
    "vendor_flow_down",
    "successor_bound",
    "institutional_function",
    "direct_control",
    "no_redisclosure",
)
ASSURED_FOR = timedelta(days=365)  # how long a vendor's written assurance counts (16 CFR 312.8)


def governing(request: Request, facts: Facts, now: datetime) -> tuple[Agreement | None, Reason | None]:
    """Return the agreement the credential was made under, if it permits the request, or why it does not.

    No other agreement counts, so that neither making nor ending one widens what another lets out.
    """
    mine = named(request, facts)
    reason = _fault(mine, request, now) if mine else errors.AGR_NONE
    return (None, reason) if reason else (mine, None)


def named(request: Request, facts: Facts) -> Agreement | None:
    """Return the agreement the credential was made under, whether or not it permits anything now."""
    ref = facts.credential.agreement if facts.credential else None
    return next((a for a in facts.agreements if (a.ref, a.vendor) == (ref, request.vendor)), None)


def _fault(agreement: Agreement, request: Request, now: datetime) -> Reason | None:
    if agreement.status == "ended":
        return errors.AGR_REVOKED
    if request.school not in agreement.schools:
        return errors.AGR_SCHOOL_NOT_COVERED
    if agreement.status != "active" or now < agreement.effective_at:
        return errors.AGR_NOT_EFFECTIVE
    if now >= agreement.expires_at:
        return errors.AGR_EXPIRED
    if request.operation not in agreement.operations:
        return errors.AGR_OPERATION
    return _standing(request, agreement, now)


def _standing(request: Request, agreement: Agreement, now: datetime) -> Reason | None:
    """Why the vendor may have nothing now, although the agreement is in force and covers this."""
    if not agreement.commitments.issuperset(COMMITMENTS):
        return errors.AGR_COMMITMENTS_INCOMPLETE
    if agreement.debarred_until is not None and now < agreement.debarred_until:
        return errors.AGR_DEBARRED
    if agreement.assured_at is None or not agreement.assured_at <= now < agreement.assured_at + ASSURED_FOR:
        return errors.AGR_ASSURANCE_STALE
    bound = not agreement.endpoints or request.endpoint is None or request.endpoint in agreement.endpoints
    return None if bound else errors.AGR_ENDPOINT_MISMATCH


def agreement_check(request: Request, facts: Facts, now: datetime) -> Iterable[Reason]:
    """An agreement in force covers this school and operation."""
    _, reason = governing(request, facts, now)
    return (reason,) if reason else ()


def purpose_check(request: Request, facts: Facts, now: datetime) -> Iterable[Reason]:
    """The purpose is named, is not commerce, and is one the agreement permits."""
    if request.purpose is None:
        return (errors.PUR_MISSING,)
    if request.purpose in COMMERCIAL:
        return (errors.PUR_COMMERCIAL,)
    if request.purpose is Purpose.PROFILING:
        return (errors.PUR_PROFILE,)
    agreement, _ = governing(request, facts, now)
    return () if agreement and request.purpose in agreement.purposes else (errors.PUR_NOT_PERMITTED,)


def recipient_check(request: Request, facts: Facts, now: datetime) -> Iterable[Reason]:
    """The recipient is of a category that may receive this."""
    agreement, _ = governing(request, facts, now)
    permitted = RULES[request.operation].categories
    return () if agreement and agreement.category in permitted else (errors.RCP_CATEGORY,)


def withheld_elements(request: Request, agreement: Agreement | None, directed: frozenset[str]) -> dict[str, Reason]:
    """Return each asked element that may not leave, and why. Empty `directed` narrows nothing."""
    reasons = {}
    for name in sorted(request.elements):
        reason = _element_fault(name, request, agreement, directed)
        if reason:
            reasons[name] = reason
    return reasons


def _element_fault(name: str, request: Request, agreement: Agreement | None, directed: frozenset[str]) -> Reason | None:
    known = REGISTER.get(name)
    if known is None:
        return errors.ELM_UNCLASSIFIED
    if known.never_export:
        return errors.ELM_TECHNICAL if known.technical else errors.ELM_NEVER_EXPORT
    free = known.category == "NON" or name == "record.alias"
    schedule = agreement.schedule if agreement else frozenset()
    agreed = free or {name, *known.derived_from} <= schedule
    wanted = free or not directed or {name, *known.derived_from} <= directed
    carried = name in RULES[request.operation].ceiling
    return None if agreed and wanted and carried else errors.ELM_NOT_IN_SCHEDULE


def element_check(request: Request, facts: Facts, now: datetime, directed: frozenset[str]) -> Iterable[Reason]:
    """What the protocol requires is in the schedule, and more than bare ids is left to send."""
    agreement, _ = governing(request, facts, now)
    withheld = withheld_elements(request, agreement, directed)
    if errors.ELM_UNCLASSIFIED in withheld.values():
        return (errors.ELM_UNCLASSIFIED,)
    substance = {e for e in request.elements if not e.startswith("record.")}
    if substance and substance <= set(withheld):
        return (withheld[min(substance)],)
    return (errors.ELM_REQUIRED_WITHHELD,) if request.mandatory & set(withheld) else ()
