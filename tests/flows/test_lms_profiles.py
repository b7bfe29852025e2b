"""Registering an LMS by its make: what is filled in, what wins, what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import Refused
from gateway.flows import onboarding
from gateway.store import directory

MOODLE = {"site": "https://moodle.example", "client_id": "abc", "deployment_id": "1"}


@pytest.fixture
def public(settings):
    return replace(settings, url="https://gateway.example", sandbox=False)


def refusal(settings, name, **said):
    with pytest.raises(Refused) as refused:
        onboarding.complete(settings, name, said)
    return refused.value.reason.code, str(refused.value.detail)


def test_what_a_make_is_known_by_is_filled_in(public):
    assert onboarding.complete(public, "moodle", MOODLE) == {
        "issuer": "https://moodle.example", "auth_url": "https://moodle.example/mod/lti/auth.php",
        "token_url": "https://moodle.example/mod/lti/token.php", "jwks_url": "https://moodle.example/mod/lti/certs.php",
        "hosts": ("moodle.example",), "client_id": "abc", "deployment_id": "1", "product": "moodle",
    }  # fmt: skip
    learn = onboarding.complete(public, "blackboard", {**MOODLE, "client_id": "a/../b"})
    assert learn["jwks_url"].endswith("/applications/a%2F..%2Fb/jwks.json")
    assert learn["token_audience"] == learn["token_url"]
    assert learn["hosts"] == ("moodle.example",)
    edx = {"site": "edx.example", "client_id": "u", "registration_id": "9f-1"}
    assert onboarding.complete(public, "openedx", edx)["token_url"] == (
        "https://edx.example/api/lti_consumer/v1/token/9f-1"
    )
    assert onboarding.complete(public, "openedx", edx)["deployment_id"] == "1"
    schoology = onboarding.complete(public, "schoology", {"client_id": "1", "deployment_id": "2"})
    assert schoology["hosts"] == ("lti-service.svc.schoology.com",)


def test_what_a_person_types_wins(public):
    own = {"issuer": "https://canvas.own.example", "token_url": "https://canvas.own.example/t", "token_audience": "aud"}
    found = onboarding.complete(public, "canvas", {**MOODLE, **own, "hosts": ("Files.Example",)})
    assert {key: found[key] for key in own} == own
    assert found["auth_url"] == "https://sso.canvaslms.com/api/lti/authorize_redirect"
    assert found["hosts"] == ("moodle.example", "files.example")


@pytest.mark.parametrize("site", [
    "Moodle.Example", " https://moodle.example/ ", "https://MOODLE.example",
])  # fmt: skip
def test_an_address_is_taken_as_people_copy_it(public, site):
    assert onboarding.complete(public, "moodle", {**MOODLE, "site": site})["issuer"] == "https://moodle.example"


def test_what_is_missing_is_named_by_its_option(public):
    assert refusal(public, "moodle") == ("REQ_INVALID", "Moodle needs --site, --client-id, --deployment-id")
    assert refusal(public, "sakai", site="https://s.example", client_id="c")[1] == "Sakai needs --registration-id"
    assert refusal(public, "canvas", client_id="c", deployment_id="d")[1] == "Canvas needs --site"
    everything = "--client-id, --deployment-id, --issuer, --auth-url, --token-url, --jwks-url"
    assert refusal(public, "generic")[1] == f"Any other LMS needs {everything}"


@pytest.mark.parametrize("site", [
    "https://user@moodle.example", "https://moodle.example?x=1", "https://moodle.example/#a", "https://{client_id}",
    "https://moodle .example", "https://moodle\u202e.example", "https://m\u00fcnchen.example", "https://\\evil",
    "https://moodle.example:port", "https://",
])  # fmt: skip
def test_an_address_that_is_more_than_one_is_refused(public, site):
    assert refusal(public, "moodle", **{**MOODLE, "site": site})[0] in ("REQ_INVALID", "SRC_ADDRESS_REFUSED")


@pytest.mark.parametrize("site", ["http://moodle.example", "http://127.0.0.1:8000", "ftp://moodle.example"])
def test_an_address_without_tls_is_refused(public, site):
    assert refusal(public, "moodle", **{**MOODLE, "site": site})[0] == "SRC_ADDRESS_REFUSED"


@pytest.mark.parametrize("name", ["client_id", "deployment_id"])
@pytest.mark.parametrize("value", ["x\ny", "é", "x" * 256, "  "])
def test_an_id_that_is_none_is_refused(public, name, value):
    assert refusal(public, "moodle", **{**MOODLE, name: value})[0] == "REQ_INVALID"


def test_what_a_make_does_not_take_is_not_taken_in_silence(public):
    said = {"client_id": "1", "deployment_id": "2"}
    assert refusal(public, "schoology", site="https://x.example", **said)[1] == "Schoology takes no --site"
    assert refusal(public, "moodle", registration_id="7", **MOODLE)[1] == "Moodle takes no --registration-id"
    with pytest.raises(Refused, match="Schoology takes no --site"):
        onboarding.sheet(public, "schoology", "https://x.example")


def test_the_sheet_is_whole_without_a_site(public):
    found = onboarding.sheet(public, "sakai", None)
    assert [row["option"] for row in found["bring"]] == ["--site", "--client-id", "--registration-id"]
    (token,) = [row["value"] for row in found["filled"] if row["name"] == "token_url"]
    assert token == "{site}/imsblis/lti13/token/{registration_id}"
    typed = {row["label"]: row["value"] for row in found["type"]}
    assert typed["LTI 1.3 Tool Keyset URL"] == "https://gateway.example/.well-known/jwks.json"
    assert found["next"][:6] == ["schoolgate", "lms", "add", "VENDOR", "--product", "sakai"]


def test_a_second_site_of_one_client_id_is_served_and_another_address_is_not(world):
    world.onboard("A")
    onboarding.add_vendor(world.office, world.by, "Canvas Inc", "lms", "c@example.org", None)

    def add(deployment, site, **more):
        said = {"site": site, "client_id": f"c{world.by.district}", "deployment_id": deployment, **more}
        whole = onboarding.Lms(**onboarding.complete(world.office.settings, "canvas", said))
        return onboarding.add_lms(world.office, world.by, "Canvas Inc", whole, [world.refs["A"]])

    add("1", "https://north.example")
    add("2", "https://south.example")
    with world.office.database.open_district(world.by.district) as session:
        hosts = {tuple(row.hosts) for row in directory.lms(session)}
    assert hosts == {("north.example", "south.example", "sso.canvaslms.com")}
    with pytest.raises(Refused, match="another token_url, token_audience"):
        add("3", "https://east.example", token_url="https://evil.example/token")
