"""The notices of the sandbox's LMS, asked for and read by a little tool that is not the gateway."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

import pytest

from gateway.sandbox.browser import Browser
from gateway.sandbox.products import PROFILES
from gateway.sandbox.wire import fetch
from tests.sandbox.peers import AGS, LTI, PNS, desk_at

HELLO, COPY = "LtiHelloWorldNotice", "LtiContextCopyNotice"
SERVICE = f"{LTI}platformnotificationservice"
JSON = "application/json"


@pytest.fixture
def desk():
    with desk_at() as desk:
        yield desk


def opened(desk):
    """A teacher stands in the course of the cast and has opened the tool."""
    browser = Browser()
    browser.get(f"{desk.lms}/login")
    browser.submit("Sign in", user=desk.told["cast"]["teacher"])
    browser.get(f"{desk.lms}/courses/{desk.told['cast']['course']}/open")
    browser.get(f"{desk.lms}/courses/{desk.told['cast']['course']}")
    return browser


def service(desk):
    return f"{desk.lms}/notice-handlers/{desk.told['client_id']}"


def handle(desk, kind, address=None, **more):
    body = {"notice_type": kind, "handler": f"{desk.tool}/notices" if address is None else address} | more
    return desk.call("PUT", service(desk), PNS, body, JSON)


def handlers(desk):
    listed = desk.call("GET", service(desk), PNS).json()["notice_handlers"]
    return {one["notice_type"]: one["handler"] for one in listed}


def sent(desk):
    return [(one["type"], one["status"]) for one in fetch("GET", f"{desk.lms}/_sandbox/notices").json()]


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_launch_names_the_service_where_the_make_has_one(name):
    with desk_at(name) as desk, opened(desk):
        offered = desk.claims.get(SERVICE)
        if not PROFILES[name].notices:
            assert offered is None
            assert desk.call("GET", service(desk), PNS).status_code == 404
            return
        assert offered == {
            "platform_notification_service_url": service(desk), "scope": [PNS], "service_versions": ["1.0"],
            "notice_types_supported": PROFILES[name].notices,
        }  # fmt: skip
        assert handlers(desk) == dict.fromkeys(PROFILES[name].notices, "")
        assert handle(desk, COPY).json() == {"notice_type": COPY, "handler": f"{desk.tool}/notices"}
        assert handlers(desk)[COPY] == f"{desk.tool}/notices"


def test_who_asks_for_a_hello_gets_one_about_nobody(desk):
    assert handle(desk, HELLO, max_batch_size=1).json()["max_batch_size"] == 1
    (said,) = desk.notices
    assert (said[f"{LTI}notice"]["type"], said[f"{LTI}version"]) == (HELLO, "1.3.0")
    assert said[f"{LTI}deployment_id"] == desk.told["deployment_id"]
    assert datetime.fromisoformat(said[f"{LTI}notice"]["timestamp"]).tzinfo
    assert "sub" not in said


def test_a_copy_is_told_to_who_asked_and_its_launches_say_it_too(desk):
    desk.post("tool", **{name: f"{desk.tool}/{path}" for name, path in (
        ("login_url", "login"), ("target_link_uri", "launch"), ("jwks_url", "jwks"))},
        redirect_uris=[f"{desk.tool}/launch"], custom={"before": "$Context.id.history"})  # fmt: skip
    with opened(desk) as browser:
        browser.submit("Copy the course")
        assert desk.notices == []
        handle(desk, COPY)
        first = browser.page.url.rpartition("/")[2]
        browser.submit("Copy the course")
        (said,) = desk.notices
        second = browser.page.url.rpartition("/")[2]
        assert (said[f"{LTI}context"]["id"], said[f"{LTI}origin_contexts"]) == (second, [first])
        browser.click("Mastery check")
        assert desk.claims[f"{LTI}custom"]["before"] == f"{first},{desk.told['cast']['course']}"
        assert handle(desk, COPY, "").json() == {"notice_type": COPY, "handler": ""}
        browser.get(f"{desk.lms}/courses/{second}")
        browser.submit("Copy the course")
        assert len(desk.notices) == 1


def test_a_pupil_copies_nothing(desk):
    with Browser() as browser:
        browser.get(f"{desk.lms}/login")
        browser.submit("Sign in", user=desk.told["cast"]["amara"])
        course = f"{desk.lms}/courses/{desk.told['cast']['course']}"
        assert "Copy the course" not in browser.get(course).text
        session = browser.jar.line(urlsplit(course), cross_site=False, method="POST")
    assert fetch("POST", f"{course}/copy", headers={"Cookie": session}).status_code == 403


def test_what_a_tool_does_not_take_is_tried_again_where_the_make_does_that(desk):
    desk.answers[:] = [500, 500]
    handle(desk, HELLO)
    assert sent(desk) == [(HELLO, 500)]
    desk.post("habits", notice_tries=3, notice_copies=2)
    handle(desk, HELLO)
    assert [status for _, status in sent(desk)[1:]] == [500, 200, 200]
    names = [said[f"{LTI}notice"]["id"] for said in desk.notices]
    assert len(set(names[1:])) == 1
    assert names[0] not in names[1:]
    handle(desk, HELLO, "")
    desk.post("habits", notice_tries=1, notice_copies=1)
    handle(desk, HELLO, f"{desk.tool}/nowhere")
    assert sent(desk)[-1] == (HELLO, 404)


def test_a_notice_is_sent_by_hand_as_it_is_or_otherwise(desk):
    assert desk.post("notice", type=HELLO).status_code == 404
    handle(desk, HELLO)
    assert desk.post("notice", type=HELLO, course=desk.told["cast"]["course"]).json()["status"] == 200
    assert desk.notices[-1][f"{LTI}context"]["id"] == desk.told["cast"]["course"]
    before = len(desk.notices)
    assert desk.post("notice", type=HELLO, key="other").json()["status"] == 500  # the tool could not verify it
    assert len(desk.notices) == before


@pytest.mark.parametrize(
    "changes",
    [{"notice_type": "LtiPartyNotice"}, {"notice_type": None}, {"handler": 7}, {"handler": None},
     {"handler": "https://elsewhere.example/notices"}, {"max_batch_size": 0}, {"max_batch_size": "many"}],
)  # fmt: skip
def test_a_handler_that_cannot_be_is_refused(desk, changes):
    body = {"notice_type": COPY, "handler": f"{desk.tool}/notices"} | changes
    assert desk.call("PUT", service(desk), PNS, body, JSON).status_code == 400
    assert handlers(desk) == {HELLO: "", COPY: ""}


def test_handlers_are_shown_to_their_tool_alone(desk):
    assert fetch("GET", service(desk)).status_code == 401
    assert desk.call("GET", service(desk), f"{AGS}score").status_code == 403
    desk.post("tool", client_id="another")
    assert desk.call("GET", f"{desk.lms}/notice-handlers/another", PNS).status_code == 403
