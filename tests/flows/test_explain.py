"""Why something leaves or not, and what would change if: the answers are those that vendors get."""

from __future__ import annotations

import pytest

from gateway.errors import Refused
from gateway.flows import explain, on_file, onboarding
from gateway.identity import staff
from tests.worlds import OR, World


@pytest.fixture
def read(world: World) -> World:
    """Schools A and B; a reader of A with names and enrollments, another of both."""
    world.standing(12)
    world.reader("A", schedule=("SNM", "ENR", "SCH"))
    world.reader("A", "B", name="Both")
    return world


def why(world: World, student: str, element: str, vendor: str = "Reader") -> list[tuple[str, str | None]]:
    found = explain.explain(world.office, world.by, vendor, student, element)
    assert all(answer.sentence and answer.because for answer in found)
    schools = {ref: org for org, ref in world.refs.items()}
    return [(schools[answer.school], answer.reason.code if answer.reason else None) for answer in found]


def test_what_leaves_is_explained_by_its_agreement_and_direction(read):
    (answer,) = explain.explain(read.office, read.by, "Reader", "p2", "person.name.given")
    assert (answer.reason, answer.operation) == (None, "roster.read")
    assert answer.because.startswith(read.agreements["Reader"] + "@1, dr_")
    assert answer.sentence.startswith("Yes:")


@pytest.mark.parametrize(
    ("element", "code"),
    [("person.email", "ELM_NOT_IN_SCHEDULE"), ("person.password", "ELM_NEVER_EXPORT"),
     ("technical.usage", "ELM_TECHNICAL"), ("result.score", "ELM_NOT_IN_SCHEDULE")],
)  # fmt: skip
def test_an_element_that_stays_is_explained(read, element, code):
    assert why(read, "p2", element) == [("A", code)]


def test_a_pupil_of_two_schools_is_explained_at_each(read):
    assert why(read, "p0", "person.name.given", "Both") == [("A", None), ("B", None)]
    assert why(read, "p0", "person.name.given") == [("A", None), ("B", "AGR_NONE")]


def test_each_reason_is_the_one_that_counts(read):
    at_a = {"school": "School A", "pupil": "p2"}
    out = read.file("opt_out", **at_a, category="assessment")
    assert why(read, "p2", "person.name.given") == [("A", "CON_OPT_OUT")]
    on_file.end(read.office, read.by, "opt_out", out)
    read.file("consent", **at_a, scope="use", status="refused", grantor="parent")
    (answer,) = explain.explain(read.office, read.by, "Reader", "p2", "person.name.given")
    assert (answer.reason.code, "(refused, use)" in answer.because) == ("RET_RESTRICTED", True)
    on_file.end(read.office, read.by, "agreement", read.agreements["Reader"])
    assert why(read, "p2", "person.name.given") == [("A", "AGR_REVOKED")]


def test_an_agreement_without_a_credential_says_so(read):
    read.agree("Unconnected", "assessment", ("SNM",), ("roster.read",), ("rostering",), ["A"])
    (answer,) = explain.explain(read.office, read.by, "Unconnected", "p2", "person.name.given")
    assert (answer.reason.code, "schoolgate vendor connect" in answer.because) == ("SCP_MISSING", True)


def test_an_operation_is_explained_for_the_purpose_that_it_serves(read):
    """What an agreement names first decides nothing; one without the purpose of its operation lets nothing out."""
    read.agree("Papers", "assessment", ("SNM",), ("roster.read",), ("assessment_delivery", "grading"), ["A"])
    papers = read.connect("Papers", OR + "roster.readonly", schools=["A"]).sign_in()
    (answer,) = explain.explain(read.office, read.by, "Papers", "p2", "person.name.given")
    assert (answer.purpose, answer.reason.code) == ("rostering", "PUR_NOT_PERMITTED")
    assert answer.because == f"{read.agreements['Papers']}@1 names assessment_delivery, grading"
    assert papers.read("students").status_code == 403
    read.agree("Quiz", "assessment", ("SNM", "ENR"), ("launch.handover", "roster.read"),
               ("assessment_delivery", "rostering"), ["A"])  # fmt: skip
    read.connect("Quiz", OR + "roster.readonly", "launch.read", schools=["A"])
    answers = explain.explain(read.office, read.by, "Quiz", "p2", "person.name.given")
    assert [(one.operation, one.purpose) for one in answers] == [
        ("launch.handover", "assessment_delivery"), ("roster.read", "rostering")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("purpose", "said"),
    [("rostering", None), ("grading", "PUR_NOT_PERMITTED"), ("advertising", "PUR_COMMERCIAL"),
     ("profiling", "PUR_PROFILE")],
)  # fmt: skip
def test_one_purpose_can_be_asked_about(read, purpose, said):
    (answer,) = explain.explain(read.office, read.by, "Reader", "p2", "person.name.given", purpose)
    assert (answer.purpose, answer.reason and answer.reason.code) == (purpose, said)


