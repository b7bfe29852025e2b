"""Lines of a delivery turned into rows and faults: a bad line costs itself, and no fault shows a value."""

from __future__ import annotations

import csv
import io
import unicodedata
from array import array
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store.staging import Seen
from mappings.oneroster.csv import FILES
from mappings.oneroster.heads import read_header
from mappings.oneroster.records import KINDS
from mappings.oneroster.rows import NO_HASH, Fault, FileReader, Row, hash_row, shape
from tests.deliveries import HEADERS

ORGS, USERS = HEADERS["1.2"]["orgs.csv"], FILES["1.2"]["users.csv"]
CELLS = {
    "orgs.csv": {"sourcedId": "o1", "name": "North", "type": "school"},
    "academicSessions.csv": {"sourcedId": "s1", "title": "Fall", "type": "term", "startDate": "2026-08-01",
                             "endDate": "2026-12-20", "schoolYear": "2027"},
    "courses.csv": {"sourcedId": "c1", "title": "Algebra", "orgSourcedId": "o1"},
    "users.csv": {"sourcedId": "u1", "enabledUser": "true", "username": "u", "givenName": "G", "familyName": "F"},
    "roles.csv": {"sourcedId": "r1", "userSourcedId": "u1", "roleType": "primary", "role": "student",
                  "orgSourcedId": "o1"},
    "classes.csv": {"sourcedId": "k1", "title": "K", "courseSourcedId": "c1", "classType": "scheduled",
                    "schoolSourcedId": "o1", "termSourcedIds": "s1"},
    "enrollments.csv": {"sourcedId": "e1", "classSourcedId": "k1", "schoolSourcedId": "o1", "userSourcedId": "u1",
                        "role": "student"},
    "demographics.csv": {"sourcedId": "u1"},
}  # fmt: skip


def read(
    lines: Iterable[bytes],
    file: str = "orgs.csv",
    version: str = "1.2",
    header: Iterable[str] = (),
    known: Seen | None = None,
) -> tuple[list[Row], list[Fault], FileReader]:
    faults: list[Fault] = []
    spelled = ",".join(header or HEADERS[version][file]).encode()
    nothing = Seen({kind: array("q") for kind in KINDS})
    reader = FileReader(read_header(FILES[version][file], spelled), known or nothing, faults.append)
    return list(reader.rows(lines)), faults, reader


def written(rows: Iterable[Iterable[str]], **style: object) -> list[bytes]:
    out = io.StringIO(newline="")
    csv.writer(out, **style).writerows(rows)  # type: ignore[arg-type]
    return out.getvalue().encode().splitlines(keepends=True)


def line(file: str, version: str = "1.2", **cells: str) -> list[bytes]:
    """One sound line of a file, some cells changed."""
    return written([[(CELLS[file] | cells).get(name, "") for name in HEADERS[version][file]]])


# --- the laws --------------------------------------------------------------------------------------

