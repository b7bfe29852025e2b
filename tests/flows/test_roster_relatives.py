"""Guardians, parents and relatives: where children are not let in, nobody comes in for their sake alone."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from gateway.flows import rosters
from gateway.report_text import lines
from tests.deliveries import HEADERS, Delivery, two_schools
from tests.flows.test_roster_collection import agreed, renewed, taken
from tests.flows.test_roster_holds import bodies
from tests.refused.spoil import live
from tests.worlds import COLLECTED, World

OLD, CHILD = "2010-01-01", "2013-01-01"  # under *strictest* one is a child up to the age of 13
WITHOUT_GUARDIANS = tuple(element for element in COLLECTED if element != "PGI")


def family(version: str = "1.2") -> Delivery:
    """At school A a child and a pupil of 16, each with relatives: said of the pupils, of the relatives, or of both."""
    made = (
        Delivery(version, headers={"demographics.csv": HEADERS["1.2"]["demographics.csv"]})
        .frame("A", "B")
        .class_("kA", "A")
        .class_("kB", "B")
    )
    made.person("tA", "teacher", "A").enroll("tA", "kA", "A", "teacher")
    made.person("child", "student", "A", born=CHILD, agentSourcedIds="mother,aunt,both,tA")
    made.person("old", "student", "A", born=OLD, agentSourcedIds="uncle,both")
    made.person("mother", "parent", "A", born="1985-01-01", agentSourcedIds="father")
    made.person("father", "guardian", "A", agentSourcedIds="child,mother").person("aunt", "relative", "A")
    made.person("both", "parent", "A").person("uncle", "relative", "A")
    made.person("olds", "guardian", "A", agentSourcedIds="old").person("nobodys", "parent", "A")
    for pupil in ("child", "old"):
        made.enroll(pupil, "kA", "A")
    return made


def people(world: World, org: str = "A") -> set[str]:
    return {at[2] for at in live(world, org) if at[1] == "user"}


@pytest.mark.parametrize("version", ["1.1", "1.2"])
def test_nobody_comes_in_for_a_left_out_childs_sake_alone(world: World, version: str) -> None:
    agreed(world.unseeded(), *COLLECTED, school_agent=False)
    report = world.deliver(family(version))
    assert people(world) == {"tA", "old", "uncle", "both", "olds"}
    assert report.children == [{"school": world.refs["A"], "pupils": 1, "relatives": 4}]
    told = f"School A {world.refs['A']}: 4 guardians or relatives not let in, as no pupil of theirs is"
    assert told in "\n".join(lines(report, "sis"))
    assert {at[2] for at in live(world, "A") if at[1] == "demographics"} <= {"old"}
    assert sorted(live(world)["A", "user", "old"].agents) == ["both", "uncle"]
    assert world.deliver(family(version)).state == "unchanged"


def test_where_children_come_in_so_do_their_relatives(world: World) -> None:
    agreed(world.unseeded(), *COLLECTED)
    report = world.deliver(family())
    assert {"child", "mother", "father", "aunt", "nobodys"} <= people(world)
    assert report.children == []


def test_who_has_another_role_there_comes_in(world: World) -> None:
    made = family().enroll("mother", "kA", "A", "teacher")
    made.add("roles.csv", sourcedId="r2", userSourcedId="father", role="aide", roleType="secondary", orgSourcedId="A")
    made.add("roles.csv", sourcedId="r3", userSourcedId="aunt", role="teacher", roleType="secondary", orgSourcedId="B")
    agreed(world.unseeded(), *COLLECTED, school_agent=False).deliver(made)
    assert {"mother", "father"} <= people(world)
    assert "aunt" not in people(world)
    assert people(world, "B") == {"aunt"}


def test_an_enrollment_as_a_guardian_is_no_other_role(world: World) -> None:
    made = family("1.1").enroll("mother", "kA", "A", "guardian").enroll("both", "kA", "A", "parent")
    agreed(world.unseeded(), *COLLECTED, school_agent=False).deliver(made)
    assert "mother" not in people(world)
    assert {at[2] for at in live(world, "A") if at[1] == "enrollment"} == {"e.kA.tA", "e.kA.old", "e.kA.both"}


def test_a_school_is_asked_about_its_own_pupils(world: World) -> None:
    """A sibling who is let in elsewhere lets nobody in here."""
    made = family().person("sister", "student", "B", born=OLD, agentSourcedIds="mother").enroll("sister", "kB", "B")
    made.add("roles.csv", sourcedId="r2", userSourcedId="mother", role="parent", roleType="secondary", orgSourcedId="B")
    agreed(world.unseeded(), *COLLECTED, school_agent=False).deliver(made)
    assert "mother" not in people(world)
    assert people(world, "B") == {"sister", "mother"}


def test_where_nobody_collects_guardians_none_is_anybodys(world: World) -> None:
    """Also where another school of the source collects them."""
    agreed(world.unseeded(), *WITHOUT_GUARDIANS, at=("A",), school_agent=False)
    agreed(world, *COLLECTED, at=("B",)).deliver(family())
    assert people(world) == {"tA", "old"}


def test_who_is_nobodys_any_more_does_not_come_in(world: World) -> None:
    """The child that was left out leaves: those who were there for its sake do not come instead."""
    agreed(world.unseeded(), *COLLECTED, school_agent=False).deliver(family())
    before, made = people(world), family()
    for name in ("users.csv", "roles.csv", "enrollments.csv", "demographics.csv"):
        made.rows[name] = [row for row in made.rows[name] if "child" not in row.values()]
    made.row("users.csv", "father")["agentSourcedIds"] = "mother"
    assert world.deliver(made).state == "unchanged"
    assert people(world) == before


def test_relatives_come_when_the_child_has_grown_up(world: World) -> None:
    agreed(world.unseeded(), *COLLECTED, school_agent=False).deliver(family())
    world.clock.forward(days=60)  # the child was born in January
    path = family().zip(world.office.settings.instance.parent / "later.zip")
    assert world.sync(path).state == "published"
    assert {"child", "mother", "father", "aunt"} <= people(world)
    assert "nobodys" not in people(world)


def test_relatives_that_come_as_changes_are_judged_alike(world: World) -> None:
    agreed(world.unseeded(), *COLLECTED, school_agent=False).deliver(family())
    changes = Delivery().as_delta("users.csv", "roles.csv", "demographics.csv")
    for name in ("orgs.csv", "academicSessions.csv", "courses.csv", "classes.csv", "enrollments.csv"):
        changes.rows.pop(name)
    changes.person("gran", "relative", "A", agentSourcedIds="child").person(
        "nan", "relative", "A", agentSourcedIds="old"
    )
    changes.add("demographics.csv", sourcedId="child", birthDate=OLD)
    for name in changes.rows:
        for row in changes.rows[name]:
            row |= {"status": "active", "dateLastModified": "2026-10-01T00:00:00.000Z"}
    changes.rows["demographics.csv"].clear()
    assert world.deliver(changes).state == "published"
    assert "nan" in people(world)
    assert "gran" not in people(world)


def test_relatives_go_with_the_agreement_for_children(world: World) -> None:
    path = family().zip(world.office.settings.instance.parent / "one.zip")
    agreed(world.unseeded(), *COLLECTED).sync(path)
    renewed(world, *COLLECTED, school_agent=False)
    assert world.sync(path).state == "published"
    assert people(world) == {"tA", "old", "uncle", "both", "olds"}


# --- going back ------------------------------------------------------------------------------------


def test_an_undo_brings_back_nobody_who_is_not_let_in(world: World) -> None:
    path = family().zip(world.office.settings.instance.parent / "one.zip")
    first = agreed(world.unseeded(), *COLLECTED).sync(path).run
    renewed(world, "SNM", "DEM", school_agent=False)
    world.clock.forward(hours=1)
    taken(world, path)
    world.clock.forward(hours=1)
    before = live(world)
    report = rosters.undo(world.office, world.by.district, world.source, world.by.ref, to=first, publish=True)
    assert (report.state, live(world)) == ("unchanged", before)


def test_an_undo_brings_back_who_is_let_in(world: World) -> None:
    path = family().zip(world.office.settings.instance.parent / "one.zip")
    first = agreed(world.unseeded(), *COLLECTED, school_agent=False).sync(path).run
    before = bodies(world)
    world.clock.forward(hours=1)
    made = family()
    made.row("users.csv", "olds")["givenName"] = "Other"
    made.row("users.csv", "old")["agentSourcedIds"] = "uncle,child"
    world.bring(made)
    assert "both" not in people(world)
    world.clock.forward(hours=1)
    report = rosters.undo(world.office, world.by.district, world.source, world.by.ref, to=first, publish=True)
    assert (report.state, bodies(world)) == ("published", before)
    assert world.deliver(family()).state == "unchanged"


# --- the law ---------------------------------------------------------------------------------------


@dataclass
class Said:
    """A district by chance, and who of school A is let in, reckoned as plainly as can be."""

    delivery: Delivery = field(default_factory=lambda: two_schools(0))
    roles: dict[str, set[str]] = field(default_factory=dict)
    old: set[str] = field(default_factory=set)
    ties: set[tuple[str, str]] = field(default_factory=set)

    def let_in(self) -> set[str]:
        pupils = {who for who, roles in self.roles.items() if "student" in roles} & self.old
        found = {"tA"} | pupils
        for who, roles in self.roles.items():
            theirs = any({who, pupil} == {*tie} for pupil in pupils for tie in self.ties)
            if "student" not in roles and (roles - {"guardian", "parent", "relative"} or theirs):
                found.add(who)
        return found


def by_chance(seed: int) -> Said:
    chance, said = random.Random(seed), Said()
    names = [f"n{n}" for n in range(24)]
    for who in names:
        roles = chance.choices(
            ["student", "guardian", "parent", "relative", "aide"], [6, 4, 3, 2, 1], k=chance.choice((1, 1, 2))
        )
        agents = chance.sample([name for name in names if name != who], k=chance.choice((0, 0, 1, 2)))
        born = chance.choice((OLD, CHILD, ""))
        said.delivery.person(who, roles[0], "A", born=born, agentSourcedIds=",".join(agents))
        for role in roles[1:]:
            said.delivery.add("roles.csv", sourcedId=f"x.{who}", userSourcedId=who, role=role, roleType="secondary",
                              orgSourcedId="A")  # fmt: skip
        said.roles[who] = set(roles)
        said.ties |= {(who, agent) for agent in agents}
        if born == OLD:
            said.old.add(who)
    return said


@pytest.mark.parametrize("seed", range(4))
def test_who_comes_in_is_who_belongs_there_or_to_somebody_let_in(world: World, seed: int) -> None:
    said = by_chance(seed)
    agreed(world.unseeded(), *COLLECTED, school_agent=False).deliver(said.delivery)
    assert people(world) == said.let_in()
    everybody = set(said.roles) | {"tA"}
    for row in live(world, "A").values():
        shown = {*(getattr(row, "agents", None) or ()), getattr(row, "sourced_id", "")} & everybody
        assert shown <= said.let_in()
