"""Requests and facts in abundance: cases that must be permitted, what spoils or narrows one, and cases of any kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st

from gateway.policy.agreements import COMMITMENTS
from gateway.policy.decide import Decision, decide, decide_person
from gateway.policy.facts import Agreement, Consent, Credential, Direction, Facts, OptOut, Person, PolicyVersion
from gateway.policy.request import (
    CATEGORIES,
    COMMERCIAL,
    DEMOGRAPHICS_SCOPE,
    ROSTER_CORE_SCOPE,
    ROSTER_SCOPE,
    RULES,
    Actor,
    ActorKind,
    Obligation,
    Operation,
    Purpose,
    Request,
)
from gateway.policy.source_policies import PROFILES
from mappings.elements import REGISTER

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
DAY, INSTANT = timedelta(days=1), timedelta(microseconds=1)
SCHOOL, ELSEWHERE = "sch_aaaaaaaa", "sch_bbbbbbbb"
OTHER_SCHOOLS = frozenset({ELSEWHERE, "sch_cccccccc", "sch_dddddddd"})  # what a vendor of this one may serve too
VENDOR, RIVAL = "ven_aaaaaaaa", "ven_bbbbbbbb"
UNDER = "ag_aaaaaaaa"
OPERATIONS = tuple(o for o in RULES if o is not Operation.FAMILY)
OBLIGED = (Operation.ROSTER_READ, Operation.LAUNCH, Operation.MEMBERS, Operation.TRANSCRIPT, Operation.GRADE)
DIRECTED = tuple(o for o in OPERATIONS if RULES[o].directed)
SCOPED = tuple(o for o in OPERATIONS if RULES[o].scopes)
FORBIDDEN_PURPOSES = (*sorted(COMMERCIAL), Purpose.PROFILING)
PURPOSES = tuple(p for p in Purpose if p not in FORBIDDEN_PURPOSES)
ROLES = ("district_admin", "school_admin", "teacher", "eligible_student", "parent")
NEVER = frozenset(e.id for e in REGISTER.values() if e.never_export or e.technical)

ORDINARY = settings(
    max_examples=40, deadline=None, derandomize=True, phases=(Phase.explicit, Phase.generate, Phase.shrink)
)
FEW = settings(ORDINARY, max_examples=12)


def free(name: str) -> bool:
    """Whether an element needs no agreement: no student data, or the random number that stands for a record."""
    return REGISTER[name].category == "NON" or name == "record.alias"


def closed(names: Iterable[str]) -> frozenset[str]:
    """Elements together with those they are derived from."""
    found = set(names)
    return frozenset(found.union(*(REGISTER[name].derived_from for name in found)))


@dataclass(frozen=True)
class Case:
    """A request, the facts it meets, and the people whose rows it may reach. Changes make another case."""

    request: Request
    facts: Facts
    people: tuple[Person, ...] = ()

    def decide(self) -> Decision:
        return decide(self.request, self.facts, NOW)

    def rows(self) -> frozenset[int]:
        """The people whose rows may leave, by number."""
        decided = enumerate(decide_person(self.request, self.facts, person, NOW) for person in self.people)
        return frozenset(number for number, decision in decided if decision.permits)

    def asked(self, **changes: Any) -> Case:
        return replace(self, request=replace(self.request, **changes))

    def known(self, **changes: Any) -> Case:
        return replace(self, facts=replace(self.facts, **changes))

    def credential(self, **changes: Any) -> Case:
        held = self.facts.credential
        return self.known(credential=replace(held, **changes)) if held else self

    def agreement(self, **changes: Any) -> Case:
        """The same with its first agreement changed."""
        first, rest = self.facts.agreements[:1], self.facts.agreements[1:]
        return self.known(agreements=(*(replace(one, **changes) for one in first), *rest))

    def direction(self, **changes: Any) -> Case:
        """The same with its first direction changed."""
        first, rest = self.facts.directions[:1], self.facts.directions[1:]
        return self.known(directions=(*(replace(one, **changes) for one in first), *rest))

    def teacher(self, **changes: Any) -> Case:
        return self.asked(actor=replace(self.request.actor, **changes))


# --- people ----------------------------------------------------------------------------------------

moments = st.sampled_from([NOW - DAY, NOW - INSTANT, NOW, NOW + INSTANT, NOW + DAY])
birth_dates = st.none() | st.sampled_from(
    [date(2026 - age, 11, day) for age in (12, 13, 14, 18) for day in (1, 2, 3)] + [date(2012, 2, 29), date(1980, 5, 1)]
)
refusals = st.builds(
    Consent, st.just("co_aaaaaaaa"), st.just(1), st.sampled_from(["use", "disclose", "collect"]),
    st.sampled_from(["refused", "withdrawn"]), st.sampled_from([None, UNDER, "ag_other000"]), moments,
    st.none() | moments,
)  # fmt: skip
yeses = st.builds(
    Consent, st.just("co_bbbbbbbb"), st.just(1), st.sampled_from(["use", "disclose", "disclose"]),
    st.sampled_from(["given", "given", "pending"]), st.sampled_from([None, UNDER, UNDER, "ag_other000"]), moments,
    st.none() | moments, st.sampled_from(["parent", "eligible_student", "school_as_agent"]), st.booleans(),
)  # fmt: skip
consents = refusals | yeses
opt_outs = st.builds(
    OptOut, st.just("oo_aaaaaaaa"), st.just(1), st.sampled_from([None, *sorted(CATEGORIES)]),
    st.sampled_from(["active", "active", "ended"]), moments, st.none() | moments,
)  # fmt: skip
people = st.builds(
    Person, st.sampled_from([True] * 9 + [False]), st.booleans(), birth_dates, st.sampled_from([False] * 9 + [True]),
    st.lists(consents, max_size=3).map(tuple), st.lists(opt_outs, max_size=1).map(tuple), st.none() | moments,
)  # fmt: skip


# --- cases that must be permitted ------------------------------------------------------------------


def subset(names: Collection[str], least: int = 0) -> st.SearchStrategy[frozenset[str]]:
    """Some of these names, one bit for each: what is drawn most in a case is drawn fast."""
    listed = sorted(names)
    bits = st.integers(min(least, len(listed)), (1 << len(listed)) - 1)
    return bits.map(lambda mask: frozenset(name for place, name in enumerate(listed) if mask >> place & 1))


_with_others = subset(OTHER_SCHOOLS).map(lambda others: others | {SCHOOL})


@st.composite
def permitted(draw: Any, operations: tuple[Operation, ...] = OPERATIONS) -> Case:
    """A case with every supporting fact, one of each."""
    operation = draw(st.sampled_from(operations))
    rule, policy = RULES[operation], draw(st.sampled_from(sorted(PROFILES)))
    carried = {e for e in rule.ceiling if not REGISTER[e].never_export}
    substance = draw(subset({e for e in carried if not e.startswith("record.")}, 1))
    schedule = closed(substance | draw(subset(set(REGISTER) - NEVER)))
    elements = draw(st.sampled_from([frozenset(), closed(substance | draw(subset(carried)))]))
    granted = {e for e in carried if free(e) or (e in schedule and (not elements or e in elements))}
    others = {e for e in REGISTER if operation is Operation.ROSTER_READ or not e.startswith("demographics.")}
    asked = substance | draw(subset(others))
    record = draw(st.sampled_from([None, "ts_aaaaaaaa@1"]))
    entitled = [role for role in ROLES if PROFILES[policy].may_direct(role, operation)]
    scopes = rule.scopes
    if operation is Operation.ROSTER_READ:
        bare = {DEMOGRAPHICS_SCOPE} if any(e.startswith("demographics.") for e in asked) else {draw(_ROSTER_SCOPES)}
        scopes = frozenset(bare)
    teacher = Actor(ActorKind.TEACHER, "la_aaaaaaaa", frozenset({"class 1"}))
    request = Request(
        "tr_aaaaaaaa", operation, teacher, SCHOOL, VENDOR, draw(st.sampled_from(PURPOSES)), asked,
        draw(subset(asked & granted)), "class 1", record, draw(st.sampled_from([None, HOST])),
        frozenset(Obligation),
    )  # fmt: skip
    agreement = Agreement(
        UNDER, 1, VENDOR, draw(st.sampled_from(sorted(rule.categories))), "active", draw(_with_others), schedule,
        frozenset({request.purpose}), frozenset({operation}), draw(_starts), draw(_ends), draw(st.booleans()),
        "", frozenset(COMMITMENTS), draw(_assured), draw(st.sampled_from([None, NOW - DAY, NOW])),
        draw(st.sampled_from([frozenset(), frozenset({HOST}), frozenset({HOST, "b.example"})])), draw(st.booleans()),
    )  # fmt: skip
    direction = Direction(
        "dr_aaaaaaaa", 1, UNDER, operation, draw(st.sampled_from(entitled)), "active", draw(_starts), draw(_ends),
        elements, record,
    )  # fmt: skip
    facts = Facts(
        True, Credential("gr_aaaaaaaa", VENDOR, UNDER, scopes, draw(_with_others)), (agreement,),
        (direction,) if rule.directed else (), policy, draw(_agreed_versions),
    )  # fmt: skip
    return Case(request, facts, tuple(draw(st.lists(people, max_size=4))))


_ROSTER_SCOPES = st.sampled_from([ROSTER_SCOPE, ROSTER_CORE_SCOPE])
HOST = "a.example"
_assured = st.sampled_from([NOW, NOW - DAY, NOW - 365 * DAY + INSTANT])
_versions_of = st.builds(
    PolicyVersion, st.sampled_from(sorted(PROFILES)), st.integers(2, 4),
    st.sampled_from(["editorial", "material", "less_restrictive"]), moments, st.booleans(), st.booleans(),
    st.sets(st.sampled_from(PURPOSES), max_size=3).map(frozenset),
)  # fmt: skip
# Versions that every school was told of and agreed to, and those that are yet to come.
_agreed_versions = st.lists(
    _versions_of.map(lambda v: v if v.effective_at > NOW else replace(v, noticed=True, accepted=True)), max_size=2
).map(tuple)
_starts, _ends = st.sampled_from([NOW - DAY, NOW]), st.sampled_from([NOW + DAY, NOW + INSTANT])


# --- what denies when it is taken away -------------------------------------------------------------


@dataclass(frozen=True)
class Spoil:
    """One supporting fact taken away: the reason it must give, and the operations that rest on it."""

    code: str
    change: Callable[[Case], Case]
    operations: tuple[Operation, ...] = OPERATIONS


def _wrong_scopes(case: Case) -> Case:
    demographic = any(e.startswith("demographics.") for e in case.request.elements)
    wrong = {ROSTER_SCOPE, ROSTER_CORE_SCOPE, "launch"} if demographic else {DEMOGRAPHICS_SCOPE, "launch"}
    return case.credential(scopes=frozenset(wrong))


def _changed_policy(case: Case, **words: bool) -> Case:
    told = {"noticed": True, "accepted": True} | words
    version = PolicyVersion(case.facts.source_policy, 9, "material", NOW, **told)
    return case.known(policy_versions=(*case.facts.policy_versions, version))


_GRADE = (Operation.GRADE,)
SPOILS = {
    "no ledger": Spoil("LED_UNAVAILABLE", lambda c: c.known(ledger_ready=False)),
    "no credential": Spoil("AUT_TOKEN_INVALID", lambda c: c.known(credential=None)),
    "credential of another vendor": Spoil("AUT_TOKEN_INVALID", lambda c: c.credential(vendor=RIVAL)),
    "credential under another agreement": Spoil("AGR_NONE", lambda c: c.credential(agreement="ag_other000")),
    "credential revoked": Spoil("AUT_TOKEN_EXPIRED", lambda c: c.credential(active=False)),
    "no scope": Spoil("SCP_MISSING", lambda c: c.credential(scopes=frozenset()), SCOPED),
    "another scope": Spoil("SCP_MISSING", _wrong_scopes, SCOPED),
    "credential without the school": Spoil("ACT_WRONG_SCHOOL", lambda c: c.credential(schools=frozenset({ELSEWHERE}))),
    "not a teacher": Spoil("ACT_NOT_STAFF", lambda c: c.teacher(kind=ActorKind.VENDOR), _GRADE),
    "class of another teacher": Spoil("ACT_NOT_TEACHER_OF_CLASS", lambda c: c.asked(class_id="class 2"), _GRADE),
    "no class named": Spoil("ACT_NOT_TEACHER_OF_CLASS", lambda c: c.asked(class_id=None), _GRADE),
    "no direction": Spoil("DIR_MISSING", lambda c: c.known(directions=()), DIRECTED),
    "direction under another agreement": Spoil("DIR_MISSING", lambda c: c.direction(agreement="ag_other000"), DIRECTED),
    "direction of another operation": Spoil("DIR_SCOPE_MISMATCH", lambda c: c.direction(operation="x.y"), DIRECTED),
    "direction of another record": Spoil("DIR_SCOPE_MISMATCH", lambda c: c.direction(record="ts_zzzzzzzz@1"), DIRECTED),
    "document no direction names": Spoil(
        "DIR_MISSING", lambda c: c.asked(record="ts_zzzzzzzz@1").direction(record=None), DIRECTED
    ),
    "direction revoked": Spoil("DIR_REVOKED", lambda c: c.direction(status="revoked"), DIRECTED),
    "direction not yet valid": Spoil("DIR_EXPIRED", lambda c: c.direction(valid_from=NOW + INSTANT), DIRECTED),
    "direction over": Spoil("DIR_EXPIRED", lambda c: c.direction(expires_at=NOW), DIRECTED),
    "grantor not entitled": Spoil("DIR_GRANTOR_NOT_ENTITLED", lambda c: c.direction(role="parent"), DIRECTED),
    "no agreement": Spoil("AGR_NONE", lambda c: c.known(agreements=())),
    "agreement of another vendor": Spoil("AGR_NONE", lambda c: c.agreement(vendor=RIVAL)),
    "agreement ended": Spoil("AGR_REVOKED", lambda c: c.agreement(status="ended")),
    "agreement a draft": Spoil("AGR_NOT_EFFECTIVE", lambda c: c.agreement(status="draft")),
    "agreement of another school": Spoil(
        "AGR_SCHOOL_NOT_COVERED", lambda c: c.agreement(schools=frozenset({ELSEWHERE}))
    ),
    "agreement not yet in force": Spoil("AGR_NOT_EFFECTIVE", lambda c: c.agreement(effective_at=NOW + INSTANT)),
    "agreement over": Spoil("AGR_EXPIRED", lambda c: c.agreement(expires_at=NOW)),
    "agreement without the operation": Spoil("AGR_OPERATION", lambda c: c.agreement(operations=frozenset({"x.y"}))),
    "no purpose": Spoil("PUR_MISSING", lambda c: c.asked(purpose=None)),
    "purpose not agreed": Spoil("PUR_NOT_PERMITTED", lambda c: c.agreement(purposes=frozenset({"other"}))),
    "a commitment missing": Spoil(
        "AGR_COMMITMENTS_INCOMPLETE", lambda c: c.agreement(commitments=frozenset(COMMITMENTS[1:]))
    ),
    "vendor debarred": Spoil("AGR_DEBARRED", lambda c: c.agreement(debarred_until=NOW + INSTANT)),
    "never assured": Spoil("AGR_ASSURANCE_STALE", lambda c: c.agreement(assured_at=None)),
    "assured a year ago": Spoil("AGR_ASSURANCE_STALE", lambda c: c.agreement(assured_at=NOW - 365 * DAY)),
    "assured tomorrow": Spoil("AGR_ASSURANCE_STALE", lambda c: c.agreement(assured_at=NOW + DAY)),
    "another endpoint": Spoil(
        "AGR_ENDPOINT_MISMATCH", lambda c: c.asked(endpoint="evil.example").agreement(endpoints=frozenset({HOST}))
    ),
    "school not told of the policy": Spoil("POL_NOTICE_PENDING", lambda c: _changed_policy(c, noticed=False)),
    "school has not agreed to the policy": Spoil(
        "POL_RECONSENT_REQUIRED", lambda c: _changed_policy(c.known(source_policy="strictest"), accepted=False)
    ),
    "a duty nobody performs": Spoil("INT_OBLIGATION_UNSUPPORTED", lambda c: c.asked(meets=frozenset()), OBLIGED),
    "recipient of another category": Spoil("RCP_CATEGORY", lambda c: c.agreement(category="broker")),
}


# --- what may only narrow --------------------------------------------------------------------------


def _narrower_direction(draw: Any, case: Case) -> Case:
    told = case.facts.directions[0].elements if case.facts.directions else frozenset()
    return case.direction(elements=draw(subset(told or set(REGISTER), 1)))


def _one_direction_less(draw: Any, case: Case) -> Case:
    kept = case.facts.directions
    return case.known(directions=tuple(d for d in kept if d is not draw(st.sampled_from(kept)))) if kept else case


def _barred(draw: Any, case: Case, scopes: tuple[str, ...]) -> Case:
    """Somebody's family says no, in one of these scopes."""
    if not case.people:
        return case
    number = draw(st.integers(0, len(case.people) - 1))
    person, said = case.people[number], replace(draw(refusals), scope=draw(st.sampled_from(scopes)))
    said_no = replace(person, consents=(*person.consents, said))
    return replace(case, people=(*case.people[:number], said_no, *case.people[number + 1 :]))


