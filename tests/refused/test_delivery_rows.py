"""Bad rows cost themselves alone, whatever was good before stays; what has one meaning is repaired by a named rule."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from gateway import report_text
from gateway.embedded import Addresses
from tests.deliveries import HEADERS, Delivery, two_schools
from tests.refused import spoil as to
from tests.refused.spoil import Spoil, bring, content, line_of, live, tonight
from tests.worlds import World

NIGHTS = count()


@pytest.fixture(scope="module")
def standing(addresses: Addresses, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world, night after night: what a bad row spoilt would show the next."""
    with to.standing_world(addresses, tmp_path_factory.mktemp("rows")) as world:
        yield world


@pytest.mark.parametrize(
    ("spoil", "file", "sourced_id", "faults"),
    [
        pytest.param(
            to.line("users.csv", "p3", to.swap(b"Givenp3", b'"Given"p3')), "users.csv", "p3",
            [(0, "givenName", "CSV_LINE_UNREADABLE", "row")], id="stray quote",
        ),
        pytest.param(
            to.line("users.csv", "p3", to.swap(b"Givenp3", b'"Given\r\np3"')), "users.csv", "p3",
            [(0, "givenName", "CSV_LINE_UNREADABLE", "row"), (1, "", "CSV_LINE_COLUMNS", "row")],
            id="line break inside a field",
        ),
        pytest.param(
            to.line("users.csv", "p3", to.swap(b"Givenp3", b"Given\x0bp3")), "users.csv", "p3",
            [(0, "", "CSV_LINE_BREAK", "row")], id="control character",
        ),
        pytest.param(
            to.line("users.csv", "p3", to.swap(b"Givenp3", b"Given\xe9")), "users.csv", "p3",
            [(0, "givenName", "CSV_LINE_ENCODING", "row")], id="byte that is not UTF-8",
        ),
        pytest.param(
            to.line("users.csv", "p3", to.swap(b"Givenp3", b"Given,p3")), "users.csv", "p3",
            [(0, "", "CSV_LINE_COLUMNS", "row")], id="comma without quotes",
        ),
        pytest.param(
            to.row("users.csv", sourcedId="p3", enabledUser="true", username="u", givenName="Two", familyName="Two"),
            "users.csv", "p3", [(0, "sourcedId", "CSV_ID_TWICE", "row")], id="sourcedId twice",
        ),
        pytest.param(
            lambda delivery: delivery.rows["users.csv"].append(delivery.row("users.csv", "p3")), "users.csv", "p3",
            [(0, "sourcedId", "CSV_ID_TWICE", "row")], id="row twice",
        ),
        pytest.param(
            to.cells("roles.csv", "r.p3.B", userSourcedId="nobody"), "roles.csv", "r.p3.B",
            [(0, "userSourcedId", "CSV_REFERENCE", "row")], id="role of nobody",
        ),
        pytest.param(
            to.cells("enrollments.csv", "e.kB.p3", classSourcedId="k0"), "enrollments.csv", "e.kB.p3",
            [(0, "classSourcedId", "CSV_REFERENCE", "row")], id="enrollment in no class",
        ),
        pytest.param(
            to.cells("classes.csv", "kA", termSourcedIds="t0"), "classes.csv", "kA",
            [(0, "termSourcedIds", "CSV_REFERENCE", "row")], id="class in no term",
        ),
        pytest.param(
            to.cells("classes.csv", "kA", termSourcedIds="t,t0"), "classes.csv", "kA",
            [(0, "termSourcedIds", "CSV_REFERENCE", "value")], id="class in a term and in none",
        ),
        pytest.param(
            to.cells("users.csv", "p3", agentSourcedIds="nobody"), "users.csv", "p3",
            [(0, "agentSourcedIds", "CSV_REFERENCE", "value")], id="agent who is nobody",
        ),
        pytest.param(
            to.cells("users.csv", "p3", primaryOrgSourcedId="Z"), "users.csv", "p3",
            [(0, "primaryOrgSourcedId", "CSV_REFERENCE", "value")], id="primary org that is none",
        ),
        pytest.param(
            lambda delivery: delivery.person("other", "student", "A", enabledUser="1"), "roles.csv", "r.other.A",
            [(0, "userSourcedId", "CSV_REFERENCE_BAD", "row")], id="role of a quarantined person",
        ),
        pytest.param(
            to.cells("roles.csv", "r.p3.B", role="Student"), "roles.csv", "r.p3.B",
            [(0, "role", "CSV_VALUE_VOCABULARY", "row")], id="role in another case",
        ),
        pytest.param(
            to.cells("enrollments.csv", "e.kB.p3", role="Student"), "enrollments.csv", "e.kB.p3",
            [(0, "role", "CSV_VALUE_VOCABULARY", "row")], id="role of an enrollment in another case",
        ),
        pytest.param(
            to.cells("users.csv", "p3", grades="9"), "users.csv", "p3",
            [(0, "grades", "CSV_VALUE_VOCABULARY", "row")], id="unknown grade of a pupil",
        ),
        pytest.param(
            to.cells("classes.csv", "kA", grades="09,9th"), "classes.csv", "kA",
            [(0, "grades", "CSV_VALUE_VOCABULARY", "value")], id="unknown grade of a class",
        ),
        pytest.param(
            to.cells("users.csv", "p3", familyName=""), "users.csv", "p3",
            [(0, "familyName", "CSV_VALUE_MISSING", "row")], id="required value missing",
        ),
        pytest.param(
            to.cells("users.csv", "p3", sourcedId="p 3"), "users.csv", "p 3", [(0, "sourcedId", "CSV_ID", "row")],
            id="sourcedId with a space",
        ),
        pytest.param(
            to.cells("users.csv", "p3", givenName="x" * 2001), "users.csv", "p3",
            [(0, "givenName", "CSV_VALUE_LENGTH", "row")], id="value too long",
        ),
        pytest.param(
            to.cells("demographics.csv", "p3", birthDate="04/03/2010"), "demographics.csv", "p3",
            [(0, "birthDate", "CSV_VALUE_TYPE", "row")], id="date in another style",
        ),
        pytest.param(
            to.cells("classes.csv", "kA", schoolSourcedId="d"), "classes.csv", "kA",
            [(0, "schoolSourcedId", "CSV_ORG_TYPE", "row")], id="class of a district",
        ),
        pytest.param(
            to.cells("enrollments.csv", "e.kB.p3", schoolSourcedId="d"), "enrollments.csv", "e.kB.p3",
            [(0, "schoolSourcedId", "CSV_ORG_TYPE", "row")], id="enrollment at a district",
        ),
        pytest.param(
            to.cells("enrollments.csv", "e.kB.p3", schoolSourcedId="A"), "enrollments.csv", "e.kB.p3",
            [(0, "schoolSourcedId", "CSV_SCHOOL_MISMATCH", "value")], id="enrollment at another school than its class",
        ),
        pytest.param(
            to.cells("users.csv", "p3", status="active"), "users.csv", "p3",
            [(0, "status", "CSV_STATUS_IN_BULK", "value")], id="status in bulk",
        ),
        pytest.param(
            to.cells("users.csv", "p3", status="tobedeleted"), "users.csv", "p3",
            [(0, "status", "CSV_STATUS_IN_BULK", "value")], id="deletion in bulk",
        ),
        pytest.param(
            to.cells("users.csv", "p3", dateLastModified="2026-11-01T00:00:00Z"), "users.csv", "p3",
            [(0, "dateLastModified", "CSV_STATUS_IN_BULK", "value")], id="modification date in bulk",
        ),
    ],
)  # fmt: skip
def test_a_bad_row_costs_that_row_only(standing: World, spoil: Spoil, file: str, sourced_id: str, faults: list) -> None:
    name = f"Renée {next(NIGHTS)}"
    before, delivery = live(standing), tonight(spoil, name=name)
    report, first = bring(standing, to.packed(delivery.files())), line_of(delivery, file, sourced_id)
    assert report.state == "published", report.as_dict()
    found = [(f.line, f.column, f.code, f.effect) for f in report.faults if f.file == file]
    assert found == [(first + offset, column, code, effect) for offset, column, code, effect in faults]
    after = live(standing)
    assert after["A", "user", "p4"].given_name == name
    assert ("B", "class", "kN") in after
    rest = before.keys() - {("A", "user", "p4")}
    assert {at: content(after[at]) for at in rest} == {at: content(before[at]) for at in rest}


