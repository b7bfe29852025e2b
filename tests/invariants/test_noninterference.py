"""The key law: adding any data of school B changes nothing in any answer to school A.

Two copies of one database are asked the same questions, under one clock and one source of ids; into one of them data
of B went first. Status, headers, bodies, counts, paging, statements and their number must be the same.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import responses
from flask import request
from hypothesis import HealthCheck, example, given
from hypothesis import settings as trials
from hypothesis import strategies as st

from gateway.app import create_app
from gateway.clock import Ids
from gateway.flows import erasure, onboarding, rights_request
from gateway.identity import staff
from gateway.office import make_office
from gateway.settings import Settings
from gateway.store import on_file, registrations
from tests.canaries import flying, tapped
from tests.conftest import Cluster
from tests.deliveries import Delivery, two_schools
from tests.journeys.test_grades import Lesson
from tests.platforms import LTI, application, code_of
from tests.worlds import DOCUMENT, READ, UNTIL, Caller, Steered, World

_numbers = itertools.count()
_EXPIRES = re.compile(r"Expires=[^;]*; ")  # said beside Max-Age, by the machine's own clock
DOCUMENT_OF = {"title": "T", "issued_on": "2026-10-01",
               "competencies": [{"name": "Algebra", "level": "proficient", "on": "2026-09-30"}]}  # fmt: skip
_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


def counted_ids(seed: str, numbers: list[Iterator[int]] | None = None) -> Ids:
    """Ids that come in the same order every time; `numbers` can be put back to their beginning."""
    numbers = numbers or [itertools.count()]

    def tail(length: int) -> str:
        digest = hashlib.sha256(f"{seed}{next(numbers[0])}".encode()).digest()
        return "".join(_LETTERS[b % 32] for b in digest)[:length]

    return Ids(tail, lambda: tail(32) + tail(11))


class Answers(list[Any]):
    """Status, headers, body and statements of every answer; and the routes that gave them."""

    def __init__(self) -> None:
        super().__init__()
        self.routes: set[tuple[str, str]] = set()

    def note(self) -> None:
        self.routes.add((request.method, str(request.url_rule)))

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
        self.watched = ExitStack()
        self.world.canaries = self.watched.enter_context(flying(self.office.database, self.office.settings.instance))
        self.world.canaries.tags = base.world.canaries.tags
        self.world.canaries.recipients = base.world.canaries.recipients
        self.world.canaries.read = dict.fromkeys(base.world.canaries.read, 0)

    def ask(self) -> list[Any]:
        """Every question of school A's callers, with the statements each one took."""
        base = self.base
        self.world.office = replace(self.office, ids=counted_ids("a"))
        seen = Answers()
        statements: list[str] = []
        self.office.database.watch = statements.append
        app = self.world.canaries.listen(create_app(self.world.parts))
        app.before_request(seen.note)
        client = app.test_client(use_cookies=False)
        with tapped(self.wire) as wire:
            base.lesson.lms.serve_keys(wire)
            deepcopy(base.lesson.book).serve(wire)
            for ask in base.questions(client, self.world):
                statements.clear()
                answer = ask()
                headers = sorted((name, _EXPIRES.sub("", value)) for name, value in answer.headers)
                seen.append((answer.status_code, headers, answer.data, list(statements)))
        return seen

    def close(self) -> None:
        with closing(self.office.database):
            self.watched.close()


