"""Replay: what a decision rested on, as references to versions, and the request it answered, as data.

`basis` is kept beside the ledger; with the versions it names read again, `again` gives the same decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.policy.decide import Decision, decide, decide_family, of_person
from gateway.policy.facts import Credential, Person, canonical
from gateway.policy.request import Actor, ActorKind, Obligation, Operation, Purpose, Request


def basis(decision: Decision) -> bytes:
    """Return the request, the credential, and the versions of everything a decision relied on, as canonical JSON."""
    facts, row = decision.facts, decision.row
    return canonical(
        {
            "request": decision.request,
            "ledger_ready": facts.ledger_ready,
            "credential": facts.credential,
            "source_policy": facts.source_policy,
            "agreements": [one.id for one in facts.agreements],
            "directions": [one.id for one in facts.directions],
            "policy_versions": [(one.id, one.noticed, one.accepted) for one in facts.policy_versions],
            "row": None if row is None else {
                "person": row.ref,
                "consents": [f"{one.ref}@{one.version}" for one in row.consents],
                "opt_outs": [f"{one.ref}@{one.version}" for one in row.opt_outs],
            },
        }
    )  # fmt: skip


def relied_on(kept: Mapping[str, Any]) -> list[str]:
    """Return the versions a kept basis names, by reference: papers, policy, the family's answers."""
    row = kept["row"] or {"consents": [], "opt_outs": []}
    policies = [name for name, _, _ in kept["policy_versions"]]
    return [*kept["agreements"], *kept["directions"], *policies, *row["consents"], *row["opt_outs"]]


def request_of(kept: Mapping[str, Any]) -> Request:
    """Return the request of a kept basis."""
    said = dict(kept["request"])
    actor = said["actor"]
    return Request(
        **said | {
            "operation": Operation(said["operation"]),
            "actor": Actor(ActorKind(actor["kind"]), actor["ref"], frozenset(actor["teaches"])),
            "purpose": Purpose(said["purpose"]) if said["purpose"] else None,
            "elements": frozenset(said["elements"]),
            "mandatory": frozenset(said["mandatory"]),
            "meets": frozenset(map(Obligation, said["meets"])),
        }
    )  # fmt: skip


def credential_of(kept: Mapping[str, Any]) -> Credential | None:
    """Return the credential of a kept basis."""
    said = kept["credential"]
    if said is None:
        return None
    return Credential(**said | {"scopes": frozenset(said["scopes"]), "schools": frozenset(said["schools"])})


def again(decision: Decision, row: Person | None) -> Decision:
    """Decide once more what a decision was about: its request, facts and moment, and the row it was about, if one."""
    request, facts = decision.request, decision.facts
    if request.operation is Operation.FAMILY and row is not None:
        return decide_family(request, ledger_ready=facts.ledger_ready, verified=True, person=row)
    if decision.at is None:
        return decision
    whole = decide(request, facts, decision.at)
    return whole if row is None else of_person(whole, row)
