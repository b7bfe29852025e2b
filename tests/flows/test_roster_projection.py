"""What each school holds of a delivery: its own rows, nothing that leads out of it, the same by whatever way."""

from __future__ import annotations

import pytest

from gateway.flows import on_file, onboarding
from tests.deliveries import Delivery, two_schools
from tests.refused import spoil as to
from tests.refused.spoil import content, holdings, live, loose_ends
from tests.worlds import COLLECTED, World

PUPILS = 40


def night(*spoils: to.Spoil) -> Delivery:
    """A district with what can go astray: people of both schools, agents, a department, courses, terms."""
    made = two_schools(PUPILS)
    made.add("orgs.csv", sourcedId="D", name="Department", type="department", parentSourcedId="A")
    made.add("courses.csv", sourcedId="cB", title="Biology", orgSourcedId="B")
    made.add("courses.csv", sourcedId="cD", title="Drama", orgSourcedId="d")
    made.add("academicSessions.csv", **(made.row("academicSessions.csv", "t") | {"sourcedId": "t2", "title": "Spring"}))
    made.class_("kX", "A", courseSourcedId="cB").class_("kD", "A", courseSourcedId="cD").enroll("p2", "kD", "A")
    made.person("gA", "guardian", "A").person("gB", "guardian", "B").person("aide", "aide", "D")
    made.enroll("tB", "kD", "A", "teacher")
    made.row("users.csv", "p0").update(agentSourcedIds="gA,gB", primaryOrgSourcedId="A")
    made.row("users.csv", "p2").update(agentSourcedIds="gB", primaryOrgSourcedId="B")
    made.row("users.csv", "p8").update(agentSourcedIds="tB")
    for spoil in spoils:
        spoil(made)
    return made


def held(world: World) -> dict[tuple[str, str, str], dict]:
    return {at: content(row) for at, row in live(world).items()}


# --- ownership -------------------------------------------------------------------------------------


def test_references_out_of_a_school_are_cut(world: World) -> None:
    assert world.onboard("A", "B").deliver(night()).faults == []
    users = {at[::2]: row for at, row in live(world).items() if at[1] == "user"}
    assert (users["A", "p0"].agents, users["B", "p0"].agents) == (["gA"], ["gB"])
    assert (users["A", "p0"].primary_org, users["B", "p0"].primary_org) == ("A", None)
    assert (users["A", "p2"].agents, users["A", "p2"].primary_org) == (None, None)
    assert users["A", "p8"].agents == ["tB"]
    classes = {at[2]: row.course for at, row in live(world, "A").items() if at[1] == "class"}
    assert classes == {"kA": "c", "kD": "cD", "kX": None}
    assert {at[2] for at in live(world, "B") if at[1] in ("org", "course")} == {"B", "d", "c", "cB", "cD"}
    assert loose_ends(world) == []


def test_a_pupil_of_both_schools_has_a_row_in_each_with_its_roles_only(world: World) -> None:
    world.onboard("A", "B").deliver(night())
    rows = {at[0]: row for at, row in live(world).items() if at[1:] == ("user", "p0")}
    assert {org: row.roles for org, row in rows.items()} == {
        "A": [{"roleType": "primary", "role": "student", "org": "A"}],
        "B": [{"roleType": "secondary", "role": "student", "org": "B"}],
    }
    assert all(row.is_pupil for row in rows.values())
    assert {at for at in live(world) if at[2] == "e.kA.p0"} == {("A", "enrollment", "e.kA.p0")}


def test_somebody_who_is_nowhere_is_nobodys(world: World) -> None:
    nowhere = night().add("users.csv", **(night().row("users.csv", "p2") | {"sourcedId": "px", "username": "px"}))
    assert world.onboard("A", "B").deliver(nowhere).faults == []
    assert not [at for at in live(world) if at[2] == "px"]


# --- the same by whatever way ----------------------------------------------------------------------


def details(delivery: Delivery) -> None:
    """What changes and moves nobody."""
    for spoil in (
        to.cells("users.csv", "p0", givenName="New"),
        to.cells("users.csv", "p2", primaryOrgSourcedId="A"),
        to.cells("users.csv", "p6", agentSourcedIds="gA,gB"),
        to.cells("roles.csv", "r.p10.A", endDate="2027-01-01"),
        to.cells("orgs.csv", "A", name="New"),
        to.cells("academicSessions.csv", "t2", title="New"),
        to.cells("enrollments.csv", "e.kB.p1", beginDate="2026-09-01"),
    ):
        spoil(delivery)


