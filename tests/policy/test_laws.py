"""The laws of the one function that says yes or no, on generated requests and facts; a naive model agrees with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.errors import VOCABULARY
from gateway.policy import rowplan
from gateway.policy.decide import decide, decide_person
from gateway.policy.facts import Consent, Facts, Person
from gateway.policy.request import RULES, Operation
from gateway.policy.source_policies import PROFILES
from mappings.elements import REGISTER
from tests.policy.worlds_of_facts import (
    DAY,
    DIRECTED,
    FEW,
    FORBIDDEN_PURPOSES,
    NARROWINGS,
    NEVER,
    NOW,
    ORDINARY,
    OTHER_SCHOOLS,
    SPOILS,
    Case,
    cases,
    closed,
    free,
    permitted,
    subset,
    variants,
)
from tests.policy.worlds_of_facts import people as someone

STEPS = ["LED", "AUT", "SCP", "ACT", "DIR", "AGR", "PUR", "ELM", "RCP", "POL", "INT"]


def step(code: str) -> str:
    return code[:3]


def codes(case: Case) -> list[str]:
    return [reason.code for reason in case.decide().reasons]


def assert_no_wider(after: Case, before: Case) -> None:
    assert after.decide().permitted <= before.decide().permitted
    assert after.rows() <= before.rows()


# --- deny by default -------------------------------------------------------------------------------


@ORDINARY
@given(permitted())
def test_what_has_every_supporting_fact_is_permitted(case):
    assert codes(case) == []


@ORDINARY
@given(cases())
def test_empty_facts_deny(case):
    decision = decide(case.request, Facts(), NOW)
    assert not decision.permits
    assert (decision.permitted, decision.plan) == (frozenset(), rowplan.NOTHING)


@pytest.mark.parametrize("spoil", [pytest.param(spoil, id=name) for name, spoil in SPOILS.items()])
def test_a_supporting_fact_taken_away_denies(spoil):
    @FEW
    @given(permitted(spoil.operations))
    def law(case):
        spoiled = spoil.change(case)
        assert spoil.code in codes(spoiled)
        assert (spoiled.decide().permitted, spoiled.rows()) == (frozenset(), frozenset())

    law()


@pytest.mark.parametrize("status", ["used", "expired", "draft", ""])
@FEW
@given(case=permitted(DIRECTED))
def test_a_direction_in_any_state_but_active_denies(status, case):
    assert not case.direction(status=status).decide().permits


@ORDINARY
@given(permitted())
def test_each_required_element_must_be_in_the_schedule_and_in_the_direction(case):
    assume(case.facts.directions)
    agreement, told = case.facts.agreements[0], case.facts.directions[0].elements or frozenset(REGISTER)
    for name in (e for e in case.decide().permitted if not free(e)):
        needing = case.asked(mandatory=frozenset({name}))
        for without in (
            needing.agreement(schedule=agreement.schedule - {name}),
            needing.direction(elements=(told - {name}) or frozenset({"nothing"})),
        ):
            assert {"ELM_REQUIRED_WITHHELD", "ELM_NOT_IN_SCHEDULE"} & set(codes(without))


@ORDINARY
@given(cases())
def test_nothing_leaves_but_what_is_asked_agreed_directed_and_carried(case):
    decision, ceiling = case.decide(), RULES[case.request.operation].ceiling
    assert decision.permitted <= case.request.elements & ceiling - NEVER
    for name in decision.permitted:
        assert free(name) or {name, *REGISTER[name].derived_from} <= decision.agreement.schedule
        told = [d.elements for d in decision.directions]
        assert free(name) or not told or not all(told) or any(name in elements for elements in told)


@ORDINARY
@given(permitted())
def test_what_may_never_leave_does_not_though_it_is_agreed_and_directed(case):
    everything = case.agreement(schedule=frozenset(REGISTER)).direction(elements=frozenset(REGISTER))
    decision = everything.asked(elements=case.request.elements | NEVER).decide()
    said = {name: reason.code for name, reason in decision.withheld if name in NEVER}
    assert decision.permits
    assert said == {e: "ELM_TECHNICAL" if REGISTER[e].technical else "ELM_NEVER_EXPORT" for e in NEVER}


@ORDINARY
@given(permitted(tuple(o for o in DIRECTED if "person.name.full" in RULES[o].ceiling)))
def test_a_derived_element_leaves_only_where_what_it_is_derived_from_may(case):
    case = case.agreement(schedule=closed({"person.name.full"})).asked(mandatory=frozenset())
    case = case.direction(elements=frozenset({"person.name.full", "person.name.given"}))
    case = case.credential(scopes=RULES[case.request.operation].scopes)
    asked = frozenset({"person.name.full", "person.name.given", "person.name.family"})
    assert case.asked(elements=asked).decide().permitted == {"person.name.given"}


@ORDINARY
@given(permitted(), st.sampled_from(FORBIDDEN_PURPOSES))
def test_commerce_and_profiling_are_never_a_purpose(case, purpose):
    agreed = case.asked(purpose=purpose).agreement(purposes=frozenset({purpose, case.request.purpose}))
    assert {"PUR_COMMERCIAL", "PUR_PROFILE"} & set(codes(agreed))


# --- monotone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("narrow", [pytest.param(change, id=name) for name, change in NARROWINGS.items()])
@FEW
@given(data=st.data(), case=cases())
def test_what_narrows_never_widens(narrow, data, case):
    assert_no_wider(narrow(data.draw, case), case)


schedules = subset(set(REGISTER) - NEVER).map(closed)


@ORDINARY
@given(permitted(), schedules, st.booleans())
def test_an_agreement_that_is_not_the_credentials_counts_for_nothing(case, schedule, ended):
    """Made or ended, with directions of its own: the grant stands under one agreement (semantics, grant)."""
    (first,), second = case.facts.agreements, "ag_second00"
    given_too = tuple(replace(d, ref="dr_second00", agreement=second) for d in case.facts.directions)
    beside = replace(first, ref=second, schedule=schedule, expires_at=NOW if ended else first.expires_at)
    both = case.known(agreements=(beside, first), directions=(*given_too, *case.facts.directions))
    assert (both.decide().permitted, both.rows()) == (case.decide().permitted, case.rows())
    assert both.decide().agreement == first


@ORDINARY
@given(cases(), subset(OTHER_SCHOOLS), subset(OTHER_SCHOOLS))
def test_what_a_vendor_may_do_at_other_schools_changes_nothing_here(case, granted, agreed):
    """Of two to four schools that share a vendor, none is decided by what another gave it."""
    held, before = case.facts.credential, case.decide()
    changed = case.credential(schools=(held.schools - OTHER_SCHOOLS) | granted) if held else case
    for number, one in enumerate(case.facts.agreements):
        moved = replace(one, schools=(one.schools - OTHER_SCHOOLS) | agreed)
        agreements = (*changed.facts.agreements[:number], moved, *changed.facts.agreements[number + 1 :])
        changed = changed.known(agreements=agreements)
    after = changed.decide()
    assert (after.reasons, after.permitted, after.plan) == (before.reasons, before.permitted, before.plan)
    assert changed.rows() == case.rows()


def _with_second_direction(case: Case, **more: object) -> Case:
    (first,) = case.facts.directions
    return case.known(directions=(first, replace(first, ref="dr_second00", **more)))


@ORDINARY
@given(permitted(DIRECTED), st.data())
def test_directions_ask_for_what_they_name_and_ending_one_never_widens(case, data):
    whole = case.asked(mandatory=frozenset()).direction(elements=frozenset())
    first, second = (closed(data.draw(subset(whole.decide().permitted, 1))) for _ in range(2))
    both = _with_second_direction(whole.direction(elements=first), elements=second)
    for gone in ({"status": "revoked"}, {"expires_at": NOW}, {"role": "nobody"}):
        assert_no_wider(both.direction(**gone), both)
    assert both.decide().permitted >= whole.direction(elements=first).decide().permitted
    assert {d.ref for d in both.decide().directions} == {"dr_aaaaaaaa", "dr_second00"}


# --- the strictest policy --------------------------------------------------------------------------

others = pytest.mark.parametrize("other", sorted(set(PROFILES) - {"strictest"}))


@others
@FEW
@given(case=cases())
def test_the_strictest_policy_permits_nothing_that_another_forbids(other, case):
    assert_no_wider(case.known(source_policy="strictest"), case.known(source_policy=other))


@others
@FEW
@given(case=permitted(DIRECTED), elements=schedules, role=st.sampled_from(["school_admin", "teacher"]))
def test_the_strictest_policy_permits_no_more_where_several_directed(other, case, elements, role):
    case = _with_second_direction(case.direction(role="district_admin"), elements=elements, role=role)
    assert_no_wider(case.known(source_policy="strictest"), case.known(source_policy=other))


# --- the order of reasons --------------------------------------------------------------------------


@ORDINARY
@given(cases())
def test_reasons_stand_in_the_order_of_the_checks(case):
    decision = case.decide()
    places = [STEPS.index(step(reason.code)) for reason in decision.reasons]
    assert places == sorted(places)
    assert decision.primary == next(iter(decision.reasons), None)


ONE_OF_EACH = ("no ledger", "credential revoked", "another scope", "credential without the school", "direction over",
               "agreement over", "purpose not agreed", "recipient of another category")  # fmt: skip


@ORDINARY
@given(permitted((Operation.ROSTER_READ, Operation.LAUNCH)), st.sets(st.sampled_from(ONE_OF_EACH), min_size=2))
def test_every_check_is_evaluated_whatever_failed_before_it(case, names):
    for name in sorted(names):
        case = SPOILS[name].change(case)
    assert {SPOILS[name].code for name in names} <= set(codes(case))
    assert codes(case.asked(elements=case.request.elements | {"shoe.size"})).count("ELM_UNCLASSIFIED") == 1


@pytest.mark.parametrize("spoil", [pytest.param(spoil, id=name) for name, spoil in SPOILS.items()])
def test_each_reason_is_given_first_and_second(spoil):
    """Alone it is the one a caller reads; behind another it is in the record all the same."""
    first, seconds = set(), set()

    @FEW
    @given(permitted(spoil.operations))
    def law(case):
        first.add(codes(spoil.change(case))[0])
        seconds.update(codes(SPOILS["no ledger"].change(spoil.change(case)))[1:])

    law()
    assert spoil.code in first
    assert spoil.code in seconds | {"LED_UNAVAILABLE"}  # nothing comes before the ledger


def test_the_reasons_of_a_row_stand_behind_those_of_the_request():
    """A school reads both: nobody asked for this, and the family had refused."""
    refused = Consent("co_aaaaaaaa", 1, "use", "refused", None, NOW - DAY, None)
    someone = Person(True, True, None, consents=(refused, replace(refused, scope="disclose")))

    @FEW
    @given(permitted(DIRECTED))
    def law(case):
        case = case.agreement(school_agent=False, consent_needed=False).known(directions=(), policy_versions=())
        decision = decide_person(case.request, replace(case.facts, source_policy="strictest"), someone, NOW)
        assert [reason.code for reason in decision.reasons] == [
            "DIR_MISSING", "AGE_CHILD_NO_SCHOOL_AGREEMENT", "CON_REFUSED", "RET_RESTRICTED"
        ]  # fmt: skip
        assert not decision.of_row

    law()


# --- what a decision rested on ---------------------------------------------------------------------


@ORDINARY
@given(cases())
def test_the_same_facts_give_the_same_decision(case):
    assert case.decide() == case.decide()


@ORDINARY
@given(permitted())
def test_the_hash_of_facts_changes_with_every_fact(case):
    changed = [decide(request, case.facts, NOW) for request in variants(case.request)]
    changed += [decide(case.request, facts, NOW) for facts in variants(case.facts) if facts.source_policy in PROFILES]
    changed += [decide(case.request, case.facts, later) for later in variants(NOW)]
    hashes = [case.decide().facts_hash, *(decision.facts_hash for decision in changed)]
    assert "" not in hashes
    assert len(set(hashes)) == len(hashes)


@ORDINARY
@given(permitted(), someone)
def test_the_hash_of_facts_changes_with_every_fact_about_the_person(case, person):
    decided = [decide_person(case.request, case.facts, one, NOW) for one in (person, *variants(person))]
    assert len({decision.facts_hash for decision in decided}) == len(decided)


# --- the naive model -------------------------------------------------------------------------------

ADMINS = {"district_admin", "school_admin"}
# Who may direct, who may direct a transcript, the last age of a child, whether a family's yes is enough for one,
# whether the school hears of editorial changes, and whether all of it waits for its word; by source policy.
POLICIES = {
    "mastery_track": (ADMINS | {"teacher"}, ADMINS, 12, True, False, False),
    "mastery_prep": ({"district_admin"}, {"district_admin"}, 12, False, False, True),
    "class_trak": (ADMINS | {"teacher"}, ADMINS, 13, False, False, False),
    "mastery_transcript": (ADMINS, ADMINS | {"eligible_student"}, 12, True, True, False),
    "strictest": ({"district_admin"}, {"district_admin"}, 13, False, True, True),
}
TWELVE = {"no_excess_collection", "no_sale", "no_targeted_ads", "no_profile", "no_material_change_without_choice",
          "no_over_retention", "authorized_collection_only", "clear_disclosure", "access_and_correction",
          "security_program", "vendor_flow_down", "successor_bound"}  # fmt: skip
OFFICIAL = {"institutional_function", "direct_control", "no_redisclosure"}


def duties(case: Case, leaving: set[str]) -> set[str]:
    """What goes with sending: nobody passes it on, ids are the vendor's own, and a grade in doubt is read back."""
    asked = case.request
    if asked.operation == "grade.passback":
        return {"read_back"}
    if asked.operation not in ("roster.read", "launch.handover", "members.read", "transcript.deliver"):
        return set()
    named = "record.source_id" in leaving or "record.alias" not in asked.elements
    return {"redisclosure_notice"} if named else {"redisclosure_notice", "aliases"}


