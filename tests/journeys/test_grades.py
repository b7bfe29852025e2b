"""Grade push, end to end: results handed in, pressed by the teacher, delivered by a worker, read back."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

import pytest

from gateway.flows import on_file, rights_request
from gateway.flows.launch import LAUNCH_HOURS
from gateway.jobs import forget_expired, work
from gateway.store.results import KEPT_FOR_REPETITION
from tests.gradebooks import Gradebook
from tests.platforms import LTI, Platform, application, code_of
from tests.worlds import Caller, World

SCALE = {"beginning": 1.0, "proficient": 3.0, "exemplary": 4.0}
PUPILS = ("p0", "p2", "p4", "p6")


class Lesson:
    """A teacher who has opened an activity of class kA, and the application that holds the results."""

    def __init__(self, world: World, wire: Any, product: str = "generic", **gradebook: Any) -> None:
        self.world = world.standing()
        self.app: Caller = application(world, "A")
        self.lms = Platform().register(world, "A", product=product).link(world, "A", "kA").serve_keys(wire)
        self.book = Gradebook(self.lms, members=["tA", *PUPILS], **gradebook).serve(wire)
        self.launch = self.open()
        self.people = self.learn()
        self.activity()

    def open(self) -> dict[str, Any]:
        answer = self.lms.launch(self.world, self.lms.message("tA", "Instructor", **self.book.claims()))
        self.cookie = answer.headers["Set-Cookie"].partition(";")[0]
        return self.app.call("POST", "/v1/launches/exchange", json={"code": code_of(answer)}).json

    def learn(self) -> dict[str, str]:
        """The application's ids of the pupils, by given name."""
        answer = self.app.get(f"/v1/classes/{self.launch['class']['id']}/members")
        assert answer.status_code == 200, answer.text
        return {m["name"].split()[0].removeprefix("Given"): m["id"] for m in answer.json["data"]}

    def activity(self, points: float = 4) -> None:
        body = {"class": self.launch["class"]["id"], "title": "Check", "points": points, "scale": SCALE}
        answer = self.app.call("PUT", "/v1/activities/check", json=body)
        assert answer.json["columns"] == [{"target": "lms", "state": "ready", "why": None}]

    def hand_in(self, mode: str = "preview", key: str = "", status: int = 202, **levels: str) -> dict[str, Any]:
        """Hand in levels by pupil."""
        at = self.world.clock.at.isoformat()
        body = {
            "mode": mode, "activity": "check", "launch": self.launch["id"],
            "results": [{"ref": f"r-{p}", "person": self.people.get(p, p), "mastery": lv, "at": at}
                        for p, lv in levels.items()],
        }  # fmt: skip
        headers = {"Idempotency-Key": key or secrets.token_hex(8)}
        answer = self.app.call("POST", "/v1/result_batches", json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json

    def press(self, batch: dict[str, Any]) -> None:
        path = batch["push_url"].removeprefix(self.world.office.settings.url)
        assert self.world.client.post(path).status_code == 303

    def drain(self) -> None:
        work(self.world.parts, once=True)

    def later(self, **span: float) -> None:
        """Let time pass and the worker run what is due then: jobs wait by the database's clock, so it is told."""
        self.world.clock.forward(**span)
        with self.world.office.database.open_school(self.world.places["A"]) as session:
            row = session.row("SELECT activity, deployment, context_id FROM outbox LIMIT 1")
        from gateway.flows.grade_delivery import drain

        drain(self.world.parts, self.world.places["A"], row.activity, row.deployment, row.context_id)

    def send(self, **levels: str) -> dict[str, Any]:
        """Hand in, press and deliver; return how the batch stands."""
        batch = self.hand_in(**levels)
        self.press(batch)
        self.drain()
        return self.stands(batch)

    def stands(self, batch: dict[str, Any]) -> dict[str, Any]:
        found = self.app.sign_in().get(f"/v1/result_batches/{batch['id']}").json
        return {one["ref"].removeprefix("r-"): (one["state"], one["reason"]) for one in found["results"]}

    def sent(self) -> list[tuple[str, float]]:
        return [(one["userId"].removeprefix("lms-"), one["scoreGiven"]) for one in self.book.posted]

    def entries(self, kind: str) -> list[dict[str, Any]]:
        every = self.world.ledger("A")
        grades = {e["id"] for e in every if e.get("operation") == "grade.passback"}
        return [e for e in every if e["type"] == kind and e["id"] in grades]


@pytest.fixture
def lesson(public_world, wire) -> Lesson:
    return Lesson(public_world, wire)


def test_a_class_arrives_and_is_read_back(lesson):
    assert lesson.send(p0="proficient", p2="beginning", p4="exemplary") == {
        "p0": ("sent", None), "p2": ("sent", None), "p4": ("sent", None)
    }  # fmt: skip
    assert sorted(lesson.sent()) == [("p0", 3.0), ("p2", 1.0), ("p4", 4.0)]
    assert len(lesson.book.columns) == 1
    assert [e["outcome"] for e in lesson.entries("outcome")] == ["acknowledged"] * 3
    assert not any("comment" in one for one in lesson.book.posted)


def through_its_link(lesson: Lesson, link: str = "link-1", activity: str = "check") -> None:
    """The teacher comes through a link to the activity itself."""
    claims = {LTI + "custom": {"activity": activity}, LTI + "resource_link": {"id": link}}
    answer = lesson.lms.launch(lesson.world, lesson.lms.message("tA", "Instructor", **lesson.book.claims(), **claims))
    lesson.launch = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code_of(answer)}).json


