"""Groups of a course: read where an agreement has use for them, under ids of our own, named only where it says so."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sandbox.wire import fetch
from mappings import lti_groups
from tests.gradebooks import Gradebook
from tests.journeys.test_grades import PUPILS
from tests.journeys.test_products import at
from tests.platforms import GS, HOST, Platform, application, code_of, refusal_of
from tests.worlds import NAMES, World

WITH_NAMES = (*NAMES, "SAP", "group.name")


class Team:
    """A class whose course has two groups, an application under an agreement, and what it reads of the members."""

    def __init__(self, world: World, wire: Any, schedule: tuple[str, ...]) -> None:
        self.world = world.standing()
        self.app = application(world, "A", schedule=schedule)
        self.lms = Platform().register(world, "A").link(world, "A", "kA").serve_keys(wire)
        self.names = [self.lms.token("lti_gs", "Group.name", key) for key in ("g1", "g2")]
        groups = {"g1": (self.names[0], ["p0", "p2"]), "g2": (self.names[1], ["p4", "p2"])}
        self.book = Gradebook(self.lms, members=["tA", *PUPILS], groups=groups).serve(wire)

    def open(self) -> str:
        """The teacher launches; the application learns the class."""
        answer = self.lms.launch(self.world, self.lms.message("tA", "Instructor", **self.book.claims()))
        told = self.app.call("POST", "/v1/launches/exchange", json={"code": code_of(answer)}).json
        return f"/v1/classes/{told['class']['id']}/members"

    def members(self) -> dict[str, Any]:
        answer = self.app.get(self.open())
        assert answer.status_code == 200, answer.text
        assert not [key for key in ("g1", "g2", "s1") if f'"{key}"' in answer.text]
        return {one.get("name", "").split()[0].removeprefix("Given"): one.get("groups") for one in answer.json["data"]}


def test_members_come_with_their_groups_and_the_names_that_are_agreed(public_world, wire):
    team = Team(public_world, wire, WITH_NAMES)
    found = team.members()
    assert {who: [g["name"] for g in found[who]] for who in ("p0", "p4")} == {
        "p0": team.names[:1],
        "p4": team.names[1:],
    }
    assert {g["name"] for g in found["p2"]} == set(team.names)
    assert {g["set"] for one in found.values() for g in one or ()} == {"Teams"}
    assert all(g["id"].startswith("gr_") for one in found.values() for g in one or ())
    assert found["p6"] == []
    assert found["p8"] is None  # of the roster, and not of the course
    assert found == team.members()
    intent = [e for e in team.world.ledger("A") if e["type"] == "intent" and e["operation"] == "members.read"][-1]
    assert {"enrollment.group", "group.name"} <= set(intent["elements"])


def test_names_that_are_not_agreed_are_not_even_asked_for(public_world, wire):
    team = Team(public_world, wire, (*NAMES, "SAP"))
    found = team.members()
    assert [set(g) for g in found["p0"]] == [{"id"}]
    assert not [asked for asked in team.book.asked if asked.endswith(("/groups", "/sets"))]
    intent = [e for e in team.world.ledger("A") if e["type"] == "intent" and e["operation"] == "members.read"][-1]
    assert [one["element"] for one in intent["withheld"] if one["element"] == "group.name"] == ["group.name"]


@pytest.mark.parametrize("more", ["person.role", "group.name"])
def test_groups_that_are_not_agreed_are_not_asked_for(public_world, wire, more):
    team = Team(public_world, wire, ("SNM", "SCH", "record.alias", "enrollment.membership", more))
    assert set(map(str, team.members().values())) == {"None"}
    assert not [asked for asked in team.book.asked if "groups" in asked or asked.endswith("/sets")]


def test_groups_of_a_course_that_names_no_service_are_not_asked_for(public_world, wire):
    team = Team(public_world, wire, WITH_NAMES)
    team.book.groups = {}
    assert set(map(str, team.members().values())) == {"None"}
    assert not [asked for asked in team.book.asked if "groups" in asked]


def test_groups_without_names_where_the_list_cannot_be_read(public_world, wire):
    team = Team(public_world, wire, WITH_NAMES)
    team.book.group_status = 500
    assert [set(g) for g in team.members()["p0"]] == [{"id"}]


def test_a_pupil_who_is_withheld_is_in_no_group(public_world, wire):
    team = Team(public_world, wire, WITH_NAMES)
    team.world.file("opt_out", school="School A", pupil="p0", category="application")
    assert "p0" not in team.members()


def test_another_application_knows_the_groups_by_other_names(public_world, wire):
    team = Team(public_world, wire, WITH_NAMES)
    ours = {g["id"] for one in team.members().values() for g in one or ()}
    with team.world.office.database.open_district(team.world.by.district) as session:
        session.run("UPDATE access_grant SET status = 'revoked' WHERE district = %(district)s")
    team.app = team.world.connect("Mastery App", *team.app.scopes, schools=["A"])
    theirs = {g["id"] for one in team.members().values() for g in one or ()}
    assert (len(ours), len(theirs), ours & theirs) == (2, 2, set())


@pytest.mark.parametrize(
    "claim",
    [
        {"context_groups_url": "https://elsewhere.example/groups"}, {"context_groups_url": 7}, {"scope": "all"},
        {"context_groups_url": f"{HOST}/g", "context_group_sets_url": "https://elsewhere.example/sets"},
        {"context_groups_url": "http://lms.example/groups"}, {"context_groups_url": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_service_that_is_not_the_platforms_is_refused(public_world, wire, claim):
    team = Team(public_world, wire, WITH_NAMES)
    said = {GS + "claim/groupsservice": {"scope": [lti_groups.SCOPE], "context_groups_url": f"{HOST}/g"} | claim}
    answer = team.lms.launch(team.world, team.lms.message("tA", "Instructor", **team.book.claims() | said))
    assert refusal_of(answer) == "LTI_SERVICE_URL"


# --- the sandbox's LMS ---------------------------------------------------------------------------------


def test_groups_of_an_lms_over_loopback(addresses, settings):
    with at(addresses, settings, "blackboard") as make:
        make.begin()
        found = make.app.get(f"/v1/classes/{make.launch['class']['id']}/members").json["data"]
        mine = {one["id"]: one.get("groups") for one in found}
        assert [len(mine[make.people[who]]) for who in PUPILS] == [1] * len(PUPILS)
        assert "Herons" not in str(found)
        assert fetch("GET", f"{make.told['lms']}/courses/7/groups").status_code == 401
