"""Holds: what comes and changes goes on, what is too much waits for a second person, and nothing is lost by it."""

from __future__ import annotations

import threading
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from gateway import errors
from gateway.embedded import Addresses
from gateway.errors import Refused
from gateway.flows import on_file, rosters
from gateway.flows.rosters import timetable
from gateway.store import absences, history, holds, rights, runs, sources, tables
from gateway.store.staging import Staging
from gateway.store.tenant import Database
from tests.deliveries import Delivery
from tests.flows.test_roster_sync import PUPILS, THREE_GONE, gone, night, of, only_if, second_person, versions
from tests.refused import spoil as to
from tests.refused.spoil import content, holdings, live, loose_ends
from tests.worlds import World


@pytest.fixture
def standing(world: World) -> World:
    return world.unseeded().standing(PUPILS)


def everybody_changed(delivery: Delivery) -> None:
    for row in delivery.rows["users.csv"]:
        row["email"] = f"new.{row['sourcedId']}@pupils.example"


def years_roll(delivery: Delivery) -> None:
    """The export of the next school year: new sessions, classes and enrollments for all who stay."""
    for file, columns in {
        "academicSessions.csv": ("sourcedId", "parentSourcedId"),
        "courses.csv": ("schoolYearSourcedId",),
        "classes.csv": ("sourcedId", "termSourcedIds"),
        "enrollments.csv": ("sourcedId", "classSourcedId"),
    }.items():
        for row in delivery.rows[file]:
            row.update({name: f"{row[name]}.27" for name in columns if row.get(name)})


def renumbered(delivery: Delivery, people: int = 1000) -> None:
    """The source gives people new ids; user names stay."""
    new = {row["sourcedId"]: f"n.{row['sourcedId']}" for row in delivery.rows["users.csv"][:people]}
    for rows in delivery.rows.values():
        for row in rows:
            for column in ("sourcedId", "userSourcedId"):
                row[column] = new.get(row.get(column, ""), row.get(column, ""))


def rekeyed(people: int) -> to.Spoil:
    """A few people come again under new ids, and every row about them does."""

    def spoil(delivery: Delivery) -> None:
        renumbered(delivery, people)
        for file in ("roles.csv", "enrollments.csv"):
            for row in delivery.rows[file]:
                row["sourcedId"] += ".n" if row["userSourcedId"].startswith("n.") else ""

    return spoil


def release(world: World, hold: str, second: str, *schools: str, rows: tuple[tuple[str, str], ...] = ()) -> Any:
    refs = tuple(world.refs[org] for org in schools)
    return rosters.release(world.office, world.by.district, hold, second, refs, rows)


def held_rows(world: World, hold: str) -> dict[tuple[str, str], str]:
    _, _, rows = rosters.show(world.office, world.by, hold)
    return {(row.kind, row.sourced_id): row.cause for row in rows}


def hold_of(world: World, ref: str) -> Any:
    return rosters.show(world.office, world.by, ref)[0]


def bodies(world: World) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {at: content(row) for at, row in live(world).items()}


# --- additions flow while removals wait ------------------------------------------------------------


def test_what_comes_and_changes_flows_while_what_goes_waits(standing: World) -> None:
    before = live(standing)
    tonight = night(THREE_GONE, to.cells("users.csv", "p8", givenName="New")).person("new", "student", "A")
    report = standing.deliver(tonight.enroll("new", "kA", "A"))
    assert (report.state, report.code, report.published) == ("held", "SRC_HELD", True)
    after = live(standing)
    assert after.keys() - before.keys() == {("A", "user", "new"), ("A", "enrollment", "e.kA.new")}
    assert before.keys() <= after.keys()
    assert after["A", "user", "p8"].given_name == "New"
    assert loose_ends(standing) == []
    assert report.schools[0]["waiting"] == {"user": 3, "role": 3, "enrollment": 3, "demographics": 3}
    assert versions(standing) == {"A": 2, "B": 1}


