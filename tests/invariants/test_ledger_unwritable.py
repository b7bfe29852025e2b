"""Where the ledger cannot record, every export answers 503 and sends nothing; what was asked can be asked again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from werkzeug.test import TestResponse

from gateway.errors import Refused
from gateway.flows import explain, on_file, receipts, rights_request
from gateway.flows.rosters import looking
from gateway.policy.request import RULES
from tests.conftest import world_on
from tests.deliveries import two_schools
from tests.journeys.test_grades import Lesson
from tests.platforms import code_of
from tests.worlds import OR, READ, UNTIL, Caller, World

BREAKS = {
    "no right to insert": (
        "REVOKE INSERT ON ledger_entry FROM schoolgate_school, schoolgate_intake",
        "GRANT INSERT ON ledger_entry TO schoolgate_school, schoolgate_intake",
    ),
    "no right to move the head": (
        "REVOKE UPDATE ON ledger_head FROM schoolgate_school, schoolgate_intake",
        "GRANT UPDATE ON ledger_head TO schoolgate_school, schoolgate_intake",
    ),
    "the table is gone": (
        "ALTER TABLE ledger_entry RENAME TO elsewhere",
        "ALTER TABLE elsewhere RENAME TO ledger_entry",
    ),
    "a full disk": (
        """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON ledger_entry FOR EACH ROW EXECUTE FUNCTION full_disk()""",
        "DROP TRIGGER full_disk ON ledger_entry; DROP FUNCTION full_disk",
    ),
}  # fmt: skip


@dataclass
class Scene:
    """A school with every kind of recipient, and the owner's line to its database."""

    lesson: Lesson
    reader: Caller
    college: Caller
    transcript: str
    family: str
    owner: str

    @property
    def world(self) -> World:
        return self.lesson.world

    def change(self, statement: str) -> None:
        with psycopg.connect(self.owner, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture
def scene(fresh_database, settings, clock, wire) -> Iterator[Scene]:
    addresses = fresh_database()
    public = replace(settings, url="https://gateway.example", sandbox=False)
    with world_on(addresses, public, clock) as world:
        lesson = Lesson(world, wire)
        reader = world.reader("A", schedule=("SNM", "ENR", "SCH", "DEM")).sign_in()
        world.agree("College", "higher_ed", ("TRN",), ("transcript.deliver",), ("transcript_delivery",), ["A"],
                    directed=False)  # fmt: skip
        college = world.connect("College", "transcripts.read", schools=["A"]).sign_in()
        issued = lesson.app.call("POST", "/v1/transcripts", json={
            "person": lesson.people["p0"],
            "document": {"title": "T", "issued_on": "2026-10-01",
                         "competencies": [{"name": "Algebra", "level": "proficient", "on": "2026-09-30"}]},
        }).json["id"]  # fmt: skip
        world.direct(world.agreements["College"], "transcript.deliver", ["A"], record=f"{issued}@1", expires_at=UNTIL)
        code, _ = rights_request.issue_code(world.office, world.by, world.places["A"], "p2")
        yield Scene(lesson, reader, college, issued, code, addresses.owner)


def exports(scene: Scene) -> dict[str, Callable[[], TestResponse]]:
    """Every way data leave by an answer."""
    lesson, world = scene.lesson, scene.world
    code = code_of(lesson.lms.launch(world, lesson.lms.message("tA", "Instructor", **lesson.book.claims())))
    pupil = lesson.people["p0"].removeprefix("pe_")
    alias = f"{pupil[:8]}-{pupil[8:12]}-{pupil[12:16]}-{pupil[16:20]}-{pupil[20:]}"
    return {
        "students": lambda: scene.reader.read("students"),
        "classes": lambda: scene.reader.read("classes"),
        "enrollments": lambda: scene.reader.read("enrollments"),
        "demographics": lambda: scene.reader.read("demographics"),
        "one student": lambda: scene.reader.read(f"students/{alias}"),
        "nobody": lambda: scene.reader.read("students/none"),
        "a denied read": lambda: scene.reader.get(f"{READ}/students?fields=sourcedId,email"),
        "launch": lambda: lesson.app.call("POST", "/v1/launches/exchange", json={"code": code}),
        "members": lambda: lesson.app.get(f"/v1/classes/{lesson.launch['class']['id']}/members"),
        "transcript": lambda: scene.college.get(f"/v1/transcripts/{scene.transcript}"),
        "family report": lambda: world.client.post("/family", data={"code": scene.family, "do": "look"}),
    }


@pytest.mark.parametrize("how", BREAKS)
def test_every_export_answers_503_and_says_nothing(scene, how):
    asked = exports(scene)
    size = len(scene.world.ledger("A"))
    told = [p.encode() for p in ("Givenp", "Familyp", "Class k", "2010-03-04", "Algebra")]
    scene.change(BREAKS[how][0])
    for name, ask in asked.items():
        answer = ask()
        assert answer.status_code == 503, (name, answer.text)
        assert not any(value in answer.data for value in told), name
        assert "LED_UNAVAILABLE" in answer.text, (name, answer.text)
        assert answer.headers["Retry-After"]
    scene.change(BREAKS[how][1])
    assert len(scene.world.ledger("A")) == size
    for name in ("students", "launch", "members", "transcript", "family report"):
        assert asked[name]().status_code == 200, name


@pytest.mark.parametrize("how", BREAKS)
def test_a_launch_is_not_let_in(scene, how):
    lms, book = scene.lesson.lms, scene.lesson.book
    scene.change(BREAKS[how][0])
    answer = lms.launch(scene.world, lms.message("tA", "Instructor", **book.claims()))
    assert answer.status_code == 503
    assert "Location" not in answer.headers
    scene.change(BREAKS[how][1])


@pytest.mark.parametrize("how", BREAKS)
def test_no_grade_is_sent_and_none_is_lost(scene, how):
    lesson = scene.lesson
    batch = lesson.hand_in(p0="proficient", p2="beginning")
    lesson.press(batch)
    scene.change(BREAKS[how][0])
    lesson.drain()
    assert lesson.book.posted == []
    assert lesson.hand_in(status=503, p4="beginning")["code"] == "LED_UNAVAILABLE"
    scene.change(BREAKS[how][1])
    lesson.later(minutes=1)
    assert sorted(lesson.sent()) == [("p0", 3.0), ("p2", 1.0)]
    assert lesson.stands(batch) == {"p0": ("sent", None), "p2": ("sent", None)}


@pytest.mark.parametrize("how", BREAKS)
def test_no_roster_is_published(scene, how):
    world = scene.world
    night = two_schools().person("p99", "student", "A")
    scene.change(BREAKS[how][0])
    report = world.deliver(night)
    assert report.state == "refused"
    assert report.code == "LED_UNAVAILABLE"
    scene.change(BREAKS[how][1])
    assert scene.reader.read("students").headers["X-Total-Count"] == "7"
    assert world.deliver(night).state == "published"
    assert scene.reader.read("students").headers["X-Total-Count"] == "8"


def test_families_choices_are_kept_or_refused_whole(scene):
    scene.change(BREAKS["a full disk"][0])
    answer = scene.world.client.post("/family", data={"code": scene.family, "do": "refuse"})
    assert answer.status_code == 503
    scene.change(BREAKS["a full disk"][1])
    assert "You have not refused anything" in scene.world.client.post("/family", data={"code": scene.family}).text


def test_the_intent_is_committed_before_the_first_byte(scene):
    """Whoever receives the first byte can already find the intent with another connection."""
    seen: list[Any] = []
    app = scene.world.app.wsgi_app

    def watched(environ, start_response):
        def started(status, headers, *more):
            seen.append(len([e for e in scene.world.ledger("A") if e["type"] == "intent"]))
            return start_response(status, headers, *more)

        return app(environ, started)

    asked = exports(scene)
    before = len([e for e in scene.world.ledger("A") if e["type"] == "intent"])
    scene.world.app.wsgi_app = watched
    names = ("students", "one student", "launch", "members", "transcript", "family report")
    for name in names:
        assert asked[name]().status_code in (200, 404), name
    assert seen[0] == before + 1
    assert sorted(seen) == seen


def test_a_new_scope_is_a_new_way_out_and_must_be_tried_here():
    known = {OR + "roster.readonly", OR + "roster-core.readonly", OR + "roster-demographics.readonly", "launch.read",
             "members.read", "results.write", "transcripts.read"}  # fmt: skip
    assert {scope for rule in RULES.values() for scope in rule.scopes} == known


def test_a_look_at_pupils_that_cannot_be_written_down_shows_nobody(scene):
    world = scene.world
    sent = next(one["id"] for one in world.ledger("A") if one.get("operation") == "members.read" and "subjects" in one)
    world.file("consent", school="School A", pupil="p2", scope="use", status="refused", grantor="parent")
    looks: tuple[Callable[[], Any], ...] = (
        lambda: on_file.listing(world.office, world.by, "consent"),
        lambda: explain.explain(world.office, world.by, "Reader", "p2", "person.email"),
        lambda: explain.pupil_called(world.office, world.by, "p2"),
        lambda: rights_request.issue_code(world.office, world.by, world.places["A"], "p2"),
        lambda: looking.as_it_was(world.office, world.by, world.places["A"], "user", world.clock.at.date()),
        lambda: receipts.issue(world.office, world.by, world.places["A"], "p0", sent),
    )
    breaking, mending = BREAKS["no right to insert"]
    scene.change(breaking)
    for look in looks:
        with pytest.raises(Refused, match="LED_UNAVAILABLE"):
            look()
    scene.change(mending)
    assert all(look() for look in looks)
