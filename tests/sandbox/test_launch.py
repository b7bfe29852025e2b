import json
import subprocess
import sys

import jwt
import pytest

from gateway.sandbox.browser import Browser
from gateway.sandbox.district import CAST
from gateway.sandbox.wire import fetch
from tests.sandbox.peers import ENDPOINT, LTI, desk_at


def open_tool(desk, browser, who="teacher"):
    browser.get(f"{desk.lms}/login")
    browser.submit("Sign in", user=desk.told["cast"][who])
    browser.click("Algebra 1 - P3")
    return browser.click("Mastery check")


@pytest.mark.parametrize("profile", ["plain", "moodle", "canvas"])
def test_a_teacher_opens_the_tool_across_sites(profile):
    with desk_at(profile) as desk, Browser(ports_are_sites=True) as browser:
        page = open_tool(desk, browser)
        assert (page.status, browser.text) == (200, "Welcome R. Okafor")
    claims, asked = desk.claims, desk.asked
    assert asked["lti_deployment_id"] == claims[f"{LTI}deployment_id"] == desk.told["deployment_id"]
    assert claims["sub"] == desk.told["cast"]["teacher"]
    assert claims[f"{LTI}lis"]["person_sourcedid"] == CAST["teacher"]
    assert claims[f"{LTI}lis"]["course_section_sourcedid"] == CAST["class"]
    assert claims[f"{LTI}target_link_uri"] == asked["target_link_uri"]
    assert "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor" in claims[f"{LTI}roles"]
    assert "lineitem" not in claims[ENDPOINT]


def test_each_make_of_lms_keeps_its_habits():
    seen = {}
    for profile in ("plain", "moodle", "canvas"):
        with desk_at(profile, custom={"n": "7", "who": "$User.id", "odd": "$Canvas.x"}) as desk:
            with Browser() as browser:
                open_tool(desk, browser, "amara")
            seen[profile] = (desk.claims, desk.asked)
    plain, moodle, canvas = (seen[name][0] for name in ("plain", "moodle", "canvas"))
    assert plain[f"{LTI}custom"] == {"n": "7", "who": plain["sub"], "odd": "$Canvas.x"}
    assert moodle["exp"] - moodle["iat"] == 60
    assert moodle[ENDPOINT]["lineitems"].endswith("?type_id=1")
    assert "launchid" in json.loads(seen["moodle"][1]["lti_message_hint"])
    assert canvas["iss"] == "https://canvas.instructure.com"
    assert canvas[f"{LTI}custom"]["n"] == 7
    assert any("institution/person#Student" in role for role in canvas[f"{LTI}roles"])
    assert seen["canvas"][1]["canvas_region"] == "us-east-1"


def test_without_javascript_a_person_presses_continue():
    with desk_at("moodle") as desk, Browser(javascript=False) as browser:
        open_tool(desk, browser)
        browser.submit("Continue")
        browser.submit("Continue")
        assert browser.text == "Welcome R. Okafor"


def test_a_lax_state_cookie_does_not_survive_the_cross_site_post():
    with desk_at(same_site="Lax") as desk, Browser(ports_are_sites=True) as browser:
        assert open_tool(desk, browser).status == 403


def test_the_column_of_the_link_is_named_once_it_exists():
    with desk_at() as desk, Browser() as browser:
        open_tool(desk, browser)
        link = desk.claims[f"{LTI}resource_link"]["id"]
        made = desk.column(resourceLinkId=link)
        open_tool(desk, browser)
        assert desk.claims[ENDPOINT]["lineitem"] == made


def test_auth_refuses_a_foreign_redirect_and_reports_the_rest_to_the_tool():
    with desk_at() as desk, Browser() as browser:
        open_tool(desk, browser)
        good = next(p.url for p in browser.history if "/auth?" in p.url)
        assert fetch("GET", good.replace("launch", "steal")).status_code == 400
        for spoiled, error in (
            (good.replace("prompt=none", "prompt=login"), "invalid_request"),
            (good.replace("form_post", "query"), "invalid_request"),
            (good.replace("lti_message_hint=", "lti_message_hint=x"), "invalid_request"),
            (good.replace("login_hint=", "login_hint=x", 1), "login_required"),
        ):
            assert error in browser.get(spoiled).text or error in browser.history[-2].body
        assert "login_required" in fetch("GET", good).text


def test_a_minted_token_is_whatever_the_test_wants():
    with desk_at() as desk:

        def mint(**wish):
            return desk.post("mint", nonce="n", **wish).json()["id_token"]

        def verify(token):
            keys = jwt.PyJWKSet.from_dict(fetch("GET", desk.told["jwks_url"]).json())
            return jwt.decode(token, keys.keys[0], ["RS256"], audience=desk.told["client_id"])

        assert "exp" not in verify(mint(remove=["exp"], claims={"azp": "evil"}))
        assert jwt.get_unverified_header(mint(header={"alg": "none", "kid": None})) == {
            "typ": "JWT",
            "alg": "none",
        }
        assert mint(header={"alg": "none"}).endswith(".")
        for forged in (mint(key="other"), mint(header={"alg": "HS256"})):
            with pytest.raises(jwt.InvalidTokenError):
                verify(forged)
        old = mint()
        desk.post("rotate")
        for token in (old, mint(key="withdrawn")):
            with pytest.raises(jwt.InvalidSignatureError):
                verify(token)
        assert verify(mint())["nonce"] == "n"


def test_the_lms_runs_as_a_process_and_says_where_it_is():
    command = [sys.executable, "-m", "gateway.sandbox.lms", "--profile", "canvas"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())
        assert fetch("GET", told["jwks_url"]).json()["keys"][0]["kty"] == "RSA"
        process.terminate()
        assert process.wait(timeout=10) == 0
    assert told["issuer"] == "https://canvas.instructure.com"
    assert {"teacher", "amara", "course"} <= set(told["cast"])