def test_what_waits_is_neither_lost_nor_repeated_by_the_next_night(standing: World) -> None:
    first = standing.deliver(night(THREE_GONE))
    waits = held_rows(standing, first.hold["hold"])
    again = standing.deliver(night(THREE_GONE, to.cells("users.csv", "p8", givenName="New")))
    assert (again.state, again.hold, again.held_by) == ("published", None, [])
    assert held_rows(standing, first.hold["hold"]) == waits
    assert standing.deliver(night(THREE_GONE, to.cells("users.csv", "p8", givenName="New"))).state == "unchanged"
    assert ("A", "user", "p2") in live(standing)
    second = second_person(standing)
    assert release(standing, first.hold["hold"], second).state == "published"
    assert not [at for at in live(standing) if {"p2", "p4", "p6"} & set(at[2].split("."))]


def test_what_comes_back_waits_no_longer(standing: World) -> None:
    before, hold = bodies(standing), standing.deliver(night(THREE_GONE)).hold["hold"]
    standing.deliver(night(gone("p2")))
    assert {at[1].split(".")[-1] for at in held_rows(standing, hold) if at[0] == "user"} == {"p2"}
    assert standing.deliver(night()).state == "unchanged"
    assert hold_of(standing, hold).state == "healed"
    assert bodies(standing) == before


def test_a_bad_row_of_what_waits_is_there_again(standing: World) -> None:
    hold = standing.deliver(night(THREE_GONE)).hold["hold"]
    standing.deliver(night(gone("p4", "p6"), to.cells("users.csv", "p2", enabledUser="TRUE")))
    assert ("user", "p2") not in held_rows(standing, hold)
    assert ("A", "user", "p2") in live(standing)


def test_what_comes_back_beside_a_line_that_cannot_be_told_waits_no_longer(standing: World) -> None:
    hold = standing.deliver(night(THREE_GONE)).hold["hold"]
    back = night(gone("p4"), to.cells("users.csv", "p2", givenName="Back"))
    back.raw["users.csv"] = back.files()["users.csv"].replace(b"p6,,,true", b"\xff")
    assert standing.deliver(back).state == "published"
    assert ("user", "p2") not in held_rows(standing, hold)
    release(standing, hold, second_person(standing))
    assert live(standing)["A", "user", "p2"].given_name == "Back"


def test_later_removals_of_a_waiting_school_flow_and_leave_no_loose_end(standing: World) -> None:
    """The class that members of it wait with goes alone: they go with it."""
    hold = standing.deliver(night(THREE_GONE).class_("kA2", "A")).hold["hold"]
    report = standing.deliver(night(gone("p2", "p4", "p6", "p8")))
    assert report.state == "published"
    assert ("A", "user", "p8") not in live(standing)
    assert ("A", "user", "p2") in live(standing)
    assert loose_ends(standing) == []
    assert hold_of(standing, hold).state == "open"


def test_a_change_guard_holds_all(standing: World) -> None:
    before = holdings(standing)
    report = standing.deliver(night(everybody_changed).person("new", "student", "A"))
    assert (report.state, report.code, report.published, report.hold["kind"]) == (
        "held",
        "SRC_HELD",
        False,
        "everything",
    )
    assert holdings(standing) == before
    assert release(standing, report.hold["hold"], second_person(standing)).state == "published"
    assert live(standing)["A", "user", "p2"].email == "new.p2@pupils.example"
    assert ("A", "user", "new") in live(standing)
    assert standing.deliver(night(everybody_changed).person("new", "student", "A")).state == "unchanged"


def test_removals_that_are_moves_hold_all(standing: World) -> None:
    """Half a school's classes and people are said to be at the other one: nothing of that can wait by itself."""

    def moved(delivery: Delivery) -> None:
        for file in ("roles.csv", "enrollments.csv", "classes.csv"):
            for row in delivery.rows[file]:
                for column in ("orgSourcedId", "schoolSourcedId"):
                    if row.get(column) == "A":
                        row[column] = "B"

    before = holdings(standing)
    report = standing.deliver(night(moved))
    assert (report.state, report.hold["kind"]) == ("held", "everything")
    assert holdings(standing) == before
    fresh = World(standing.office, standing.clock, like=standing).onboard("A", "B")
    fresh.deliver(night(moved))
    assert release(standing, report.hold["hold"], second_person(standing)).state == "published"
    assert bodies(standing) == bodies(fresh)


