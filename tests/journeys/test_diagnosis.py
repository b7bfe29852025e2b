"""A launch that fails at each of the eight steps: what the page ticks, and what its administrator looks up later."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses
from werkzeug.test import TestResponse

from gateway.errors import VOCABULARY
from gateway.flows import launch
from gateway.flows.launch.diagnosis import STEPS as IN_WORDS
from tests.platforms import LTI, Login, Platform, application, refusal_of, rsa_key
from tests.worlds import World


@dataclass
class Failing:
    """An LMS whose launches fail, each in one way."""

    world: World
    lms: Platform

    def launch(self, claims: dict[str, Any], who: str = "p0", **header: Any) -> TestResponse:
        begun = self.lms.login(self.world)
        said = self.lms.complete(self.world, self.lms.message(who) | claims, begun)
        return self.lms.post(self.world, self.lms.sign(said, **header), begun)

    def strange_browser(self) -> TestResponse:
        begun = self.lms.login(self.world)
        return self.lms.post(self.world, "x", Login(begun.answer, begun.asked))

    def forged(self) -> TestResponse:
        kept, self.lms.key = self.lms.key, rsa_key(4)
        answer = self.launch({})
        self.lms.key = kept
        return answer

    def looked_up(self, page: str) -> dict[str, Any]:
        (support,) = re.findall(r"<code>(req_\w+)</code>", page)
        return launch.inspect(self.world.office, self.world.by, support)


@pytest.fixture
def failing(public_world: World, wire: responses.RequestsMock) -> Failing:
    application(public_world.standing(), "A")
    return Failing(public_world, Platform().register(public_world, "A").link(public_world, "A", "kA").serve_keys(wire))


def failed_at(page: str) -> int:
    """Which of the steps failed; all before it are ticked, and none after it."""
    steps = re.findall(r'<li class="(\w+)"', page)
    at = steps.index("failed") + 1
    assert steps == ["passed"] * (at - 1) + ["failed"] + ["untried"] * (8 - at)
    return at


STEPS: dict[int, tuple[str, Callable[[Failing], TestResponse]]] = {
    1: ("LTI_ISSUER_UNKNOWN", lambda f: f.lms.login(f.world, client_id="nobody").answer),
    2: ("LTI_BROWSER", Failing.strange_browser),
    3: ("LTI_KID", lambda f: f.launch({}, kid=None)),
    4: ("LTI_KEY_UNKNOWN", lambda f: f.launch({}, kid="k9")),
    5: ("LTI_SIGNATURE", Failing.forged),
    6: ("LTI_EXP", lambda f: f.launch({"exp": 1})),
    7: ("LTI_CONTEXT_UNLINKED", lambda f: f.launch({LTI + "context": {"id": "course-9"}})),
    8: ("LTI_PERSON", lambda f: f.launch({}, "p99")),
}


@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_where_a_launch_can_fail(failing, step):
    code, attempt = STEPS[step]
    page = attempt(failing).text
    assert (code_on(page), failed_at(page)) == (code, step)
    if step > 1:  # a login is nobody's yet, and nothing is kept of it
        told = failing.looked_up(page)
        assert (told["outcome"], told["passed"], told["failed_at"]) == (code, step - 1, IN_WORDS[step - 1])
        assert told["verified"] is (step > 5)


def code_on(page: str) -> str:
    (code,) = set(re.findall(r"/errors/(\w+)", page))
    return str(code)


# A claim that is wrong is no tick for "fresh and complete", whatever it is about.
CLAIMS = {
    "deployment_id": ("LTI_DEPLOYMENT", {LTI + "deployment_id": None}),
    "context": ("LTI_CONTEXT", {LTI + "context": {"title": "No id"}}),
    "launch_presentation": ("LTI_CLAIM", {LTI + "launch_presentation": 7}),
    "roles": ("LTI_ROLES", {LTI + "roles": "Learner"}),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_that_is_wrong_is_named_to_both(failing, claim):
    code, claims = CLAIMS[claim]
    answer = failing.launch(claims)
    assert (refusal_of(answer), failed_at(answer.text)) == (code, 6)
    assert f"<code>{claim}</code>" in answer.text
    told = failing.looked_up(answer.text)
    assert (told["outcome"], told["wrong_claim"], told["passed"]) == (code, claim, 5)


def test_no_course_at_all_is_no_fault_of_the_message(failing):
    answer = failing.launch({LTI + "context": None})
    assert (refusal_of(answer), failed_at(answer.text)) == ("LTI_CONTEXT", 7)
    assert failing.looked_up(answer.text)["wrong_claim"] is None


def test_an_unknown_deployment_is_no_message_for_this_gateway(failing):
    begun = failing.lms.login(failing.world, lti_deployment_id=None)
    said = failing.lms.complete(failing.world, failing.lms.message("p0", **{LTI + "deployment_id": "9"}), begun)
    answer = failing.lms.post(failing.world, failing.lms.sign(said), begun)
    assert (refusal_of(answer), failed_at(answer.text)) == ("LTI_DEPLOYMENT", 6)


BACK = "https://lms.example/courses/7?view=a&b=1#top"
SHOWN = LTI + "launch_presentation"


@pytest.mark.parametrize("step", [6, 7, 8])
def test_from_a_launch_that_failed_there_is_a_way_back_to_the_lms(failing, step):
    code, claims = {6: ("LTI_EXP", {"exp": 1}), 7: ("LTI_CONTEXT_UNLINKED", {LTI + "context": {"id": "course-9"}}),
                    8: ("LTI_PERSON", {})}[step]  # fmt: skip
    page = failing.launch({SHOWN: {"return_url": BACK}} | claims, "p99" if step == 8 else "p0").text
    assert (code_on(page), failed_at(page)) == (code, step)
    (support,) = re.findall(r"<code>(req_\w+)</code>", page)
    (back,) = ways_back(page)
    assert back.startswith("https://lms.example/courses/7?view=a&b=1&lti_errormsg=")
    assert back.endswith("#top")
    said = dict(parse_qsl(urlsplit(back).query))
    assert said["lti_errorlog"] == f"{code} {support}"
    assert said["lti_errormsg"] == VOCABULARY[code].sentence


@pytest.mark.parametrize("url", [
    "https://elsewhere.example/courses/7", "http://lms.example/7", "javascript:alert(1)", "https://[", "//x", "/7", "",
    7, None, ["https://lms.example"], "https://user@lms.example/", "https://lms.example.evil.example/",
    "https://lms.example/" + "7" * 2000,
], ids=repr)  # fmt: skip
def test_there_is_no_way_back_to_anywhere_else(failing, url):
    assert ways_back(failing.launch({SHOWN: {"return_url": url}, "exp": 1}).text) == []


@pytest.mark.parametrize("step", [4, 5])
def test_a_message_that_is_not_genuine_leads_nowhere(failing, step):
    kept, back = failing.lms.key, {SHOWN: {"return_url": BACK}}
    failing.lms.key = rsa_key(4) if step == 5 else kept
    page = failing.launch(back, kid="k9").text if step == 4 else failing.launch(back).text
    assert (failed_at(page), ways_back(page)) == (step, [])


def test_an_lms_that_is_off_is_as_unknown_and_leads_nowhere(failing):
    begun = failing.lms.login(failing.world)
    with failing.world.parts.database.open_district(failing.world.by.district) as session:
        session.run("UPDATE registration SET status = 'disabled'")
    said = failing.lms.complete(failing.world, failing.lms.message("p0") | {SHOWN: {"return_url": BACK}}, begun)
    answer = failing.lms.post(failing.world, failing.lms.sign(said), begun)
    assert (refusal_of(answer), ways_back(answer.text)) == ("LTI_ISSUER_UNKNOWN", [])


def ways_back(page: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(r'<a href="([^"]+)" rel="noreferrer">', page)]


def test_whoever_reads_the_page_is_spoken_to(failing):
    page = failing.strange_browser().text
    assert "<dd>you</dd>" in page
    assert "<code>schoolgate lms waiting</code>" in failing.launch({LTI + "deployment_id": None}).text
    assert page.count("The launch ends in another browser") == 2  # the title, and once on the page
