"""The timetable at work: what is due is run once, by nobody's name, and what failed is tried again and then told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import procrastinate
import psycopg
import pytest

from gateway.errors import Refused
from gateway.flows import onboarding, rosters
from gateway.flows.rosters import nights, progress, running, timetable
from gateway.jobs import make_worker, work
from gateway.policy.persons import TIMETABLE
from gateway.store import notifications, runs, sources
from tests.conftest import world_on
from tests.deliveries import Delivery, two_schools
from tests.worlds import World

ZIP = "https://sis.example/export.zip"


class Sis:
    """A source that is fetched every night, and the worker's day."""

    def __init__(self, world: World, wire: Any, folder: Path) -> None:
        self.world, self.wire, self.folder = world.unseeded(), wire, folder
        world.source = onboarding.add_source(world.office, world.by, "sis", ZIP, None, None, "")
        world.onboard("A", "B")
        self.answers(two_schools())

    def answers(self, body: Delivery | int) -> None:
        self.wire.remove("GET", ZIP)
        if isinstance(body, int):
            self.wire.get(ZIP, status=body)
        else:
            self.wire.get(ZIP, body=body.zip(self.folder / "out.zip").read_bytes())

    @property
    def row(self) -> Any:
        return timetable.show(self.world.office, self.world.by, "sis")

    def at(self, text: str) -> None:
        self.world.clock.at = datetime.fromisoformat(text).astimezone(UTC)

    def until(self, at: datetime) -> None:
        self.world.clock.at = at.astimezone(UTC)

    def tick(self) -> int:
        """Ask what is due; return how many jobs of this source wait then."""
        running.tick(self.world.parts)
        return len(self.jobs("todo"))

    def jobs(self, *states: str) -> list[Any]:
        with psycopg.connect(self.world.office.database.url) as connection:
            connection.execute("SET ROLE schoolgate_jobs")
            return connection.execute(
                "SELECT id, status, attempts FROM procrastinate_jobs WHERE task_name = 'sync_source' "
                "AND status::text = ANY(%s) AND args ->> 'source' = %s ORDER BY id", (list(states), self.world.source)
            ).fetchall()  # fmt: skip

    def work(self) -> None:
        work(self.world.parts, once=True)

    def night(self) -> rosters.Report | None:
        return running.night(self.world.parts, self.world.by.district, self.world.source)

    def runs(self) -> list[Any]:
        with self.world.office.database.open_intake(self.world.by.district) as session:
            return list(sources.history(session, self.world.source))

    def told(self) -> list[tuple[str, str]]:
        with self.world.office.database.open_district(self.world.by.district) as session:
            return [(row.cause, row.code) for row in notifications.listing(session, unseen=False, limit=100)]


@pytest.fixture
def sis(fresh_database, settings, clock, wire, tmp_path) -> Iterator[Sis]:
    """In a database of its own: a worker runs whatever waits in its database."""
    public = replace(settings, url="https://gateway.example", sandbox=False)
    with world_on(fresh_database(), public, clock) as world:
        yield Sis(world, wire, tmp_path)


def begun(sis: Sis) -> datetime:
    """Let the timetable reckon when the source is due; return that."""
    assert sis.tick() == 0
    due = sis.row["next"]
    assert due > sis.world.clock.at
    return due


def test_a_source_that_is_fetched_runs_every_night_in_the_districts_own_time(sis):
    timetable.set_zone(sis.world.office, sis.world.by, "America/Chicago")
    due = begun(sis)
    local = due.astimezone(ZoneInfo("America/Chicago"))
    assert local.strftime("%H:%M") == sis.row["at"] == nights.spell_minute(nights.own_minute(sis.world.source))
    for _ in range(3):
        sis.until(sis.row["next"] - timedelta(seconds=1))
        assert sis.tick() == 0
        sis.until(sis.row["next"])
        assert sis.tick() == 1
        sis.work()
        assert sis.jobs("todo", "doing") == []
    assert [run.state for run in sis.runs()] == ["unchanged", "unchanged", "published"]


def test_the_timetable_acts_under_its_own_name(sis):
    sis.night()
    assert {run.acted_by for run in sis.runs()} == {TIMETABLE}
    (entry,) = [one for one in sis.world.ledger("A") if one["type"] == "import"]
    assert entry["actor"] == {"kind": "system", "ref": TIMETABLE}


