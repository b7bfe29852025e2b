"""What a school lets go of because its agreement names less is told, and is no danger of the delivery."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from gateway.flows import rosters
from gateway.report_text import lines
from gateway.store import sources
from tests.deliveries import Delivery, two_schools
from tests.flows.test_roster_collection import PEOPLE, agreed, delivery, of, renewed
from tests.refused.spoil import live
from tests.worlds import COLLECTED, World


@pytest.fixture
def package(world: World, tmp_path: Path) -> Path:
    """A delivery that was taken whole, with children."""
    path = delivery().zip(tmp_path / "one.zip")
    assert agreed(world.unseeded(), *COLLECTED).sync(path).state == "published"
    return path


def said(report: rosters.Report, word: str) -> dict[str, int]:
    """How many rows of both schools a word of the report is true of, by kind."""
    kinds = {kind for school in report.schools for kind in school[word]}
    return {kind: sum(school[word].get(kind, 0) for school in report.schools) for kind in kinds}


def test_a_plan_says_what_a_narrower_agreement_takes_away(world: World, package: Path) -> None:
    renewed(world, "SNM", "ENR")
    plan = world.sync(package, publish=False)
    people, rows = len(of_kind(world, "user")), len(of_kind(world, "demographics"))
    assert (plan.held_by, plan.hold, plan.absences) == ([], None, {})
    assert (said(plan, "narrowed"), said(plan, "left_out")) == ({"user": people}, {"demographics": rows})
    text = "\n".join(lines(plan, "sis"))
    assert f"only lose elements which the agreement no longer names: {people} people" in text
    assert f"are no longer let in by the agreement: {rows} demographics" in text


def of_kind(world: World, kind: str) -> list[tuple[str, str, str]]:
    return [at for at in live(world) if at[1] == kind]


def test_a_narrower_agreement_is_not_held(world: World, package: Path) -> None:
    renewed(world, "SNM")
    assert world.sync(package).state == "published"
    assert "email" not in of(world, "B", "p1")
    assert not of_kind(world, "demographics")
    again = world.sync(package)
    assert (again.state, said(again, "narrowed"), said(again, "left_out")) == ("unchanged", {}, {})


def test_what_the_delivery_changes_is_held_all_the_same(world: World, package: Path, tmp_path: Path) -> None:
    """Everybody is called otherwise on the night on which less is agreed."""
    renewed(world, "SNM", "ENR")
    made = delivery()
    for row in made.rows["users.csv"]:
        row["familyName"] = "Same"
    report = world.sync(made.zip(tmp_path / "two.zip"))
    assert (report.state, {trip["guard"] for trip in report.held_by}) == ("held", {"changed"})
    assert said(report, "narrowed") == {}


def test_what_the_delivery_lacks_is_held_all_the_same(world: World, package: Path, tmp_path: Path) -> None:
    renewed(world, "SNM")
    made = delivery()
    for who in ("p1", "p3", "p5"):
        for name in ("users.csv", "roles.csv", "enrollments.csv", "demographics.csv"):
            made.rows[name] = [row for row in made.rows[name] if who not in row.values()]
    report = world.sync(made.zip(tmp_path / "two.zip"))
    assert (report.state, report.published) == ("held", True)
    assert "email" not in of(world, "B", "p1")  # they wait, without what nobody agreed to
    assert not of_kind(world, "demographics")


def test_nothing_stays_of_what_is_not_collected_any_more(world: World, package: Path) -> None:
    """Not of those of whom that night says nothing, either."""
    renewed(world, "SNM")
    changes = Delivery(rows={"users.csv": [delivery().row("users.csv", "p1")]}).as_delta("users.csv")
    for name in [name for name in changes.rows if name != "users.csv"]:
        changes.rows.pop(name)
    changes.rows["users.csv"][0] |= {"status": "active", "dateLastModified": "2026-10-01T00:00:00.000Z"}
    assert world.deliver(changes).state == "published"
    with world.office.database.open_intake(world.by.district) as session:
        rows = session.rows("SELECT email, given_name FROM staging.user WHERE source = %(n)s",
                            n=sources.number(session, world.source))  # fmt: skip
    assert {row.email for row in rows} == {None}
    assert None not in {row.given_name for row in rows}
    assert not of_kind(world, "demographics")


def test_children_go_with_the_agreement_for_them_and_are_not_held(world: World, tmp_path: Path) -> None:
    path = grown("2013-01-01").zip(tmp_path / "one.zip")
    agreed(world.unseeded(), *COLLECTED).sync(path)
    renewed(world, *COLLECTED, school_agent=False)
    report = world.sync(path)
    assert report.state == "published"
    assert said(report, "left_out").keys() == {"user", "enrollment", "demographics"}
    assert {at[2] for at in live(world) if at[1] == "user"} == {"tA", "tB"}


def grown(born: str) -> Delivery:
    made = two_schools(PEOPLE)
    for row in made.rows["demographics.csv"]:
        row["birthDate"] = born
    return made


@pytest.mark.parametrize("born", ["2013-01-01", ""], ids=["of children", "none"])
def test_pupils_whom_other_birth_dates_turn_into_children_are_held(world: World, tmp_path: Path, born: str) -> None:
    """No agreement took them away: a delivery did."""
    agreed(world.unseeded(), *COLLECTED, school_agent=False).sync(grown("2010-01-01").zip(tmp_path / "one.zip"))
    report = world.sync(grown(born).zip(tmp_path / "two.zip"))
    assert (report.state, report.published) == ("held", False)
    assert said(report, "left_out") == {}


def test_a_wider_agreement_is_reviewed(world: World, package: Path) -> None:
    """Nobody has seen yet what comes in now: that counts as what it is, a change of everybody."""
    renewed(world, "SNM")
    assert world.sync(package).state == "published"
    renewed(world, *COLLECTED)
    report = world.sync(package)
    assert (report.state, {trip["guard"] for trip in report.held_by}) == ("held", {"changed"})
    assert (said(report, "narrowed"), said(report, "left_out")) == ({}, {})


# --- the law ---------------------------------------------------------------------------------------


def by_chance(seed: int) -> tuple[Delivery, tuple[str, ...], bool]:
    """A night, and what is agreed from then on: less than everything."""
    chance, made = random.Random(seed), delivery()
    for row in made.rows["users.csv"]:
        if chance.random() < chance.choice((0.1, 0.9)):
            row[chance.choice(("email", "givenName", "grades", "phone"))] = str(chance.randrange(9))
    for row in made.rows["demographics.csv"]:
        if chance.random() < chance.choice((0.1, 0.5)):
            row[chance.choice(("birthDate", "sex"))] = ""
    for who in chance.sample([f"p{n}" for n in range(PEOPLE)], k=chance.choice((0, 1, 4))):
        for name in ("roles.csv", "users.csv", "demographics.csv", "enrollments.csv")[chance.choice((0, 3)) :]:
            made.rows[name] = [row for row in made.rows[name] if who not in row.values()]
    return made, tuple(one for one in COLLECTED if chance.random() < 0.6), chance.random() < 0.5


@pytest.mark.parametrize("seed", range(8))
def test_a_delivery_is_judged_as_if_less_had_been_agreed_before(world: World, tmp_path: Path, seed: int) -> None:
    """The guards find of a night what they would find if the schools had never held what they do not let in now."""
    made, less, children = by_chance(seed)
    path, there = made.zip(tmp_path / "two.zip"), delivery().zip(tmp_path / "one.zip")
    agreed(world.unseeded(), *COLLECTED).sync(there)
    renewed(world, *less, school_agent=children)
    other = World(world.office, world.clock, like=world).unseeded()
    agreed(other, *less, school_agent=children).sync(there)
    met, would = world.sync(path, publish=False), other.sync(path, publish=False)
    assert found(world, met) == found(other, would)


def found(world: World, report: rosters.Report) -> list[tuple[Any, ...]]:
    orgs = {ref: org for org, ref in world.refs.items()}
    return sorted((t["guard"], orgs.get(t["school"], ""), t["kind"], t["count"], t["of"]) for t in report.held_by)