# --- repairs ---------------------------------------------------------------------------------------

CLASSES = "classes.csv"


@pytest.mark.parametrize(
    ("spoil", "rules"),
    [
        pytest.param(
            to.whole(CLASSES, lambda data: b"\xef\xbb\xbf" + data), ["bom"], id="byte order mark"
        ),
        pytest.param(to.columns(CLASSES, reversed), ["header-order"], id="header in another order"),
        pytest.param(
            to.columns(CLASSES, lambda names: ("shoeSize", *names)), ["unknown-columns"],
            id="unknown column",
        ),
        pytest.param(
            to.columns(CLASSES, lambda names: (n for n in names if n not in ("location", "status"))),
            ["missing-optional-columns"], id="no optional columns",
        ),
        pytest.param(
            to.columns(CLASSES, lambda names: (*names, "metadata.room")), [], id="metadata columns"
        ),
        pytest.param(
            to.whole(CLASSES, lambda data: data.replace(b"\r\n", b"\r\n\r\n")), ["blank-lines"],
            id="blank lines",
        ),
        pytest.param(to.whole(CLASSES, lambda data: data.replace(b"\r\n", b"\n")), [], id="Unix ends"),
        pytest.param(to.whole(CLASSES, lambda data: data[:-2]), [], id="no end of the last line"),
        pytest.param(
            to.whole(CLASSES, to.swap(b"\nkA,", b'\n"kA",')), [], id="needless quotes"
        ),
        pytest.param(
            to.whole("manifest.csv", lambda data: b"\xef\xbb\xbf" + data), [], id="marked manifest",
        ),
    ],
)  # fmt: skip
def test_what_has_one_meaning_is_repaired_by_a_named_rule(standing: World, spoil: Spoil, rules: list[str]) -> None:
    name = f"Renée {next(NIGHTS)}"
    report = bring(standing, to.packed(tonight(spoil, name=name).files()))
    assert (report.state, report.faults) == ("published", [])
    assert next(f["repairs"] for f in report.files if f["file"] == CLASSES) == rules
    assert bring(standing, to.packed(tonight(name=name).files())).state == "unchanged"


