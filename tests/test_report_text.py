"""A report as a person reads it: each table complete, or it says how much is beside it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.flows.rosters import Report
from gateway.report_text import lines


def school(name: str, **users: int) -> dict[str, Any]:
    """What a report says of a school at which only people move, unless `quarantined` or `waiting` says more."""
    moves = {word: users.get(word, 0) for word in ("before", "added", "changed", "removed")}
    aside = {word: {"user": users[word], "role": users[word]} for word in ("quarantined", "waiting") if word in users}
    return {"school": f"sch_{name}", "name": name, "kinds": {"user": moves}, "same": {}} | aside


def told(**said: Any) -> list[str]:
    return list(lines(Report("run_1", "src_1", **said), "sis"))


def table(schools: list[dict[str, Any]]) -> list[list[str]]:
    found = told(schools=schools)
    return [
        line.split() for line in found[found.index(next(line for line in found if "demographics" in line)) + 1 : -1]
    ]


def test_what_moves_is_told_of_each_school_those_first_that_lose_most():
    quiet, grows = school("Quiet", before=9), school("Grows", before=3, added=1_200)
    shrinks = school("Shrinks", before=30, changed=2, removed=4, quarantined=1, waiting=5)
    assert table([quiet, grows, shrinks]) == [
        ["at", "each", "school", "24", "0", "2", "4", "1", "5", "Shrinks", "sch_Shrinks"],
        ["3", "1,200", "0", "0", "0", "0", "Grows", "sch_Grows"],
    ]
    assert table([quiet, quiet]) == []


def test_one_school_is_told_once():
    found = told(schools=[school("One", before=1, removed=1)])
    assert [line.split()[:3] for line in found if "One" in line] == []
    assert found[1].startswith("  1 school  ")


NOT_IN_FORCE = {"code": "SRC_AGREEMENT_MISSING"}


@pytest.mark.parametrize(
    ("said", "word", "rest"),
    [
        ({"proposed": [f"School {n}" for n in range(17)]}, "proposed", "2 more schools"),
        ({"skipped": [NOT_IN_FORCE | {"name": "S", "school": "s"}] * 18}, "left out", "3 more schools"),
        ({"schools": [school(f"S{n}", added=1) for n in range(20)]}, " sch_S", "5 more schools"),
    ],
)  # fmt: skip
def test_a_long_list_says_how_much_of_it_is_not_shown(said, word, rest):
    found = told(**said)
    assert len([line for line in found if word in line]) == 15
    assert f"    … and {rest}" in found


def test_roles_that_are_missing_are_a_word_of_the_field():
    assert "  missing, bad rows (quarantined): 2 roles, 1 people" in told(
        absences={"quarantined": {"user": 1, "role": 2}}
    )


def test_what_is_next_for_a_service_asks_for_no_delivery():
    pulled = {"mode": "everything", "requests": 1, "collections": [], "unasked": []}
    assert told(pulled=pulled)[-1] == (
        "Next: schoolgate school add NAME --source sis --org ID for each of them, and an agreement to import"
    )
    assert told()[-1] == "Next: schoolgate school add --source sis --all-in DELIVERY, and an agreement to import"
    assert told(pulled=pulled, schools=[school("A")])[-1] == "Next: schoolgate sync apply sis"


def test_what_of_a_hold_waits_on_is_told():
    hold = {"hold": "hold_1", "kind": "removals", "waiting": 1_200, "released": True}
    found = told(state="published", published=True, hold=hold)
    assert found[-2:] == ["  1,200 rows wait on in hold hold_1", "Next: schoolgate sync hold show hold_1"]
    assert told(state="published", hold=hold | {"waiting": 0})[-1] == "Next: schoolgate sync history sis"


def test_a_repair_that_would_help_is_a_command_that_can_be_run():
    refusal = {
        "code": "CSV_HEADER",
        "file": "users.csv",
        "line": "1",
        "sentence": "",
        "detail": "",
        "remedy": "",
        "owner": "",
    }
    found = told(state="refused", code="CSV_HEADER", refusal=refusal | {"repair": "delimiter"})
    assert "  repair  schoolgate source repair add sis delimiter" in found