def test_a_source_waits_in_line_once_however_often_it_is_asked_for(sis):
    begun(sis)
    sis.until(sis.row["next"])
    assert [sis.tick() for _ in range(3)] == [1, 1, 1]
    sis.until(sis.row["next"])
    assert sis.tick() == 1


def test_nights_that_were_missed_are_one_run(sis):
    begun(sis)
    sis.world.clock.forward(days=12)
    assert sis.tick() == 1
    sis.work()
    assert sis.tick() == 0
    assert len(sis.runs()) == 1


@pytest.mark.parametrize("days", [-400, -3, 400])
def test_a_clock_that_jumps_does_not_stop_the_nights(sis, days):
    begun(sis)
    sis.world.clock.forward(days=days)
    waiting = sis.tick()
    assert waiting == (1 if days > 0 else 0)
    assert sis.row["next"] - sis.world.clock.at < timedelta(hours=25)


# --- what fails ------------------------------------------------------------------------------------


def test_what_fails_is_tried_again_that_night_and_then_told_once(sis):
    due = begun(sis)
    sis.answers(503)
    sis.until(due)
    tries = 0
    while sis.row["next"] < due + timedelta(hours=20):
        sis.until(sis.row["next"])
        assert sis.tick() == 1
        assert sis.told() == []
        sis.work()
        tries += 1
    assert tries == nights.TRIES
    assert sis.told() == [("failed", "SRC_ANSWER")]
    assert [run.state for run in sis.runs()] == ["refused"] * tries
    assert (sis.row["attempt"], sis.row["said"]) == (0, "SRC_ANSWER")
    sis.answers(two_schools())
    sis.until(sis.row["next"])
    sis.tick()
    sis.work()
    assert sis.runs()[0].state == "published"
    assert sis.row["said"] is None


def test_what_comes_right_at_the_second_try_is_told_to_nobody(sis):
    begun(sis)
    sis.answers(503)
    sis.night()
    assert sis.row["attempt"] == 1
    assert timedelta(0) < sis.row["next"] - sis.world.clock.at <= timedelta(minutes=15)
    sis.answers(two_schools())
    sis.until(sis.row["next"])
    assert sis.tick() == 1
    sis.work()
    assert (sis.runs()[0].state, sis.told(), sis.row["attempt"]) == ("published", [], 0)


def test_a_delivery_that_takes_its_worker_along_is_given_up(sis, monkeypatch):
    """A worker that is killed says nothing: the try was counted before, and the sweep runs the job again."""

    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    begun(sis)
    monkeypatch.setattr(running, "_run", killed)
    for _ in range(nights.TRIES):
        with pytest.raises(Killed):
            sis.night()
    assert sis.night() is None
    assert sis.told() == [("failed", "INT_UNEXPECTED")]
    assert sis.row["attempt"] == 0


def test_an_error_of_ours_is_a_run_that_failed(sis, monkeypatch):
    def wrong(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(running.pull, "sync", wrong)
    report = sis.night()
    assert (report.state, report.code) == ("refused", "INT_UNEXPECTED")
    assert sis.runs()[0].report["code"] == "INT_UNEXPECTED"


def test_a_job_whose_worker_was_lost_is_run_again_and_never_beside_its_like(sis):
    begun(sis)
    sis.until(sis.row["next"])
    assert sis.tick() == 1
    lose_the_worker(sis)
    assert sis.jobs("todo") == []
    sis.until(sis.row["next"])
    assert sis.tick() == 1  # the next night waits behind the one that was lost
    swept(sis)
    assert [status for _, status, _ in sis.jobs("todo", "doing", "failed")] == ["failed", "todo"]
    sis.work()
    assert [run.state for run in sis.runs()] == ["published"]


def test_a_lost_job_without_its_like_is_run_again(sis):
    begun(sis)
    sis.until(sis.row["next"])
    sis.tick()
    lose_the_worker(sis)
    swept(sis)
    assert len(sis.jobs("todo")) == 1
    sis.work()
    assert [run.state for run in sis.runs()] == ["published"]


def lose_the_worker(sis: Sis) -> None:
    """The job that waits was begun by a worker that has been silent for an hour."""
    with psycopg.connect(sis.world.office.database.url, autocommit=True) as connection:
        connection.execute("SET ROLE schoolgate_jobs")
        dead = connection.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour') RETURNING id"
        ).fetchone()[0]  # fmt: skip
        connection.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s WHERE id = %s",
            (dead, sis.jobs("todo")[0][0]),
        )