class Base:
    """Schools A and B, and callers of A with everything they may hold: grants, launch, batch, transcript, code."""

    def __init__(self, cluster: Cluster, world: World, wire: responses.RequestsMock, name: str) -> None:
        self.cluster, self.world, self.name = cluster, world, name
        self.lesson = lesson = Lesson(world, wire)
        self.callers: dict[str, Caller] = {"app": lesson.app}
        self.callers["reader"] = world.reader("A", schedule=("SNM", "ENR", "SCH", "DEM", "PGI")).sign_in()
        self.callers["ids"] = world.reader("A", schedule=("SNM", "SID", "ENR", "PGI"), name="Names").sign_in()
        self.callers["both"] = world.reader("B", name="Elsewhere").sign_in()
        elsewhere = self.callers.pop("both")
        self.foreign = elsewhere.read("students").json["users"][0]["sourcedId"]
        self.foreign_class = elsewhere.read("classes").json["classes"][0]["sourcedId"]
        self.own = [u["sourcedId"] for u in self.callers["reader"].read("students").json["users"]]
        for caller in self.callers.values():
            caller.read("enrollments?limit=1")
        self.batch = lesson.hand_in(p0="proficient", stranger="proficient")
        world.agree("College", "higher_ed", ("TRN",), ("transcript.deliver",), ("transcript_delivery",), ["A"],
                    directed=False)  # fmt: skip
        self.callers["college"] = world.connect("College", "transcripts.read", schools=["A"]).sign_in()
        said = {"person": lesson.people["p0"], "document": DOCUMENT_OF}
        issued = lesson.app.call("POST", "/v1/transcripts", json=said)
        self.transcript = issued.json["id"]
        world.direct(world.agreements["College"], "transcript.deliver", ["A"], record=f"{self.transcript}@1")
        self.code, _ = rights_request.issue_code(world.office, world.by, world.places["A"], "p0")
        _, self.desk = onboarding.add_staff(world.office, world.by, "S. Desk", "school_admin", world.refs["A"])
        with world.office.database.open_identity() as session:
            (row,) = registrations.by_issuer(session, lesson.lms.issuer, lesson.lms.client_id)
        self.registration = row.registration
        self.opt_out = world.file("opt_out", school="School A", pupil="p4", category="lms")

    def questions(self, client: Any, world: World) -> Iterator[Callable[[], Any]]:
        yield from self._reads(client)
        yield from self._of_the_application(client)
        yield lambda: client.post("/family", data={"code": self.code})
        college = self._as("college", client)
        yield lambda: college.get(f"/v1/transcripts/{self.transcript}")
        yield lambda: college.get("/v1/transcripts/ts_0000000000000000")
        yield from self._launch(client, world)
        yield from self._messages(client, world)
        yield from self._of_the_desk(client)
        yield from self._of_the_door(client, world)
        yield from self._of_anybody(client)
        yield from self._acts(client)

    def _as(self, name: str, client: Any) -> Caller:
        return replace(self.callers[name], client=client)

    def _reads(self, client: Any) -> Iterator[Callable[[], Any]]:
        for name in ("reader", "ids"):
            caller = self._as(name, client)
            for what in ("students", "classes", "enrollments", "demographics"):
                yield lambda c=caller, w=what: c.read(w)
                yield lambda c=caller, w=what: c.read(f"{w}?limit=2&offset=3")
                yield lambda c=caller, w=what: c.read(f"{w}/nobody")
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

    def _of_the_desk(self, client: Any) -> Iterator[Callable[[], Any]]:
        """School A's own administrator, at the papers on file."""
        headers = {"Authorization": f"Bearer {self.desk}"}
        for kind in ("agreement", "direction", "consent", "opt_out"):
            yield lambda k=kind: client.get(f"/v1/on_file/{k}", headers=headers)
            yield lambda k=kind: client.post(f"/v1/on_file/{k}/xx_0000000000000000/end", headers=headers)
        for who in ("p2", "p1", "nobody"):
            lines = [{"school": "School A", "pupil": who, "category": "lms"}]
            for apply in (False, True):
                said = {"lines": lines, "apply": apply}
                yield lambda s=said: client.post("/v1/on_file/opt_out", json=s, headers=headers)
        yield lambda: client.post(f"/v1/on_file/opt_out/{self.opt_out}/end", headers=headers)

    def _of_the_door(self, client: Any, world: World) -> Iterator[Callable[[], Any]]:
        """Deliveries are the district's: school A's own administrator has nothing to ask there."""
        headers = {"Authorization": f"Bearer {self.desk}"}
        for source in (world.source, "src_0000000000000000"):
            door = f"/district/v1/sources/{source}"
            yield lambda d=door: client.get(f"{d}/runs/run_0000000000000000", headers=headers)
            yield lambda d=door: client.put(f"{d}/delivery", data=b"PK", headers=headers)

    def _of_anybody(self, client: Any) -> Iterator[Callable[[], Any]]:
        for path in ("/", "/healthz", "/readyz", "/family", "/errors/OWN_NOT_ASSOCIATED", "/errors/NONE",
                     "/.well-known/jwks.json", "/v1/openapi.json", "/nowhere", "/static/none",
                     f"/lti/keys/{self.registration}.json", "/lti/keys/re_0000000000000000.json",
                     "/lti/register", "/lti/register?invite=none&openid_configuration=https://x.example"):  # fmt: skip
            yield lambda p=path: client.get(p)
        for name in self.callers:
            caller = self._as(name, client)
            said = {"grant_type": "client_credentials", "scope": " ".join(caller.scopes)}
            for secret in (caller.secret, "wrong"):
                auth = (caller.client_id, secret)
                yield lambda a=auth, s=said: client.post("/oauth2/token", data=s, auth=a)

    def _acts(self, client: Any) -> Iterator[Callable[[], Any]]:
        """What the application writes and the teacher and the family decide: last, because it changes things."""
        app, lesson = self._as("app", client), self.lesson
        for class_id in (lesson.launch["class"]["id"], "cl_00000000000000000000000000000000"):
            body = {"class": class_id, "title": "Check", "points": 4, "scale": {"proficient": 3.0}}
            yield lambda b=body: app.call("PUT", "/v1/activities/check", json=b)
        at, people = self.world.clock.at.isoformat(), [*sorted(lesson.people.values()), "pe_" + "0" * 32]
        results = [{"ref": f"r{n}", "person": p, "mastery": "proficient", "at": at} for n, p in enumerate(people)]
        for mode in ("preview", "apply"):
            body = {"mode": mode, "activity": "check", "launch": lesson.launch["id"], "results": results}
            headers = {"Idempotency-Key": f"the key of {mode}"}
            yield lambda b=body, h=headers: app.call("POST", "/v1/result_batches", json=b, headers=h)
        for person in people[-3:]:
            said = {"person": person, "document": DOCUMENT_OF}
            yield lambda s=said: app.call("POST", "/v1/transcripts", json=s)
        yield lambda: client.post(self.batch["push_url"].removeprefix("https://gateway.example"))
        yield lambda: client.get(self.batch["push_url"].removeprefix("https://gateway.example"))
        for do in ("refuse", "delete", "look"):
            yield lambda d=do: client.post("/family", data={"code": self.code, "do": d})

    def _launch(self, client: Any, world: World) -> Iterator[Callable[[], Any]]:
        lms, app = self.lesson.lms, self._as("app", client)
        world.client = client
        for method, client_id in (("GET", lms.client_id), ("POST", lms.client_id), ("POST", "another")):
            yield lambda m=method, c=client_id: lms.login(world, m, client_id=c).answer
        for who, role in (("tA", "Instructor"), ("p0", "Learner"), ("p1", "Learner"), ("tB", "Instructor")):
            answers: list[Any] = []
            claims = lms.message(who, role, **self.lesson.book.claims())
            yield lambda c=claims, into=answers: (into.append(lms.launch(world, c)), into[0])[1]
            if answers[0].status_code == 303:
                code = code_of(answers[0])
                yield lambda c=code: app.call("POST", "/v1/launches/exchange", json={"code": c})

    def _messages(self, client: Any, world: World) -> Iterator[Callable[[], Any]]:
        """The other messages of a launch: linking a course, picking, reviewing, asking what leaves."""
        lms, app = self.lesson.lms, self._as("app", client)
        unlinked = lms.message("tA", "Instructor") | {LTI + "context": {"id": "course-x", "title": "New"}}
        answers: list[Any] = []
        yield lambda: (answers.append(lms.launch(world, unlinked)), answers[-1])[1]
        word = re.search(r'name="class" value="([^"]+)"', answers[-1].text)
        for said in (word[1] if word else "", "made up"):
            yield lambda s=said: client.post("/lti/link", data={"class": s})
        for who in ("tA", "p0", "tB"):
            yield lambda w=who: (answers.append(lms.launch(world, lms.picking(w))), answers[-1])[1]
            page = urlsplit(answers[-1].headers.get("Location", "/lti/pick/none")).path
            own = {"Cookie": answers[-1].headers.get("Set-Cookie", "").partition(";")[0]}
            yield lambda p=page, h=own: client.get(p, headers=h)
            said = {"data": {"do": "application"}, "headers": own}
            yield lambda p=page, s=said: (answers.append(client.post(p, **s)), answers[-1])[1]
            if answers[-1].status_code == 303:
                code = code_of(answers[-1])
                body = {"code": code}
                yield lambda b=body: (answers.append(app.call("POST", "/v1/launches/exchange", json=b)), answers[-1])[1]
                path, items = f"/v1/launches/{answers[-1].json['id']}/content_items", [{"activity": "check"}]
                yield lambda p=path, i=items: app.call("POST", p, json={"items": i})
            yield lambda p=page, h=own: client.post(p, data={"item": "check"}, headers=h)
            yield lambda p=page, h=own: client.post(p, data={"do": "cancel"}, headers=h)
        for origin in (lms.context, "course-b", "nowhere"):
            yield lambda o=origin: client.post("/lti/notices", json={"notices": [{"jwt": self._copied(world, o)}]})
        yield lambda: client.post("/lti/notices", json={})
        yield lambda: lms.launch(world, unlinked | {LTI + "context": {"id": "course-y"}})
        for whom in ("p0", "p1", "nobody"):
            yield lambda w=whom: lms.launch(world, lms.reviewing("tA", w))
            yield lambda w=whom: lms.launch(world, lms.asking("tA", w))

    def _copied(self, world: World, origin: str) -> str:
        """A notice that a course was copied."""
        lms, now = self.lesson.lms, int(world.clock.at.timestamp())
        return lms.sign({
            "iss": lms.issuer, "aud": lms.client_id, "iat": now, "exp": now + 300, LTI + "version": "1.3.0",
            LTI + "deployment_id": lms.deployment_id, LTI + "context": {"id": "course-y"},
            LTI + "notice": {"id": origin, "timestamp": "2026-11-02T09:00:00Z", "type": "LtiContextCopyNotice"},
            LTI + "origin_contexts": [origin],
        })  # fmt: skip