def test_a_column_belongs_to_the_link_that_its_results_came_through(lesson):
    through_its_link(lesson, "link-9")
    lesson.send(p0="proficient")
    (column,) = lesson.book.columns.values()
    assert column["resourceLinkId"] == "link-9"


def test_a_column_belongs_to_no_link_where_none_is_the_activitys_alone(lesson):
    lesson.press(lesson.hand_in(p0="proficient"))
    through_its_link(lesson, "link-8", activity="other")
    lesson.press(lesson.hand_in(p2="proficient"))
    for number in (1, 2):
        through_its_link(lesson, f"link-{number}")
        lesson.press(lesson.hand_in(**{f"p{2 + 2 * number}": "proficient"}))
    lesson.drain()
    (column,) = lesson.book.columns.values()
    assert "resourceLinkId" not in column
    assert len(lesson.sent()) == 4


@pytest.mark.parametrize("status", [400, 404, 409, 412, 422])
def test_an_lms_that_ties_columns_to_links_itself_gets_one_without(lesson, status):
    lesson.book.ties_itself = status
    through_its_link(lesson)
    assert lesson.send(p0="proficient") == {"p0": ("sent", None)}
    (column,) = lesson.book.columns.values()
    assert "resourceLinkId" not in column


def test_the_intent_is_durable_before_the_lms_hears_of_the_grade(lesson):
    seen = []
    lesson.book.watch = lambda _score: seen.append(len(lesson.entries("intent")))
    lesson.send(p0="proficient", p2="beginning")
    assert seen == [1, 2]


def test_each_that_cannot_go_says_why_and_the_rest_goes(lesson):
    stands = lesson.send(p0="proficient", p2="mediocre", p8="proficient", stranger="proficient")
    assert stands == {
        "p0": ("sent", None), "p2": ("needs_teacher", "GRD_LEVEL_UNMAPPED"), "p8": ("needs_admin", "GRD_NOT_IN_COURSE"),
        "stranger": ("needs_admin", "GRD_PUPIL"),
    }  # fmt: skip
    assert lesson.sent() == [("p0", 3.0)]


def test_pressing_twice_sends_once(lesson):
    batch = lesson.hand_in(p0="proficient")
    lesson.press(batch)
    lesson.press(batch)
    lesson.drain()
    lesson.drain()
    assert lesson.sent() == [("p0", 3.0)]


def test_the_same_grade_again_is_already_there(lesson):
    lesson.send(p0="proficient")
    assert lesson.send(p0="proficient") == {"p0": ("same", None)}
    assert lesson.sent() == [("p0", 3.0)]


def test_a_newer_grade_replaces_one_that_has_not_left(lesson):
    first, second = lesson.hand_in(p0="beginning"), lesson.hand_in(p0="exemplary")
    lesson.press(first)
    lesson.press(second)
    lesson.drain()
    assert lesson.stands(first) == {"p0": ("replaced", None)}
    assert lesson.sent() == [("p0", 4.0)]


def test_times_rise_in_a_lane_whatever_the_clock_says(lesson):
    lesson.world.clock.forward(minutes=1)
    lesson.send(p0="beginning")
    lesson.world.clock.forward(seconds=-30)
    lesson.send(p0="exemplary")
    first, second = (one["timestamp"] for one in lesson.book.posted)
    assert first < second


