"""What schools put on file: planned whole, applied whole, in versions; and each way in which a paper can be wrong."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Refused
from gateway.flows import on_file, onboarding
from gateway.flows.on_file import filing
from gateway.identity import staff
from gateway.policy.agreements import COMMITMENTS
from gateway.store import facts as fact_store
from gateway.store import on_file as store
from tests.worlds import DOCUMENT, World


class Papers:
    """A district whose schools A and B stand, a vendor Quiz, and files of papers."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world.standing(12), folder
        onboarding.add_vendor(world.office, world.by, "Quiz", "assessment", "q@example.org", None)

    def day(self, days: int) -> str:
        return (self.world.clock.at + timedelta(days=days)).date().isoformat()

    def agreement(self, **changes: Any) -> dict[str, Any]:
        said = {
            "number": "A-1", "vendor": "Quiz", "schools": ["School A"], "schedule": ["SNM", "ENR"],
            "purposes": ["rostering"], "operations": ["roster.read"], "from": self.day(-30), "until": self.day(300),
            "retention_days": 30, "commitments": ["all"], "assured": self.day(-1), "document": DOCUMENT,
        }  # fmt: skip
        return {name: value for name, value in (said | changes).items() if value is not None}

    def direction(self, **changes: Any) -> dict[str, Any]:
        said = {"number": "D-1", "agreement": "A-1", "operation": "roster.read", "until": self.day(200)} | changes
        return {name: value for name, value in said.items() if value is not None}

    def consent(self, **changes: Any) -> dict[str, Any]:
        said = {
            "number": "C-1", "school": "School A", "pupil": "p0", "scope": "disclose", "status": "given",
            "grantor": "parent", "method": "signed form", "answered": self.day(-2), "document": DOCUMENT,
        }  # fmt: skip
        return {name: value for name, value in (said | changes).items() if value is not None}

    def opt_out(self, **changes: Any) -> dict[str, Any]:
        said = {"number": "O-1", "school": "School A", "pupil": "p0", "category": "assessment"} | changes
        return {name: value for name, value in said.items() if value is not None}

    def file(self, *lines: dict[str, Any]) -> Path:
        path = self.folder / "papers.json"
        path.write_text(json.dumps(lines))
        return path

    def csv(self, *lines: dict[str, Any]) -> Path:
        names = sorted({name for line in lines for name in line})
        text = io.StringIO()
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows({k: ";".join(v) if isinstance(v, list) else v for k, v in line.items()} for line in lines)
        path = self.folder / "papers.csv"
        path.write_text("\ufeff" + text.getvalue())
        return path

    def plan(self, kind: str, path: Path) -> on_file.Plan:
        return on_file.plan(self.world.office, self.world.by, kind, on_file.read(path))

    def apply(self, kind: str, path: Path) -> on_file.Plan:
        return on_file.apply(self.world.office, self.world.by, kind, on_file.read(path))

    def faults(self, kind: str, *lines: dict[str, Any]) -> list[tuple[int, str]]:
        """What an applied file is refused for; nothing of it may be on file afterwards."""
        before = self.rows(kind)
        done = self.apply(kind, self.file(*lines))
        if done.faults:
            assert self.rows(kind) == before
        assert all(fault.detail and fault.reason.remedy for fault in done.faults)
        return [(fault.row, fault.reason.code) for fault in done.faults]

    def rows(self, kind: str) -> list[Any]:
        places = [place.school for place in self.world.places.values()]
        with self.world.office.database.open_schools(self.world.by.district, places) as session:
            return [tuple(row) for row in store.latest(session, kind)]

    def entries(self, type_: str, school: str = "A") -> list[dict[str, Any]]:
        return [entry for entry in self.world.ledger(school) if entry["type"] == type_]


@pytest.fixture
def papers(world: World, tmp_path: Path) -> Papers:
    return Papers(world, tmp_path)


MAKE = {"agreement": Papers.agreement, "direction": Papers.direction, "consent": Papers.consent,
        "opt_out": Papers.opt_out}  # fmt: skip
every_kind = pytest.mark.parametrize("kind", MAKE)