def swept(sis: Sis) -> None:
    import asyncio

    from gateway.jobs import run_again

    app: procrastinate.App = make_worker(sis.world.parts)

    async def sweep() -> None:
        async with app.open_async():
            await run_again(app)

    asyncio.run(sweep())


# --- held ------------------------------------------------------------------------------------------


def held(sis: Sis) -> str:
    assert sis.night().state == "published"
    sis.answers(two_schools(6))
    report = sis.night()
    assert report.state == "held"
    return report.run


def test_a_hold_of_the_night_stays_held_and_is_told_once_a_day(sis):
    held(sis)
    assert sis.night().state == "unchanged"  # what waits is kept, and nothing else came
    assert sis.told() == [("held", "SRC_HELD")]
    sis.world.clock.forward(days=1)
    assert sis.night().state == "unchanged"
    assert sis.told() == [("held", "SRC_HELD")] * 2
    assert sis.row["attempt"] == 0


def test_two_people_release_a_hold_of_the_night_and_the_timetable_is_neither(sis):
    run, world = held(sis), sis.world
    second, _ = onboarding.add_staff(world.office, world.by, "S. Second", "district_admin", None)
    district = world.by.district
    with pytest.raises(Refused, match="ACT_SECOND_PERSON"):
        rosters.release(world.office, district, run, TIMETABLE)
    assert rosters.release(world.office, district, run, world.by.ref).hold["released"] is False
    for nobody in (world.by.ref, TIMETABLE):
        with pytest.raises(Refused, match="ACT_SECOND_PERSON"):
            rosters.release(world.office, district, run, nobody)
    assert sis.night().state == "unchanged"
    assert rosters.release(world.office, district, run, second).hold["released"] is True
    with pytest.raises(Refused, match="SRC_HOLD_OVER"):
        rosters.release(world.office, district, run, world.by.ref)
    assert sis.night().state == "unchanged"  # the release published


def test_a_hold_that_a_person_ran_into_needs_one_other(sis):
    assert sis.night().state == "published"
    report = sis.world.deliver(two_schools(6))
    assert report.state == "held"
    assert sis.told() == [("held", "SRC_HELD")]
    with pytest.raises(Refused, match="ACT_SECOND_PERSON"):
        rosters.release(sis.world.office, sis.world.by.district, report.run, sis.world.by.ref)
    second, _ = onboarding.add_staff(sis.world.office, sis.world.by, "S. Second", "district_admin", None)
    released = rosters.release(sis.world.office, sis.world.by.district, report.run, second)
    assert released.hold["released"] is True


# --- pauses and peaks ------------------------------------------------------------------------------


def test_a_source_that_is_paused_does_nothing_and_says_so(sis):
    due, world = begun(sis), sis.world
    until = due + timedelta(days=2)
    said = timetable.pause(world.office, world.by, "sis", "year end", None, until)
    assert said["paused"]["reason"] == "year end"
    sis.until(due)
    assert sis.tick() == 0
    assert (sis.row["said"], sis.row["next"]) == ("SRC_PAUSED", until)
    assert sis.night() is None
    report = world.deliver(two_schools())
    assert (report.state, report.code, "year end" in report.refusal["detail"]) == ("refused", "SRC_PAUSED", True)
    assert world.deliver(two_schools(), publish=False).state == "planned"
    assert len(sis.wire.calls) == 0
    sis.until(until)
    assert sis.tick() == 1
    sis.work()
    assert sis.runs()[0].state == "published"


