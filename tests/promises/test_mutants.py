"""A line that is said to keep a promise is taken out, and the promise fails; of what survives that, nothing is said."""

from __future__ import annotations

import pytest

from tests.promises.mutants import Copy, lines_of, mutants
from tests.promises.register import Line, load

PROMISES = load()
SAMPLE = [
    Line("gateway/policy/decide.py", "direction_check,"),
    Line("gateway/policy/agreements.py", '"no_sale",'),
    Line("gateway/policy/rowplan.py", "return person.birth_date is not None and person.birth_date <= day"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Copy:
    return Copy(tmp_path_factory.mktemp("mutants"))


@pytest.mark.parametrize("line", SAMPLE, ids=lambda line: line.text)
def test_without_a_line_the_promises_that_rest_on_it_fail(copy, line):
    assert line in lines_of(PROMISES)
    verdict = copy.without(line, PROMISES, quick=True)
    assert verdict.promises
    assert (verdict.red, verdict.loads) == (verdict.promises, True)


@pytest.mark.invariants
def test_without_any_line_of_the_policy_every_promise_that_rests_on_it_fails(copy, capsys):
    lines = lines_of(PROMISES)
    assert copy.whole(one for one in PROMISES if set(one.lines) & set(lines)) == set()
    verdicts = [copy.without(line, PROMISES) for line in lines]
    with capsys.disabled():
        print("", *verdicts, sep="\n")
        print(f"{len(verdicts)} lines, {sum(v.mutants for v in verdicts)} mutants, "
              f"{sum(v.killed for v in verdicts)} lines whose mutants are all killed")  # fmt: skip
    assert [str(v) for v in verdicts if not v.killed] == []


@pytest.mark.parametrize(
    ("source", "text", "left"),
    [
        pytest.param("a = 1\nb = 2\n", "a = 1", "b = 2\n", id="a line"),
        pytest.param("def f(x):\n    if x:\n        return 1\n    return 2\n", "return 1",
                     "def f(x):\n    if x:\n        pass\n    return 2\n", id="all of a block"),
        pytest.param("def f(x):\n    if x:\n        return 1\n    return 2\n", "if x:",
                     "def f(x):\n    pass\n    return 2\n", id="a statement with its block"),
        pytest.param("A = (\n    b,\n    c,\n)\n", "b,", "A = (\n    c,\n)\n", id="an element"),
    ],
)  # fmt: skip
def test_what_is_taken_out_is_the_least_that_can_go(source, text, left):
    assert mutants(source, text) == [left]


def test_a_choice_between_a_refusal_and_none_is_also_made_for_none():
    source = "def check(x):\n    return () if x else (errors.X,)\n"
    assert mutants(source, "return () if x else (errors.X,)") == [
        "def check(x):\n    pass\n", "def check(x):\n    return ()\n"
    ]  # fmt: skip
