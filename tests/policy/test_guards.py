"""When a roster change waits for a person: the guards at their boundaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.guards import BOUNDS, Limits, Movement, Trip, judge, judge_ids, judge_years


def guards(before: int, added: int, changed: int, removed: int, kind: str = "user") -> str:
    """The guard that trips, if any."""
    trips = judge([Movement("sch", kind, before, added, changed, removed)])
    return ", ".join(trip.guard for trip in trips)


@pytest.mark.parametrize(
    ("before", "added", "changed", "removed", "guard"),
    [
        pytest.param(0, 500, 0, 0, "", id="a first version"),
        pytest.param(100, 0, 0, 0, "", id="nothing"),
        pytest.param(100, 900, 0, 0, "", id="additions are never held"),
        pytest.param(100, 0, 0, 10, "", id="a tenth removed"),
        pytest.param(100, 0, 0, 11, "removed", id="more than a tenth removed"),
        pytest.param(100, 50, 0, 11, "removed", id="additions make up for no removal"),
        pytest.param(10, 0, 0, 1, "", id="one of ten"),
        pytest.param(9, 0, 0, 1, "removed", id="one of nine"),
        pytest.param(19, 0, 0, 2, "removed", id="two pupils are never few"),
        pytest.param(100, 0, 0, 20, "removed", id="four fifths left"),
        pytest.param(100, 0, 0, 21, "shrunk", id="fewer than four fifths left"),
        pytest.param(100, 5, 0, 25, "removed", id="four fifths left with additions"),
        pytest.param(100, 0, 0, 100, "emptied", id="nothing left"),
        pytest.param(1, 0, 0, 1, "emptied", id="the only one removed"),
        pytest.param(100, 100, 0, 100, "removed", id="all removed and as many added"),
        pytest.param(100, 0, 75, 0, "", id="three quarters changed"),
        pytest.param(100, 0, 76, 0, "changed", id="more than three quarters changed"),
        pytest.param(2, 0, 2, 0, "", id="both of two changed"),
        pytest.param(3, 0, 3, 0, "changed", id="all three changed"),
    ],
)
def test_people_are_held_beyond_the_boundary(before: int, added: int, changed: int, removed: int, guard: str) -> None:
    assert guards(before, added, changed, removed) == guard


@pytest.mark.parametrize("kind", ["org", "session", "course", "class", "enrollment", "demographics"])
@pytest.mark.parametrize(
    ("before", "removed", "guard"),
    [
        pytest.param(3, 1, "", id="one of three"),
        pytest.param(4, 2, "", id="two of four"),
        pytest.param(16, 3, "removed", id="three of sixteen"),
        pytest.param(25, 3, "removed", id="three of twenty-five"),
        pytest.param(30, 3, "", id="three of thirty"),
        pytest.param(1, 1, "emptied", id="the only one"),
        pytest.param(2, 2, "emptied", id="the only two"),
    ],
)
def test_one_or_two_of_anything_but_people_may_go(kind: str, before: int, removed: int, guard: str) -> None:
    assert guards(before, 0, 0, removed, kind) == guard


def test_each_school_and_kind_is_judged_by_itself() -> None:
    movements = [
        Movement("a", "user", 1000, 0, 0, 50),
        Movement("b", "user", 40, 0, 0, 5),
        Movement("b", "class", 10, 0, 8, 0),
        Movement("c", "class", 10, 0, 0, 10),
    ]
    assert judge(movements) == [
        Trip("removed", "b", "user", 5, 40),
        Trip("changed", "b", "class", 8, 10),
        Trip("emptied", "c", "class", 10, 10),
    ]


@given(st.integers(1, 100_000))
def test_the_boundaries_are_exact_at_any_size(tens: int) -> None:
    before = 20 * tens
    assert guards(before, 0, 0, before // 10) == ""
    assert guards(before, 0, 0, before // 10 + 1) == "removed"
    assert guards(before, 0, before * 3 // 4, 0) == ""
    assert guards(before, 0, before * 3 // 4 + 1, 0) == "changed"


@given(st.integers(1, 500), st.integers(0, 500), st.integers(0, 500), st.data())
def test_removing_more_never_lets_a_delivery_through(
    before: int, added: int, changed: int, data: st.DataObject
) -> None:
    removed = data.draw(st.integers(0, before))
    more = data.draw(st.integers(removed, before))
    if guards(before, added, changed, removed):
        assert guards(before, added, changed, more)


@pytest.mark.parametrize(
    ("pairs", "alone", "people", "guard"),
    [
        pytest.param(0, 0, 100, "", id="nobody"),
        pytest.param(5, 0, 100, "", id="a few, whose rows followed"),
        pytest.param(5, 1, 100, "paired", id="a few, one of whom nothing followed"),
        pytest.param(6, 0, 100, "rekeyed", id="more than a few of a hundred"),
        pytest.param(50, 50, 1000, "paired", id="a twentieth"),
        pytest.param(51, 0, 1000, "rekeyed", id="more than a twentieth"),
    ],
)
def test_people_under_new_ids_are_held(pairs: int, alone: int, people: int, guard: str) -> None:
    assert "".join(trip.guard for trip in judge_ids(pairs, alone, people)) == guard


def test_a_school_year_that_gives_way_is_reviewed() -> None:
    assert judge_years(0, 2) == []
    assert judge_years(1, 2) == [Trip("rollover", "", "session", 1, 2)]


@pytest.mark.parametrize("name", BOUNDS)
def test_limits_lie_within_bounds(name: str) -> None:
    least, most = BOUNDS[name]
    assert Limits(**{name: least}) != Limits(**{name: most})
    for beyond in (least - 0.001, most + 0.001, float("nan")):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: beyond})


def test_a_source_that_may_change_more_is_judged_by_its_own_limits() -> None:
    movement = Movement("sch", "user", 100, 0, 76, 11)
    assert [trip.guard for trip in judge([movement], Limits(removed=0.2))] == ["changed"]
    assert judge([movement], Limits(removed=0.2, changed=0.8)) == []


@pytest.mark.parametrize(
    ("guard", "kind", "only"),
    [("removed", "user", True), ("emptied", "class", True), ("removed", "role", False), ("changed", "user", False),
     ("paired", "user", True), ("rekeyed", "user", False), ("rollover", "session", False), ("lost", "x.csv", False)],
)  # fmt: skip
def test_only_removals_can_wait_by_themselves(guard: str, kind: str, only: bool) -> None:
    assert Trip(guard, "sch", kind, 1, 2).only_removals is only