@every_kind
@pytest.mark.parametrize("form", ["file", "csv"])
def test_a_file_is_planned_applied_and_applied_again(papers, kind, form):
    if kind == "direction":
        papers.apply("agreement", papers.file(papers.agreement()))
    path = getattr(papers, form)(MAKE[kind](papers), MAKE[kind](papers, number="X-2", **OTHER[kind]))
    before, sizes = papers.rows(kind), len(papers.world.ledger("A"))
    planned = papers.plan(kind, path)
    assert planned.faults == ()
    assert planned.counts == {"new": 2, "changed": 0, "unchanged": 0}
    assert (papers.rows(kind), len(papers.world.ledger("A"))) == (before, sizes)
    assert papers.apply(kind, path).counts["new"] == 2
    after, sizes = papers.rows(kind), len(papers.world.ledger("A"))
    assert len(after) > len(before)
    assert papers.apply(kind, path).counts == {"new": 0, "changed": 0, "unchanged": 2}
    assert (papers.rows(kind), len(papers.world.ledger("A"))) == (after, sizes)


OTHER = {"agreement": {"operations": ["members.read"]}, "direction": {"elements": ["SNM"]},
         "consent": {"pupil": "p2"}, "opt_out": {"pupil": "p2"}}  # fmt: skip
CHANGED = {"agreement": {"schedule": ["SNM"]}, "direction": {"elements": ["person.name.given"]},
           "consent": {"status": "withdrawn"}, "opt_out": {"status": "ended"}}  # fmt: skip


@every_kind
def test_a_change_is_the_next_version_and_in_the_ledger(papers, kind):
    if kind == "direction":
        papers.apply("agreement", papers.file(papers.agreement()))
    papers.apply(kind, papers.file(MAKE[kind](papers)))
    changed = papers.file(MAKE[kind](papers, **CHANGED[kind]))
    assert papers.apply(kind, changed).counts == {"new": 0, "changed": 1, "unchanged": 0}
    last = papers.entries(filing.KINDS[kind].entry)[-1]
    assert last["actor"] == {"kind": "staff", "ref": papers.world.by.ref}
    about = last.get("agreement") or last.get("consent") or last["directions"][0]
    assert about.endswith("@2")


def test_an_agreement_ends_at_the_school_it_names_no_longer(papers):
    papers.apply("agreement", papers.file(papers.agreement(schools=["School A", "School B"])))
    assert papers.apply("agreement", papers.file(papers.agreement(schools=["School B"]))).counts["changed"] == 1
    places = [place.school for place in papers.world.places.values()]
    with papers.world.office.database.open_schools(papers.world.by.district, places) as session:
        rows = [row for row in store.latest(session, "agreement") if row.body["number"] == "A-1"]
    assert {row.school_name: row.status for row in rows} == {"School A": "ended", "School B": "active"}


