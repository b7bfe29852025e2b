"""The assessment platform and the vendor against a stand-in that speaks the gateway's API."""

from contextlib import contextmanager

import jwt
import pytest
from flask import Flask, jsonify, request

from gateway.sandbox import assessment
from gateway.sandbox.browser import Browser
from gateway.sandbox.loopback import running
from gateway.sandbox.vendor import ROSTER, Vendor, faults_of, key_at, links
from gateway.sandbox.wire import fetch

LAUNCH = {
    "id": "la_1",
    "kind": "resource_link",
    "person": {"id": "pe_t", "role": "teacher", "name": "R. <Okafor>"},
    "class": {"id": "cl_1", "title": "Algebra 1 - P3", "matched": "sis"},
    "return_url": "http://127.0.0.1/back",
}
ROW = {"sourcedId": "s1", "status": "active", "dateLastModified": "2026-11-21T00:00:00Z"}


def build(_url):
    app = Flask("gateway")
    app.extensions["asked"] = asked = []

    @app.post("/oauth2/token")
    def token():
        asked.append(("token", request.authorization, request.form.to_dict()))
        return {"access_token": "t", "expires_in": 600, "scope": request.form["scope"]}

    @app.post("/v1/launches/exchange")
    def exchange():
        if request.json["code"] != "good":
            return jsonify(code="code_spent", detail="Used.", decision=None), 400
        return LAUNCH

    @app.get("/v1/classes/cl_1/members")
    def members():
        assert request.headers["Authorization"] == "Bearer t"
        if "page" in request.args:
            return {"data": [{"id": f"pe_{n}", "role": "student"} for n in range(3, 6)], "next": None}
        first = [{"id": "pe_t", "role": "teacher"}, *({"id": f"pe_{n}", "role": "student"} for n in range(3))]
        return {"data": first, "next": "/v1/classes/cl_1/members?page=2"}

    @app.put("/v1/activities/<name>")
    def activity(name):
        asked.append(("activity", name, request.json))
        return {"your_id": name}

    @app.post("/v1/result_batches")
    def batch():
        asked.append(("batch", request.headers["Idempotency-Key"], request.json))
        results = [{"ref": r["ref"], "state": "ready"} for r in request.json["results"]]
        return {"id": "ba_1", "state": "preview", "results": results, "push_url": None}, 202

    @app.get("/ims/oneroster/rostering/v1p2/students")
    def students():
        if "offset" in request.args:
            return {"users": [ROW | {"sourcedId": "s2", "enabledUser": True}]}
        link = f'<{request.base_url}?offset=1>; rel="next", <{request.base_url}>; rel="first"'
        return {"users": [ROW | {"enabledUser": "true"}]}, {"Link": link}

    return app


@contextmanager
def both():
    """Serve the stand-in and an assessment platform configured for it."""
    made = {}

    def keep(url):
        made["app"] = build(url)
        return made["app"]

    with running(keep) as gateway, running(assessment.create_app) as url:
        wish = {"gateway_url": gateway, "client_id": "app", "client_secret": "s"}
        fetch("POST", f"{url}/_sandbox/configure", json=wish)
        yield gateway, url, made["app"].extensions["asked"]


def test_a_launch_becomes_a_page_and_results_go_out():
    with both() as (_, url, asked), Browser() as browser:
        browser.get(f"{url}/launch?code=good")
        assert "R. <Okafor>, teacher of Algebra 1 - P3" in browser.text
        browser.submit("Hand in results", mode="apply")
        assert "Batch ba_1 is preview" in browser.text
        assert fetch("GET", f"{url}/_sandbox/launches").json() == [LAUNCH]
        said = {"launch": "la_1", "activity": "unit-3", "mode": "preview", "key": "k"}
        assert fetch("POST", f"{url}/_sandbox/hand_in", json=said).json()["id"] == "ba_1"
    first, second = (body for what, _, body in asked if what == "batch")
    assert first["results"] == second["results"]
    people = [r["person"] for r in first["results"]]
    assert people == [*(f"pe_{n}" for n in range(6)), "pe_nobody0000000000"]
    levels = [r["mastery"] for r in first["results"]]
    assert levels.count("exploring") == 1
    assert set(levels) == {*assessment.SCALE, "exploring"}


def test_a_refusal_of_the_gateway_is_passed_on_as_it_came():
    with both() as (_, url, _asked):
        refused = fetch("GET", f"{url}/launch?code=spent")
        assert (refused.status_code, refused.json()["code"]) == (400, "code_spent")


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_a_vendor_reads_every_page_with_its_own_key(kind, tmp_path):
    key = key_at(tmp_path / "key.json", kind)
    assert key_at(tmp_path / "key.json").kid == key.kid
    with both() as (gateway, _, asked):
        found = Vendor(gateway, "vendor", key=key).read("students", "limit=1")
        form = asked[-1][2]
    public = jwt.PyJWK.from_dict(key.as_dict(private=False))
    audience = f"{gateway}/oauth2/token"
    claims = jwt.decode(form["client_assertion"], public, ["RS256", "ES256"], audience=audience)
    assert claims["iss"] == claims["sub"] == "vendor"
    assert form["scope"] == ROSTER
    assert [r["sourcedId"] for r in found.rows] == ["s1", "s2"]
    assert found.faults == ["s2: enabledUser has the wrong type"]
    assert "Link" in found.headers[0]


def test_the_shape_of_a_row_is_judged():
    org = {"href": "x", "sourcedId": "o", "type": "org"}
    role = {"roleType": "primary", "role": "student", "org": org}
    assert not list(faults_of("students", ROW | {"roles": [role], "grades": ["09"]}))
    assert not list(faults_of("enrollments", ROW | {"class": org, "beginDate": "2026-08-10"}))
    for bad in (
        {"status": "Active"},
        {"dateLastModified": "2026-11-21"},
        {"surprise": 1},
        {"grades": "09"},
        {"roles": [{"role": "student"}]},
        {"sourcedId": ""},
    ):
        assert list(faults_of("students", ROW | bad))


def test_a_link_header_is_read_whatever_its_order():
    said = links('<http://a/?x=1,2;3>; title="a, b"; rel="next last", <http://b>;rel=first')
    assert said == {"next": "http://a/?x=1,2;3", "last": "http://a/?x=1,2;3", "first": "http://b"}
