"""One request that is permitted, and each single thing that turns it into a no: by name, and nothing else is said.

The laws are in `test_laws`, on generated facts; here stands one case of each, quick and readable, for the promises that
rest on it.
"""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from gateway.policy.decide import decide_family
from gateway.policy.facts import Agreement, Consent, Credential, Direction, Facts, OptOut, Person, PolicyVersion
from gateway.policy.request import CATEGORIES, RULES, Actor, ActorKind, Obligation, Operation, Purpose, Request
from gateway.policy.rowplan import build, judge
from mappings.elements import REGISTER
from tests.policy.worlds_of_facts import (
    DAY,
    ELSEWHERE,
    FAMILY,
    HOST,
    INSTANT,
    NEVER,
    NOW,
    RIVAL,
    SCHOOL,
    UNDER,
    VENDOR,
    Case,
    closed,
    family_request,
)

COMMITTED = (
    "no_excess_collection", "no_sale", "no_targeted_ads", "no_profile", "no_material_change_without_choice",
    "no_over_retention", "authorized_collection_only", "clear_disclosure", "access_and_correction", "security_program",
    "vendor_flow_down", "successor_bound", "institutional_function", "direct_control", "no_redisclosure",
)  # fmt: skip
GRADED = frozenset({"person.lti_subject", "result.score", "result.progress", "result.time"})
NAMES = frozenset({"person.name.given", "person.name.family", "record.alias", "record.version"})
ASKED = {
    Operation.ROSTER_READ: ("assessment", Purpose.ROSTERING, NAMES),
    Operation.LAUNCH: ("application", Purpose.ASSESSMENT, NAMES),
    Operation.MEMBERS: ("application", Purpose.ASSESSMENT, NAMES),
    Operation.RESULT_WRITE: ("application", Purpose.ASSESSMENT, frozenset({"result.level"})),
    Operation.GRADE: ("lms", Purpose.GRADING, GRADED),
    Operation.TRANSCRIPT: ("higher_ed", Purpose.TRANSCRIPT, frozenset({"transcript.identity"})),
    Operation.ROSTER_IMPORT: ("sis", Purpose.ROSTERING, NAMES),
}
LEAVES = [o for o in ASKED if RULES[o].directed]
CHILD, GROWN, ADULT = date(2016, 5, 4), date(2010, 5, 4), date(2006, 5, 4)


def good(operation: Operation = Operation.ROSTER_READ, role: str = "district_admin") -> Case:
    """A request that is permitted."""
    category, purpose, elements = ASKED[operation]
    scopes = RULES[operation].scopes
    if operation is Operation.ROSTER_READ:
        scopes = frozenset(s for s in scopes if "demographics" not in s)
    record = "ts_aaaaaaaa@1" if operation is Operation.TRANSCRIPT else None
    teacher = Actor(ActorKind.TEACHER, "la_aaaaaaaa", frozenset({"class 1"}))
    agreement = Agreement(
        UNDER, 1, VENDOR, category, "active", frozenset({SCHOOL}), elements, frozenset({purpose}),
        frozenset({operation}), NOW - DAY, NOW + DAY, True, "", frozenset(COMMITTED), NOW - DAY,
    )  # fmt: skip
    directed = Direction("dr_aaaaaaaa", 1, UNDER, operation, role, "active", NOW - DAY, NOW + DAY, record=record)
    return Case(
        Request("tr_aaaaaaaa", operation, teacher, SCHOOL, VENDOR, purpose, elements, frozenset(), "class 1", record,
                meets=frozenset(Obligation)),
        Facts(True, Credential("gr_aaaaaaaa", VENDOR, UNDER, scopes, frozenset({SCHOOL})), (agreement,),
              (directed,)),
    )  # fmt: skip


def said(case: Case) -> list[str]:
    return [reason.code for reason in case.decide().reasons]


def first(case: Case) -> str:
    """The reason that counts: without an agreement nothing that rests on it holds either."""
    return next(iter(said(case)), "")


def left_out(case: Case) -> dict[str, str]:
    return {name: reason.code for name, reason in case.decide().withheld}