def test_nothing_of_a_file_is_applied_when_one_line_is_at_fault(papers):
    assert papers.faults("agreement", papers.agreement(), papers.agreement(number="A-2", vendor="Nobody")) == [
        (2, "REQ_UNKNOWN")
    ]


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "incomplete": ("agreement", {"retention_days": None}, "AGR_COMMITMENTS_INCOMPLETE"),
    "a commitment lacking": ("agreement", {"commitments": list(COMMITMENTS[1:])}, "AGR_COMMITMENTS_INCOMPLETE"),
    "an unknown commitment": ("agreement", {"commitments": ["kindness"]}, "REQ_INVALID"),
    "unsigned": ("agreement", {"document": None}, "AGR_UNSIGNED"),
    "not assured": ("agreement", {"assured": None}, "AGR_ASSURANCE_STALE"),
    "assured long ago": ("agreement", {"assured": "2020-01-01"}, "AGR_ASSURANCE_STALE"),
    "over": ("agreement", {"from": "2020-01-01", "until": "2021-01-01"}, "AGR_EXPIRED"),
    "ends before it begins": ("agreement", {"until": "2020-01-01"}, "REQ_CONTRADICTORY"),
    "for advertising": ("agreement", {"purposes": ["advertising"]}, "PUR_COMMERCIAL"),
    "for profiles": ("agreement", {"purposes": ["profiling"]}, "PUR_PROFILE"),
    "of passwords": ("agreement", {"schedule": ["person.password"]}, "ELM_NEVER_EXPORT"),
    "of usage": ("agreement", {"schedule": ["technical.usage"]}, "ELM_TECHNICAL"),
    "of other": ("agreement", {"schedule": ["other"]}, "REQ_INVALID"),
    "with nobody": ("agreement", {"vendor": "Nobody"}, "REQ_UNKNOWN"),
    "at no school": ("agreement", {"schools": ["Nowhere"]}, "REQ_UNKNOWN"),
    "without a number": ("agreement", {"number": None}, "REQ_INVALID"),
    "of a number nobody reads": ("agreement", {"number": "a b"}, "REQ_INVALID"),
    "with a word too many": ("agreement", {"colour": "blue"}, "REQ_INVALID"),
    "of a status there is none": ("agreement", {"status": "fine"}, "REQ_INVALID"),
    "of no document": ("agreement", {"document": "abc"}, "REQ_INVALID"),
    "directed under nothing": ("direction", {"agreement": "A-9"}, "REQ_UNKNOWN"),
    "directed and over": ("direction", {"from": "2020-01-01", "until": "2021-01-01"}, "DIR_EXPIRED"),
    "directed backwards": ("direction", {"until": "2020-01-01"}, "REQ_CONTRADICTORY"),
    "directed beyond its operations": ("direction", {"operation": "members.read"}, "AGR_OPERATION"),
    "directed beyond its schedule": ("direction", {"elements": ["DEM"]}, "ELM_NOT_IN_SCHEDULE"),
    "directed where it does not cover": ("direction", {"schools": ["School B"]}, "AGR_SCHOOL_NOT_COVERED"),
    "a yes without evidence": ("consent", {"method": None}, "CON_EVIDENCE_MISSING"),
    "a yes without its text": ("consent", {"document": None}, "CON_EVIDENCE_MISSING"),
    "a yes that ran out": ("consent", {"until": "2026-11-01"}, "CON_EXPIRED"),
    "a yes that ends before it begins": ("consent", {"until": "2020-01-01"}, "REQ_CONTRADICTORY"),
    "a yes from tomorrow": ("consent", {"answered": "2030-01-01"}, "REQ_CONTRADICTORY"),
    "a yes of somebody else": ("consent", {"grantor": "eligible_student"}, "CON_GRANTOR_NOT_ENTITLED"),
    "a yes to use under an agreement": ("consent", {"scope": "use", "agreement": "A-1"}, "REQ_CONTRADICTORY"),
    "a yes under nothing": ("consent", {"agreement": "A-9"}, "REQ_UNKNOWN"),
    "a yes of nobody": ("consent", {"pupil": "p99"}, "REQ_UNKNOWN"),
    "a yes of a child elsewhere": ("consent", {"pupil": "p1"}, "REQ_UNKNOWN"),
    "an opting out of nothing": ("opt_out", {"category": "brokers"}, "REQ_INVALID"),
    "an opting out of nobody": ("opt_out", {"pupil": "p99"}, "REQ_UNKNOWN"),
}


@pytest.mark.parametrize(("kind", "change", "code"), WRONG.values(), ids=list(WRONG))
def test_a_paper_that_could_not_count_is_refused_with_its_line(papers, kind, change, code):
    if kind != "agreement":
        papers.apply("agreement", papers.file(papers.agreement()))
    good = MAKE[kind](papers, number="G-1", **OTHER[kind])
    assert papers.faults(kind, good, MAKE[kind](papers, **change)) == [(2, code)]


def test_what_contradicts_another_line_is_refused(papers):
    twice = papers.agreement(), papers.agreement(operations=["members.read"])
    assert papers.faults("agreement", *twice) == [(1, "REQ_TWICE"), (2, "REQ_TWICE")]
    assert papers.faults("agreement", papers.agreement(), papers.agreement(number="A-2")) == [(2, "REQ_OVERLAP")]
    yes, no = papers.consent(), papers.consent(number="C-2", status="refused")
    assert papers.faults("consent", yes, no) == [(2, "REQ_CONTRADICTORY")]
    other_day = papers.agreement(number="A-2", **{"from": papers.day(300), "until": papers.day(400)})
    assert papers.faults("agreement", papers.agreement(), other_day) == []


