"""Why something leaves or does not, and what would change if: asked by a privacy officer.

Nothing leaves here and nothing is written down as sent: the questions are put to `decide`, which answers vendors too,
with the facts on file or with one of them changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from gateway import errors
from gateway.errors import Reason, Refused
from gateway.flows import access, onboarding
from gateway.flows.parts import Office
from gateway.identity.staff import Person as Staff
from gateway.policy import rowplan
from gateway.policy.decide import Decision, decide, decide_person
from gateway.policy.facts import Consent, Credential, Facts, Person
from gateway.policy.request import RULES, Actor, ActorKind, Obligation, Operation, Purpose, Request
from gateway.policy.source_policies import PROFILES
from gateway.store import credentials, on_file, roster
from gateway.store import facts as fact_store
from gateway.store.tenant import Session
from mappings.elements import REGISTER, label

_CLASS = "a class of this teacher"
_NO_GRANT = "gr_00000000"


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether one element of one pupil may go to one vendor by one operation for one purpose at one school, and the
    reason."""

    school: str
    agreement: str
    operation: str
    purpose: str
    reason: Reason | None
    because: str

    @property
    def sentence(self) -> str:
        """What a privacy officer reads."""
        if self.reason is None:
            return "Yes: an agreement, a direction and this pupil's answers let it leave."
        return f"No: {self.reason.sentence}"


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change would do to one way in which data leave: elements and pupils, before and after."""

    school: str
    vendor: str
    agreement: str
    operation: str
    elements: tuple[int, int]
    pupils: tuple[int, int]
    reason: Reason | None


# --- why -------------------------------------------------------------------------------------------


def explain(
    parts: Office, by: Staff, vendor: str, student: str, element: str, purpose: str | None = None
) -> list[Answer]:
    """Say for every school the person may look at, and every agreement with the vendor there, whether this element of
    this pupil may leave, and why: by each operation for the purpose that it serves, or for the one that is asked about.
    Raises Refused for a vendor, pupil, element or purpose there is none of."""
    if element not in REGISTER:
        raise Refused(errors.REQ_UNKNOWN, f"there is no data element {element}")
    if purpose is not None and purpose not in set(Purpose):
        raise Refused(errors.REQ_UNKNOWN, f"purposes are {', '.join(Purpose)}")
    found, somewhere = list[Answer](), False
    for session, school in onboarding.readable_schools(parts, by):
        named = next((v for v in on_file.vendors(session) if vendor in (v.vendor, v.name)), None)
        if named is None:
            raise Refused(errors.REQ_UNKNOWN, f"there is no vendor {vendor} in this district")
        pupils = roster.find_pupil(session, student)
        somewhere = somewhere or bool(pupils)
        if len(pupils) == 1:
            person = fact_store.person(session, pupils[0].sourced_id)
            found += _explained(
                parts, session, school, named.vendor, person, element, Purpose(purpose) if purpose else None
            )
            access.looked(parts, session, by, access.DECISION, 1)
    if not somewhere:
        raise Refused(errors.REQ_UNKNOWN, "there is no pupil of that id, number or name at these schools")
    return found


def _explained(
    parts: Office, session: Session, school: str, vendor: str, person: Person, element: str, purpose: Purpose | None
) -> Iterator[Answer]:
    ways = [way for way in _ways(session) if way.vendor == vendor]
    if not ways:
        because = "no agreement with this vendor is on file at this school"
        yield Answer(school, "", "", purpose or "", errors.AGR_NONE, because)
    carrying = [way for way in ways if element in RULES[way.operation].ceiling] or ways
    serving = [way for way in carrying if purpose in (None, way.purpose)]
    for way in serving or carrying:
        asked = purpose or way.purpose
        request = way.request(school, frozenset({element}), asked)
        decision = decide_person(request, way.facts(session), person, parts.clock.now())
        reason = decision.primary or dict(decision.withheld).get(element)
        because = _because(reason, way, decision, person, element)
        if reason is None and asked != way.purpose:
            reason, because = errors.PUR_NOT_PERMITTED, f"{way.operation} serves {way.purpose} and nothing else"
        yield Answer(school, way.agreement, str(way.operation), str(asked), reason, because)


def _because(reason: Reason | None, way: _Way, decision: Decision, person: Person, element: str) -> str:
    """The paper on file that decides, by its reference and version."""
    family = reason.code[:3] if reason else ""
    if family == "SCP" and way.grant == _NO_GRANT:
        return f"{way.agreement}: no credential was made under it yet (`schoolgate vendor connect`)"
    agreement = decision.agreement.id if decision.agreement else way.agreement
    if family in ("CON", "RET", "AGE"):
        return _of_family(reason, person)
    if family == "ELM":
        return f"{element} ({label(element)}) is not what {agreement} and its directions let out"
    if reason is errors.PUR_NOT_PERMITTED and decision.agreement:
        return f"{agreement} names {', '.join(sorted(decision.agreement.purposes))}"
    if family == "DIR":
        return f"of the directions under {agreement}"
    return agreement if reason else ", ".join([agreement, *(d.id for d in decision.directions)])


def _of_family(reason: Reason | None, person: Person) -> str:
    said = [c for c in person.consents if c.status != "given"] or list(person.consents)
    listed = [*(f"{c.ref}@{c.version} ({c.status}, {c.scope})" for c in said),
              *(f"{o.ref}@{o.version} (opted out)" for o in person.opt_outs)]  # fmt: skip
    unknown = ["no birth date is on file, so the pupil counts as a child"] if _undated(reason, person) else []
    return ", ".join([*unknown, *listed]) or "nothing is on file from the family"


def _undated(reason: Reason | None, person: Person) -> bool:
    return reason is errors.AGE_CHILD_NO_SCHOOL_AGREEMENT and person.birth_date is None


# --- ways in which data leave ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Way:
    """One operation of one agreement at one school, with the credential a vendor uses for it."""

    vendor: str
    agreement: str
    operation: Operation
    purpose: Purpose
    grant: str
    scopes: frozenset[str]

    def request(self, school: str, elements: frozenset[str], purpose: Purpose | None = None) -> Request:
        kind = ActorKind.TEACHER if RULES[self.operation].one_class else ActorKind.VENDOR
        actor = Actor(kind, self.grant, frozenset({_CLASS}))
        return Request(
            "tr_00000000",
            self.operation,
            actor,
            school,
            self.vendor,
            purpose or self.purpose,
            elements,
            class_id=_CLASS,
            meets=frozenset(Obligation),
        )

    def facts(self, session: Session) -> Facts:
        school = fact_store.school_ref(session)
        held = Credential(self.grant, self.vendor, self.agreement, self.scopes, frozenset({school}))
        return fact_store.load(session, held)


def _ways(session: Session) -> Iterator[_Way]:
    """Every way in which data leave the session's school, by its agreements; without a credential, as with none."""
    grants = {(g.vendor, g.agreement): g for g in credentials.grants_here(session)}
    for row in on_file.latest(session, "agreement"):
        grant = grants.get((row.vendor, row.agreement))
        for name in row.body["operations"]:
            operation = Operation(name)
            purpose = RULES[operation].purpose
            if operation is Operation.ROSTER_IMPORT or purpose is None:
                continue
            scopes = frozenset(grant.scopes) if grant else frozenset[str]()
            yield _Way(row.vendor, row.agreement, operation, purpose,
                       grant.access_grant if grant else _NO_GRANT, scopes)  # fmt: skip