ids = st.from_regex(r"[0-9A-Za-z.\-_/@]{1,20}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=30)
org_rows = st.lists(
    st.tuples(ids, texts.filter(bool), st.sampled_from(["school", "district", "ext:campus"]), texts, ids), max_size=8
)
styles = st.sampled_from(
    [{"quoting": csv.QUOTE_MINIMAL}, {"quoting": csv.QUOTE_ALL}, {"lineterminator": "\n", "quoting": csv.QUOTE_MINIMAL}]
)


@given(org_rows, styles)
def test_what_a_csv_writer_wrote_is_read_back(orgs: list[tuple[str, ...]], style: dict[str, object]) -> None:
    lines = written([(at, "", "", name, type_, number, up) for at, name, type_, number, up in orgs], **style)
    rows, faults, reader = read(lines)
    assert (faults, reader.tally.repairs) == ([], set())
    assert [(row.sourced_id, *row.values) for row in rows] == [
        (at, name, type_, number or None, up) for at, name, type_, number, up in orgs
    ]
    assert [row.line for row in rows] == list(range(2, len(orgs) + 2))


@given(st.integers(0, 5), st.binary(max_size=60).map(lambda data: data.replace(b"\n", b"")))
def test_a_line_that_is_anything_costs_itself_at_most(place: int, data: bytes) -> None:
    sound = [line("orgs.csv", sourcedId=f"o{n}", name=f"Ñame, {n}")[0] for n in range(6)]
    rows, _, _ = read(sound)
    hurt, faults, reader = read([*sound[:place], data + b"\r\n", *sound[place + 1 :]])
    assert [row for row in hurt if row.line != place + 2] == [row for row in rows if row.line != place + 2]
    assert {fault.line for fault in faults} <= {place + 2}
    assert reader.tally.bad <= 1


@given(st.integers(1, 400))
def test_a_file_cut_anywhere_keeps_the_lines_before_and_says_when_it_is_cut(keep: int) -> None:
    sound = [line("orgs.csv", sourcedId=f"o{n}", parentSourcedId="d")[0] for n in range(9)]
    kept = b"".join(sound)[:keep].splitlines(keepends=True)
    rows, _, reader = read(kept)
    whole, _, _ = read(sound)
    assert rows[: len(kept) - 1] == whole[: len(kept) - 1]
    unfinished = not kept[-1].endswith(b"\n")
    assert reader.tally.cut == (unfinished and len(rows) < len(kept))


@given(st.text(min_size=1))
def test_the_shape_of_a_value_never_shows_it(value: str) -> None:
    shown = shape(value)
    assert len(shown) <= 25
    told = [c for c in shown if c not in "9a" and unicodedata.category(c)[0] in "LNM"]
    assert told == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("2010-03-04", "9999-99-99", id="date"),
        pytest.param("Zoë O'Hara", "aaa a'aaaa", id="name"),
        pytest.param("x" * 25, "a" * 24 + "…", id="long"),
        pytest.param("٣三", "9a", id="other scripts"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_a_shape_keeps_what_helps_to_find_the_fault(value: str, shown: str) -> None:
    assert shape(value) == shown


# --- values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "column", "value", "hint"),
    [
        pytest.param("users.csv", "enabledUser", "True", "true or false, in lower case", id="True"),
        pytest.param("users.csv", "enabledUser", "1", "true or false, in lower case", id="1"),
        pytest.param("demographics.csv", "birthDate", "2010-02-30", "YYYY-MM-DD", id="no such day"),
        pytest.param("demographics.csv", "birthDate", "2010-3-4", "YYYY-MM-DD", id="short date"),
        pytest.param("demographics.csv", "birthDate", "2010-03-04T00:00:00Z", "YYYY-MM-DD", id="moment"),
        pytest.param("academicSessions.csv", "schoolYear", "27", "YYYY", id="short year"),
        pytest.param("academicSessions.csv", "schoolYear", "20٢٧", "YYYY", id="year in other digits"),
    ],
)
def test_a_value_of_another_type_costs_the_row(file: str, column: str, value: str, hint: str) -> None:
    rows, faults, _ = read(line(file, **{column: value}), file)
    assert rows == []
    named = CELLS[file]["sourcedId"]
    assert faults == [Fault(file, 2, column, "CSV_VALUE_TYPE", "row", shape(value), hint, named)]


@pytest.mark.parametrize(
    ("file", "column", "value", "effect", "hint"),
    [
        pytest.param("orgs.csv", "type", "School", "row", "did you mean school?", id="org type"),
        pytest.param("orgs.csv", "type", "ext:", "row", "", id="extension without a word"),
        pytest.param("academicSessions.csv", "type", "quarter", "row", "", id="session type"),
        pytest.param("roles.csv", "role", "Student", "row", "did you mean student?", id="role"),
        pytest.param("roles.csv", "role", "administrator", "row", "", id="role of 1.1"),
        pytest.param("roles.csv", "roleType", "ext:main", "row", "", id="role type cannot be extended"),
        pytest.param("classes.csv", "classType", "Homeroom", "row", "did you mean homeroom?", id="class type"),
        pytest.param("enrollments.csv", "role", "aide", "row", "", id="role of an enrollment"),
        pytest.param("users.csv", "grades", "9", "row", "did you mean 09?", id="grade of a pupil"),
        pytest.param("users.csv", "grades", "09,kg", "row", "did you mean KG?", id="second grade of a pupil"),
        pytest.param("classes.csv", "grades", "9", "value", "did you mean 09?", id="grade of a class"),
        pytest.param("courses.csv", "grades", "K", "value", "", id="grade of a course"),
        pytest.param("demographics.csv", "sex", "Female", "value", "did you mean female?", id="sex"),
    ],
)
def test_a_word_outside_the_vocabulary_is_never_guessed(
    file: str, column: str, value: str, effect: str, hint: str
) -> None:
    rows, faults, _ = read(line(file, **{column: value}), file)
    named = CELLS[file]["sourcedId"]
    assert faults == [Fault(file, 2, column, "CSV_VALUE_VOCABULARY", effect, shape(value), hint, named)]
    assert [row.hash for row in rows] == ([NO_HASH] if effect == "value" else [])


@pytest.mark.parametrize("file", CELLS)
def test_every_required_value_is_required(file: str) -> None:
    for column in (c.header for c in FILES["1.2"][file].columns if c.required):
        rows, faults, reader = read(line(file, **{column: ""}), file)
        assert (rows, [(f.column, f.code) for f in faults]) == ([], [(column, "CSV_VALUE_MISSING")])
        assert reader.tally.nameless == (column == "sourcedId")


@pytest.mark.parametrize("bad", ["p 1", "ü", "p#1", "x" * 256, "p1\u200b", "=1"])
def test_a_sourced_id_has_the_characters_of_the_binding(bad: str) -> None:
    rows, faults, reader = read(line("orgs.csv", sourcedId=bad))
    assert (rows, faults[0].code, faults[0].sourced_id, reader.tally.nameless) == ([], "CSV_ID", None, 1)


def test_lists_are_split_at_commas_and_written_as_arrays() -> None:
    rows, faults, _ = read(line("classes.csv", subjects='Math, "Art" ,,a\\b', termSourcedIds="s1,s2"), "classes.csv")
    assert faults == []
    assert rows[0].values[7:9] == ('{"s1","s2"}', '{"Math","\\"Art\\"","a\\\\b"}')
    (nothing,), _, _ = read(line("classes.csv", subjects=" , "), "classes.csv")
    assert nothing.values[8] is None


# --- lines -----------------------------------------------------------------------------------------

SOUND = line("orgs.csv")[0]


@pytest.mark.parametrize(
    ("raw", "column", "code", "named"),
    [
        pytest.param(SOUND.replace(b"North", b'"North'), "name", "CSV_LINE_UNREADABLE", "o1", id="open quote"),
        pytest.param(SOUND.replace(b"North", b'"N"orth'), "name", "CSV_LINE_UNREADABLE", "o1", id="text after a quote"),
        pytest.param(SOUND.replace(b"North", b"N\x80rth"), "name", "CSV_LINE_ENCODING", "o1", id="not UTF-8"),
        pytest.param(SOUND.replace(b"o1", b"o\xff"), "sourcedId", "CSV_LINE_ENCODING", None, id="id not UTF-8"),
        pytest.param(SOUND.replace(b"North", b"No\trth"), "", "CSV_LINE_BREAK", "o1", id="tab"),
        pytest.param(SOUND.replace(b"North", "No\u2028rth".encode()), "", "CSV_LINE_BREAK", "o1", id="line separator"),
        pytest.param(SOUND.replace(b"North", b"No,rth"), "", "CSV_LINE_COLUMNS", "o1", id="a column more"),
        pytest.param(b"o1,,,North\r\n", "", "CSV_LINE_COLUMNS", "o1", id="columns missing"),
        pytest.param(b"{\r\n", "", "CSV_LINE_COLUMNS", None, id="something else"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(raw: bytes, column: str, code: str, named: str | None) -> None:
    rows, faults, reader = read([SOUND, raw, SOUND])
    assert [row.line for row in rows] == [2, 4]
    assert faults == [Fault("orgs.csv", 3, column, code, "row", sourced_id=named)]
    assert (reader.tally.bad, reader.tally.nameless) == (1, int(named is None))


@pytest.mark.parametrize("name", ['No"rth', 'North"', 'N"or"th', 'N""orth'])
def test_a_quote_within_a_cell_is_kept_and_said(name: str) -> None:
    (row,), faults, reader = read([SOUND.replace(b"North", name.encode())])
    assert (row.values[0], faults, reader.tally.repairs) == (name, [], {"stray-quotes"})


def test_a_bad_line_names_nobody_where_the_id_is_not_the_first_column() -> None:
    header = ("name", "sourcedId", "type")
    rows, faults, reader = read([b"o1,North,school,x\r\n", b"North,o1,school\r\n"], header=header)
    assert [row.sourced_id for row in rows] == ["o1"]
    assert (faults[0].sourced_id, reader.tally.nameless) == (None, 1)


def test_two_records_run_together_name_but_one_of_them() -> None:
    _, faults, reader = read([SOUND.rstrip() + line("orgs.csv", sourcedId="o2")[0]])
    assert faults[0].code == "CSV_LINE_COLUMNS"
    assert reader.tally.nameless == 1


def test_no_fault_shows_a_value() -> None:
    secret = "Zanzibar"
    for file in CELLS:
        for column in FILES["1.2"][file].columns[1:]:
            for value in (secret, f"{secret}\x00", f'{secret}"', secret + "é" * 2001):
                _, faults, _ = read(line(file, **{column.header: value}), file)
                assert secret not in str([fault._replace(sourced_id=None) for fault in faults])


def test_a_row_accepted_before_is_counted_and_not_yielded() -> None:
    (row,), _, _ = read([SOUND])
    known = Seen({kind: array("q", [row.hash] if kind == "org" else []) for kind in KINDS})
    rows, faults, reader = read([SOUND, SOUND, line("orgs.csv", name="South")[0]], known=known)
    assert [r.values[0] for r in rows] == ["South"]
    assert [(f.line, f.code, f.sourced_id) for f in faults] == [(3, "CSV_ID_TWICE", "o1")]
    assert (reader.tally.accepted, reader.tally.unchanged, reader.tally.bad) == (2, 1, 1)


def test_a_row_is_known_by_what_is_kept_of_it() -> None:
    (row,), _, _ = read([SOUND])
    (same,), _, _ = read([b"school,x,North,o1\r\n"], header=("type", "other", "name", "sourcedId"))
    assert row.hash == same.hash != NO_HASH
    assert hash_row(("a", "b")) != hash_row(("ab", ""))


def test_a_row_is_known_however_it_is_spelled() -> None:
    (row,), _, _ = read([SOUND])
    quoted = written(csv.reader([SOUND.decode()]), quoting=csv.QUOTE_ALL)[0]
    dated = line("orgs.csv", dateLastModified="2026-01-01T00:00:00Z")[0]
    for spelled in (SOUND, SOUND.rstrip() + b"\n", SOUND.rstrip(), quoted, dated):
        known = Seen({kind: array("q", [row.hash] if kind == "org" else []) for kind in KINDS})
        rows, _, reader = read([spelled], known=known)
        assert (rows, reader.tally.accepted, reader.tally.unchanged) == ([], 1, 1)


def test_rows_read_together_are_those_read_one_by_one() -> None:
    for file in CELLS:
        lines = [line(file, sourcedId=f"x{number}")[0] for number in range(20)]
        together, faults, reader = read(lines, file)
        assert (faults, reader.tally.accepted, reader.tally.lines) == ([], 20, 20)
        for number, (row, raw) in enumerate(zip(together, lines, strict=True), start=2):
            (alone,), _, _ = read([raw, b"\r\n"], file)  # with a blank line, a batch is read one by one
            assert row == alone._replace(line=number)


def test_a_cell_that_moved_to_the_next_line_costs_both() -> None:
    lines = [line("orgs.csv", sourcedId=f"o{n}")[0] for n in range(4)]
    rows, faults, _ = read([lines[0], b"o9,,,North,school,x\r\n", b"y,o8,,,North,school,x,\r\n", lines[3]])
    assert [row.sourced_id for row in rows] == ["o0", "o3"]
    assert [(fault.line, fault.code) for fault in faults] == [(3, "CSV_LINE_COLUMNS"), (4, "CSV_LINE_COLUMNS")]


def test_status_in_bulk_is_said_once_where_it_stands() -> None:
    lines = [SOUND, line("orgs.csv", dateLastModified="2026-01-01T00:00:00Z")[0], line("orgs.csv", status="active")[0]]
    rows, faults, _ = read(lines)
    assert len(rows) == 3
    assert [(f.line, f.column, f.code, f.effect) for f in faults] == [
        (3, "dateLastModified", "CSV_STATUS_IN_BULK", "value")
    ]


@pytest.mark.parametrize(
    ("role", "orgs", "roles"),
    [
        pytest.param("student", "A", [("u1@A", "primary", "student", "A")], id="one school"),
        pytest.param(
            "teacher", "A, B,A", [("u1@A", "primary", "teacher", "A"), ("u1@B", "secondary", "teacher", "B")],
            id="two schools, one twice",
        ),
        pytest.param("administrator", "A", [("u1@A", "primary", "siteAdministrator", "A")], id="administrator"),
    ],
)  # fmt: skip
def test_a_user_of_1p1_has_a_role_at_each_of_its_orgs(role: str, orgs: str, roles: list[tuple[str, ...]]) -> None:
    rows, faults, _ = read(line("users.csv", "1.1", role=role, orgSourcedIds=orgs), "users.csv", "1.1")
    assert (faults, rows[0].kind, rows[0].sourced_id) == ([], "user", "u1")
    assert [(r.sourced_id, *r.values[1:3], r.values[5]) for r in rows[1:]] == roles
    assert {(r.kind, r.values[0]) for r in rows[1:]} == {("role", "u1")}


def test_a_bad_user_of_1p1_has_no_roles() -> None:
    rows, faults, _ = read(line("users.csv", "1.1", role="Student", orgSourcedIds="A"), "users.csv", "1.1")
    assert (rows, [(f.column, f.code) for f in faults]) == ([], [("role", "CSV_VALUE_VOCABULARY")])
