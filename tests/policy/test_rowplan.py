"""Whose rows: where childhood ends, which reason comes first; and SQL keeps the rows that judging one by one keeps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.policy.facts import Agreement, Consent, Facts, OptOut, Person, PolicyVersion
from gateway.policy.request import Actor, ActorKind, Operation, Purpose, Request
from gateway.policy.rowplan import (
    NOTHING,
    CollectedSince,
    Consented,
    Grown,
    NotOptedOut,
    NotRefused,
    NotRestricted,
    OfAge,
    Owned,
    RowPlan,
    born_by,
    build,
    judge,
)
from gateway.store import facts as fact_store
from gateway.store import on_file, pages
from gateway.store.tenant import Session
from mappings.oneroster.v1p2 import COLLECTIONS
from tests.deliveries import Delivery
from tests.policy.worlds_of_facts import DAY, FEW, INSTANT, NOW, ORDINARY
from tests.worlds import World

REQUEST = Request("tr_aaaaaaaa", Operation.ROSTER_READ, Actor(ActorKind.VENDOR, "gr_aaaaaaaa"), "sch_aaaaaaaa",
                  "ven_aaaaaaaa", Purpose.ROSTERING, frozenset())  # fmt: skip
AGREEMENT = Agreement("ag_aaaaaaaa", 1, "ven_aaaaaaaa", "lms", "active", frozenset(), frozenset(), frozenset(),
                      frozenset(), NOW - DAY, NOW + DAY)  # fmt: skip


CHANGE = PolicyVersion("class_trak", 2, "less_restrictive", NOW, True, False, frozenset({Purpose.ROSTERING}))


def plan_of(
    agreement: Agreement, policy: str = "strictest", now: datetime = NOW, versions: tuple[PolicyVersion, ...] = ()
) -> RowPlan:
    return build(REQUEST, agreement, Facts(source_policy=policy, policy_versions=versions), now)


def on(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}T00:00:00+00:00")


# --- where childhood ends --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("today", "child_age", "last"),
    [
        pytest.param("2026-11-02", 12, "2013-11-02", id="thirteen today"),
        pytest.param("2026-11-02", 13, "2012-11-02", id="fourteen today"),
        pytest.param("2026-03-01", 13, "2012-03-01", id="born on a leap day, of age on 1 March"),
        pytest.param("2026-02-28", 13, "2012-02-28", id="born on a leap day, a child on 28 February"),
        pytest.param("2028-02-29", 11, "2016-02-29", id="leap day to leap day"),
        pytest.param("2028-02-29", 13, "2014-02-28", id="leap day to no leap day"),
        pytest.param("2028-02-28", 13, "2014-02-28", id="the day before a leap day"),
        pytest.param("2028-03-01", 13, "2014-03-01", id="the day after a leap day"),
        pytest.param("2027-01-01", 12, "2014-01-01", id="new year"),
        pytest.param("2026-12-31", 12, "2013-12-31", id="last day of the year"),
        pytest.param("2100-02-28", 12, "2087-02-28", id="a century without a leap day"),
    ],
)
def test_the_last_birth_date_of_somebody_grown(today, child_age, last):
    assert born_by(child_age, on(today)) == date.fromisoformat(last)


def _age(born: date, today: date) -> int:
    """Whole years lived; whoever was born on a leap day has its birthday on 1 March of other years."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


@settings(ORDINARY, max_examples=200)
@given(st.dates(date(1990, 1, 1), date(2040, 12, 31)), st.integers(10, 17), st.integers(-2, 2))
def test_born_by_tells_children_from_others_to_the_day(today, child_age, days):
    at = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    born = born_by(child_age, at) + timedelta(days=days)
    assert (born <= born_by(child_age, at)) == (_age(born, today) > child_age)


@pytest.mark.parametrize("role", ["pupil", "other"])
@pytest.mark.parametrize(
    ("born", "grown"),
    [
        pytest.param(date(2012, 11, 1), True, id="the day before"),
        pytest.param(date(2012, 11, 2), True, id="the day"),
        pytest.param(date(2012, 11, 3), False, id="the day after"),
        pytest.param(None, False, id="not known"),
    ],
)
def test_a_pupil_of_unknown_or_tender_age_is_a_child_others_never_are(born, grown, role):
    person = Person(True, role == "pupil", born)
    plan = plan_of(replace(AGREEMENT, school_agent=False))
    assert (judge(plan, person) is None) == (grown or role == "other")
    assert judge(plan_of(replace(AGREEMENT, school_agent=True)), person) is None


