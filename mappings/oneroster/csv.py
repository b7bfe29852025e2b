"""The OneRoster CSV bindings 1.1 and 1.2 as tables, and the manifest and headers understood by them.

Source: OneRoster 1.2.1 CSV binding, tables 6.x; 1.1 headers from the 1.1 binding, chapter 13. Requirements
of 1.1 that its text leaves open are taken from 1.2 (derived).
"""

from __future__ import annotations

import csv as _csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from mappings import vocabulary as words
from mappings.fields import agree, element_of
from mappings.oneroster.records import KINDS

Effect = Literal["row", "value", "removed"]


@dataclass(frozen=True, slots=True)
class CsvColumn:
    """A column of a file: where it goes (None: read past), what it must be, and what a bad value costs."""

    header: str
    to: str | None = None
    type: str = "text"
    required: bool = False
    vocabulary: frozenset[str] = frozenset()
    extensible: bool = False
    effect: Effect = "row"


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file of the binding and the kind of record its rows are."""

    name: str
    kind: str
    columns: tuple[CsvColumn, ...]
    binding: str

    def __post_init__(self) -> None:
        """Raises Unclassified for a column without an element, or stored as another than the one it comes in as."""
        stored = {column.name: column.element for column in KINDS[self.kind].columns}
        for column in self.columns:
            agree(self.binding, self._path(column), stored.get(column.to or "", self.element(column)))

    def element(self, column: CsvColumn) -> str:
        """Return the data element a column of this file holds. Raises Unclassified for one without."""
        return element_of(self.binding, self._path(column))

    def _path(self, column: CsvColumn) -> str:
        return f"{self.name.removesuffix('.csv')}.{column.header}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifest.csv says: version and mode of each file."""

    version: str
    modes: MappingProxyType[str, str]
    system: str = ""


class Unreadable(Exception):  # noqa: N818 - a finding about a file, not an error of ours
    """A whole file or delivery cannot be believed. Carries a code of the CSV family."""

    def __init__(self, code: str, file: str, detail: str = "", line: int = 0) -> None:
        super().__init__(f"{code} {file}: {detail}")
        self.code, self.file, self.detail, self.line = code, file, detail, line


# --- the binding as a table ------------------------------------------------------------------------


def _col(
    header: str,
    to: str | None = None,
    type_: str = "text",
    *,
    need: bool = False,
    words_: frozenset[str] = frozenset(),
    ext: bool = False,
    effect: Effect = "row",
) -> CsvColumn:
    return CsvColumn(header, to, type_, need, words_, ext, effect)


_HEAD = (_col("sourcedId", "sourced_id", "id", need=True),
         _col("status", None, "bulk-empty"), _col("dateLastModified", None, "bulk-empty"))  # fmt: skip

