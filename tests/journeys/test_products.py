"""Each make of LMS from its paste sheet to a grade: the gateway and the sandbox LMS, each at a port of its own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask, request

from gateway.clock import Clock
from gateway.flows import onboarding
from gateway.sandbox import lms
from gateway.sandbox.browser import Browser
from gateway.sandbox.campus import Course, User, user_id
from gateway.sandbox.district import Person
from gateway.sandbox.loopback import running
from gateway.sandbox.stage import free_port
from gateway.sandbox.wire import fetch
from mappings import products
from mappings.elements import expand
from tests.canaries import closed
from tests.conftest import world_on
from tests.journeys.test_grades import PUPILS, Lesson
from tests.worlds import APP_SCOPES, World

MAKES = sorted(products.names() - {products.DEFAULT})
ADDRESSES = ("auth_url", "token_url", "jwks_url")


class Live:
    """The clock on the wall, put forward where a test says so."""

    def __init__(self) -> None:
        self.ahead, self.clock = timedelta(0), Clock(lambda: self.at)

    @property
    def at(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def forward(self, **span: float) -> None:
        self.ahead += timedelta(**span)


class Make(Lesson):
    """A lesson in an LMS of one make, reached over HTTP; what registers it is its profile."""

    def __init__(self, world: World, stack: ExitStack, name: str, **habits: Any) -> None:
        self.world, self.name, self.codes = world.standing(), name, []
        self.browser = stack.enter_context(Browser(ports_are_sites=True))
        stack.enter_context(running(lambda _url: world.app, int(world.office.settings.url.rpartition(":")[2])))
        stack.enter_context(running(self._lms))
        self.post("habits", **habits)
        self._application(stack.enter_context(running(self._landing)))
        self.client_id = f"{self.told['client_id']}-{secrets.token_hex(4)}"
        self.deployment = self.register()
        onboarding.link_class(world.office, world.by, self.deployment, "7", world.refs["A"], "kA")

    def _lms(self, url: str) -> Flask:
        app = lms.create_app(url, self.name)
        self.campus, self.told = app.extensions["campus"], app.extensions["announce"]
        people = [Person("tA", "teacher", "T", "A", "tA", ("A",))]
        people += [Person(p, "student", p, "A", p, ("A",)) for p in PUPILS]
        self.ids = {p.sourced_id: user_id(p.sourced_id, self.campus.profile.subject_prefix) for p in people}
        members = {self.ids[p.sourced_id]: User(self.ids[p.sourced_id], p) for p in people}
        self.campus.courses = {"7": Course("7", "kA", "Algebra", members)}
        for person, key in self.ids.items():
            self.world.canaries.watch(key, (self.world.places["A"],), "person.lti_subject", person)
        return app

    def _landing(self, _url: str) -> Flask:
        app = Flask("application")

        @app.get("/launch")
        def landed() -> str:
            self.codes.append(request.args["code"])
            return "Welcome"

        return app

    def _application(self, url: str) -> None:
        world = self.world
        operations = ("launch.handover", "members.read", "result.write")
        world.agree("Mastery App", "application", ("SNM", "ENR", "SCH", "SAP"), operations, ("assessment_delivery",),
                    ["A"], launch_url=f"{url}/launch")  # fmt: skip
        self.app = world.connect("Mastery App", *APP_SCOPES, schools=["A"])
        schedule = ("SAP", "person.lti_subject")
        world.agree(self.name, "lms", schedule, ("grade.passback",), ("grading",), ["A"])
        world.canaries.recipients[self.told["lms"]] = {world.places["A"]: closed(expand(schedule))}

    def register(self) -> str:
        """Register by the profile: only what it asks for, and our loopback instead of addresses that all share."""
        settings, world = self.world.office.settings, self.world
        shown = self.told | {"site": self.told["lms"]}
        typed = {key: shown[key] for key in products.product(self.name).setup.asks.value}
        filled = onboarding.complete(settings, self.name, typed)
        assert (filled["issuer"], filled["deployment_id"]) == (self.told["issuer"], self.told["deployment_id"])
        assert {urlsplit(filled[a]).path for a in ADDRESSES} == {urlsplit(self.told[a]).path for a in ADDRESSES}
        shared = {a: self.told[a] for a in ADDRESSES if not filled[a].startswith(self.told["lms"])}
        whole = onboarding.complete(settings, self.name, {**typed, **shared, "client_id": self.client_id})
        lms_ = onboarding.Lms(**whole, agreement=world.agreements[self.name])
        ours = onboarding.ours(settings.url)
        self.post("tool", client_id=self.client_id, deployment_id=self.told["deployment_id"], title="Check",
                  login_url=ours["login_url"], redirect_uris=[ours["redirect_uri"]], jwks_url=ours["jwks_url"],
                  target_link_uri=ours["target_link_uri"])  # fmt: skip
        return onboarding.add_lms(world.office, world.by, self.name, lms_, [world.refs["A"]])

    def post(self, what: str, **body: Any) -> None:
        assert fetch("POST", f"{self.told['lms']}/_sandbox/{what}", json=body).status_code == 200

    def visit(self, who: str = "tA") -> Any:
        """Somebody signs in and opens the tool; return the page they end at."""
        self.browser.get(f"{self.told['lms']}/login")
        self.browser.submit("Sign in", user=self.ids[who])
        return self.browser.get(f"{self.told['lms']}/courses/7/open?tool={self.client_id}")

    def begin(self) -> Make:
        """A teacher opens the activity; the application learns the class."""
        page = self.visit()
        assert (page.status, self.browser.text) == (200, "Welcome"), page.body
        self.launch = self.app.call("POST", "/v1/launches/exchange", json={"code": self.codes[-1]}).json
        self.people = self.learn()
        self.activity()
        return self

    def posted(self) -> list[tuple[str, float, int]]:
        names = {key: person for person, key in self.ids.items()}
        return [(names[s["body"]["userId"]], s["body"]["scoreGiven"], s["status"]) for s in self.campus.received]


@contextmanager
def at(addresses: Any, settings: Any, name: str, kind: type[Make] = Make, **habits: Any) -> Iterator[Make]:
    settings = replace(settings, url=f"http://127.0.0.1:{free_port()}")
    with world_on(addresses, settings, Live()) as world, ExitStack() as stack:  # type: ignore[arg-type]
        yield kind(world, stack, name, **habits)


@pytest.mark.parametrize("name", MAKES)
def test_from_the_paste_sheet_to_a_grade_that_is_read_back(addresses, settings, name):
    with at(addresses, settings, name, sis_ids=True) as make:
        make.begin()
        accepted = make.campus.profile.score_status
        assert make.send(p0="proficient", p2="beginning") == {"p0": ("sent", None), "p2": ("sent", None)}
        assert sorted(make.posted()) == [("p0", 3.0, accepted), ("p2", 1.0, accepted)]
        time.sleep(1.1)  # Moodle's clock has whole seconds
        assert make.send(p0="exemplary") == {"p0": ("sent", None)}
        assert make.posted()[-1] == ("p0", 4.0, accepted)
        assert len(make.campus.columns) == 1
        assert [e["outcome"] for e in make.entries("outcome")] == ["acknowledged"] * 3


def test_open_edx_as_it_comes_names_nobody_and_says_so(addresses, settings):
    with at(addresses, settings, "openedx") as make:
        page = make.visit()
        assert page.status == 403
        assert "LTI_PERSON" in page.body
        assert make.codes == []


def test_a_member_list_without_end_teaches_nothing(addresses, settings):
    with at(addresses, settings, "blackboard", endless_above=2, page_size=2) as make:
        make.begin()
        assert make.send(p0="proficient") == {"p0": ("needs_admin", "GRD_NOT_IN_COURSE")}
        make.post("habits", endless_above=0)
        assert make.send(p0="proficient") == {"p0": ("sent", None)}


@pytest.mark.parametrize("answer", [(429, "Too Many Requests"), (403, "403 Forbidden (Rate Limit Exceeded)")])
def test_a_grade_that_was_one_call_too_many_waits_and_goes_once(addresses, settings, answer):
    with at(addresses, settings, "canvas") as make:
        make.begin()
        make.send(p0="beginning")
        make.post("habits", throttle=answer, throttle_seconds=3600, throttle_calls=make.campus.window.calls + 1)
        batch = make.hand_in(p2="proficient")
        make.press(batch)
        make.drain()
        assert make.stands(batch) == {"p2": ("waiting", None)}
        make.post("habits", throttle_calls=0)
        make.later(minutes=2)
        assert make.stands(batch) == {"p2": ("sent", None)}
        assert [p for p in make.posted() if p[0] == "p2"] == [("p2", 3.0, 200)]


def test_service_tokens_that_hardly_live_are_renewed(addresses, settings):
    with at(addresses, settings, "brightspace", bearer_seconds=0.5) as make:
        make.begin()
        time.sleep(0.6)
        assert make.send(p0="proficient", p4="beginning") == {"p0": ("sent", None), "p4": ("sent", None)}


def test_the_login_is_told_who_asks_and_where(addresses, settings):
    with at(addresses, settings, "blackboard") as make:
        make.begin()
        (login,) = {p.url for p in make.browser.history if "/lti/login" in p.url}
        asked = {key: value[0] for key, value in parse_qs(urlsplit(login).query).items()}
        assert asked["iss"] == "https://blackboard.com"
        assert asked["lti_storage_target"] == "lti_storage_frame"