@pytest.mark.parametrize("operation", ASKED)
def test_what_stands_on_everything_it_needs_is_permitted(operation):
    assert said(good(operation)) == []
    assert good(operation).decide().permitted == ASKED[operation][2]


# --- who asks, and who asked for it ----------------------------------------------------------------


def test_nothing_is_permitted_that_could_not_be_written_down():
    assert said(good().known(ledger_ready=False)) == ["LED_UNAVAILABLE"]


def test_a_credential_acts_for_its_own_schools_only():
    assert said(good().credential(schools=frozenset({ELSEWHERE}))) == ["ACT_WRONG_SCHOOL"]


def test_demographics_need_a_scope_of_their_own():
    asked = good().asked(elements=NAMES | {"demographics.sex"}).agreement(schedule=NAMES | {"demographics.sex"})
    assert said(asked) == ["SCP_MISSING"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"class_id": "class 2"}, "ACT_NOT_TEACHER_OF_CLASS", id="another teacher's class"),
        pytest.param({"class_id": None}, "ACT_NOT_TEACHER_OF_CLASS", id="no class"),
        pytest.param({"actor": Actor(ActorKind.PUPIL, "la_aaaaaaaa", frozenset({"class 1"}))}, "ACT_NOT_STAFF",
                     id="no teacher"),
    ],
)  # fmt: skip
def test_a_teacher_sends_grades_of_their_own_classes_only(change, code):
    assert said(good(Operation.GRADE).asked(**change)) == [code]


@pytest.mark.parametrize("operation", LEAVES)
def test_nothing_leaves_that_nobody_directed(operation):
    assert said(good(operation).known(directions=())) == ["DIR_MISSING"]


ADMINS, TEACHERS = {"district_admin", "school_admin"}, {"district_admin", "school_admin", "teacher"}
DIRECTORS = {
    "mastery_track": (TEACHERS, ADMINS),
    "mastery_prep": ({"district_admin"}, {"district_admin"}),
    "class_trak": (TEACHERS, ADMINS),
    "mastery_transcript": (ADMINS, ADMINS | {"eligible_student"}),
    "strictest": ({"district_admin"}, {"district_admin"}),
}


@pytest.mark.parametrize("policy", DIRECTORS)
def test_who_may_direct_what_under_each_policy(policy):
    """Of a transcript also the pupil of age, under one of them; a parent or an unknown role never directs."""
    for operation in LEAVES:
        entitled = DIRECTORS[policy][operation is Operation.TRANSCRIPT]
        for role in ("district_admin", "school_admin", "privacy_officer", "teacher", "eligible_student", "parent", ""):
            reasons = said(good(operation, role=role).known(source_policy=policy))
            assert reasons == ([] if role in entitled else ["DIR_GRANTOR_NOT_ENTITLED"]), (operation, role)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"expires_at": NOW}, "DIR_EXPIRED", id="over"),
        pytest.param({"valid_from": NOW + INSTANT}, "DIR_EXPIRED", id="not yet"),
        pytest.param({"status": "revoked"}, "DIR_REVOKED", id="revoked"),
        pytest.param({"operation": "members.read"}, "DIR_SCOPE_MISMATCH", id="another operation"),
        pytest.param({"record": "ts_bbbbbbbb@1"}, "DIR_SCOPE_MISMATCH", id="another document"),
        pytest.param({"record": "ts_aaaaaaaa@2"}, "DIR_SCOPE_MISMATCH", id="another version"),
        pytest.param({"record": None}, "DIR_MISSING", id="no document"),
        pytest.param({"agreement": "ag_bbbbbbbb"}, "DIR_MISSING", id="another agreement"),
    ],
)
def test_a_direction_is_for_what_it_names_while_it_lasts(change, code):
    assert said(good(Operation.TRANSCRIPT).direction(**change)) == [code]