@pytest.mark.parametrize("applied", [True, False], ids=["applied", "not-applied"])
def test_a_lost_reply_is_read_back_and_never_sent_twice_blindly(lesson, applied):
    lesson.book.lose_next(applied=applied)
    batch = lesson.hand_in(p0="proficient")
    lesson.press(batch)
    lesson.drain()
    lesson.later(minutes=2)
    assert lesson.stands(batch) == {"p0": ("sent", None)}
    assert lesson.sent() == [("p0", 3.0)]
    outcomes = [e["outcome"] for e in lesson.entries("outcome")]
    assert outcomes[0] == "unknown"
    assert outcomes[-1] == "acknowledged"


def test_without_reading_back_a_lost_reply_is_the_teachers_to_look_at(public_world, wire):
    lesson = Lesson(public_world, wire, scopes=["lineitem", "score"])
    lesson.book.lose_next(applied=False)
    batch = lesson.hand_in(p0="proficient")
    lesson.press(batch)
    lesson.drain()
    assert lesson.stands(batch) == {"p0": ("needs_teacher", "GRD_UNKNOWN")}
    assert lesson.sent() == []
    assert lesson.send(p0="exemplary") == {"p0": ("sent", None)}
    assert lesson.stands(batch) == {"p0": ("replaced", None)}


@pytest.mark.parametrize(
    ("product", "status", "stands"),
    [
        pytest.param("generic", 422, ("needs_admin", "GRD_REFUSED"), id="not-a-student"),
        pytest.param("generic", 400, ("needs_admin", "GRD_REFUSED"), id="bad-request"),
        pytest.param("moodle", 400, ("needs_admin", "GRD_REFUSED"), id="moodle-not-gradable"),
        pytest.param("generic", 404, ("needs_admin", "GRD_REFUSED"), id="column-gone"),
        pytest.param("generic", 429, ("waiting", None), id="throttled"),
        pytest.param("canvas", 403, ("waiting", None), id="canvas-throttled"),
        pytest.param("generic", 403, ("needs_admin", "GRD_REFUSED"), id="forbidden"),
        pytest.param("generic", 409, ("waiting", None), id="stale"),
        pytest.param("canvas", 400, ("waiting", None), id="canvas-stale"),
        pytest.param("generic", 500, ("waiting", None), id="broken"),
        pytest.param("generic", 503, ("waiting", None), id="unavailable"),
    ],
)
def test_what_the_lms_answers_decides_what_happens(public_world, wire, product, status, stands):
    lesson = Lesson(public_world, wire, product)
    lesson.book.answer_next(status)
    batch = lesson.hand_in(p0="proficient", p2="beginning")
    lesson.press(batch)
    lesson.drain()
    assert lesson.stands(batch)["p2"] == ("sent", None)
    assert lesson.stands(batch)["p0"] == stands
    lesson.later(hours=1)
    assert lesson.stands(batch)["p0"] == (stands if stands[1] else ("sent", None))


def test_a_throttled_grade_goes_later_with_the_same_bytes(lesson):
    lesson.book.answer_next(429)
    lesson.press(lesson.hand_in(p0="proficient"))
    stamps = []
    lesson.book.watch = lambda score: stamps.append(score["timestamp"])
    lesson.drain()
    lesson.later(hours=1)
    assert len(stamps) == 2
    assert stamps[0] == stamps[1]


def test_a_mark_of_the_teachers_own_is_not_overwritten(lesson):
    lesson.press(batch := lesson.hand_in(p0="proficient"))
    lesson.book.marks["lms-p0"] = (2.0, 4.0)
    lesson.book.columns[f"{lesson.book.base}/1"] = {
        "id": f"{lesson.book.base}/1", "resourceId": column_ref(lesson), "label": "Check",
        "scoreMaximum": 4,
    }  # fmt: skip
    lesson.drain()
    assert lesson.stands(batch) == {"p0": ("needs_teacher", "GRD_CONFLICT")}
    assert lesson.sent() == []


def column_ref(lesson: Lesson) -> str:
    with lesson.world.office.database.open_school(lesson.world.places["A"]) as session:
        return session.row("SELECT activity FROM activity WHERE school = %(school)s").activity


def test_a_mark_changed_after_delivery_is_a_conflict(lesson):
    lesson.book.watch = None
    kept = lesson.book.take

    def overwrite(request):
        answer = kept(request)
        lesson.book.marks["lms-p0"] = (0.5, 4.0)
        return answer

    lesson.book.faults.append(overwrite)
    assert lesson.send(p0="proficient") == {"p0": ("needs_teacher", "GRD_CONFLICT")}


