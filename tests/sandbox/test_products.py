"""Each make of LMS as the sandbox plays it, asked by a little tool that is not the gateway."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest

from gateway.sandbox import district, products
from gateway.sandbox.browser import Browser
from gateway.sandbox.products import PROFILES
from gateway.sandbox.vendor import links
from gateway.sandbox.wire import fetch
from tests.sandbox.peers import AGS, ENDPOINT, ITEM, LTI, NRPS, desk_at

ROOT = Path(__file__).parents[2]
LATE, LATER = "2026-09-01T10:00:00.900Z", "2026-09-01T10:00:01.900Z"


@pytest.fixture(params=sorted(PROFILES))
def desk(request):
    with desk_at(request.param) as desk:
        yield desk


@pytest.fixture
def plain():
    with desk_at() as desk:
        yield desk


def members(desk, query=""):
    return desk.call("GET", f"{desk.lms}/courses/{desk.told['cast']['course']}/members{query}", NRPS)


def opened(desk, who="teacher"):
    with Browser() as browser:
        browser.get(f"{desk.lms}/login")
        browser.submit("Sign in", user=desk.told["cast"][who])
        browser.click("Algebra 1 - P3")
        browser.click("Mastery check")
    return desk.claims


def test_neither_side_reads_the_others_files():
    for folder, foreign in (("gateway/sandbox", "mappings"), ("mappings", "sandbox")):
        for path in (ROOT / folder).rglob("*.py"):
            nodes = list(ast.walk(ast.parse(path.read_text())))
            named = [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom)]
            named += [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
            assert [name for name in named if foreign in name.split(".")] == [], path
    texts = [path.read_text() for path in (ROOT / "gateway/sandbox").rglob("*.py")]
    assert [text for text in texts if "mappings/products/" in text or "mappings.products" in text] == []


def test_every_file_is_a_make_and_an_unknown_habit_is_an_error():
    folder = Path(products.__file__).parent
    assert set(PROFILES) == {path.stem for path in folder.glob("*.toml")}
    assert set(PROFILES) >= {"plain", "moodle", "canvas", "blackboard", "brightspace", "schoology", "sakai", "openedx"}
    with pytest.raises(KeyError, match="hums"):
        products.behaviour({"hums": True})
    with desk_at() as desk:
        assert desk.post("habits", hums=True).status_code == 400


def test_a_launch_a_token_and_a_grade_at_every_make(desk):
    claims = opened(desk)
    assert claims["iss"] == desk.told["issuer"]
    assert claims[f"{LTI}tool_platform"]["product_family_code"]
    item = desk.column()
    assert item.startswith(claims[ENDPOINT]["lineitems"].partition("?")[0])
    done = desk.score(item, desk.told["cast"]["amara"], LATE)
    assert done.status_code == PROFILES[desk.told["profile"]].score_status
    assert desk.results(item).json()[0]["resultScore"] == 17


def test_nobody_who_teaches_receives_a_grade(desk):
    item = desk.column()
    refused = desk.score(item, desk.told["cast"]["teacher"], LATE)
    assert (refused.status_code, refused.json()["error_description"]) == PROFILES[desk.told["profile"]].not_gradable


def test_brightspace_names_its_users_its_tenant_and_another_audience():
    with desk_at("brightspace") as desk:
        claims = opened(desk)
        assert claims["sub"].startswith("guid_")
        assert claims["nbf"] == claims["iat"]
        assert claims["http://www.brightspace.com"]["user_id"] == "$User.Id"
        assert {m["user_id"][:5] for m in members(desk).json()["members"]} == {"guid_"}
        refused = desk.ask_token(NRPS, desk.assertion(aud=desk.told["token_url"]))
        assert (refused.status_code, "aud" in refused.text) == (401, True)
        assert desk.ask_token(NRPS).status_code == 200


def test_blackboard_logs_in_by_get_and_answers_400_to_what_is_missing():
    with desk_at("blackboard") as desk:
        opened(desk)
        assert desk.asked["lti_storage_target"] == "lti_storage_frame"
        assert desk.ask_token(NRPS).json()["token_type"] == "bearer"
        claims = {"iss": desk.told["client_id"], "sub": desk.told["client_id"], "aud": desk.told["token_audience"]}
        assert desk.ask_token(NRPS, desk.signed(claims)).status_code == 400
        assert desk.ask_token(NRPS, desk.assertion(jti=None)).status_code == 400
        tied = desk.call("POST", desk.claims[ENDPOINT]["lineitems"], f"{AGS}lineitem",
                         {"label": "x", "scoreMaximum": 1, "resourceLinkId": "link-101"})  # fmt: skip
        assert (tied.status_code, "resourceLinkId" in tied.text) == (400, True)
        small = desk.claims[ENDPOINT]["lineitems"].replace("lineItems", "lineitems")
        assert desk.call("GET", small, f"{AGS}lineitem").status_code == 404


def test_blackboards_next_page_never_ends_above_its_number():
    with desk_at("blackboard") as desk:
        pages = [members(desk)]
        while following := links(pages[-1].headers.get("Link", "")).get("next"):
            pages.append(desk.call("GET", following, NRPS))
        assert len(pages) == 3
        desk.post("habits", endless_above=10)
        page, seen = members(desk), []
        for _ in range(6):
            seen.append(page.content)
            page = desk.call("GET", links(page.headers["Link"])["next"], NRPS)
        assert seen[-1] == seen[-2]


def test_schoology_gives_a_hundred_at_most():
    with desk_at("schoology") as desk:
        assert len(members(desk).json()["members"]) == 20
        desk.post("habits", largest_page=5)
        assert len(members(desk, "?limit=1000").json()["members"]) == 5


def test_open_edx_wants_a_later_score_with_its_maximum_and_sends_no_sis_id():
    with desk_at("openedx") as desk:
        claims = opened(desk)
        assert f"{LTI}lis" not in claims
        assert not [m for m in members(desk).json()["members"] if "lis_person_sourcedid" in m]
        item, amara = desk.column(), desk.told["cast"]["amara"]
        assert desk.score(item, amara, LATE).status_code == 201
        assert desk.score(item, amara, LATE).status_code == 400
        assert desk.score(item, amara, LATER).status_code == 201
        bare = {"userId": amara, "timestamp": "2026-09-02T10:00:00Z", "activityProgress": "Completed",
                "gradingProgress": "NotReady"}  # fmt: skip
        kind = "application/vnd.ims.lis.v1.score+json"
        assert desk.call("POST", f"{item}/scores", f"{AGS}score", bare, kind).status_code == 400


def test_a_column_that_belongs_to_a_link_stays_at_canvas():
    for make, status in (("canvas", 401), ("plain", 204)):
        with desk_at(make) as desk:
            tied = desk.column(resourceLinkId=f"link-{desk.told['cast']['course']}")
            body = {"label": "Renamed", "scoreMaximum": 30}
            assert desk.call("PUT", tied, f"{AGS}lineitem", body).json()["scoreMaximum"] == 30
            assert desk.call("DELETE", tied, f"{AGS}lineitem").status_code == status
            assert desk.call("DELETE", desk.column(), f"{AGS}lineitem").status_code == 204


def test_too_many_calls_are_refused_until_the_window_ends():
    with desk_at("canvas") as desk:
        first = members(desk)
        assert first.headers["X-Rate-Limit-Remaining"] == "699.0"
        desk.post("habits", throttle_calls=2, throttle_seconds=1.0)
        answers = [members(desk) for _ in range(4)]
        assert answers[-1].status_code == 429
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 2
        time.sleep(1.1)
        assert members(desk).status_code == 200
        desk.post(
            "habits", throttle=[403, "403 Forbidden (Rate Limit Exceeded)"], throttle_calls=1, throttle_seconds=60
        )
        members(desk)
        old = members(desk)
        assert (old.status_code, "Rate Limit Exceeded" in old.text) == (403, True)
        assert "Retry-After" not in old.headers


def test_a_token_lives_as_long_as_it_is_told_to(plain):
    plain.post("habits", bearer_seconds=0.2)
    granted = plain.ask_token(NRPS).json()
    assert granted["expires_in"] == 0.2
    time.sleep(0.3)
    url = f"{plain.lms}/courses/{plain.told['cast']['course']}/members"
    refused = fetch("GET", url, headers={"Authorization": f"Bearer {granted['access_token']}"})
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")


def test_members_by_role_by_link_and_by_number(plain):
    role = "http://purl.imsglobal.org/vocab/lis/v2/membership%23Instructor"
    for asked in ("Instructor", role):
        assert [m["name"] for m in members(plain, f"?role={asked}").json()["members"]] == ["R. Okafor"]
    page = members(plain, "?role=Learner&limit=4")
    assert len(page.json()["members"]) == 4
    assert "role=Learner" in links(page.headers["Link"])["next"]
    link = f"link-{plain.told['cast']['course']}"
    (one,) = members(plain, f"?rlid={link}&role=Instructor").json()["members"]
    assert one["message"][0][f"{LTI}resource_link"] == {"id": link}
    assert members(plain, "?rlid=other").status_code == 404


def test_what_has_changed_since(plain):
    plain.post("page_size", size=100)
    told, amara = plain.told["cast"], plain.told["cast"]["amara"]
    begun = links(members(plain).headers["Link"])["differences"]
    assert plain.call("GET", begun, NRPS).json()["members"] == []
    plain.post("member", course=told["course"], user=amara, status="Deleted")
    assert amara not in [m["user_id"] for m in members(plain).json()["members"]]
    changed = plain.call("GET", begun, NRPS)
    assert [(m["user_id"], m["status"]) for m in changed.json()["members"]] == [(amara, "Deleted")]
    plain.post("member", course=told["course"], user=amara, status="Active")
    later = links(changed.headers["Link"])["differences"]
    for since in (begun, later):
        (one,) = plain.call("GET", since, NRPS).json()["members"]
        assert (one["user_id"], one["status"], one["lis_person_sourcedid"]) == (amara, "Active", district.CAST["amara"])
    assert members(plain, "?since=x").status_code == 404


def test_a_make_without_differences_names_none():
    with desk_at("sakai") as desk:
        assert "differences" not in members(desk, "?limit=100").headers.get("Link", "")
        assert members(desk, "?since=0").status_code == 404
        assert desk.call("GET", desk.column(), f"{AGS}lineitem", kind=ITEM).status_code == 200
