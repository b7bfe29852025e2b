"""Objects of a OneRoster service as rows of the CSV binding: what is respelt, what is refused, and that nothing of an
object is lost without a word."""

from __future__ import annotations

import csv
import io
from array import array
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.staging import Seen
from mappings.fields import Unclassified
from mappings.oneroster import cells, incoming
from mappings.oneroster.cells import NOT_OF_TYPE, NOT_SAID
from mappings.oneroster.csv import FILES, read_header
from mappings.oneroster.incoming import COLLECTIONS, HEADERS, Notes, rows, spell_moment
from mappings.oneroster.rows import Fault, FileReader, Row
from tests.connectors.roster_peer import district, frame, of_1p1, ref


def made(
    path: str, found: Any, *, changes: bool = False, notes: Notes | None = None
) -> dict[str, list[dict[str, str]]]:
    """The rows of one object, by file."""
    told: dict[str, list[dict[str, str]]] = {}
    for file, row in rows(COLLECTIONS[path], found, notes or Notes(), changes=changes):
        told.setdefault(file, []).append(dict(zip(HEADERS[file], row, strict=True)))
    return told


def read(file: str, written: list[list[str]]) -> tuple[list[Row], list[Fault]]:
    """What the CSV path makes of rows: those it accepts, and what it says of the others."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows([HEADERS[file], *written])
    lines = [line.encode() + b"\r\n" for line in out.getvalue().split("\r\n")[:-1]]
    faults: list[Fault] = []
    kind = FILES["1.2"][file].kind
    reader = FileReader(read_header(FILES["1.2"][file], lines[0]), Seen({kind: array("q")}), faults.append)
    return list(reader.rows(lines[1:])), faults


def cells_of(path: str, found: Any, file: str = "") -> list[list[str]]:
    written = rows(COLLECTIONS[path], found, Notes(), changes=False)
    return [list(row) for name, row in written if name == (file or f"{path}.csv")]


@pytest.mark.parametrize("path", COLLECTIONS)
@pytest.mark.parametrize("version", ["1.2", "1.1"])
def test_objects_by_the_book_are_rows_that_are_accepted(path, version):
    found = district() if version == "1.2" else of_1p1(district())
    for one in found[path]:
        accepted, faults = read(f"{path}.csv", cells_of(path, one))
        assert [row.sourced_id for row in accepted] == [one["sourcedId"]]
        assert faults == []


def test_every_column_that_is_kept_is_filled_by_a_member():
    """But the password, which is looked for nowhere, and what a file of its own says."""
    for path, collection in COLLECTIONS.items():
        kept = {column.header for column in FILES["1.2"][f"{path}.csv"].columns if column.to} - {"sourcedId"}
        assert {member.header for member in collection.members} == kept
    assert "password" not in {member.name for c in COLLECTIONS.values() for member in c.members}


def test_a_member_that_is_another_element_than_its_column_cannot_be_written_down(monkeypatch):
    spoiled = incoming.Collection("orgs", "Org", incoming._members(name=("dateLastModified", cells.text)))
    monkeypatch.setattr(incoming, "COLLECTIONS", {"orgs": spoiled})
    with pytest.raises(Unclassified):
        incoming._prove()


# --- the same in another spelling ----------------------------------------------------------------------

RESPELT = [
    (cells.text, 12, "12", "number-as-text"),
    (cells.text, "a\r\n b\t", "a  b", "line-breaks"),
    (cells.flag, True, "true", "boolean-as-word"),
    (cells.flag, False, "false", "boolean-as-word"),
    (cells.day, "2026-08-01T00:00:00.000Z", "2026-08-01", "moment-as-date"),
    (cells.ref, "x", "x", "reference-as-text"),
    (cells.refs, {"sourcedId": "x"}, "x", "one-as-list"),
    (cells.texts, "Math", "Math", "one-as-list"),
    (cells.texts, ["Math, Advanced", "Art"], "Math; Advanced,Art", "commas-in-lists"),
    (cells.grades, ["K", "9", "12"], "KG,09,12", "grade-words"),
    (cells.word(frozenset({"student"})), "Student", "student", "words-in-another-case"),
    (cells.user_ids, [{"type": "state", "identifier": 7}], "{state:7}", "number-as-text"),
]


@pytest.mark.parametrize(("spell", "value", "cell", "repair"), RESPELT)
def test_what_means_the_same_is_respelt_and_named(spell, value, cell, repair):
    told: list[str] = []
    assert spell(value, told.append) == cell
    assert set(told) == {repair}


@pytest.mark.parametrize(
    ("spell", "value"),
    [
        (cells.text, {}), (cells.text, []), (cells.text, True), (cells.text, "\ud800"), (cells.text, NOT_SAID),
        (cells.flag, 1), (cells.flag, "x\ud800"), (cells.day, 20260801), (cells.ref, {}), (cells.ref, 5),
        (cells.ref, {"sourcedId": {}}), (cells.refs, [{}]), (cells.refs, 5), (cells.texts, [["x"]]),
        (cells.texts, True),
        (cells.user_ids, ["x"]), (cells.user_ids, [{"type": [], "identifier": "x"}]), (cells.texts, ["x" * 2000] * 9),
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_type_says_what_it_was(spell, value):
    assert spell(value, [].append).startswith(NOT_OF_TYPE)


@pytest.mark.parametrize("moment", ["2026-08-01T05:00:00Z", "2026-08-01T00:00:00+05:00"])
def test_a_moment_that_is_no_midnight_of_its_own_is_no_date(moment):
    (row,) = cells_of("academicSessions", frame("t", title="T", type="term", startDate=moment, endDate="2027-01-01",
                                                schoolYear="2027"))  # fmt: skip
    accepted, (fault,) = read("academicSessions.csv", [row])
    assert (accepted, fault.column, fault.code) == ([], "startDate", "CSV_VALUE_TYPE")


def test_what_the_service_may_leave_out_and_csv_may_not():
    person = {key: value for key, value in district()["users"][1].items() if key != "username"}
    ((accepted,), faults) = read("users.csv", cells_of("users", person))
    assert (accepted.values[1], faults) == (None, [])
    course = {key: value for key, value in district()["courses"][0].items() if key != "org"}
    assert made("courses", course, notes=Notes(districts={"d"}))["courses.csv"][0]["orgSourcedId"] == "d"
    assert made("courses", course, notes=Notes(districts={"d", "e"}))["courses.csv"][0]["orgSourcedId"] == ""
    klass = {key: value for key, value in district()["classes"][0].items() if key != "classType"}
    assert made("classes", klass)["classes.csv"][0]["classType"] == "scheduled"


def test_a_username_that_is_left_out_is_the_only_thing_that_may_be():
    person = district()["users"][1]
    (row,) = cells_of("users", person)
    for header in ("sourcedId", "givenName", "familyName", "enabledUser"):
        spoiled = list(row)
        spoiled[HEADERS["users.csv"].index(header)] = NOT_SAID
        accepted, faults = read("users.csv", [spoiled])
        assert (accepted, [fault.column for fault in faults]) == ([], [header])


# --- roles ---------------------------------------------------------------------------------------------


def roles(**more: Any) -> list[tuple[str, str, str, str]]:
    found = made("users", frame("u", **more))["roles.csv"]
    return [(row["sourcedId"], row["roleType"], row["role"], row["orgSourcedId"]) for row in found]


def role(word: Any, org: str = "A", type_: str = "primary") -> dict[str, Any]:
    return {"roleType": type_, "role": word, "org": ref("org", org)}


def test_a_role_is_named_by_the_person_and_the_place():
    assert roles(roles=[role("student"), role("student", "B", "secondary")]) == [
        ("u@A", "primary", "student", "A"), ("u@B", "secondary", "student", "B"),
    ]  # fmt: skip


def test_a_second_role_at_a_place_is_named_by_its_word_too_in_whatever_order_they_come():
    found = [role("ext:coach", "A", "secondary"), role("teacher")]
    assert roles(roles=found) == roles(roles=found[::-1])
    assert [name for name, *_ in roles(roles=found)] == ["u@A", "u@A@ext-coach"]


def test_a_person_of_1p1_has_one_role_at_each_org_and_the_first_is_primary():
    assert roles(role="administrator", orgs=[ref("org", "A"), ref("org", "B")]) == [
        ("u@A", "primary", "siteAdministrator", "A"), ("u@B", "secondary", "siteAdministrator", "B"),
    ]  # fmt: skip


def test_people_of_1p2_at_a_path_of_1p1_are_read_and_said():
    notes = Notes()
    made("users", frame("u", role="student", orgs=[], roles=[role("teacher")]), notes=notes)
    assert "of-both-versions" in notes.repairs


@pytest.mark.parametrize("odd", [None, 5, "student", {}, [None], ["x"], [{"role": "student"}], [[]]], ids=repr)
def test_roles_that_cannot_be_read_hide_none_that_were_known(odd):
    """A row without a name stands for them, so that no role counts as gone."""
    person = district()["users"][1] | {"roles": odd}
    accepted, faults = read("roles.csv", cells_of("users", person, "roles.csv"))
    assert (accepted, {fault.sourced_id for fault in faults}) == ([], {None})


def test_a_misspelt_role_is_still_the_one_it_was():
    _, (fault,) = read("roles.csv", cells_of("users", frame("u", roles=[role("stoodent")]), "roles.csv"))
    assert (fault.sourced_id, fault.column, fault.code) == ("u@A", "role", "CSV_VALUE_VOCABULARY")


def test_roles_of_1p1_outside_the_words_of_1p2_go_by_extension():
    seat = district()["enrollments"][0] | {"role": "aide"}
    assert made("enrollments", seat)["enrollments.csv"][0]["role"] == "ext:aide"


# --- status and moments --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "bulk", "changed"),
    [("active", 1, "active"), ("tobedeleted", 0, "tobedeleted"), ("inactive", 0, "tobedeleted"), (None, 1, "active"),
     ("frozen", 1, "frozen")],
)  # fmt: skip
def test_what_a_status_means(status, bulk, changed):
    org = frame("o", name="O", type="school") | {"status": status}
    assert len(made("orgs", org).get("orgs.csv", [])) == bulk
    (row,) = made("orgs", org, changes=True)["orgs.csv"]
    assert (row["status"], row["dateLastModified"]) == (changed, "2026-09-01T00:00:00.000Z")


@pytest.mark.parametrize(
    ("said", "kept"),
    [("2026-11-02T10:00:00+02:00", "2026-11-02T08:00:00.000Z"), ("2026-11-02 10:00:00", "2026-11-02T10:00:00.000Z"),
     ("yesterday", "yesterday"), ("2026-13-45T10:00:00Z", "2026-13-45T10:00:00Z"), (None, "")],
)  # fmt: skip
def test_moments_are_in_utc_or_as_they_came(said, kept):
    org = frame("o", name="O", type="school") | {"dateLastModified": said}
    assert made("orgs", org, changes=True)["orgs.csv"][0]["dateLastModified"] == kept


def test_a_moment_is_spelled_as_the_binding_does():
    assert spell_moment(datetime(2026, 11, 2, 8, 0, 0, 5000, tzinfo=UTC)) == "2026-11-02T08:00:00.005Z"


# --- the law -------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5) | st.just("sourcedId"), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@pytest.mark.parametrize("path", COLLECTIONS)
@given(data=st.data())
def test_whatever_stands_in_an_object_it_is_accepted_or_named(path, data):
    """One object is one row, whatever its members hold, and that row is accepted or has a fault that names the record:
    never neither, never a crash, and never a row of somebody else's."""
    good = district()[path][0]
    names = sorted({member.name for member in COLLECTIONS[path].members} | {"roles"})
    name = data.draw(st.sampled_from(names))
    found = good | {name: data.draw(JSON)}
    written = cells_of(path, found)
    assert len(written) == 1
    accepted, faults = read(f"{path}.csv", written)
    named = {fault.sourced_id for fault in faults if fault.effect == "row"}
    assert [row.sourced_id for row in accepted] == ([] if named else [good["sourcedId"]])
    assert named <= {good["sourcedId"]}


@given(st.lists(JSON, max_size=3))
def test_whatever_stands_in_a_page_every_entry_is_a_row(page):
    written = [
        row for one in page for row in cells_of("orgs", one if not isinstance(one, dict) else one | {"status": ""})
    ]
    assert len(written) == len(page)
    accepted, faults = read("orgs.csv", written)
    assert len(accepted) + len([fault for fault in faults if fault.effect == "row"]) >= len(page)
