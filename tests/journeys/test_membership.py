"""Who is in a course: by what changed since the last reading, which is the same as reading it whole; and never fewer
because an answer failed. The LMS here is written apart from the sandbox's, and from the gateway."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from hypothesis import HealthCheck, given
from hypothesis import settings as trials
from hypothesis import strategies as st
from requests import PreparedRequest

from gateway.flows import courses
from gateway.store import erasure, readings, registrations
from mappings.vocabulary import TEST_USER
from tests.deliveries import two_schools
from tests.gradebooks import Answer, Gradebook, said
from tests.journeys.test_grades import PUPILS, Lesson
from tests.journeys.test_products import at
from tests.platforms import GS
from tests.worlds import World

DAY = readings.SPEAKS_FOR
PEOPLE = ("tA", *PUPILS, "p8", "nobody")  # whom no roster knows is in the course too


@dataclass
class Course(Gradebook):
    """A course whose LMS says what changed since; `answers` come in place of the next ones."""

    page: int = 2
    there: dict[str, dict[str, Any]] = field(default_factory=dict)
    changes: list[dict[str, Any]] = field(default_factory=list)
    answers: list[Callable[[], Answer | None]] = field(default_factory=list)
    refuses: frozenset[str] = frozenset()
    offers: str = "differences"
    home: str = ""

    def serve(self, wire: responses.RequestsMock) -> Course:
        super().serve(wire)
        for who in self.members:
            self.put(who)
        wire.remove("GET", self.roster)
        wire.add_callback("GET", re.compile(re.escape(self.roster) + r"(\?.*)?$"), callback=self._noting(self._pages))
        return self

    def put(self, who: str, status: str = "Active", **more: Any) -> None:
        """Somebody comes, leaves, or is there otherwise than before."""
        self.there.pop(who, None)
        member = {"user_id": f"lms-{who}", "status": status, "roles": ["Learner"], "lis_person_sourcedid": who} | more
        if status != "Deleted":
            self.there[who] = member
        self.changes.append(member)

    @staticmethod
    def kind(url: str) -> str:
        """Whether a list is asked for, what changed, or the rest of either."""
        return "rest" if "from=" in url else "changes" if "Since=" in url else "whole"

    def _pages(self, request: PreparedRequest) -> Answer:
        answer = self.answers.pop(0)() if self.answers else None
        if answer is not None or self.kind(str(request.url)) in self.refuses:
            return answer or said(500, {})
        asked = {name: values[0] for name, values in parse_qs(urlsplit(str(request.url)).query).items()}
        listed = list(self.there.values())
        if "Since" in asked:  # a platform's own word, spelled as it likes
            listed = list(
                {one["user_id"]: one for one in self.changes[int(asked["Since"]) : int(asked["To"])]}.values()
            )
        start, till = int(asked.get("from", 0)), len(self.changes)
        link = f'<{self.home or self.roster}?Since={till}&To=99999>; rel="{self.offers}"'
        if len(listed) > start + self.page:
            asked |= {"from": str(start + self.page)}
            link = f'<{self.roster}?{"&".join(f"{k}={v}" for k, v in asked.items())}>; rel="next"'
        body = {"id": self.roster, "context": {"id": "course-1"}, "members": listed[start : start + self.page]}
        status, headers, text = said(200, body)
        return status, headers | {"Link": link}, text


class Class(Lesson):
    """A class, its course, and who the gateway takes to be in it."""

    def __init__(self, world: World, wire: Any) -> None:
        super().__init__(world, wire)
        wire.remove("GET", self.book.roster)
        self.course = Course(self.lms, members=["tA", *PUPILS]).serve(wire)
        self.forget()

    def forget(self) -> None:
        with self.world.office.database.open_identity() as session:
            session.run("DELETE FROM course_reading")

    def present(self) -> set[str]:
        return courses.refresh_members(self.world.parts, self.world.places["A"], "kA").people

    def asked(self) -> list[str]:
        """What the LMS was asked since this was asked last."""
        found = [self.course.kind(one) for one in self.course.asked if self.course.roster in one]
        self.course.asked.clear()
        return found


@pytest.fixture
def lesson(public_world, wire) -> Class:
    return Class(public_world, wire)


WHOLE = ["whole", "rest", "rest"]


def test_after_a_whole_reading_only_what_changed_is_asked_for(lesson):
    assert (lesson.present(), lesson.asked()) == ({"tA", *PUPILS}, WHOLE)
    assert (lesson.present(), lesson.asked()) == ({"tA", *PUPILS}, ["changes"])
    lesson.course.put("p2", "Deleted")
    lesson.course.put("p8")
    lesson.course.put("p4", "Inactive")
    assert (lesson.present(), lesson.asked()) == ({"tA", "p0", "p6", "p8"}, ["changes", "rest"])
    assert (lesson.present(), lesson.asked()) == ({"tA", "p0", "p6", "p8"}, ["changes"])


def test_the_application_sees_who_came_and_left(lesson):
    def both() -> set[str]:
        data = lesson.app.get(f"/v1/classes/{lesson.launch['class']['id']}/members").json["data"]
        return {one["name"].split()[0].removeprefix("Given") for one in data if one["source"] == "both"}

    assert both() == {"tA", *PUPILS}
    lesson.course.put("p2", "Deleted")
    lesson.course.put("p8")
    assert both() == {"tA", "p0", "p4", "p6", "p8"}
    assert lesson.asked()[-1] == "changes"


def test_who_left_and_was_never_there_changes_nothing(lesson):
    lesson.present()
    lesson.course.put("somebody", "Deleted")
    lesson.course.put("nobody", "Deleted")
    assert lesson.present() == {"tA", *PUPILS}


def failing(status: int) -> Callable[[], Answer]:
    return lambda: said(status, {})


def nonsense() -> Answer:
    return said(200, {"members": [{"user_id": 7}]})


@pytest.mark.parametrize(
    "answer",
    [failing(400), failing(404), failing(410), failing(500), nonsense],
    ids=["400", "404", "410", "500", "nonsense"],
)
def test_where_it_cannot_say_what_changed_it_is_read_whole(lesson, answer):
    lesson.present()
    lesson.asked()
    lesson.course.put("p2", "Deleted")
    lesson.course.answers = [answer]
    assert (lesson.present(), lesson.asked()) == ({"tA", "p0", "p4", "p6"}, ["changes", *WHOLE[:2]])


def test_changes_whose_pages_go_round_are_not_believed(lesson):
    lesson.present()
    for who in PUPILS:
        lesson.course.put(who, "Deleted")
        lesson.course.put(who)

    def round_and_round() -> Answer:
        url = f"{lesson.course.roster}?Since=0&To=0"
        status, headers, text = said(200, {"id": "x", "context": {"id": "1"}, "members": [
            {"user_id": "lms-p0", "status": "Deleted", "roles": []}]})  # fmt: skip
        return status, headers | {"Link": f'<{url}>; rel="next"'}, text

    lesson.course.answers = [round_and_round, round_and_round]
    lesson.asked()
    assert lesson.present() == {"tA", *PUPILS}
    assert lesson.asked()[-1] == "rest"


@pytest.mark.parametrize(
    "cut", [failing(500), failing(403), failing(429), nonsense], ids=["500", "403", "429", "nonsense"]
)
def test_nobody_is_missing_because_a_list_ended_half_way(lesson, cut):
    lesson.present()
    for _ in range(3):
        lesson.course.answers = [failing(500), lambda: None, cut]
        assert lesson.present() == {"tA", *PUPILS}
    lesson.forget()
    lesson.course.answers = [lambda: None, cut]
    assert lesson.present() == set()  # nothing was ever known
    assert lesson.present() == {"tA", *PUPILS}


def test_changes_that_end_half_way_are_not_half_applied(lesson):
    lesson.present()
    for who in PUPILS:
        lesson.course.put(who, "Deleted")
    lesson.course.answers = [lambda: None, failing(500), failing(500)]
    assert lesson.present() == {"tA", *PUPILS}
    assert lesson.present() == {"tA"}


@pytest.mark.parametrize("home", [
    "https://evil.example/x", "http://lms.example/x", "https://lms.example:8443/x", "//evil.example/x", "https://[",
    "https://lms.example@evil.example/x", "http://169.254.169.254/latest",
])  # fmt: skip
def test_an_address_that_is_not_the_platforms_is_never_called(lesson, home):
    lesson.course.home = home
    for _ in range(2):
        lesson.asked()
        assert (lesson.present(), lesson.asked()) == ({"tA", *PUPILS}, WHOLE)


def test_where_the_platform_names_none_it_is_read_whole_each_time(lesson):
    lesson.course.offers = "previous"
    for _ in range(2):
        assert (lesson.present(), lesson.asked()) == ({"tA", *PUPILS}, WHOLE)
    lesson.course.offers = "differences"
    lesson.present()
    lesson.course.offers = "previous"  # changes that do not say how to go on are taken, and end it
    lesson.course.put("p2", "Deleted")
    lesson.asked()
    assert (lesson.present(), lesson.asked()) == ({"tA", "p0", "p4", "p6"}, ["changes"])
    assert (lesson.present(), lesson.asked()) == ({"tA", "p0", "p4", "p6"}, WHOLE[:2])


def test_changes_are_built_upon_for_a_day_and_a_silent_lms_is_believed_for_as_long(lesson):
    lesson.present()
    lesson.world.clock.forward(hours=23)
    lesson.asked()
    assert (lesson.present(), lesson.asked()) == ({"tA", *PUPILS}, ["changes"])
    lesson.course.changes.clear()  # it forgets, as if nothing had happened
    del lesson.course.there["p2"]
    assert lesson.present() == {"tA", *PUPILS}
    lesson.world.clock.forward(hours=1)
    lesson.course.answers = [failing(503)]
    assert lesson.present() == {"tA", *PUPILS}  # the day of the whole reading is over, that of the last one is not
    assert lesson.present() == {"tA", "p0", "p4", "p6"}
    lesson.world.clock.forward(hours=24)
    lesson.course.answers = [failing(503)]
    assert lesson.present() == set()


def test_whoever_comes_into_the_roster_is_looked_for_again(lesson):
    lesson.course.put("p12")
    assert "p12" not in lesson.present()
    lesson.world.bring(two_schools(14))
    lesson.asked()
    assert "p12" in lesson.present()
    assert lesson.asked()[0] == "whole"


def test_a_list_that_moved_is_read_whole(lesson):
    lesson.present()
    lesson.course.put("p2", "Deleted")
    lesson.course.changes.clear()
    with lesson.world.office.database.open_school(lesson.world.places["A"]) as session:
        session.run("UPDATE course_reading SET source = 'https://lms.example/old' WHERE district = %(district)s")
    assert lesson.present() == {"tA", "p0", "p4", "p6"}


def test_with_groups_a_course_is_read_whole(lesson):
    lesson.present()
    lesson.course.groups = {"g1": ("Herons", ["p0"])}
    claims = lesson.course.claims()
    assert GS + "claim/groupsservice" in claims
    assert lesson.lms.launch(lesson.world, lesson.lms.message("tA", "Instructor", **claims)).status_code == 303
    lesson.asked()
    parts, place = lesson.world.parts, lesson.world.places["A"]
    courses.refresh_members(parts, place, "kA", courses.Wanted.IDS)
    assert lesson.asked() == WHOLE
    lesson.present()
    assert lesson.asked() == ["changes"]


def test_what_is_kept_goes_with_the_link_and_after_a_day(lesson):
    def kept() -> int:
        with lesson.world.office.database.open_identity() as session:
            return len(session.rows("SELECT 1 FROM course_reading"))

    lesson.present()
    lesson.world.clock.forward(hours=25)
    with lesson.world.office.database.open_identity() as session:
        registrations.forget_launches(session, lesson.world.clock.at)
    assert kept() == 0
    lesson.present()
    assert kept() == 1
    with lesson.world.office.database.open_school(lesson.world.places["A"]) as session:
        session.run("DELETE FROM context_link WHERE district = %(district)s")
    assert kept() == 0


def test_a_reading_goes_with_a_person_in_it(lesson):
    lesson.present()
    with lesson.world.office.database.open_erasure(lesson.world.places["A"]) as session:
        for person in ("p1", "p0"):
            assert len(session.rows("SELECT 1 FROM course_reading")) == 1, person
            erasure.erase(session, person)
        assert session.rows("SELECT 1 FROM course_reading") == []


def test_what_another_reading_left_meanwhile_is_not_overwritten(lesson):
    """Of two at once, the second finds what it began with gone: a person of it may have been erased since."""
    lesson.present()

    def meanwhile() -> None:
        lesson.forget()

    lesson.course.answers = [meanwhile]
    assert lesson.present() == {"tA", *PUPILS}
    with lesson.world.office.database.open_identity() as session:
        assert session.rows("SELECT 1 FROM course_reading") == []


# --- the law ------------------------------------------------------------------------------------------

STATES = st.sampled_from(["Active", "Inactive", "Deleted", "test user", "another SIS id"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(PEOPLE), STATES),
        st.tuples(st.just("read"), st.sampled_from(["well", "no changes", "nothing", "half"]), st.just("")),
        st.tuples(st.just("later"), st.sampled_from(["1", "13", "25"]), st.just("")),
    ), min_size=4, max_size=25,
)  # fmt: skip
REFUSES = {
    "well": frozenset(), "no changes": frozenset({"changes"}), "nothing": frozenset({"changes", "whole"}),
    "half": frozenset({"rest"}),
}  # fmt: skip


def test_any_changes_read_as_changes_are_what_a_whole_reading_finds(lesson):
    def truth() -> set[str]:
        known = {"tA", *PUPILS, "p8"}
        return {one["lis_person_sourcedid"] for one in lesson.course.there.values()
                if one["status"] == "Active" and TEST_USER not in one["roles"]} & known  # fmt: skip

    def put(who: str, state: str) -> None:
        more: dict[str, Any] = {"test user": {"roles": ["Learner", TEST_USER]},
                                "another SIS id": {"lis_person_sourcedid": "p8"}}.get(state, {})  # fmt: skip
        lesson.course.put(who, state if state in ("Inactive", "Deleted") else "Active", **more)

    @trials(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def law(steps: list[tuple[str, str, str]]) -> None:
        lesson.course.refuses = frozenset()
        lesson.forget()
        before, age = lesson.present(), 0
        assert before == truth()
        for what, one, state in [*steps, ("read", "well", "")]:
            if what == "put":
                put(one, state)
            elif what == "later":
                lesson.world.clock.forward(hours=int(one))
                age += int(one)
            else:
                lesson.course.refuses = REFUSES[one]
                found = lesson.present()
                if one in ("well", "no changes"):
                    assert found == truth()
                    age = 0
                assert found in (truth(), before) or (found == set() and age >= 24)
                before = found

    law()


# --- the sandbox's LMS ---------------------------------------------------------------------------------


def test_changes_of_an_lms_over_loopback(addresses, settings):
    with at(addresses, settings, "blackboard", differences=True, page_size=3) as make:
        make.begin()

        def both() -> set[str]:
            data = make.app.get(f"/v1/classes/{make.launch['class']['id']}/members").json["data"]
            return {one["name"].split()[0].removeprefix("Given") for one in data if one["source"] == "both"}

        assert both() == {"tA", *PUPILS}
        make.post("member", course="7", user=make.ids["p2"], status="Deleted")
        assert both() == {"tA", "p0", "p4", "p6"}
        make.post("habits", differences=False)  # and from now on it knows of none
        make.post("member", course="7", user=make.ids["p2"], status="Active")
        assert both() == {"tA", *PUPILS}