@pytest.fixture(scope="module")
def base(cluster, tmp_path_factory) -> Iterator[Base]:
    folder = tmp_path_factory.mktemp("twins")
    settings = Settings(folder / "instance", "https://gateway.example", "", "", "", False, 0, 256)
    name = f"base_{folder.parent.name}_{next(_numbers)}".replace("-", "_")
    addresses = cluster.make(name)
    clock = Steered(datetime(2026, 11, 2, 9, 0, tzinfo=UTC))
    office = make_office(settings, addresses.application, clock.clock)
    wire = tapped(responses.RequestsMock(assert_all_requests_are_fired=False))
    with flying(office.database, settings.instance), wire as mock:
        made = Base(cluster, World(office, clock), mock, name)
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
        delivery = roster(*(org for org in world.places if org not in "AB"))
        change(delivery)
        report = world.deliver(delivery)
        assert report.state in ("published", "unchanged", "held"), report.as_dict()

    return bring


def roster(*more: str) -> Delivery:
    """Schools A and B, and more schools, with pupils of their own and pupils and a teacher of A's."""
    delivery = two_schools()
    for org in more:
        delivery.add("orgs.csv", sourcedId=org, name=f"School {org}", type="school", parentSourcedId="d")
        delivery.class_(f"k{org}", org).person(f"p{org}", "student", org, born="2011-01-01")
        for who, role in ((f"p{org}", "student"), ("p0", "student"), ("p2", "student"), ("tA", "teacher")):
            if who != f"p{org}":
                delivery.add("roles.csv", sourcedId=f"r.{who}.{org}", userSourcedId=who, role=role,
                             roleType="secondary", orgSourcedId=org)  # fmt: skip
            delivery.enroll(who, f"k{org}", org, role)
    return delivery