def test_an_agreement_that_overlaps_one_on_file_is_refused(papers):
    papers.apply("agreement", papers.file(papers.agreement()))
    assert papers.faults("agreement", papers.agreement(number="A-2")) == [(1, "REQ_OVERLAP")]
    assert papers.faults("agreement", papers.agreement(number="A-2", schools=["School B"])) == []


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"[1]", b"{", b"a,a\n1,2\n", b"number\n1,2\n", b"number,vendor\nx\n", b"\xff\xfe", b'a\n"x\n'],
)
def test_a_file_that_is_none_is_refused(papers, data):
    path = papers.folder / "bad"
    path.write_bytes(data)
    with pytest.raises(Refused) as caught:
        papers.plan("agreement", path)
    assert caught.value.reason.code == "REQ_INVALID"


def test_a_value_is_never_said_again(papers):
    path = papers.file(papers.consent(scope="s3cret", pupil="p0"))
    (fault,) = papers.plan("consent", path).faults
    assert "s3cret" not in fault.detail


# --- a paper's life --------------------------------------------------------------------------------


def refusal(call: Callable[..., Any], *said: Any) -> str:
    with pytest.raises(Refused) as caught:
        call(*said)
    return str(caught.value.reason.code)


def test_an_agreement_from_draft_to_end(papers):
    world = papers.world
    draft = papers.agreement(status="draft", document=None, number=None)
    ref = world.file("agreement", **draft)
    assert refusal(on_file.activate, world.office, world.by, ref) == "AGR_UNSIGNED"
    assert papers.entries("denial")[-1]["reason"] == "AGR_UNSIGNED"
    whole = world.file("agreement", **papers.agreement(status="draft", number=None))
    assert on_file.activate(world.office, world.by, whole) == 1
    assert refusal(on_file.activate, world.office, world.by, whole) == "REQ_UNKNOWN"
    assert on_file.suspend(world.office, world.by, whole) == 1
    assert refusal(on_file.suspend, world.office, world.by, whole) == "REQ_UNKNOWN"
    assert on_file.activate(world.office, world.by, whole) == 1
    assert on_file.end(world.office, world.by, "agreement", whole) == 1
    assert refusal(on_file.end, world.office, world.by, "agreement", whole) == "REQ_UNKNOWN"
    said = [e["agreement"] for e in papers.entries("agreement") if e["id"] == whole]
    assert said == [f"{whole}@{n}" for n in range(1, 6)]


def test_an_agreement_that_cannot_be_activated_is_a_denial_in_the_ledger(papers):
    world = papers.world
    said = papers.agreement(number=None, purposes=["sale"])
    assert refusal(on_file.record, world.office, world.by, "agreement", said) == "PUR_COMMERCIAL"
    assert papers.entries("denial")[-1]["reason"] == "PUR_COMMERCIAL"


def test_a_consent_is_withdrawn_and_a_no_stays_a_no(papers):
    world = papers.world
    ref = world.file("consent", **papers.consent())
    assert on_file.end(world.office, world.by, "consent", ref) == 1
    assert refusal(on_file.end, world.office, world.by, "consent", ref) == "REQ_UNKNOWN"
    no = world.file("consent", **papers.consent(number="C-2", status="refused"))
    assert refusal(on_file.end, world.office, world.by, "consent", no) == "REQ_CONFLICT"


@pytest.mark.parametrize("scope", ["disclose", "use"])
@pytest.mark.parametrize("no", ["refused", "withdrawn"])
def test_a_later_yes_takes_the_place_of_a_no_and_nothing_else_does(papers, scope, no):
    world, reader = papers.world, papers.world.reader("A")
    count = len(reader.read("students").json["users"])

    def said(**changes: Any) -> dict[str, Any]:
        return papers.consent(scope=scope, **changes)

    ref = world.file("consent", **said(number=None))
    if no == "withdrawn":
        on_file.end(world.office, world.by, "consent", ref)
    else:
        world.file("consent", **said(number=ref, status="refused"))
    assert len(reader.read("students").json["users"]) == count - 1
    for early in (said(number=ref), said(number=ref, status="pending"), said(number=ref, answered=papers.day(0))):
        assert refusal(on_file.record, world.office, world.by, "consent", early) == "REQ_CONFLICT"
    unsaid = said(number=ref, method=None)
    assert refusal(on_file.record, world.office, world.by, "consent", unsaid) == "CON_EVIDENCE_MISSING"
    world.file("consent", **said(number="C-9"))  # an answer of its own is no answer to the no
    assert len(reader.read("students").json["users"]) == count - 1
    world.clock.forward(hours=30)
    later = said(number=ref, answered=papers.day(0))
    assert on_file.record(world.office, world.by, "consent", later) == ref
    assert len(reader.sign_in().read("students").json["users"]) == count
    assert papers.entries("consent")[-1]["consent"] == f"{ref}@3"