# --- which reason comes first ----------------------------------------------------------------------


def _no(scope: str, status: str = "refused", agreement: str | None = AGREEMENT.ref) -> Consent:
    return Consent("co_aaaaaaaa", 1, scope, status, agreement, NOW - DAY, None)


EVERYTHING = Person(False, True, None, True, (_no("use"), _no("disclose", "withdrawn"), _no("disclose")))
CHAIN = {
    "OWN_NOT_ASSOCIATED": EVERYTHING,
    "RET_ERASED": replace(EVERYTHING, associated=True),
    "AGE_CHILD_NO_SCHOOL_AGREEMENT": replace(EVERYTHING, associated=True, erased=False),
    "CON_REFUSED": Person(True, False, None, False, EVERYTHING.consents),
    "CON_WITHDRAWN": Person(True, False, None, False, EVERYTHING.consents[:2]),
    "RET_RESTRICTED": Person(True, False, None, False, EVERYTHING.consents[:1]),
}


@pytest.mark.parametrize(("code", "person"), [pytest.param(code, who, id=code) for code, who in CHAIN.items()])
def test_ownership_comes_before_childhood_before_consent_before_restriction(code, person):
    assert judge(plan_of(AGREEMENT), person).code == code


def test_a_plan_without_parts_keeps_nobody():
    assert judge(NOTHING, Person(True, False)) is not None


@pytest.mark.parametrize(
    ("consent", "kept"),
    [
        pytest.param(_no("disclose"), False, id="refused to this agreement"),
        pytest.param(_no("disclose", agreement=None), False, id="refused to all"),
        pytest.param(_no("disclose", agreement="ag_bbbbbbbb"), True, id="refused to another"),
        pytest.param(_no("disclose", "withdrawn"), False, id="withdrawn"),
        pytest.param(_no("disclose", "given"), True, id="given"),
        pytest.param(_no("use", agreement="ag_bbbbbbbb"), False, id="restricted, whatever the agreement"),
        pytest.param(_no("use", "given"), True, id="use permitted"),
        pytest.param(replace(_no("use"), valid_from=NOW), False, id="from now"),
        pytest.param(replace(_no("use"), valid_from=NOW + INSTANT), True, id="from a moment later"),
        pytest.param(replace(_no("use"), valid_until=NOW), True, id="until now"),
        pytest.param(replace(_no("use"), valid_until=NOW + INSTANT), False, id="until a moment later"),
    ],
)
def test_a_refusal_stands_for_its_agreement_and_its_time(consent, kept):
    reason = judge(plan_of(AGREEMENT), Person(True, False, consents=(consent,)))
    assert (reason is None) == kept


# --- consent ---------------------------------------------------------------------------------------

YES = Consent("co_aaaaaaaa", 1, "disclose", "given", AGREEMENT.ref, NOW - DAY, None, "parent", True)
CHILD, ADULT = date(2015, 1, 1), date(2008, 11, 2)  # of age on this very day
ANSWERS = {
    "given": (CHILD, YES, None),
    "given for all": (CHILD, replace(YES, agreement=None), None),
    "given by the school as the family's agent": (CHILD, replace(YES, grantor="school_as_agent"), None),
    "given by the pupil of age": (ADULT, replace(YES, grantor="eligible_student"), None),
    "nothing": (CHILD, None, "CON_REQUIRED"),
    "given to another": (CHILD, replace(YES, agreement="ag_bbbbbbbb"), "CON_REQUIRED"),
    "from tomorrow": (CHILD, replace(YES, valid_from=NOW + DAY), "CON_REQUIRED"),
    "asked": (CHILD, replace(YES, status="pending"), "CON_PENDING"),
    "until now": (CHILD, replace(YES, valid_until=NOW), "CON_EXPIRED"),
    "to use": (CHILD, replace(YES, scope="use"), "CON_THIRD_PARTY_NOT_SEPARATE"),
    "without evidence": (CHILD, replace(YES, evidenced=False), "CON_EVIDENCE_MISSING"),
    "by the child": (CHILD, replace(YES, grantor="eligible_student"), "CON_GRANTOR_NOT_ENTITLED"),
    "by a parent of somebody of age": (ADULT, YES, "AGE_RIGHTS_TRANSFERRED"),
    "by a parent, of unknown age": (None, YES, None),
    "refused too": (CHILD, replace(YES, status="refused"), "CON_REQUIRED"),
}


