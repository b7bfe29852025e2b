"""OneRoster CSV 1.0: read where the source says so, into what 1.1 would have said, and refused everywhere else."""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import report_text
from gateway.errors import Refused
from gateway.flows import onboarding, rosters
from gateway.flows.rosters import Report
from gateway.store.staging import Seen
from mappings.oneroster.csv import FILES
from mappings.oneroster.heads import read_header
from mappings.oneroster.repairs import repairs_of
from mappings.oneroster.rows import Fault, FileReader, Row
from tests.deliveries import HEADERS, Delivery
from tests.refused import spoil as to
from tests.refused.spoil import Spoil, bring, content, live
from tests.worlds import World

RULE, USERS, CLASSES = "csv-1.0", "users.csv", "classes.csv"
REQUIRED = [name for name in HEADERS["1.0"] if name != "demographics.csv"]
PUPILS = 24


def older(pupils: int = PUPILS) -> Delivery:
    """Two schools as 1.1 tells of them, in what 1.0 can say too."""
    made = Delivery("1.1").frame("A", "B").class_("kA", "A", subjects="Math,Art").class_("kB", "B", location="12")
    made.row("orgs.csv", "d")["type"] = "local"
    made.headers["demographics.csv"] = HEADERS["1.2"]["demographics.csv"]
    for school in "AB":
        made.person(f"t{school}", "teacher", school, identifier=f"n{school}", userIds=f"{{userId:x-{school}}}")
        made.enroll(f"t{school}", f"k{school}", school, "teacher", primary="true")
    made.person("parent", "parent", "A", phone="1")
    for n in range(pupils):
        schools = ("A", "B") if n % 5 == 0 else ("AB"[n % 2],)
        made.person(f"p{n}", "student", *schools, email=f"p{n}@pupils.example", agentSourcedIds="parent")
        made.add("demographics.csv", sourcedId=f"p{n}", birthDate="2010-03-04", sex="female", asian="false")
        for school in schools:
            made.enroll(f"p{n}", f"k{school}", school)
    return made


def oldest(*spoils: Spoil, pupils: int = PUPILS) -> Delivery:
    """The same as 1.0 tells of it, then spoilt."""
    made = older(pupils).as_1p0()
    for row in made.rows["demographics.csv"]:
        row["sex"] = row["sex"].title()
    for row in made.rows[USERS]:
        row["userId"] = row.get("userId", "").removeprefix("{userId:").removesuffix("}")
    for spoil in spoils:
        spoil(made)
    return made


def told(world: World, package: bytes | Path) -> Report:
    """Bring a delivery of a source that is said to deliver 1.0."""
    onboarding.repair_source(world.office, world.by, "sis", add=RULE)
    return bring(world, package)