def test_each_paper_needs_somebody_entitled(papers):
    world = papers.world
    _, token = onboarding.add_staff(world.office, world.by, "B. Admin", "school_admin", world.refs["B"])
    at_b = staff.person(world.office.database, token, world.clock.at)
    assert refusal(on_file.record, world.office, at_b, "agreement", papers.agreement()) == "ACT_NOT_STAFF"
    for kind in ("consent", "opt_out"):
        assert refusal(on_file.record, world.office, at_b, kind, MAKE[kind](papers)) == "ACT_NOT_STAFF"
        ref = world.file(kind, **MAKE[kind](papers))
        assert refusal(on_file.end, world.office, at_b, kind, ref) == "REQ_UNKNOWN"


# --- versions of the policy ------------------------------------------------------------------------


def version(papers: Papers, **changes: Any) -> dict[str, Any]:
    return {"policy": "strictest", "version": 2, "change": "material", "effective": papers.day(-1),
            "document": DOCUMENT} | changes  # fmt: skip


def test_a_change_of_the_policy_stops_what_leaves_until_the_school_was_told_and_agreed(papers):
    world = papers.world
    reader = world.reader("A")
    assert reader.read("students").status_code == 200
    on_file.record_policy(world.office, world.by, "policy_version", version(papers))
    word = {"policy": "strictest", "version": 2, "schools": ["School A"]}
    for code, said in (("POL_NOTICE_PENDING", "noticed"), ("POL_RECONSENT_REQUIRED", "accepted")):
        refused = reader.read("students")
        assert (refused.status_code, papers.entries("denial")[-1]["reason"]) == (403, code)
        assert on_file.record_policy(world.office, world.by, "policy_word", word | {"word": said}) == 1
        assert on_file.record_policy(world.office, world.by, "policy_word", word | {"word": said}) == 0
    assert reader.read("students").status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"policy": "mine"}, "REQ_INVALID"), ({"version": 0}, "REQ_INVALID"), ({"change": "none"}, "REQ_INVALID"),
        ({"opens": ["sale"], "change": "less_restrictive"}, "PUR_COMMERCIAL"), ({"opens": ["x"]}, "REQ_INVALID"),
        ({"opens": ["support"]}, "REQ_CONTRADICTORY"), ({"document": "x"}, "REQ_INVALID"),
    ],
)  # fmt: skip
def test_a_version_that_is_none_is_refused(papers, change, code):
    world = papers.world
    assert refusal(on_file.record_policy, world.office, world.by, "policy_version", version(papers, **change)) == code


def test_a_version_stands_once_and_words_are_about_one_that_stands(papers):
    world = papers.world
    on_file.record_policy(world.office, world.by, "policy_version", version(papers))
    assert on_file.record_policy(world.office, world.by, "policy_version", version(papers)) == 0
    other = version(papers, change="editorial")
    assert refusal(on_file.record_policy, world.office, world.by, "policy_version", other) == "REQ_TWICE"
    word = {"policy": "strictest", "version": 3, "word": "noticed"}
    assert refusal(on_file.record_policy, world.office, world.by, "policy_word", word) == "REQ_UNKNOWN"
    later = word | {"version": 2, "at": papers.day(2)}
    assert refusal(on_file.record_policy, world.office, world.by, "policy_word", later) == "REQ_CONTRADICTORY"
    assert (
        refusal(on_file.record_policy, world.office, world.by, "policy_word", word | {"word": "heard"}) == "REQ_INVALID"
    )