# --- the agreement ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMITTED)
def test_a_vendor_is_bound_by_every_commitment(name):
    assert first(good().agreement(commitments=frozenset(COMMITTED) - {name})) == "AGR_COMMITMENTS_INCOMPLETE"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"ref": "ag_bbbbbbbb"}, "AGR_NONE", id="none"),
        pytest.param({"vendor": RIVAL}, "AGR_NONE", id="of another vendor"),
        pytest.param({"status": "ended"}, "AGR_REVOKED", id="ended"),
        pytest.param({"status": "suspended"}, "AGR_NOT_EFFECTIVE", id="suspended"),
        pytest.param({"effective_at": NOW + INSTANT}, "AGR_NOT_EFFECTIVE", id="not yet"),
        pytest.param({"expires_at": NOW}, "AGR_EXPIRED", id="over"),
        pytest.param({"schools": frozenset({ELSEWHERE})}, "AGR_SCHOOL_NOT_COVERED", id="for another school"),
        pytest.param({"operations": frozenset({"members.read"})}, "AGR_OPERATION", id="for another operation"),
        pytest.param({"assured_at": None}, "AGR_ASSURANCE_STALE", id="never assured"),
        pytest.param({"assured_at": NOW - 365 * DAY}, "AGR_ASSURANCE_STALE", id="assured a year ago"),
        pytest.param({"debarred_until": NOW + INSTANT}, "AGR_DEBARRED", id="debarred"),
    ],
)
def test_an_agreement_that_does_not_stand_gives_nothing(change, code):
    assert first(good().agreement(**change)) == code


def test_data_go_to_the_hosts_of_the_agreement_only():
    bound = good().agreement(endpoints=frozenset({HOST}))
    assert said(bound.asked(endpoint=HOST)) == []
    assert first(bound.asked(endpoint="evil.example")) == "AGR_ENDPOINT_MISMATCH"


# --- what for --------------------------------------------------------------------------------------


@pytest.mark.parametrize("elements", [NAMES, frozenset({"org.directory"})], ids=["of pupils", "of nobody"])
@pytest.mark.parametrize("purpose", [Purpose.ADVERTISING, Purpose.MARKETING, Purpose.SALE, Purpose.PROFILING])
def test_commerce_and_profiles_are_refused_though_they_are_agreed(purpose, elements):
    """Whatever the data, and whoever permits it: a family's yes is no way around it."""
    asked = good().asked(purpose=purpose, elements=elements).agreement(purposes=frozenset(Purpose))
    assert said(asked) == ["PUR_PROFILE" if purpose is Purpose.PROFILING else "PUR_COMMERCIAL"]


def test_a_purpose_is_named_and_agreed():
    assert said(good().asked(purpose=None)) == ["PUR_MISSING"]
    for purpose in set(Purpose) - {Purpose.ADVERTISING, Purpose.MARKETING, Purpose.SALE, Purpose.PROFILING}:
        reasons = said(good().asked(purpose=purpose))
        assert reasons == ([] if purpose is Purpose.ROSTERING else ["PUR_NOT_PERMITTED"])


def test_there_is_no_purpose_of_outreach_analytics_or_research():
    assert {str(p) for p in Purpose} == {
        "instruction", "grading", "rostering", "assessment_delivery", "school_reporting", "transcript_delivery",
        "admissions_review", "support", "advertising", "marketing", "sale", "profiling",
    }  # fmt: skip
    assert not good().asked(purpose="outreach").agreement(purposes=frozenset({"rostering"})).decide().permits


# --- to whom ---------------------------------------------------------------------------------------

RECEIVE = {
    Operation.ROSTER_READ: CATEGORIES - {"employer"},
    Operation.LAUNCH: {"application", "assessment"},
    Operation.MEMBERS: {"application", "assessment"},
    Operation.GRADE: {"lms", "sis", "gradebook"},
    Operation.TRANSCRIPT: {"higher_ed", "employer"},
}


@pytest.mark.parametrize("operation", LEAVES)
def test_who_receives_is_of_a_kind_that_may(operation):
    """There is no kind for advertisers, data brokers, analysts, social networks; an employer gets transcripts only."""
    assert {"application", "assessment", "lms", "sis", "gradebook", "higher_ed", "employer", "sis_vendor"} == CATEGORIES
    for category in (*CATEGORIES, "analytics", "advertising", "data_broker", "social", ""):
        reasons = said(good(operation).agreement(category=category))
        assert reasons == ([] if category in RECEIVE[operation] else ["RCP_CATEGORY"]), category


