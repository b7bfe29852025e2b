"""Folders that are watched: what lies still and whole is taken once, and nothing that a link leads to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Refused
from gateway.flows.onboarding import deliveries
from gateway.flows.rosters import arrivals, running, timetable, watching
from gateway.jobs import work
from gateway.store import notifications, sources
from tests.conftest import world_on
from tests.deliveries import Delivery, two_schools
from tests.powers import as_others
from tests.worlds import World


class Drop:
    """A folder that an export writes into."""

    def __init__(self, world: World, root: Path) -> None:
        self.world, self.own = world.unseeded(), root / world.district
        self.folder = self.own / "sis"
        self.folder.mkdir(parents=True)
        world.source = deliveries.add_folder(world.office, world.by, "sis", str(self.folder))
        world.onboard("A", "B")

    def lay(self, name: str = "roster.zip", delivery: Delivery | None = None) -> Path:
        made = (delivery or two_schools()).zip(self.folder.parent / "made.zip")
        return made.rename(self.folder / name)

    def look(self, seconds: int = 0) -> str | None:
        self.world.clock.forward(seconds=seconds)
        return arrivals.look(self.world.parts, self.world.by.district, self.world.source)

    def looks(self) -> str | None:
        """Two looks, with a while between them."""
        assert self.look() is None
        return self.look(61)

    def states(self) -> list[str]:
        work(self.world.parts, once=True)
        with self.world.office.database.open_intake(self.world.by.district) as session:
            return [run.state for run in sources.history(session, self.world.source)]

    def there(self) -> list[str]:
        return sorted(p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*"))

    def spooled(self) -> list[str]:
        folder = self.world.office.settings.instance / "spool"
        return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def drop(fresh_database, settings, clock, tmp_path) -> Iterator[Drop]:
    root = tmp_path / "drops"
    root.mkdir()
    public = replace(settings, url="https://gateway.example", sandbox=False, watch_roots=str(root))
    with world_on(fresh_database(), public, clock) as world:
        yield Drop(world, root)


def test_a_zip_that_has_lain_still_is_taken_run_and_put_away(drop):
    drop.lay()
    assert drop.look() is None
    assert drop.look(30) is None
    assert drop.look(31)
    assert drop.states() == ["published"]
    assert drop.spooled() == []
    (kept,) = (drop.folder / "taken").iterdir()
    assert kept.name.endswith("-roster.zip")
    assert drop.looks() is None


def test_the_worker_looks_by_itself(drop):
    drop.lay()
    running.tick(drop.world.parts)
    drop.world.clock.forward(seconds=61)
    running.tick(drop.world.parts)
    assert drop.states() == ["published"]


def test_a_folder_with_a_manifest_is_taken(drop):
    two_schools().folder(drop.folder / "night1")
    assert drop.looks()
    assert drop.states() == ["published"]
    assert any(name.startswith("taken/") for name in drop.there())


def test_the_folder_itself_may_be_the_delivery(drop):
    two_schools().folder(drop.folder)
    before = drop.there()
    assert drop.looks()
    assert drop.states() == ["published"]
    assert drop.there() == before
    assert drop.looks() is None


def test_a_file_that_is_still_being_written_is_left_alone(drop):
    path = drop.lay()
    whole = path.read_bytes()
    for part in (len(whole) // 4, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:part])
        os.utime(path, (part, part))
        assert drop.look(61) is None
    assert drop.look(61) is None  # still, but no zip
    path.write_bytes(whole)
    assert drop.looks()
    assert drop.states() == ["published"]
    assert drop.spooled() == []


def test_a_file_that_changes_under_the_copy_is_left_alone(drop, monkeypatch):
    path, real = drop.lay(), watching._copy_file

    def changing(*args: Any) -> Any:
        copied = real(*args)
        with path.open("ab") as file:
            file.write(b"more")
        return copied

    drop.look()
    with monkeypatch.context() as patched:
        patched.setattr(watching, "_copy_file", changing)
        assert drop.look(61) is None
    assert drop.spooled() == []
    assert path.exists()


def test_what_cannot_be_put_away_is_not_taken_twice(drop):
    path = drop.lay()
    (drop.folder / watching.TAKEN).touch()  # a file, where the folder should be made
    assert drop.looks()
    assert drop.states() == ["published"]
    assert [drop.look(61) for _ in range(3)] == [None] * 3
    os.utime(path, (1, 1))  # the same bytes, written again
    assert drop.looks() is None
    assert drop.states() == ["published"]
    path.unlink()
    drop.lay(delivery=two_schools(13))
    assert drop.looks()
    assert drop.states() == ["published", "published"]


def test_the_same_bytes_under_another_name_are_noted_and_not_run(drop):
    drop.lay()
    assert drop.looks()
    drop.lay("again.zip")
    assert drop.looks() is None
    assert drop.states() == ["published"]
    with drop.world.office.database.open_intake(drop.world.by.district) as session:
        from gateway.store import timetable as kept

        assert kept.find(session, drop.world.source).came_at == drop.world.clock.at


def test_a_folder_that_may_not_be_written_stays_as_it_is(drop):
    drop.lay()
    drop.folder.chmod(0o500)
    try:
        with as_others():
            with pytest.raises(PermissionError):
                (drop.folder / "probe").touch()
            assert drop.looks()
            assert drop.there() == ["roster.zip"]
            assert drop.look(61) is None
    finally:
        drop.folder.chmod(0o700)


def secret_zip(drop: Drop) -> Path:
    return two_schools().zip(drop.folder.parent.parent / "secret.zip")


LINKS: dict[str, Callable[[Drop], Any]] = {
    "a link to a zip": lambda d: (d.folder / "roster.zip").symlink_to(secret_zip(d)),
    "a link to a folder": lambda d: (d.folder / "night").symlink_to(two_schools().folder(d.folder.parent / "other")),
    "a link to nothing": lambda d: (d.folder / "roster.zip").symlink_to(d.folder / "nothing"),
    "a link to itself": lambda d: (d.folder / "roster.zip").symlink_to(d.folder / "roster.zip"),
    "a link among the files": lambda d: (
        two_schools().folder(d.folder / "night"), (d.folder / "night" / "users.csv").unlink(),
        (d.folder / "night" / "users.csv").symlink_to("/etc/passwd"),
    ),
    "a pipe": lambda d: os.mkfifo(d.folder / "roster.zip"),
    "a hidden file": lambda d: d.lay(".roster.zip"),
    "another kind of file": lambda d: d.lay("roster.zip.tmp"),
    "a folder without a manifest": lambda d: (
        two_schools().folder(d.folder / "night"), (d.folder / "night" / "manifest.csv").unlink()
    ),
    "an empty zip": lambda d: (d.folder / "roster.zip").write_bytes(b""),
    "a zip cut off": lambda d: (d.folder / "roster.zip").write_bytes(secret_zip(d).read_bytes()[:-30]),
}  # fmt: skip


@pytest.mark.parametrize("case", LINKS)
def test_what_is_not_a_plain_whole_delivery_is_left_alone(drop, case):
    LINKS[case](drop)
    before = drop.there()
    assert drop.looks() is None
    assert drop.look(61) is None
    assert drop.states() == []
    assert (drop.there(), drop.spooled()) == (before, [])


def test_a_link_put_in_a_files_place_between_looking_and_reading_is_not_followed(drop, monkeypatch):
    path, real = drop.lay(), watching.copy

    def swapped(*args: Any) -> Any:
        path.unlink()
        path.symlink_to(secret_zip(drop))
        return real(*args)

    drop.look()
    monkeypatch.setattr(watching, "copy", swapped)
    assert drop.look(61) is None
    assert (drop.states(), drop.spooled()) == ([], [])


def test_a_file_that_is_too_large_is_refused_and_the_others_go_on(drop, monkeypatch):
    drop.lay()
    object.__setattr__(drop.world.office.settings, "max_delivery_mb", 0)
    drop.look()
    with pytest.raises(Refused, match="SRC_TOO_LARGE"):
        drop.look(61)
    running.tick(drop.world.parts)


def test_a_source_that_is_paused_or_in_its_peak_is_not_looked_at(drop):
    drop.lay()
    world = drop.world
    timetable.pause(world.office, world.by, "sis", "stop", None, world.clock.at + timedelta(hours=1))
    assert drop.looks() is None
    world.clock.forward(hours=1)
    timetable.set_plan(world.office, world.by, "sis", {"at": "03:00", "peaks": ["07:00-17:00"]})
    assert drop.looks() is None
    world.clock.forward(hours=8)
    assert drop.looks()


def test_a_folder_in_which_nothing_comes_is_told(drop):
    world = drop.world
    running.tick(world.parts)

    def told() -> list[str]:
        with world.office.database.open_district(world.by.district) as session:
            return [row.cause for row in notifications.listing(session, unseen=False, limit=9)]

    world.clock.at = timetable.show(world.office, world.by, "sis")["next"]
    running.tick(world.parts)
    assert told() == ["missing"]
    drop.lay()
    drop.looks()
    drop.states()
    world.clock.at = timetable.show(world.office, world.by, "sis")["next"]
    running.tick(world.parts)
    assert told() == ["missing"]


# --- which folders may be watched ------------------------------------------------------------------


def test_no_folder_is_watched_unless_the_operator_names_a_root(world, tmp_path):
    with pytest.raises(Refused, match="SRC_FOLDER"):
        deliveries.add_folder(world.office, world.by, "drop", str(tmp_path))


@pytest.mark.parametrize(
    "path", ["{root}/..", "{root}/../elsewhere", "{root}/link", "{root}/link/inner", "{root}/nothing", "/etc", "",
             "sis", "{root}/sis/../../elsewhere", "{root}x", "{roots}", "{roots}/di_of_another"]
)  # fmt: skip
def test_a_folder_outside_the_roots_or_behind_a_link_is_refused(drop, path):
    root = drop.own
    (root.parent / "elsewhere" / "inner").mkdir(parents=True)
    (root.parent / "di_of_another").mkdir()
    Path(f"{root}x").mkdir()
    (root / "link").symlink_to(root.parent / "elsewhere")
    with pytest.raises(Refused, match="SRC_FOLDER"):
        deliveries.add_folder(drop.world.office, drop.world.by, "drop", path.format(root=root, roots=root.parent))


def test_no_district_watches_a_folder_of_another(drop):
    office, world = drop.world.office, World(drop.world.office, drop.world.clock)
    drop.lay()
    for path in (drop.folder, drop.own, drop.own.parent):
        with pytest.raises(Refused, match="SRC_FOLDER"):
            deliveries.add_folder(office, world.by, "theirs", str(path))


def test_a_folder_is_watched_by_one_source(drop):
    with pytest.raises(Refused, match="source sis watches this folder"):
        deliveries.add_folder(drop.world.office, drop.world.by, "twice", str(drop.folder))


@pytest.mark.parametrize("step", ["found_in", "copy", "put_away"])
def test_a_link_put_on_the_way_after_it_was_judged_is_not_followed(drop, monkeypatch, step):
    """Whoever may write in a district's folder would else read another's, by being quick."""
    way, theirs, real = drop.own / "way", drop.own.parent / "di_of_another", getattr(watching, step)
    drop.folder = way / "sis"
    drop.folder.mkdir(parents=True)
    (theirs / "sis").mkdir(parents=True)
    drop.lay()
    two_schools().zip(theirs / "sis" / "roster.zip")
    drop.world.source = deliveries.add_folder(drop.world.office, drop.world.by, "two", str(drop.folder))

    def swapped(*args: Any) -> Any:
        way.rename(drop.own / "aside")
        way.symlink_to(theirs)
        return real(*args)

    assert drop.look() is None
    monkeypatch.setattr(watching, step, swapped)
    if step == "put_away":
        assert drop.look(61) is not None
    else:
        with pytest.raises(Refused, match="SRC_FOLDER"):
            drop.look(61)
        assert (drop.states(), drop.spooled()) == ([], [])
    assert [one.name for one in (theirs / "sis").iterdir()] == ["roster.zip"]


def test_a_folder_that_became_a_link_is_not_watched_any_more(drop):
    elsewhere = drop.folder.parent.parent / "elsewhere"
    elsewhere.mkdir()
    two_schools().zip(elsewhere / "roster.zip")
    drop.folder.rmdir()
    drop.folder.symlink_to(elsewhere)
    with pytest.raises(Refused, match="SRC_FOLDER"):
        drop.look()
    running.tick(drop.world.parts)