def test_the_log_of_a_school_says_first_which_policy_governs(world):
    """Also of a school that is made after its district chose another."""
    world.onboard("A")
    on_file.record_policy(world.office, world.by, "source_policy", {"policy": "class_trak"})
    world.onboard("B", covered=False)
    first, later = (
        [(one["policy"], one["outcome"], one["actor"]) for one in world.ledger(org) if one["type"] == "policy"]
        for org in ("A", "B")
    )
    actor = {"kind": "staff", "ref": world.by.ref}
    assert first == [("strictest@1", "governs", actor), ("class_trak@2", "governs", actor)]
    assert later == first[1:]
    assert world.ledger("B")[0]["type"] == "policy"


def test_which_policy_governs_is_a_version_of_its_own(papers):
    """A teacher may direct under one policy; then the strictest governs, and what leaves stops."""
    world = papers.world
    for policy, version_ in (("class_trak", 2), ("mastery_prep", 3), ("strictest", 4)):
        assert on_file.record_policy(world.office, world.by, "source_policy", {"policy": policy}) == 2
        assert on_file.record_policy(world.office, world.by, "source_policy", {"policy": policy}) == 0
        with world.office.database.open_school(world.places["A"]) as session:
            assert fact_store.known(session, "ven_x", "ag_x").source_policy == policy
        assert papers.entries("policy")[-1]["policy"] == f"{policy}@{version_}"
    assert refusal(on_file.end, world.office, world.by, "source_policy", "-") == "REQ_CONFLICT"
    on_file.record_policy(world.office, world.by, "source_policy", {"policy": "class_trak"})
    assert on_file.end(world.office, world.by, "source_policy", "-") == 2
    listed = on_file.listing(world.office, world.by, "source_policy")
    assert [row["policy"] for row in listed] == [
        "strictest", "class_trak", "mastery_prep", "strictest", "class_trak", "strictest"
    ]  # fmt: skip
    assert refusal(on_file.record_policy, world.office, world.by, "source_policy", {"policy": "mine"}) == "REQ_INVALID"
    _, token = onboarding.add_staff(world.office, world.by, "A. Admin", "school_admin", "School A")
    of_a = staff.person(world.office.database, token, world.clock.at)
    assert refusal(on_file.record_policy, world.office, of_a, "source_policy", {"policy": "class_trak"}) == (
        "ACT_NOT_STAFF"
    )  # fmt: skip


@pytest.mark.parametrize(("policy", "may"), [("mastery_prep", False), ("strictest", False), ("class_trak", True)])
def test_where_no_school_may_direct_none_agrees_for_itself(papers, policy, may):
    world = papers.world
    on_file.record_policy(world.office, world.by, "policy_version", version(papers, policy=policy))
    _, token = onboarding.add_staff(world.office, world.by, "A. Admin", "school_admin", "School A")
    of_a = staff.person(world.office.database, token, world.clock.at)
    word = {"policy": policy, "version": 2, "schools": ["School A"]}
    assert on_file.record_policy(world.office, of_a, "policy_word", word | {"word": "noticed"}) == 1
    accepted = (on_file.record_policy, world.office, of_a, "policy_word", word | {"word": "accepted"})
    assert (accepted[0](*accepted[1:]) == 1) if may else (refusal(*accepted) == "ACT_NOT_STAFF")
    assert on_file.record_policy(world.office, world.by, "policy_word", word | {"word": "accepted"}) == (not may)


def test_versions_and_words_come_from_a_file_too(papers):
    """All is planned before any is applied; twice changes nothing; one fault and nothing is on file."""
    world = papers.world
    versions = [version(papers), version(papers, version=3, change="editorial")]
    heard = [{"policy": "strictest", "version": n, "word": "noticed", "schools": "School A;School B"} for n in (2, 3)]
    for kind, lines in (("policy_version", versions), ("policy_word", heard)):
        before = on_file.listing(world.office, world.by, kind)
        planned = on_file.plan(world.office, world.by, kind, lines)
        assert (planned.counts["new"], on_file.listing(world.office, world.by, kind)) == (2, before)
        spoiled = on_file.apply(world.office, world.by, kind, [*lines, lines[0] | {"version": 0}])
        assert [(f.row, f.reason.code) for f in spoiled.faults] == [(3, "REQ_INVALID")]
        assert on_file.listing(world.office, world.by, kind) == before
        assert on_file.apply(world.office, world.by, kind, lines).counts["new"] == 2
        assert on_file.apply(world.office, world.by, kind, lines).counts == {"new": 0, "changed": 0, "unchanged": 2}
        assert refusal(on_file.end, world.office, world.by, kind, "2") == "REQ_CONFLICT"
    assert len(on_file.listing(world.office, world.by, "policy_word")) == 4
    assert [e["outcome"] for e in papers.entries("policy", "B")] == [
        "governs", "recorded", "recorded", "noticed", "noticed"
    ]  # fmt: skip


