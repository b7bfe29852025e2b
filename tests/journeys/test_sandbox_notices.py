"""An LMS tells the gateway what happened there: the sandbox's LMS signs and sends it, over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.flows import launch, notices
from gateway.sandbox.wire import fetch
from tests.journeys.test_messages import hidden
from tests.journeys.test_products import Make, at
from tests.sandbox.peers import LTI

HELLO, COPY = "LtiHelloWorldNotice", "LtiContextCopyNotice"


@pytest.fixture
def made_by(request: Any) -> str:
    return "canvas"


@pytest.fixture
def make(addresses: Any, settings: Any, made_by: str) -> Iterator[Make]:
    with at(addresses, settings, made_by, sis_ids=True) as made:
        yield made.begin()


def subscribe(make: Make) -> dict[str, str]:
    """The district asks to be told, as `schoolgate lms notices` does."""
    return {one.notice_type: one.state for one in notices.subscribe(make.world.parts, make.world.by, make.deployment)}


def heard(log: list[Any]) -> list[str]:
    """What became of the notices that came, in order: taken, repeated, or the code of a refusal."""
    return [one.get("state") or one["code"] for one in log if one["event"] in ("notice", "notice_refused")]


def copy(make: Make) -> str:
    """The teacher copies the course; return the id of the new one."""
    make.visit()
    make.browser.get(f"{make.told['lms']}/courses/7")
    page = make.browser.submit("Copy the course")
    assert page.status == 200, page.body
    return page.url.rpartition("/")[2]


def waits(make: Make) -> dict[str, list[tuple[str, str]]]:
    """What `schoolgate lms waiting` shows of courses: which they were copied from, and the classes of those."""
    waiting = launch.waiting(make.world.office, make.world.by)
    return {w.row.context_id: [(one.context_id, one.class_id) for one in w.copies] for w in waiting}


def refused(make: Make) -> list[tuple[str, str]]:
    """What `schoolgate lms launches` shows, and `schoolgate lms inspect` of each."""
    rows = launch.failures(make.world.office, make.world.by, make.deployment)
    told = [launch.inspect(make.world.office, make.world.by, row.support) for row in rows]
    return [(str(one["outcome"]), str(one["message_type"])) for one in told]


def altered(token: str, **claims: Any) -> str:
    """A token that somebody changed on its way."""
    head, body, signature = token.split(".")
    said = json.loads(base64.urlsafe_b64decode(body + "==")) | claims
    return f"{head}.{base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b'=').decode()}.{signature}"


def test_a_hello_comes_when_the_gateway_asks_to_be_told(make):
    with capture_logs() as log:
        assert subscribe(make) == {HELLO: "changed", COPY: "changed", "LtiAssetProcessorSubmissionNotice": "elsewhere"}
        assert heard(log) == ["taken"]
        assert set(subscribe(make).values()) == {"kept", "elsewhere"}
    assert heard(log) == ["taken"]
    assert [(one["type"], one["status"]) for one in make.campus.noticed] == [(HELLO, 200)]
    assert list(notices.last(make.world.office, make.world.by, make.deployment)) == [HELLO]


@pytest.mark.parametrize("made_by", ["canvas", "brightspace"])
def test_a_copy_that_is_told_twice_counts_once_and_its_class_is_suggested(make):
    subscribe(make)
    make.post("habits", notice_copies=2)
    with capture_logs() as log:
        new = copy(make)
    assert heard(log) == ["taken", "repeated"]
    assert len({one["jwt"] for one in make.campus.noticed if one["type"] == COPY}) == 2
    assert waits(make) == {new: [("7", "kA")]}
    page = make.browser.get(f"{make.told['lms']}/courses/{new}/open?tool={make.client_id}")
    assert "copied from is linked to it" in page.text, page.body
    assert "checked" not in page.body
    make.browser.submit("Link the course", **{"class": hidden(page.body, "class")})
    assert waits(make) == {}
    assert refused(make) == []


def test_what_somebody_changed_on_its_way_comes_to_nothing(make):
    subscribe(make)
    genuine = copy(make)
    sent = make.campus.noticed[-1]
    false = altered(sent["jwt"], **{LTI + "context": {"id": "forged"}, LTI + "notice": {"id": "x"}})
    with capture_logs() as log:
        answer = fetch("POST", sent["handler"], json={"notices": [{"jwt": false}]})
    assert (answer.status_code, heard(log)) == (200, ["LTI_SIGNATURE"])
    assert set(waits(make)) == {genuine}
    assert refused(make) == []  # what anybody can send is not on record


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({"claims": {LTI + "origin_contexts": "7"}}, "LTI_NOTICE"), ({"claims": {"aud": ["x", "y"]}}, None),
        ({"remove": [LTI + "deployment_id"]}, "LTI_DEPLOYMENT"), ({"claims": {"exp": 1}}, "LTI_EXP"),
        ({"key": "other"}, None),
    ],
    ids=str,
)  # fmt: skip
def test_what_the_lms_signed_and_is_wrong_is_shown_to_its_district(make, wish, code):
    """What nothing vouches for is not."""
    subscribe(make)
    make.post("notice", type=COPY, course="7", tool=make.client_id, **wish)
    assert refused(make) == ([(code, COPY)] if code else [])
    assert waits(make) == {}


@pytest.mark.parametrize("made_by", ["brightspace"])
def test_of_a_copy_whose_notice_was_lost_the_first_launch_says_it(make):
    make.campus.tools[make.client_id].custom["context_id_history"] = "$Context.id.history"
    new = copy(make)
    assert (make.campus.noticed, waits(make)) == ([], {})
    page = make.browser.get(f"{make.told['lms']}/courses/{new}/open?tool={make.client_id}")
    assert "copied from is linked to it" in page.text, page.body
    assert waits(make) == {new: [("7", "kA")]}