def test_a_family_that_refuses_between_press_and_delivery_is_heard(lesson):
    world = lesson.world
    batch = lesson.hand_in(p0="proficient", p2="beginning")
    lesson.press(batch)
    code, _ = rights_request.issue_code(world.office, world.by, world.places["A"], "p0")
    rights_request.refuse(world.office, code)
    lesson.drain()
    assert lesson.stands(batch) == {"p0": ("needs_admin", "GRD_PUPIL"), "p2": ("sent", None)}
    assert lesson.sent() == [("p2", 1.0)]
    assert "RET_RESTRICTED" in world.denials("A")


def test_a_refusal_looks_like_a_pupil_who_is_not_there(lesson):
    world = lesson.world
    code, _ = rights_request.issue_code(world.office, world.by, world.places["A"], "p0")
    rights_request.refuse(world.office, code)
    shown = lesson.hand_in(p0="proficient", stranger="proficient")["results"]
    assert {one["ref"]: (one["state"], one["reason"], one["fix"]) for one in shown}.keys() == {"r-p0", "r-stranger"}
    first, second = ({k: v for k, v in one.items() if k != "ref"} for one in shown)
    assert first == second


def test_an_agreement_that_ends_stops_what_waits(lesson):

    batch = lesson.hand_in(p0="proficient")
    lesson.press(batch)
    maker = f"LMS {lesson.lms.client_id}"
    on_file.end(lesson.world.office, lesson.world.by, "agreement", lesson.world.agreements[maker])
    lesson.drain()
    assert lesson.stands(batch) == {"p0": ("needs_admin", "AGR_REVOKED")}
    assert lesson.hand_in(p2="beginning")["results"][0]["reason"] == "AGR_REVOKED"
    assert lesson.sent() == []


def test_an_lms_that_stays_away_for_two_weeks_is_told(lesson):
    lesson.book.answer_next(429, times=500)
    batch = lesson.hand_in(p0="proficient")
    lesson.press(batch)
    lesson.drain()
    lesson.later(days=13)
    assert lesson.stands(batch) == {"p0": ("waiting", None)}
    lesson.later(days=2)
    assert lesson.stands(batch) == {"p0": ("needs_admin", "GRD_EXPIRED")}


def test_a_worker_that_died_in_the_middle_loses_nothing(lesson):
    def die(_request):
        raise SystemExit("killed")

    lesson.book.faults.append(die)
    batch = lesson.hand_in(p0="proficient")
    lesson.press(batch)
    with pytest.raises(SystemExit):
        lesson.later(seconds=0)
    assert lesson.stands(batch) == {"p0": ("waiting", None)}
    lesson.later(seconds=60)
    assert lesson.sent() == []  # its lease holds: somebody may still be sending
    lesson.later(seconds=60)
    lesson.later(minutes=5)
    assert lesson.stands(batch) == {"p0": ("sent", None)}
    assert lesson.sent() == [("p0", 3.0)]


def test_the_key_of_a_request_makes_it_happen_once(lesson):
    first = lesson.hand_in("apply", key="k-1234567", p0="proficient")
    again = lesson.hand_in("apply", key="k-1234567", p0="proficient")
    assert again["id"] == first["id"]
    refused = lesson.hand_in("apply", key="k-1234567", status=409, p0="beginning")
    assert refused["code"] == "REQ_IDEMPOTENCY_MISMATCH"
    lesson.drain()
    assert lesson.sent() == [("p0", 3.0)]


def test_the_page_shows_names_only_to_the_browser_of_the_launch(lesson):
    path = lesson.hand_in(p0="proficient")["push_url"].removeprefix(lesson.world.office.settings.url)
    stranger = lesson.world.client.get(path)
    assert stranger.status_code == 200
    assert "Familyp0" not in stranger.text
    assert "r-p0" in stranger.text
    teacher = lesson.world.client.get(path, headers={"Cookie": lesson.cookie})
    assert "Familyp0" in teacher.text
    assert lesson.world.client.get("/teacher/" + "x" * 43).status_code == 404


def test_without_a_column_the_batch_says_so(public_world, wire):
    world = public_world.standing()
    app = application(world, "A")
    lms = Platform().register(world, "A").link(world, "A", "kA").serve_keys(wire)
    answer = lms.launch(world, lms.message("tA", "Instructor"))
    launched = app.call("POST", "/v1/launches/exchange", json={"code": code_of(answer)}).json
    body = {"class": launched["class"]["id"], "title": "Check", "points": 4, "scale": SCALE}
    (column,) = app.call("PUT", "/v1/activities/check", json=body).json["columns"]
    assert column == {"target": "lms", "state": "needs_admin", "why": "GRD_NO_COLUMN"}