def comings(delivery: Delivery) -> None:
    """Who comes, goes and moves."""
    delivery.person("new", "student", "A", "B", agentSourcedIds="gA,gB").enroll("p1", "kA", "A")
    delivery.without("users.csv", "p0").without("demographics.csv", "p0")
    to.cells("roles.csv", "r.p4.A", orgSourcedId="B")(delivery)
    to.cells("enrollments.csv", "e.kB.p3", userSourcedId="p6")(delivery)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(details, id="details"),
        pytest.param(comings, id="people come, go and move"),
        pytest.param(to.cells("demographics.csv", "p0", birthDate="2011-01-01"), id="birth date and nothing else"),
        pytest.param(to.cells("roles.csv", "r.gB.B", orgSourcedId="A"), id="agent moves to the other school"),
        pytest.param(lambda d: d.without("roles.csv", "r.gA.A"), id="agent belongs nowhere any more"),
        pytest.param(to.cells("users.csv", "p8", givenName="New"), id="pupil whose agent only teaches here"),
        pytest.param(to.cells("orgs.csv", "D", parentSourcedId="B"), id="department moves to the other school"),
        pytest.param(to.cells("courses.csv", "cD", orgSourcedId="B"), id="course of the district goes to a school"),
        pytest.param(to.cells("courses.csv", "cB", orgSourcedId="d"), id="course of a school goes to the district"),
        pytest.param(to.cells("classes.csv", "kD", schoolSourcedId="B"), id="class moves to the other school"),
    ],
)
def test_a_night_ends_where_a_first_delivery_would(world: World, change: to.Spoil) -> None:
    fresh = World(world.office, world.clock, like=world).onboard("A", "B")
    assert fresh.deliver(night(change)).state == "published"
    world.onboard("A", "B").deliver(night())
    assert world.deliver(night(change)).state == "published"
    assert held(world) == held(fresh)
    assert loose_ends(world) == []


# --- whose agreement -------------------------------------------------------------------------------

IMPORT = ("sis", COLLECTED, ("roster.import",), ("rostering",))


def test_a_source_without_a_covered_school_is_refused(world: World) -> None:
    report = world.onboard("A", "B", covered=False).deliver(night())
    assert (report.state, report.code) == ("refused", "SRC_AGREEMENT_MISSING")
    assert not any(holdings(world).values())


def test_a_source_without_a_school_is_refused(world: World) -> None:
    world.source = onboarding.add_source(world.office, world.by, "sis", None, None, None, "")
    report = world.deliver(night())
    assert (report.state, report.code) == ("refused", "SRC_NO_SCHOOL")
    assert report.proposed == ["School A (A)", "School B (B)"]
    assert not any(holdings(world).values())


def test_a_school_without_an_agreement_is_left_out_and_named(world: World) -> None:
    report = world.onboard("A").onboard("B", covered=False).deliver(night())
    left_out = {"school": world.refs["B"], "name": "School B", "code": "SRC_AGREEMENT_MISSING"}
    assert (report.state, report.skipped, [s["name"] for s in report.schools]) == (
        "published",
        [left_out],
        ["School A"],
    )
    assert {at[0] for at in live(world)} == {"A"}


def test_a_school_onboarded_later_gets_the_whole_roster_and_others_nothing_new(world: World) -> None:
    report = world.onboard("A").deliver(night())
    assert report.proposed == ["School B (B)"]
    before = live(world, "A")
    assert world.onboard("B").deliver(night()).state == "published"
    fresh = World(world.office, world.clock, like=world).onboard("A", "B")
    fresh.deliver(night())
    assert held(world) == held(fresh)
    assert live(world, "A") == before


def test_a_school_whose_agreement_is_renewed_gets_what_it_missed(world: World) -> None:
    world.onboard("A").onboard("B", covered=False).agree("Other", *IMPORT, schools=("B",), directed=False)
    later = night(to.cells("users.csv", "p3", givenName="New")).without("enrollments.csv", "e.kB.p1")
    world.deliver(night())
    on_file.end(world.office, world.by, "agreement", world.agreements["Other"])
    world.clock.forward(days=1)
    assert [one["name"] for one in world.deliver(later).skipped] == ["School B"]
    assert live(world)["B", "user", "p3"].given_name == "Givenp3"
    world.agree("Other", *IMPORT, schools=("B",), directed=False)
    world.clock.forward(days=1)
    assert world.deliver(later).skipped == []
    assert live(world)["B", "user", "p3"].given_name == "New"
    assert ("B", "enrollment", "e.kB.p1") not in live(world)


