"""What every answer carries, and what no answer and no log line may."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway import logs, web
from gateway.flows import rights_request
from gateway.web import security
from tests.worlds import READ

PATHS = [
    "/healthz",
    "/family",
    "/v1/openapi.json",
    f"{READ}/students",
    "/nothing",
    "/.well-known/jwks.json",
    "/errors/DIR_MISSING",
]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_kept_in_its_place(public_world, path):
    answer = public_world.client.get(path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert answer.headers["X-Request-Id"].startswith("req_")
    assert "Server" not in answer.headers
    assert "Set-Cookie" not in answer.headers


def test_answers_about_people_are_never_kept_by_anybody(world):
    reader = world.standing().reader("A")
    assert reader.read("students").headers["Cache-Control"] == "no-store"
    assert world.client.get("/family").headers["Cache-Control"] == "no-store"
    assert "max-age=600" in world.client.get("/.well-known/jwks.json").headers["Cache-Control"]


def test_pages_of_a_launch_may_stand_in_a_frame_and_others_may_not(public_world):
    assert "frame-ancestors https:" in public_world.client.get("/teacher/x").headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in public_world.client.get("/family").headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/family", "/errors/DIR_MISSING", "/nothing"])
def test_no_page_asks_a_third_party_for_anything(world, path):
    page = world.client.get(path).text
    assert "http://" not in page.replace("http://127.0.0.1:8080", "")
    assert "https://" not in page
    assert "<script" not in page
    assert "style=" not in page


def test_a_forged_host_or_proxy_header_changes_nothing(world):
    plain = world.client.get("/v1/transfers").json
    forged = world.client.get(
        "/v1/transfers",
        headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-For": "1.1.1.1"},
    ).json
    assert "evil" not in json.dumps(forged)
    assert {k: v for k, v in plain.items() if k != "request_id"} == {
        k: v for k, v in forged.items() if k != "request_id"
    }


def test_a_log_line_holds_no_person_no_token_and_no_query(world):
    reader = world.standing().reader("A")
    with capture_logs(processors=[logs._only_allowed]) as lines:
        reader.read("students?limit=2&offset=1")
        world.client.post("/family", data={"code": "a-familys-code"})
        world.client.get("/teacher/a-teachers-key")
    text = json.dumps(lines)
    for secret in ("Given", "limit=2", "a-familys-code", "a-teachers-key", reader.token, reader.secret):
        assert secret not in text
    assert {line["event"] for line in lines} == {"request"}
    assert all(set(line) <= logs.ALLOWED | {"log_level"} for line in lines)


def test_a_field_that_is_not_allowed_never_reaches_the_log():
    kept = logs._only_allowed(None, "", {"event": "e", "name": "Ana", "status": 200, "code": None})
    assert kept == {"event": "e", "status": 200}


def test_a_style_sheet_is_all_a_page_loads(world):
    with world.client.get("/static/schoolgate.css") as answer:
        assert (answer.status_code, answer.mimetype) == (200, "text/css")
        assert "url(" not in answer.text
    assert security._CSP.count("'self'") == 3


FILES = sorted((Path(web.__file__).parent).glob("templates/*.html")) + sorted(
    (Path(web.__file__).parent).glob("static/*")
)  # fmt: skip
# A script is a file of ours on its own, and three pages of a launch have them.
OUR_SCRIPT = re.compile(r"""<script src="\{\{ url_for\('static', filename='[a-z]+\.js'\) \}\}" defer></script>""")
# Registered addresses, checked by the gate.
TO_THE_LMS = {"probe.html": "begun.url", "picked.html": "answer.url", "diagnosis.html": "back"}
LOADS = re.compile(r"""(?:src|href|action|srcset|data|poster)\s*=\s*(["'])(.*?)\1""")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_no_page_of_ours_can_load_or_post_to_anything_foreign(path):
    """Every address in every template is ours: made by the application, a place in the page, or the page itself."""
    text = path.read_text()
    assert "://" not in text
    text = OUR_SCRIPT.sub("", text)
    assert not re.search(r"<(script|iframe|object|embed|img|video|audio|base|meta http-equiv)\b", text)
    ours = re.compile(r"\{\{ (url_for\(.*\)|action|again) \}\}|#main")
    leads = [address for _, address in LOADS.findall(text) if not ours.fullmatch(address)]
    assert leads == ["{{ " + TO_THE_LMS[path.name] + " }}"] if path.name in TO_THE_LMS else leads == []
    assert not re.search(r"url\(|@import", text)


def test_what_is_shown_of_a_child_or_a_class_is_shown_without_cookies_or_beacons(world):
    world.standing().reader("A").read("students")
    code, _ = rights_request.issue_code(world.office, world.by, world.places["A"], "p0")
    answer = world.client.post("/family", data={"code": code})
    assert "Givenp0" in answer.text
    assert "Set-Cookie" not in answer.headers
    assert "://" not in answer.text
    assert code not in answer.request.url
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'; img-src 'self'")
