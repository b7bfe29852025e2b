"""Decide, record, send: the three steps in which anything leaves, in this order.

`intend` writes the intent, the handles of the people in it and the keyed hash of the very bytes; it is durable
when the caller's transaction commits, and only then may the first byte leave. `deny` writes a refusal.
"""

from __future__ import annotations

import hmac
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows.parts import Office
from gateway.ledger import entry, handles, log
from gateway.policy import replay
from gateway.policy.decide import Decision
from gateway.policy.request import ActorKind, Operation
from gateway.store import decisions, transfers
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


def is_of_row(decision: Decision) -> bool:
    """Whether a denial is about one person: nobody outside may learn what a family said."""
    return decision.of_row or decision.primary in ROW_REASONS


def intend(
    parts: Office, session: Session, decision: Decision, grant: str, people: Iterable[str], payload: bytes,
    rows_withheld: Counter[str] | None = None, attempt: int | None = None,
) -> Sent:  # fmt: skip
    """Write the intent of a transfer. Raises Refused with LED_UNAVAILABLE: then nothing may be sent."""
    ref, now, key = decision.request.id, parts.clock.now(), os.urandom(32)
    found = handles.handles_of(session, parts.vault, people, ref)
    facts = _rested_on(parts, session, {session.place.school: decision})[ref]
    one = _intent(parts, decision, grant, facts, found, key, payload, rows_withheld) | {"attempt": attempt}
    (index,) = log.append(session, [one])
    transfers.keep(
        session, transfer=ref, operation=str(decision.request.operation), vendor=decision.request.vendor,
        agreement=_agreement_id(decision), access_grant=grant, entry=index, at=now, handles=found,
        payload_key=key, elements=sorted(decision.permitted), outcome="unknown" if attempt else "answered",
    )  # fmt: skip
    return Sent(ref, index)


@dataclass(frozen=True, slots=True)
class Share:
    """What of one answer is one school's: who is in it, its bytes, and who was withheld."""

    decision: Decision
    people: handles.People
    payload: bytes
    rows_withheld: Counter[str]


def intend_each(
    parts: Office, session: Session, grant: str, shares: Mapping[int, Share], denied: Mapping[int, Decision]
) -> None:
    """Write to the log of each school its share of an answer, or its denial: all of them or none.

    Raises Refused with LED_UNAVAILABLE: then nothing may be sent.
    """
    refs = {school: share.decision.request.id for school, share in shares.items()}
    found = handles.handles_of_each(session, parts.vault, {s: share.people for s, share in shares.items()}, refs)
    keys = {school: os.urandom(32) for school in shares}
    facts = _rested_on(parts, session, {s: share.decision for s, share in shares.items()} | dict(denied))
    entries = {
        school: _intent(parts, share.decision, grant, facts[refs[school]], found[school], keys[school], share.payload,
                        share.rows_withheld)
        for school, share in shares.items()
    } | {
        school: _entry(parts, decision, "denial", grant, facts[decision.request.id])
        for school, decision in denied.items()
    }  # fmt: skip
    indices = log.append_each(session, entries)
    if shares:
        own = [
            transfers.Own(school, refs[school], _agreement_id(share.decision), indices[school], found[school],
                          keys[school], sorted(share.decision.permitted))
            for school, share in shares.items()
        ]  # fmt: skip
        request = next(share.decision.request for share in shares.values())
        transfers.keep_each(session, own, operation=str(request.operation), vendor=request.vendor,
                            access_grant=grant, at=parts.clock.now(), outcome="answered")  # fmt: skip


def deny(parts: Office, session: Session, decision: Decision, grant: str | None) -> Refused:
    """Write a denial and return the refusal to raise once the transaction has committed."""
    _write(parts, session, decision, "denial", grant)
    return refusal(decision)


def refusal(decision: Decision) -> Refused:
    """Return a denial as an outside party may read it."""
    reason = errors.OWN_NOT_ASSOCIATED if is_of_row(decision) else decision.primary
    return Refused(reason or errors.INT_POLICY_ERROR, decision=decision.request.id)


def note(parts: Office, session: Session, decision: Decision, grant: str | None) -> None:
    """Write a decision that sends nothing yet."""
    _write(parts, session, decision, "decision", grant)


def _write(parts: Office, session: Session, decision: Decision, type_: str, grant: str | None) -> None:
    facts = _rested_on(parts, session, {session.place.school: decision})[decision.request.id]
    log.append(session, [_entry(parts, decision, type_, grant, facts)])


def _rested_on(parts: Office, session: Session, decided: Mapping[int, Decision]) -> dict[str, str]:
    """Keep what each school's decision rested on, to be read again; return what its entry says of it, by request."""
    kept = [
        decisions.Kept(school, one.request.id, one.at or parts.clock.now(), (one.row.ref or None) if one.row else None,
                       os.urandom(32), replay.basis(one).decode())
        for school, one in decided.items()
    ]  # fmt: skip
    decisions.keep(session, kept)
    return {
        row.decision: keyed(row.key, one.facts_hash) for row, one in zip(kept, decided.values(), strict=True)
    }  # fmt: skip


def keyed(key: bytes, facts_hash: str) -> str:
    """Return the hash of facts as the ledger keeps it: under a key that is erased with them."""
    return hmac.digest(key, facts_hash.encode(), "sha256").hex()


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


def _agreement_id(decision: Decision) -> str:
    return decision.agreement.id if decision.agreement else ""


def _intent(
    parts: Office, decision: Decision, grant: str, facts: str, found: bytes, key: bytes, payload: bytes,
    rows_withheld: Counter[str] | None,
) -> dict[str, Any]:  # fmt: skip
    return _entry(parts, decision, "intent", grant, facts) | {
        "subjects": len(found) // handles.SIZE,
        "subjects_root": handles.root_of(found),
        "payload_hmac": hmac.digest(key, payload, "sha256").hex(),
        "payload_bytes": len(payload),
        "rows_withheld": _counted(rows_withheld),
    }


def _entry(parts: Office, decision: Decision, type_: str, grant: str | None, facts: str) -> dict[str, Any]:
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
        "facts": facts,
    } | answer(decision)  # fmt: skip


def answer(decision: Decision) -> dict[str, Any]:
    """Return what a decision says, as its entry in the ledger has it."""
    return {
        "outcome": decision.outcome, "reason": decision.primary.code if decision.primary else None,
        "reasons": [r.code for r in decision.reasons] or None,
        "elements": sorted(decision.permitted),
        "withheld": [{"element": e, "code": r.code} for e, r in decision.withheld] or None,
        "obligations": list(decision.obligations) or None,
    }  # fmt: skip


def _counted(counts: Counter[str] | None) -> list[dict[str, Any]] | None:
    return [{"code": code, "n": n} for code, n in sorted((counts or {}).items())] or None


def said_counts(counts: Counter[str]) -> list[dict[str, Any]]:
    """Counts of the withheld as an outside party may read them: all reasons as one, small counts not said."""
    total = sum(counts.values())
    return [{"code": "withheld", "count": total if total >= SMALL else None}] if total else []


def events(parts: Office, session: Session, happened: Iterable[Mapping[str, Any]]) -> None:
    """Write several things that happened at the session's school: each as `event` takes them."""
    school, at = school_ref(session), entry.moment(parts.clock.now())
    log.append(
        session,
        [
            {"v": entry.VERSION, "type": one["type_"], "at": at, "school": school, "id": one["ref"]}
            | {name: value for name, value in one.items() if name not in ("type_", "ref")}
            for one in happened
        ],
    )


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
