"""Every column of every file of the bindings, spoilt against its type: each costs what it must, and is named.

What each column must be is read from the tables of the tests, not from ours: a column that is checked wrongly shows.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import pytest

from gateway.store.staging import Seen
from mappings.oneroster.csv import FILES
from mappings.oneroster.expected import rule_of
from mappings.oneroster.heads import read_header
from mappings.oneroster.rows import Fault, FileReader
from tests.deliveries import HEADERS, UNKEPT

BAD = {
    "date": "2026-02-30", "year": "26", "bool": "yes", "int": "1.5", "float": "1,5", "id": "a b", "ids": "ok,a b",
    "pairs": "no pair", "word": "Zebra", "words": "Zebra", "text": "x" * 2001, "user_id": "{abc}", "grade": "9-8",
}  # fmt: skip
DATES = {"startDate", "endDate", "beginDate", "birthDate", "birthdate", "assignDate", "dueDate", "scoreDate"}
BOOLS = {"enabledUser", "primary", "inProgress", "incomplete", "late", "missing", "americanIndianOrAlaskaNative",
         "asian",
         "blackOrAfricanAmerican", "nativeHawaiianOrOtherPacificIslander", "white", "demographicRaceTwoOrMoreRaces",
         "hispanicOrLatinoEthnicity"}  # fmt: skip
FLOATS = {"score", "resultValueMin", "resultValueMax"}
WORDS = {
    ("orgs.csv", "type"), ("academicSessions.csv", "type"), ("classes.csv", "classType"), ("roles.csv", "roleType"),
    ("roles.csv", "role"), ("users.csv", "role"), ("enrollments.csv", "role"), ("demographics.csv", "sex"),
    ("resources.csv", "importance"), ("results.csv", "scoreStatus"), ("lineItemLearningObjectiveIds.csv", "source"),
    ("resultLearningObjectiveIds.csv", "source"),
}  # fmt: skip
FRAME = {"sourcedId", "status", "dateLastModified"}
PLAIN_LISTS = {"subjects", "subjectCodes", "periods"}
# What a bad value leaves of its row: the value alone.
VALUES = {("courses.csv", "grades"), ("classes.csv", "grades"), ("demographics.csv", "sex"), ("users.csv", "userIds"),
          ("roles.csv", "userProfileSourcedId"), ("courses.csv", "grade"), ("classes.csv", "grade"),
          ("users.csv", "userId")}  # fmt: skip


def type_of(file: str, column: str) -> str:
    """What the field tables of the standard say a column is."""
    if (file, column) in WORDS:
        return "word"
    if column in DATES:
        return "date"
    if column in BOOLS:
        return "bool"
    if column in FLOATS:
        return "float"
    named = {"schoolYear": "year", "weight": "int", "userIds": "pairs", "scoreScaleValue": "pairs", "grades": "words",
             "roles": "words", "grade": "grade", "userId": "user_id", "agents": "ids", "termSourcedId": "ids",
             "schoolYearId": "id"}  # fmt: skip
    if column in named:
        return named[column]
    if column.endswith("SourcedIds"):
        return "ids"
    return "id" if column.lower().endswith("sourcedid") else "text"


def every_column() -> Iterator[tuple[str, str, str]]:
    for version in HEADERS:
        for file, columns in {**HEADERS[version], **UNKEPT[version]}.items():
            for column in columns:
                if column not in FRAME and column != "password" and column not in PLAIN_LISTS:
                    yield version, file, column


GOOD = {"date": "2026-02-28", "year": "2027", "bool": "true", "int": "1", "float": "1.5", "id": "a", "ids": "a,b",
        "pairs": "{a:b}", "words": "", "text": "x", "user_id": "a", "grade": "9-12"}  # fmt: skip


def good(version: str, file: str, column: str) -> str:
    known = next(c for c in FILES[version][file].columns if c.header == column)
    return min(known.vocabulary) if type_of(file, column) == "word" else GOOD[type_of(file, column)]


def read(version: str, file: str, **spoilt: str) -> tuple[int, list[Fault]]:
    names = {**HEADERS[version], **UNKEPT[version]}[file]
    cells = {name: good(version, file, name) for name in names if name not in PLAIN_LISTS | FRAME}
    cells |= {"sourcedId": "s1", "status": "", "dateLastModified": "", "password": ""} | spoilt
    line = ",".join(f'"{cells.get(name, "")}"' for name in names) + "\r\n"
    faults: list[Fault] = []
    reader = FileReader(read_header(FILES[version][file], ",".join(names).encode()), Seen({}), faults.append)
    return len([row for row in reader.rows([line.encode()]) if row.kind == FILES[version][file].kind]), faults


@pytest.mark.parametrize(("version", "file", "column"), list(every_column()))
def test_a_bad_value_is_named_with_its_rule_and_costs_what_it_must(version: str, file: str, column: str) -> None:
    assert read(version, file) == (1, [])
    value = BAD[type_of(file, column)]
    rows, (fault,) = read(version, file, **{column: value})
    assert (fault.file, fault.line, fault.column) == (file, 2, column)
    assert fault.code in {"CSV_VALUE_TYPE", "CSV_VALUE_VOCABULARY", "CSV_VALUE_LENGTH", "CSV_ID"}
    assert (fault.effect, rows) == (("value", 1) if (file, column) in VALUES else ("row", 0))
    assert value not in str(fault)
    assert rule_of(version, file, column)


def test_there_are_two_hundred_refused_deliveries_and_more() -> None:
    """Packages, manifests, files, rows, rules and columns: each is counted once."""
    from tests.refused import test_deliveries, test_delivery_rows, test_delivery_rules

    listed = sum(
        len(mark.args[1])
        for module in (test_deliveries, test_delivery_rows, test_delivery_rules)
        for test in vars(module).values()
        for mark in getattr(test, "pytestmark", ())
        if mark.name == "parametrize" and "repaired" not in test.__name__
    )
    assert listed + len(set(every_column())) >= 200


def test_a_kind_nobody_knows_is_new() -> None:
    assert Seen({"org": array("q")}).meet("result", 7) == 0
