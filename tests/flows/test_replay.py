"""A past decision, decided again from the versions it rested on: the same answer, whatever has happened since."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from hypothesis import given

from gateway.embedded import Addresses
from gateway.errors import Refused
from gateway.flows import on_file, onboarding, replay
from gateway.identity import staff
from gateway.policy.decide import decide, decide_person
from gateway.policy.replay import basis, credential_of, relied_on, request_of
from tests.deliveries import two_schools
from tests.journeys.term import Term
from tests.policy.worlds_of_facts import NOW, ORDINARY, cases
from tests.test_cli import desk, refusal
from tests.worlds import DOCUMENT, World

__all__ = ["desk"]


@pytest.fixture
def term(public_world: World, wire: Any) -> Term:
    return Term(public_world, wire)


def decided(world: World, *orgs: str) -> list[dict[str, Any]]:
    return [one for org in orgs for one in world.ledger(org) if "facts" in one]


def verdicts(world: World, entries: list[dict[str, Any]]) -> list[tuple[str, tuple[str, ...]]]:
    found = [replay.replay(world.office, world.by, one["id"]) for one in entries]
    return [(one.verdict, one.differences) for one in found]


def spoil(addresses: Addresses, ref: str) -> None:
    """Change what a decision rested on, with the owner's rights: the application's role cannot."""
    with psycopg.connect(addresses.owner) as owner:
        owner.execute("ALTER TABLE decision NO FORCE ROW LEVEL SECURITY")
        owner.execute(
            "UPDATE decision SET basis = jsonb_set(basis, '{request,purpose}', '\"support\"') WHERE decision = %s",
            [ref],
        )
        owner.execute("ALTER TABLE decision FORCE ROW LEVEL SECURITY")


def test_every_decision_is_the_same_again(term):
    entries = decided(term.world, "A", "B")
    operations = {one["operation"] for one in entries}
    assert operations >= {"roster.read", "launch.handover", "members.read", "result.write", "grade.passback",
                          "transcript.deliver", "family.report"}  # fmt: skip
    assert {one["type"] for one in entries} == {"intent", "decision", "denial"}
    assert verdicts(term.world, entries) == [("same", ())] * len(entries)


def test_it_stays_the_same_whatever_is_on_file_since(term):
    """Agreements end, directions and answers change, the pupil's birth date does, and at last the pupil leaves."""
    world, entries = term.world, decided(term.world, "A", "B")
    world.clock.forward(hours=1)
    world.file("consent", school="School A", pupil="p0", scope="use", status="refused", grantor="parent")
    world.file("opt_out", school="School A", pupil="p0")
    on_file.record_policy(world.office, world.by, "policy_version",
        {"policy": "class_trak", "version": 2, "change": "material", "document": DOCUMENT,
         "effective": world.clock.at.isoformat()},
    )  # fmt: skip
    term.ids.read("students/p0")
    for vendor in ("Reader", "Names", "College"):
        on_file.end(world.office, world.by, "agreement", world.agreements[vendor])
    world.clock.forward(hours=1)
    delivery = two_schools(12)
    delivery.row("demographics.csv", "p0")["birthDate"] = "2001-01-01"
    assert world.deliver(delivery).state == "published"
    entries += decided(world, "A", "B")[len(entries) :]
    world.clock.forward(hours=1)
    world.leaves("p0")
    assert verdicts(world, entries) == [("same", ())] * len(entries)


def test_what_it_relied_on_is_said_by_version(term):
    (grade,) = [e for e in decided(term.world, "A") if e.get("operation") == "grade.passback" and e["type"] == "intent"]
    found = replay.replay(term.world.office, term.world.by, grade["id"])
    assert found.relied_on[0] == grade["agreement"]
    assert set(grade["directions"]) <= set(found.relied_on)
    assert grade["obligations"] == ["read_back"]


def test_a_changed_basis_is_found(term, addresses):
    world = term.world
    (first, *_) = [e for e in decided(world, "A") if e.get("operation") == "roster.read" and e["type"] == "intent"]
    spoil(addresses, first["id"])
    found = replay.replay(world.office, world.by, first["id"])
    assert found.verdict == "differs"
    assert "facts" in found.differences
    assert "reason" in found.differences


def test_only_who_may_look_at_the_school_may_ask(term):
    world = term.world
    _, token = onboarding.add_staff(world.office, world.by, "B. Admin", "school_admin", "School B")
    of_b = staff.person(world.office.database, token, world.clock.at)
    mine = next(one["id"] for one in decided(world, "A"))
    for ref in (mine, "tr_00000000", "' OR true --"):
        with pytest.raises(Refused) as refused:
            replay.replay(world.office, of_b, ref)
        assert (refused.value.reason.code, mine in refused.value.detail) == ("REQ_UNKNOWN", ref == mine)
    assert {school for school, _ in replay.recent(world.office, of_b, 50)} == {world.refs["B"]}


def test_from_the_command_line(term, desk, addresses):
    def run(*words: str) -> Any:
        return desk.run("decision", *words, token=term.world.token)

    rows = json.loads(run("list", "--last", "500", "--json").stdout)
    assert {row["ref"] for row in rows} == {one["id"] for one in decided(term.world, "A", "B")}
    grade = next(row["ref"] for row in rows if row["operation"] == "grade.passback")
    said = run("replay", grade)
    assert (said.exit_code, "Decided again from those versions: the same answer." in said.stdout) == (0, True)
    assert "grade.passback, permit" in said.stdout
    spoil(addresses, grade)
    said = run("replay", grade)
    assert (said.exit_code, "NOT the same answer: facts" in said.stdout) == (1, True)
    assert refusal(run("replay", "tr_00000000")) == (1, "REQ_UNKNOWN")


@ORDINARY
@given(cases())
def test_a_kept_request_is_the_request(case):
    """Whatever was asked and known, the kept form leads back to it."""
    of_rows = [decide_person(case.request, case.facts, person, NOW) for person in case.people[:1]]
    for decision in (decide(case.request, case.facts, NOW), *of_rows):
        kept = json.loads(basis(decision))
        assert request_of(kept) == case.request
        assert credential_of(kept) == decision.facts.credential
        assert len(relied_on(kept)) >= len(decision.facts.agreements)
