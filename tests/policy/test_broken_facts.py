"""An exception denies: facts of a type that no check expects never let anything leave."""

from __future__ import annotations

from datetime import date, datetime

import pytest
from hypothesis import given

from gateway.policy import rowplan
from gateway.policy.decide import decide_family, decide_person
from gateway.policy.facts import Person
from tests.policy.worlds_of_facts import DIRECTED, FEW, NOW, family_request, permitted

BORN = date(1990, 1, 1)
FACTS = {
    "agreement that is none": lambda c: c.known(agreements=(None,)),
    "agreements that are none": lambda c: c.known(agreements=None),
    "date without a zone": lambda c: c.agreement(expires_at=datetime(2030, 1, 1)),  # noqa: DTZ001
    "no date": lambda c: c.agreement(effective_at=None),
    "schedule that is none": lambda c: c.agreement(schedule=None),
    "credential that is a text": lambda c: c.known(credential="gr_aaaaaaaa"),
    "direction that is a text": lambda c: c.known(directions=("dr_aaaaaaaa",)),
    "operation there is not": lambda c: c.asked(operation="roster.burn"),
    "elements that are none": lambda c: c.asked(elements=None),
    "actor that is an object": lambda c: c.asked(actor=object()),
    "policy there is not": lambda c: c.known(source_policy="lenient"),
}
PEOPLE = {
    "no person": None,
    "birth date that is a text": Person(True, True, "2010-01-01"),
    "consent that is none": Person(True, True, BORN, consents=(None,)),
    "consents that are an object": Person(True, True, BORN, consents=object()),
}


def codes(decision):
    return [reason.code for reason in decision.reasons]


@pytest.mark.parametrize("broken", [pytest.param(change, id=name) for name, change in FACTS.items()])
def test_an_exception_inside_a_check_denies(broken):
    @FEW
    @given(permitted(DIRECTED))
    def law(case):
        decision = broken(case).decide()
        assert codes(decision) == ["INT_POLICY_ERROR"]
        assert (decision.permitted, decision.plan) == (frozenset(), rowplan.NOTHING)

    law()


@pytest.mark.parametrize("person", [pytest.param(person, id=name) for name, person in PEOPLE.items()])
def test_an_exception_inside_a_row_denies(person):
    @FEW
    @given(permitted())
    def law(case):
        case = case.agreement(school_agent=False)
        decision = decide_person(case.request, case.facts, person, NOW)
        assert codes(decision) == ["INT_POLICY_ERROR"]
        assert (decision.permitted, decision.plan) == (frozenset(), rowplan.NOTHING)

    law()


@pytest.mark.parametrize(
    "person",
    [
        pytest.param(None, id="no person"),
        pytest.param(PEOPLE["consents that are an object"], id="consents that are an object"),
    ],
)
def test_an_exception_in_a_familys_decision_denies(person):
    decision = decide_family(family_request(), ledger_ready=True, verified=True, person=person)
    assert codes(decision) == ["INT_POLICY_ERROR"]