@pytest.mark.parametrize(("born", "said", "code"), ANSWERS.values(), ids=list(ANSWERS))
def test_what_comes_nearest_to_a_consent_is_said(born, said, code):
    person = Person(True, True, born, consents=(said,) if said else ())
    for agreement, policy in (
        (replace(AGREEMENT, school_agent=True, consent_needed=True), "strictest"), (AGREEMENT, "mastery_track"),
    ):  # fmt: skip
        plan = plan_of(agreement, policy)
        if policy != "strictest" and born == ADULT:
            continue  # no child: nobody has to agree
        assert getattr(judge(plan, person), "code", None) == code
    assert judge(plan_of(replace(AGREEMENT, school_agent=True, consent_needed=True)), Person(True, False)) is None


def test_a_change_of_the_policy_reaches_neither_children_nor_what_was_delivered_before():
    plan = plan_of(replace(AGREEMENT, school_agent=True), "class_trak", versions=(CHANGE,))
    grown = Person(True, True, date(2009, 1, 1), collected_at=NOW)
    assert judge(plan, grown) is None
    assert judge(plan, replace(grown, birth_date=date(2013, 1, 1))).code == "POL_RECONSENT_REQUIRED"
    for old in (NOW - INSTANT, None):
        assert judge(plan, replace(grown, collected_at=old)).code == "POL_LESS_RESTRICTIVE_OLD_DATA"
    agreed = plan_of(replace(AGREEMENT, school_agent=True), "class_trak", versions=(replace(CHANGE, accepted=True),))
    assert judge(agreed, replace(grown, birth_date=date(2013, 1, 1), collected_at=None)) is None


# --- the law: compiled rows equal deciding row by row ----------------------------------------------


@dataclass(frozen=True)
class Someone:
    """A person of a generated district: a role at each school, and what the family answered there, by version."""

    at: dict[str, str]
    born: date | None
    answers: tuple[tuple[str, tuple[Consent, ...]], ...]
    opt_outs: tuple[tuple[str, tuple[OptOut, ...]], ...] = ()


