"""The register is whole and true: every promise once, its lines there, its tests collected, the page up to date."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from dataclasses import replace

import pytest

from tests.pages import renew
from tests.promises import page
from tests.promises.__main__ import main
from tests.promises.register import POLICIES, REGISTER, ROOT, Line, Promise, faults, load, read

PROMISES = load()
NUMBERED = {
    "MT": [*range(1, 16), "15b", "15c", "15d", *range(16, 50)],
    "MP": [*range(1, 6), "05b", *range(6, 22), "22a", "22b", "22c", "22d", "22e", *range(23, 27)],
    "CT": [*range(1, 36)],
    "MC": [*range(1, 31)],
}
COUNTS = {"MT": 52, "MP": 31, "CT": 35, "MC": 30}


@pytest.mark.parametrize("policy", POLICIES)
def test_every_promise_of_a_policy_is_there_once_and_in_order(policy):
    wanted = [f"{policy}-{n:02}" if isinstance(n, int) else f"{policy}-{n}" for n in NUMBERED[policy]]
    assert [one.id for one in PROMISES if one.policy == policy] == wanted
    assert len(wanted) == COUNTS[policy]


def test_the_register_is_true():
    assert faults(PROMISES) == []


def test_parameters_that_are_named_are_there():
    """Pytest itself fails for one that it cannot find."""
    named = sorted({test for one in PROMISES for test in one.tests if "[" in test})
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--noconftest", "-o", "addopts=", "-p", "no:cacheprovider", "--collect-only",
         *named],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{len(named)} tests collected" in done.stdout


def test_the_page_is_up_to_date():
    assert not renew(page.PAGE, page.text(PROMISES), check=True), "make docs"


def test_every_promise_stands_on_the_page_with_its_lines_and_tests():
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in page.PAGE.read_text().splitlines()}
    for one in PROMISES:
        row = rows[one.id]
        assert one.says in row
        assert row.count("](../") == len(one.lines) + len(one.tests)
        assert (f"*waiting: {one.waiting}*" in row) == bool(one.waiting)


def test_a_sentence_is_short_plain_and_stands_once():
    assert [one.id for one in PROMISES if not 20 <= len(one.says) <= 160 or not one.says.endswith(".")] == []
    assert {one.state for one in PROMISES} == {"kept", "in part", "waiting", "beyond"}


GOOD = next(one for one in PROMISES if one.id == "MT-13")
WRONG = {
    "a line that is gone": (replace(GOOD, lines=(replace(GOOD.lines[0], text="direction_chek,"),)), "stands 0 times"),
    "a line in no file": (replace(GOOD, lines=(Line("gateway/gone.py", "x"),)), "stands 0 times"),
    "a line that stands twice": (replace(GOOD, lines=(Line("gateway/policy/decide.py", "try:"),)), "times in"),
    "a test that is gone": (replace(GOOD, tests=("tests/test_cli.py::test_nothing",)), "there is no test"),
    "a test in no file": (replace(GOOD, tests=("tests/test_gone.py::test_nothing",)), "there is no test"),
    "a test of big numbers": (
        replace(GOOD, tests=("tests/policy/test_laws.py::test_the_naive_model_agrees_twenty_thousand_times",)),
        "there is no test",
    ),
    "a code that is none": (replace(GOOD, codes=("DIR_MISING",)), "there is no refusal"),
    "no test": (replace(GOOD, tests=()), "no test shows it"),
    "nothing at all": (replace(GOOD, tests=(), lines=()), "neither"),
    "beyond for no reason": (replace(GOOD, cls="N"), "why"),
    "a class there is not": (replace(GOOD, cls="X"), "class"),
}


@pytest.mark.parametrize(("promise", "said"), WRONG.values(), ids=list(WRONG))
def test_what_is_not_true_is_found(promise: Promise, said: str):
    assert any(said in fault for fault in faults([promise]))


def test_a_promise_that_stands_twice_is_found():
    assert faults([GOOD, GOOD]) == ["MT-13: stands 2 times"]


def test_a_line_without_a_name_is_no_line():
    said = tomllib.loads(REGISTER.read_text())
    said["promise"][0]["lines"] = ["no such line"]
    with pytest.raises(KeyError):
        read(said)
    used = {name for one in tomllib.loads(REGISTER.read_text())["promise"] for name in one.get("lines", ())}
    assert used == set(said["lines"])


def test_where_the_lines_of_a_promise_stand_now_is_said(capsys):
    assert main(["MT-13"]) == 0
    (number,) = GOOD.lines[0].numbers()
    assert f"gateway/policy/decide.py:{number}: direction_check," in capsys.readouterr().out
    assert main(["MT-99"]) == 2
