import time

import pytest
import requests

from gateway.sandbox.district import CAST, district
from gateway.sandbox.vendor import links
from gateway.sandbox.wire import fetch
from tests.sandbox.peers import AGS, ITEM, NRPS, desk_at

EARLY, LATE = "2026-09-01T10:00:00.100Z", "2026-09-01T10:00:00.900Z"


@pytest.fixture(scope="module")
def desk():
    with desk_at() as desk:
        yield desk


def members_url(desk):
    return f"{desk.lms}/courses/{desk.told['cast']['course']}/members"


def items_url(desk):
    return f"{desk.lms}/courses/{desk.told['cast']['course']}/lineitems"


def test_a_token_needs_a_fresh_assertion_for_this_address(desk):
    good = desk.assertion()
    answer = desk.ask_token(f"{NRPS} made-up", good)
    assert (answer.json()["scope"], answer.json()["expires_in"]) == (NRPS, 600)
    for bad in (
        good,  # the same jti again
        desk.assertion(aud="https://elsewhere.example/token"),
        desk.assertion(exp=int(time.time()) - 1),
        desk.assertion(sub="someone else"),
        desk.assertion(iss="someone else"),
        good[:-6] + "AAAAAA",
    ):
        assert desk.ask_token(NRPS, bad).status_code == 401
    assert desk.ask_token("made-up").json()["error"] == "invalid_scope"


def test_members_come_in_pages_with_the_sis_id_and_without_the_absent_pupil(desk):
    desk.post("page_size", size=7)
    url, pages, found = members_url(desk), 0, []
    while url:
        answer = desk.call("GET", url, NRPS)
        found += answer.json()["members"]
        url, pages = links(answer.headers.get("Link", "")).get("next"), pages + 1
    room = next(c for c in district().classes if c.sourced_id == CAST["class"])
    known = {m["lis_person_sourcedid"]: m for m in found}
    assert pages == 4
    assert set(known) == {*room.teachers, *room.pupils} - {desk.told["cast"]["absent_pupil_sis_id"]}
    assert known[CAST["amara"]]["user_id"] == desk.told["cast"]["amara"]
    assert {m["status"] for m in found} == {"Active"}
    teachers = desk.call("GET", f"{members_url(desk)}?role=Instructor", NRPS).json()["members"]
    assert [m["name"] for m in teachers] == ["R. Okafor"]
    desk.post("page_size", size=100)


def test_each_service_asks_for_its_own_scope(desk):
    item = desk.column()
    assert desk.call("GET", members_url(desk), f"{AGS}score").status_code == 403
    assert desk.call("POST", items_url(desk), f"{AGS}lineitem.readonly", {"label": "x"}).status_code == 403
    assert desk.call("DELETE", item, f"{AGS}score").status_code == 403
    assert desk.call("GET", f"{item}/results", f"{AGS}lineitem").status_code == 403
    assert fetch("GET", item).status_code == 401


def test_a_line_item_is_made_found_changed_and_deleted(desk):
    item = desk.column(resourceId="unit-9", tag="mastery")
    desk.column(resourceId="unit-10", tag="mastery")
    found = desk.call("GET", f"{items_url(desk)}?resource_id=unit-9&tag=mastery", f"{AGS}lineitem")
    assert [i["id"] for i in found.json()] == [item]
    assert found.headers["Content-Type"] == "application/vnd.ims.lis.v2.lineitemcontainer+json"
    one = desk.call("GET", item, f"{AGS}lineitem").json()
    assert desk.call("PUT", item, f"{AGS}lineitem", one | {"label": "New"}).json()["label"] == "New"
    assert desk.call("POST", items_url(desk), f"{AGS}lineitem", {"label": "x"}).status_code == 400
    wrong = desk.call("POST", items_url(desk), f"{AGS}lineitem", one, "application/json")
    assert wrong.status_code == 415
    assert desk.call("DELETE", item, f"{AGS}lineitem").status_code == 204
    assert desk.call("GET", item, f"{AGS}lineitem").status_code == 404