SCHOOLS = "ABCD"
_born = st.none() | st.sampled_from([date(year, 11, day) for year in (2008, 2012, 2013) for day in (1, 2, 3)]
) | st.dates(
    date(2005, 1, 1), date(2020, 12, 31)
)  # fmt: skip
_answer = st.builds(
    Consent, st.just(""), st.just(0), st.sampled_from(["use", "disclose", "collect"]),
    st.sampled_from(["given", "given", "pending", "refused", "withdrawn"]),
    st.sampled_from([None, "ag_aaaaaaaa", "ag_bbbbbbbb"]),
    st.sampled_from([NOW - DAY, NOW, NOW + INSTANT, NOW + DAY]), st.sampled_from([None] * 3 + [NOW, NOW + DAY]),
    st.sampled_from(["parent", "parent", "eligible_student", "school_as_agent"]), st.booleans(),
)  # fmt: skip
_opt_out = st.builds(
    OptOut, st.just(""), st.just(0), st.sampled_from([None, "lms", "sis"]), st.sampled_from(["active", "ended"]),
    st.sampled_from([NOW - DAY, NOW, NOW + DAY]), st.sampled_from([None, None, NOW, NOW + DAY]),
)  # fmt: skip
_versions = st.lists(_answer, min_size=1, max_size=3).map(tuple)
_someone = st.builds(
    Someone,
    st.dictionaries(st.sampled_from(SCHOOLS), st.sampled_from(["student", "teacher"]), min_size=1),
    _born,
    st.lists(st.tuples(st.sampled_from(SCHOOLS), _versions), max_size=2).map(tuple),
    st.lists(
        st.tuples(st.sampled_from(SCHOOLS), st.lists(_opt_out, min_size=1, max_size=2).map(tuple)), max_size=1
    ).map(tuple),
)
districts = st.lists(_someone, min_size=6, max_size=20).map(tuple)
PLANS = {
    "a school's word": plan_of(replace(AGREEMENT, school_agent=True)),
    "strictest": plan_of(AGREEMENT),
    "another policy": plan_of(AGREEMENT, "mastery_track"),
    "another agreement": plan_of(replace(AGREEMENT, ref="ag_bbbbbbbb"), "class_trak"),
    "a moment before": plan_of(AGREEMENT, now=NOW - INSTANT),
    "consent needed": plan_of(replace(AGREEMENT, school_agent=True, consent_needed=True)),
    "a family's word for a child": plan_of(AGREEMENT, "mastery_transcript"),
    "a change that waits": plan_of(AGREEMENT, "class_trak", versions=(CHANGE,)),
    "nothing": NOTHING,
}
REFUSED, RESTRICTED = NotRefused("ag_aaaaaaaa", NOW), NotRestricted(NOW)
AGREED = Consented("ag_aaaaaaaa", NOW, date(2008, 11, 2))
ODD_PLANS = {
    "agreed, twice": RowPlan((Owned(), AGREED, replace(AGREED, agreement="ag_bbbbbbbb"))),
    "of age or agreed": RowPlan((Owned(), OfAge(date(2012, 11, 2), AGREED), Grown(date(2013, 1, 1)))),
    "collected since": RowPlan((Owned(), CollectedSince(NOW), NotOptedOut("lms", NOW))),
    "collected too early": RowPlan((Owned(), CollectedSince(NOW + DAY))),
    "ownership alone": RowPlan((Owned(),)),
    "refusals without restrictions": RowPlan((Owned(), REFUSED)),
    "two agreements": RowPlan((Owned(), REFUSED, NotRefused("ag_bbbbbbbb", NOW), RESTRICTED)),
    "two ages": RowPlan((Owned(), OfAge(date(2012, 11, 2)), OfAge(date(2013, 11, 2)), REFUSED, RESTRICTED)),
    "two moments": RowPlan(
        (Owned(), replace(REFUSED, at=NOW + DAY), replace(RESTRICTED, at=NOW + DAY), REFUSED, RESTRICTED)
    ),
}
KINDS = ("students", "enrollments", "demographics")


def _peopled(world: World, people: tuple[Someone, ...]) -> World:
    """A district of its own beside the test's, with these people and their families' answers."""
    made = World(world.office, world.clock).onboard(*SCHOOLS)
    delivery = Delivery().frame(*SCHOOLS)
    for school in SCHOOLS:
        delivery.class_(f"k{school}", school)
    for number, person in enumerate(people):
        name, born = f"p{number}", person.born.isoformat() if person.born else ""
        delivery.person(name, "student", *person.at, born=born)
        for school, role in person.at.items():
            delivery.row("roles.csv", f"r.{name}.{school}")["role"] = role
            delivery.enroll(name, f"k{school}", school, role)
    assert made.deliver(delivery).state == "published"
    for number, person in enumerate(people):
        for kind, said in (("consent", person.answers), ("opt_out", person.opt_outs)):
            for place, (school, versions) in enumerate(said):
                with world.office.database.open_school(made.places[school]) as session:
                    for one in versions:
                        columns = asdict(one)
                        del columns["ref"], columns["version"]
                        on_file.record(session, kind, f"{kind}_p{number}n{place}", NOW, "family", body={}, **columns,
                                       person_id=f"p{number}")  # fmt: skip
    return made


def _expected(people: tuple[Someone, ...], school: str, now: datetime) -> dict[str, Person]:
    """The people of one school as the generator knows them: the last version of each answer given there."""
    found = {}
    for number, person in enumerate(people):
        consents, opt_outs = (
            tuple(
                replace(versions[-1], ref=f"{kind}_p{number}n{place}", version=len(versions))
                for place, (at, versions) in enumerate(said) if at == school
            )
            for kind, said in (("consent", person.answers), ("opt_out", person.opt_outs))
        )  # fmt: skip
        if school in person.at:
            pupil = person.at[school] == "student"
            found[f"p{number}"] = Person(True, pupil, person.born, False, consents, opt_outs, now, f"p{number}")
    return found