def test_a_first_delivery_that_is_held_can_be_released(world: World) -> None:
    world.unseeded().onboard("A", "B")
    lost = night(only_if("users.csv", lambda row: not row["sourcedId"].endswith(tuple("13579"))))
    report = world.deliver(lost)
    assert (report.state, report.hold["kind"]) == ("held", "everything")
    assert live(world) == {}
    released = release(world, report.hold["hold"], second_person(world))
    assert (released.state, versions(world)) == ("published", {"A": 1, "B": 1})
    assert loose_ends(world) == []
    assert world.deliver(lost).state == "unchanged"


# --- by school, by row, once -----------------------------------------------------------------------

BOTH = gone("p2", "p4", "p6", "p1", "p3", "p7", "p0")


def test_a_hold_is_released_by_school(standing: World) -> None:
    """p0 is at both schools: released at one, they leave that one."""
    hold, before = standing.deliver(night(BOTH)).hold["hold"], holdings(standing)
    second = second_person(standing)
    report = release(standing, hold, second, "A")
    assert (report.state, versions(standing)) == ("published", {"A": 2, "B": 1})
    assert of(holdings(standing), "B") == of(before, "B")
    assert not [at for at in live(standing, "A") if {"p0", "p2", "p4", "p6"} & set(at[2].split("."))]
    assert ("B", "user", "p0") in live(standing)
    assert hold_of(standing, hold).state == "open"
    assert standing.deliver(night(BOTH)).state == "unchanged"
    assert release(standing, hold, second, "B").hold["waiting"] == 0
    assert not [at for at in live(standing) if {"p0", "p1", "p3", "p7"} & set(at[2].split("."))]
    assert standing.deliver(night(BOTH)).state == "unchanged"
    assert loose_ends(standing) == []


def test_a_hold_is_released_by_row_with_what_hangs_on_it(standing: World) -> None:
    hold, second = standing.deliver(night(THREE_GONE)).hold["hold"], second_person(standing)
    release(standing, hold, second, rows=(("user", "p2"),))
    assert not [at for at in live(standing) if "p2" in at[2].split(".")]
    assert ("A", "user", "p4") in live(standing)
    assert {at[1].split(".")[1 if at[0] == "role" else -1] for at in held_rows(standing, hold)} == {"p4", "p6"}
    assert loose_ends(standing) == []
    with pytest.raises(Refused) as refused:
        release(standing, hold, second, rows=(("user", "p2"),))
    assert refused.value.reason is errors.REQ_UNKNOWN


@pytest.mark.parametrize("order", [("A", "B"), ("B", "A")])
def test_parts_in_any_order_are_the_whole(standing: World, order: tuple[str, str]) -> None:
    def changed(delivery: Delivery) -> None:
        everybody_changed(delivery)
        delivery.person("gN", "guardian", "A").person("new", "student", "A", "B", agentSourcedIds="gN")
        delivery.class_("kN", "B").enroll("new", "kN", "B").enroll("new", "kA", "A")
        delivery.row("classes.csv", "kN")["termSourcedIds"] = "tN"
        delivery.add("academicSessions.csv", **(delivery.row("academicSessions.csv", "t") | {"sourcedId": "tN"}))
        gone("p3")(delivery)

    hold, second = standing.deliver(night(changed)).hold["hold"], second_person(standing)
    there = bodies(standing)
    release(standing, hold, second, order[0])
    for at, body in bodies(standing).items():
        assert at[0] == order[0] or at[1] == "session" or there[at] == body, at
    assert loose_ends(standing) == []
    assert release(standing, hold, second, order[1]).hold["waiting"] == 0
    fresh = World(standing.office, standing.clock, like=standing).onboard("A", "B")
    fresh.deliver(night(changed))
    assert bodies(standing) == bodies(fresh)
    assert standing.deliver(night(changed)).state == "unchanged"