# --- what if ---------------------------------------------------------------------------------------

Change = Callable[[Facts, Mapping[str, Person], datetime], tuple[Facts, Mapping[str, Person]]]


def ending(agreement: str) -> Change:
    """The change that ends an agreement."""

    def change(facts: Facts, people: Mapping[str, Person], _now: datetime) -> tuple[Facts, Mapping[str, Person]]:
        ended = tuple(replace(a, status="ended") if a.ref == agreement else a for a in facts.agreements)
        return replace(facts, agreements=ended), people

    return change


def refusing(pupil: str, agreement: str | None) -> Change:
    """The change that a family refuses: further use, or disclosure under one agreement."""

    def change(facts: Facts, people: Mapping[str, Person], now: datetime) -> tuple[Facts, Mapping[str, Person]]:
        said = Consent("co_00000000", 1, "disclose" if agreement else "use", "refused", agreement, now, None)
        changed = {
            name: replace(person, consents=(*person.consents, said)) if name == pupil else person
            for name, person in people.items()
        }
        return facts, changed

    return change


def governed_by(policy: str) -> Change:
    """The change that another privacy policy governs. Raises Refused for one there is none of."""
    if policy not in PROFILES:
        raise Refused(errors.REQ_INVALID, f"source policies are {', '.join(sorted(PROFILES))}")
    return lambda facts, people, _now: (replace(facts, source_policy=policy), people)


def agreement_called(parts: Office, by: Staff, text: str) -> str:
    """Return the reference of the agreement with this reference or number. Raises Refused for none."""
    for session, _ in onboarding.readable_schools(parts, by):
        for row in on_file.latest(session, "agreement"):
            if text in (row.agreement, row.body.get("number")):
                return str(row.agreement)
    raise Refused(errors.REQ_UNKNOWN, f"there is no agreement {text} on file at these schools")


def pupil_called(parts: Office, by: Staff, text: str) -> str:
    """Return the id of the one pupil with this id, number or full name. Raises Refused for none, or several."""
    found = set[str]()
    for session, _ in onboarding.readable_schools(parts, by):
        here = {row.sourced_id for row in roster.find_pupil(session, text)}
        access.looked(parts, session, by, access.DECISION, len(here))
        found |= here
    if len(found) != 1:
        reason = errors.REQ_AMBIGUOUS if found else errors.REQ_UNKNOWN
        raise Refused(reason, "there is no pupil, or several, of that id, number or name at these schools")
    return str(found.pop())


def what_if(parts: Office, by: Staff, change: Change) -> list[Effect]:
    """Say which ways in which data leave would carry other elements, or other pupils, if this changed."""
    found = []
    for session, school in onboarding.readable_schools(parts, by):
        people = fact_store.people(session, roster.pupils(session))
        names = {v.vendor: v.name for v in on_file.vendors(session)}
        for way in _ways(session):
            now, facts = parts.clock.now(), way.facts(session)
            request = way.request(school, _askable(way))
            before = decide(request, facts, now)
            changed, changed_people = change(facts, people, now)
            after = decide(request, changed, now)
            effect = Effect(
                school, names.get(way.vendor, way.vendor), way.agreement, str(way.operation),
                (len(before.permitted), len(after.permitted)), (_kept(before, people), _kept(after, changed_people)),
                after.primary,
            )  # fmt: skip
            if effect.elements[0] != effect.elements[1] or effect.pupils[0] != effect.pupils[1]:
                found.append(effect)
    return found


def _askable(way: _Way) -> frozenset[str]:
    """Everything the operation can carry, demographics only where their own scope is held."""
    carried = RULES[way.operation].ceiling
    demographics = any("demographics" in scope for scope in way.scopes) and len(way.scopes) == 1
    return frozenset(e for e in carried if demographics or not e.startswith("demographics."))


def _kept(decision: Decision, people: Mapping[str, Person]) -> int:
    if not decision.permits:
        return 0
    return sum(rowplan.judge(decision.plan, person) is None for person in people.values())