def _person(draw: Any, case: Case, change: Callable[[Person], Person]) -> Case:
    """The same with somebody changed."""
    if not case.people:
        return case
    number = draw(st.integers(0, len(case.people) - 1))
    return replace(case, people=(*case.people[:number], change(case.people[number]), *case.people[number + 1 :]))


def _one_yes_less(draw: Any, case: Case) -> Case:
    def without(person: Person) -> Person:
        yes = [c for c in person.consents if c.status == "given"]
        return replace(
            person, consents=tuple(c for c in person.consents if c is not draw(st.sampled_from(yes or [None])))
        )

    return _person(draw, case, without)


def _no_evidence(draw: Any, case: Case) -> Case:
    return _person(draw, case, lambda p: replace(p, consents=tuple(replace(c, evidenced=False) for c in p.consents)))


def _one_version_more(draw: Any, case: Case) -> Case:
    return case.known(policy_versions=(*case.facts.policy_versions, draw(_versions_of)))


def _of_first(case: Case, name: str) -> frozenset[str]:
    return getattr(case.facts.agreements[0], name) if case.facts.agreements else frozenset()


NARROWINGS: dict[str, Callable[[Any, Case], Case]] = {
    "a refusal": lambda draw, c: _barred(draw, c, ("disclose",)),
    "a restriction": lambda draw, c: _barred(draw, c, ("use",)),
    "a narrower schedule": lambda draw, c: c.agreement(schedule=draw(subset(_of_first(c, "schedule")))),
    "a narrower direction": _narrower_direction,
    "an earlier end of the agreement": lambda draw, c: c.agreement(
        expires_at=min([draw(moments), *(a.expires_at for a in c.facts.agreements[:1])])
    ),
    "an earlier end of the direction": lambda draw, c: c.direction(
        expires_at=min([draw(moments), *(d.expires_at for d in c.facts.directions[:1])])
    ),
    "a later start of the agreement": lambda draw, c: c.agreement(
        effective_at=max([draw(moments), *(a.effective_at for a in c.facts.agreements[:1])])
    ),
    "an opting out": lambda draw, c: _person(draw, c, lambda p: replace(p, opt_outs=(*p.opt_outs, draw(opt_outs)))),
    "a consent that was never given": _one_yes_less,
    "no evidence of any consent": _no_evidence,
    "a version of the policy": _one_version_more,
    "each family asked": lambda _draw, c: c.agreement(consent_needed=True),
    "fewer commitments": lambda draw, c: c.agreement(commitments=draw(subset(_of_first(c, "commitments")))),
    "a debarment": lambda draw, c: c.agreement(debarred_until=draw(moments)),
    "no assurance": lambda _draw, c: c.agreement(assured_at=None),
    "endpoints named": lambda draw, c: c.agreement(
        endpoints=draw(subset(_of_first(c, "endpoints"), 1)) or frozenset({"c.example"})
    ),
    "fewer purposes": lambda draw, c: c.agreement(purposes=draw(subset(_of_first(c, "purposes")))),
    "fewer operations": lambda draw, c: c.agreement(operations=draw(subset(_of_first(c, "operations")))),
    "no school's word for its children": lambda _draw, c: c.agreement(school_agent=False),
    "the agreement ended": lambda _draw, c: c.agreement(status="ended"),
    "one direction less": _one_direction_less,
    "the direction revoked": lambda _draw, c: c.direction(status="revoked"),
    "one more element required": lambda draw, c: c.asked(
        mandatory=c.request.mandatory | draw(subset(c.request.elements))
    ),
}