def _read(session: Session, kind: str, plan: RowPlan) -> set[str]:
    pinned = pages.versions(session)
    wanted = pages.Wanted(COLLECTIONS[kind], ("sourcedId",), plan, "gr_aaaaaaaa", False, "", pinned, 1000)
    found = pages.read(session, wanted)
    assert pages.count(session, wanted) == len(found)
    assert all(found.people)
    return {str(person) for person in found.people}


def _kept(plan: RowPlan, people: dict[str, Person], kind: str) -> set[str]:
    """Judged one by one: pupils of /students, everybody of /enrollments, those with a birth date of /demographics."""
    there = {"students": lambda p: p.is_pupil, "enrollments": lambda p: True, "demographics": lambda p: p.birth_date}
    return {name for name, person in people.items() if there[kind](person) and judge(plan, person) is None}


def _withheld(session: Session, plan: RowPlan) -> Counter[str]:
    school = session.place.school
    return pages.withheld(session, {school: plan})[school]


def _reasons(plan: RowPlan, people: dict[str, Person]) -> Counter[str]:
    """Why each of those is withheld, judged one by one; a plan that keeps nothing counts nobody."""
    reasons = [judge(plan, person) for person in people.values()] if plan.parts else []
    return Counter(reason.code for reason in reasons if reason)


def _law(world: World, people: tuple[Someone, ...]) -> None:
    made, by_school = _peopled(world, people), {}
    for school in SCHOOLS:
        with world.office.database.open_school(made.places[school]) as session:
            by_school[school] = fact_store.people(session, (f"p{n}" for n in range(len(people))))
            assert by_school[school] == _expected(people, school, world.clock.at)
            for plan, kind in _each():
                assert _read(session, kind, plan) == _kept(plan, by_school[school], kind)
            for plan in PLANS.values():
                assert _withheld(session, plan) == _reasons(plan, by_school[school])
    places = [made.places[school].school for school in SCHOOLS]
    with world.office.database.open_schools(made.places["A"].district, places) as session:
        for plan, kind in _each():
            union = set().union(*(_kept(plan, own, kind) for own in by_school.values()))
            assert _read(session, kind, plan) == union


def _each() -> Iterator[tuple[RowPlan, str]]:
    return ((plan, kind) for plan in PLANS.values() for kind in KINDS)


_on_a_world = {"suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]}


@settings(FEW, max_examples=8, **_on_a_world)
@given(people=districts)
def test_the_rows_read_are_the_rows_judged(world: Any, people):
    _law(world, people)


@pytest.mark.invariants
@settings(FEW, max_examples=200, derandomize=False, database=None, **_on_a_world)
@given(people=districts)
def test_the_rows_read_are_the_rows_judged_two_hundred_times(world: Any, people):
    _law(world, people)


@pytest.mark.parametrize("plan", [pytest.param(plan, id=name) for name, plan in ODD_PLANS.items()])
def test_the_rows_read_are_the_rows_judged_whatever_the_plan(world, plan):
    """Any tree of parts, with none or two of a kind: a grant for several schools joins the parts of their plans."""
    refused = Consent("", 0, "disclose", "refused", "ag_aaaaaaaa", NOW - DAY, None)
    answers = [
        (), (refused,), (replace(refused, status="withdrawn"),), (replace(refused, agreement="ag_bbbbbbbb"),),
        (replace(refused, agreement=None),), (replace(refused, scope="use"),),
        (replace(refused, valid_from=NOW + DAY),), (replace(refused, scope="use", valid_from=NOW + DAY),),
    ]  # fmt: skip
    people = tuple(
        Someone({"A": "student"}, born, (("A", said),) if said else ())
        for said in answers
        for born in (date(2013, 2, 1), date(2010, 2, 1))
    )
    made = _peopled(world, people)
    with world.office.database.open_school(made.places["A"]) as session:
        known = fact_store.people(session, (f"p{n}" for n in range(len(people))))
        assert _read(session, "students", plan) == _kept(plan, known, "students")
        assert _withheld(session, plan) == _reasons(plan, known)