def school_of_shared_people(org: str) -> Callable[[World], None]:
    """Another school with a roster: pupils and a teacher of A are there too, and a vendor of A serves it."""

    def open_it(world: World) -> None:
        if org in world.places:
            return
        world.onboard(org)
        night(lambda _delivery: None)(world)
        agreement("Reader", org=org)(world)

    return open_it


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


def agreement(vendor: str, org: str = "B", **terms: Any) -> Callable[[World], None]:
    """An agreement of another school with a vendor that serves A, of any terms, with a direction."""

    def agree(world: World) -> None:
        said = {"effective_at": world.clock.at - timedelta(days=9), "expires_at": UNTIL, "retention_days": 30,
                "commitments": ["all"], "document": DOCUMENT, "assured": world.clock.at} | terms  # fmt: skip
        ref = world.file(
            "agreement", vendor=vendor, schedule=["SNM", "SID", "DEM", "SCI"], purposes=["rostering"],
            operations=["roster.read"], schools=[world.refs[org]], **said,
        )  # fmt: skip
        world.direct(ref, "roster.read", [org])

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
    st.sampled_from(["C", "D"]).map(school_of_shared_people),
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
    assert {200, 303, 400, 403, 404} <= set(codes)
    assert not [code for code in codes if code >= 500]


