"""The key law: adding any data of school B changes nothing in any answer to school A.

Two copies of one database are asked the same questions, under one clock and one source of ids; into one of them data
of B went first. Status, headers, bodies, counts, paging, statements and their number must be the same.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import responses
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from gateway.app import create_app
from gateway.clock import Ids
from gateway.flows import onboarding, rights_request
from gateway.identity import staff
from gateway.office import make_office
from gateway.settings import Settings
from gateway.store import on_file
from tests.conftest import Cluster
from tests.deliveries import Delivery, two_schools
from tests.journeys.test_grades import Lesson
from tests.platforms import application, code_of
from tests.worlds import DOCUMENT, READ, UNTIL, Caller, Steered, World

_numbers = itertools.count()
_EXPIRES = re.compile(r"Expires=[^;]*; ")  # said beside Max-Age, by the machine's own clock
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


def counted_ids(seed: str) -> Ids:
    """Ids that come in the same order every time."""
    numbers = itertools.count()

    def tail(length: int) -> str:
        digest = hashlib.sha256(f"{seed}{next(numbers)}".encode()).digest()
        return "".join(_LETTERS[b % 32] for b in digest)[:length]

    return Ids(tail, lambda: tail(32) + tail(11))


class Answers(list[Any]):
    """Status, headers, body and statements of every answer."""

    def __repr__(self) -> str:
        return f"{len(self)} answers"


class Twin:
    """One copy of the base world, asked by school A's callers."""

    def __init__(self, base: Base, name: str) -> None:
        self.base, self.wire = base, responses.RequestsMock(assert_all_requests_are_fired=False)
        base.cluster.make(name, base.name)
        url = base.cluster.template.application.replace("template_schoolgate", name)
        clock = Steered(base.world.clock.at)
        self.office = make_office(base.world.office.settings, url, clock.clock, counted_ids("b"))
        self.world = World.__new__(World)
        self.world.__dict__ |= {k: v for k, v in base.world.__dict__.items() if k not in ("parts", "app", "client")}
        self.world.__dict__ |= {"office": self.office, "clock": clock, "places": dict(base.world.places),
                                "refs": dict(base.world.refs), "agreements": dict(base.world.agreements)}  # fmt: skip
        self.world.by = staff.person(self.office.database, self.world.token, clock.at)

    def ask(self) -> list[Any]:
        """Every question of school A's callers, with the statements each one took."""
        base = self.base
        self.world.office = replace(self.office, ids=counted_ids("a"))
        seen = Answers()
        statements: list[str] = []
        self.office.database.watch = statements.append
        client = create_app(self.world.parts).test_client(use_cookies=False)
        with self.wire as wire:
            base.lesson.lms.serve_keys(wire)
            deepcopy(base.lesson.book).serve(wire)
            for ask in base.questions(client, self.world):
                statements.clear()
                answer = ask()
                headers = sorted((name, _EXPIRES.sub("", value)) for name, value in answer.headers)
                seen.append((answer.status_code, headers, answer.data, list(statements)))
        return seen

    def close(self) -> None:
        self.office.database.close()


