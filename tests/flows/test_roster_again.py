"""A delivery that comes again byte for byte is not read again, unless anything else may have changed what it says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.flows import on_file, onboarding, rosters
from gateway.flows.rosters import progress
from gateway.report_text import lines
from gateway.store import runs
from tests.deliveries import Delivery, two_schools
from tests.refused.spoil import live
from tests.refused.test_delivery_rules import whole
from tests.worlds import COLLECTED, World

PUPILS = 40


@pytest.fixture
def package(world: World, tmp_path: Path) -> Path:
    """A delivery that was taken, whole and clean."""
    path = two_schools(PUPILS).zip(tmp_path / "night.zip")
    assert world.unseeded().onboard("A", "B").sync(path).state == "published"
    return path


def sync(world: World, path: Path) -> rosters.Report:
    """A night later, as nights are."""
    world.clock.forward(days=1)
    return world.sync(path)


def again(world: World, path: Path) -> rosters.Report:
    """Bring the same bytes in; whether they were read or not, the schools hold what they held."""
    before = live(world)
    report = sync(world, path)
    assert (report.state, live(world)) == ("unchanged", before)
    return report


def was_read(report: rosters.Report) -> bool:
    return report.same_as is None and "read" in report.seconds


def test_the_same_bytes_are_not_read_again(world: World, package: Path) -> None:
    first = rosters.sync(world.office, world.by.district, world.source, package, world.by.ref, publish=False)
    assert was_read(first)  # a plan always reads
    report = again(world, package)
    assert not was_read(report)
    assert not report.seconds
    once_more = again(world, package)
    assert once_more.same_as == report.run
    assert f"byte for byte the delivery of run {report.run}" in "\n".join(lines(once_more, "sis"))
    with world.office.database.open_intake(world.by.district) as session:
        assert "read" in runs.usual(session, world.source)  # what a night usually takes is still known


def test_what_is_said_is_what_reading_would_have_said(world: World, tmp_path: Path) -> None:
    """The same rows in another package are read: beside that, both reports say the same. Of what is not kept nothing
    is known to be as it was, and a school that is named once is not proposed every night."""
    package = whole().zip(tmp_path / "night.zip")
    first = sync(world.unseeded().onboard("A"), package)
    assert (first.state, first.causes, len(first.proposed)) == ("published", [], 1)
    told = again(world, package).as_dict()
    read = again(world, whole().folder(tmp_path / "folder")).as_dict()
    own = {"run", "seconds", "same_as", "delivery"}
    assert {k: v for k, v in told.items() if k not in own} == {k: v for k, v in read.items() if k not in own}


def _another_rule(world: World) -> None:
    onboarding.repair_source(world.office, world.by, "sis", add="header-case")


def _a_school_more(world: World) -> None:
    world.onboard("d", covered=False)


def _less_is_agreed(world: World) -> None:
    on_file.end(world.office, world.by, "agreement", world.agreements["SIS Inc"])
    less = [element for element in COLLECTED if element != "DEM"]
    world.agree("SIS Ltd", "sis", less, ("roster.import",), ("rostering",), ("A", "B"), directed=False)


def _an_undo(world: World) -> None:
    world.clock.forward(days=1)
    assert world.deliver(two_schools(PUPILS + 1)).state == "published"
    world.clock.forward(days=1)
    rosters.undo(world.office, world.by.district, world.source, world.by.ref, publish=True)


CHANGES: dict[str, Callable[[World], object]] = {
    "a repair was turned on": _another_rule,
    "a school came": _a_school_more,
    "an agreement names less": _less_is_agreed,
    "it was undone": _an_undo,
}


@pytest.mark.parametrize("what", CHANGES)
def test_the_same_bytes_are_read_where_something_else_changed(world: World, package: Path, what: str) -> None:
    CHANGES[what](world)
    assert was_read(sync(world, package))


def test_another_delivery_in_between_is_what_counts(world: World, package: Path) -> None:
    world.clock.forward(days=1)
    assert world.deliver(two_schools(PUPILS + 1)).state == "published"
    assert was_read(sync(world, package))


def test_what_counts_is_what_the_schools_hold_not_the_clock(world: World, package: Path) -> None:
    """A clock that was set back lets an older run look like the last one."""
    assert world.deliver(two_schools(PUPILS + 1)).state == "published"  # at the very same moment
    world.clock.forward(days=-1)
    assert world.deliver(two_schools(PUPILS)).state == "published"
    world.clock.forward(days=2)
    report = world.sync(package)
    assert (report.state, was_read(report)) == ("unchanged", True)


def test_bad_rows_are_told_every_night(world: World, tmp_path: Path) -> None:
    made = two_schools(PUPILS)
    made.row("users.csv", "p1")["enabledUser"] = "perhaps"
    path = made.zip(tmp_path / "bad.zip")
    world.unseeded().onboard("A", "B")
    first, second = sync(world, path), sync(world, path)
    assert first.state == "published"
    assert was_read(second)
    assert [cause["count"] for cause in second.causes] == [cause["count"] for cause in first.causes] != []


def test_what_waits_is_judged_every_night(world: World, package: Path, tmp_path: Path) -> None:
    small = two_schools(PUPILS // 2).zip(tmp_path / "small.zip")
    first, second = sync(world, small), sync(world, small)
    assert (first.state, was_read(second)) == ("held", True)
    assert was_read(sync(world, package))


def test_what_is_looked_at_anew_every_night_is_told_every_night(world: World, package: Path, tmp_path: Path) -> None:
    """A class moves to another school; the rows of its people go on naming the old one."""
    made = two_schools(PUPILS).class_("kC", "B").enroll("p1", "kC", "B")
    assert sync(world, made.zip(tmp_path / "before.zip")).state == "published"
    made.row("classes.csv", "kC")["schoolSourcedId"] = "A"
    moved = made.zip(tmp_path / "moved.zip")
    assert sync(world, moved).state == "published"
    for _ in range(2):
        report = sync(world, moved)
        assert [(cause["code"], cause["record"]) for cause in report.causes] == [("CSV_SCHOOL_MISMATCH", "e.kC.p1")]


def test_another_policy_has_children_looked_at_again(world: World, tmp_path: Path) -> None:
    """Thirteen is a child under one policy and not under another; nobody was left out before."""
    made = two_schools(PUPILS)
    born = world.clock.at.date().replace(year=world.clock.at.year - 13) - timedelta(days=90)
    made.row("demographics.csv", "p1")["birthDate"] = born.isoformat()
    path = made.zip(tmp_path / "child.zip")
    world.unseeded().onboard("A", "B", covered=False)
    world.agree("SIS Inc", "sis", COLLECTED, ("roster.import",), ("rostering",), ("A", "B"), directed=False,
                school_agent=False)  # fmt: skip
    on_file.record_policy(world.office, world.by, "source_policy", {"policy": "mastery_prep"})
    first = sync(world, path)
    assert (first.state, first.children) == ("published", [])
    assert not was_read(again(world, path))
    on_file.record_policy(world.office, world.by, "source_policy", {"policy": "strictest"})
    report = sync(world, path)
    assert (report.state, [there["pupils"] for there in report.children]) == ("published", [1])
    assert not any(who == "p1" for _, kind, who in live(world) if kind == "user")


def test_a_child_grows_up_without_a_word_of_the_source(world: World, tmp_path: Path) -> None:
    made: Delivery = two_schools(PUPILS)
    born = world.clock.at.date().replace(year=world.clock.at.year - 14) + timedelta(days=3)
    made.row("demographics.csv", "p1")["birthDate"] = born.isoformat()
    path = made.zip(tmp_path / "child.zip")
    world.unseeded().onboard("A", "B", covered=False)
    world.agree("SIS Inc", "sis", COLLECTED, ("roster.import",), ("rostering",), ("A", "B"), directed=False,
                school_agent=False)  # fmt: skip
    first = sync(world, path)
    assert (first.state, first.children[0]["pupils"]) == ("published", 1)
    world.clock.forward(days=5)
    report = sync(world, path)
    assert report.state == "published"
    assert any(who == "p1" for _, kind, who in live(world) if kind == "user")
    world.clock.forward(days=5)
    assert not was_read(sync(world, path))


# --- written to meanwhile ---------------------------------------------------------------------------


def sync_while(world: World, path: Path, happens: Callable[[], object]) -> rosters.Report:
    """Bring a delivery in; as soon as it is being read, something happens."""
    waiting = [happens]

    def listen(moment: progress.Moment) -> None:
        if moment.step == "read" and waiting:
            waiting.pop()()

    world.clock.forward(days=1)
    return rosters.sync(
        world.office, world.by.district, world.source, path, world.by.ref, publish=True, listeners=[listen]
    )


@pytest.fixture
def folder(world: World, package: Path, tmp_path: Path) -> Path:
    """A delivery that lies in a folder, one pupil more than was taken."""
    assert package.exists()
    return two_schools(PUPILS + 1).folder(tmp_path / "folder")


def _longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"half a li")


WRITES: dict[str, Callable[[Path], object]] = {
    "another delivery": lambda folder: two_schools(PUPILS + 2).folder(folder),
    "half a line": lambda folder: _longer(folder / "enrollments.csv"),
    "nothing": lambda folder: (folder / "users.csv").unlink(),
    "another manifest": lambda folder: _longer(folder / "manifest.csv"),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_folder_that_is_written_to_while_it_is_read_is_refused(world: World, folder: Path, what: str) -> None:
    before = live(world)
    report = sync_while(world, folder, lambda: WRITES[what](folder))
    assert (report.state, report.code, live(world)) == ("refused", "CSV_CHANGED", before)
    for file in folder.iterdir():
        file.unlink()
    two_schools(PUPILS + 2).folder(folder)
    whole_ = sync(world, folder)
    assert (whole_.state, was_read(whole_)) == ("published", True)


def test_a_zip_that_is_written_to_while_it_is_read_is_refused(world: World, package: Path, tmp_path: Path) -> None:
    more, before = two_schools(PUPILS + 1).zip(tmp_path / "more.zip"), live(world)
    report = sync_while(world, more, lambda: more.write_bytes(package.read_bytes()))
    assert (report.state, report.code, live(world)) == ("refused", "CSV_CHANGED", before)


def test_of_a_zip_that_is_replaced_while_it_is_read_the_old_one_was_taken(
    world: World, package: Path, tmp_path: Path
) -> None:
    """What is remembered are the bytes that were read, whatever lies under their name by then."""
    more, other = (two_schools(PUPILS + n).zip(tmp_path / f"{n}.zip") for n in (1, 2))
    assert package.exists()
    report = sync_while(world, more, lambda: other.replace(more))
    assert report.state == "published"
    assert len([at for at in live(world, "A") if at[1] == "user"]) == len(
        [row for row in two_schools(PUPILS + 1).rows["roles.csv"] if row["orgSourcedId"] == "A"]
    )
    after = sync(world, more)
    assert (after.state, was_read(after)) == ("published", True)
    assert not was_read(again(world, more))


def test_a_school_that_was_renamed_is_told_by_its_name_of_today(world: World, package: Path) -> None:
    with world.office.database.open_district(world.by.district) as session:
        session.run("UPDATE school SET name = 'School of Tomorrow' WHERE district = %(district)s AND ref = %(ref)s",
                    ref=world.refs["A"])  # fmt: skip
    report = again(world, package)
    assert not was_read(report)
    assert {one["name"] for one in report.schools} == {"School of Tomorrow", "School B"}
