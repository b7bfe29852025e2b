"""Decide, record, send: the three steps in which anything leaves, in this order.

`intend` writes the intent, the handles of the people in it and the keyed hash of the very bytes; it is durable
when the caller's session is closed, and only then may the first byte leave. `deny` writes a refusal.
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
from gateway.ledger import entry, handles, log, together
from gateway.policy import replay
from gateway.policy.decide import Decision
from gateway.policy.request import ActorKind, Operation
from gateway.store import decisions, transfers
from gateway.store.facts import school_ref
from gateway.store.tenant import Session

_BASIS = {Operation.FAMILY: "family_request", Operation.TRANSCRIPT: "direction"}
SMALL = 10  # counts of the withheld below this are not said


def intend(
    parts: Office, session: Session, decision: Decision, grant: str, people: Iterable[str], payload: bytes,
    rows_withheld: Counter[str] | None = None, attempt: int | None = None,
) -> None:  # fmt: skip
    """Write the intent of a transfer when the transaction ends: only when the session is closed may anything be sent.
    Then, or here, it raises Refused with LED_UNAVAILABLE: nothing may be sent."""
    found = handles.handles_of(session, parts.vault, people, decision.request.id)
    line = _intent(parts, session.place.school, decision, grant, found, payload, rows_withheld, attempt)
    together.intend(session, [line])


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

    As `intend`, when the session is closed. Raises Refused with LED_UNAVAILABLE: then nothing may be sent.
    """
    refs = {school: share.decision.request.id for school, share in shares.items()}
    found = handles.handles_of_each(session, parts.vault, {s: share.people for s, share in shares.items()}, refs)
    lines = [
        _intent(parts, school, share.decision, grant, found[school], share.payload, share.rows_withheld)
        for school, share in shares.items()
    ]
    lines += [_line(parts, school, decision, "denial", grant) for school, decision in denied.items()]
    together.intend(session, lines)


def deny(parts: Office, session: Session, decision: Decision, grant: str | None) -> Refused:
    """Write a denial and return the refusal to raise once the transaction has committed."""
    _write(parts, session, decision, "denial", grant)
    return refusal(decision)


def refusal(decision: Decision) -> Refused:
    """Return a denial as an outside party may read it: nobody outside learns what a family said."""
    reason = errors.OWN_NOT_ASSOCIATED if decision.of_row else decision.primary
    return Refused(reason or errors.INT_POLICY_ERROR, decision=decision.request.id)


def note(parts: Office, session: Session, decision: Decision, grant: str | None) -> None:
    """Write a decision that sends nothing yet."""
    _write(parts, session, decision, "decision", grant)


def _write(parts: Office, session: Session, decision: Decision, type_: str, grant: str | None) -> None:
    together.intend(session, [_line(parts, session.place.school, decision, type_, grant)])


def _line(
    parts: Office, school: int, decision: Decision, type_: str, grant: str | None,
    more: Mapping[str, Any] | None = None, sent: transfers.Transfer | None = None,
) -> log.Line:  # fmt: skip
    """An entry about a decision, with what the decision rested on, kept beside it to be read again."""
    key, about = os.urandom(32), decision.row.ref if decision.row else ""
    said = _entry(parts, decision, type_, grant) | {"facts": keyed(key, decision.facts_hash)} | dict(more or {})
    rested = decisions.Kept(
        school, decision.request.id, decision.at or parts.clock.now(), about or None, key,
        replay.basis(decision).decode(),
    )  # fmt: skip
    return log.Line(school, entry.encode(said), sent, rested)


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
    parts: Office, school: int, decision: Decision, grant: str, found: bytes, payload: bytes,
    rows_withheld: Counter[str] | None, attempt: int | None = None,
) -> log.Line:  # fmt: skip
    key, request = os.urandom(32), decision.request
    more = {
        "subjects": len(found) // handles.SIZE,
        "subjects_root": handles.root_of(found),
        "payload_hmac": hmac.digest(key, payload, "sha256").hex(),
        "payload_bytes": len(payload),
        "rows_withheld": _counted(rows_withheld),
        "attempt": attempt,
    }
    sent = transfers.Transfer(
        school, request.id, str(request.operation), request.vendor, _agreement_id(decision), grant, parts.clock.now(),
        found, key, "unknown" if attempt else "answered", sorted(decision.permitted),
    )  # fmt: skip
    return _line(parts, school, decision, "intent", grant, more, sent)


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