def test_a_pause_begins_and_ends_and_is_ended_by_a_person(sis):
    world, now = sis.world, sis.world.clock.at
    timetable.pause(world.office, world.by, "sis", "later", now + timedelta(days=1), now + timedelta(days=2))
    assert sis.row["paused"] is None
    with pytest.raises(Refused, match="is not paused"):
        timetable.resume(world.office, world.by, "sis")
    sis.until(now + timedelta(days=1, hours=1))
    assert sis.row["paused"]["reason"] == "later"
    assert timetable.resume(world.office, world.by, "sis")["paused"] is None
    (kept,) = sis.row["pauses"]
    assert (kept["created_by"], kept["ended_by"]) == (world.by.ref, world.by.ref)


def test_a_pause_without_an_end_lasts_until_it_is_resumed(sis):
    begun(sis)
    timetable.pause(sis.world.office, sis.world.by, "sis", "broken export", None, None)
    for _ in range(3):
        sis.until(sis.row["next"])
        assert sis.tick() == 0
    timetable.resume(sis.world.office, sis.world.by, "sis")
    sis.until(sis.row["next"])
    assert sis.tick() == 1


def test_a_pause_that_began_after_the_job_was_put_in_line_holds(sis):
    due = begun(sis)
    sis.until(due)
    assert sis.tick() == 1
    timetable.pause(sis.world.office, sis.world.by, "sis", "stop", None, None)
    sis.work()
    assert (sis.runs(), len(sis.wire.calls)) == ([], 0)


def test_no_run_begins_in_the_peak(sis):
    due = begun(sis)
    begin, end = due - timedelta(hours=3), due + timedelta(hours=2)
    sis.world.clock.at = begin - timedelta(hours=6)
    window = f"{begin:%H:%M}-{end:%H:%M}"
    with pytest.raises(Refused, match="REQ_CONTRADICTORY"):
        timetable.set_plan(sis.world.office, sis.world.by, "sis", {"peaks": [window]})
    later = f"{end + timedelta(hours=1):%H:%M}"
    timetable.set_plan(sis.world.office, sis.world.by, "sis", {"peaks": [window], "at": later})
    assert sis.tick() == 0
    assert sis.row["next"].strftime("%H:%M") == later
    sis.until(due + timedelta(days=1))
    assert sis.tick() == 0
    assert sis.row["said"] == "SRC_PEAK"
    sis.until(sis.row["next"])
    assert f"{sis.world.clock.at:%H:%M}" == f"{end:%H:%M}"
    assert sis.tick() == 1


def test_the_terms_of_the_roster_are_the_school_year(sis):
    sis.night()
    timetable.set_plan(sis.world.office, sis.world.by, "sis", {"terms": True})
    sis.at("2026-12-01T12:00+00:00")
    assert sis.row["next"].date().isoformat() == "2026-12-02"
    sis.at("2027-07-01T12:00+00:00")  # a Thursday after the last day
    sis.tick()
    assert (sis.row["next"].date().isoformat(), sis.row["next"].strftime("%a")) == ("2027-07-05", "Mon")