# --- one number, one paper -------------------------------------------------------------------------


def person_of(papers: Papers, org: str) -> staff.Person:
    """Somebody who administers one school alone."""
    world = papers.world
    _, token = onboarding.add_staff(world.office, world.by, f"{org}. Admin", "school_admin", world.refs[org])
    return staff.person(world.office.database, token, world.clock.at)


OTHERS = {
    "agreement": {"vendor": "SIS Inc", "operations": ["members.read"]}, "direction": {"operation": "members.read"},
    "consent": {"pupil": "p2"}, "opt_out": {"pupil": "p2"},
}  # fmt: skip


@every_kind
def test_a_number_never_comes_to_stand_for_another_paper(papers, kind):
    both = ["roster.read", "members.read"]
    if kind == "direction":
        papers.apply("agreement", papers.file(papers.agreement(operations=both)))
    papers.apply(kind, papers.file(MAKE[kind](papers)))
    assert papers.faults(kind, MAKE[kind](papers, **OTHERS[kind])) == [(1, "REQ_CONTRADICTORY")]


@every_kind
def test_what_has_ended_does_not_come_back_by_an_old_file(papers, kind):
    if kind == "direction":
        papers.apply("agreement", papers.file(papers.agreement()))
    path = papers.file(MAKE[kind](papers))
    (line,) = papers.apply(kind, path).lines
    assert on_file.end(papers.world.office, papers.world.by, kind, line.ref) >= 1
    assert [fault.reason.code for fault in papers.apply(kind, path).faults] == ["REQ_CONFLICT"]


@every_kind
def test_the_same_file_on_another_day_changes_nothing(papers, kind):
    if kind == "direction":
        papers.apply("agreement", papers.file(papers.agreement()))
    path = papers.file(MAKE[kind](papers))
    papers.apply(kind, path)
    papers.world.clock.at += timedelta(days=1)
    assert papers.apply(kind, path).counts == {"new": 0, "changed": 0, "unchanged": 1}


def test_somebody_of_one_school_touches_no_paper_of_another(papers):
    world, of_a = papers.world, person_of(papers, "A")
    both = papers.agreement(schools=["School A", "School B"])
    papers.apply("agreement", papers.file(both))
    papers.apply("direction", papers.file(papers.direction(schools=["School B"])))
    world.file("consent", **papers.consent(number="C-1", school="School B"))
    before = papers.rows("direction"), papers.rows("consent")
    lines = [papers.direction(schools=["School A"])]
    assert on_file.apply(world.office, of_a, "direction", lines).counts["new"] == 1
    assert on_file.apply(world.office, of_a, "consent", [papers.consent()]).counts["new"] == 1
    for kind, rows in zip(("direction", "consent"), before, strict=True):
        after = papers.rows(kind)
        assert all(row in after for row in rows)
    (fault,) = on_file.plan(world.office, of_a, "direction", [papers.direction(schools=["School B"])]).faults
    assert (fault.reason.code, "SNM" in fault.detail) == ("ACT_NOT_STAFF", False)
    other = on_file.plan(world.office, of_a, "direction", [papers.direction(agreement="A-9")]).faults
    papers.apply(
        "agreement", papers.file(papers.agreement(number="A-9", schools=["School B"], operations=["members.read"]))
    )
    assert on_file.plan(world.office, of_a, "direction", [papers.direction(agreement="A-9")]).faults == other


def test_an_agreement_is_the_districts_to_make_suspend_and_end(papers):
    world, of_a = papers.world, person_of(papers, "A")
    ref = world.file("agreement", **papers.agreement())
    for deed in (on_file.suspend, on_file.activate):
        assert refusal(deed, world.office, of_a, ref) == "ACT_NOT_STAFF"
    assert refusal(on_file.end, world.office, of_a, "agreement", ref) == "ACT_NOT_STAFF"
    assert on_file.end(world.office, world.by, "agreement", ref) == 1