def test_a_purpose_that_is_agreed_and_that_nothing_serves_is_said(read):
    read.agree("Wide", "assessment", ("SNM",), ("roster.read",), ("rostering", "school_reporting"), ["A"])
    read.connect("Wide", OR + "roster.readonly", schools=["A"])
    (answer,) = explain.explain(read.office, read.by, "Wide", "p2", "person.name.given", "school_reporting")
    assert (answer.reason.code, answer.because) == (
        "PUR_NOT_PERMITTED", "roster.read serves rostering and nothing else"
    )  # fmt: skip
    with pytest.raises(Refused, match="purposes are"):
        explain.explain(read.office, read.by, "Wide", "p2", "person.name.given", "outreach")


@pytest.mark.parametrize(
    "asked", [("Nobody", "p2", "person.email"), ("Reader", "p99", "person.email"), ("Reader", "p2", "shoe.size")]
)
def test_what_there_is_none_of_is_refused(read, asked):
    with pytest.raises(Refused) as caught:
        explain.explain(read.office, read.by, *asked)
    assert caught.value.reason.code == "REQ_UNKNOWN"


def test_somebody_of_one_school_is_told_of_that_school_alone(read):
    _, token = onboarding.add_staff(read.office, read.by, "B. Officer", "privacy_officer", read.refs["B"])
    at_b = staff.person(read.office.database, token, read.clock.at)
    answers = explain.explain(read.office, at_b, "Both", "p0", "person.name.given")
    assert [answer.school for answer in answers] == [read.refs["B"]]


# --- what if ---------------------------------------------------------------------------------------


def effects(world: World, change: explain.Change) -> list[tuple[str, str, tuple[int, int], str | None]]:
    schools = {ref: org for org, ref in world.refs.items()}
    return sorted(
        (schools[e.school], e.vendor, e.pupils, e.reason.code if e.reason else None)
        for e in explain.what_if(world.office, world.by, change)
    )


def test_what_ending_an_agreement_would_change_is_what_it_then_changes(read):
    foretold = effects(read, explain.ending(read.agreements["Both"]))
    assert foretold == [("A", "Both", (7, 0), "AGR_REVOKED"), ("B", "Both", (8, 0), "AGR_REVOKED")]
    ledger = len(read.ledger("A"))
    on_file.end(read.office, read.by, "agreement", read.agreements["Both"])
    assert effects(read, explain.ending(read.agreements["Both"])) == []
    assert len(read.ledger("A")) == ledger + 1


def test_what_a_refusal_would_change_is_what_it_then_changes(read):
    assert effects(read, explain.refusing("p2", None)) == [("A", "Both", (7, 6), None), ("A", "Reader", (7, 6), None)]
    under = read.agreements["Both"]
    assert effects(read, explain.refusing("p2", under)) == [("A", "Both", (7, 6), None)]
    read.file("consent", school="School A", pupil="p2", scope="disclose", status="refused", grantor="parent",
              agreement=under)  # fmt: skip
    assert effects(read, explain.refusing("p2", under)) == []


def test_what_another_policy_would_change(read):
    read.direct(read.agreements["Reader"], "roster.read", ["A"])
    assert effects(read, explain.governed_by("mastery_track")) == []
    with pytest.raises(Refused):
        explain.governed_by("mine")
