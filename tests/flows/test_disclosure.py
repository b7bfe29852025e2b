"""What an outside party reads of a denial: about one person nothing, about the request as a whole its own reason."""

from __future__ import annotations

from hypothesis import given

from gateway import errors
from gateway.flows import disclosure, grade_decision
from gateway.policy.decide import decide_person
from tests.policy.worlds_of_facts import NOW, ORDINARY, cases


@ORDINARY
@given(cases())
def test_what_a_family_said_is_outwardly_nothing(case):
    whole = case.decide()
    for person in case.people:
        decision = decide_person(case.request, case.facts, person, NOW)
        if decision.permits:
            continue
        said = disclosure.refusal(decision).reason
        if whole.permits:
            assert said is errors.OWN_NOT_ASSOCIATED
            assert grade_decision.said(decision) is errors.GRD_PUPIL
        else:
            assert said is whole.primary
