"""A course is copied: its LMS says so by a notice or by its launches, somebody is shown where it came from, and nothing
is linked by that. And an LMS is asked, once, to send its notices here."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.errors import Refused
from gateway.flows import launch, notices
from mappings import lti_notices
from tests.journeys.test_grades import Lesson
from tests.journeys.test_messages import hidden, press, unlinked
from tests.platforms import HOST, LTI, refusal_of
from tests.worlds import World

OURS, SERVICE = "https://gateway.example/lti/notices", f"{HOST}/pns/7?type_id=1"
COPY, HELLO = lti_notices.CONTEXT_COPY, lti_notices.HELLO


@pytest.fixture
def lesson(public_world, wire) -> Lesson:
    return Lesson(public_world, wire)


def tell(lesson: Lesson, *origins: str, course: str = "course-9", **claims: Any) -> None:
    """The LMS tells that a course was copied from others."""
    now = int(lesson.world.clock.at.timestamp())
    token = lesson.lms.sign({
        "iss": lesson.lms.issuer, "aud": lesson.lms.client_id, "iat": now, "exp": now + 3600, "nonce": "n",
        LTI + "version": "1.3.0", LTI + "deployment_id": lesson.lms.deployment_id,
        LTI + "notice": {"id": f"{course} {origins}", "timestamp": "2026-11-02T09:00:00Z", "type": COPY},
        LTI + "context": {"id": course, "title": "Geometry"}, LTI + "origin_contexts": list(origins),
    } | claims)  # fmt: skip
    body = {"notices": [{"jwt": token}]}
    assert lesson.world.client.post("/lti/notices", json=body).status_code == 200


def suggested(lesson: Lesson) -> dict[str, list[tuple[str, str]]]:
    """What waits, with the courses it was copied from and their classes."""
    waiting = launch.waiting(lesson.world.office, lesson.world.by)
    return {w.row.context_id: [(one.context_id, one.class_id) for one in w.copies] for w in waiting}


def history(said: str) -> dict[str, Any]:
    return {LTI + "custom": {"context_id_history": said}}


def test_a_notice_of_a_copy_shows_the_class_before_and_links_nothing(lesson):
    tell(lesson, "course-1")
    assert suggested(lesson) == {"course-9": [("course-1", "kA")]}
    assert refusal_of(unlinked(lesson, "p0", "Learner")) == "LTI_CONTEXT_UNLINKED"
    assert suggested(lesson) == {"course-9": [("course-1", "kA")]}


def test_the_launch_says_it_where_no_notice_came(lesson):
    """Its ids are encoded as in an address, the latest first, and may be of courses that nobody linked."""
    assert unlinked(lesson, "p0", "Learner").status_code == 403
    assert suggested(lesson) == {"course-9": []}
    unlinked(lesson, "p0", "Learner", **history("a%2Cb, course%2D1 ,course-1"))
    assert suggested(lesson) == {"course-9": [("course-1", "kA")]}
    unlinked(lesson, "p0", "Learner", **history("$Context.id.history"))
    assert suggested(lesson) == {"course-9": [("course-1", "kA")]}


@pytest.mark.parametrize("how", ["notice", "launch"])
def test_the_page_to_link_a_course_suggests_it(lesson, how):
    """And leaves the choice to the teacher: the class may be last year's."""
    assert "copied from" not in unlinked(lesson, "tA").text
    if how == "notice":
        tell(lesson, "course-1")
    page = unlinked(lesson, "tA", **history("course-1" if how == "launch" else ""))
    assert ("copied from is linked to it" in page.text, "checked" in page.text) == (True, False)
    press(lesson, "/lti/link", **{"class": hidden(page.text, "class")})
    assert suggested(lesson) == {}


def test_an_administrator_links_it_and_it_waits_no_more(lesson):
    tell(lesson, "course-1")
    lesson.lms.link(lesson.world, "A", "kA", "course-9")
    assert suggested(lesson) == {}
    tell(lesson, "course-1", "course-2")
    assert suggested(lesson) == {}


@pytest.mark.parametrize("said", ["", "{}", ",,", "%00", "x" * 256, 7, ["course-1"], None])
def test_a_history_that_says_nothing_says_nothing(lesson, said):
    assert refusal_of(unlinked(lesson, "p0", "Learner", **history(said))) == "LTI_CONTEXT_UNLINKED"
    assert suggested(lesson) == {"course-9": []}


def test_when_something_was_told_last_is_known_by_kind(lesson):
    def last() -> dict[str, Any]:
        return notices.last(lesson.world.office, lesson.world.by, lesson.lms.deployment)

    assert last() == {}
    tell(lesson, "course-1")
    first = lesson.world.clock.at
    assert last() == {COPY: first}
    lesson.world.clock.forward(minutes=2)
    tell(lesson, "course-1")  # the same again, and one that is not genuine: neither is news
    tell(lesson, "course-1", course="course-8", **{LTI + "version": "0"})
    assert last() == {COPY: first}
    hello = {"id": "h", "timestamp": "2026-11-02T09:00:00Z", "type": HELLO}
    tell(lesson, course="course-7", **{LTI + "notice": hello})
    assert list(last().items()) == [(HELLO, lesson.world.clock.at), (COPY, first)]
    other = World(lesson.world.office, lesson.world.clock)
    with pytest.raises(Refused, match="there is no LMS deployment"):
        notices.last(other.office, other.by, lesson.lms.deployment)