class Base:
    """Schools A and B, and callers of A with everything they may hold: grants, launch, batch, transcript, code."""

    def __init__(self, cluster: Cluster, world: World, wire: responses.RequestsMock, name: str) -> None:
        self.cluster, self.world, self.name = cluster, world, name
        self.lesson = lesson = Lesson(world, wire)
        self.callers: dict[str, Caller] = {"app": lesson.app}
        self.callers["reader"] = world.reader("A", schedule=("SNM", "ENR", "SCH", "DEM", "PGI")).sign_in()
        self.callers["ids"] = world.reader("A", schedule=("SNM", "SID", "ENR", "PGI"), name="Names").sign_in()
        self.callers["both"] = world.reader("B", name="Elsewhere").sign_in()
        self.foreign = self.callers.pop("both").read("students").json["users"][0]["sourcedId"]
        self.own = [u["sourcedId"] for u in self.callers["reader"].read("students").json["users"]]
        for caller in self.callers.values():
            caller.read("enrollments?limit=1")
        self.batch = lesson.hand_in(p0="proficient", stranger="proficient")
        world.agree("College", "higher_ed", ("TRN",), ("transcript.deliver",), ("transcript_delivery",), ["A"],
                    directed=False)  # fmt: skip
        self.callers["college"] = world.connect("College", "transcripts.read", schools=["A"]).sign_in()
        document = {"title": "T", "issued_on": "2026-10-01",
                    "competencies": [{"name": "Algebra", "level": "proficient", "on": "2026-09-30"}]}  # fmt: skip
        issued = lesson.app.call(
            "POST", "/v1/transcripts", json={"person": lesson.people["p0"], "document": document}
        )  # fmt: skip
        self.transcript = issued.json["id"]
        world.direct(world.agreements["College"], "transcript.deliver", ["A"], record=f"{self.transcript}@1")
        self.code, _ = rights_request.issue_code(world.office, world.by, world.places["A"], "p0")

    def questions(self, client: Any, world: World) -> Iterator[Callable[[], Any]]:
        yield from self._reads(client)
        yield from self._of_the_application(client)
        yield lambda: client.post("/family", data={"code": self.code})
        college = self._as("college", client)
        yield lambda: college.get(f"/v1/transcripts/{self.transcript}")
        yield lambda: college.get("/v1/transcripts/ts_0000000000000000")
        yield from self._launch(client, world)

    def _as(self, name: str, client: Any) -> Caller:
        return replace(self.callers[name], client=client)

    def _reads(self, client: Any) -> Iterator[Callable[[], Any]]:
        for name in ("reader", "ids"):
            caller = self._as(name, client)
            for what in ("students", "classes", "enrollments", "demographics"):
                yield lambda c=caller, w=what: c.read(w)
                yield lambda c=caller, w=what: c.read(f"{w}?limit=2&offset=3")
                yield from self._walk(caller, what)
            for key in (*self.own, self.foreign, "p0", "p1", "nobody", "00000000-0000-0000-0000-000000000000"):
                yield lambda c=caller, k=key: c.read(f"students/{k}")
            yield lambda c=caller: c.read("students?fields=sourcedId,givenName")
            yield lambda c=caller: c.read("students?fields=sourcedId,phone")

    def _walk(self, caller: Caller, what: str) -> Iterator[Callable[[], Any]]:
        """Follow `next` to the end, three at a time."""
        path: str | None = f"{READ}/{what}?limit=3"
        while path:
            answers: list[Any] = []
            yield lambda p=path, into=answers: (into.append(caller.get(p)), into[0])[1]
            links = answers[0].headers.get("Link", "")
            following = [part for part in links.split(", ") if 'rel="next"' in part]
            path = (
                following[0].partition("<")[2].partition(">")[0].partition("gateway.example")[2] if following else None
            )

    def _of_the_application(self, client: Any) -> Iterator[Callable[[], Any]]:
        app, lesson = self._as("app", client), self.lesson
        yield lambda: app.get(f"/v1/classes/{lesson.launch['class']['id']}/members")
        yield lambda: app.get("/v1/classes/cl_00000000000000000000000000000000/members")
        yield lambda: app.get("/v1/transfers")
        yield lambda: app.get(f"/v1/result_batches/{self.batch['id']}")
        yield lambda: client.get(self.batch["push_url"].removeprefix("https://gateway.example"))

    def _launch(self, client: Any, world: World) -> Iterator[Callable[[], Any]]:
        lms, app = self.lesson.lms, self._as("app", client)
        world.client = client
        for who, role in (("tA", "Instructor"), ("p0", "Learner"), ("p1", "Learner"), ("tB", "Instructor")):
            answers: list[Any] = []
            claims = lms.message(who, role, **self.lesson.book.claims())
            yield lambda c=claims, into=answers: (into.append(lms.launch(world, c)), into[0])[1]
            if answers[0].status_code == 303:
                code = code_of(answers[0])
                yield lambda c=code: app.call("POST", "/v1/launches/exchange", json={"code": c})