_ORGS = (
    _col("name", "name", need=True),
    _col("type", "type", "word", need=True, words_=words.ORG_TYPES, ext=True),
    _col("identifier", "identifier"),
    _col("parentSourcedId", "parent", "id"),
)
_SESSIONS = (
    _col("title", "title", need=True),
    _col("type", "type", "word", need=True, words_=words.SESSION_TYPES, ext=True),
    _col("startDate", "start_date", "date", need=True),
    _col("endDate", "end_date", "date", need=True),
    _col("parentSourcedId", "parent", "id"),
    _col("schoolYear", "school_year", "year", need=True),
)
_COURSES = (
    _col("schoolYearSourcedId", "school_year", "id"),
    _col("title", "title", need=True),
    _col("courseCode", "course_code"),
    _col("grades", "grades", "words", words_=words.GRADES, effect="value"),
    _col("orgSourcedId", "org", "id", need=True),
    _col("subjects", "subjects", "texts"),
    _col("subjectCodes", "subject_codes", "texts"),
)
_CLASSES = (
    _col("title", "title", need=True),
    _col("grades", "grades", "words", words_=words.GRADES, effect="value"),
    _col("courseSourcedId", "course", "id", need=True),
    _col("classCode", "class_code"),
    _col("classType", "class_type", "word", need=True, words_=words.CLASS_TYPES, ext=True),
    _col("location", "location"),
    _col("schoolSourcedId", "org", "id", need=True),
    _col("termSourcedIds", "terms", "ids", need=True),
    _col("subjects", "subjects", "texts"),
    _col("subjectCodes", "subject_codes", "texts"),
    _col("periods", "periods", "texts"),
)
_PERSON = (
    _col("username", "username", need=True),
    _col("userIds", "user_ids", "texts"),
    _col("givenName", "given_name", need=True),
    _col("familyName", "family_name", need=True),
    _col("middleName", "middle_name"),
    _col("identifier", "identifier"),
    _col("email", "email"),
    _col("sms", "sms"),
    _col("phone", "phone"),
    _col("agentSourcedIds", "agents", "ids"),
    _col("grades", "grades", "words", words_=words.GRADES),
    _col("password", None, "never"),
)
_USERS_1P2 = (
    _col("enabledUser", "enabled", "bool", need=True),
    *_PERSON,
    _col("userMasterIdentifier", "master_identifier"),
    _col("preferredGivenName", "preferred_given"),
    _col("preferredMiddleName", "preferred_middle"),
    _col("preferredFamilyName", "preferred_family"),
    _col("primaryOrgSourcedId", "primary_org", "id"),
    _col("pronouns", "pronouns"),
)
_USERS_1P1 = (
    _col("enabledUser", "enabled", "bool", need=True),
    _col("orgSourcedIds", "@orgs", "ids", need=True),
    _col("role", "@role", "word", need=True, words_=words.USER_ROLES_1P1),
    *_PERSON,
)
_ROLES = (
    _col("userSourcedId", "user", "id", need=True),
    _col("roleType", "role_type", "word", need=True, words_=words.ROLE_TYPES),
    _col("role", "role", "word", need=True, words_=words.USER_ROLES_1P2, ext=True),
    _col("beginDate", "begin_date", "date"),
    _col("endDate", "end_date", "date"),
    _col("orgSourcedId", "org", "id", need=True),
    _col("userProfileSourcedId", None),
)


def _enrollments(roles: frozenset[str], *, ext: bool) -> tuple[CsvColumn, ...]:
    return (
        _col("classSourcedId", "class", "id", need=True),
        _col("schoolSourcedId", "org", "id", need=True),
        _col("userSourcedId", "user", "id", need=True),
        _col("role", "role", "word", need=True, words_=roles, ext=ext),
        _col("primary", "primary", "bool"),
        _col("beginDate", "begin_date", "date"),
        _col("endDate", "end_date", "date"),
    )


# 1.1 knows two sexes; the words of 1.2 are understood in both.
_DEMOGRAPHICS = (
    _col("birthDate", "birth_date", "date"),
    _col("sex", "sex", "word", words_=words.SEXES, ext=True, effect="value"),
    _col("americanIndianOrAlaskaNative", "american_indian", "bool"),
    _col("asian", "asian", "bool"),
    _col("blackOrAfricanAmerican", "black", "bool"),
    _col("nativeHawaiianOrOtherPacificIslander", "pacific_islander", "bool"),
    _col("white", "white", "bool"),
    _col("demographicRaceTwoOrMoreRaces", "two_or_more_races", "bool"),
    _col("hispanicOrLatinoEthnicity", "hispanic", "bool"),
    _col("countryOfBirthCode", "birth_country"),
    _col("stateOfBirthAbbreviation", "birth_state"),
    _col("cityOfBirth", "birth_city"),
    _col("publicSchoolResidenceStatus", "residence_status"),
)


def _files(binding: str, *files: tuple[str, str, tuple[CsvColumn, ...]]) -> MappingProxyType[str, CsvFile]:
    return MappingProxyType({n: CsvFile(n, kind, (*_HEAD, *cols), binding) for n, kind, cols in files})


