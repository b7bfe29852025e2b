"""The CSV bindings as tables, and manifests and headers understood by them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.oneroster.csv import FILES, NAMES, REQUIRED, CsvColumn, Unreadable, spelled_in
from mappings.oneroster.heads import read_header, read_manifest
from mappings.oneroster.records import RECORDS
from tests.deliveries import HEADERS

REQUIRED_VALUES = {
    "orgs.csv": "sourcedId name type",
    "academicSessions.csv": "sourcedId title type startDate endDate schoolYear",
    "courses.csv": "sourcedId title orgSourcedId",
    "users.csv": "sourcedId enabledUser username givenName familyName",
    "roles.csv": "sourcedId userSourcedId roleType role orgSourcedId",
    "classes.csv": "sourcedId title courseSourcedId classType schoolSourcedId termSourcedIds",
    "enrollments.csv": "sourcedId classSourcedId schoolSourcedId userSourcedId role",
    "demographics.csv": "sourcedId",
}
ORGS = FILES["1.2"]["orgs.csv"]
ORG_NAMES = tuple(column.header for column in ORGS.columns)
EVERY_FILE = [(version, name) for version in FILES for name in FILES[version]]
# The drafts of 1.2 had this column of users.csv; 1.2.1 has userResources.csv instead.
DRAFT = "resourceSourcedIds"


# --- the binding -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "name"), [(v, n) for v in HEADERS for n in HEADERS[v]])
def test_the_columns_of_a_file_are_those_of_the_binding(version: str, name: str) -> None:
    ours = [column.header for column in FILES[version][name].columns]
    assert ours == [header for header in HEADERS[version][name] if header != DRAFT]


@pytest.mark.parametrize("name", REQUIRED_VALUES)
def test_the_required_values_of_a_file_are_those_of_the_binding(name: str) -> None:
    assert " ".join(c.header for c in FILES["1.2"][name].columns if c.required) == REQUIRED_VALUES[name]


@pytest.mark.parametrize(("version", "name"), EVERY_FILE)
def test_every_column_kept_is_a_column_of_its_kind(version: str, name: str) -> None:
    file = FILES[version][name]
    kept = {column.to for column in file.columns if column.to and column.to[0] not in "@+"} - {"sourced_id"}
    assert kept <= {column.name for column in RECORDS[file.kind].columns}


@pytest.mark.parametrize(("version", "name"), EVERY_FILE)
def test_references_and_only_they_are_read_as_ids(version: str, name: str) -> None:
    file = FILES[version][name]
    ids = {c.to for c in file.columns if c.type in ("id", "ids")} - {"sourced_id", "@orgs", "+profile"}
    assert ids == {column.name for column in RECORDS[file.kind].references} & {c.to for c in file.columns}


def test_passwords_are_read_past() -> None:
    for version in FILES:
        named = [c for file in FILES[version].values() for c in file.columns if "password" in c.header]
        assert named == [CsvColumn("password", None, "never")] * {"1.2": 2, "1.1": 1, "1.0": 0}[version]


def test_a_bulk_roster_needs_every_file_that_is_kept_but_demographics() -> None:
    for version, files in FILES.items():
        assert {name for name, file in files.items() if file.kept} - REQUIRED[version] == {"demographics.csv"}
        assert all(files[name].kept for name in REQUIRED[version])
    assert "roles.csv" not in REQUIRED["1.1"] | REQUIRED["1.0"]
    assert (len(NAMES["1.2"]), len(NAMES["1.1"]), len(NAMES["1.0"])) == (21, 13, 7)


def official(version: str) -> dict[str, list[str]]:
    text = (Path(__file__).parent / "official" / f"oneroster_{version.replace('.', 'p')}_csv.json").read_text()
    return {f"{name}.csv": columns for name, columns in json.loads(text)["tables"].items() if name != "manifest"}


@pytest.mark.parametrize("version", FILES)
def test_every_file_of_the_binding_is_read_in_the_order_of_its_columns(version: str) -> None:
    ours = {name: [column.header for column in file.columns] for name, file in FILES[version].items()}
    assert ours == official(version)


REQUIRED_1P0 = {
    "orgs.csv": "sourcedId name type",
    "academicSessions.csv": "sourcedId title type startDate endDate",
    "courses.csv": "sourcedId title orgSourcedId",
    "users.csv": "sourcedId orgSourcedIds role username givenName familyName",
    "classes.csv": "sourcedId title courseSourcedId classType schoolSourcedId termSourcedId",
    "enrollments.csv": "sourcedId classSourcedId schoolSourcedId userSourcedId role",
    "demographics.csv": "userSourcedId",
}


@pytest.mark.parametrize("name", REQUIRED_1P0)
def test_the_required_values_of_1p0_are_its_own_and_those_the_records_need(name: str) -> None:
    assert " ".join(c.header for c in FILES["1.0"][name].columns if c.required) == REQUIRED_1P0[name]


def test_every_column_of_1p0_is_a_column_of_1p1_under_the_same_or_an_older_name() -> None:
    older = spelled_in("1.0")
    assert set(older.values()) == {"schoolYearId", "grade", "userId", "agents", "termSourcedId", "userSourcedId",
                                   "birthdate"}  # fmt: skip
    assert spelled_in("1.1") == spelled_in("1.2") == {}
    for name, file in FILES["1.0"].items():
        later = {older.get((name, c.header), c.header) for c in FILES["1.1"][name].columns}
        assert {c.header for c in file.columns} <= later


def test_what_a_file_that_is_not_kept_refers_to_is_checked_before_it() -> None:
    order = list(RECORDS)
    for kind in RECORDS.values():
        for column in kind.references:
            assert order.index(str(column.refers_to)) <= order.index(kind.name)


# --- the manifest ----------------------------------------------------------------------------------

SAID = b"propertyName,value\r\nmanifest.version,1.0\r\noneroster.version,1.2\r\n"


@pytest.mark.parametrize(
    ("data", "modes"),
    [
        pytest.param(SAID + b"file.users,bulk\r\n", {"users.csv": "bulk"}, id="as the binding has it"),
        pytest.param(b"\xef\xbb\xbf" + SAID + b"file.users,bulk", {"users.csv": "bulk"}, id="byte order mark, no end"),
        pytest.param(SAID.replace(b"1.0", b"1") + b"file.orgs,absent\n", {"orgs.csv": "absent"}, id="through Excel"),
        pytest.param(SAID + b'"file.orgs","delta"\r\n', {"orgs.csv": "delta"}, id="quotes"),
        pytest.param(SAID + b"\r\nfile.orgs, bulk \r\n", {"orgs.csv": "bulk"}, id="blank line and spaces"),
        pytest.param(SAID + b"file.orgs,bulk,,\r\n", {"orgs.csv": "bulk"}, id="more columns"),
        pytest.param(SAID[20:] + b"file.orgs,bulk\r\n", {"orgs.csv": "bulk"}, id="no header"),
    ],
)
def test_a_manifest_says_the_mode_of_each_file(data: bytes, modes: dict[str, str]) -> None:
    manifest = read_manifest(io.BytesIO(data))
    assert (manifest.version, manifest.modes) == ("1.2", modes)


def test_a_manifest_names_its_system() -> None:
    manifest = read_manifest(io.BytesIO(SAID + b"source.systemName," + b"S" * 200 + b"\r\n"))
    assert manifest.system == "S" * 120


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        pytest.param(b"", "CSV_VERSION", 0, id="nothing"),
        pytest.param(SAID.replace(b"1.2", b"1.3"), "CSV_VERSION", 0, id="unknown version"),
        pytest.param(SAID.replace(b"1.2", b""), "CSV_VERSION", 0, id="no version"),
        pytest.param(SAID.replace(b"1.2", b"1.0"), "CSV_VERSION", 0, id="a version that has no manifest"),
        pytest.param(SAID + b"file.orgs,bulk\r\nfile.orgs,bulk\r\n", "CSV_MANIFEST_INVALID", 5, id="property twice"),
        pytest.param(SAID + b"file.orgs\r\n", "CSV_MANIFEST_INVALID", 4, id="no value"),
        pytest.param(SAID + b'"file.orgs,bulk\r\n', "CSV_MANIFEST_INVALID", 4, id="open quote"),
        pytest.param(SAID + b"source.systemName,Sch\xfcler\r\n", "CSV_MANIFEST_INVALID", 4, id="not UTF-8"),
        pytest.param(SAID + b"file.orgs,Bulk\r\n", "CSV_MANIFEST_INVALID", 0, id="mode in another case"),
        pytest.param(SAID + b"file.orgs,\r\n", "CSV_MANIFEST_INVALID", 0, id="empty mode"),
    ],
)
def test_a_manifest_that_cannot_be_believed_is_refused(data: bytes, code: str, line: int) -> None:
    with pytest.raises(Unreadable) as refused:
        read_manifest(io.BytesIO(data))
    assert (refused.value.code, refused.value.file, refused.value.line) == (code, "manifest.csv", line)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_are_a_manifest_or_refused(lines: list[bytes]) -> None:
    code, modes = "", set()
    try:
        modes = set(read_manifest(SAID.splitlines(keepends=True) + lines).modes.values())
    except Unreadable as refused:
        code = refused.code
    assert code in ("", "CSV_MANIFEST_INVALID", "CSV_VERSION")
    assert modes <= {"absent", "bulk", "delta"}


# --- headers ---------------------------------------------------------------------------------------


def header_line(names: tuple[str, ...] | list[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerow(names)
    return out.getvalue().encode()


def changed(**renamed: str) -> list[str]:
    return [renamed.get(name, name) for name in ORG_NAMES]


@pytest.mark.parametrize(
    ("raw", "repairs"),
    [
        pytest.param(header_line(ORG_NAMES), (), id="as the binding has it"),
        pytest.param(header_line(ORG_NAMES).replace(b"name", b'"name"'), (), id="quotes"),
        pytest.param(b"\xef\xbb\xbf" + header_line(ORG_NAMES), ("bom",), id="byte order mark"),
        pytest.param(header_line(ORG_NAMES[::-1]), ("header-order",), id="backwards"),
        pytest.param(header_line([*ORG_NAMES, "metadata.x"]), (), id="metadata"),
        pytest.param(header_line([*ORG_NAMES, "x"]), ("unknown-columns",), id="unknown column"),
        pytest.param(header_line(ORG_NAMES[:-1]), ("missing-optional-columns",), id="optional column missing"),
    ],
)  # fmt: skip
def test_a_header_that_can_be_told_is_repaired_by_name(raw: bytes, repairs: tuple[str, ...]) -> None:
    assert read_header(ORGS, raw).repairs == repairs


@pytest.mark.parametrize(
    ("raw", "code", "detail"),
    [
        pytest.param(b"\r\n", "CSV_HEADER", "column sourcedId is missing", id="blank line"),
        pytest.param(header_line(changed(name="NAME")), "CSV_HEADER", "column name is missing; found NAME", id="case"),
        pytest.param(
            header_line(changed(identifier="Identifier")), "CSV_HEADER",
            "column identifier is missing; found Identifier", id="optional column in another case",
        ),
        pytest.param(header_line(changed(name=" name")), "CSV_HEADER", "column name is missing; found  name", id="gap"),
        pytest.param(header_line(changed(name="n")), "CSV_HEADER", "column name is missing", id="no required column"),
        pytest.param(header_line(changed(type="name")), "CSV_HEADER_TWICE", "column name", id="twice"),
        pytest.param(header_line(["x" * 80] * 2), "CSV_HEADER_TWICE", "column " + "x" * 60, id="long name twice"),
        pytest.param(b"sourcedId;name;type\r\n", "CSV_HEADER", "column sourcedId is missing", id="semicolons"),
        pytest.param(b'sourcedId,"name\r\n', "CSV_HEADER", "the header is not readable CSV", id="open quote"),
        pytest.param("sourcedId,name".encode("utf-16"), "CSV_ENCODING", "it looks like UTF-16", id="UTF-16"),
        pytest.param(b"s\0o\0", "CSV_ENCODING", "it looks like UTF-16", id="UTF-16 without a mark"),
        pytest.param(b"sourcedId,Stra\xdfe\r\n", "CSV_ENCODING", "the header is not UTF-8", id="Windows-1252"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_told_is_refused(raw: bytes, code: str, detail: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_header(ORGS, raw)
    assert (refused.value.code, refused.value.file, refused.value.detail) == (code, "orgs.csv", detail)
    assert refused.value.line == 1


@given(st.permutations([*ORG_NAMES, "metadata.a", "other", "o ther"]))
def test_columns_are_found_in_any_order(names: list[str]) -> None:
    header = read_header(ORGS, header_line(names))
    assert [names[place] for place in header.positions] == list(ORG_NAMES)
    assert header.width == len(names)
    assert ("header-order" in header.repairs) == ([n for n in names if n in ORG_NAMES] != list(ORG_NAMES))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_header_or_refused(raw: bytes) -> None:
    with pytest.raises(Unreadable, match=r"^CSV_(HEADER|HEADER_TWICE|ENCODING|FILE_EMPTY) orgs\.csv: "):
        read_header(ORGS, raw)
