"""The gateway and Open edX's LTI component, each at a port of its own, and a browser between them."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from flask import Flask, request

from gateway.flows import onboarding
from gateway.sandbox.browser import Browser, Page
from gateway.sandbox.loopback import running
from gateway.sandbox.stage import free_port
from gateway.sandbox.wire import fetch
from gateway.settings import Settings
from mappings.elements import expand
from tests.canaries import closed
from tests.conftest import world_on
from tests.journeys.test_grades import Lesson
from tests.journeys.test_products import Live
from tests.promises.register import ROOT
from tests.worlds import APP_SCOPES, World

PYTHON = ROOT / ".venv-outside" / "bin" / "python"
NEEDED = "needs the other platform's environment: `make outside` builds it"
SCHEDULE = ("SAP", "person.lti_subject")


@contextmanager
def platform(tool: str) -> Iterator[dict[str, str]]:
    """Run the other platform with the tool at this address in a course of it; what it shows is yielded."""
    command = [str(PYTHON), str(ROOT / "tests" / "outside" / "open_edx.py"), tool]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        errors: list[str] = []
        listener = threading.Thread(target=lambda: errors.extend(process.stderr or ()))
        listener.start()
        try:
            line = process.stdout.readline()
            assert line, "".join(errors)
            yield json.loads(line)
        finally:
            process.terminate()
            listener.join()


class Outside(Lesson):
    """A lesson in that platform's course, registered by its make's profile alone."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self.world, self.codes = world.standing(), list[str]()
        url = world.office.settings.url
        self.browser = stack.enter_context(Browser(ports_are_sites=True))
        stack.enter_context(running(lambda _url: world.app, int(url.rpartition(":")[2])))
        self.edx = stack.enter_context(platform(url))
        landing = stack.enter_context(running(self._landing))
        operations = ("launch.handover", "members.read", "result.write")
        world.agree("Mastery App", "application", ("SNM", "ENR", "SCH", "SAP"), operations, ("assessment_delivery",),
                    ["A"], launch_url=f"{landing}/launch")  # fmt: skip
        self.app = world.connect("Mastery App", *APP_SCOPES, schools=["A"])
        self.deployment = self._register()
        onboarding.link_class(world.office, world.by, self.deployment, self.edx["course"], world.refs["A"], "kA")

    def _landing(self, _url: str) -> Flask:
        app = Flask("application")

        @app.get("/launch")
        def landed() -> str:
            self.codes.append(request.args["code"])
            return "Welcome"

        return app

    def _register(self) -> str:
        world, place = self.world, self.world.places["A"]
        world.agree("Open edX", "lms", SCHEDULE, ("grade.passback",), ("grading",), ["A"])
        world.canaries.recipients[self.edx["site"]] = {place: closed(expand(SCHEDULE))}
        typed = {name: self.edx[name] for name in ("site", "client_id", "registration_id")}
        whole = onboarding.complete(world.office.settings, "openedx", typed)
        lms = onboarding.Lms(**whole, agreement=world.agreements["Open edX"])
        return onboarding.add_lms(world.office, world.by, "Open edX", lms, [world.refs["A"]])

    def visit(self, who: str, what: str = "link") -> Page:
        """Somebody opens the unit in the course; return the page they end at."""
        return self.browser.get(f"{self.edx['site']}/open?user={who}&what={what}")

    def told(self) -> dict[str, Any]:
        """What the platform has stored."""
        return dict(fetch("GET", f"{self.edx['site']}/told").json())

    @contextmanager
    def habits(self, **changes: bool) -> Iterator[None]:
        """What this platform does meanwhile; all are on before and after."""
        for said in (changes, dict.fromkeys(changes, True)):
            assert fetch("POST", f"{self.edx['site']}/habits", json=said).status_code == 200
            if said is changes:
                yield

    def exchanged(self) -> dict[str, Any]:
        """What the application learns of the last launch."""
        answer = self.app.call("POST", "/v1/launches/exchange", json={"code": self.codes[-1]})
        assert answer.status_code == 200, answer.text
        return dict(answer.json)

    def begin(self) -> Outside:
        """A teacher and two pupils open the unit; the application sets up its activity."""
        for who in ("p0", "p2", "tA"):
            page = self.visit(who)
            assert (page.status, page.text) == (200, "Welcome"), page.body
        self.launch = self.exchanged()
        self.people = self.learn()
        self.activity()
        return self


@pytest.fixture(scope="module")
def outside(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """The course of the whole page of tests, begun; what one of them leaves there the next one finds."""
    if not PYTHON.exists():
        pytest.skip(NEEDED)
    url, folder = f"http://127.0.0.1:{free_port()}", tmp_path_factory.mktemp("outside")
    settings = Settings(folder / "instance", url, "", "", "", True, 0, 256)
    with world_on(addresses, settings, Live()) as world, ExitStack() as stack:  # type: ignore[arg-type]
        yield Outside(world, stack).begin()