def test_two_at_once_and_one_wins(standing: World) -> None:
    hold, second = standing.deliver(night(THREE_GONE)).hold["hold"], second_person(standing)
    barrier, ended = threading.Barrier(2), []

    def one() -> None:
        barrier.wait()
        try:
            ended.append(release(standing, hold, second).state)
        except Refused as refused:
            ended.append(refused.reason.code)

    both = [threading.Thread(target=one) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(ended, key=str.islower) in (["SRC_HOLD_OVER", "published"], ["SRC_BUSY", "published"])
    assert versions(standing) == {"A": 2, "B": 1}


def test_a_hold_expires_and_the_next_delivery_is_judged_anew(standing: World) -> None:
    hold = standing.deliver(night(THREE_GONE)).hold["hold"]
    standing.clock.forward(days=14)
    with pytest.raises(Refused) as refused:
        release(standing, hold, second_person(standing))
    assert refused.value.reason is errors.SRC_HOLD_OVER
    again = standing.deliver(night(THREE_GONE))
    assert (again.state, hold_of(standing, hold).state) == ("held", "expired")
    assert again.hold["hold"] != hold


def test_a_delivery_is_staged_where_a_temporary_table_was_in_use_before(standing: World, addresses: Addresses) -> None:
    """As on a worker's connection on which rosters were forgotten, or a hold discarded, before anything was brought
    in."""
    with closing(Database(addresses.application)) as fresh, fresh.open_intake(standing.by.district) as session:
        history.forget(session, standing.clock.at)
        assert not Staging(session, sources.number(session, standing.source)).first


def test_a_discarded_hold_is_forgotten(standing: World) -> None:
    hold, before = standing.deliver(night(THREE_GONE)).hold["hold"], live(standing)
    assert rosters.discard(standing.office, standing.by.district, hold, standing.by.ref, rows=(("user", "p2"),)) > 0
    assert rosters.discard(standing.office, standing.by.district, hold, standing.by.ref) == 0
    assert hold_of(standing, hold).state == "discarded"
    assert live(standing) == before
    assert standing.deliver(night(THREE_GONE)).state == "held"


def test_a_later_delivery_overtakes_a_hold_of_everything(standing: World) -> None:
    hold = standing.deliver(night(everybody_changed)).hold["hold"]
    assert standing.deliver(night()).state == "unchanged"
    with pytest.raises(Refused) as refused:
        release(standing, hold, second_person(standing))
    assert "superseded" in refused.value.detail


@pytest.mark.parametrize(
    ("schools", "rows", "code"),
    [(("Nowhere",), (), "REQ_UNKNOWN"), ((), (("pupil", "p2"),), "REQ_INVALID"),
     ((), (("user", "nobody"),), "REQ_UNKNOWN")],
)  # fmt: skip
def test_a_part_that_is_not_there_is_refused(standing: World, schools: Any, rows: Any, code: str) -> None:
    hold, before = standing.deliver(night(THREE_GONE)).hold["hold"], holdings(standing)
    with pytest.raises(Refused) as refused:
        rosters.release(standing.office, standing.by.district, hold, second_person(standing), schools, rows)
    assert refused.value.reason.code == code
    assert holdings(standing) == before


def test_a_hold_that_is_not_there_is_refused(standing: World) -> None:
    with pytest.raises(Refused) as refused:
        release(standing, "hold_0000000000000000", standing.by.ref)
    assert refused.value.reason is errors.REQ_UNKNOWN


# --- new ids, new years ----------------------------------------------------------------------------


def test_people_who_were_renumbered_are_held_for_a_review(standing: World) -> None:
    before = holdings(standing)
    report = standing.deliver(night(renumbered))
    assert (report.state, report.code, report.published) == ("held", "SRC_REKEYED", False)
    assert report.rekeyed == {"email": 42}
    assert report.absences["re-keyed"]["user"] == 42
    assert "source-deleted" not in report.absences
    assert holdings(standing) == before
    hold = hold_of(standing, report.hold["hold"])
    assert hold.review["rekeyed"] == {"email": 42}
    assert set(held_rows(standing, hold.hold).values()) == {"re-keyed", ""}


def test_a_renumbering_that_is_released_takes_refusals_along_and_nothing_else(standing: World) -> None:
    hold = standing.deliver(night(renumbered)).hold["hold"]
    from gateway.store import tables

    with standing.office.database.open_school(standing.places["A"]) as session:
        session.insert(tables.opt_out, opt_out="co_00000001", version=1, person_id="p2", category=None, status="active",
                       valid_from=standing.clock.at, valid_until=None, body={}, recorded_at=standing.clock.at,
                       recorded_by=standing.by.ref)  # fmt: skip
    release(standing, hold, second_person(standing), "A")
    with standing.office.database.open_school(standing.places["A"]) as session:
        assert [row.status for row in rights.opt_outs(session, "n.p2")] == ["active"]
        assert len(rights.opt_outs(session, "p2")) == 1
        assert not rights.opt_outs(session, "n.p4")
    assert [entry["outcome"] for entry in standing.ledger("A") if entry["type"] == "consent"] == ["recorded"]
    standing.canaries.nowhere("a hold", f"{hold_of(standing, hold)}")
    assert {at[2][:2] for at in live(standing, "A") if at[1] == "user"} == {"n."}


def test_a_few_people_under_new_ids_wait_under_the_old_ones(standing: World) -> None:
    before = live(standing)
    report = standing.deliver(night(rekeyed(3)))
    assert (report.state, report.code, report.hold["kind"]) == ("held", "SRC_REKEYED", "removals")
    assert before.keys() <= live(standing).keys()
    assert ("A", "user", "n.p0") in live(standing)
    assert set(held_rows(standing, report.hold["hold"]).values()) == {"re-keyed"}
    assert standing.deliver(night(rekeyed(3))).state == "unchanged"
    release(standing, report.hold["hold"], second_person(standing))
    assert ("A", "user", "p0") not in live(standing)
    assert loose_ends(standing) == []


def test_a_new_school_year_is_reviewed_as_a_roll_over(standing: World) -> None:
    before, report = holdings(standing), standing.deliver(night(years_roll))
    assert (report.state, report.code, report.hold["kind"]) == ("held", "SRC_ROLLOVER", "everything")
    assert {trip["guard"] for trip in report.held_by} >= {"rollover"}
    assert set(report.absences) == {"roll-over"}
    assert holdings(standing) == before
    assert release(standing, report.hold["hold"], second_person(standing)).state == "published"
    assert {at[2] for at in live(standing, "A") if at[1] == "class"} == {"kA.27"}
    assert loose_ends(standing) == []


def test_nothing_of_a_paused_source_is_released_but_an_undo(standing: World) -> None:
    second, office, by = second_person(standing), standing.office, standing.by
    hold = standing.deliver(night(everybody_changed)).hold["hold"]
    timetable.pause(office, by, "sis", "year end", None, None)
    before = live(standing)
    with pytest.raises(Refused, match="SRC_PAUSED"):
        release(standing, hold, second)
    assert live(standing) == before
    timetable.resume(office, by, "sis")
    assert release(standing, hold, second).state == "published"
    timetable.pause(office, by, "sis", "look at it first", None, None)
    back = rosters.undo(office, by.district, standing.source, by.ref, publish=True)
    assert (back.state, release(standing, back.hold["hold"], second).state) == ("held", "published")
    assert bodies(standing) == {at: content(row) for at, row in before.items()}


def test_a_row_that_does_not_wait_releases_none_of_those_that_were_named_with_it(standing: World) -> None:
    report = standing.deliver(night(THREE_GONE))
    before, second = live(standing), second_person(standing)
    with pytest.raises(Refused, match="user:frog does not wait in this hold"):
        release(standing, report.hold["hold"], second, rows=(("user", "p2"), ("user", "frog")))
    with pytest.raises(Refused, match="class:kA does not wait in this hold"):
        release(standing, report.hold["hold"], second, rows=(("class", "kA"),))
    assert live(standing) == before
    assert len(held_rows(standing, report.run)) == 12


# --- why a row is missing --------------------------------------------------------------------------


def kinds_of(world: World, run: str) -> dict[tuple[str, str], str]:
    with world.office.database.open_intake(world.by.district) as session:
        return {(row.kind, row.sourced_id): row.cause for row in absences.of_run(session, run, 100)}


def test_every_missing_row_has_its_cause(standing: World) -> None:
    report = standing.deliver(night(gone("p2"), to.cells("users.csv", "p4", enabledUser="TRUE")))
    assert report.absences == {
        "quarantined": {"user": 1}, "source-deleted": {"demographics": 1, "enrollment": 1, "role": 1, "user": 1},
    }  # fmt: skip
    found = kinds_of(standing, report.run)
    assert (found["user", "p4"], found["user", "p2"], found["enrollment", "e.kA.p2"]) == (
        "quarantined", "source-deleted", "source-deleted",
    )  # fmt: skip


def test_what_an_incomplete_delivery_lacks_is_cut_off(standing: World) -> None:
    report = standing.deliver(night(gone("p2")), folder=True)
    assert report.absences == {"cut-off": {"demographics": 1, "enrollment": 1, "role": 1, "user": 1}}
    hidden = night(gone("p4"))
    hidden.raw["users.csv"] = hidden.files()["users.csv"].replace(b"p6,,,true", b"\xff")
    report = standing.deliver(hidden)
    assert report.absences["cut-off"] == {"user": 2}


def test_what_is_gone_of_a_school_without_an_agreement_is_filtered(world: World) -> None:
    world.unseeded().onboard("A").onboard("B", covered=False)
    world.agree("Other", "sis", ("SNM",), ("roster.import",), ("rostering",), schools=("B",), directed=False)
    world.deliver(night())
    on_file.end(world.office, world.by, "agreement", world.agreements["Other"])
    world.clock.forward(days=1)
    report = world.deliver(night(gone("p1")))
    assert report.absences == {"filtered": {"demographics": 1, "enrollment": 1, "role": 1, "user": 1}}
    assert ("B", "user", "p1") in live(world)


# --- one school's hold and the other's roster ------------------------------------------------------


def test_a_hold_at_one_school_keeps_nothing_of_another_back(world: World, clock: Any) -> None:
    """School B sees the same night, whether a guard trips at A or not."""
    alone = World(world.office, world.clock, like=world.unseeded()).unseeded().standing(PUPILS)
    world.standing(PUPILS)
    assert alone.deliver(night(gone("p1", "p0"))).state == "published"
    assert world.deliver(night(gone("p1", "p0"), gone("p2", "p4", "p6", "p8"))).state == "held"
    ours, theirs = ({at: content(row) for at, row in live(one, "B").items()} for one in (world, alone))
    assert ours == theirs
    assert ("A", "user", "p0") in live(world)


# --- what a source may change by itself -------------------------------------------------------------


def test_a_source_may_be_allowed_more_within_bounds(standing: World) -> None:
    with standing.office.database.open_district(standing.by.district) as session:
        sources.set_guards(session, standing.source, {"removed": 0.2, "by": standing.by.ref})
    assert standing.deliver(night(THREE_GONE)).state == "published"


# --- a plan ----------------------------------------------------------------------------------------


def test_a_plan_says_what_would_wait_and_changes_nothing(standing: World) -> None:
    standing.reader("A")
    before = holdings(standing)
    plan = standing.deliver(night(THREE_GONE).person("new", "student", "A"), publish=False)
    assert (plan.state, plan.code) == ("planned", "SRC_HELD")
    assert plan.hold == {"kind": "removals", "waiting": 12}
    assert plan.schools[0]["same"]["user"] == 25
    assert [v["appear"] for v in plan.impact["vendors"]] == [1]
    assert holdings(standing) == before


def test_a_plan_says_which_linked_courses_lose_members(world: World) -> None:
    standing = world.unseeded().standing(PUPILS)
    with standing.office.database.open_school(standing.places["A"]) as session:
        session.insert(tables.context_link, deployment="dp_1", context_id="course-7", class_id="kA", services={},
                       linked_at=standing.clock.at, linked_by=standing.by.ref)  # fmt: skip
    plan = standing.deliver(night(gone("p2")), publish=False)
    assert plan.impact["courses"] == [
        {"school": standing.refs["A"], "course": "course-7", "class": "kA", "loses": "members", "members": 1}
    ]


def test_quarantined_rows_are_counted_at_their_schools(standing: World) -> None:
    plan = standing.deliver(night(to.cells("users.csv", "p0", enabledUser="TRUE")), publish=False)
    assert [school["quarantined"] for school in plan.schools] == [{"user": 1}, {"user": 1}]


def test_runs_and_holds_are_told_apart(standing: World) -> None:
    standing.deliver(night(THREE_GONE))
    with standing.office.database.open_intake(standing.by.district) as session:
        (found,) = holds.listing(session, standing.source, "open")
        assert found.expires_at == standing.clock.at + timedelta(days=14)
        assert runs.last_accepted(session, standing.source).state == "published"
