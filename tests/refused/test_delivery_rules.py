"""What records say together that each by itself may say: every semantic rule, the row it costs, and what it leaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from gateway.embedded import Addresses
from mappings.oneroster.csv import REQUIRED
from tests.deliveries import UNKEPT, Delivery, two_schools
from tests.refused import spoil as to
from tests.refused.spoil import PUPILS, Spoil, bring
from tests.worlds import World

URN = "urn:uuid:123e4567-e89b-12d3-a456-426614174000"
ITEM = {"title": "Quiz", "assignDate": "2026-09-01", "dueDate": "2026-09-08", "classSourcedId": "kA",
        "categorySourcedId": "cat", "academicSessionSourcedId": "t", "resultValueMin": "0", "resultValueMax": "10",
        "schoolSourcedId": "A"}  # fmt: skip
RESULT = {"lineItemSourcedId": "l", "studentSourcedId": "p2", "scoreStatus": "fully graded", "score": "7.5",
          "scoreDate": "2026-09-08", "classSourcedId": "kA", "textScore": "Pass"}  # fmt: skip


def whole() -> Delivery:
    """A delivery with a row in each of the files that are checked and not kept."""
    made = two_schools(PUPILS)
    made.add("resources.csv", sourcedId="res", vendorResourceId="v1", roles="student,teacher", importance="primary")
    made.add("classResources.csv", sourcedId="cr", classSourcedId="kA", resourceSourcedId="res")
    made.add("courseResources.csv", sourcedId="or", courseSourcedId="c", resourceSourcedId="res")
    made.add("userResources.csv", sourcedId="ur", userSourcedId="p2", orgSourcedId="A", resourceSourcedId="res")
    made.add("userProfiles.csv", sourcedId="prof", userSourcedId="p2", profileType="LMS", vendorId="v",
             credentialType="pw", username="u", password="hunter2")  # fmt: skip
    made.row("roles.csv", "r.p2.A")["userProfileSourcedId"] = "prof"
    made.add("categories.csv", sourcedId="cat", title="Homework", weight="80")
    made.add("scoreScales.csv", sourcedId="sc", title="Pass or fail", type="pass", orgSourcedId="A",
             courseSourcedId="c", classSourcedId="kA", scoreScaleValue="{Pass:50},{Fail:0}")  # fmt: skip
    made.add("lineItems.csv", sourcedId="l", **ITEM)
    made.add("results.csv", sourcedId="r", **RESULT)
    made.add("lineItemScoreScales.csv", sourcedId="ls", lineItemSourcedId="l", scoreScaleSourcedId="sc")
    made.add("resultScoreScales.csv", sourcedId="rs", resultSourcedId="r", scoreScaleSourcedId="sc")
    made.add("lineItemLearningObjectiveIds.csv", sourcedId="lo", lineItemSourcedId="l", source="case",
             learningObjectiveId=URN)  # fmt: skip
    made.add("resultLearningObjectiveIds.csv", sourcedId="ro", resultSourcedId="r", source="unknown",
             learningObjectiveId="any", score="0.5")  # fmt: skip
    return made


def another_year(delivery: Delivery) -> None:
    delivery.row("academicSessions.csv", "t")["parentSourcedId"] = ""
    delivery.row("classes.csv", "kA")["title"] = "Looked at anew"


@pytest.fixture(scope="module")
def standing(addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with to.standing_world(addresses, tmp_path_factory.mktemp("rules")) as world:
        yield world


CASES = [
    ("term that ends before it begins", to.cells("academicSessions.csv", "t", startDate="2027-07-01"),
     "academicSessions.csv", "startDate", "CSV_DATES_REVERSED", "row"),
    ("role that ends before it begins", to.cells("roles.csv", "r.p2.A", beginDate="2026-10-02", endDate="2026-10-01"),
     "roles.csv", "beginDate", "CSV_DATES_REVERSED", "row"),
    ("enrollment that ends before it begins",
     to.cells("enrollments.csv", "e.kA.p2", beginDate="2026-10-02", endDate="2026-10-01"),
     "enrollments.csv", "beginDate", "CSV_DATES_REVERSED", "row"),
    ("enrollment before its term", to.cells("enrollments.csv", "e.kA.p2", beginDate="2025-10-02"),
     "enrollments.csv", "beginDate", "CSV_DATES_OUTSIDE", "noted"),
    ("enrollment in a role nobody gave", to.cells("enrollments.csv", "e.kA.p2", role="teacher"),
     "enrollments.csv", "role", "CSV_ROLE_DIFFERS", "noted"),
    ("course of a term", to.cells("courses.csv", "c", schoolYearSourcedId="t"),
     "courses.csv", "schoolYearSourcedId", "CSV_SESSION_TYPE", "value"),
    ("class in a term of another year", another_year,
     "classes.csv", "termSourcedIds", "CSV_TERM_YEAR", "noted"),
    ("course with fewer codes", to.cells("courses.csv", "c", subjects="Art,Math", subjectCodes="1"),
     "courses.csv", "subjectCodes", "CSV_SUBJECT_CODES", "value"),
    ("class with fewer codes", to.cells("classes.csv", "kA", subjects="Art,Math", subjectCodes="1"),
     "classes.csv", "subjectCodes", "CSV_SUBJECT_CODES", "value"),
    ("two primary roles", to.row("roles.csv", sourcedId="r2", userSourcedId="p2", role="aide", roleType="primary",
                                 orgSourcedId="A"), "roles.csv", "roleType", "CSV_ROLE_PRIMARY_TWICE", "row"),
    ("primary org without a role", to.cells("users.csv", "p2", primaryOrgSourcedId="B"),
     "users.csv", "primaryOrgSourcedId", "CSV_PRIMARY_ORG", "value"),
    ("account of somebody else", to.cells("userProfiles.csv", "prof", userSourcedId="p4"),
     "roles.csv", "userProfileSourcedId", "CSV_PROFILE_USER", "value"),
    ("account that is nowhere", to.cells("roles.csv", "r.p2.A", userProfileSourcedId="none"),
     "roles.csv", "userProfileSourcedId", "CSV_REFERENCE", "value"),
    ("ids that are no pairs", to.cells("users.csv", "p2", userIds="4711"),
     "users.csv", "userIds", "CSV_VALUE_TYPE", "value"),
    ("line item of a year", to.cells("lineItems.csv", "l", academicSessionSourcedId="y"),
     "lineItems.csv", "academicSessionSourcedId", "CSV_SESSION_TYPE", "row"),
    ("line item of a district", to.cells("lineItems.csv", "l", schoolSourcedId="d"),
     "lineItems.csv", "schoolSourcedId", "CSV_ORG_TYPE", "row"),
    ("line item of another school", to.cells("lineItems.csv", "l", schoolSourcedId="B"),
     "lineItems.csv", "schoolSourcedId", "CSV_SCHOOL_MISMATCH", "value"),
    ("range that is reversed", to.cells("lineItems.csv", "l", resultValueMin="11"),
     "lineItems.csv", "resultValueMin", "CSV_RANGE", "value"),
    ("score above the range", to.cells("results.csv", "r", score="10.01"),
     "results.csv", "score", "CSV_SCORE_RANGE", "value"),
    ("score below the range", to.cells("results.csv", "r", score="-1"),
     "results.csv", "score", "CSV_SCORE_RANGE", "value"),
    ("text that is no step of the scale", to.cells("results.csv", "r", textScore="Great"),
     "results.csv", "textScore", "CSV_SCORE_SCALE", "value"),
    ("result of another class", to.cells("results.csv", "r", classSourcedId="kB"),
     "results.csv", "classSourcedId", "CSV_RESULT_CLASS", "value"),
    ("result of a pupil of another class", to.cells("results.csv", "r", studentSourcedId="p1"),
     "results.csv", "studentSourcedId", "CSV_RESULT_STUDENT", "row"),
    ("objective of a line item that is no URN",
     to.cells("lineItemLearningObjectiveIds.csv", "lo", learningObjectiveId=URN[9:]),
     "lineItemLearningObjectiveIds.csv", "learningObjectiveId", "CSV_OBJECTIVE_ID", "row"),
    ("objective of a result that is no URN", to.cells("resultLearningObjectiveIds.csv", "ro", source="case"),
     "resultLearningObjectiveIds.csv", "learningObjectiveId", "CSV_OBJECTIVE_ID", "row"),
    ("class resource of no class", to.cells("classResources.csv", "cr", classSourcedId="k0"),
     "classResources.csv", "classSourcedId", "CSV_REFERENCE", "row"),
    ("course resource of no resource", to.cells("courseResources.csv", "or", resourceSourcedId="x"),
     "courseResources.csv", "resourceSourcedId", "CSV_REFERENCE", "row"),
    ("resource of nobody", to.cells("userResources.csv", "ur", userSourcedId="x"),
     "userResources.csv", "userSourcedId", "CSV_REFERENCE", "row"),
    ("resource at no school", to.cells("userResources.csv", "ur", orgSourcedId="x"),
     "userResources.csv", "orgSourcedId", "CSV_REFERENCE", "value"),
    ("account of nobody", to.cells("userProfiles.csv", "prof", userSourcedId="x"),
     "userProfiles.csv", "userSourcedId", "CSV_REFERENCE", "row"),
    ("line item in no category", to.cells("lineItems.csv", "l", categorySourcedId="x"),
     "lineItems.csv", "categorySourcedId", "CSV_REFERENCE", "row"),
    ("result of nothing", to.cells("results.csv", "r", lineItemSourcedId="x"),
     "results.csv", "lineItemSourcedId", "CSV_REFERENCE", "row"),
    ("scale of no course", to.cells("scoreScales.csv", "sc", courseSourcedId="x"),
     "scoreScales.csv", "courseSourcedId", "CSV_REFERENCE", "row"),
    ("weight that is no whole number", to.cells("categories.csv", "cat", weight="0.8"),
     "categories.csv", "weight", "CSV_VALUE_TYPE", "row"),
    ("score with a comma", to.cells("results.csv", "r", score="7,5"), "results.csv", "score", "CSV_VALUE_TYPE", "row"),
    ("scale that is no pairs", to.cells("scoreScales.csv", "sc", scoreScaleValue="Pass=50"),
     "scoreScales.csv", "scoreScaleValue", "CSV_VALUE_TYPE", "row"),
    ("status that is unknown", to.cells("results.csv", "r", scoreStatus="graded"),
     "results.csv", "scoreStatus", "CSV_VALUE_VOCABULARY", "row"),
    ("role that is unknown", to.cells("resources.csv", "res", roles="student,pupil"),
     "resources.csv", "roles", "CSV_VALUE_VOCABULARY", "row"),
    ("category twice", to.row("categories.csv", sourcedId="cat", title="Again"),
     "categories.csv", "sourcedId", "CSV_ID_TWICE", "row"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "file", "column", "code", "effect"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_rule_is_told_where_it_is_broken(
    standing: World, spoil: Spoil, file: str, column: str, code: str, effect: str
) -> None:
    delivery = whole()
    spoil(delivery)
    path = standing.office.settings.instance.parent / "rules.zip"
    delivery.zip(path)
    report = standing.sync(path, publish=False)
    assert report.state == "planned", report.as_dict()
    told = [(f.column, f.code, f.effect) for f in report.faults if f.file == file]
    assert told == [(column, code, effect)]


def test_what_hangs_on_a_bad_row_is_told_file_by_file(standing: World) -> None:
    """A line item of no class costs what is said of it, and what is said of that, whatever comes with it."""
    delivery = whole()
    delivery.row("lineItems.csv", "l")["classSourcedId"] = "x"
    path = delivery.zip(standing.office.settings.instance.parent / "chain.zip")
    report = standing.sync(path, publish=False)
    assert {(f.file, f.code) for f in report.faults} == {
        ("lineItems.csv", "CSV_REFERENCE"), ("results.csv", "CSV_REFERENCE_BAD"),
        ("lineItemScoreScales.csv", "CSV_REFERENCE_BAD"), ("resultScoreScales.csv", "CSV_REFERENCE_BAD"),
        ("lineItemLearningObjectiveIds.csv", "CSV_REFERENCE_BAD"),
        ("resultLearningObjectiveIds.csv", "CSV_REFERENCE_BAD"),
    }  # fmt: skip


def some(names: frozenset[str], deltas: frozenset[str], lost: frozenset[str], broken: frozenset[str]) -> Delivery:
    """A delivery of these files, some of them as deltas; of some every reference leads nowhere, and some cannot be
    read."""
    made = whole()
    made.rows = {name: rows for name, rows in made.rows.items() if name in names}
    made.as_delta(*(deltas & names))
    for name, rows in made.rows.items():
        for row in rows:
            if name in deltas:
                row |= {"status": "active", "dateLastModified": "2026-10-02T08:00:00Z"}
            if name in lost:
                row |= {cell: "nowhere" for cell in row if cell != "sourcedId" and cell.endswith("SourcedId")}
        if name in broken & set(UNKEPT["1.2"]):
            made.headers[name] = ("sourcedId", "wrong")
    return made


@trials(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(*[st.frozensets(st.sampled_from(sorted(whole().rows)))] * 4, st.booleans())
def test_whatever_files_come_together_they_are_judged(
    standing: World, names: frozenset[str], deltas: frozenset[str], lost: frozenset[str], broken: frozenset[str],
    required: bool,
) -> None:  # fmt: skip
    """Any files, with or without those that a whole delivery must have, alone or beside what they refer to."""
    delivery = some(names | REQUIRED["1.2"] if required else names, deltas, lost, broken)
    path = delivery.zip(standing.office.settings.instance.parent / "some.zip")
    report = standing.sync(path, publish=False)
    assert report.state == "planned" or report.refusal, report.as_dict()
    told = {f.file for f in report.faults if f.effect == "file"}
    assert told == set(delivery.headers) or report.refusal


def test_files_that_are_not_kept_are_checked_and_nothing_of_them_is_kept(standing: World) -> None:
    report = bring(standing, to.packed(whole().files()))
    assert (report.state, report.faults) == ("unchanged", [])
    checked = {file["file"] for file in report.files if not file["kept"]}
    assert len(checked) == 13
    with standing.office.database.open_intake(standing.by.district) as session:
        tables = session.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'staging'")
    assert {row.tablename for row in tables} & {"result", "profile", "line_item", "role_profile"} == set()
    assert "hunter2" not in str(report.as_dict())


def test_a_file_that_is_not_kept_does_not_hold_the_roster_back(standing: World) -> None:
    spoilt = whole()
    spoilt.headers["results.csv"] = ("sourcedId", "wrong")
    report = bring(standing, to.packed(spoilt.files()))
    assert report.state in ("published", "unchanged"), report.as_dict()
    assert [(f.file, f.code, f.effect) for f in report.faults] == [("results.csv", "CSV_HEADER", "file")]


@pytest.mark.parametrize("spoil", [
    to.cells("users.csv", "p2", primaryOrgSourcedId="A"), to.cells("courses.csv", "c", schoolYearSourcedId="y"),
], ids=["primary org", "school year"])  # fmt: skip
def test_a_rule_is_looked_at_again_when_what_it_compares_with_changes(world: World, spoil: Spoil) -> None:
    """The row itself is delivered as the night before."""
    world.unseeded().onboard("A", "B")
    first = two_schools(12)
    spoil(first)
    first.add("roles.csv", sourcedId="x", userSourcedId="p2", role="student", roleType="secondary", orgSourcedId="B")
    assert world.deliver(first).faults == []
    first.without("roles.csv", "r.p2.A")
    first.row("academicSessions.csv", "y")["type"] = "term"
    codes = {(f.sourced_id, f.code) for f in world.deliver(first).faults if f.effect == "value"}
    assert codes >= {("c", "CSV_SESSION_TYPE")}
    assert (("p2", "CSV_PRIMARY_ORG") in codes) == (first.row("users.csv", "p2").get("primaryOrgSourcedId") == "A")
