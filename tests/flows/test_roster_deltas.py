"""Deltas: what a delivery names is changed, what it marks is removed, and absence means nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from gateway.flows.rosters import Report
from tests.deliveries import Delivery, Row, two_schools
from tests.refused.spoil import content, holdings, live, loose_ends
from tests.worlds import World

PUPILS = 40
BEGAN = datetime(2026, 10, 1, 8, 0, tzinfo=UTC)


@pytest.fixture
def standing(world: World) -> World:
    return world.unseeded().standing(PUPILS)


def at(day: int) -> str:
    return (BEGAN + timedelta(days=day)).strftime("%Y-%m-%dT%H:%M:%SZ")


def delta(*rows: tuple[str, Row], day: int = 1, version: str = "1.2") -> Delivery:
    """A delivery of these rows alone: (file, cells); active since a day, unless they say otherwise."""
    made = Delivery(version)
    made.rows.clear()
    for file, cells in rows:
        made.rows.setdefault(file, []).append({"status": "active", "dateLastModified": at(day)} | cells)
    return made.as_delta(*made.rows)


def pupil(sourced_id: str, **cells: str) -> tuple[str, Row]:
    return "users.csv", {**two_schools(PUPILS).row("users.csv", sourced_id), **cells}


def gone(file: str, sourced_id: str, **cells: str) -> tuple[str, Row]:
    return file, {"sourcedId": sourced_id, "status": "tobedeleted", **cells}


def told(report: Report) -> list[tuple[str, int, str, str, str]]:
    return [(f.file, f.line, f.column, f.code, f.effect) for f in report.faults]


def of(world: World, *schools: str) -> dict[tuple[str, str, str], object]:
    return {key: content(row) for key, row in live(world, *schools).items()}


# --- what a delta does -----------------------------------------------------------------------------


def test_a_delta_changes_what_it_names_and_nothing_else(standing: World) -> None:
    before = of(standing)
    report = standing.deliver(delta(pupil("p4", givenName="Renée")))
    assert (report.state, report.faults) == ("published", [])
    assert [(f["file"], f["mode"], f["rows"], f["accepted"]) for f in report.files] == [("users.csv", "delta", 1, 1)]
    after = of(standing)
    assert after["A", "user", "p4"]["given_name"] == "Renée"
    assert {key: row for key, row in after.items() if key[2] != "p4"} == {
        key: row for key, row in before.items() if key[2] != "p4"
    }


def test_a_removal_takes_what_hangs_on_the_record(standing: World) -> None:
    report = standing.deliver(delta(gone("users.csv", "p2"), gone("demographics.csv", "p2")))
    assert report.state == "published"
    assert {key[2] for key in live(standing, "A")} & {"p2", "e.kA.p2"} == set()
    assert ("B", "user", "p3") in live(standing)
    assert {f.code for f in report.faults if f.effect == "removed"} == {"CSV_REFERENCE"}
    assert loose_ends(standing) == []


def test_a_delta_brings_what_is_new_and_refers_to_what_was_accepted(standing: World) -> None:
    new = Delivery().person("new", "student", "A").enroll("new", "kA", "A")
    rows = [(file, row) for file, rows in new.rows.items() for row in rows]
    report = standing.deliver(delta(*rows))
    assert (report.state, report.faults) == ("published", [])
    assert {key for key in live(standing, "A") if "new" in key[2]} == {
        ("A", "user", "new"), ("A", "enrollment", "e.kA.new")
    }  # fmt: skip


def test_a_delta_that_refers_to_nowhere_costs_that_row(standing: World) -> None:
    row = {"sourcedId": "e1", "classSourcedId": "kZ", "schoolSourcedId": "A", "userSourcedId": "p2", "role": "student"}
    report = standing.deliver(delta(("enrollments.csv", row)))
    assert told(report) == [("enrollments.csv", 2, "classSourcedId", "CSV_REFERENCE", "row")]


def test_the_same_delta_again_changes_nothing(standing: World) -> None:
    again = delta(pupil("p4", givenName="Renée"), gone("enrollments.csv", "e.kA.p2"))
    assert standing.deliver(again).state == "published"
    before = holdings(standing)
    report = standing.deliver(again)
    assert (report.state, report.faults) == ("unchanged", [])
    assert [(f["file"], f["unchanged"]) for f in report.files] == [("users.csv", 1), ("enrollments.csv", 0)]
    assert holdings(standing) == before


def test_nothing_but_a_manifest_is_no_change(standing: World) -> None:
    before = holdings(standing)
    assert standing.deliver(delta()).state == "unchanged"
    assert holdings(standing) == before


def test_a_first_delivery_may_be_a_delta(world: World) -> None:
    fresh, bulk = World(world.office, world.clock, like=world).onboard("A", "B"), two_schools(6)
    rows = [(file, row) for file, rows in bulk.rows.items() for row in rows]
    assert fresh.unseeded().deliver(delta(*rows)).state == "published"
    world.unseeded().onboard("A", "B").deliver(bulk)
    assert of(fresh) == of(world)


def test_bulk_and_delta_may_be_mixed_file_by_file(standing: World) -> None:
    """Of the bulk file, what is absent is gone; of the delta file, it is not."""
    mixed = two_schools(PUPILS).without("demographics.csv", "p4")
    mixed.rows = {name: mixed.rows[name] for name in ("users.csv", "demographics.csv")}
    row = {"sourcedId": "e.kA.p2", "status": "tobedeleted", "dateLastModified": at(1)}
    mixed.rows["enrollments.csv"] = [row]
    report = standing.deliver(mixed.as_delta("enrollments.csv"))
    assert report.state == "published", report.as_dict()
    left = live(standing)
    assert ("A", "demographics", "p4") not in left
    assert ("A", "enrollment", "e.kA.p2") not in left
    assert ("A", "enrollment", "e.kA.p4") in left
    assert ("A", "class", "kA") in left


def test_a_bulk_delivery_after_deltas_is_the_reference_again(standing: World) -> None:
    before = of(standing)
    standing.deliver(delta(pupil("p4", givenName="Renée"), gone("users.csv", "p2")))
    assert of(standing) != before
    standing.deliver(two_schools(PUPILS))
    assert of(standing) == before


def test_a_guard_holds_a_delta_too(standing: World) -> None:
    report = standing.deliver(delta(*(gone("enrollments.csv", f"e.kA.p{n}") for n in range(0, PUPILS, 2))))
    assert (report.state, report.code) == ("held", "SRC_HELD")


# --- the order of moments --------------------------------------------------------------------------


def test_what_is_older_than_what_was_accepted_changes_nothing(standing: World) -> None:
    standing.deliver(delta(pupil("p4", givenName="Newer"), day=3))
    report = standing.deliver(delta(pupil("p4", givenName="Older"), day=2))
    assert (report.state, told(report)) == (
        "unchanged", [("users.csv", 2, "dateLastModified", "CSV_DELTA_OUTDATED", "noted")]
    )  # fmt: skip
    assert live(standing)["A", "user", "p4"].given_name == "Newer"


def test_what_is_older_than_a_removal_does_not_bring_the_record_back(standing: World) -> None:
    standing.deliver(delta(gone("users.csv", "p2"), day=3))
    assert standing.deliver(delta(pupil("p2"), day=2)).state == "unchanged"
    assert ("A", "user", "p2") not in live(standing)
    back = [row for row in two_schools(PUPILS).rows["roles.csv"] if row["userSourcedId"] == "p2"]
    standing.deliver(delta(pupil("p2"), *(("roles.csv", row) for row in back), day=4))
    assert ("A", "user", "p2") in live(standing)


def test_a_removal_that_comes_before_the_record_is_remembered(standing: World) -> None:
    report = standing.deliver(delta(gone("users.csv", "late"), day=3))
    assert told(report) == [("users.csv", 2, "sourcedId", "CSV_DELTA_UNKNOWN", "noted")]
    new = Delivery().person("late", "student", "A")
    rows = [(file, row) for file, rows in new.rows.items() for row in rows]
    standing.deliver(delta(*rows, day=2))
    assert ("A", "user", "late") not in live(standing)


def test_the_same_content_at_a_later_moment_is_remembered_as_of_then(standing: World) -> None:
    standing.deliver(delta(pupil("p4", givenName="Renée"), day=1))
    assert standing.deliver(delta(pupil("p4", givenName="Renée"), day=3)).state == "unchanged"
    standing.deliver(delta(pupil("p4", givenName="Between"), day=2))
    assert live(standing)["A", "user", "p4"].given_name == "Renée"


def test_a_moment_still_to_come_is_not_believed(standing: World) -> None:
    report = standing.deliver(delta(pupil("p4", givenName="Future", dateLastModified="2999-01-01T00:00:00Z")))
    assert told(report) == [("users.csv", 2, "dateLastModified", "CSV_DELTA_FUTURE", "value")]
    standing.clock.forward(days=1)
    today = standing.clock.at.isoformat()
    standing.deliver(delta(pupil("p4", givenName="Today", dateLastModified=today)))
    assert live(standing)["A", "user", "p4"].given_name == "Today"


def test_of_two_rows_of_a_record_the_newer_counts(standing: World) -> None:
    twice = delta(pupil("p4", givenName="Old", dateLastModified=at(1)), pupil("p4", givenName="New"), day=2)
    report = standing.deliver(twice)
    assert told(report) == [("users.csv", 2, "sourcedId", "CSV_ID_TWICE", "row")]
    assert live(standing)["A", "user", "p4"].given_name == "New"


STATES = st.lists(st.sampled_from(["Ana", "Bea", ""]), min_size=2, max_size=3)


@trials(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(states=STATES)
def test_deltas_end_alike_in_whatever_order_they_come(world: World, states: list[str]) -> None:
    """Each delta gives two records the state of its day; "" removes them."""
    ends = []
    deltas = [delta(*of_day(name, day), day=day) for day, name in enumerate(states)]
    for order in permutations(deltas):
        one = World(world.office, world.clock, like=world).unseeded().standing(12)
        for delivery in order:
            one.deliver(delivery)
        ends.append(of(one))
    assert all(end == ends[0] for end in ends)


def of_day(name: str, day: int) -> Iterable[tuple[str, Row]]:
    seat = {"sourcedId": "e.kB.x", "classSourcedId": "kB", "schoolSourcedId": "B", "userSourcedId": "p1"}
    if not name:
        return [gone("demographics.csv", "p1"), gone("enrollments.csv", "e.kB.x")]
    return [
        ("demographics.csv", {"sourcedId": "p1", "cityOfBirth": name}),
        ("enrollments.csv", {**seat, "role": "student", "beginDate": f"2026-10-{day + 1:02}"}),
    ]


# --- bulk or delta, when manifest and rows differ ----------------------------------------------------


def test_rows_that_are_a_delta_count_as_one_whatever_the_manifest_says(standing: World) -> None:
    before, said = of(standing), two_schools(PUPILS)
    for name in said.rows:
        said.rows[name] = [row | {"status": "active", "dateLastModified": at(1)} for row in said.rows[name][:9]]
    report = standing.deliver(said)
    assert {(f.code, f.effect) for f in report.faults} == {("CSV_MODE_CONTRADICTED", "noted")}
    assert (report.state, {f["mode"] for f in report.files}) == ("unchanged", {"delta"})
    assert of(standing) == before


def test_rows_that_are_bulk_count_as_bulk_whatever_the_manifest_says(standing: World) -> None:
    report = standing.deliver(two_schools(PUPILS).without("demographics.csv", "p4").as_delta("demographics.csv"))
    assert [f.code for f in report.faults] == ["CSV_MODE_CONTRADICTED"]
    assert ("A", "demographics", "p4") not in live(standing)


@pytest.mark.parametrize(
    ("cells", "column", "code"),
    [
        ({"status": ""}, "status", "CSV_DELTA_INCOMPLETE"),
        ({"dateLastModified": ""}, "dateLastModified", "CSV_DELTA_INCOMPLETE"),
        ({"status": "inactive"}, "status", "CSV_VALUE_VOCABULARY"),
        ({"status": "Active"}, "status", "CSV_VALUE_VOCABULARY"),
        ({"dateLastModified": "2026-10-01"}, "dateLastModified", "CSV_VALUE_TYPE"),
        ({"dateLastModified": "2026-10-01T08:00:00"}, "dateLastModified", "CSV_VALUE_TYPE"),
        ({"dateLastModified": "2026-13-01T08:00:00Z"}, "dateLastModified", "CSV_VALUE_TYPE"),
        ({"dateLastModified": "0001-01-01T00:00:00+14:00"}, "dateLastModified", "CSV_VALUE_TYPE"),
        ({"status": "tobedeleted", "sourcedId": "p 4"}, "sourcedId", "CSV_ID"),
    ],
)
def test_a_delta_row_says_what_became_of_the_record_and_when(
    standing: World, cells: Row, column: str, code: str
) -> None:
    before = of(standing)
    report = standing.deliver(delta(pupil("p5"), pupil("p4", givenName="Renée", **cells)))
    assert told(report) == [("users.csv", 3, column, code, "row")]
    assert of(standing) == before


# --- OneRoster 1.1 ---------------------------------------------------------------------------------


def test_a_user_of_1p1_says_all_its_roles(world: World) -> None:
    bulk = Delivery("1.1").frame("A", "B").class_("kA", "A").class_("kB", "B")
    for n in range(20):
        bulk.person(f"p{n}", "student", "A", "B").enroll(f"p{n}", "kA", "A")
    bulk.person("t", "teacher", "A").enroll("t", "kA", "A", "teacher")
    world.unseeded().onboard("A", "B").deliver(bulk)
    row = bulk.row("users.csv", "p1")
    world.deliver(delta(("users.csv", row | {"orgSourcedIds": "A"}), version="1.1"))
    assert {key[0] for key in live(world) if key[2] == "p1"} == {"A"}
    world.deliver(delta(("users.csv", row | {"status": "inactive"}), day=2, version="1.1"))
    assert {key for key in live(world) if key[2] == "p1"} == set()
    assert {key[0] for key in live(world) if key[2] == "p2"} == {"A", "B"}