def naive(case: Case) -> tuple[str, set[str], set[int]]:
    """The first step of the order that fails, the elements and the rows that may leave; from the text alone."""
    r, f, rule = case.request, case.facts, RULES[case.request.operation]
    directors, transcript_directors, child_age, yes_is_enough, hears_all, all_wait = POLICIES[f.source_policy]
    entitled = transcript_directors if r.operation == "transcript.deliver" else directors
    held = f.credential.scopes if f.credential else set()
    wanted = {s.rsplit("/", 1)[-1] for s in held & rule.scopes}
    if any(e.startswith("demographics.") for e in r.elements):
        wanted &= {"roster-demographics.readonly"}
    else:
        wanted -= {"roster-demographics.readonly"}
    named = f.credential.agreement if f.credential else None
    ours = [a for a in f.agreements if a.vendor == r.vendor and a.ref == named]
    agreements = [a for a in ours if a.status == "active" and r.school in a.schools and r.operation in a.operations
                  and a.effective_at <= NOW < a.expires_at and a.commitments >= TWELVE | OFFICIAL
                  and (a.debarred_until is None or a.debarred_until <= NOW)
                  and a.assured_at and timedelta(0) <= NOW - a.assured_at < timedelta(days=365)
                  and not (a.endpoints and r.endpoint and r.endpoint not in a.endpoints)]  # fmt: skip
    changes = [v for v in f.policy_versions if v.effective_at <= NOW and f.source_policy in ("strictest", v.policy)]
    heavy = [v for v in changes if v.change in ("material", "less_restrictive") and not v.accepted]
    directions = [d for d in f.directions if d.agreement == named
                  and d.operation == r.operation and d.record == r.record and d.status == "active"
                  and d.valid_from <= NOW < d.expires_at and d.role in entitled]  # fmt: skip
    agreement, direction = next(iter(agreements), None), next(iter(directions), None)

    def may_leave(name: str) -> bool:
        if name not in rule.ceiling or REGISTER[name].never_export or REGISTER[name].technical:
            return False
        both = {name, *REGISTER[name].derived_from}
        told = both <= direction.elements if direction and direction.elements else True
        return free(name) or bool(agreement and both <= agreement.schedule and told)

    def older(person: Person, years: int) -> bool:
        born = person.birth_date
        had_birthday = born and (NOW.month, NOW.day) >= (born.month, born.day)
        return bool(born and NOW.year - born.year - (not had_birthday) > years)

    def child(person: Person) -> bool:
        return person.is_pupil and not older(person, child_age)

    def says_yes(person: Person) -> bool:
        who = {"eligible_student"} if older(person, 17) else {"parent", "school_as_agent"}
        return not person.is_pupil or any(
            c.scope == "disclose" and c.status == "given" and c.evidenced and c.grantor in who
            and c.agreement in (None, agreement.ref) and c.valid_from <= NOW
            and (c.valid_until is None or c.valid_until > NOW)
            for c in person.consents
        )  # fmt: skip

    def stays_away(person: Person) -> bool:
        return any(
            o.status == "active" and o.category in (None, agreement.category) and o.valid_from <= NOW
            and (o.valid_until is None or o.valid_until > NOW)
            for o in person.opt_outs
        )  # fmt: skip

    def waits(person: Person) -> bool:
        older_than = [v.effective_at for v in heavy if v.change == "less_restrictive" and r.purpose in v.opens]
        old = any(person.collected_at is None or person.collected_at < day for day in older_than)
        return old or bool(heavy and child(person))

    def says_no(person: Person) -> bool:
        said = [c for c in person.consents if c.status in ("refused", "withdrawn") and c.valid_from <= NOW
                and (c.valid_until is None or c.valid_until > NOW)]  # fmt: skip
        to_this = (None, agreement.ref if agreement else None)
        return any(c.scope == "use" or (c.scope == "disclose" and c.agreement in to_this) for c in said)

    leaving = {e for e in r.elements if may_leave(e)}
    substance = {e for e in r.elements if not e.startswith("record.")}
    steps = {
        "LED": f.ledger_ready,
        "AUT": f.credential and f.credential.vendor == r.vendor and f.credential.active,
        "SCP": wanted or not rule.scopes,
        "ACT": f.credential and r.school in f.credential.schools
        and (not rule.one_class or (r.actor.kind == "teacher" and r.class_id in r.actor.teaches)),
        "DIR": direction or not rule.directed,
        "AGR": agreement,
        "PUR": agreement and r.purpose in agreement.purposes and r.purpose not in FORBIDDEN_PURPOSES,
        "ELM": r.elements <= set(REGISTER) and r.mandatory <= leaving and (substance & leaving or not substance),
        "RCP": agreement and agreement.category in rule.categories,
        "POL": all(v.noticed or (v.change == "editorial" and not hears_all) for v in changes)
        and not (all_wait and heavy),
        "INT": duties(case, leaving) <= r.meets,
    }  # fmt: skip
    failed = next((name for name, holds in steps.items() if not holds), "")
    rows = {n for n, p in enumerate(case.people) if not failed and p.associated and not p.erased and not says_no(p)
            and (agreement.school_agent or not child(p) or (yes_is_enough and says_yes(p)))
            and (not agreement.consent_needed or says_yes(p)) and not stays_away(p) and not waits(p)}  # fmt: skip
    return failed, set() if failed else leaving, rows


def agrees_with_the_model(case: Case) -> None:
    decision = case.decide()
    first = step(decision.primary.code) if decision.primary else ""
    assert (first, decision.permitted, case.rows()) == naive(case)
    assert all(reason.code in VOCABULARY for reason in decision.reasons)


test_the_naive_model_agrees = settings(ORDINARY, max_examples=300)(given(cases())(agrees_with_the_model))
test_the_naive_model_agrees_twenty_thousand_times = pytest.mark.invariants(
    settings(ORDINARY, max_examples=20_000, derandomize=False, database=None)(given(cases())(agrees_with_the_model))
)