def said(world: World) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What the schools serve, without the year of a session: 1.0 does not say it."""
    return {at: content(row) | ({"school_year": None} if at[1] == "session" else {}) for at, row in live(world).items()}


def refused(world: World, delivery: Delivery) -> tuple[str, str, str, str]:
    before = said(world)
    report = told(world, to.packed(delivery.files()))
    refusal = report.refusal or {}
    assert (report.state, said(world)) == ("refused", before)
    assert refusal["sentence"]
    assert refusal["remedy"]
    return refusal["code"], refusal["file"], refusal["line"], refusal.get("repair", "")


# --- what it becomes -------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [False, True])
def test_a_district_in_1p0_is_at_its_schools_what_it_is_in_1p1(world: World, tmp_path: Path, *, folder: bool) -> None:
    world.unseeded().onboard("A", "B")
    assert bring(world, to.packed(older().files())).state == "published"
    before = said(world)
    assert {at[1] for at in before} == {"org", "session", "course", "user", "class", "enrollment", "demographics"}
    made = oldest()
    report = told(world, made.folder(tmp_path / "delivery") if folder else to.packed(made.files()))
    assert (report.state, report.faults, report.version, report.repairs) == ("published", [], "1.0", [RULE])
    assert {file["mode"] for file in report.files} == {"bulk"}
    assert said(world) == before
    assert live(world)["A", "session", "t"].school_year is None


def test_a_first_delivery_in_1p0_is_published_and_the_next_changes_nothing(world: World) -> None:
    world.unseeded().onboard("A", "B")
    report = told(world, to.packed(oldest().files()))
    assert (report.state, report.faults) == ("published", [])
    rows = live(world)
    assert rows["A", "user", "p0"].roles == [{"roleType": "primary", "role": "student", "org": "A"}]
    assert (rows["A", "user", "tA"].user_ids, rows["A", "user", "tA"].enabled) == (["{userId:x-A}"], True)
    assert (rows["A", "class", "kA"].grades, rows["A", "class", "kA"].terms) == (["09"], ["t"])
    assert rows["A", "demographics", "p0"].sex == "female"
    changed = oldest(to.cells(CLASSES, "kA", grade="9-11"))
    assert bring(world, to.packed(changed.files())).state == "published"
    assert live(world)["A", "class", "kA"].grades == ["09", "10", "11"]
    again = bring(world, to.packed(dict(reversed(changed.files().items()))))
    assert (again.state, {f["file"]: f["rows"] - f["unchanged"] for f in again.files}) == (
        "unchanged", dict.fromkeys(HEADERS["1.0"], 0),
    )  # fmt: skip


def test_metadata_among_the_columns_is_read_past(world: World) -> None:
    world.unseeded().onboard("A", "B")
    made = oldest(to.columns("orgs.csv", lambda names: (*names[:6], "metadata.gender", *names[6:])))
    report = told(world, to.packed(made.files()))
    assert (report.state, report.faults) == ("published", [])


def test_a_row_that_is_gone_is_as_good_as_absent(world: World) -> None:
    world.unseeded().onboard("A", "B")
    told(world, to.packed(oldest(pupils=40).files()))

    def left(delivery: Delivery) -> None:
        delivery.row(USERS, "p4").update(status="inactive", dateLastModified="2026-10-01")
        delivery.row("enrollments.csv", "e.kA.p4")["status"] = "tobedeleted"
        delivery.rows["demographics.csv"] = [r for r in delivery.rows["demographics.csv"] if r["userSourcedId"] != "p4"]
        delivery.row(USERS, "p3")["status"] = "active"

    report = bring(world, to.packed(oldest(left, pupils=40).files()))
    assert (report.state, {(f.file, f.code, f.effect) for f in report.faults}) == (
        "published", {(file, "CSV_STATUS_IN_BULK", "noted") for file in (USERS, "enrollments.csv")},
    )  # fmt: skip
    assert not {at for at in live(world) if at[2] in ("p4", "e.kA.p4")}
    assert ("B", "user", "p3") in live(world)


def test_a_smaller_roster_is_held_as_it_is_in_other_versions(world: World) -> None:
    world.unseeded().onboard("A", "B")
    told(world, to.packed(oldest().files()))
    before = said(world)

    def most(delivery: Delivery) -> None:
        for row in delivery.rows[USERS][3:]:
            row["status"] = "tobedeleted"

    report = bring(world, to.packed(oldest(most).files()))
    assert (report.state, said(world)) == ("held", before)


def test_faults_name_columns_as_1p0_does(world: World) -> None:
    world.unseeded().onboard("A", "B")

    def spoil(delivery: Delivery) -> None:
        delivery.row(CLASSES, "kA")["termSourcedId"] = "t,nowhere"
        delivery.row("courses.csv", "c")["schoolYearId"] = "t"
        delivery.row(USERS, "p1")["agents"] = "nobody"
        delivery.rows["demographics.csv"][2]["userSourcedId"] = "nobody"
        delivery.rows["demographics.csv"].append(delivery.rows["demographics.csv"][3])
        delivery.row(CLASSES, "kB")["grade"] = "nine"

    report = told(world, to.packed(oldest(spoil).files()))
    assert report.state == "published"
    assert {(f.file, f.column, f.code) for f in report.faults} >= {
        (CLASSES, "termSourcedId", "CSV_REFERENCE"), ("courses.csv", "schoolYearId", "CSV_SESSION_TYPE"),
        (USERS, "agents", "CSV_REFERENCE"), ("demographics.csv", "userSourcedId", "CSV_REFERENCE"),
        ("demographics.csv", "userSourcedId", "CSV_ID_TWICE"), (CLASSES, "grade", "CSV_VALUE_VOCABULARY"),
    }  # fmt: skip
    assert all(cause["rule"] for cause in report.causes)


def test_schools_are_found_in_a_delivery_of_1p0_of_a_source_that_says_so(world: World, tmp_path: Path) -> None:
    onboarding.add_source(world.office, world.by, "sis", None, None, None, "")
    package = oldest().zip(tmp_path / "first.zip")
    with pytest.raises(Refused, match="CSV_MANIFEST_MISSING"):
        rosters.schools_in(world.office, package, onboarding.repairs_for_schools(world.office, world.by, None))
    onboarding.repair_source(world.office, world.by, "sis", add=RULE)
    repairs = onboarding.repairs_for_schools(world.office, world.by, "sis")
    assert rosters.schools_in(world.office, package, repairs) == [("A", "School A"), ("B", "School B")]


# --- what is refused -------------------------------------------------------------------------------


def with_manifest(version: str) -> Spoil:
    def spoil(delivery: Delivery) -> None:
        lines = ["propertyName,value", f"oneroster.version,{version}"]
        lines += [f"file.{name.removesuffix('.csv')},bulk" for name in delivery.files()]
        delivery.raw["manifest.csv"] = "\r\n".join([*lines, ""]).encode()

    return spoil


def without(file: str) -> Spoil:
    return lambda delivery: delivery.rows.pop(file) and None


def marked(delivery: Delivery) -> None:
    for row in delivery.rows[USERS]:
        row |= {"status": "active", "dateLastModified": "2026-10-01"}


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(
            with_manifest("1.1"), ("CSV_MANIFEST_CONTRADICTED", "manifest.csv", "", ""), id="a manifest beside it"
        ),
        pytest.param(
            with_manifest("1.0"), ("CSV_MANIFEST_CONTRADICTED", "manifest.csv", "", ""), id="a manifest that says 1.0"
        ),
        pytest.param(
            to.columns(USERS, lambda names: (*names, "grades")), ("CSV_HEADER", USERS, "1", ""), id="a column of 1.1"
        ),
        pytest.param(
            to.columns("academicSessions.csv", lambda names: (*names, "schoolYear")),
            ("CSV_HEADER", "academicSessions.csv", "1", ""), id="another column of 1.1",
        ),
        pytest.param(
            to.titles(CLASSES, "termSourcedId", "termSourcedIds"), ("CSV_HEADER", CLASSES, "1", ""), id="a name of 1.1"
        ),
        pytest.param(
            to.titles("demographics.csv", "birthdate", "birthDate"),
            ("CSV_HEADER", "demographics.csv", "1", "header-case"), id="a name in another case",
        ),
        pytest.param(
            to.columns(USERS, lambda names: (n for n in names if n != "role")), ("CSV_HEADER", USERS, "1", ""),
            id="no role",
        ),
        pytest.param(
            lambda delivery: delivery.raw.update({"roles.csv": b"sourcedId\r\n"}),
            ("CSV_FILE_UNKNOWN", "roles.csv", "", ""), id="a file of 1.2",
        ),
        pytest.param(marked, ("CSV_MODE_CONTRADICTED", USERS, "2", "bulk-status"), id="every row marked as a delta's"),
        *(pytest.param(without(name), ("CSV_FILE_MISSING", name, "", ""), id=f"no {name}") for name in REQUIRED),
        *(pytest.param(to.emptied(name), ("CSV_FILE_EMPTY", name, "", ""), id=f"empty {name}") for name in REQUIRED),
    ],
)  # fmt: skip
def test_what_is_not_1p0_is_refused(world: World, spoil: Spoil, expected: tuple[str, str, str, str]) -> None:
    world.unseeded().onboard("A", "B")
    told(world, to.packed(oldest().files()))
    assert refused(world, oldest(spoil)) == expected


def test_without_the_rule_it_is_refused_naming_it_and_so_it_is_once_it_is_taken_back(world: World) -> None:
    world.unseeded().onboard("A", "B")
    package = to.packed(oldest().files())
    for before in ([], [RULE]):
        assert onboarding.repair_source(world.office, world.by, "sis") == before
        if before:
            assert bring(world, package).state == "published"
            assert onboarding.repair_source(world.office, world.by, "sis", remove=RULE) == []
        report = bring(world, package)
        assert (report.state, report.code) == ("refused", "CSV_MANIFEST_MISSING")
        assert RULE in "\n".join(report_text.lines(report, "sis"))
        onboarding.repair_source(world.office, world.by, "sis", add=RULE)
    onboarding.repair_source(world.office, world.by, "sis", remove=RULE)
    assert bring(world, to.packed(older().files())).state == "published"


def test_rows_that_are_all_marked_are_read_where_the_source_says_that_marks_say_nothing(world: World) -> None:
    world.unseeded().onboard("A", "B")
    onboarding.repair_source(world.office, world.by, "sis", add="bulk-status")
    report = told(world, to.packed(oldest(marked).files()))
    assert (report.state, report.faults) == ("published", [])


def test_nothing_at_all_is_no_delivery_of_1p0(world: World) -> None:
    world.unseeded().onboard("A", "B")
    report = told(world, to.packed({}))
    assert (report.state, report.code) == ("refused", "CSV_FILE_MISSING")


# --- values ----------------------------------------------------------------------------------------


def read(file: str, **cells: str) -> tuple[list[Row], list[Fault]]:
    names, faults = HEADERS["1.0"][file], list[Fault]()
    line = ",".join('"' + cells.get(name, "").replace('"', '""') + '"' for name in names) + "\r\n"
    reader = FileReader(
        read_header(FILES["1.0"][file], ",".join(names).encode()), Seen({"x": array("q")}), faults.append
    )
    return list(reader.rows([line.encode()])), faults


CLASS = {"sourcedId": "k", "title": "K", "courseSourcedId": "c", "classType": "scheduled", "schoolSourcedId": "A",
         "termSourcedId": "t,u"}  # fmt: skip


@pytest.mark.parametrize(
    ("grade", "grades"),
    [
        ("9", "{09}"), ("09", "{09}"), ("KG", "{KG}"), ("9-12", "{09,10,11,12}"), ("1 - 2", "{01,02}"), ("7-7", "{07}"),
        ("13", "{13}"), ("", None),
    ],
)  # fmt: skip
def test_a_grade_or_a_range_of_grades_is_understood(grade: str, grades: str | None) -> None:
    (row,), faults = read(CLASSES, **CLASS, grade=grade)
    kept = (row.values[1] or "").replace('"', "") or None
    assert (kept, faults) == (grades, [])


@pytest.mark.parametrize("grade", ["12-9", "0-3", "K-5", "9-13", "9,10", "-", "9-", "-9", "9-10-11", "14", "٩"])
def test_what_is_no_grade_costs_the_value(grade: str) -> None:
    (row,), (fault,) = read(CLASSES, **CLASS, grade=grade)
    assert row.values[1] is None
    assert (fault.column, fault.code, fault.effect) == ("grade", "CSV_VALUE_VOCABULARY", "value")


@given(st.text(max_size=30))
def test_no_grade_is_guessed(grade: str) -> None:
    """Whatever stands there: the grades that are kept are those of a range, in order, or the value is left out."""
    rows, faults = read(CLASSES, **CLASS, grade=grade)
    kept = [(row.values[1] or "").strip("{}").replace('"', "").split(",") for row in rows]
    if rows and kept != [[""]]:
        assert not faults
        assert kept[0] == sorted(kept[0])
    elif grade and rows:
        assert [(f.column, f.effect) for f in faults] == [("grade", "value")]


@given(st.sampled_from(["", "active"]), st.sampled_from(["Female", "Male", "female", "X", ""]))
def test_the_sexes_of_1p0_are_kept_as_the_words_of_the_others(status: str, sex: str) -> None:
    (row,), faults = read("demographics.csv", userSourcedId="p", status=status, sex=sex)
    assert row.values[1] == {"Female": "female", "Male": "male"}.get(sex)
    assert [(f.column, f.effect) for f in faults] == ([("sex", "value")] if sex in ("female", "X") else [])


@pytest.mark.parametrize(("status", "allowed"), [("inactive", ()), ("tobedeleted", ()), ("Inactive", ("value-case",))])
def test_a_record_that_is_gone_is_not_taken_from_plain_lines_either(status: str, allowed: tuple[str, ...]) -> None:
    """Lines that are all new and plain are read many at a time."""
    names, faults = HEADERS["1.0"]["orgs.csv"], list[Fault]()
    header = read_header(FILES["1.0"]["orgs.csv"], ",".join(names).encode(), repairs_of(allowed))
    lines = [b"A,active,,School A,school,,\r\n", f"B,{status},,School B,school,,\r\n".encode()]
    reader = FileReader(header, Seen({"org": array("q")}), faults.append)
    assert [row.sourced_id for row in reader.rows(lines)] == ["A"]
    assert (reader.tally.gone, [(f.line, f.code, f.effect) for f in faults]) == (
        1,
        [(3, "CSV_STATUS_IN_BULK", "noted")],
    )


@pytest.mark.parametrize("status", ["Inactive", "deleted", "ACTIVE"])
def test_a_status_that_is_no_word_of_1p0_costs_the_row(status: str) -> None:
    rows, (fault,) = read("orgs.csv", sourcedId="A", name="A", type="school", status=status)
    assert (rows, fault.column, fault.code) == ([], "status", "CSV_VALUE_VOCABULARY")


@pytest.mark.parametrize("type_", ["district", "department", "ext:campus"])
def test_words_that_came_later_are_none_of_1p0(type_: str) -> None:
    rows, (fault,) = read("orgs.csv", sourcedId="A", name="A", type=type_)
    assert (rows, fault.column, fault.code) == ([], "type", "CSV_VALUE_VOCABULARY")