FILES = MappingProxyType(
    {
        "1.2": _files(
            "oneroster_1p2_csv",
            ("orgs.csv", "org", _ORGS),
            ("academicSessions.csv", "session", _SESSIONS),
            ("courses.csv", "course", _COURSES),
            ("users.csv", "user", _USERS_1P2),
            ("roles.csv", "role", _ROLES),
            ("classes.csv", "class", _CLASSES),
            ("enrollments.csv", "enrollment", _enrollments(words.ENROLLMENT_ROLES, ext=True)),
            ("demographics.csv", "demographics", _DEMOGRAPHICS),
        ),
        "1.1": _files(
            "oneroster_1p1_csv",
            ("orgs.csv", "org", _ORGS),
            ("academicSessions.csv", "session", _SESSIONS),
            ("courses.csv", "course", _COURSES),
            ("users.csv", "user", _USERS_1P1),
            ("classes.csv", "class", _CLASSES),
            ("enrollments.csv", "enrollment", _enrollments(words.ENROLLMENT_ROLES_1P1, ext=False)),
            ("demographics.csv", "demographics", _DEMOGRAPHICS),
        ),
    }
)  # fmt: skip

_BOTH = (
    "academicSessions", "categories", "classes", "classResources", "courses", "courseResources",
    "demographics", "enrollments", "lineItems", "orgs", "resources", "results", "users",
)  # fmt: skip
_NEW_IN_1P2 = (
    "lineItemLearningObjectiveIds", "lineItemScoreScales", "resultLearningObjectiveIds",
    "resultScoreScales", "roles", "scoreScales", "userProfiles", "userResources",
)  # fmt: skip
# Every data file of a version, read here or not (binding 1.2.1, table of manifest properties).
NAMES = MappingProxyType(
    {
        "1.1": frozenset(f"{name}.csv" for name in _BOTH),
        "1.2": frozenset(f"{name}.csv" for name in (*_BOTH, *_NEW_IN_1P2)),
    }
)
REQUIRED = MappingProxyType(
    {
        version: frozenset(files) - {"demographics.csv"}
        for version, files in FILES.items()
    }
)  # fmt: skip


_UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # how a text of that kind begins

# --- the manifest ----------------------------------------------------------------------------------


def read_manifest(lines: Iterable[bytes]) -> Manifest:
    """Return what manifest.csv says. Raises Unreadable with CSV_MANIFEST_INVALID or CSV_VERSION."""
    said: dict[str, str] = {}
    for number, raw in enumerate(lines, start=1):
        cells = _manifest_cells(number, raw)
        if not cells or (number == 1 and cells[0] == "propertyName"):
            continue
        if cells[0] in said:
            raise Unreadable("CSV_MANIFEST_INVALID", "manifest.csv", f"{cells[0]} twice", number)
        said[cells[0]] = cells[1].strip()
    version = said.get("oneroster.version", "")
    if version not in FILES:
        raise Unreadable("CSV_VERSION", "manifest.csv", f"oneroster.version is {_safe(version) or 'missing'}")
    return Manifest(version, _modes(said), said.get("source.systemName", "")[:120])


def _manifest_cells(number: int, raw: bytes) -> list[str]:
    if raw[:2] in _UTF_16 or b"\x00" in raw:
        raise Unreadable("CSV_MANIFEST_INVALID", "manifest.csv", "it looks like UTF-16; it must be UTF-8", number)
    if b"\r" in raw.rstrip(b"\r\n"):
        raise Unreadable("CSV_MANIFEST_INVALID", "manifest.csv", "its lines end with CR alone; CR LF is needed", number)
    try:
        text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        cells = next(_csv.reader([text], strict=True), [])
    except (UnicodeDecodeError, _csv.Error) as error:
        raise Unreadable("CSV_MANIFEST_INVALID", "manifest.csv", "unreadable", number) from error
    if cells and len(cells) < 2:
        raise Unreadable("CSV_MANIFEST_INVALID", "manifest.csv", "no value", number)
    return cells


