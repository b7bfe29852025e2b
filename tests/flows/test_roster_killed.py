"""A run is killed at a named step: the old version serves, and the next run takes the delivery up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.store import holds, runs, sources
from tests.flows.killed import STEPS
from tests.flows.test_roster_holds import bodies
from tests.flows.test_roster_sync import PUPILS, THREE_GONE, gone, night
from tests.refused.spoil import bring, holdings
from tests.worlds import World


@pytest.fixture
def standing(world: World) -> World:
    return world.unseeded().standing(PUPILS)


def kill_at(step: str, world: World, package: Path) -> None:
    places = (world.office.database.url, world.office.settings.instance, world.by.district, world.source)
    words = [sys.executable, "-m", "tests.flows.killed", step, *map(str, (*places, package, world.by.ref))]
    done = subprocess.run(words, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_run_leaves_the_old_version_and_the_next_one_takes_it_up(
    standing: World, step: str, tmp_path: Path
) -> None:
    before, package = holdings(standing), night(gone("p2")).zip(tmp_path / "night.zip")
    kill_at(step, standing, package)
    assert holdings(standing) == before
    with standing.office.database.open_intake(standing.by.district) as session:
        (dead, *_) = sources.history(session, standing.source)
        going = runs.under_way(session, standing.source)
    assert (dead.state, dead.step) == ("running", step if step != "record" else "publish")
    assert dead.rows_done > 0 or step == "read"
    assert (going.run, going.rows_expected) == (dead.run, sum(map(len, night().rows.values())))
    report = bring(standing, package)
    assert (report.state, report.resumed) == ("published", dead.run)
    with standing.office.database.open_intake(standing.by.district) as session:
        assert sources.run(session, dead.run).state == "killed"
        assert runs.under_way(session, standing.source) is None
    fresh = World(standing.office, standing.clock, like=standing).onboard("A", "B")
    fresh.deliver(night(gone("p2")))
    assert bodies(standing) == bodies(fresh)


def test_a_run_that_is_killed_while_it_holds_leaves_no_hold(standing: World, tmp_path: Path) -> None:
    package = night(THREE_GONE).zip(tmp_path / "night.zip")
    kill_at("record", standing, package)
    with standing.office.database.open_intake(standing.by.district) as session:
        assert not holds.listing(session, standing.source)
        assert not holds.kinds_waiting(session, sources.number(session, standing.source))
    assert bring(standing, package).state == "held"


def test_another_delivery_after_a_killed_one_is_not_its_own(standing: World, tmp_path: Path) -> None:
    kill_at("check", standing, night(gone("p2")).zip(tmp_path / "one.zip"))
    assert bring(standing, night(gone("p4")).zip(tmp_path / "two.zip")).resumed is None
    with standing.office.database.open_intake(standing.by.district) as session:
        assert [run.state for run in sources.history(session, standing.source)].count("killed") == 1
        assert runs.last_accepted(session, standing.source).state == "published"