# --- which notices are sent here -----------------------------------------------------------------------


class Notices:
    """The notification service of an LMS, as Canvas documents it."""

    def __init__(self, lesson: Lesson, wire: Any) -> None:
        self.lesson, self.handlers, self.asked = lesson, {HELLO: "", COPY: "https://old.example/n"}, []
        self.scopes: list[str] = []
        wire.remove("POST", f"{HOST}/token")
        wire.add_callback("POST", f"{HOST}/token", callback=self._token)
        wire.add_callback("GET", SERVICE, callback=self._list)
        wire.add_callback("PUT", SERVICE, callback=self._set)

    def launch(self, **changes: Any) -> Any:
        said = {"platform_notification_service_url": SERVICE, "scope": [lti_notices.SCOPE],
                "notice_types_supported": [HELLO, COPY, "LtiAssetProcessorSubmissionNotice"],
                "service_versions": ["1.0"]} | changes  # fmt: skip
        claims = {LTI + "platformnotificationservice": said}
        return self.lesson.lms.launch(self.lesson.world, self.lesson.lms.message("tA", "Instructor", **claims))

    def _token(self, request: Any) -> tuple[int, dict[str, str], str]:
        self.scopes.append(parse_qs(request.body)["scope"][0])
        return 200, {}, json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": 3600})

    def _list(self, request: Any) -> tuple[int, dict[str, str], str]:
        self.asked.append("GET")
        listed = [{"notice_type": name, "handler": url} for name, url in self.handlers.items()]
        return 200, {}, json.dumps({"client_id": 1, "deployment_id": "1", "notice_handlers": listed})

    def _set(self, request: Any) -> tuple[int, dict[str, str], str]:
        said = json.loads(request.body)
        assert said.keys() == {"notice_type", "handler"}
        self.asked.append(f"PUT {said['notice_type']}")
        self.handlers[said["notice_type"]] = said["handler"]
        return 200, {}, request.body

    def subscribe(self) -> dict[str, tuple[str, str]]:
        world = self.lesson.world
        found = notices.subscribe(world.parts, world.by, self.lesson.lms.deployment)
        return {one.notice_type: (one.address, one.state) for one in found}


@pytest.fixture
def service(lesson, wire) -> Notices:
    return Notices(lesson, wire)


def test_only_what_differs_is_changed_and_the_second_time_nothing(service):
    assert service.launch().status_code == 303
    service.handlers["LtiOther"] = ""
    assert service.subscribe() == {
        HELLO: (OURS, "changed"), COPY: (OURS, "changed"), "LtiOther": ("", "elsewhere")
    }  # fmt: skip
    assert service.asked == ["GET", f"PUT {HELLO}", f"PUT {COPY}", "GET"]
    service.asked.clear()
    service.handlers[HELLO] = "https://old.example/n"
    assert service.subscribe()[HELLO] == (OURS, "changed")
    assert service.asked == ["GET", f"PUT {HELLO}", "GET"]
    service.asked.clear()
    assert service.subscribe()[COPY] == (OURS, "kept")
    assert service.asked == ["GET"]
    assert set(service.scopes) == {lti_notices.SCOPE}


def test_what_the_lms_does_not_do_is_said(service, wire):
    with pytest.raises(Refused, match="No linked course has been launched") as refused:
        service.subscribe()
    assert refused.value.reason.code == "LTI_NOTICE_SERVICE"
    service.launch(scope=[])
    with pytest.raises(Refused, match="does not grant noticehandlers"):
        service.subscribe()
    service.launch()
    for status, body in ((403, "{}"), (200, "[]"), (200, '{"notice_handlers": [{"handler": "x"}]}')):
        wire.replace("GET", SERVICE, body=body, status=status)
        with pytest.raises(Refused) as refused:
            service.subscribe()
        assert refused.value.reason.code == "LTI_NOTICE_SERVICE"
        assert ("it answered with status 403." in refused.value.detail) is (status == 403)
    assert not [asked for asked in service.asked if asked.startswith("PUT")]


@pytest.mark.parametrize(
    "changes",
    [
        {"platform_notification_service_url": "https://evil.example/pns"}, {"scope": "noticehandlers"},
        {"platform_notification_service_url": "http://169.254.169.254/"}, {"notice_types_supported": None},
        {"platform_notification_service_url": None}, {"notice_types_supported": [1]},
    ],
)  # fmt: skip
def test_a_service_elsewhere_or_not_as_the_standard_says_lets_nobody_in(service, changes):
    """LV-31."""
    assert refusal_of(service.launch(**changes)) == "LTI_SERVICE_URL"
