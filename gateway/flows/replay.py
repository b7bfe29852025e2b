"""Decide again what was decided: from the versions it rested on, against what the ledger says was answered.

An officer asks of a past transfer whether it was right by the papers of its day: whatever those say now, they are read
in the versions of then.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway import errors
from gateway.errors import VOCABULARY, Reason, Refused
from gateway.flows import disclosure, onboarding
from gateway.flows.parts import Office
from gateway.identity.staff import Person as Staff
from gateway.ledger import log
from gateway.policy import replay as policy
from gateway.policy.decide import Decision
from gateway.policy.facts import Facts, Person
from gateway.store import decisions
from gateway.store import facts as fact_store
from gateway.store.tenant import Session

SAME, DIFFERS, ERASED = "same", "differs", "erased"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the ledger says of a decision, and whether deciding again says the same.

    `relied_on` are versions by reference; `differences` name what is not the same: facts, outcome, reasons, elements,
    withheld, obligations.
    """

    school: str
    decision: str
    verdict: str
    entry: Mapping[str, Any]
    relied_on: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def reason(self) -> Reason | None:
        return VOCABULARY.get(self.entry.get("reason", ""))


def replay(parts: Office, by: Staff, ref: str) -> Replayed:
    """Decide again the decision of this reference. Raises Refused where no ledger the person may look at has it."""
    for session, school in onboarding.readable_schools(parts, by):
        entry = next((one for one in log.entries_with(session, ref) if "facts" in one), None)
        if entry is not None:
            return _replayed(session, school, entry)
    raise Refused(errors.REQ_UNKNOWN, f"no ledger you may look at has a decision {ref}")


def recent(parts: Office, by: Staff, number: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield, for each school the person may look at, the latest decisions in its ledger, newest first."""
    for session, school in onboarding.readable_schools(parts, by):
        yield school, [one for one in log.latest(session, number) if "facts" in one]


def _replayed(session: Session, school: str, entry: Mapping[str, Any]) -> Replayed:
    row = decisions.find(session, entry["id"])
    if row is None:
        return Replayed(school, entry["id"], ERASED, entry)
    whole = Decision(policy.request_of(row.basis), (), facts=_facts(session, school, row.basis), at=row.at)
    wholly = [policy.again(whole, one) for one in _rows(session, row)]
    found = next((one for one in wholly if _rests_on(one, row.key, entry)), wholly[0])
    differences = tuple(_differences(found, row.key, entry))
    return Replayed(school, entry["id"], DIFFERS if differences else SAME, entry,
                    tuple(policy.relied_on(row.basis)), differences)  # fmt: skip


def _facts(session: Session, school: str, basis: Mapping[str, Any]) -> Facts:
    """Read the versions a decision rested on again."""
    agreements, directions = decisions.papers(session, school, basis["agreements"], basis["directions"])
    return Facts(
        basis["ledger_ready"], policy.credential_of(basis), agreements, directions, basis["source_policy"],
        decisions.policy_versions(session, basis["policy_versions"]),
    )  # fmt: skip


def _rows(session: Session, row: Any) -> list[Person | None]:
    """Return the person a decision was about as the roster may have had them at that moment, the likeliest first: which
    of them it was, the hash of the facts says."""
    about = row.basis["row"]
    if about is None:
        return [None]
    if not about["person"]:
        return [fact_store.NOBODY]
    return [
        decisions.person(session, about["person"], version, about["consents"], about["opt_outs"])
        for version in decisions.rosters_by(session, row.at)
    ] or [fact_store.NOBODY]


def _rests_on(decision: Decision, key: bytes, entry: Mapping[str, Any]) -> bool:
    return hmac.compare_digest(disclosure.keyed(bytes(key), decision.facts_hash), entry["facts"])


def _differences(decision: Decision, key: bytes, entry: Mapping[str, Any]) -> Iterator[str]:
    if not _rests_on(decision, key, entry):
        yield "facts"
    answered = disclosure.answer(decision)
    yield from (name for name in answered if (answered[name] or None) != (entry.get(name) or None))
