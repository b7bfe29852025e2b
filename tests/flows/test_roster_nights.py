"""The law of nights: however a district came to be as it is, each school holds what a first delivery would give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from tests.deliveries import Delivery
from tests.flows.test_roster_projection import held, night
from tests.refused.spoil import loose_ends
from tests.worlds import World

Change = Callable[[Delivery], object]
PEOPLE = [f"p{n}" for n in range(12)] + ["gA", "gB", "aide", "tA", "tB"]
ORGS, CLASSES, COURSES, TERMS = ["A", "B", "D"], ["kA", "kB", "kX", "kD"], ["c", "cB", "cD"], ["t", "t2", "t,t2"]


def rows(delivery: Delivery, file: str, **where: str) -> list[dict[str, str]]:
    return [r for r in delivery.rows[file] if all(r.get(k) == v for k, v in where.items())]


def leaves(who: str) -> Change:
    """A person leaves with everything that refers to it hard."""

    def change(d: Delivery) -> None:
        d.without("users.csv", who).without("demographics.csv", who)
        for file in ("roles.csv", "enrollments.csv"):
            d.rows[file] = [r for r in d.rows[file] if r["userSourcedId"] != who]
        for user in d.rows["users.csv"]:
            kept = [a for a in user.get("agentSourcedIds", "").split(",") if a and a != who]
            user["agentSourcedIds"] = ",".join(kept)

    return change


def moves(who: str, org: str) -> Change:
    return lambda d: [r.update(orgSourcedId=org) for r in rows(d, "roles.csv", userSourcedId=who)[:1]]


def also(who: str, org: str) -> Change:
    def change(d: Delivery) -> None:
        if rows(d, "users.csv", sourcedId=who) and not rows(d, "roles.csv", sourcedId=f"x.{who}.{org}"):
            d.add("roles.csv", sourcedId=f"x.{who}.{org}", userSourcedId=who, role="student", roleType="secondary",
                  orgSourcedId=org)  # fmt: skip

    return change


def only_enrolled(who: str, class_id: str) -> Change:
    """A person loses the roles and is known by an enrollment alone."""

    def change(d: Delivery) -> None:
        d.rows["roles.csv"] = [r for r in d.rows["roles.csv"] if r["userSourcedId"] != who]
        if rows(d, "users.csv", sourcedId=who) and not rows(d, "enrollments.csv", sourcedId=f"e.{class_id}.{who}"):
            d.enroll(who, class_id, d.row("classes.csv", class_id)["schoolSourcedId"])

    return change


def with_agents(who: str, agents: str) -> Change:
    def change(d: Delivery) -> None:
        there = [a for a in agents.split(",") if rows(d, "users.csv", sourcedId=a)]
        for user in rows(d, "users.csv", sourcedId=who):
            user["agentSourcedIds"] = ",".join(there)

    return change


def set_to(file: str, sourced_id: str, **cells: str) -> Change:
    return lambda d: [r.update(cells) for r in rows(d, file, sourcedId=sourced_id)]


def class_moves(class_id: str, org: str) -> Change:
    def change(d: Delivery) -> None:
        d.row("classes.csv", class_id)["schoolSourcedId"] = org
        for seat in rows(d, "enrollments.csv", classSourcedId=class_id):
            seat["schoolSourcedId"] = org

    return change


def term_leaves(d: Delivery) -> None:
    d.without("academicSessions.csv", "t2")
    for class_ in d.rows["classes.csv"]:
        class_["termSourcedIds"] = "t"


def course_leaves(course: str) -> Change:
    def change(d: Delivery) -> None:
        if course != "c":
            d.without("courses.csv", course)
            for class_ in rows(d, "classes.csv", courseSourcedId=course):
                class_["courseSourcedId"] = "c"

    return change


def born(who: str, day: str) -> Change:
    def change(d: Delivery) -> None:
        if rows(d, "users.csv", sourcedId=who):
            d.without("demographics.csv", who)
            if day:
                d.add("demographics.csv", sourcedId=who, birthDate=day, sex="other")

    return change


def shuffled(d: Delivery) -> None:
    for file in d.rows:
        d.rows[file].reverse()


PERSON, ORG, SCHOOL = st.sampled_from(PEOPLE), st.sampled_from(ORGS), st.sampled_from(["A", "B"])
CHANGES = st.one_of(
    st.builds(leaves, PERSON), st.builds(moves, PERSON, ORG), st.builds(also, PERSON, ORG),
    st.builds(only_enrolled, PERSON, st.sampled_from(CLASSES)),
    st.builds(with_agents, PERSON, st.sampled_from(["", "gA", "gB", "gA,gB", "tB", "aide"])),
    st.builds(lambda w, o: set_to("users.csv", w, primaryOrgSourcedId=o), PERSON, st.sampled_from(["", "A", "B", "d"])),
    st.builds(lambda w, n: set_to("users.csv", w, givenName=n), PERSON, st.sampled_from(["Ana", "Bea"])),
    st.builds(class_moves, st.sampled_from(CLASSES), SCHOOL),
    st.builds(lambda c, t: set_to("classes.csv", c, termSourcedIds=t), st.sampled_from(CLASSES), st.just("t")),
    st.builds(lambda c, to: set_to("classes.csv", c, courseSourcedId=to), st.sampled_from(CLASSES), st.just("c")),
    st.builds(lambda c, o: set_to("courses.csv", c, orgSourcedId=o), st.sampled_from(COURSES),
              st.sampled_from(["A", "B", "d"])),
    st.builds(course_leaves, st.sampled_from(COURSES)), st.just(term_leaves), st.just(shuffled),
    st.builds(lambda o: set_to("orgs.csv", "D", parentSourcedId=o), SCHOOL),
    st.builds(born, PERSON, st.sampled_from(["", "2011-01-01", "2012-02-29"])),
)  # fmt: skip
NIGHTS = st.lists(st.lists(CHANGES, min_size=1, max_size=6), min_size=1, max_size=4)


def bring(world: World, delivery: Delivery) -> None:
    """Bring a night in, none of whose rows is bad."""
    report = world.bring(delivery)
    assert not [f for f in report.faults if f.effect == "row"], report.faults


def holds(world: World, nights: list[list[Change]]) -> None:
    """Play the nights on one world, and give the last one's delivery to a fresh one."""
    lived, fresh = (World(world.office, world.clock, like=world).onboard("A", "B") for _ in range(2))
    delivery = night()
    bring(lived, delivery)
    for changes in nights:
        for change in changes:
            change(delivery)
        bring(lived, delivery)
    bring(fresh, delivery)
    assert held(lived) == held(fresh)
    assert loose_ends(lived) == []


@trials(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(nights=NIGHTS)
@example(nights=[[leaves("p0"), class_moves("kA", "B")]])
def test_nights_end_where_a_first_delivery_would(world, nights):
    holds(world, nights)


@pytest.mark.invariants
@trials(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(nights=NIGHTS)
def test_four_hundred_histories_end_where_a_first_delivery_would(world, nights):
    holds(world, nights)