def _modes(said: dict[str, str]) -> MappingProxyType[str, str]:
    modes = {}
    for key, value in said.items():
        if key.startswith("file."):
            if value not in ("absent", "bulk", "delta"):
                detail = f"{key} is neither absent, bulk nor delta"
                raise Unreadable("CSV_MANIFEST_INVALID", "manifest.csv", detail)
            name = f"{key[5:].rstrip('*')}.csv"
            if name in modes:
                raise Unreadable("CSV_MANIFEST_INVALID", "manifest.csv", f"{key} twice")
            modes[name] = value
    return MappingProxyType(modes)


# --- the header ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Header:
    """A file's header understood: the position of each column (-1 where absent) and named repairs."""

    file: CsvFile
    positions: tuple[int, ...]
    width: int
    repairs: tuple[str, ...] = ()


def read_header(file: CsvFile, raw: bytes) -> Header:
    """Return how the file's columns lie. Named repairs: bom, header-order, unknown-columns,
    missing-optional-columns. Raises Unreadable with CSV_ENCODING, CSV_HEADER or CSV_HEADER_TWICE."""
    if not raw:
        raise Unreadable("CSV_FILE_EMPTY", file.name)
    names, repairs = _header_names(file, raw)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Unreadable("CSV_HEADER_TWICE", file.name, f"column {_safe(twice)}", 1)
    positions = tuple(names.index(c.header) if c.header in names else -1 for c in file.columns)
    _require_columns(file, names, positions)
    known = {c.header for c in file.columns}
    if any(n not in known and not n.startswith("metadata.") for n in names):
        repairs.append("unknown-columns")
    if -1 in positions:
        repairs.append("missing-optional-columns")
    present = [p for p in positions if p >= 0]
    if present != sorted(present):
        repairs.append("header-order")
    return Header(file, positions, len(names), tuple(repairs))


def leave_unread(header: Header, collected: Collection[str]) -> tuple[Header, tuple[CsvColumn, ...]]:
    """Return a header whose columns of elements that are not collected are read past, and those columns of the file."""
    file = header.file
    dropped = [c for c in file.columns if c.to and not c.to.startswith("@") and file.element(c) not in collected]
    if not dropped:
        return header, ()
    columns = tuple(CsvColumn(c.header, None, "unread") if c in dropped else c for c in file.columns)
    there = dict(zip(file.columns, header.positions, strict=True))
    return replace(header, file=replace(file, columns=columns)), tuple(c for c in dropped if there[c] >= 0)


def _header_names(file: CsvFile, raw: bytes) -> tuple[list[str], list[str]]:
    if raw[:2] in _UTF_16 or b"\x00" in raw:
        raise Unreadable("CSV_ENCODING", file.name, "it looks like UTF-16", 1)
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
        bom = text.startswith("\ufeff")
        names = next(_csv.reader([text.lstrip("\ufeff")], strict=True), [])
    except UnicodeDecodeError as error:
        raise Unreadable("CSV_ENCODING", file.name, "the header is not UTF-8", 1) from error
    except _csv.Error as error:
        raise Unreadable("CSV_HEADER", file.name, "the header is not readable CSV", 1) from error
    return names, ["bom"] if bom else []


def _require_columns(file: CsvFile, names: list[str], positions: tuple[int, ...]) -> None:
    """A required column must be there, and none may be spelled almost right: its values would be lost unseen."""
    folded = {n.strip().lower(): n for n in names}
    for column, position in zip(file.columns, positions, strict=True):
        near = folded.get(column.header.lower())
        if position < 0 and (column.required or near):
            found = f"; found {_safe(near)}" if near else ""
            raise Unreadable("CSV_HEADER", file.name, f"column {column.header} is missing{found}", 1)


def _safe(text: str) -> str:
    """A column name is the exporter's, not a pupil's: shown, shortened and without control characters."""
    return "".join(c for c in text if c.isprintable())[:60]
