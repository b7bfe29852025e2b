"""A family asks about its own child: a verified code stands behind it, and the report is all there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.decide import decide_family
from gateway.policy.facts import Person
from gateway.policy.request import Operation
from mappings.elements import REGISTER
from tests.policy.worlds_of_facts import FAMILY, FEW, ORDINARY, family_request, people, permitted, subset, variants


@ORDINARY
@given(st.booleans(), st.booleans(), people, subset(REGISTER))
def test_a_family_needs_a_ledger_a_verified_code_and_a_child_of_this_school(ready, verified, person, asked):
    person = replace(person, erased=False)
    decision = decide_family(family_request(asked), ledger_ready=ready, verified=verified, person=person)
    facts = {"LED_UNAVAILABLE": ready, "ACT_FAMILY_UNVERIFIED": verified, "OWN_NOT_ASSOCIATED": person.associated}
    assert [reason.code for reason in decision.reasons] == [code for code, holds in facts.items() if not holds]
    assert decision.permitted == (asked & FAMILY if decision.permits else frozenset())


@pytest.mark.parametrize("operation", list(Operation))
def test_a_family_reads_its_report_and_nothing_else(operation):
    asked = family_request(frozenset(REGISTER), operation)
    decision = decide_family(asked, ledger_ready=True, verified=True, person=Person(True, True))
    assert decision.permitted <= FAMILY


def test_a_family_reads_nothing_of_an_erased_child():
    decision = decide_family(family_request(), ledger_ready=True, verified=True, person=Person(True, True, erased=True))
    assert not decision.permits


@ORDINARY
@given(people)
def test_the_hash_of_a_familys_decision_changes_with_every_fact(person):
    known = [(family_request(), True, True, one) for one in (person, *variants(person))]
    known += [(request, True, True, person) for request in variants(family_request())]
    known += [(family_request(), False, True, person), (family_request(), True, False, person)]
    hashes = {decide_family(r, ledger_ready=ready, verified=v, person=p).facts_hash for r, ready, v, p in known}
    assert len(hashes) == len(known)


@FEW
@given(permitted())
def test_a_familys_report_is_never_decided_as_if_a_vendor_asked(case):
    asked = case.asked(operation=Operation.FAMILY, elements=FAMILY, mandatory=frozenset())
    assert not asked.agreement(operations=frozenset(Operation)).decide().permits
