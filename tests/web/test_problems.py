"""A refusal comes in the caller's own format, with code, sentence, remedy and owner, and says no more than it may."""

from __future__ import annotations

import html
import json
import re

import pytest

from gateway import errors
from gateway.errors import VOCABULARY, Refused
from tests.worlds import READ


def test_oneroster_paths_answer_in_status_information(world):
    answer = world.client.get(f"{READ}/students")
    assert answer.status_code == 401
    assert answer.mimetype == "application/json"
    assert answer.json == {
        "imsx_codeMajor": "failure", "imsx_severity": "error",
        "imsx_description": answer.json["imsx_description"],
        "imsx_CodeMinor": {"imsx_codeMinorField": [
            {"imsx_codeMinorFieldName": "TargetEndSystem", "imsx_codeMinorFieldValue": "unauthorisedrequest"}
        ]},
    }  # fmt: skip
    assert "[AUT_TOKEN_INVALID]" in answer.json["imsx_description"]
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="schoolgate"'


def test_the_api_answers_in_problem_details(world):
    answer = world.client.get("/v1/transfers")
    assert answer.mimetype == "application/problem+json"
    assert answer.json["code"] == "AUT_TOKEN_INVALID"
    assert answer.json["status"] == answer.status_code == 401
    assert answer.json["type"] == "http://127.0.0.1:8080/errors/AUT_TOKEN_INVALID"
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    reason = errors.AUT_TOKEN_INVALID
    assert answer.json["decision"] == {"who_can_fix": str(reason.owner), "next_step": reason.remedy}


def test_whoever_types_the_address_is_told_where_to_go(world):
    page = world.client.get("/").text
    shown = [*re.findall(r'href="(/[^"]*)"', page), *re.findall(r"<code>http://127.0.0.1:8080(/[^<]*)</code>", page)]
    assert {"/family", "/lti/login", "/lti/launch", "/.well-known/jwks.json", "/oauth2/token", READ} <= set(shown)
    for path in sorted({path for path in shown if not path.startswith(("/static", READ))}):
        assert world.client.get(path).status_code != 404, path


def test_a_person_gets_a_page(world):
    answer = world.client.get("/lti/login")
    assert (answer.status_code, answer.mimetype) == (errors.LTI_LOGIN_ISS.http, "text/html")
    for text in (errors.LTI_LOGIN_ISS.sentence, errors.LTI_LOGIN_ISS.remedy, "LTI_LOGIN_ISS"):
        assert text in html.unescape(answer.text)
    assert answer.headers["X-Request-Id"] in answer.text


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "REQ_NOT_FOUND"), ("GET", "/v1/nothing", 404, "REQ_NOT_FOUND"),
        ("GET", f"{READ}/teapots", 404, "REQ_NOT_FOUND"), ("DELETE", f"{READ}/students", 405, "REQ_METHOD"),
        ("GET", "/v1/launches/exchange", 405, "REQ_METHOD"), ("PUT", "/family", 405, "REQ_METHOD"),
        ("GET", "/errors/NO_SUCH_CODE", 404, "REQ_NOT_FOUND"),
    ],
)  # fmt: skip
def test_what_is_not_there(world, method, path, status, code):
    answer = world.client.open(path, method=method)
    assert answer.status_code == status
    assert code in answer.text
    assert ("Allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/family", "/lti/launch", "/v1/launches/exchange", "/oauth2/token"])
def test_a_body_too_large_is_refused(world, path):
    answer = world.client.post(path, data=b"x" * (1 << 21), content_type="application/x-www-form-urlencoded")
    assert answer.status_code in (401, 413)
    assert "Traceback" not in answer.text


def test_a_body_too_large_for_the_application_is_refused(world):
    from tests.platforms import application

    app = application(world.standing(), "A")
    answer = app.call("POST", "/v1/launches/exchange", data=b"x" * (1 << 21), content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (413, "REQ_TOO_LARGE")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b'{"code":1}', b'{"code":"short"}', b'{"other":"x"}', b"\xff\xfe", b"{}"],
)
def test_a_body_that_does_not_fit_names_the_field_and_never_the_value(world, body):
    from tests.platforms import application

    app = application(world.standing(), "A")
    answer = app.call("POST", "/v1/launches/exchange", data=body, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (422, "REQ_INVALID")
    assert "short" not in answer.text


def test_the_unexpected_says_nothing(world):
    def broken() -> None:
        raise RuntimeError("the password is swordfish")

    world.app.add_url_rule("/v1/broken", "broken", broken)
    answer = world.client.get("/v1/broken")
    assert (answer.status_code, answer.json["code"]) == (500, "INT_UNEXPECTED")
    assert "swordfish" not in answer.text


def test_a_database_that_is_gone_is_said_and_nothing_else(fresh_database, settings, clock, cluster):
    from tests.conftest import world_on

    addresses = fresh_database()
    with world_on(addresses, settings, clock) as world:
        reader = world.standing().reader("A").sign_in()
        import psycopg

        with psycopg.connect(addresses.admin, autocommit=True) as admin:
            name = addresses.application.partition("@/")[2].partition("?")[0]
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            for answer in (reader.read("students"), world.client.get("/readyz")):
                assert answer.status_code == 503
                assert "INT_UNAVAILABLE" in answer.text
                assert answer.headers["Retry-After"]
            assert world.client.get("/healthz").json == {"alive": True}
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert reader.read("students").status_code == 200


@pytest.mark.parametrize("code", VOCABULARY)
def test_every_code_has_a_page(world, code):
    answer = world.client.get(f"/errors/{code}")
    assert answer.status_code == 200
    reason = VOCABULARY[code]
    said = html.unescape(answer.text).replace("<code>", "`").replace("</code>", "`")
    assert all(part in said for part in (reason.sentence, reason.remedy))


@pytest.mark.parametrize("code", VOCABULARY)
def test_every_reason_is_a_product(code):
    reason = VOCABULARY[code]
    assert reason.code == code
    assert reason.sentence.endswith(".")
    assert reason.remedy.endswith(".")
    assert 400 <= reason.http < 600
    assert reason.imsx in {
        "fullsuccess", "invalid_filter_field", "invalid_selection_field", "invaliddata", "unauthorisedrequest",
        "forbidden", "server_busy", "unknownobject", "internal_server_error",
    }  # fmt: skip


def test_details_of_a_refusal_do_not_leak_into_its_text():
    refused = Refused(errors.CON_REFUSED, person="p0")
    assert "p0" not in str(refused)


def test_openapi_describes_every_route_of_the_application(world):
    document = world.client.get("/v1/openapi.json").json
    assert document["openapi"].startswith("3.1")
    served = {str(r) for r in world.app.url_map.iter_rules() if str(r).startswith("/v1/")}
    assert {p.replace("{", "<").replace("}", ">") for p in document["paths"]} == served
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert "200" in operation["responses"]
            if path != "/v1/openapi.json":
                assert operation["security"], path
                assert "401" in operation["responses"]
    text = json.dumps(document)
    for reference in {part.partition('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]}:
        assert reference in document["components"]["schemas"]
