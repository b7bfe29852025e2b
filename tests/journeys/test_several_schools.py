"""A grant of several schools: one person has one id, stands in every school's ledger, and follows its class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from gateway.flows import onboarding
from gateway.store import aliases
from mappings import application as names
from tests.deliveries import Delivery, two_schools
from tests.journeys.test_family import Parent
from tests.journeys.test_transcript import Desk as Transcripts
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


# --- what is one school's, of somebody who belongs to two ------------------------------------------


def pupil(reader: Caller, name: str, what: str = "students") -> dict | None:
    """What a reader sees of a person, but for the ids of its own."""
    found = [u for u in reader.read(f"{what}?limit=100").json["users"] if u["givenName"] == f"Given{name}"]
    return {k: v for k, v in found[0].items() if k != "sourcedId"} if found else None


def test_what_is_worked_out_of_a_pupil_is_worked_out_of_one_schools_rows(public_world):
    """Who is a pupil, which roles, when changed, how many: of two schools' rows each tells of its own alone."""
    world = public_world.onboard("A", "B")
    delivery = two_schools(12).person("two", "student", "A", "B", born="2008-01-01")
    delivery.row("roles.csv", "r.two.A")["role"] = "aide"
    assert world.deliver(delivery).state == "published"
    readers = {school: world.reader(school, name=f"Of {school}") for school in "AB"}
    assert (pupil(readers["A"], "two"), pupil(readers["B"], "two") is None) == (None, False)
    before, total = pupil(readers["A"], "p0"), readers["A"].read("students").headers["X-Total-Count"]
    world.clock.forward(minutes=5)
    delivery.row("roles.csv", "r.p0.B")["endDate"] = "2027-01-01"
    delivery.person("more", "student", "B").enroll("more", "kB", "B")
    assert world.deliver(delivery).state == "published"
    assert pupil(readers["A"], "p0") == before
    assert readers["A"].read("students").headers["X-Total-Count"] == total
    changed = pupil(readers["B"], "p0")
    assert changed["dateLastModified"] > before["dateLastModified"]
    assert [role.get("endDate") for role in changed["roles"]] == ["2027-01-01"]


def test_what_was_born_at_a_school_stays_there_when_the_pupil_moves(world):
    desk = Transcripts(world)
    ref, before = desk.issue("p2")["id"], len(world.ledger("B"))
    night = two_schools(12).without("enrollments.csv", "e.kA.p2").enroll("p2", "kB", "B")
    night.row("roles.csv", "r.p2.A")["orgSourcedId"] = "B"
    world.bring(night)
    at_b = {"p2"} & {u["givenName"].removeprefix("Given") for u in
                     world.reader("B", name="Of B").read("students?limit=100").json["users"]}  # fmt: skip
    assert at_b == {"p2"}
    world.agree("Next College", "higher_ed", ("TRN",), ("transcript.deliver",), ("transcript_delivery",), ["B"])
    college = world.connect("Next College", "transcripts.read", schools=["B"])
    world.direct(world.agreements["Next College"], "transcript.deliver", ["B"], record=f"{ref}@1")
    assert college.get(f"/v1/transcripts/{ref}").status_code == 404
    assert "App&#39;s ids" not in Parent(world, "p2", "B").ask()  # who read the pupil at A
    about_it = [e for e in world.ledger("B")[before:] if e.get("record", "").startswith(ref)]
    assert [e["type"] for e in about_it if e["type"] == "intent"] == []


def test_somebody_who_teaches_at_two_schools_is_at_each_what_they_are_there(public_world):
    world = public_world.onboard("A", "B")
    delivery = two_schools(12).person("both", "teacher", "A", "B")
    delivery.enroll("both", "kA", "A", "teacher").enroll("both", "kB", "B", "teacher")
    assert world.deliver(delivery).state == "published"
    for school in "AB":
        reader = world.reader(school, name=f"Of {school}")
        taught = [e for e in reader.read("enrollments?limit=100").json["enrollments"] if e["role"] == "teacher"]
        assert len(taught) == 2
        assert [c["title"] for c in reader.read("classes").json["classes"]] == [f"Class k{school}"]


def test_a_reader_of_a_district_sees_the_schools_of_that_district_only(public_world):
    """The same ids, names and numbers stand in another district beside it."""
    mine, other = public_world.standing(12), World(public_world.office, public_world.clock).standing(20)
    readers = [world.reader("A", "B", name="Whole district") for world in (mine, other)]
    ids = [{u["sourcedId"] for u in reader.read("students?limit=100").json["users"]} for reader in readers]
    assert [len(found) for found in ids] == [12, 20]
    assert ids[0].isdisjoint(ids[1])
    for foreign in ids[1]:
        assert readers[0].read(f"students/{foreign}").status_code == 404


def test_a_vendor_of_two_schools_that_it_serves_apart_cannot_join_a_pupil(public_world):
    """Two credentials, two ids: what one school lets out of a child is not linked to what another does."""
    world = public_world.standing(12)
    first, second = (world.reader(school, name=f"Of {school}") for school in "AB")
    seen = [u["sourcedId"] for r in (first, second) for u in r.read("students?limit=100").json["users"]]
    assert len(set(seen)) == len(seen) == 7 + 8