@pytest.fixture(scope="module")
def base(cluster, tmp_path_factory) -> Iterator[Base]:
    folder = tmp_path_factory.mktemp("twins")
    settings = Settings(folder / "instance", "https://gateway.example", "", "", "", False, 0, 256)
    name = f"base_{folder.parent.name}_{next(_numbers)}".replace("-", "_")
    addresses = cluster.make(name)
    clock = Steered(datetime(2026, 11, 2, 9, 0, tzinfo=UTC))
    office = make_office(settings, addresses.application, clock.clock)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        made = Base(cluster, World(office, clock), wire, name)
    office.database.close()
    yield made
    cluster.drop(name)


@pytest.fixture(scope="module")
def plain(base) -> list[Any]:
    """The answers when nothing was added."""
    return answers_after(base, [])


def answers_after(base: Base, additions: list[Callable[[World], None]]) -> list[Any]:
    name = f"twin_{next(_numbers)}_{base.name}"
    twin = Twin(base, name)
    try:
        for add in additions:
            add(twin.world)
        twin.world.__dict__.pop("parts", None)
        return twin.ask()
    finally:
        twin.close()
        base.cluster.drop(name)


# --- data of school B ------------------------------------------------------------------------------


def night(change: Callable[[Delivery], object]) -> Callable[[World], None]:
    """A delivery in which only rows of B differ from what was published."""

    def bring(world: World) -> None:
        delivery = two_schools()
        change(delivery)
        report = world.deliver(delivery)
        assert report.state in ("published", "unchanged", "held"), report.as_dict()

    return bring


def pupils(count: int) -> Callable[[World], None]:
    def grow(delivery: Delivery) -> None:
        for n in range(count):
            delivery.person(f"x{n}", "student", "B", born="2012-01-01").enroll(f"x{n}", "kB", "B")

    return night(grow)


def also_at_b(who: str) -> Callable[[World], None]:
    """A pupil of A gets a role and a class at B too."""

    def visit(delivery: Delivery) -> None:
        delivery.add("roles.csv", sourcedId=f"rx.{who}", userSourcedId=who, role="student", roleType="secondary",
                     orgSourcedId="B").enroll(who, "kB", "B")  # fmt: skip

    return night(visit)


def guardian(who: str) -> Callable[[World], None]:
    """A guardian who belongs to B alone is named on a pupil's row."""

    def name(delivery: Delivery) -> None:
        delivery.person("gB", "guardian", "B")
        delivery.row("users.csv", who)["agentSourcedIds"] = "gB"

    return night(name)


def primary_org(who: str) -> Callable[[World], None]:
    return night(lambda delivery: delivery.row("users.csv", who).__setitem__("primaryOrgSourcedId", "B"))


def fewer(delivery: Delivery) -> None:
    """A pupil of B leaves; another class of B is renamed."""
    delivery.without("enrollments.csv", "e.kB.p1").without("roles.csv", "r.p1.B").without("users.csv", "p1")
    delivery.without("demographics.csv", "p1")
    delivery.row("classes.csv", "kB")["title"] = "Renamed"


def answer_of_a_family(who: str, scope: str) -> Callable[[World], None]:
    def refuse(world: World) -> None:
        now = world.clock.at
        with world.office.database.open_school(world.places["B"]) as session:
            on_file.record(
                session, "consent", f"co_b{who}0000000", now, "family", person_id=who, scope=scope, status="refused",
                agreement=None, grantor="parent", evidenced=False, valid_from=now, valid_until=None, body={},
            )  # fmt: skip

    return refuse


