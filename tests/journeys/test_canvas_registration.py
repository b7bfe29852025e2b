"""A Canvas registers itself: at the sandbox's over loopback, and on the names and with the words of the real one."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.flows import registration_desk
from gateway.sandbox.products import PROFILES
from gateway.sandbox.wire import fetch
from mappings import lti_registration
from tests.journeys.test_grades import PUPILS
from tests.journeys.test_products import Make, at
from tests.platforms import Platform, application, refusal_of
from tests.registrants import PLATFORM, TOOL, Registrant, granted, pending
from tests.worlds import World

SHARED, SIGN_IN, SCHOOL = "https://canvas.instructure.com", "https://sso.canvaslms.com", "https://alder.instructure.com"
PRIVACY = "https://canvas.instructure.com/lti/privacy_level"


class Canvas(Make):
    """A Canvas of the sandbox that registers itself."""

    invited: Any = None

    def begun(self) -> str:
        """Where the Canvas sends its administrator's browser."""
        said = fetch("POST", f"{self.told['lms']}/_sandbox/registration", json={"address": self.invited.url}).json()
        return str(said["url"].removeprefix(self.world.office.settings.url))

    def invite(self) -> None:
        office, by, school = self.world.office, self.world.by, self.world.refs["A"]
        agreement = self.world.agreements[self.name]
        self.invited = registration_desk.invite(
            office, by, self.name, [school], agreement, ("canvas.instructure.com", "sso.canvaslms.com")
        )

    def register(self) -> str:
        self.invite()
        page = self.world.client.get(self.begun())
        assert page.status_code == 200, page.text
        self.landed = pending(self.world, self.invited.ref)
        done = registration_desk.approve(self.world.office, self.world.by, self.invited.ref, None)
        self.tool = fetch(
            "POST", f"{self.told['lms']}/_sandbox/activate", json={"client_id": self.landed.client_id}
        ).json()
        self.client_id = self.tool["client_id"]
        assert done.deployment
        return done.deployment


def test_from_the_invite_to_a_grade(addresses, settings):
    with at(addresses, settings, "canvas", Canvas) as make:
        columns = make.landed.said["columns"]
        assert columns["token_audience"] == make.told["token_url"]  # and not the host that it names as its server
        assert make.landed.said["differences"] == {}
        assert make.landed.said["granted"]["placements"] == [
            "LtiResourceLinkRequest at course_navigation", "LtiDeepLinkingRequest at assignment_selection",
            "LtiDeepLinkingRequest at link_selection",
        ]  # fmt: skip
        assert make.tool["places"]["LtiDeepLinkingRequest"] == ["assignment_selection", "link_selection"]
        assert (make.tool["privacy"], make.tool["deployment_id"]) == ("name_only", make.landed.deployment_id)
        make.begin()
        data = make.app.get(f"/v1/classes/{make.launch['class']['id']}/members").json["data"]
        both = {one["name"].split()[0].removeprefix("Given") for one in data if one["source"] == "both"}
        assert both == {"tA", *PUPILS}
        assert make.send(p0="proficient") == {"p0": ("sent", None)}
        assert make.visit("p0").status == 200


def test_what_it_says_against_us_is_shown_in_its_words_and_the_same_address_works_again(addresses, settings):
    with at(addresses, settings, "canvas", Canvas) as make:
        make.invite()
        make.post("habits", placements={"LtiResourceLinkRequest": ["course_navigation"],
                                        "LtiDeepLinkingRequest": ["editor_button"]})  # fmt: skip
        opened = make.begun()
        page = make.world.client.get(opened)
        assert (page.status_code, refusal_of(page)) == (422, "LTI_REG_ANSWER")
        assert "status 422" in page.text
        assert "placements/0` is not one of" in page.text
        for secret in ("registration_token", make.invited.url.partition("invite=")[2]):
            assert secret not in page.text
        waits = next(one for one in registration_desk.waiting(make.world.office, make.world.by)
                     if one.invite == make.invited.ref)  # fmt: skip
        assert (waits.state, waits.problem.partition(":")[0]) == ("open", "LTI_REG_ANSWER")
        assert "is not one of" in waits.problem
        make.post("habits", placements=PROFILES["canvas"].placements)
        assert make.world.client.get(opened).status_code == 200  # its token was not used up either