# --- which data ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(NEVER))
def test_what_may_never_leave_stays_though_everybody_wants_it(name):
    everything = good().asked(elements=NAMES | {name}).agreement(schedule=NAMES | {name})
    code = "ELM_TECHNICAL" if name.startswith("technical.") else "ELM_NEVER_EXPORT"
    assert left_out(everything.direction(elements=NAMES | {name})) == {name: code}


def test_what_has_no_path_out_is_what_nobody_may_have():
    assert {"person.password", "person.national_id", "result.private_note", "technical.address", "technical.usage",
            "record.extension"} == NEVER  # fmt: skip


PUPILS_OWN = ("result.", "assessment.", "demographics.", "transcript.", "person.", "enrollment.", "launch.")


@pytest.mark.parametrize("operation", LEAVES)
def test_what_is_about_a_pupil_leaves_only_as_far_as_it_is_agreed(operation):
    carried = {
        e for e in RULES[operation].ceiling - NEVER if e.startswith(PUPILS_OWN) and REGISTER[e].category != "NON"
    }
    scopes = RULES[operation].scopes
    for name in carried:
        asked = good(operation).asked(elements=closed({name})).credential(scopes=scopes)
        assert "ELM_NOT_IN_SCHEDULE" in said(asked.agreement(schedule=frozenset()))
        assert said(asked.agreement(schedule=closed({name}))) == []
        assert "ELM_NOT_IN_SCHEDULE" in said(
            asked.agreement(schedule=closed({name})).direction(elements=frozenset({"org.directory"}))
        )


def test_an_element_more_than_was_agreed_is_withheld_by_name():
    assert left_out(good().asked(elements=NAMES | {"person.email"})) == {"person.email": "ELM_NOT_IN_SCHEDULE"}


def test_a_grade_has_no_comment_and_a_transcript_nothing_but_itself():
    more = {Operation.GRADE: "person.email", Operation.TRANSCRIPT: "result.score", Operation.LAUNCH: "result.score"}
    for operation, name in more.items():
        asked = good(operation).asked(elements=ASKED[operation][2] | {name})
        asked = asked.agreement(schedule=ASKED[operation][2] | {name})
        assert left_out(asked) == {name: "ELM_NOT_IN_SCHEDULE"}


def test_an_element_nobody_classified_stops_everything():
    assert said(good().asked(elements=NAMES | {"shoe.size"})) == ["ELM_UNCLASSIFIED"]


@pytest.mark.parametrize("operation", [Operation.ROSTER_READ, Operation.LAUNCH, Operation.MEMBERS])
def test_ids_are_the_recipients_own_and_it_is_told_to_disclose_to_nobody(operation):
    duties = set(good(operation).decide().obligations)
    assert duties == {Obligation.ALIASES, Obligation.REDISCLOSURE_NOTICE}
    for duty in duties:
        assert said(good(operation).asked(meets=frozenset(Obligation) - {duty})) == ["INT_OBLIGATION_UNSUPPORTED"]


# --- whose row -------------------------------------------------------------------------------------


def row(case: Case, person: Person) -> str:
    """Why a person's row stays, or nothing."""
    reason = judge(case.decide().plan, person)
    return reason.code if reason else ""


def pupil(born: date | None = GROWN, **more: Any) -> Person:
    return replace(Person(True, True, born, collected_at=NOW - DAY), **more)


YES = Consent("co_aaaaaaaa", 1, "disclose", "given", UNDER, NOW - DAY, None, "parent", True)


def test_a_row_of_another_school_of_nobody_or_erased_is_none():
    assert row(good(), pupil()) == ""
    assert row(good(), pupil(associated=False)) == "OWN_NOT_ASSOCIATED"
    assert row(good(), pupil(associated=False, erased=True)) == "OWN_NOT_ASSOCIATED"
    assert row(good(), pupil(erased=True)) == "RET_ERASED"