def family_acts(who: str) -> Callable[[World], None]:
    def act(world: World) -> None:
        code, _ = rights_request.issue_code(world.office, world.by, world.places["B"], who)
        rights_request.report(world.office, code)
        rights_request.refuse(world.office, code)
        rights_request.ask_deletion(world.office, code)

    return act


def agreement(vendor: str, **terms: Any) -> Callable[[World], None]:
    """An agreement of B with a vendor that serves A, of any terms, with a direction."""

    def agree(world: World) -> None:
        said = {"effective_at": world.clock.at - timedelta(days=9), "expires_at": UNTIL, "retention_days": 30,
                "commitments": ["all"], "document": DOCUMENT, "assured": world.clock.at} | terms  # fmt: skip
        ref = world.file(
            "agreement", vendor=vendor, schedule=["SNM", "SID", "DEM", "SCI"], purposes=["rostering"],
            operations=["roster.read"], schools=[world.refs["B"]], **said,
        )  # fmt: skip
        world.direct(ref, "roster.read", ["B"])

    return agree


def another_reader(world: World) -> None:
    caller = world.reader("B", name=f"Fresh {next(_numbers)}", schedule=("SNM", "SID", "DEM", "ENR"))
    caller.client = create_app(world.parts).test_client(use_cookies=False)
    for what in ("students", "enrollments", "demographics"):
        assert caller.read(what).status_code == 200


def application_of_b(world: World) -> None:
    app = application(world, "B") if "Mastery App" not in world.agreements else None
    assert app is None or app.client_id


def another_school(world: World) -> None:
    onboarding.add_school(world.office, world.by, f"School C{next(_numbers)}", None, None)


def more_staff(world: World) -> None:
    onboarding.add_staff(world.office, world.by, "S. Other", "school_admin", world.refs["B"])


ADDITIONS = st.one_of(
    st.integers(1, 6).map(pupils),
    st.sampled_from(["p2", "p4", "tA"]).map(also_at_b),
    st.sampled_from(["p0", "p2", "p5"]).map(guardian),
    st.sampled_from(["p0", "p2", "p5"]).map(primary_org),
    st.just(night(fewer)),
    st.builds(answer_of_a_family, st.sampled_from(["p0", "p1", "p5"]), st.sampled_from(["use", "disclose"])),
    st.sampled_from(["p0", "p1", "p5"]).map(family_acts),
    st.builds(agreement, st.sampled_from(["Reader", "Names", "College"])),
    st.builds(agreement, st.just("Reader"), effective_at=st.none().map(lambda _: UNTIL - timedelta(days=1))),
    st.sampled_from([another_reader, application_of_b, another_school, more_staff]),
)


def assert_same(found: list[Any], expected: list[Any]) -> None:
    assert len(found) == len(expected)
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one[:3] == other[:3], number
        assert one[3] == other[3], (number, len(one[3]), len(other[3]))


def test_the_questions_are_worth_asking(base, plain):
    codes = [status for status, *_ in plain]
    assert len(plain) > 70
    assert codes.count(200) > 45
    assert {200, 303, 400, 403, 404} == set(codes)
    assert sum(len(statements) for *_, statements in plain) > 500


def test_the_same_world_answers_the_same_twice(base, plain):
    assert_same(answers_after(base, []), plain)


def test_data_of_school_a_do_show(base, plain):
    def new_pupil(delivery: Delivery) -> None:
        delivery.person("xa", "student", "A", born="2012-01-01").enroll("xa", "kA", "A")

    assert answers_after(base, [night(new_pupil)]) != plain


@trials(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(additions=st.lists(ADDITIONS, min_size=1, max_size=4))
def test_nothing_of_school_b_shows_in_any_answer_to_school_a(base, plain, additions):
    assert_same(answers_after(base, additions), plain)


@pytest.mark.invariants
@trials(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(additions=st.lists(ADDITIONS, min_size=1, max_size=6))
def test_nothing_of_school_b_shows_in_three_hundred_worlds(base, plain, additions):
    assert_same(answers_after(base, additions), plain)