# --- cases of any kind -----------------------------------------------------------------------------

_ENDED = ({"status": "ended"}, {"vendor": RIVAL}, {"schools": frozenset({ELSEWHERE})}, {"effective_at": NOW + DAY},
          {"expires_at": NOW - DAY}, {"operations": frozenset({"x.y"})})  # fmt: skip
_REVOKED = ({"status": "revoked"}, {"valid_from": NOW + DAY}, {"expires_at": NOW - DAY}, {"operation": "x.y"})
_WORDS = [*sorted(REGISTER), *sorted(NEVER) * 2, "shoe.size", "technical.mood"]


@st.composite
def cases(draw: Any) -> Case:
    """Some permitted, most not; at most one agreement and one direction that stand, beside others that do not."""
    case = draw(permitted())
    for name in draw(st.lists(st.sampled_from(sorted(SPOILS)), max_size=2)):
        case = SPOILS[name].change(case)
    for change in draw(st.lists(st.sampled_from(["mandatory", "asked", "schedule", "role", "commerce"]), max_size=2)):
        case = _varied(draw, case, change)
    ended = [replace(a, ref=f"ag_ended00{n}", **draw(st.sampled_from(_ENDED)))
             for n, a in enumerate(case.facts.agreements * draw(st.integers(0, 2)))]  # fmt: skip
    revoked = [replace(d, ref=f"dr_ended00{n}", **draw(st.sampled_from(_REVOKED)))
               for n, d in enumerate(case.facts.directions * draw(st.integers(0, 2)))]  # fmt: skip
    return case.known(
        agreements=(*case.facts.agreements, *ended), directions=(*case.facts.directions, *revoked),
        source_policy=draw(st.sampled_from(sorted(PROFILES))),
        policy_versions=draw(st.lists(_versions_of, max_size=2).map(tuple)) if draw(st.booleans())
        else case.facts.policy_versions,
    )  # fmt: skip


