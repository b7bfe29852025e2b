"""Ledger, credential, scope, actor: may this caller ask this at all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gateway import errors
from gateway.errors import Reason
from gateway.policy.facts import Facts
from gateway.policy.request import (
    DEMOGRAPHICS_SCOPE,
    ROSTER_CORE_SCOPE,
    ROSTER_SCOPE,
    RULES,
    ActorKind,
    Request,
)


def ledger_check(_request: Request, facts: Facts, _now: datetime) -> Iterable[Reason]:
    """The school's ledger is there to record."""
    return () if facts.ledger_ready else (errors.LED_UNAVAILABLE,)


def credential_check(request: Request, facts: Facts, _now: datetime) -> Iterable[Reason]:
    """A live credential of this vendor stands behind the request."""
    credential = facts.credential
    if credential is None or credential.vendor != request.vendor:
        return (errors.AUT_TOKEN_INVALID,)
    return () if credential.active else (errors.AUT_TOKEN_EXPIRED,)


def scope_check(request: Request, facts: Facts, _now: datetime) -> Iterable[Reason]:
    """The token holds a scope of the operation; demographics only by their own scope."""
    need = RULES[request.operation].scopes
    if not need:
        return ()
    held = facts.credential.scopes if facts.credential else frozenset()
    if any(e.startswith("demographics.") for e in request.mandatory | request.elements):
        need = need & {DEMOGRAPHICS_SCOPE}
    elif ROSTER_SCOPE in need:
        need = frozenset({ROSTER_SCOPE, ROSTER_CORE_SCOPE})
    return () if need & held else (errors.SCP_MISSING,)


def actor_check(request: Request, facts: Facts, _now: datetime) -> Iterable[Reason]:
    """The credential acts for this school, and a teacher acts for a class of their own."""
    if facts.credential is None or request.school not in facts.credential.schools:
        return (errors.ACT_WRONG_SCHOOL,)
    if not RULES[request.operation].one_class:
        return ()
    if request.actor.kind is not ActorKind.TEACHER:
        return (errors.ACT_NOT_STAFF,)
    return () if request.class_id in request.actor.teaches else (errors.ACT_NOT_TEACHER_OF_CLASS,)
