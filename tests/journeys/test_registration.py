"""An LMS registers itself: from the invite to the first launch, an update, a rejection, a key that is followed."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.flows import launch, onboarding, registration_desk
from gateway.identity import keys
from gateway.jobs import make_worker
from gateway.sandbox import lms as sandbox
from gateway.sandbox.loopback import running
from gateway.sandbox.products import PROFILES
from gateway.sandbox.wire import fetch
from gateway.store import credentials
from mappings import lti_groups, lti_notices
from tests.platforms import HOST, Platform, application, refusal_of
from tests.registrants import PLATFORM, TOOL, Registrant, granted, pending, refused_with
from tests.test_cli import desk
from tests.worlds import World

__all__ = ["desk"]
READONLY = "https://purl.imsglobal.org/spec/lti-ags/scope/lineitem.readonly"


@pytest.fixture
def school(public_world: World) -> World:
    public_world.standing()
    application(public_world, "A", "B")
    return public_world


def grants(world: World, org: str) -> list[tuple[str, str]]:
    return [(one["id"], one["outcome"]) for one in world.ledger(org) if one["type"] == "grant"]


def test_from_the_invite_to_the_first_launch(school, wire):
    lms = Registrant(wire).serve()
    lms.lms.serve_keys(wire)
    invited = lms.invited(school, "A")
    page = lms.opens(school, invited)
    assert page.status_code == 200
    assert invited.ref in page.text
    assert lms.tokens == [f"Bearer {lms.token}"]
    waits = pending(school, invited.ref)
    assert (waits.state, waits.client_id, waits.deployment_id) == ("pending", lms.lms.client_id, "1")
    assert grants(school, "A") == []
    before = lms.lms.login(school).answer
    assert (before.status_code, refusal_of(before)) == (403, "LTI_ISSUER_UNKNOWN")

    done = registration_desk.approve(school.office, school.by, invited.ref, None)
    assert grants(school, "A") == [(done.registration, "accepted")]
    assert grants(school, "B") == []
    school.clock.forward(minutes=1)  # a process remembers for half a minute what it read
    platform = replace(lms.lms, deployment=done.deployment, canaries=school.canaries, places=(school.places["A"],))
    platform.link(school, "A", "kA")
    assert platform.launch(school, platform.message("tA", "Instructor")).status_code == 303


def test_what_is_asked_for_is_what_is_needed_and_no_more(school, wire):
    lms = Registrant(wire).serve()
    lms.opens(school, lms.invited(school, "A"))
    (asked,) = lms.asked
    url = school.office.settings.url
    keys_at = asked.pop("jwks_uri")
    assert keys_at.startswith(f"{url}/lti/keys/re_")
    scopes = set(asked.pop("scope").split())
    assert {scope.rsplit("/", 1)[-1] for scope in scopes} == {
        "contextmembership.readonly", "lineitem", "result.readonly", "score",
    }  # fmt: skip
    tool = asked.pop(TOOL)
    assert asked == {
        "application_type": "web", "response_types": ["id_token"], "grant_types": ["implicit", "client_credentials"],
        "initiate_login_uri": f"{url}/lti/login", "redirect_uris": [f"{url}/lti/launch"], "client_name": "Schoolgate",
        "token_endpoint_auth_method": "private_key_jwt",
    }  # fmt: skip
    assert tool["domain"] == "gateway.example"
    assert tool["claims"] == ["iss", "sub", "name", "given_name", "family_name"]
    assert [message["type"] for message in tool["messages"]] == ["LtiResourceLinkRequest", "LtiDeepLinkingRequest"]
    assert tool["custom_parameters"] == {
        "context_id_history": "$Context.id.history", "resource_link_id_history": "$ResourceLink.id.history",
    }  # fmt: skip
    shown = school.client.get(urlsplit(keys_at).path).json["keys"]
    assert [set(key) for key in shown] == [{"kty", "n", "e", "kid", "alg", "use"}]


def test_groups_are_asked_for_where_an_agreement_has_use_for_them(school, wire):
    lms = Registrant(wire).serve(scopes_supported=[READONLY, lti_groups.SCOPE])
    lms.opens(school, lms.invited(school, "A"))
    assert lms.asked[0]["scope"] == lti_groups.SCOPE
    bare = World(school.office, school.clock).onboard("A")
    lms = Registrant(wire).serve(scopes_supported=[READONLY, lti_groups.SCOPE])
    lms.opens(bare, lms.invited(bare, "A"))
    assert lms.asked[0]["scope"] == ""


def test_to_be_told_is_asked_for_where_the_lms_sends_notices(public_world, wire):
    public_world.onboard("A")
    lms = Registrant(wire).serve(scopes_supported=[READONLY, lti_notices.SCOPE])
    lms.opens(public_world, lms.invited(public_world, "A"))
    assert lms.asked[0]["scope"] == lti_notices.SCOPE


def test_without_an_application_no_name_is_asked_for(public_world, wire):
    public_world.onboard("A")
    lms = Registrant(wire).serve()
    lms.opens(public_world, lms.invited(public_world, "A"))
    assert lms.asked[0][TOOL]["claims"] == ["iss", "sub"]


def test_what_the_lms_does_not_offer_is_not_asked_for(public_world, wire):
    public_world.onboard("A")
    told = {"product_family_code": "own", "messages_supported": [{"type": "LtiResourceLinkRequest"}]}
    lms = Registrant(wire).serve(scopes_supported=[READONLY], claims_supported=None, **{PLATFORM: told})
    assert lms.opens(public_world, lms.invited(public_world, "A")).status_code == 200
    (asked,) = lms.asked
    assert asked["scope"] == ""
    assert asked[TOOL]["custom_parameters"] == {}
    assert asked[TOOL]["messages"] == [{"type": "LtiResourceLinkRequest"}]


def test_what_the_lms_drops_adds_changes_and_leaves_out_is_told(school, wire):
    def odd(asked):
        tool = asked[TOOL] | {"messages": asked[TOOL]["messages"][1:], "domain": "elsewhere.example"}
        tool["claims"] = [*tool["claims"], "email"]
        del tool["custom_parameters"]
        return asked | {"client_id": "odd", "scope": f"{asked['scope']} {READONLY}", TOOL: tool, "logo_uri": 7}

    lms = Registrant(wire).serve(odd)
    invited = lms.invited(school, "A")
    page = lms.opens(school, invited)
    found = pending(school, invited.ref).said["differences"]
    assert found == {
        "dropped": ["messages: LtiResourceLinkRequest"], "added": [f"scopes: {READONLY}", "claims: email"],
        "changed": ["domain"], "unsaid": ["custom"],
    }  # fmt: skip
    for word in ("messages: LtiResourceLinkRequest", READONLY, "claims: email", "custom", "no deployment id"):
        assert word in page.text


def test_the_page_is_readable_without_a_script_and_runs_only_its_own(school, wire):
    lms = Registrant(wire).serve()
    page = lms.opens(school, lms.invited(school, "A"))
    assert "; script-src 'self'; " in page.headers["Content-Security-Policy"]
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.text.count("<script") == 1
    assert 'src="/static/close.js"' in page.text
    assert "org.imsglobal.lti.close" in school.client.get("/static/close.js").text
    for secret in (lms.token, "invite=", lms.asked[0]["jwks_uri"].rpartition("re_")[2]):
        assert secret not in page.text


def test_a_deployment_id_that_the_lms_did_not_give_is_said_at_approval(school, wire):
    lms = Registrant(wire)
    invited = lms.serve(granted(lms.lms)).invited(school, "A", "B")
    lms.opens(school, invited)
    office, by = school.office, school.by
    assert refused_with(registration_desk.approve, office, by, invited.ref, None) == "REQ_INVALID"
    assert refused_with(registration_desk.approve, office, by, invited.ref, "a\nb") == "REQ_INVALID"
    assert grants(school, "A") == []
    done = registration_desk.approve(office, by, invited.ref, "d-7")
    assert grants(school, "A") == grants(school, "B") == [(done.registration, "accepted")]
    with office.database.open_identity() as session:
        row = session.row("SELECT deployment_id FROM deployment WHERE deployment = %(d)s", d=done.deployment)
    assert row.deployment_id == "d-7"
    assert refused_with(registration_desk.approve, office, by, invited.ref, "d-7") == "REQ_CONFLICT"
    assert refused_with(registration_desk.reject, office, by, invited.ref) == "REQ_CONFLICT"


def test_another_deployment_id_than_the_lms_gave_is_a_contradiction(school, wire):
    lms = Registrant(wire).serve()
    invited = lms.invited(school, "A")
    lms.opens(school, invited)
    assert refused_with(registration_desk.approve, school.office, school.by, invited.ref, "2") == "REQ_CONTRADICTORY"


def test_a_rejected_registration_leaves_nothing_but_its_record(school, wire):
    lms = Registrant(wire).serve()
    invited = lms.invited(school, "A")
    lms.opens(school, invited)
    key_set = urlsplit(lms.asked[0]["jwks_uri"]).path
    registration = pending(school, invited.ref).registration
    registration_desk.reject(school.office, school.by, invited.ref)
    assert grants(school, "A") == [(registration, "refused")]
    assert refusal_of(lms.lms.login(school).answer) == "LTI_ISSUER_UNKNOWN"
    assert school.client.get(key_set).status_code == 404
    assert refused_with(registration_desk.approve, school.office, school.by, invited.ref, None) == "REQ_CONFLICT"
    again = lms.invited(school, "A")
    assert lms.opens(school, again).status_code == 200
    assert not pending(school, again.ref).said["update"]


def test_whoever_does_not_administer_the_district_decides_nothing(school, wire):
    lms = Registrant(wire).serve()
    invited = lms.invited(school, "A")
    lms.opens(school, invited)
    onboarding.add_staff(school.office, school.by, "S. Desk", "school_admin", school.refs["A"])
    other = replace(school.by, district_roles=frozenset({"privacy_officer"}))
    for act in (
        lambda: registration_desk.approve(school.office, other, invited.ref, None),
        lambda: registration_desk.reject(school.office, other, invited.ref),
        lambda: registration_desk.waiting(school.office, other),
        lambda: registration_desk.invite(school.office, other, "x", (), None, ()),
        lambda: registration_desk.update(school.office, other, "x", {}, ()),
        lambda: registration_desk.rotate(school.office, other, "x"),
    ):
        assert refused_with(act) == "ACT_NOT_STAFF"


def test_nobody_of_another_district_sees_or_decides(school, wire):
    lms = Registrant(wire).serve()
    invited = lms.invited(school, "A")
    lms.opens(school, invited)
    other = World(school.office, school.clock)
    assert registration_desk.waiting(other.office, other.by) == []
    assert refused_with(registration_desk.approve, other.office, other.by, invited.ref, None) == "REQ_UNKNOWN"
    assert refused_with(registration_desk.reject, other.office, other.by, invited.ref) == "REQ_UNKNOWN"


# --- updates -----------------------------------------------------------------------------------------


def test_an_update_is_a_difference_that_takes_effect_at_approval(school, wire):
    lms = Registrant(wire, Platform().register(school, "A")).serve(token_endpoint=f"{HOST}/new-token")
    lms.lms.serve_keys(wire).link(school, "A", "kA")
    invited = lms.invited(school, "A")
    page = lms.opens(school, invited)
    assert "The change waits" in page.text
    waits = pending(school, invited.ref)
    assert (waits.said["update"], waits.said["old"]["token_url"]) == (True, f"{HOST}/token")
    assert lms.lms.launch(school, lms.lms.message("tA", "Instructor")).status_code == 303
    assert _registration(school, lms).token_url == f"{HOST}/token"
    shown = school.client.get(urlsplit(lms.asked[0]["jwks_uri"]).path).json["keys"]
    ours = school.client.get(f"/lti/keys/{waits.registration}.json").json["keys"]
    assert shown == ours

    done = registration_desk.approve(school.office, school.by, invited.ref, None)
    assert (done.update, done.deployment) == (True, None)
    now = _registration(school, lms)
    assert (now.token_url, now.token_audience, now.product) == (f"{HOST}/new-token", f"{HOST}/new-token", "moodle")
    assert grants(school, "A") == [(done.registration, "accepted")]


def _registration(world: World, lms: Registrant):
    with world.office.database.open_identity() as session:
        return session.row("SELECT * FROM registration WHERE client_id = %(c)s", c=lms.lms.client_id)


def test_a_deployment_that_waits_is_forgotten_when_an_update_brings_it(school, wire):
    lms = Registrant(wire).serve()
    lms.lms.serve_keys(wire)
    first = lms.invited(school, "A")
    lms.opens(school, first)
    registration_desk.approve(school.office, school.by, first.ref, None)
    school.clock.forward(minutes=1)
    second = replace(lms.lms, deployment_id="2", canaries=school.canaries, places=(school.places["A"],))
    assert refusal_of(second.launch(school, second.message("tA"))) == "LTI_DEPLOYMENT"
    assert [one.row.deployment_id for one in launch.waiting(school.office, school.by)] == ["2"]
    lms.serve(granted(lms.lms, deployment_id="2"))
    update = lms.invited(school, "A")
    lms.opens(school, update)
    registration_desk.approve(school.office, school.by, update.ref, None)
    assert launch.waiting(school.office, school.by) == []


def test_a_rejected_update_changes_nothing(school, wire):
    lms = Registrant(wire, Platform().register(school, "A")).serve(token_endpoint=f"{HOST}/new-token")
    before = _registration(school, lms)
    invited = lms.invited(school, "A")
    lms.opens(school, invited)
    registration_desk.reject(school.office, school.by, invited.ref)
    assert _registration(school, lms) == before
    assert school.client.get(f"/lti/keys/{before.registration}.json").status_code == 200


def test_an_update_of_what_has_changed_since_is_not_applied(school, wire):
    lms = Registrant(wire, Platform().register(school, "A")).serve(token_endpoint=f"{HOST}/new-token")
    invited = lms.invited(school, "A")
    lms.opens(school, invited)
    registration_desk.update(school.office, school.by, lms.lms.deployment, {"auth_url": f"{HOST}/sso"}, ())
    assert refused_with(registration_desk.approve, school.office, school.by, invited.ref, None) == "REQ_CONFLICT"
    assert _registration(school, lms).token_url == f"{HOST}/token"


def test_an_update_of_what_still_waits_itself_waits_for_it(school, wire):
    lms = Registrant(wire).serve()
    first, second = lms.invited(school, "A"), lms.invited(school, "A")
    lms.opens(school, first)
    lms.opens(school, second)
    assert pending(school, second.ref).said["update"]
    assert refused_with(registration_desk.approve, school.office, school.by, second.ref, None) == "REQ_CONFLICT"
    registration_desk.approve(school.office, school.by, first.ref, None)
    registration_desk.approve(school.office, school.by, second.ref, None)
    assert refused_with(registration_desk.approve, school.office, school.by, second.ref, None) == "REQ_CONFLICT"


def test_keys_from_an_address_that_was_replaced_verify_nothing_more(school, wire):
    lms = Platform().register(school, "A").link(school, "A", "kA").serve_keys(wire)
    assert lms.launch(school, lms.message("tA", "Instructor")).status_code == 303
    moved = f"{HOST}/moved"
    wire.get(moved, status=500)
    assert registration_desk.update(school.office, school.by, lms.deployment, {"jwks_url": moved}, ()) == ["jwks_url"]
    assert [outcome for _, outcome in grants(school, "A")] == ["recorded"]
    school.clock.forward(minutes=6)  # a process remembers keys for five minutes
    answer = lms.launch(school, lms.message("tA", "Instructor"))
    assert refusal_of(answer) == "LTI_KEYS_UNREACHABLE"


def test_a_change_by_hand_moves_the_hosts_with_the_addresses(school, wire):
    lms = Platform().register(school, "A")
    office, by = school.office, school.by
    changed = registration_desk.update(office, by, lms.deployment, {"token_url": "https://auth.example/token"}, ())
    assert changed == ["token_url", "token_audience", "hosts"]
    row = _registration(school, Registrant(wire, lms))
    assert (row.hosts, row.token_audience) == (["auth.example", "lms.example"], "https://auth.example/token")
    registration_desk.update(office, by, lms.deployment, {"token_audience": "urn:x"}, ("api.example",))
    row = _registration(school, Registrant(wire, lms))
    assert (row.hosts, row.token_audience) == (["api.example", "auth.example", "lms.example"], "urn:x")
    for said, hosts, code in (
        ({}, (), "REQ_INVALID"), ({"token_url": "http://lms.example/t"}, (), "SRC_ADDRESS_REFUSED"),
        ({}, ("https://x",), "REQ_INVALID"), ({}, ("a/b",), "REQ_INVALID"),
    ):  # fmt: skip
        assert refused_with(registration_desk.update, office, by, lms.deployment, said, hosts) == code
    assert refused_with(registration_desk.update, office, by, "nowhere", {}, ()) == "REQ_UNKNOWN"


# --- keys --------------------------------------------------------------------------------------------


def _kids(world: World, path: str) -> set[str]:
    return {key["kid"] for key in world.client.get(path).json["keys"]}


def test_a_key_is_published_for_two_days_before_it_signs_and_two_days_after(school, wire):
    lms = Registrant(wire, Platform().register(school, "A"))
    registration = _registration(school, lms).registration
    path = f"/lti/keys/{registration}.json"

    def signs() -> str:
        with school.office.database.open_identity() as session:
            return credentials.signing_kid(session, registration, school.clock.at)

    first = signs()
    assert _kids(school, path) == {first}
    at = registration_desk.rotate(school.office, school.by, lms.lms.deployment)
    assert (at - school.clock.at).total_seconds() == 48 * 3600
    (second,) = _kids(school, path) - {first}
    assert {first, second} <= _kids(school, "/.well-known/jwks.json")
    assert refused_with(registration_desk.rotate, school.office, school.by, lms.lms.deployment) == "REQ_CONFLICT"
    for hours, by, published in (
        (47.9, first, {first, second}), (0.2, second, {first, second}), (47.8, second, {first, second}),
        (0.2, second, {second}),
    ):  # fmt: skip
        school.clock.forward(hours=hours)
        assert (signs(), _kids(school, path)) == (by, published)


def test_the_worker_rotates_keys_that_are_old(school, wire):
    lms = Registrant(wire, Platform().register(school, "A"))
    path = f"/lti/keys/{_registration(school, lms).registration}.json"
    registration_desk.rotate_old(school.office)
    assert len(_kids(school, path)) == 1
    school.clock.forward(days=keys.KEY_AGE.days + 1)
    assert registration_desk.rotate_old(school.office) >= 1
    assert len(_kids(school, path)) == 2
    assert registration_desk.rotate_old(school.office) == 0
    assert "rotate_keys" in make_worker(school.parts).tasks


def test_a_key_set_is_asked_for_again_by_its_tag(school, wire):
    registration = _registration(school, Registrant(wire, Platform().register(school, "A"))).registration
    for path in (f"/lti/keys/{registration}.json", "/.well-known/jwks.json"):
        answer = school.client.get(path)
        assert answer.headers["Cache-Control"] == "public, max-age=600"
        same = school.client.get(path, headers={"If-None-Match": answer.headers["ETag"]})
        assert (same.status_code, same.data) == (304, b"")
        assert same.headers["ETag"] == answer.headers["ETag"]
        assert school.client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    for nobody in ("re_0000000000000000", "x", "%00"):
        answer = school.client.get(f"/lti/keys/{nobody}.json")
        assert (answer.status_code, answer.json["code"]) == (404, "REQ_NOT_FOUND")


# --- over loopback, and at the command line ----------------------------------------------------------


@pytest.mark.parametrize("profile", ["plain", "moodle", "canvas"])
def test_an_lms_of_the_sandbox_registers_itself_over_loopback(world, profile):
    world.onboard("A")
    application(world, "A")
    onboarding.add_vendor(world.office, world.by, "An LMS", "lms", "lms@example.org", None)
    hosts = ("canvas.instructure.com",) if profile == "canvas" else ()
    invited = registration_desk.invite(world.office, world.by, "An LMS", (), None, hosts)
    with running(lambda url: sandbox.create_app(url, profile)) as lms:
        begun = fetch("POST", f"{lms}/_sandbox/registration", json={"address": invited.url}).json()
        answer = world.client.get(begun["url"].removeprefix(world.office.settings.url))
        assert answer.status_code == 200, answer.text
        waits = pending(world, invited.ref)
        assert waits.said["columns"]["hosts"] == sorted({*hosts, urlsplit(lms).netloc})
        again = fetch("POST", lms + PROFILES[profile].register_at, json={},
                      headers={"Authorization": f"Bearer {begun['token']}"})  # fmt: skip
        assert again.json()["error"] == "token_already_used"
        tool = fetch("POST", f"{lms}/_sandbox/activate", json={"client_id": waits.client_id}).json()
    assert (waits.deployment_id, tool["redirect_uris"]) == (tool["deployment_id"], [world.parts.launch_url])
    found = waits.said["differences"]
    if profile == "moodle":
        assert found["dropped"] == ["messages: LtiResourceLinkRequest"]
        assert f"scopes: {READONLY}" in found["added"]
        assert "resource_link_id_history" not in tool["custom"]
    else:
        assert found == {}
    assert "context_id_history" in tool["custom"]
    done = registration_desk.approve(world.office, world.by, invited.ref, None)
    kept = _of(world, done.registration)
    assert (kept.status, kept.product) == ("active", profile if profile != "plain" else "generic")


def _of(world: World, registration: str):
    with world.office.database.open_identity() as session:
        return session.row("SELECT * FROM registration WHERE registration = %(r)s", r=registration)


def test_at_the_command_line(desk):
    desk.onboard()
    desk.said("vendor", "add", "An LMS", "--category", "lms", "--contact", "c@example.org")
    invited = desk.said("lms", "invite", "An LMS", "--school", "School A", "--host", "LMS.example")
    assert parse_qs(urlsplit(invited["address"]).query)["invite"]
    (row,) = desk.said("lms", "pending")
    assert (row["ref"], row["state"]) == (invited["invite"], "open")
    assert "attempt that fails can be repeated" in " ".join(desk.run("lms", "invite", "An LMS").stdout.split())
    for command in (("approve", invited["invite"]), ("reject", "inv_none"), ("approve", "inv_none")):
        done = desk.run("lms", *command)
        assert (done.exit_code, "REQ_UNKNOWN" in done.stderr) == (1, True)
    assert "REQ_INVALID" in desk.run("lms", "invite", "An LMS", "--host", "a/b").stderr
    assert "AGR_NONE" in desk.run("lms", "invite", "An LMS", "--agreement", "ag_none").stderr


def test_what_waits_is_shown_approved_changed_and_rotated_at_the_command_line(desk):
    desk.onboard()
    desk.said("vendor", "add", "An LMS", "--category", "lms", "--contact", "c@example.org")
    first, second = (desk.said("lms", "invite", "An LMS") for _ in range(2))
    with running(lambda url: sandbox.create_app(url, "moodle")) as lms:
        _open(desk, lms, first["address"])
        waits = next(r for r in desk.said("lms", "pending") if r["ref"] == first["invite"])
        assert waits["state"] == "waits, new"
        assert "dropped messages: LtiResourceLinkRequest" in waits["differences"]
        _open(desk, lms, second["address"])
    assert "is rejected" in desk.run("lms", "reject", second["invite"]).stdout
    done = desk.run("lms", "approve", first["invite"])
    assert "The LMS is registered." in done.stdout
    (row,) = desk.said("lms", "list")
    moved = desk.said("lms", "update", row["deployment"], "--auth-url", "https://lms.example/auth")
    assert moved == {"changed": ["auth_url"]}
    rotated = desk.said("lms", "rotate", row["deployment"])
    assert "/lti/keys/re_" in rotated["jwks_url"]
    assert "REQ_CONFLICT" in desk.run("lms", "rotate", row["deployment"]).stderr
    assert desk.said("lms", "pending") == []


def _open(desk, lms: str, address: str) -> None:
    """An administrator's browser opens the address, at a gateway on the same installation."""
    from gateway.app import create_app, make_parts
    from gateway.office import open_office

    begun = fetch("POST", f"{lms}/_sandbox/registration", json={"address": address}).json()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in desk.environment.items():
            patch.setenv(name, value)
        with open_office(create=False) as office:
            answer = create_app(make_parts(office)).test_client().get(begun["url"].partition(":8080")[2])
    assert answer.status_code == 200, answer.text
