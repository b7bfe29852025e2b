"""Laws of holds and undoing, over histories of nights: parts in any order, back and forth, and what readers see."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from gateway.flows import rosters
from tests.flows.test_roster_holds import everybody_changed, release
from tests.flows.test_roster_nights import CHANGES, NIGHTS, Change, night
from tests.flows.test_roster_projection import held
from tests.flows.test_roster_sync import THREE_GONE, second_person
from tests.flows.test_roster_sync import night as plain
from tests.refused.spoil import loose_ends
from tests.worlds import World

FEW = trials(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
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
    found, counts, _ = rosters.show(world.office, world.by.district, hold)
    return found.state == "open" and world.refs[org] in {row.ref for row in counts}


def back_again(world: World, nights: list[list[Change]]) -> None:
    """After any nights, undo to an earlier run gives what it left; and undo is undone by undo."""
    made, delivery, left = World(world.office, world.clock, like=world).unseeded().onboard("A", "B"), night(), []
    for changes in ([], *nights):
        for change in changes:
            change(delivery)
        made.clock.forward(hours=1)
        last = made.bring(delivery)
        made.clock.forward(hours=1)
        left.append((last.run, held(made)))
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


@pytest.mark.parametrize("spoil", [THREE_GONE, everybody_changed], ids=["removals", "everything"])
def test_a_held_night_changes_no_readers_answer(world: World, spoil: Any) -> None:
    reader = world.unseeded().standing(40).reader("A")
    paths = ("students", "classes", "enrollments", "demographics", "orgs", "users?limit=3")
    before = [(answer.status_code, answer.data) for answer in map(reader.read, paths)]
    assert world.deliver(plain(spoil)).state == "held"
    assert [(answer.status_code, answer.data) for answer in map(reader.read, paths)] == before