def test_a_tool_that_asks_for_nothing_is_sent_nobody(addresses, settings):
    """Why the level is asked for: what the sandbox sends where it is not, as Canvas's source has it."""
    with at(addresses, settings, "canvas", Canvas) as make:
        make.campus.tools[make.client_id].privacy = "anonymous"
        page = make.visit("p0")
        assert page.status == 403
        assert "/errors/LTI_PERSON" in page.body


# --- the real one's names and words --------------------------------------------------------------------


class Cloud(Registrant):
    """Canvas in the cloud: described at the host of all, signed in to at another, served at the school's."""

    CONFIGURATION = f"{SHARED}/api/lti/security/openid-configuration"

    def __init__(self, wire: Any, **changes: Any) -> None:
        super().__init__(wire, Platform(issuer=SHARED))
        self.endpoint = f"{SCHOOL}/api/lti/registrations"
        said = self.configuration(
            authorization_endpoint=f"{SIGN_IN}/api/lti/authorize_redirect", registration_endpoint=self.endpoint,
            jwks_uri=f"{SIGN_IN}/api/lti/security/jwks", token_endpoint=f"{SIGN_IN}/login/oauth2/token",
            authorization_server="sso.canvaslms.com", **{PLATFORM: {
                "product_family_code": "canvas", "version": "vCloud", "variables": ["Context.id.history"],
                "messages_supported": [
                    {"type": "LtiResourceLinkRequest", "placements": ["course_navigation"]},
                    {"type": "LtiDeepLinkingRequest", "placements": ["assignment_selection", "link_selection"]},
                ],
            }},
        )  # fmt: skip
        wire.get(self.CONFIGURATION, json=said | changes)

    def answers(self, status: int, body: Any, endpoint: str = "") -> Cloud:
        self.wire.upsert("POST", endpoint or self.endpoint, json=body, status=status)
        return self

    def grants(self, **more: Any) -> Cloud:
        def register(request: Any) -> tuple[int, dict[str, str], str]:
            self.asked.append(json.loads(request.body))
            return 200, {}, json.dumps(granted(self.lms)(self.asked[-1]) | more)

        self.wire.remove("POST", self.endpoint)
        self.wire.add_callback("POST", self.endpoint, callback=register)
        return self

    def opened(self, world: World, invited: Any, **changes: Any) -> Any:
        return self.opens(world, invited, **({"openid_configuration": self.CONFIGURATION} | changes))


@pytest.fixture
def school(public_world: World) -> World:
    public_world.standing()
    application(public_world, "A")
    return public_world


def test_in_the_cloud_no_host_is_named_by_hand(school, wire):
    lms = Cloud(wire).grants(deployment_id="7:8865aa05")
    invited = lms.invited(school, "A")
    assert lms.opened(school, invited).status_code == 200
    waits = pending(school, invited.ref)
    columns = waits.said["columns"]
    assert columns["hosts"] == ["alder.instructure.com", "canvas.instructure.com", "sso.canvaslms.com"]
    assert (columns["token_audience"], columns["product"]) == (f"{SIGN_IN}/login/oauth2/token", "canvas")
    assert waits.deployment_id == "7:8865aa05"
    assert registration_desk.approve(school.office, school.by, invited.ref, None).deployment


def test_its_vendor_members_are_asked_for_and_of_others_are_not(school, wire):
    lms = Cloud(wire).grants()
    lms.opened(school, lms.invited(school, "A"))
    tool = lms.asked[0][TOOL]
    assert tool[PRIVACY] == "name_only"
    menu, content = tool["messages"]
    assert menu == {"type": "LtiResourceLinkRequest", "label": "Schoolgate", "placements": ["course_navigation"],
                    "https://canvas.instructure.com/lti/course_navigation/default_enabled": False}  # fmt: skip
    assert content["placements"] == ["assignment_selection", "link_selection"]
    other = Registrant(wire).serve()
    other.opens(school, other.invited(school, "A"))
    assert "canvas" not in json.dumps(other.asked)
    assert "placements" not in json.dumps(other.asked)


