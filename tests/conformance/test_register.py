"""The register is whole and true: every clause once, its tests there, its refusals those of its cases, the page up to
date."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

from tests.conformance import page
from tests.conformance.register import PARTS, faults, load
from tests.pages import renew
from tests.refused.test_launches import CASES

CLAUSES = load()
IDS = {"LI": [f"LI-{n}" for n in range(1, 10)], "LV": [f"LV-{n:02}" for n in range(1, 37)],
       "SV": [f"SV-{n}" for n in range(1, 10)]}  # fmt: skip


@pytest.mark.parametrize("part", IDS)
def test_every_clause_is_there_once_and_in_order(part):
    assert [one.id for one in CLAUSES if one.part == part] == IDS[part]


def test_the_register_is_true():
    assert faults(CLAUSES) == []


def cases(clause):
    """The refusals of the cases that a clause names by how they begin."""
    patterns = [test.rpartition("[")[2][:-1] for test in clause.tests if test.endswith(" *]")]
    return {str(case.values[1]) for case in CASES for one in patterns if fnmatchcase(str(case.id), one)}


NAMING_CASES = {one.id: one for one in CLAUSES if any(test.endswith(" *]") for test in one.tests)}


@pytest.mark.parametrize("clause", NAMING_CASES)
def test_cases_that_are_named_are_there_and_are_refused_as_is_said(clause):
    found = cases(NAMING_CASES[clause])
    assert found
    assert found <= set(NAMING_CASES[clause].codes)


def test_every_hostile_case_of_a_clause_stands_under_it():
    tried = {str(case.id).partition(" ")[0] for case in CASES if re.match(r"L[IV]-", str(case.id))}
    assert tried <= {one.id for one in CLAUSES if cases(one)}


def test_the_page_is_up_to_date():
    assert not renew(page.PAGE, page.text(CLAUSES), check=True), "make docs"


def test_the_page_says_what_is_so_and_claims_no_more():
    text = page.PAGE.read_text()
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in text.splitlines()}
    for one in CLAUSES:
        assert one.says in rows[one.id]
        assert (f"*{one.state}: {one.waiting}*" in rows[one.id]) == bool(one.waiting)
    assert "certified" not in text.lower()


def test_a_sentence_is_short_and_plain():
    assert [one.id for one in CLAUSES if not 15 <= len(one.says) <= 110 or not one.says.endswith(".")] == []
    assert {one.part for one in CLAUSES} == set(PARTS)


GOOD = next(one for one in CLAUSES if one.id == "LV-12")
WRONG = {
    "a test that is gone": (replace(GOOD, tests=("tests/test_cli.py::test_nothing",)), "there is no test"),
    "a code that is none": (replace(GOOD, codes=("LTI_ISSS",)), "there is no refusal"),
    "nothing at all": (replace(GOOD, tests=(), codes=()), "neither"),
    "refusals that nothing shows": (replace(GOOD, tests=(), waiting="x"), "no test shows its refusals"),
    "a part there is not": (replace(GOOD, id="XX-1"), "part"),
    "an id that stands twice": (replace(GOOD, id="LV-13"), "stands 2 times"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_in_a_register_is_told(what):
    one, fault = WRONG[what]
    assert any(fault in told for told in faults([*CLAUSES, one]))