AGES = {"mastery_track": 12, "mastery_prep": 12, "class_trak": 13, "mastery_transcript": 12, "strictest": 13}
FAMILY_IS_ENOUGH = {"mastery_track", "mastery_transcript"}


@pytest.mark.parametrize("policy", AGES)
def test_a_child_needs_the_schools_agreement_until_the_age_of_each_policy(policy):
    last = AGES[policy]
    alone = good().agreement(school_agent=False).known(source_policy=policy)
    code = "CON_REQUIRED" if policy in FAMILY_IS_ENOUGH else "AGE_CHILD_NO_SCHOOL_AGREEMENT"
    birthday = NOW.date().replace(year=NOW.year - last - 1)
    for born, reason in ((birthday, ""), (birthday + DAY, code), (None, code)):
        assert row(alone, pupil(born)) == reason
        assert row(good().known(source_policy=policy), pupil(born)) == ""
    assert row(alone, pupil(None, is_pupil=False)) == ""
    assert row(alone, pupil(CHILD, consents=(YES,))) == ("" if policy in FAMILY_IS_ENOUGH else code)


@pytest.mark.parametrize(
    ("born", "change", "code"),
    [
        pytest.param(CHILD, {}, "", id="given"),
        pytest.param(CHILD, {"evidenced": False}, "CON_EVIDENCE_MISSING", id="without evidence"),
        pytest.param(CHILD, {"scope": "use"}, "CON_THIRD_PARTY_NOT_SEPARATE", id="to use only"),
        pytest.param(CHILD, {"status": "pending"}, "CON_PENDING", id="no answer yet"),
        pytest.param(CHILD, {"valid_until": NOW}, "CON_EXPIRED", id="run out"),
        pytest.param(CHILD, {"valid_from": NOW + INSTANT}, "CON_REQUIRED", id="not yet"),
        pytest.param(CHILD, {"agreement": "ag_bbbbbbbb"}, "CON_REQUIRED", id="for another"),
        pytest.param(CHILD, {"grantor": "eligible_student"}, "CON_GRANTOR_NOT_ENTITLED", id="by the child"),
        pytest.param(CHILD, {"grantor": "teacher"}, "CON_GRANTOR_NOT_ENTITLED", id="by a teacher"),
        pytest.param(ADULT, {}, "AGE_RIGHTS_TRANSFERRED", id="by a parent of somebody of age"),
        pytest.param(ADULT, {"grantor": "eligible_student"}, "", id="by a pupil of age"),
    ],
)
def test_a_yes_counts_as_it_was_given(born, change, code):
    asked = good().agreement(consent_needed=True)
    assert row(asked, pupil(born, consents=(replace(YES, **change),))) == code


def test_saying_nothing_is_no_yes():
    assert row(good().agreement(consent_needed=True), pupil(CHILD)) == "CON_REQUIRED"


def test_a_no_counts_from_the_moment_it_is_said():
    for scope, status, code in (
        ("use", "refused", "RET_RESTRICTED"), ("use", "withdrawn", "RET_RESTRICTED"),
        ("disclose", "refused", "CON_REFUSED"), ("disclose", "withdrawn", "CON_WITHDRAWN"),
    ):  # fmt: skip
        no = replace(YES, scope=scope, status=status, agreement=None, valid_from=NOW)
        assert row(good(), pupil(consents=(no,))) == code
        assert row(good(), pupil(consents=(YES, no))) == code
        assert row(good(), pupil(consents=(replace(no, valid_from=NOW + INSTANT),))) == ""


def test_who_opted_out_of_a_kind_of_recipient_stays_out():
    out = OptOut("oo_aaaaaaaa", 1, "assessment", "active", NOW, None)
    assert row(good(), pupil(opt_outs=(out,))) == "CON_OPT_OUT"
    assert row(good(), pupil(opt_outs=(replace(out, category=None),))) == "CON_OPT_OUT"
    assert row(good(), pupil(opt_outs=(replace(out, category="lms"),))) == ""