# Routes that no question asks, and why.
NOT_ASKED: dict[tuple[str, str], str] = {}


def test_every_route_is_asked(base, plain):
    """A route that no question asks, and that is not named as an exception with its reason, fails."""
    app = create_app(base.world.parts)
    built = {(method, rule.rule) for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD", "OPTIONS"}}
    assert built - plain.routes == set(NOT_ASKED)
    assert len(built) > 30
    assert sum(len(statements) for *_, statements in plain) > 500


def test_the_same_world_answers_the_same_twice(base, plain):
    assert_same(answers_after(base, []), plain)


def test_data_of_school_a_do_show(base, plain):
    def new_pupil(delivery: Delivery) -> None:
        delivery.person("xa", "student", "A", born="2012-01-01").enroll("xa", "kA", "A")

    assert answers_after(base, [night(new_pupil)]) != plain


@trials(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(additions=st.lists(ADDITIONS, min_size=1, max_size=4))
@example(additions=[school_of_shared_people("C"), school_of_shared_people("D"), also_at_b("tA"), family_acts("p0")])
def test_nothing_of_school_b_shows_in_any_answer_to_school_a(base, plain, additions):
    assert_same(answers_after(base, additions), plain)


@pytest.mark.invariants
@trials(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(additions=st.lists(ADDITIONS, min_size=1, max_size=6))
def test_nothing_of_school_b_shows_in_three_hundred_worlds(base, plain, additions):
    assert_same(answers_after(base, additions), plain)


# --- no oracle -------------------------------------------------------------------------------------

NOTHING = "00000000-0000-4000-8000-000000000000"


class Shadows(Twin):
    """A copy of the base world whose school A lacks records in every way there is, and callers of A who ask for them.

    x0 has left, x1's family refused any use, x2's refused disclosure, x3 opted out of everybody; nobody's pupil is gP.
    x4 has left and is erased.
    """

    def __init__(self, base: Base, name: str) -> None:
        super().__init__(base, name)
        world = self.world
        self.everyone = world.reader("A", name="All", schedule=("SNM", "SID", "ENR", "DEM", "SCH"))
        self.aliased = world.reader("A", name="Aliased", schedule=("SNM", "ENR", "DEM", "SCH"))
        here = two_schools().person("gP", "student", born="2012-01-01")
        for n in range(30):
            here.person(f"x{n}", "student", "A", born="2012-01-01").enroll(f"x{n}", "kA", "A")
        assert world.deliver(here).state == "published"
        for caller in (self.everyone.sign_in(), self.aliased.sign_in()):
            for what in ("students", "classes", "enrollments", "demographics"):
                assert caller.read(what).status_code == 200
        members = f"/v1/classes/{base.lesson.launch['class']['id']}/members"
        with self.wire as wire:
            base.lesson.lms.serve_keys(wire)
            deepcopy(base.lesson.book).serve(wire)
            app = replace(base.callers["app"], client=world.app.test_client(use_cookies=False))
            self.people = {one["name"].split()[0]: one["id"] for one in app.get(members).json["data"]}
        for who in ("x0", "x4"):
            here.without("users.csv", who).without("roles.csv", f"r.{who}.A").without("demographics.csv", who)
            here.without("enrollments.csv", f"e.kA.{who}")
        assert world.deliver(here).state == "published"
        now = world.clock.at
        with self.office.database.open_school(world.places["A"]) as session:
            for who, scope in (("x1", "use"), ("x2", "disclose")):
                on_file.record(
                    session, "consent", f"co_a{who}0000000", now, "family", person_id=who, scope=scope,
                    status="refused", agreement=None, grantor="parent", evidenced=False, valid_from=now,
                    valid_until=None, body={},
                )  # fmt: skip
        world.file("opt_out", school="School A", pupil="x3")
        self.ours = {
            (row.kind, row.sourced_id): str(row.alias)
            for row in self._aliases(self.aliased.client_id)
        }  # fmt: skip
        place = world.places["A"]
        request, _ = erasure.ask(world.office, world.by, place, "x4")
        assert erasure.erase(world.office, world.by, place, request).erased
        self.theirs = world.file("opt_out", school="School B", pupil="p1", category="lms")
        self.numbers, self.statements = [itertools.count()], []
        self.world.office = replace(self.office, ids=counted_ids("o", self.numbers))
        self.world.__dict__.pop("parts")
        self.office.database.watch = self.statements.append
        self.client = self.world.canaries.listen(create_app(self.world.parts)).test_client(use_cookies=False)
        self.world.client = self.client

    def _aliases(self, client_id: str) -> list[Any]:
        with self.office.database.open_identity() as session:
            grant = session.row("SELECT access_grant FROM client WHERE client_id = %(c)s", c=client_id).access_grant
        with self.office.database.open_school(self.world.places["A"]) as session:
            own = "district = %(district)s AND school = %(school)s AND access_grant = %(grant)s"
            return list(session.rows(f"SELECT kind, sourced_id, alias FROM alias WHERE {own}", grant=grant))

    def heard(self, ask: Callable[[], Any]) -> tuple[Any, ...]:
        """All that a caller can tell of an answer, and the statements it took; asked under the same ids each time."""
        for place in self.world.places.values():
            with self.office.database.open_erasure(place) as session:
                session.run("DELETE FROM decision WHERE district = %(district)s AND school = %(school)s")
        self.numbers[0] = itertools.count()
        self.statements.clear()
        answer = ask()
        headers = sorted((name, _EXPIRES.sub("", value)) for name, value in answer.headers)
        return answer.status_code, headers, answer.data, list(self.statements)

    def caller(self, caller: Caller) -> Caller:
        return replace(caller, client=self.client)


@pytest.fixture(scope="module")
def shadows(base) -> Iterator[Shadows]:
    name = f"shadows_{next(_numbers)}_{base.name}"
    made = Shadows(base, name)
    yield made
    made.close()
    base.cluster.drop(name)


ABSENT = ("nobody", "p1", "gP", "x0", "x1", "x2", "x3", "x4")


def of_an_alias(what: str, key: Callable[[str], tuple[str, str]]) -> Callable[[Shadows], list[Callable[[], Any]]]:
    """One collection's single, asked by a caller who knows records by aliases only."""

    def questions(at: Shadows) -> list[Callable[[], Any]]:
        caller = at.caller(at.aliased)
        known = [at.ours[key(who)] for who in ("x0", "x1", "x2", "x3", "x4")]
        return [lambda k=k: caller.read(f"{what}/{k}") for k in (NOTHING, at.base.foreign, "nobody", *known)]

    return questions


def of_a_source_id(what: str, key: str) -> Callable[[Shadows], list[Callable[[], Any]]]:
    def questions(at: Shadows) -> list[Callable[[], Any]]:
        caller = at.caller(at.everyone)
        return [lambda w=who: caller.read(f"{what}/{key.format(w)}") for who in ABSENT]

    return questions


def of_a_transcript(at: Shadows) -> list[Callable[[], Any]]:
    """Absent; of a pupil nobody directed; directed, of a pupil whose family then refused."""
    app, college = at.caller(at.base.callers["app"]), at.caller(at.base.callers["college"])
    refs = []
    for who in ("Givenx1", "Givenp2"):
        issued = app.call("POST", "/v1/transcripts", json={"person": at.people[who], "document": DOCUMENT_OF})
        refs.append(issued.json["id"])
    at.world.direct(at.world.agreements["College"], "transcript.deliver", ["A"], record=f"{refs[0]}@1")
    return [lambda r=ref: college.get(f"/v1/transcripts/{r}") for ref in ("ts_0000000000000000", "none", *refs)]


def of_a_transcript_without_scope(at: Shadows) -> list[Callable[[], Any]]:
    """A client that may not fetch transcripts learns nothing of which there are."""
    reader = at.caller(at.everyone)
    return [lambda r=ref: reader.get(f"/v1/transcripts/{r}") for ref in ("ts_0000000000000000", at.base.transcript)]


def of_a_transcripts_pupil(at: Shadows) -> list[Callable[[], Any]]:
    app = at.caller(at.base.callers["app"])
    asked = ["pe_" + "0" * 32, "nobody", "pe_" + at.base.foreign.replace("-", ""), *(
        at.people[who] for who in ("Givenx0", "Givenx4", "GiventA")
    )]  # fmt: skip
    return [lambda p=p: app.call("POST", "/v1/transcripts", json={"person": p, "document": DOCUMENT_OF}) for p in asked]


def of_a_class(method: str) -> Callable[[Shadows], list[Callable[[], Any]]]:
    def questions(at: Shadows) -> list[Callable[[], Any]]:
        app = at.caller(at.base.callers["app"])
        keys = ["cl_" + "0" * 32, "cl_" + at.base.foreign_class.replace("-", ""), "nobody"]
        if method == "GET":
            return [lambda k=k: app.get(f"/v1/classes/{k}/members") for k in keys]
        body = {"title": "Check", "points": 4, "scale": {}}
        return [lambda k=k: app.call("PUT", "/v1/activities/check", json=body | {"class": k}) for k in keys]

    return questions


def of_a_paper(at: Shadows) -> list[Callable[[], Any]]:
    """School A's own administrator ends a paper that is nowhere, or school B's."""
    headers = {"Authorization": f"Bearer {at.base.desk}"}
    return [
        lambda r=ref: _unsaid(at.client.post(f"/v1/on_file/opt_out/{r}/end", headers=headers), r)
        for ref in ("oo_0000000000000000", at.theirs)
    ]


def _unsaid(answer: Any, word: str) -> Any:
    """An answer that repeats the caller's own word, without it."""
    answer.data = answer.data.replace(word.encode(), b"-" * 19)
    return answer


def of_a_batch(at: Shadows) -> list[Callable[[], Any]]:
    app = at.caller(at.base.callers["app"])
    return [lambda r=ref: app.get(f"/v1/result_batches/{r}") for ref in ("ba_0000000000000000", "none", NOTHING)]


def of_a_launch(at: Shadows) -> list[Callable[[], Any]]:
    app, at_ = at.caller(at.base.callers["app"]), at.world.clock.at.isoformat()
    body = {"mode": "preview", "activity": "check",
            "results": [{"ref": "r", "person": "pe_" + "0" * 32, "mastery": "x", "at": at_}]}  # fmt: skip
    return [
        lambda la=la: app.call("POST", "/v1/result_batches", json=body | {"launch": la},
                               headers={"Idempotency-Key": "one and the same"})
        for la in ("la_0000000000000000", "none", at.base.transcript)
    ]  # fmt: skip


def of_a_code(at: Shadows) -> list[Callable[[], Any]]:
    app = at.caller(at.base.callers["app"])
    codes = ("x" * 43, at.base.code, at.base.batch["push_url"].rpartition("/")[2])
    return [lambda c=code: app.call("POST", "/v1/launches/exchange", json={"code": c}) for code in codes]


def of_a_page(at: Shadows) -> list[Callable[[], Any]]:
    return [lambda k=key: at.client.get(f"/teacher/{k}") for key in ("x" * 43, at.base.code, "none")]


def of_a_familys_code(at: Shadows) -> list[Callable[[], Any]]:
    codes = ("x" * 43, at.base.batch["push_url"].rpartition("/")[2], "none")
    return [lambda c=code: at.client.post("/family", data={"code": c}) for code in codes]


def of_a_launching_pupil(at: Shadows) -> list[Callable[[], Any]]:
    lms, world = at.base.lesson.lms, at.world

    def arrive(who: str) -> Any:
        claims = lms.message(who, "Learner")
        login = lms.login(world)
        at.numbers[0] = itertools.count(1000)
        at.statements.clear()
        return lms.post(world, lms.sign(lms.complete(world, claims, login)), login)

    return [lambda w=who: arrive(w) for who in ABSENT if who not in ("x2", "x3")]


ONE_RECORD = {
    **{f"{what} by alias": of_an_alias(what, lambda who, k=kind, f=form: (k, f.format(who))) for what, kind, form in (
        ("students", "user", "{}"), ("enrollments", "enrollment", "e.kA.{}"), ("demographics", "demographics", "{}")
    )},
    **{f"{what} by source id": of_a_source_id(what, form) for what, form in (
        ("students", "{}"), ("enrollments", "e.kA.{}"), ("demographics", "{}"), ("classes", "{}")
    )},
    "transcript": of_a_transcript, "transcript without scope": of_a_transcript_without_scope,
    "pupil of a transcript": of_a_transcripts_pupil,
    "members of a class": of_a_class("GET"), "class of an activity": of_a_class("PUT"),
    "paper on file": of_a_paper, "batch of results": of_a_batch, "launch of results": of_a_launch,
    "one-time code": of_a_code, "teacher's page": of_a_page, "family's code": of_a_familys_code,
    "launching pupil": of_a_launching_pupil,
}  # fmt: skip


@pytest.mark.parametrize("questions", [pytest.param(ask, id=name) for name, ask in ONE_RECORD.items()])
def test_what_is_not_there_foreign_personal_gone_or_denied_answers_alike(shadows, questions):
    with tapped(responses.RequestsMock(assert_all_requests_are_fired=False)) as wire:
        shadows.base.lesson.lms.serve_keys(wire)
        deepcopy(shadows.base.lesson.book).serve(wire)
        asked = questions(shadows)
        shadows.heard(asked[0])  # what is looked up once and kept is looked up
        first, *others = [shadows.heard(ask) for ask in asked]
    assert first[0] in (403, 404, 400, 422)
    assert others
    for number, other in enumerate(others, 1):
        assert other[:3] == first[:3], number
        assert len(other[3]) == len(first[3]), (number, *(set(other[3]) ^ set(first[3])))