@pytest.mark.parametrize(("claims", "elements", "level"), [
    (["iss", "sub"], [], "anonymous"), (["iss", "sub"], ["record.alias"], "name_only"),
    (["iss", "sub", "name"], ["person.name.full"], "name_only"),
    (["iss", "sub", "name", "email"], ["person.name.full", "person.email"], "public"),
])  # fmt: skip
def test_no_more_of_a_person_is_asked_for_than_is_of_use(claims, elements, level):
    assert lti_registration.privacy_level(claims, elements) == level


@pytest.mark.parametrize("changes", [
    {"jwks_uri": "https://sso.evilcanvaslms.com/jwks"}, {"token_endpoint": "https://canvaslms.com.evil.example/token"},
    {"token_endpoint": "https://sso.canvaslms.com:8443/token"}, {"registration_endpoint": "https://evil.example/r"},
    {"authorization_endpoint": "https://canvaslms.com@evil.example/auth"},
])  # fmt: skip
def test_nothing_beside_its_makers_domains_is_believed(school, wire, changes):
    lms = Cloud(wire, **changes).grants()
    assert refusal_of(lms.opened(school, lms.invited(school, "A"))) in ("LTI_REG_ENDPOINT", "LTI_REG_CONFIGURATION")
    assert lms.asked == []


def test_whoever_only_says_to_be_a_canvas_is_believed_on_its_own_host_alone(school, wire):
    lms = Registrant(wire)
    told = {"product_family_code": "canvas", "messages_supported": [{"type": "LtiResourceLinkRequest"}]}
    lms.serve(token_endpoint=f"{SIGN_IN}/login/oauth2/token", **{PLATFORM: told})
    assert refusal_of(lms.opens(school, lms.invited(school, "A"))) == "LTI_REG_ENDPOINT"


def test_a_configuration_that_is_shown_to_a_token_only_gets_it(school, wire):
    lms = Cloud(wire).grants()
    said = next(one.body for one in wire.registered() if one.url == lms.CONFIGURATION)
    seen: list[str | None] = []

    def shown(request: Any) -> tuple[int, dict[str, str], Any]:
        seen.append(request.headers.get("Authorization"))
        return (200, {}, said) if seen[-1] else (401, {}, "{}")

    wire.remove("GET", lms.CONFIGURATION)
    wire.add_callback("GET", lms.CONFIGURATION, callback=shown)
    assert lms.opened(school, lms.invited(school, "A")).status_code == 200
    assert seen == [None, f"Bearer {lms.token}"]
    assert refusal_of(lms.opened(school, lms.invited(school, "A"), registration_token=None)) == "LTI_REG_CONFIGURATION"
    assert seen[2:] == [None]


@pytest.mark.parametrize(("body", "shown"), [
    ({"errors": ["value at `/messages/0` is not one of: [1]"]}, "value at `/messages/0` is not one of: [1]"),
    ({"errorMessage": "JWT did not include expected contents"}, "JWT did not include expected contents"),
    ({"errors": {"scopes": [{"message": "Invalid <b>scopes\u202e"}]}}, "Invalid &lt;b&gt;scopes\\u202e"),
])  # fmt: skip
def test_what_it_answers_is_told_as_it_is(school, wire, body, shown):
    lms = Cloud(wire).answers(422, body)
    invited = lms.invited(school, "A")
    page = lms.opened(school, invited).text
    assert "status 422" in page
    assert shown in page.replace("&#34;", '"')
    row = next(one for one in registration_desk.waiting(school.office, school.by) if one.invite == invited.ref)
    assert row.problem.startswith("LTI_REG_ANSWER: the LMS answered with status 422")


def test_neither_its_token_nor_what_is_ours_is_told_with_it(school, wire):
    lms = Cloud(wire)
    invited = lms.invited(school, "A")
    for told in (lms.token, f"...{lms.token[-12:]}", {"x": [lms.token[:12]]}):
        page = lms.answers(422, {"errors": told}).opened(school, invited).text
        assert "status 422" in page
        assert lms.token[-8:] not in page
        assert lms.token[:8] not in page
    with school.office.database.open_district(school.by.district) as session:
        (row,) = session.rows("SELECT key_set, problem FROM lms_invite WHERE district = %(district)s")
    page = lms.answers(422, {"errors": f"bad {row.key_set}", "long": "x" * 2000}).opened(school, invited).text
    assert (row.key_set in page, "bad ..." in page, "x" * 400 in page) == (False, True, False)
    assert urlsplit(invited.url).query.partition("=")[2] not in page
