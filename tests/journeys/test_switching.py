"""A deployment is switched off and on, and granted further schools; an invite that nobody used is withdrawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.flows import connection_test, notices, onboarding, registration_desk
from gateway.store import directory
from tests.journeys.test_grades import SCALE, Lesson
from tests.platforms import LTI, application, code_of, refusal_of
from tests.registrants import Registrant, refused_with


@pytest.fixture
def lesson(public_world, wire) -> Lesson:
    return Lesson(public_world, wire)


def switch(lesson: Lesson, *, on: bool) -> None:
    onboarding.switch_lms(lesson.world.office, lesson.world.by, lesson.lms.deployment, on=on)


def doubtful(lesson: Lesson) -> dict[str, Any]:
    """A grade that went out and of which nobody knows whether it came in."""
    lesson.book.lose_next(applied=True)
    lesson.book.readable = False
    handed_in = lesson.hand_in(p0="proficient")
    lesson.press(handed_in)
    lesson.drain()
    return handed_in


def granted(lesson: Lesson, org: str) -> list[str]:
    """What the log of a school says became of the deployment."""
    return [e["outcome"] for e in lesson.world.ledger(org) if e["type"] == "grant" and e["id"] == lesson.lms.deployment]


def test_who_comes_from_a_deployment_that_is_off_is_not_let_in_until_it_is_on_again(lesson):
    world, lms = lesson.world, lesson.lms
    begun = lms.login(world)
    token = lms.sign(lms.complete(world, lms.message("p0"), begun))
    switch(lesson, on=False)
    assert refusal_of(lms.post(world, token, begun)) == "LTI_DEPLOYMENT"
    assert refusal_of(lms.launch(world, lms.message("p0"))) == "LTI_DEPLOYMENT"
    switch(lesson, on=True)
    assert code_of(lms.launch(world, lms.message("p0")))
    assert granted(lesson, "A") == ["ended", "accepted"]


def test_nothing_is_asked_of_a_deployment_that_is_off(lesson, wire):
    world, members = lesson.world, f"/v1/classes/{lesson.launch['class']['id']}/members"
    wire.calls.reset()
    assert (lesson.app.get(members).status_code, len(wire.calls) > 0) == (200, True)
    switch(lesson, on=False)
    wire.calls.reset()
    assert (lesson.app.get(members).status_code, len(wire.calls)) == (200, 0)
    found = {one.name: one for one in connection_test.run(world.parts, world.by, lesson.lms.deployment)}
    assert found["members"].seen == found["column"].seen == "The deployment is switched off."
    assert refused_with(notices.subscribe, world.parts, world.by, lesson.lms.deployment) == "LTI_NOTICE_SERVICE"


def test_no_grade_goes_to_a_deployment_that_is_off_and_its_sender_is_told(lesson):
    waits = lesson.hand_in(p0="proficient", p2="proficient")
    lesson.press(waits)
    switch(lesson, on=False)
    lesson.drain()
    assert lesson.sent() == []
    told = lesson.stands(waits)
    assert set(told.values()) == {("needs_admin", "LTI_REGISTRATION_DISABLED")}
    body = {"class": lesson.launch["class"]["id"], "title": "Check", "points": 4, "scale": SCALE}
    columns = lesson.app.call("PUT", "/v1/activities/check", json=body).json["columns"]
    assert columns == [{"target": "lms", "state": "needs_admin", "why": "LTI_REGISTRATION_DISABLED"}]
    later = lesson.hand_in(p4="proficient")
    assert [(one["state"], one["reason"]) for one in later["results"]] == [("needs_admin", "LTI_REGISTRATION_DISABLED")]
    switch(lesson, on=True)
    assert lesson.send(p0="exemplary") == {"p0": ("sent", None)}


def test_what_is_in_doubt_while_a_deployment_is_off_is_read_back_later_and_nothing_waits_behind_it(lesson):
    doubt = doubtful(lesson)
    behind = lesson.hand_in(p2="proficient")
    lesson.press(behind)
    with lesson.world.office.database.open_school(lesson.world.places["A"]) as session:
        session.run(  # a worker was killed while it sent another grade of this pupil
            "INSERT INTO outbox SELECT (jsonb_populate_record(o, jsonb_build_object('delivery', 'killed', 'state', "
            "'sending', 'lease_until', o.created_at, 'fixed_at', o.fixed_at - interval '1 hour'))).* FROM outbox o "
            "WHERE state = 'ready'"
        )
    switch(lesson, on=False)
    lesson.later(minutes=10)
    assert lesson.stands(behind) == {"p2": ("needs_admin", "LTI_REGISTRATION_DISABLED")}
    assert lesson.stands(doubt) == {"p0": ("waiting", None)}
    with lesson.world.office.database.open_school(lesson.world.places["A"]) as session:
        left = session.rows("SELECT state, due_at FROM outbox WHERE state IN ('sending', 'ready', 'unknown')")
    assert [row.state for row in left] == ["unknown", "unknown"]
    assert min(row.due_at for row in left) > lesson.world.clock.at
    switch(lesson, on=True)
    lesson.book.readable = True
    lesson.later(hours=1)
    assert lesson.stands(doubt) == {"p0": ("sent", None)}


def test_what_is_in_doubt_for_as_long_as_a_deployment_is_off_is_the_teachers_in_the_end(lesson):
    doubt = doubtful(lesson)
    switch(lesson, on=False)
    lesson.later(days=15)
    assert lesson.stands(doubt) == {"p0": ("needs_teacher", "GRD_UNKNOWN")}


def test_switching_twice_and_by_others_is_refused(lesson):
    office, by, deployment = lesson.world.office, lesson.world.by, lesson.lms.deployment
    desk = replace(by, district_roles=frozenset({"privacy_officer"}))
    for act in (
        lambda: onboarding.switch_lms(office, desk, deployment, on=False),
        lambda: onboarding.grant_lms(office, desk, deployment, ()),
    ):
        assert refused_with(act) == "ACT_NOT_STAFF"
    assert refused_with(lambda: switch(lesson, on=True)) == "REQ_CONFLICT"
    assert refused_with(lambda: onboarding.switch_lms(office, by, "nothing", on=False)) == "REQ_UNKNOWN"
    switch(lesson, on=False)
    assert refused_with(lambda: switch(lesson, on=False)) == "REQ_CONFLICT"
    with office.database.open_district(by.district) as session:
        assert [row.line_status for row in directory.lms(session)] == ["disabled"]


def test_a_school_that_a_deployment_is_granted_later_is_launched_from(lesson):
    world, lms = lesson.world, lesson.lms
    assert refused_with(lms.link, world, "B", "kB", "course-b") == "ACT_WRONG_SCHOOL"
    assert onboarding.grant_lms(world.office, world.by, lms.deployment, [world.refs["A"], world.refs["B"]]) == [
        world.refs["B"]
    ]
    lms.link(world, "B", "kB", "course-b")
    answer = lms.launch(world, lms.message("p1") | {LTI + "context": {"id": "course-b"}})
    assert refusal_of(answer) == "AGR_NONE"  # the school has no application yet: the launch has come to its door
    assert (granted(lesson, "B"), granted(lesson, "A")) == (["accepted"], [])
    assert refused_with(onboarding.grant_lms, world.office, world.by, lms.deployment, [world.refs["B"]]) == (
        "REQ_CONFLICT"
    )


def test_an_invite_that_nobody_used_is_withdrawn(public_world, wire):
    world = public_world.standing()
    application(world, "A")
    lms = Registrant(wire).serve()
    invited = lms.invited(world, "A")
    assert registration_desk.reject(world.office, world.by, invited.ref) is False
    assert registration_desk.waiting(world.office, world.by) == []
    assert refusal_of(lms.opens(world, invited)) == "LTI_REG_INVITE"
    assert lms.asked == []
    assert refused_with(registration_desk.reject, world.office, world.by, invited.ref) == "REQ_CONFLICT"
