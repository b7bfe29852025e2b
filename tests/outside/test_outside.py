"""A platform that others wrote launches, picks, lists its members and takes scores: what we misread of the standards in
our tests and in our sandbox alike, it does not."""

from __future__ import annotations

import time

import pytest

from gateway.flows import connection_test
from tests.outside.conftest import Outside

pytestmark = pytest.mark.outside


def test_its_launches_come_in_and_the_application_learns_who_it_is(outside: Outside) -> None:
    told = outside.launch
    assert (told["kind"], told["person"]["role"], told["class"]["title"]) == ("resource_link", "teacher", "Class kA")
    assert outside.visit("p0").text == "Welcome"
    assert outside.exchanged()["person"]["role"] == "student"


def test_its_launch_posted_again_is_refused(outside: Outside) -> None:
    outside.visit("p0")
    sent = [page for page in outside.browser.history if page.auto][-1]
    before = len(outside.codes)
    assert sent.auto is not None
    page = outside.browser._go(sent.auto.aim(sent.url, sent.auto.fields))
    assert (page.status, "LTI_REPLAYED" in page.body, len(outside.codes)) == (403, True, before)


def test_as_it_comes_it_names_nobody_and_nobody_is_guessed(outside: Outside) -> None:
    before = len(outside.codes)
    with outside.habits(sis_ids=False):
        page = outside.visit("p4")
    assert (page.status, "LTI_PERSON" in page.body, len(outside.codes)) == (403, True, before)


def test_a_picker_opens_for_a_teacher_only(outside: Outside) -> None:
    """The platform itself sends no pupil to a picker."""
    assert outside.visit("p0", "picker").status == 403


def pick(outside: Outside) -> None:
    page = outside.visit("tA", "picker")
    assert (page.status, "Check" in page.text) == (200, True), page.body
    outside.browser.submit("Add to the course", item="check")
    outside.browser.submit("Continue")
    assert outside.browser.page.status == 200, outside.browser.page.body


def test_a_teacher_picks_in_it_and_what_was_picked_is_launched(outside: Outside) -> None:
    pick(outside)
    (item,) = outside.told()["items"]
    assert (item["content_type"], item["attributes"]["custom"]) == ("ltiResourceLink", {"activity": "check"})
    assert outside.visit("p0", "picked").text == "Welcome"
    assert outside.exchanged()["activity"]["your_id"] == "check"


def test_a_picked_launch_that_goes_where_its_login_did_not_say_is_refused(outside: Outside) -> None:
    """LV-25: Open edX as it comes sends one address at the login and another at the launch of what was picked."""
    pick(outside)
    before = len(outside.codes)
    with outside.habits(linked_login=False):
        page = outside.visit("p0", "picked")
    assert (page.status, "LTI_TARGET_LINK_URI" in page.body, len(outside.codes)) == (403, True, before)


def test_scores_arrive_replace_each_other_and_are_read_back(outside: Outside) -> None:
    """Open edX passes on to its own gradebook only what is scored in a column that names the link; this
    link is to no activity of its own, so that ours names none."""
    assert outside.send(p0="proficient", p2="beginning") == {"p0": ("sent", None), "p2": ("sent", None)}
    time.sleep(0.01)
    assert outside.send(p0="exemplary") == {"p0": ("sent", None)}
    told, names = outside.told(), {outside.edx[who]: who for who in ("p0", "p2")}
    kept = {names[one["user_id"]]: (one["score_given"], one["score_maximum"]) for one in told["scores"]}
    assert (kept, told["grades"]) == ({"p0": (4.0, 4.0), "p2": (1.0, 4.0)}, [])
    (column,) = told["columns"]
    assert (column["label"], column["score_maximum"], column["tag"]) == ("Check", 4, "schoolgate")
    assert [e["outcome"] for e in outside.entries("outcome")] == ["acknowledged"] * 3


def test_the_connection_test_reads_its_services_and_says_what_is_missing(outside: Outside) -> None:
    """Its member list is read whole, and names nobody by SIS id."""
    checks = connection_test.run(outside.world.parts, outside.world.by, outside.deployment)
    seen = {one.name: (one.state.value, one.seen) for one in checks}
    assert {name for name, (state, _) in seen.items() if state != "ok"} == {"members"}
    assert seen["members"][1].startswith("The first page has 4 members and no SIS id")