def test_the_answer_to_a_key_is_forgotten_when_nothing_can_be_done_under_it_twice(lesson):
    def kept() -> int:
        with lesson.world.office.database.open_school(lesson.world.places["A"]) as session:
            return len(session.rows("SELECT 1 FROM idempotency WHERE district = %(district)s"))

    assert timedelta(hours=LAUNCH_HOURS) < KEPT_FOR_REPETITION
    batch = lesson.hand_in("apply", key="k-1234567", p0="proficient")
    lesson.world.canaries.check()  # whose token it was is forgotten too
    lesson.world.clock.forward(hours=LAUNCH_HOURS)
    forget_expired(lesson.world.parts)
    assert kept() == 1
    lesson.world.clock.forward(days=1)
    forget_expired(lesson.world.parts)
    assert kept() == 0
    lesson.app.sign_in()
    assert lesson.hand_in("apply", key="k-1234567", status=404, p0="proficient")["code"] == "OWN_NOT_ASSOCIATED"
    assert lesson.app.call("GET", f"/v1/result_batches/{batch['id']}").json["id"] == batch["id"]


@pytest.mark.parametrize("key", [None, "", "short", "x" * 129, "näher-am-ziel"])
def test_a_batch_needs_its_own_key(lesson, key):
    headers = {} if key is None else {"Idempotency-Key": key}
    answer = lesson.app.call("POST", "/v1/result_batches", json={}, headers=headers)
    assert (answer.status_code, answer.json["code"]) == (400, "REQ_IDEMPOTENCY_KEY")


def test_a_pupils_launch_cannot_hand_in(lesson):
    answer = lesson.lms.launch(lesson.world, lesson.lms.message("p2", "Learner", **lesson.book.claims()))
    lesson.launch = lesson.app.call("POST", "/v1/launches/exchange", json={"code": code_of(answer)}).json
    assert lesson.hand_in(status=403, p0="proficient")["code"] == "ACT_NOT_TEACHER_OF_CLASS"


def test_a_launch_of_yesterday_cannot_hand_in(lesson):
    lesson.world.clock.at += timedelta(hours=9)
    lesson.app.sign_in()
    assert lesson.hand_in(status=404, p0="proficient")["code"] == "OWN_NOT_ASSOCIATED"


def test_a_class_list_says_that_some_are_left_out_and_not_who(lesson):
    """And how many only where they are many: a small count names somebody."""
    world, members = lesson.world, f"/v1/classes/{lesson.launch['class']['id']}/members"
    known = lesson.learn()
    assert lesson.app.get(members).json["withheld"] == []
    code, _ = rights_request.issue_code(world.office, world.by, world.places["A"], "p0")
    rights_request.refuse(world.office, code)
    answer = lesson.app.get(members)
    assert answer.json["withheld"] == [{"code": "withheld"}]
    refused = set(known) - set(lesson.learn())
    assert len(refused) == 1
    assert not [text for name in refused for text in (f"Given{name}", known[name]) if text in answer.text]
    assert len(answer.json["data"]) == 7


def test_of_whom_an_lms_says_to_be_in_a_course_two_ids_are_kept_and_nothing_leaves(lesson):
    with lesson.world.office.database.open_school(lesson.world.places["A"]) as session:
        kept = [row.said for row in session.rows("SELECT to_jsonb(i) AS said FROM lms_identity i")]
    assert {one["sub"]: one["person_id"] for one in kept} == {f"lms-{who}": who for who in ("tA", *PUPILS)}
    assert {name for one in kept for name in one} == {
        "district", "school", "registration", "sub", "person_id", "evidence", "seen_at"
    }  # fmt: skip
    members = lesson.app.get(f"/v1/classes/{lesson.launch['class']['id']}/members").text
    assert "lms-p0" not in members
    said = [lesson.book.platform.token("lti_nrps", f"Member.{name}", "p0") for name in ("name", "email", "picture")]
    assert [word for word in said if word in members + str(kept)] == []


@pytest.mark.parametrize(
    ("product", "said"), [("canvas", {"new_submission": False}), ("generic", None), ("moodle", None)]
)
def test_a_score_is_no_attempt_of_its_own_where_it_would_be_one(public_world, wire, product, said):
    """Else Canvas makes a submission of each score, late where the due date is over (canvas-lms issue 1799)."""
    lesson = Lesson(public_world, wire, product=product)
    assert lesson.send(p0="proficient") == {"p0": ("sent", None)}
    assert [one.get("https://canvas.instructure.com/lti/submission") for one in lesson.book.posted] == [said]
