"""A grant of several schools: one person has one id, stands in every school's ledger, and follows its class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from gateway.flows import onboarding
from gateway.store import aliases
from mappings import application as names
from tests.deliveries import Delivery, two_schools
from tests.worlds import APP_SCOPES, ROSTER, Caller, World

OPERATIONS = ("launch.handover", "members.read", "result.write", "roster.read")


def intents(world: World, school: str) -> list[dict]:
    return [entry for entry in world.ledger(school) if entry["type"] == "intent"]


@pytest.fixture
def app(public_world: World) -> Caller:
    """The application at both schools of a standing district, which may also read the roster."""
    world = public_world.standing(12)
    world.agree("Mastery App", "application", ("SNM", "ENR", "SCH", "SAP"), OPERATIONS,
                ("assessment_delivery", "rostering"), ("A", "B"), launch_url="https://app.example/launch")  # fmt: skip
    return world.connect("Mastery App", *APP_SCOPES, ROSTER, schools=("A", "B"))


def test_a_pupil_of_two_schools_is_in_the_ledger_of_both(public_world):
    world = public_world.standing(12)
    reader = world.reader("A", "B")
    users = reader.read("students?limit=100").json["users"]
    per_school = {s: world.reader(s, name=f"Only {s}").read("students?limit=100").json["users"] for s in "AB"}
    seen = {school: intents(world, school)[0]["subjects"] for school in "AB"}
    assert seen == {school: len(pupils) for school, pupils in per_school.items()}
    assert sum(seen.values()) > len(users)
    twice = next(u for u in users if len({r["org"]["sourcedId"] for r in u["roles"]}) == 2)
    before = {school: len(intents(world, school)) for school in "AB"}
    assert reader.read(f"students/{twice['sourcedId']}").status_code == 200
    assert {school: len(intents(world, school)) - n for school, n in before.items()} == {"A": 1, "B": 1}


def test_a_new_pupil_of_two_schools_has_one_id_whoever_asks_first(public_world, app):
    delivery = two_schools(12).person("n1", "student", "A", "B", born="2010-01-01", grades="09")
    delivery.enroll("n1", "kA", "A").enroll("n1", "kB", "B")
    assert public_world.deliver(delivery).state == "published"
    classes = app.read("classes").json["classes"]
    for one in classes:
        outward = names.outward(names.CLASS, one["sourcedId"].replace("-", ""))
        assert app.get(f"/v1/classes/{outward}/members").status_code == 200
    read = app.read("students?limit=100")
    ids = [u["sourcedId"] for u in read.json["users"]]
    assert len(set(ids)) == len(ids) == int(read.headers["X-Total-Count"])


def test_one_id_of_two_sources_is_two_people(public_world):
    world = public_world.onboard("A")
    for school, name in (("A", "Alice"), ("B", "Bob")):
        if school == "B":
            world.source = onboarding.add_source(world.office, world.by, "sis2", None, None, None, "")
            world.onboard("B")
        delivery = Delivery().frame(school).class_("k", school).person(
            "1", "student", school, born="2010-03-04", givenName=name
        )  # fmt: skip
        assert world.deliver(delivery.enroll("1", "k", school)).state == "published"
    read = world.reader("A", "B").read("students?limit=100")
    found = {u["givenName"]: {r["org"]["sourcedId"] for r in u["roles"]} for u in read.json["users"]}
    assert sorted(found) == ["Alice", "Bob"]
    assert [len(orgs) for orgs in found.values()] == [1, 1]
    assert int(read.headers["X-Total-Count"]) == 2


def test_an_org_of_another_source_is_never_shown_for_ones_own(public_world):
    world = public_world.onboard("B")
    first = Delivery().frame("B").class_("k", "B").person("q", "student", "B", born="2010-03-04").enroll("q", "k", "B")
    assert world.deliver(first).state == "published"
    world.places["B of sis"], world.refs["B of sis"] = world.places["B"], world.refs["B"]
    world.source = onboarding.add_source(world.office, world.by, "sis2", None, None, None, "")
    world.onboard("A", "B")
    delivery = Delivery().frame("A", "B").class_("kA", "A").class_("kB", "B")
    delivery.person("p", "student", "A", "B", born="2010-03-04").enroll("p", "kA", "A").enroll("p", "kB", "B")
    assert world.deliver(delivery).state == "published"
    users = world.reader("A", "B", "B of sis").read("students?limit=100").json["users"]
    (pupil,) = (user for user in users if user["givenName"] == "Givenp")
    with world.office.database.open_school(world.places["B"]) as session:
        known = "SELECT alias::text FROM alias WHERE district = %(district)s AND school = %(school)s AND kind = 'org' "
        own = {row.alias for row in session.rows(known)}
    shown = {role["org"]["sourcedId"] for role in pupil["roles"]}
    assert len(shown) == 2
    assert shown & own


def test_two_who_ask_first_at_once_learn_the_same_ids(public_world, app):
    delivery = two_schools(12)
    for n in range(200):
        delivery.person(f"n{n}", "student", "A", "B", born="2010-01-01", grades="09")
    assert public_world.deliver(delivery).state == "published"
    start = Barrier(4)

    def ask(_n: int) -> list[str]:
        start.wait()
        return [u["sourcedId"] for u in app.read("students?limit=1000").json["users"]]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert all(answer == answers[0] for answer in answers)
    assert len(set(answers[0])) == len(answers[0])
    assert len(answers[0]) > 200


def test_a_school_that_sees_itself_alone_names_nobody_of_several(public_world, app):
    """A version that comes between the two steps of an answer: no school may name a pupil of both by itself."""
    world = public_world
    delivery = two_schools(12).person("n1", "student", "A", "B", born="2010-01-01", grades="09")
    assert world.deliver(delivery).state == "published"
    places = list(world.places.values())
    for place in places:
        with world.office.database.open_school(place) as session:
            known = "SELECT access_grant FROM alias_state WHERE district = %(district)s AND school = %(school)s"
            grant = session.rows(known)[0].access_grant
            with pytest.raises(aliases.Behind):
                aliases.ensure_here(session, [p.school for p in places], grant)
    ids = [u["sourcedId"] for u in app.read("students?limit=1000").json["users"]]
    assert len(ids) == 13


@pytest.mark.parametrize(
    ("moment", "nights", "status", "new"),
    [("FROM agreement", 1, 200, 1), ("FROM agreement", 9, 503, 0), ("birth_date", 1, 200, 0)],
)
def test_a_night_published_while_an_answer_is_made(public_world, app, moment, nights, status, new):
    """It is in the answer or not, which says so by its snapshot; nobody in it is without a name."""
    world, database, left = public_world, public_world.office.database, [nights]
    one = app.read("classes").json["classes"][0]["sourcedId"].replace("-", "")
    members = f"/v1/classes/{names.outward(names.CLASS, one)}/members"
    before = len(app.get(members).json["data"])

    def publish(statement: str) -> None:
        if moment not in statement or not left[0]:
            return
        left[0] -= 1
        database.watch = None
        delivery = two_schools(12).person("n1", "student", "A", "B", born=f"201{left[0]}-01-01", grades="09")
        assert world.deliver(delivery.enroll("n1", "kA", "A").enroll("n1", "kB", "B")).state == "published"
        database.watch = publish

    database.watch = publish
    try:
        answer = app.get(members)
    finally:
        database.watch = None
    assert answer.status_code == status
    if status == 200:
        assert (len(answer.json["data"]) - before, answer.json["snapshot"]) == (new, f"v{1 + new}")
    else:
        assert answer.json["code"] == "INT_UNAVAILABLE"
    assert app.get(members).status_code == 200