@pytest.mark.parametrize(
    "said", [{"at": "25:00"}, {"at": "7"}, {"weekdays": ["someday"]}, {"weekdays": []}, {"holidays": ["2026-02-30"]},
             {"peaks": ["07:00"]}, {"peaks": ["00:00-23:59"]}, {"holidays": ["2027-01-03/2026-12-21"]}]
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused_and_nothing_changes(sis, said):
    before = sis.row
    with pytest.raises(Refused, match="REQ_INVALID"):
        timetable.set_plan(sis.world.office, sis.world.by, "sis", said)
    assert sis.row == before


def test_a_zone_that_is_none_is_refused(sis):
    for zone in ("Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "America/../UTC"):
        with pytest.raises(Refused, match="REQ_INVALID"):
            timetable.set_zone(sis.world.office, sis.world.by, zone)


def test_only_a_district_administrator_sets_it(sis):
    ref, token = onboarding.add_staff(sis.world.office, sis.world.by, "O. Officer", "privacy_officer", None)
    from gateway.identity import staff

    officer = staff.person(sis.world.office.database, token, sis.world.clock.at)
    for act in (
        lambda: timetable.set_plan(sis.world.office, officer, "sis", {"at": "02:00"}),
        lambda: timetable.pause(sis.world.office, officer, "sis", "x", None, None),
        lambda: timetable.resume(sis.world.office, officer, "sis"),
        lambda: timetable.set_zone(sis.world.office, officer, "UTC"),
    ):
        with pytest.raises(Refused, match="ACT_NOT_STAFF"):
            act()
    assert ref


# --- what should have come -------------------------------------------------------------------------


def test_a_delivery_that_did_not_come_is_told_once_a_day(world):
    world.onboard("A", "B")
    assert timetable.show(world.office, world.by, "sis")["nightly"] is False
    timetable.set_plan(world.office, world.by, "sis", {"at": "05:00"})

    def told() -> list[tuple[str, str]]:
        with world.office.database.open_district(world.by.district) as session:
            return [(row.cause, row.code) for row in notifications.listing(session, unseen=False, limit=100)]

    running.tick(world.parts)
    for expected in (1, 2):
        world.clock.at = timetable.show(world.office, world.by, "sis")["next"]
        running.tick(world.parts)
        running.tick(world.parts)
        assert told() == [("missing", "SRC_MISSING")] * expected
    world.deliver(two_schools())
    world.clock.at = timetable.show(world.office, world.by, "sis")["next"]
    running.tick(world.parts)
    assert len(told()) == 2


# --- progress --------------------------------------------------------------------------------------


def test_a_run_tells_how_far_it_has_come(sis):
    heard: list[progress.Moment] = []
    world = sis.world
    path = two_schools(200).zip(sis.folder / "big.zip")
    report = rosters.sync(
        world.office, world.by.district, world.source, path, world.by.ref, publish=True, listeners=[heard.append]
    )
    assert report.state == "published"
    assert list(dict.fromkeys(now.step for now in heard)) == ["read", "check", "project", "publish"]
    assert [now.done for now in heard] == sorted(now.done for now in heard)
    assert heard[-1].done == heard[-1].total > 600
    assert "progress" not in report.as_dict()


def test_progress_is_seen_from_elsewhere_while_a_run_goes_on_and_not_after(sis):
    world, seen = sis.world, []

    def look(_now: progress.Moment) -> None:
        with world.office.database.open_intake(world.by.district) as session:
            seen.append(progress.standing(session, world.source, world.clock.at))
        world.clock.forward(seconds=2)

    path = two_schools(50).zip(sis.folder / "some.zip")
    report = rosters.sync(
        world.office, world.by.district, world.source, path, world.by.ref, publish=True, listeners=[look]
    )
    assert {now["run"] for now in seen} == {report.run}
    assert {now["state"] for now in seen} == {"running"}
    assert [now["step"] for now in seen][-1] == "publish"
    look(progress.Moment("over"))
    assert seen[-1] is None


def test_time_left_is_told_from_sizes_and_from_the_last_run(sis):
    world = sis.world
    assert sis.night().state == "published"
    with world.office.database.open_intake(world.by.district) as session:
        started, run = world.clock.at, "run_0000000000000000"
        runs.begin(session, run, world.source, started, world.by.ref)
        runs.beat(session, run, "read", 1000, 4000, None, started + timedelta(seconds=10))
    with world.office.database.open_intake(world.by.district) as session:
        now = progress.standing(session, world.source, world.clock.at)
    assert (now["rows_per_second"], now["seconds_left"] is None, now["state"]) == (100, True, "lost")
    with (
        psycopg.connect(world.office.database.url) as other,
        world.office.database.open_intake(world.by.district) as session,
    ):
        other.execute("SELECT pg_advisory_lock(hashtext(%s))", (f"source:{world.source}",))
        now = progress.standing(session, world.source, world.clock.at)
    assert (now["state"], now["seconds_left"]) == ("running", 30)


def test_a_run_that_was_killed_is_said_to_be_lost_and_the_next_one_takes_its_place(sis):
    world = sis.world
    with world.office.database.open_intake(world.by.district) as session:
        runs.begin(session, "run_0000000000000000", world.source, world.clock.at, world.by.ref)
        runs.beat(session, "run_0000000000000000", "check", 10, 10, None, world.clock.at)
    with world.office.database.open_intake(world.by.district) as session:
        assert progress.standing(session, world.source, world.clock.at)["state"] == "lost"
    sis.night()
    with world.office.database.open_intake(world.by.district) as session:
        assert progress.standing(session, world.source, world.clock.at) is None