# --- OneRoster 1.1 ---------------------------------------------------------------------------------


def older(*spoils: to.Spoil) -> Delivery:
    """Two schools as OneRoster 1.1 tells of them: no roles, no demographics."""
    made = Delivery("1.1").frame("A", "B").class_("kA", "A").class_("kB", "B")
    for school in "AB":
        made.person(f"t{school}", "teacher", school).enroll(f"t{school}", f"k{school}", school, "teacher")
    for n in range(PUPILS):
        schools = ("A", "B") if n % 5 == 0 else ("AB"[n % 2],)
        made.person(f"p{n}", "student", *schools)
        for school in schools:
            made.enroll(f"p{n}", f"k{school}", school)
    for spoil in spoils:
        spoil(made)
    return made


def newer(delivery: Delivery) -> Delivery:
    """The same district as OneRoster 1.2 tells of it."""
    made = Delivery("1.2", rows={name: [dict(row) for row in rows] for name, rows in delivery.rows.items()})
    for user in made.rows["users.csv"]:
        for place, org in enumerate(user["orgSourcedIds"].split(",")):
            role = {"sourcedId": f"{org}/{user['sourcedId']}", "userSourcedId": user["sourcedId"], "orgSourcedId": org}
            made.add("roles.csv", **role, role=user["role"], roleType="secondary" if place else "primary")
    return made


def test_roles_of_1p1_users_are_derived(world: World) -> None:
    report = world.onboard("A", "B").deliver(older())
    assert (report.state, report.faults) == ("published", [])
    rows = live(world)
    assert rows["A", "user", "p0"].roles == [{"roleType": "primary", "role": "student", "org": "A"}]
    assert rows["B", "user", "p0"].roles == [{"roleType": "secondary", "role": "student", "org": "B"}]
    assert rows["B", "user", "tB"].roles == [{"roleType": "primary", "role": "teacher", "org": "B"}]
    assert [at for at, row in rows.items() if at[1] == "user" and not row.is_pupil] == [
        ("A", "user", "tA"), ("B", "user", "tB"),
    ]  # fmt: skip


def test_the_same_district_in_1p2_changes_nothing(world: World) -> None:
    world.unseeded().onboard("A", "B").deliver(older())
    before = live(world)
    assert world.deliver(newer(older())).state == "unchanged"
    assert live(world) == before


def test_a_quarantined_user_of_1p1_keeps_its_roles(world: World) -> None:
    world.onboard("A", "B").deliver(older())
    before = live(world)
    assert world.deliver(older(to.cells("users.csv", "p0", enabledUser="TRUE"))).state == "unchanged"
    assert live(world) == before


def test_a_line_of_1p1_whose_user_cannot_be_told_prevents_removals_of_roles(world: World) -> None:
    world.unseeded().onboard("A", "B").deliver(older())
    before = live(world)
    assert world.deliver(older(to.line("users.csv", "p4", to.swap(b"p4,", b"p\xff4,")))).state == "unchanged"
    assert live(world) == before


def test_a_second_row_of_a_1p1_user_gives_no_role(world: World) -> None:
    world.onboard("A", "B").deliver(older())
    before = live(world)
    report = world.deliver(older(lambda delivery: delivery.person("p2", "student", "B")))
    assert [(fault.file, fault.code) for fault in report.faults] == [("users.csv", "CSV_ID_TWICE")]
    assert live(world) == before


def test_a_1p1_user_at_an_unknown_org_is_named_in_its_own_file(world: World) -> None:
    delivery = older(to.cells("users.csv", "p2", orgSourcedIds="A,Z"))
    (fault,) = world.onboard("A", "B").deliver(delivery).faults
    where = (fault.file, fault.line, fault.column, fault.code)
    assert where == ("users.csv", to.line_of(delivery, "users.csv", "p2"), "orgSourcedIds", "CSV_REFERENCE")