def test_a_decision_rests_on_papers_and_the_roster_and_on_nothing_a_course_says():
    """What a course shows to whom is no fact: whether its teacher makes it public cannot change an answer."""
    assert {f.name for f in fields(Facts)} == {
        "ledger_ready", "credential", "agreements", "directions", "source_policy", "policy_versions"
    }  # fmt: skip
    assert {f.name for f in fields(Person)} == {
        "associated", "is_pupil", "birth_date", "erased", "consents", "opt_outs", "collected_at", "ref"
    }  # fmt: skip


# --- versions of the policy ------------------------------------------------------------------------


def changed(policy: str, change: str, **more: Any) -> Case:
    version = PolicyVersion(policy, 2, change, NOW, **more)
    return good().known(source_policy=policy, policy_versions=(version,))


TOLD_OF_ALL, WAITS = {"mastery_transcript", "strictest"}, {"mastery_prep", "strictest"}


@pytest.mark.parametrize("policy", AGES)
def test_a_school_is_told_of_a_change_before_it_counts(policy):
    for change in ("material", "less_restrictive"):
        assert "POL_NOTICE_PENDING" in said(changed(policy, change, accepted=True))
    editorial = said(changed(policy, "editorial"))
    assert editorial == (["POL_NOTICE_PENDING"] if policy in TOLD_OF_ALL else [])


@pytest.mark.parametrize("policy", AGES)
def test_a_change_waits_for_the_word_of_the_school_or_of_its_children(policy):
    waiting = changed(policy, "material", noticed=True)
    assert said(waiting) == (["POL_RECONSENT_REQUIRED"] if policy in WAITS else [])
    if policy not in WAITS:
        assert row(waiting, pupil(CHILD)) == "POL_RECONSENT_REQUIRED"
        assert row(waiting, pupil()) == ""
    agreed = changed(policy, "material", noticed=True, accepted=True)
    assert (said(agreed), row(agreed, pupil(CHILD))) == ([], "")


@pytest.mark.parametrize("policy", sorted(set(AGES) - WAITS))
def test_what_was_collected_before_is_not_used_for_what_a_change_permits(policy):
    opened = changed(policy, "less_restrictive", noticed=True, opens=frozenset({Purpose.ROSTERING}))
    assert row(opened, pupil()) == "POL_LESS_RESTRICTIVE_OLD_DATA"
    assert row(opened, pupil(collected_at=None)) == "POL_LESS_RESTRICTIVE_OLD_DATA"
    assert row(opened, pupil(collected_at=NOW)) == ""
    for words in ({"opens": frozenset({Purpose.SUPPORT})}, {"opens": frozenset({Purpose.ROSTERING}), "accepted": True}):
        assert row(changed(policy, "less_restrictive", noticed=True, **words), pupil()) == ""


# --- a family --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        pytest.param({}, "", id="its own child"),
        pytest.param({"ledger_ready": False}, "LED_UNAVAILABLE", id="no ledger"),
        pytest.param({"verified": False}, "ACT_FAMILY_UNVERIFIED", id="no code"),
        pytest.param({"person": pupil(associated=False)}, "OWN_NOT_ASSOCIATED", id="a child of nobody here"),
        pytest.param({"person": pupil(erased=True)}, "RET_ERASED", id="an erased child"),
    ],
)
def test_a_family_with_a_code_reads_about_its_own_child_and_nothing_else(facts, code):
    known = {"ledger_ready": True, "verified": True, "person": pupil()} | facts
    decision = decide_family(family_request(frozenset(REGISTER)), **known)
    assert [reason.code for reason in decision.reasons] == ([code] if code else [])
    assert decision.permitted == (frozenset() if code else FAMILY)


def test_two_schools_of_one_credential_are_decided_one_by_one():
    """A plan knows no school but its own: it is the same whatever else the credential opens."""
    alone, both = good(), good().credential(schools=frozenset({SCHOOL, ELSEWHERE}))
    agreement = alone.facts.agreements[0]
    assert build(alone.request, agreement, alone.facts, NOW) == build(both.request, agreement, both.facts, NOW)
    assert first(both.asked(school=ELSEWHERE)) == "AGR_SCHOOL_NOT_COVERED"
