"""Decide, record, send: the three steps in which anything leaves, in this order.

`intend` writes the intent, the handles of the people in it and the keyed hash of the very bytes; it is durable
when the caller's transaction commits, and only then may the first byte leave. `deny` writes a refusal.
"""

from __future__ import annotations

import hmac
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows.parts import Office
from gateway.ledger import entry, handles, log
from gateway.policy.decide import Decision
from gateway.policy.request import ActorKind, Operation
from gateway.store import transfers
from gateway.store.facts import school_ref
from gateway.store.tenant import Session

# Denials of a single row: outwardly there is no such record.
ROW_REASONS = frozenset(
    {
        errors.OWN_NOT_ASSOCIATED, errors.CON_REFUSED, errors.CON_WITHDRAWN, errors.RET_RESTRICTED,
        errors.RET_ERASED, errors.AGE_CHILD_NO_SCHOOL_AGREEMENT, errors.RCP_NOT_ADDRESSEE,
    }
)  # fmt: skip
_BASIS = {Operation.FAMILY: "family_request", Operation.TRANSCRIPT: "direction"}
SMALL = 10  # counts of the withheld below this are not said


@dataclass(frozen=True, slots=True)
class Sent:
    """A transfer whose intent is written."""

    ref: str
    entry: int


def outward(reason: Reason) -> Reason:
    """Return the reason as an outside party may read it."""
    return errors.OWN_NOT_ASSOCIATED if reason in ROW_REASONS else reason


def intend(
    parts: Office, session: Session, decision: Decision, grant: str, people: Iterable[str], payload: bytes,
    rows_withheld: Counter[str] | None = None, attempt: int | None = None,
) -> Sent:  # fmt: skip
    """Write the intent of a transfer. Raises Refused with LED_UNAVAILABLE: then nothing may be sent."""
    ref, now, key = decision.request.id, parts.clock.now(), os.urandom(32)
    found = handles.handles_of(session, parts.vault, people, ref)
    one = _entry(parts, decision, "intent", grant) | {
        "subjects": len(found) // handles.SIZE,
        "subjects_root": handles.root_of(found),
        "payload_hmac": hmac.digest(key, payload, "sha256").hex(),
        "payload_bytes": len(payload),
        "attempt": attempt,
        "rows_withheld": _counted(rows_withheld),
    }
    (index,) = log.append(session, [one])
    agreement = decision.agreement
    transfers.keep(
        session, transfer=ref, operation=str(decision.request.operation), vendor=decision.request.vendor,
        agreement=agreement.id if agreement else "", access_grant=grant, entry=index, at=now, handles=found,
        payload_key=key, elements=sorted(decision.permitted), outcome="unknown" if attempt else "answered",
    )  # fmt: skip
    return Sent(ref, index)


def deny(parts: Office, session: Session, decision: Decision, grant: str | None) -> Refused:
    """Write a denial and return the refusal to raise once the transaction has committed."""
    log.append(session, [_entry(parts, decision, "denial", grant)])
    reason = decision.primary or errors.INT_POLICY_ERROR
    return Refused(outward(reason), decision=decision.request.id)


def note(parts: Office, session: Session, decision: Decision, grant: str | None) -> None:
    """Write a decision that sends nothing yet."""
    log.append(session, [_entry(parts, decision, "decision", grant)])


def conclude(parts: Office, session: Session, transfer: str, outcome: str, reason: Reason | None = None) -> None:
    """Write how a transfer ended."""
    log.append(
        session,
        [
            {
                "v": entry.VERSION, "type": "outcome", "at": entry.moment(parts.clock.now()),
                "school": school_ref(session), "id": transfer, "outcome": outcome,
                "reason": reason.code if reason else None,
            }
        ],
    )  # fmt: skip
    transfers.set_outcome(session, transfer, outcome)


def _entry(parts: Office, decision: Decision, type_: str, grant: str | None) -> dict[str, Any]:
    request, agreement = decision.request, decision.agreement
    return {
        "v": entry.VERSION, "type": type_, "at": entry.moment(parts.clock.now()), "school": request.school,
        "id": request.id, "operation": str(request.operation),
        "purpose": str(request.purpose) if request.purpose else None,
        "basis": _BASIS.get(request.operation, "school_official" if agreement else "none"),
        "actor": {"kind": str(request.actor.kind), "ref": request.actor.ref},
        "vendor": request.vendor or None, "grant": grant or None, "record": request.record,
        "agreement": agreement.id if agreement else None,
        "document": agreement.document or None if agreement else None,
        "directions": [d.id for d in decision.directions] or None,
        "outcome": decision.outcome, "reason": decision.primary.code if decision.primary else None,
        "reasons": [r.code for r in decision.reasons] or None,
        "elements": sorted(decision.permitted),
        "withheld": [{"element": e, "code": r.code} for e, r in decision.withheld] or None,
        "facts": decision.facts_hash or None,
    }  # fmt: skip


def _counted(counts: Counter[str] | None) -> list[dict[str, Any]] | None:
    return [{"code": code, "n": n} for code, n in sorted((counts or {}).items())] or None


def said_counts(counts: Counter[str]) -> list[dict[str, Any]]:
    """Counts of the withheld as an outside party may read them: all reasons as one, small counts not said."""
    total = sum(counts.values())
    return [{"code": "withheld", "count": total if total >= SMALL else None}] if total else []


def event(parts: Office, session: Session, type_: str, ref: str, outcome: str, **more: Any) -> None:
    """Write something that happened which is no transfer: a family's answer, a task, a new agreement."""
    one = {
        "v": entry.VERSION, "type": type_, "at": entry.moment(parts.clock.now()), "school": school_ref(session),
        "id": ref, "outcome": outcome,
    }  # fmt: skip
    log.append(session, [one | more])


def actor_ref(kind: ActorKind, ref: str | None) -> str:
    """Return a reference for the ledger: people of the roster are never named there."""
    return ref or f"{str(kind)[:4]}_00000000"