def test_a_stray_quote_within_a_cell_is_kept_and_said(standing: World) -> None:
    report = bring(standing, to.packed(tonight(to.line(CLASSES, "kA", to.swap(b"Class kA", b'Cl"ass kA'))).files()))
    assert (report.state, report.faults) == ("published", [])
    assert next(f["repairs"] for f in report.files if f["file"] == CLASSES) == ["stray-quotes"]
    assert live(standing, "A")["A", "class", "kA"].title == 'Cl"ass kA'


def test_demographics_of_a_pupil_who_is_quarantined_are_listed(world: World) -> None:
    world.onboard("A", "B")
    delivery = tonight(to.cells("users.csv", "p3", enabledUser="perhaps"))
    delivery.add("demographics.csv", sourcedId="nobody", birthDate="2010-03-04")
    report = bring(world, to.packed(delivery.files()))
    told = {f.sourced_id: (f.column, f.code) for f in report.faults if f.file == "demographics.csv"}
    assert report.state == "published"
    assert told == {"p3": ("sourcedId", "CSV_REFERENCE_BAD"), "nobody": ("sourcedId", "CSV_REFERENCE")}


def test_an_optional_file_without_rows_removes_nothing_and_is_said(world: World) -> None:
    world.unseeded().standing(to.PUPILS)
    delivery = two_schools(to.PUPILS)
    header = ",".join(HEADERS["1.2"]["demographics.csv"]).encode()
    delivery.raw["demographics.csv"] = header + b"\r\n"
    report = bring(world, to.packed(delivery.files()))
    assert report.state == "unchanged"
    assert next(f["repairs"] for f in report.files if f["file"] == "demographics.csv") == ["no-rows"]


def test_what_goes_with_the_record_it_belongs_to_is_said_to_be_gone(world: World) -> None:
    world.unseeded().standing(to.PUPILS)
    report = bring(world, to.packed(two_schools(to.PUPILS).without("users.csv", "p3").files()))
    gone = {f.sourced_id: f.hint for f in report.faults if f.effect == "removed"}
    assert report.state == "published"
    assert gone == dict.fromkeys(("r.p3.B", "e.kB.p3", "p3"), "its user left with this delivery")
    assert "3 rows gone with the record they belong to" in "\n".join(report_text.lines(report, "sis"))


def test_a_term_that_left_is_left_out_and_said_on_that_night_and_the_next(world: World) -> None:
    def delivery() -> Delivery:
        made = two_schools(to.PUPILS)
        made.row("classes.csv", "kA")["termSourcedIds"] = "t,t2"
        return made.add("academicSessions.csv", sourcedId="t2", title="Spring", type="term", startDate="2027-01-01",
                        endDate="2027-06-30", schoolYear="2027")  # fmt: skip

    world.onboard("A", "B")
    assert bring(world, to.packed(delivery().files())).state == "published"
    left = to.packed(delivery().without("academicSessions.csv", "t2").files())
    for state in ("published", "unchanged"):
        report = bring(world, left)
        assert report.state == state
        told = [(f.sourced_id, f.column, f.code, f.effect) for f in report.faults]
        assert told == [("kA", "termSourcedIds", "CSV_REFERENCE", "value")]
        assert live(world, "A")["A", "class", "kA"].terms == ["t"]