def test_a_score_is_kept_read_back_and_refused_when_it_is_older(desk):
    item, amara = desk.column(), desk.told["cast"]["amara"]
    assert desk.score(item, amara, LATE, 17).status_code == 200
    assert desk.score(item, amara, LATE, 18).status_code == 200
    assert desk.score(item, amara, EARLY, 5).status_code == 409
    assert desk.score(item, amara, "2026-09-01", 5).status_code == 400
    assert desk.score(item, "nobody", LATE).status_code == 404
    assert desk.score(item, desk.told["cast"]["not_gradable"], LATE).status_code == 422
    (result,) = desk.results(item).json()
    assert (result["userId"], result["resultScore"], result["resultMaximum"]) == (amara, 18, 20)
    arrived = fetch("GET", f"{desk.lms}/_sandbox/scores").json()
    assert [s["status"] for s in arrived[-6:]] == [200, 200, 409, 400, 404, 422]
    assert arrived[-6]["body"]["scoreGiven"] == 17
    desk.post("grade", lineitem=item, user=amara, score=3)
    assert desk.results(item, f"user_id={amara}").json()[0]["resultScore"] == 3
    assert desk.score(item, amara, LATE).status_code == 409


def test_moodle_keeps_its_own_clock_in_whole_seconds_and_its_query_strings():
    with desk_at("moodle") as desk:
        item, amara = desk.column(), desk.told["cast"]["amara"]
        assert item.endswith("/lineitem?type_id=1")
        now = time.strftime("%Y-%m-%dT%H:%M:%S.9Z", time.gmtime())
        assert desk.score(item, amara, "2036-01-01T00:00:00Z").status_code == 200
        second = desk.score(item, amara, now)
        assert (second.status_code, "earlier timestamp" in second.text) == (409, True)
        assert desk.score(item, amara, "2036-01-01T00:00:00Z").status_code == 200
        assert desk.score(item, desk.told["cast"]["teacher"], now).status_code == 400
        assert desk.results(item, "&limit=500").headers["Content-Type"].startswith("text/html")
        assert desk.call("GET", item.partition("?")[0], f"{AGS}lineitem").status_code == 404
        desk.column()
        listed = desk.call("GET", f"{items_url(desk)}?type_id=1&limit=1", f"{AGS}lineitem")
        assert "rel=â" in listed.headers["Link"]
        roles = {r for m in desk.call("GET", members_url(desk), NRPS).json()["members"] for r in m["roles"]}
        assert roles == {"Instructor", "Learner"}


def test_canvas_answers_400_and_422():
    with desk_at("canvas") as desk:
        item, amara = desk.column(), desk.told["cast"]["amara"]
        assert desk.score(item, amara, LATE).status_code == 200
        stale = desk.score(item, amara, EARLY)
        assert (stale.status_code, "before last updated timestamp" in stale.text) == (400, True)
        assert desk.score(item, amara, LATE, scoreMaximum=None).status_code == 422
        assert desk.score(item, desk.told["cast"]["not_gradable"], LATE).status_code == 422


def test_faults_happen_as_often_as_they_are_ordered(desk):
    item, amara = desk.column(), desk.told["cast"]["amara"]
    for fault, reached in (("drop_before", False), ("drop_after", True)):
        before = len(fetch("GET", f"{desk.lms}/_sandbox/scores").json())
        desk.post("fault", on="scores", do=fault, times=1)
        with pytest.raises(requests.ConnectionError):
            desk.score(item, amara, LATE)
        assert len(fetch("GET", f"{desk.lms}/_sandbox/scores").json()) - before == reached
    for word, status in (("500", 500), ("429", 429)):
        desk.post("fault", on="scores", do=word, times=2)
        assert [desk.score(item, amara, LATE).status_code for _ in range(3)] == [status, status, 200]
    desk.post("fault", on="lineitem", do="slow", seconds=0.3)
    begun = time.monotonic()
    desk.call("GET", item, f"{AGS}lineitem", kind=ITEM)
    assert time.monotonic() - begun > 0.3
