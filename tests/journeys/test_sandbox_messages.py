"""What a person does in the sandbox's LMS besides opening a link: picks, opens what was picked, reviews work, asks
what is held. Over HTTP, in a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from gateway.sandbox.browser import Browser
from gateway.sandbox.wire import fetch
from tests.journeys.test_products import Make, at
from tests.sandbox.peers import LTI, Desk, desk_at

DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"


@pytest.fixture(params=["moodle", "openedx"])
def make(request: Any, addresses: Any, settings: Any) -> Iterator[Make]:
    with at(addresses, settings, request.param, sis_ids=True) as made:
        yield made.begin()


def course(make: Make, who: str) -> Any:
    """Somebody looks at the page of the course."""
    make.visit(who)
    return make.browser.get(f"{make.told['lms']}/courses/7")


def pick(make: Make) -> None:
    course(make, "tA")
    page = make.browser.click("Add from Check")
    assert (page.status, "Check" in page.text) == (200, True), page.body
    make.browser.submit("Add to the course", item="check")
    make.browser.submit("Continue")
    assert make.browser.page.url.endswith("/courses/7"), make.browser.text


def told(make: Make) -> dict[str, Any]:
    return dict(make.app.call("POST", "/v1/launches/exchange", json={"code": make.codes[-1]}).json)


def test_what_a_teacher_picks_stands_in_the_course_and_opens_its_activity(make):
    pick(make)
    (link,) = make.campus.links.values()
    (column,) = make.campus.columns.values()
    assert (link.custom, column.body["resourceLinkId"], column.body["label"]) == (
        {"activity": "check"}, link.id, "Check"
    )  # fmt: skip
    assert "Add from" not in course(make, "p0").text
    make.browser.get(f"{make.told['lms']}/courses/7/open?tool={make.client_id}&link={link.id}")
    assert make.browser.text == "Welcome"
    assert told(make)["activity"] == {"your_id": "check", "column": "linked"}


def test_a_graded_work_is_reviewed_from_its_score(make):
    pick(make)
    assert make.send(p0="proficient") == {"p0": ("sent", None)}
    assert len(make.campus.columns) == 1
    course(make, "tA")
    page = make.browser.click("Review p0 A")
    assert (page.status, make.browser.text) == (200, "Welcome"), page.body
    said = told(make)
    assert (said["kind"], said["about"]["id"]) == ("submission_review", make.people["p0"])
    assert "Review" not in course(make, "p0").text


def test_anybody_may_ask_what_is_held(make):
    for who in ("p0", "tA"):
        course(make, who)
        page = make.browser.click("Privacy of Check")
        assert (page.status, "Mastery App" in page.text) == (200, True), page.body


# --- what the sandbox refuses --------------------------------------------------------------------------


@pytest.fixture
def desk() -> Iterator[Desk]:
    with desk_at() as made:
        yield made


def answer(desk: Desk, data: str = "", **changes: Any) -> int:
    """Hand back an answer of the tool's own to the LMS; the status it gets."""
    now = int(time.time())
    said = {
        "iss": desk.told["client_id"], "aud": desk.told["issuer"], "iat": now, "exp": now + 60, "nonce": str(now),
        LTI + "message_type": "LtiDeepLinkingResponse", LTI + "version": "1.3.0", DL + "data": data,
        LTI + "deployment_id": desk.told["deployment_id"],
        DL + "content_items": [{"type": "link", "url": "https://a.example/", "title": "Elsewhere"}],
    }  # fmt: skip
    token = desk.signed({name: value for name, value in (said | changes).items() if value is not None})
    where = f"{desk.lms}/courses/{desk.told['cast']['course']}/picked"
    return fetch("POST", where, data={"JWT": token}).status_code


def begun(desk: Desk) -> str:
    """A teacher begins to pick; the data that must come back."""
    with Browser() as browser:
        browser.get(f"{desk.lms}/login")
        browser.submit("Sign in", user=desk.told["cast"]["teacher"])
        browser.get(f"{desk.lms}/courses/{desk.told['cast']['course']}/pick")
    assert desk.claims[LTI + "message_type"] == "LtiDeepLinkingRequest"
    return str(desk.claims[DL + "deep_linking_settings"]["data"])


def test_an_answer_is_taken_once(desk):
    data = begun(desk)
    assert answer(desk, data) == 303
    assert answer(desk, data, nonce="another") == 400


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "somebody"}, {"aud": None}, {"exp": 0}, {"exp": None}, {"iat": "x"}, {"nonce": None},
        {LTI + "message_type": "LtiResourceLinkRequest"}, {LTI + "deployment_id": "other"}, {LTI + "version": "1.1"},
        {"iss": "nobody"}, {DL + "data": "guessed"}, {DL + "content_items": [{"type": "odd"}]},
    ],
    ids=json.dumps,
)  # fmt: skip
def test_an_answer_that_is_not_the_tools_is_refused(desk, changes):
    assert answer(desk, begun(desk), **changes) == 400


def test_an_answer_that_the_tool_did_not_sign_is_refused(desk):
    begun(desk)
    token = jwt.encode({"iss": desk.told["client_id"]}, "x" * 40, "HS256", {"kid": "tool-1"})
    where = f"{desk.lms}/courses/{desk.told['cast']['course']}/picked"
    assert fetch("POST", where, data={"JWT": token}).status_code == 400