def _varied(draw: Any, case: Case, change: str) -> Case:
    words = st.frozensets(st.sampled_from(_WORDS), max_size=3)
    if change == "mandatory":
        return case.asked(mandatory=draw(subset(case.request.elements)))
    if change == "asked":
        return case.asked(elements=case.request.elements | draw(words))
    if change == "schedule":
        return case.agreement(schedule=closed(draw(words) & set(REGISTER) | draw(subset(_of_first(case, "schedule")))))
    if change == "role":
        return case.direction(role=draw(st.sampled_from(ROLES)))
    return case.asked(purpose=draw(st.sampled_from(FORBIDDEN_PURPOSES)))


# --- one fact changed ------------------------------------------------------------------------------


def variants(value: Any) -> Iterator[Any]:
    """The same with one fact changed, for each fact in it."""
    if is_dataclass(value):
        for field in fields(value):
            known = getattr(value, field.name)
            for changed in [NOW] if known is None and "datetime" in str(field.type) else variants(known):
                yield replace(value, **{field.name: changed})
    elif isinstance(value, tuple):
        yield from ((changed, *value[1:]) for first in value[:1] for changed in variants(first))
        yield from (value[1:] for _ in value[:1])
    else:
        yield _changed(value)


def _changed(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case Enum():
            return next(one for one in type(value) if one is not value)
        case datetime() | date():
            return value + DAY
        case frozenset():
            return value | {"another"}
        case int() | str():
            return value + type(value)("1")
        case _:
            return "something" if value is None else None


# --- a family's request ----------------------------------------------------------------------------

FAMILY = frozenset({"family.child", "family.disclosures", "record.version"})


def family_request(elements: frozenset[str] = FAMILY, operation: Operation = Operation.FAMILY) -> Request:
    """A request of a family about its own child."""
    return Request("tr_aaaaaaaa", operation, Actor(ActorKind.FAMILY, "fam_00000000"), SCHOOL, "", None, elements)
