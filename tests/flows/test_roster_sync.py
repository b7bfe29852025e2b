"""Nights of a district: what a delivery changes, what it may not, and what each school holds of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import psycopg
import pytest
from psycopg import DatabaseError, sql

from gateway import errors
from gateway.errors import Refused
from gateway.flows import onboarding, rosters
from gateway.store import roster, sources
from tests.conftest import world_on
from tests.deliveries import Delivery, two_schools
from tests.refused import spoil as to
from tests.refused.spoil import bring, content, holdings, live, loose_ends
from tests.worlds import Steered, World

PUPILS = 40  # 25 people at each school: two may go, three are held


@pytest.fixture
def standing(world: World) -> World:
    return world.unseeded().standing(PUPILS)


def night(*spoils: to.Spoil) -> Delivery:
    made = two_schools(PUPILS)
    for spoil in spoils:
        spoil(made)
    return made


def gone(*people: str) -> to.Spoil:
    """These people left, with every row about them."""

    def spoil(delivery: Delivery) -> None:
        for name, rows in delivery.rows.items():
            delivery.rows[name] = [
                row for row in rows if not {row["sourcedId"], row.get("userSourcedId")} & set(people)
            ]  # fmt: skip

    return spoil


def only_if(file: str, keep: Callable[[dict[str, str]], bool]) -> to.Spoil:
    return lambda delivery: delivery.rows.update({file: [row for row in delivery.rows[file] if keep(row)]})


def versions(world: World) -> dict[str, int]:
    serving = {}
    for org, place in world.places.items():
        with world.office.database.open_school(place) as session:
            serving[org] = roster.current_version(session)
    return serving


@pytest.mark.parametrize(
    "twice",
    [
        to.row("users.csv", sourcedId="p3", enabledUser="true", username="u", givenName="Two", familyName="Two"),
        lambda delivery: delivery.rows["enrollments.csv"].append(dict(delivery.rows["enrollments.csv"][0])),
    ],
    ids=["another row", "the same row"],
)
def test_an_id_twice_in_a_first_delivery_costs_the_later_line_only(world: World, twice: to.Spoil) -> None:
    report = world.onboard("A", "B").deliver(night(twice))
    assert (report.state, [fault.code for fault in report.faults]) == ("published", ["CSV_ID_TWICE"])
    before = live(world)
    assert world.deliver(night()).state == "unchanged"
    assert live(world) == before


def filled_down(file: str, *ids: str) -> to.Spoil:
    """A spreadsheet filled the first of these ids down over the others."""

    def spoil(delivery: Delivery) -> None:
        for row in delivery.rows[file]:
            row["sourcedId"] = ids[0] if row["sourcedId"] in ids else row["sourcedId"]

    return spoil


@pytest.mark.parametrize(
    ("file", "ids", "kind"),
    [
        ("users.csv", ("p2", "p4"), "user"),
        ("roles.csv", ("r.p2.A", "r.p4.A"), "role"),
        ("enrollments.csv", ("e.kA.p2", "e.kA.p4"), "enrollment"),
        ("classes.csv", ("kA", "kB"), "class"),
    ],
)
def test_a_row_under_the_id_of_another_takes_nobody_away(
    standing: World, file: str, ids: tuple[str, str], kind: str
) -> None:
    before = live(standing)
    report = standing.deliver(night(filled_down(file, *ids), gone("p9")))
    assert [(f.file, f.code) for f in report.faults] == [(file, "CSV_ID_TWICE")]
    assert report.absences["quarantined"] == {kind: 1}
    assert report.absences["source-deleted"].keys() == {"user", "role", "enrollment", "demographics"}
    assert live(standing) == {at: row for at, row in before.items() if "p9" not in at[2]}


def test_a_row_under_the_id_of_another_that_also_changed_is_known_by_its_user_name(standing: World) -> None:
    before = live(standing)
    spoils = to.cells("users.csv", "p4", givenName="New"), filled_down("users.csv", "p2", "p4")
    assert standing.deliver(night(*spoils)).state == "unchanged"
    assert live(standing) == before


def test_who_is_missing_while_another_id_stands_twice_is_gone(standing: World) -> None:
    twice = to.row("users.csv", sourcedId="p3", enabledUser="true", username="u", givenName="Two", familyName="Two")
    report = standing.deliver(night(twice, gone("p9")))
    assert set(report.absences) == {"source-deleted"}


def of(held: dict[tuple[str, str], list], org: str) -> list:
    return [rows for (at, _), rows in held.items() if at == org]


# --- a plan, a night, an unchanged night -----------------------------------------------------------


def test_a_plan_changes_nothing(standing: World) -> None:
    before = holdings(standing)
    report = standing.deliver(night(gone("p2"), to.cells("users.csv", "p4", givenName="New")), publish=False)
    assert report.state == "planned"
    assert report.schools[0]["kinds"]["user"] == {"before": 25, "added": 0, "changed": 1, "removed": 1}
    assert holdings(standing) == before


def test_a_delivery_is_published(world: World) -> None:
    report = world.onboard("A", "B").deliver(two_schools(2))
    assert (report.state, report.faults, versions(world)) == ("published", [], {"A": 1, "B": 1})
    held = live(world)
    assert {at for org, kind, at in held if (org, kind) == ("A", "user")} == {"p0", "tA"}
    assert {at for org, kind, at in held if (org, kind) == ("B", "user")} == {"p0", "p1", "tB"}
    assert {at for org, kind, at in held if (org, kind) == ("A", "enrollment")} == {"e.kA.p0", "e.kA.tA"}
    assert {at for org, kind, at in held if (org, kind) == ("A", "org")} == {"A", "d"}
    assert {at for org, kind, at in held if (org, kind) == ("A", "class")} == {"kA"}
    assert {at for org, kind, at in held if (org, kind) == ("B", "demographics")} == {"p0", "p1"}
    assert {row.modified for row in held.values()} == {world.clock.at}
    assert [row.given_name for row in (held["A", "user", "p0"],)] == ["Givenp0"]
    assert loose_ends(world) == []


def test_an_unchanged_night_publishes_no_version(standing: World) -> None:
    before, again, chance = holdings(standing), night(), Random(7)
    for rows in again.rows.values():
        chance.shuffle(rows)
    standing.clock.forward(days=1)
    assert standing.deliver(again).state == "unchanged"
    assert holdings(standing) == before


def test_a_night_of_one_school_makes_no_version_of_another(standing: World) -> None:
    before = holdings(standing)
    standing.clock.forward(days=1)
    tonight = night(gone("p1"), to.cells("users.csv", "p3", email="p3@new.example"))
    assert standing.deliver(tonight.class_("kB2", "B").person("new", "student", "B")).state == "published"
    after = holdings(standing)
    assert of(after, "A") == of(before, "A")
    assert of(after, "B") != of(before, "B")
    assert versions(standing) == {"A": 1, "B": 2}
    moved = {at for (_, _, at), row in live(standing, "B").items() if row.modified == standing.clock.at}
    assert moved == {"p3", "kB2", "new"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(
            to.cells("courses.csv", "c", subjects="Math, Art"), to.cells("courses.csv", "c", subjects="Math,Art"),
            id="spaces in a list",
        ),
        pytest.param(
            to.cells("courses.csv", "c", grades="9"), to.cells("courses.csv", "c", grades=""),
            id="a value that was left out anyway",
        ),
        pytest.param(
            to.cells("enrollments.csv", "e.kA.p2", schoolSourcedId="B"),
            to.cells("enrollments.csv", "e.kA.p2", schoolSourcedId="A"),
            id="a school that did not count anyway",
        ),
    ],
)  # fmt: skip
def test_a_night_that_only_spells_a_row_otherwise_publishes_no_version(
    world: World, first: to.Spoil, second: to.Spoil
) -> None:
    world.onboard("A", "B").deliver(night(first))
    before = live(world)
    report = world.deliver(night(second))
    assert {at: content(row) for at, row in live(world).items()} == {at: content(row) for at, row in before.items()}
    assert (report.state, versions(world)) == ("unchanged", {"A": 1, "B": 1})


# --- guards and releases ---------------------------------------------------------------------------

THREE_GONE = gone("p2", "p4", "p6")


@pytest.mark.parametrize(
    ("spoil", "guards", "kind", "school"),
    [
        pytest.param(THREE_GONE, {"removed"}, "user", "School A", id="more than a tenth removed"),
        pytest.param(
            only_if("enrollments.csv", lambda row: row["schoolSourcedId"] == "A" or row["sourcedId"] < "e.kB.p2"),
            {"removed", "shrunk"}, "enrollment", "School B", id="fewer than four fifths left",
        ),
        pytest.param(
            only_if("demographics.csv", lambda row: int(row["sourcedId"][1:]) % 2 and int(row["sourcedId"][1:]) % 5),
            {"emptied"}, "demographics", "School A", id="nothing left",
        ),
        pytest.param(
            lambda delivery: [row.update(email="x@y.example") for row in delivery.rows["users.csv"]], {"changed"},
            "user", "School B", id="more than three quarters changed",
        ),
    ],
)  # fmt: skip
def test_a_change_beyond_a_guard_is_held(
    standing: World, spoil: to.Spoil, guards: set[str], kind: str, school: str
) -> None:
    before, report = holdings(standing), standing.deliver(night(spoil))
    assert (report.state, report.code) == ("held", "SRC_HELD")
    assert guards & {trip["guard"] for trip in report.held_by if (trip["kind"], trip["name"]) == (kind, school)}
    assert holdings(standing) == before


def second_person(world: World) -> str:
    ref, _ = onboarding.add_staff(world.office, world.by, "S. Second", "district_admin", None)
    return ref


def test_whoever_ran_into_a_hold_cannot_release_it(standing: World) -> None:
    before, report = holdings(standing), standing.deliver(night(THREE_GONE))
    with pytest.raises(Refused) as refused:
        rosters.release(standing.office, standing.by.district, report.run, standing.by.ref)
    assert refused.value.reason is errors.ACT_SECOND_PERSON
    assert holdings(standing) == before


def test_a_release_works_once_and_publishes_at_once(standing: World, tmp_path: Path) -> None:
    package, second = night(THREE_GONE).zip(tmp_path / "small.zip"), second_person(standing)
    run = bring(standing, package).run
    released = rosters.release(standing.office, standing.by.district, run, second)
    assert (released.state, released.hold["waiting"]) == ("published", 0)
    assert not [at for at in live(standing) if {"p2", "p4", "p6"} & set(at[2].split("."))]
    assert loose_ends(standing) == []
    with pytest.raises(Refused) as refused:
        rosters.release(standing.office, standing.by.district, run, second)
    assert refused.value.reason is errors.SRC_HOLD_OVER
    assert bring(standing, package).state == "unchanged"
    assert standing.deliver(night()).state == "published"
    assert bring(standing, package).state == "held"


# --- absent or not ---------------------------------------------------------------------------------


def test_a_quarantined_row_keeps_its_last_good_version(standing: World) -> None:
    before, worse = live(standing), night(to.cells("users.csv", "p4", givenName="New", enabledUser="TRUE"))
    assert [standing.deliver(worse).state for _ in range(3)] == ["unchanged"] * 3
    assert live(standing) == before
    better = night(to.cells("users.csv", "p4", givenName="New"))
    assert standing.deliver(better).state == "published"
    assert live(standing)["A", "user", "p4"].given_name == "New"


def test_a_line_whose_record_cannot_be_told_prevents_removals_of_its_kind(standing: World) -> None:
    shorter = night(to.line("users.csv", "p4", to.swap(b"p4,", b"p\xff4,"))).without("enrollments.csv", "e.kA.p6")
    shorter.raw["users.csv"] = shorter.raw["users.csv"].replace(b"p2,,,true", b"\xff")
    before = live(standing)
    assert standing.deliver(shorter).state == "published"
    assert live(standing).keys() == before.keys() - {("A", "enrollment", "e.kA.p6")}
    assert standing.deliver(night(gone("p2"))).state == "published"
    assert ("A", "user", "p2") not in live(standing)


@pytest.mark.parametrize("end", [pytest.param(b"", id="no line end"), pytest.param(b"\r", id="old Mac line end")])
def test_two_records_run_together_are_both_there(standing: World, end: bytes) -> None:
    before, joined = live(standing), night(to.whole("enrollments.csv", to.swap(b"\r\ne.kB.p9", end + b"e.kB.p9")))
    report = standing.deliver(joined)
    assert [fault.file for fault in report.faults] == ["enrollments.csv"]
    assert live(standing) == before


def test_a_zip_removes_what_is_missing_once(standing: World) -> None:
    assert standing.deliver(night(gone("p2"))).state == "published"
    assert not [at for at in live(standing) if "p2" in at]


def test_a_folder_removes_what_is_missing_twice(standing: World) -> None:
    before = holdings(standing)
    assert standing.deliver(night(gone("p2")), folder=True).state == "unchanged"
    assert of(holdings(standing), "A") == of(before, "A")
    standing.clock.forward(hours=12)
    assert standing.deliver(night(gone("p2")), folder=True).state == "published"
    assert not [at for at in live(standing) if "p2" in at]


def test_a_folder_that_is_handed_in_again_is_one_delivery(standing: World) -> None:
    before = live(standing)
    for _ in range(3):
        standing.clock.forward(hours=2)
        report = standing.deliver(night(gone("p2")), folder=True)
        assert (report.state, set(report.absences)) == ("unchanged", {"cut-off"})
    assert live(standing) == before
    report = standing.deliver(night(gone("p2"), to.cells("users.csv", "p4", givenName="New")), folder=True)
    assert (report.state, set(report.absences)) == ("published", {"source-deleted"})


def test_a_folder_that_is_handed_in_all_day_is_another_one_the_next_day(standing: World) -> None:
    states = []
    for _ in range(6):
        standing.clock.forward(hours=4)
        states.append(standing.deliver(night(gone("p2")), folder=True).state)
    assert states == ["unchanged"] * 3 + ["published"] + ["unchanged"] * 2
    assert not [at for at in live(standing) if "p2" in at]


@pytest.mark.parametrize("folder", [pytest.param(True, id="folder"), pytest.param(False, id="zip")])
def test_what_came_back_in_between_is_missing_anew(standing: World, folder: bool) -> None:
    before = live(standing)
    standing.deliver(night(gone("p2")), folder=True)
    standing.deliver(night(), folder=folder)
    assert standing.deliver(night(gone("p2")), folder=True).state == "unchanged"
    assert live(standing) == before


def test_a_record_that_left_takes_what_hangs_on_it(standing: World) -> None:
    assert standing.deliver(night().without("users.csv", "p2")).state == "published"
    assert not [at for at in live(standing) if at[1] != "demographics" and "p2" in at[2].split(".")]
    assert loose_ends(standing) == []


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(to.cells("classes.csv", "kA", termSourcedIds="t,s"), id="from a class"),
        pytest.param(to.cells("courses.csv", "c", schoolYearSourcedId="s"), id="from a course"),
        pytest.param(to.cells("academicSessions.csv", "t", parentSourcedId="s"), id="from a term"),
    ],
)
def test_no_reference_leads_to_a_session_that_left(world: World, spoil: to.Spoil) -> None:
    """The row that refers to it is delivered as the night before."""
    more = night(spoil)
    more.add("academicSessions.csv", **(more.row("academicSessions.csv", "y") | {"sourcedId": "s"}))
    world.onboard("A", "B").deliver(more)
    world.deliver(more.without("academicSessions.csv", "s"))
    assert loose_ends(world) == []


def test_a_class_of_an_org_that_is_no_school_any_more_is_quarantined(world: World) -> None:
    three = night().add("orgs.csv", sourcedId="C", name="C", type="school", parentSourcedId="d").class_("kC", "C")
    world.onboard("A", "B").deliver(three)
    three.row("orgs.csv", "C")["type"], three.row("classes.csv", "kC")["title"] = "department", "New"
    assert [(f.column, f.code) for f in world.deliver(three).faults] == [("schoolSourcedId", "CSV_ORG_TYPE")]


# --- a run that does not end well ------------------------------------------------------------------


def test_a_second_run_of_a_source_waits_for_the_first(standing: World) -> None:
    before = holdings(standing)
    with standing.office.database.open_intake(standing.by.district) as session:
        assert sources.lock(session, standing.source)
        report = standing.deliver(night(gone("p2")))
    assert (report.state, report.code) == ("refused", "SRC_BUSY")
    assert holdings(standing) == before
    assert standing.deliver(night(gone("p2"))).state == "published"


def test_a_failure_in_the_middle_leaves_everything_as_it_was(fresh_database, settings, clock: Steered) -> None:
    addresses = fresh_database()
    with world_on(addresses, settings, clock) as world, psycopg.connect(addresses.owner, autocommit=True) as owner:
        before = holdings(world.standing(PUPILS))
        owner.execute(
            "CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'stumble'; END $$"
        )
        for name in ("staging.user", "roster_enrollment", "roster_version", "ledger_entry", "sync_run"):
            table = sql.Identifier(*name.split("."))
            owner.execute(
                sql.SQL("CREATE TRIGGER stumble BEFORE INSERT ON {} FOR EACH ROW EXECUTE FUNCTION stumble()").format(
                    table
                )
            )
            if name == "ledger_entry":
                assert world.deliver(night(gone("p2")).enroll("p4", "kB", "B")).code == "LED_UNAVAILABLE"
            else:
                with pytest.raises(DatabaseError, match="stumble"):
                    world.deliver(night(gone("p2"), to.cells("users.csv", "p1", grades="10")).enroll("p4", "kB", "B"))
            assert holdings(world) == before, name
            owner.execute(sql.SQL("DROP TRIGGER stumble ON {}").format(table))
        assert world.deliver(night(gone("p2"))).state == "published"


def test_every_run_is_on_record(standing: World) -> None:
    standing.deliver(night(THREE_GONE))
    standing.deliver(night(to.cells("users.csv", "p4", enabledUser="TRUE")))
    standing.deliver(night(to.emptied("users.csv")))
    standing.deliver(night(), publish=False)
    with standing.office.database.open_intake(standing.by.district) as session:
        states = sorted(run.state for run in sources.history(session, standing.source))
    assert states == ["held", "planned", "published", "refused", "unchanged"]


def test_an_import_is_in_the_ledger_of_each_changed_school(standing: World) -> None:
    report = standing.deliver(night(gone("p2")))
    imports = {org: [e for e in standing.ledger(org) if e["type"] == "import"] for org in "AB"}
    assert [len(imports[org]) for org in "AB"] == [2, 1]
    said = imports["A"][-1]
    assert (said["id"], said["outcome"], said["subjects"], said["school"]) == (
        report.run, "published", 24, standing.refs["A"],
    )  # fmt: skip
    assert said["actor"] == {"kind": "staff", "ref": standing.by.ref}


def test_a_roles_file_that_was_cut_off_is_held(world):
    """People stay, their roles go: nobody is removed, and still a third of a school would be nobody's pupil."""
    world.onboard("A", "B")
    delivery = two_schools(PUPILS)
    assert world.deliver(delivery).state == "published"
    whole = list(delivery.rows["roles.csv"])
    delivery.rows["roles.csv"] = whole[: len(whole) * 2 // 3]
    held = world.deliver(delivery)
    assert (held.state, {trip["kind"] for trip in held.held_by}) == ("held", {"role"})
    delivery.rows["roles.csv"] = whole
    assert world.deliver(delivery).state == "unchanged"