def test_the_latest_version_counts_whatever_an_earlier_one_said_of_whom(papers):
    """Even if versions of one paper were about two vendors or two pupils, no earlier one comes to life again."""
    world = papers.world
    reader = world.reader("A")
    there = {u["givenName"] for u in reader.read("students").json["users"]}
    no = {"scope": "use", "agreement": None, "status": "refused", "grantor": "parent", "evidenced": False,
          "valid_from": world.clock.at, "valid_until": None, "body": {}}  # fmt: skip
    with world.office.database.open_school(world.places["A"]) as session:
        for pupil, status in (("p0", "refused"), ("p2", "refused")):
            store.record(
                session, "consent", "co_twotwotwo", world.clock.at, "x", person_id=pupil, **no | {"status": status}
            )
        assert fact_store.person(session, "p0").consents == ()
        assert [c.version for c in fact_store.person(session, "p2").consents] == [2]
    gone = there - {u["givenName"] for u in reader.read("students").json["users"]}
    assert gone == {"Givenp2"}
    with world.office.database.open_school(world.places["A"]) as session:
        row = next(r for r in store.latest(session, "agreement") if r.agreement == world.agreements["Reader"])
        store.record(session, "agreement", row.agreement, world.clock.at, "x", vendor="ve_somebodyelse", status="ended",
                     effective_at=row.effective_at, expires_at=row.expires_at, body=row.body)  # fmt: skip
    assert reader.read("students").status_code == 403


def test_a_withdrawal_is_for_good(papers):
    world = papers.world
    reader = world.reader("A")
    count = len(reader.read("students").json["users"])
    ref = world.file("consent", **papers.consent(agreement=world.agreements["Reader"], until=papers.day(20)))
    on_file.end(world.office, world.by, "consent", ref)
    for days in (0, 21):
        world.clock.at += timedelta(days=days)
        assert len(reader.sign_in().read("students").json["users"]) == count - 1


def test_words_on_the_policy_are_in_the_ledger_of_each_school(papers):
    world = papers.world
    on_file.record_policy(world.office, world.by, "policy_version", version(papers))
    on_file.record_policy(
        world.office, world.by, "policy_word",
        {"policy": "strictest", "version": 2, "word": "noticed", "schools": ["School A"]},
    )  # fmt: skip
    said = {school: [e["outcome"] for e in papers.entries("policy", school)] for school in "AB"}
    assert said == {"A": ["governs", "recorded", "noticed"], "B": ["governs", "recorded"]}


ODD = {
    "year one": {"from": "0001-01-01T00:00:00+05:00"}, "year 9999": {"until": "9999-12-31T23:59:59-05:00"},
    "year 1899": {"from": "1899-12-31"}, "no offset": {"until": "2030-01-01T00:00:00"}, "a number": {"until": 20300101},
    "a list": {"until": ["2030-01-01"]}, "deep": {"school_agent": json.loads("[" * 500 + "]" * 500)},
    "a NUL": {"vendor": "a\x00b"}, "an object": {"schools": {"A": 1}}, "numbers": {"schedule": [1, 2]},
}  # fmt: skip


@pytest.mark.parametrize("change", ODD.values(), ids=list(ODD))
def test_odd_values_are_refused_in_words(papers, change):
    plan = on_file.plan(papers.world.office, papers.world.by, "agreement", [papers.agreement(**change)])
    assert [fault.reason.code for fault in plan.faults] == ["REQ_INVALID"]


def test_many_lines_about_one_pupil_are_judged_quickly_and_written_at_once(papers):
    lines = [papers.opt_out(number=f"O-{n}") for n in range(400)]
    before = len(papers.world.ledger("A"))
    assert papers.apply("opt_out", papers.file(*lines)).counts["new"] == 400
    assert len(papers.world.ledger("A")) == before + 400
    yes_and_no = [papers.consent(number=f"C-{n}", status=("given", "refused")[n % 2]) for n in range(400)]
    assert len(papers.plan("consent", papers.file(*yes_and_no)).faults) == 399
