"""Laws of holds and undoing, over histories of nights: parts in any order, back and forth, and what readers see."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from gateway.flows import rosters
from tests.flows.test_roster_holds import everybody_changed, release
from tests.flows.test_roster_nights import CHANGES, NIGHTS, Change, night
from tests.flows.test_roster_projection import held
from tests.flows.test_roster_sync import THREE_GONE, gone, second_person
from tests.flows.test_roster_sync import night as plain
from tests.refused import spoil as to
from tests.refused.spoil import content, live, loose_ends
from tests.worlds import World

FEW = trials(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = trials(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
BIG = st.lists(CHANGES, min_size=8, max_size=24)


def world_with(world: World, changes: list[Change]) -> tuple[World, rosters.Report, Any]:
    """A world with a roster, and then a night of these changes."""
    made, delivery = World(world.office, world.clock, like=world).unseeded().onboard("A", "B"), night()
    made.bring(delivery)
    for change in changes:
        change(delivery)
    return made, made.deliver(delivery), delivery


def parts_are_the_whole(world: World, changes: list[Change], order: list[str]) -> None:
    whole, met, _ = world_with(world, changes)
    parts, also, delivery = world_with(world, changes)
    assert (met.hold is None) == (also.hold is None)
    if met.hold is None:
        return
    assert release(whole, met.hold["hold"], second_person(whole)).hold["waiting"] == 0
    second = second_person(parts)
    for org in order:
        if parts_wait(parts, also.hold["hold"], org):
            release(parts, also.hold["hold"], second, org)
            assert loose_ends(parts) == []
    assert held(parts) == held(whole)
    assert parts.deliver(delivery).state == "unchanged"


def parts_wait(world: World, hold: str, org: str) -> bool:
    found, counts, _ = rosters.show(world.office, world.by, hold)
    return found.state == "open" and world.refs[org] in {row.ref for row in counts}


def back_again(world: World, nights: list[list[Change]]) -> None:
    """After any nights, undo to an earlier run gives what it left; and undo is undone by undo."""
    made, delivery, left = World(world.office, world.clock, like=world).unseeded().onboard("A", "B"), night(), []
    for changes in ([], *nights):
        for change in changes:
            change(delivery)
        made.clock.forward(hours=1)
        made.bring(delivery)
        made.clock.forward(hours=1)
        left.append((made.left_by, held(made)))
    for run, there in (left[0], left[-1]):
        go_back(made, run)
        assert held(made) == there
        assert loose_ends(made) == []


def go_back(world: World, run: str) -> None:
    world.clock.forward(hours=1)
    report = rosters.undo(world.office, world.by.district, world.source, world.by.ref, to=run, publish=True)
    if report.state == "held":
        release(world, report.hold["hold"], second_person(world))


@FEW
@given(changes=BIG, order=st.permutations(["A", "B"]))
def test_a_hold_in_parts_is_the_whole(world, changes, order):
    parts_are_the_whole(world, changes, order)


@FEW
@given(nights=NIGHTS)
def test_an_undo_of_nights_gives_what_was(world, nights):
    back_again(world, nights)


@pytest.mark.invariants
@MANY
@given(changes=BIG, order=st.permutations(["A", "B"]))
def test_many_holds_in_parts_are_the_whole(world, changes, order):
    parts_are_the_whole(world, changes, order)


@pytest.mark.invariants
@MANY
@given(nights=NIGHTS)
def test_an_undo_of_many_nights_gives_what_was(world, nights):
    back_again(world, nights)


AT_A, AT_B = ([f"p{n}" for n in range(40) if n % 5 and n % 2 == odd] for odd in (0, 1))
OF_B = st.one_of(
    st.builds(gone, st.sampled_from(AT_B)),
    st.builds(lambda who, name: to.cells("users.csv", who, givenName=name), st.sampled_from(AT_B), st.just("New")),
    st.builds(lambda title: to.cells("classes.csv", "kB", title=title), st.sampled_from(["Ana", "Bea"])),
    st.just(lambda delivery: delivery.person("new", "student", "B").enroll("new", "kB", "B")),
)

NIGHTS_OF_B = st.lists(st.lists(OF_B, max_size=4), min_size=1, max_size=3)
LEAVING = st.sets(st.sampled_from(AT_A), min_size=4)


def sees_the_same(world: World, nights: list[list[Any]], leaving: set[str]) -> None:
    """School B holds the same whether a third of school A leaves as well, and waits for it, or not."""
    ours, theirs = (World(world.office, world.clock, like=world).unseeded().standing(40) for _ in range(2))
    tonight: list[Any] = []
    for spoils in nights:
        tonight += spoils
        ours.deliver(plain(*_once(tonight), gone(*leaving)))
        theirs.deliver(plain(*_once(tonight)))
        assert {at: content(row) for at, row in live(ours, "B").items()} == {
            at: content(row) for at, row in live(theirs, "B").items()
        }
        assert loose_ends(ours) == []


def _once(spoils: list[Any]) -> list[Any]:
    """Changes that keep to those who are still there, in an order in which nobody changes after they left."""

    def apply(delivery: Any) -> None:
        for spoil in spoils:
            with suppress(StopIteration):
                spoil(delivery)
        for file, rows in delivery.rows.items():
            delivery.rows[file] = list({row["sourcedId"]: row for row in rows}.values())

    return [apply]


@FEW
@given(nights=NIGHTS_OF_B, leaving=LEAVING)
def test_a_hold_at_one_school_is_nothing_to_another(world, nights, leaving):
    sees_the_same(world, nights, leaving)


@pytest.mark.invariants
@MANY
@given(nights=NIGHTS_OF_B, leaving=LEAVING)
def test_many_holds_at_one_school_are_nothing_to_another(world, nights, leaving):
    sees_the_same(world, nights, leaving)


@pytest.mark.parametrize("spoil", [THREE_GONE, everybody_changed], ids=["removals", "everything"])
def test_a_held_night_changes_no_readers_answer(world: World, spoil: Any) -> None:
    reader = world.unseeded().standing(40).reader("A")
    paths = ("students", "classes", "enrollments", "demographics", "orgs", "users?limit=3")
    before = [(answer.status_code, answer.data) for answer in map(reader.read, paths)]
    assert world.deliver(plain(spoil)).state == "held"
    assert [(answer.status_code, answer.data) for answer in map(reader.read, paths)] == before
