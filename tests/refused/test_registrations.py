"""Registrations that must be refused: invites, configurations, addresses and answers, each for its own reason.

What was connected to is judged by listeners: every dial of the process but those to the test's own peer ends there.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import responses
from flask import Flask, Response, request
from structlog.testing import capture_logs

from gateway.flows import onboarding, registration, registration_desk
from gateway.sandbox.loopback import running
from tests.connectors.test_egress_addresses import HOSTILE_ADDRESSES, NOT_LOOPBACK, SPELLINGS, TRICKS
from tests.connectors.trap import Trap
from tests.platforms import HOST, Platform, refusal_of
from tests.registrants import CONFIGURATION, ENDPOINT, PLATFORM, TOOL, Registrant, granted, pending, refused_with
from tests.worlds import World

ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri", "registration_endpoint")


@pytest.fixture
def school(public_world: World) -> World:
    return public_world.onboard("A")


@pytest.fixture
def lms(wire: responses.RequestsMock) -> Registrant:
    return Registrant(wire).serve()


def tried(lms: Registrant) -> list[tuple[str, str]]:
    """What was asked of the outside."""
    return [(call.request.method, call.request.url) for call in lms.wire.calls]


def refused(world: World, lms: Registrant, **changes: Any) -> str:
    """The code that an attempt is refused with; its invite is still good afterwards."""
    invited = lms.invited(world, "A", hosts=changes.pop("hosts", ()))
    answer = lms.opens(world, invited, **changes)
    assert answer.status_code >= 400, answer.text
    code = refusal_of(answer)
    row = pending(world, invited.ref)
    assert (row.state, row.problem.partition(":")[0], row.claimed_until) == ("open", code, None)
    return code


# --- the invite --------------------------------------------------------------------------------------


@pytest.mark.parametrize("invite", [None, "", "x" * 43, "x" * 5000, "\x00", "'; --"])
def test_without_a_live_invite_nothing_is_called(school, lms, invite):
    answer = lms.opens(school, lms.invited(school, "A"), invite=invite)
    assert (answer.status_code, refusal_of(answer)) == (404, "LTI_REG_INVITE")
    assert tried(lms) == []


def test_an_invite_is_good_for_a_week(school, lms):
    early, late = lms.invited(school, "A"), lms.invited(school, "A")
    school.clock.forward(days=6, hours=23)
    assert lms.opens(school, early).status_code == 200
    school.clock.forward(hours=2)
    before = tried(lms)
    assert refusal_of(lms.opens(school, late)) == "LTI_REG_INVITE"
    assert tried(lms) == before
    assert [row.invite for row in registration_desk.waiting(school.office, school.by)] == [early.ref]


def test_an_invite_that_registered_an_lms_is_used_up(school, lms):
    invited = lms.invited(school, "A")
    assert lms.opens(school, invited).status_code == 200
    before = tried(lms)
    for decide in (None, "reject"):
        if decide:
            registration_desk.reject(school.office, school.by, invited.ref)
        assert refusal_of(lms.opens(school, invited)) == "LTI_REG_INVITE"
    assert tried(lms) == before


def test_only_one_attempt_at_a_time_and_a_dead_one_lasts_no_longer_than_its_claim(school, lms):
    invited = lms.invited(school, "A")
    seen: list[str] = []

    def meanwhile(asked: dict[str, Any]) -> dict[str, Any]:
        seen.append(refusal_of(lms.opens(school, invited)))
        return granted(lms.lms, deployment_id="1")(asked)

    lms.serve(meanwhile)
    assert lms.opens(school, invited).status_code == 200
    assert seen == ["LTI_REG_BUSY"]
    assert len(lms.asked) == 1


@pytest.mark.parametrize(("changes", "code"), [({"client_id": "slow"}, "LTI_REG_ANSWER"), ({}, "LTI_REG_INVITE")])
def test_an_attempt_that_outlived_its_claim_keeps_nothing(school, lms, changes, code):
    invited = lms.invited(school, "A")

    def slow(asked: dict[str, Any]) -> dict[str, Any]:
        school.clock.forward(seconds=registration.CLAIM.seconds)
        lms.serve()
        assert lms.opens(school, invited).status_code == 200
        return granted(lms.lms)(asked) | changes

    assert refusal_of(lms.serve(slow).opens(school, invited)) == code
    assert pending(school, invited.ref).client_id == lms.lms.client_id
    with school.office.database.open_identity() as session:
        assert session.rows("SELECT 1 FROM registration WHERE client_id = 'slow' AND home_district = %(d)s",
                            d=school.by.district) == []  # fmt: skip


def test_whoever_only_looks_uses_nothing_up(school, lms):
    invited = lms.invited(school, "A")
    said = urlsplit(invited.url).query + f"&openid_configuration={CONFIGURATION}"
    assert school.client.head(f"/lti/register?{said}").data == b""
    assert tried(lms) == []
    assert lms.opens(school, invited).status_code == 200


@pytest.mark.parametrize("kind", ["openid_configuration", "registration_token", "invite"])
def test_a_parameter_that_stands_twice(school, lms, kind):
    query = f"{urlsplit(lms.invited(school, 'A').url).query}&openid_configuration={CONFIGURATION}&{kind}=x&{kind}=y"
    assert refusal_of(school.client.get(f"/lti/register?{query}")) == "LTI_REG_REQUEST"
    assert tried(lms) == []


@pytest.mark.parametrize("changes", [
    {"openid_configuration": None}, {"openid_configuration": ""}, {"openid_configuration": HOST + "/" + "x" * 9000},
    {"openid_configuration": f"{HOST}/\x00"}, {"registration_token": "a b"}, {"registration_token": "a\r\nX-Evil: 1"},
    {"registration_token": "é"}, {"registration_token": "x" * 9000},
])  # fmt: skip
def test_a_parameter_that_is_not_of_its_form(school, lms, changes):
    assert refused(school, lms, **changes) == "LTI_REG_REQUEST"
    assert tried(lms) == []


# --- the configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", [
    "https://evil.example", "https://lms.example.evil.example", "https://sub.lms.example", "https://example",
    "https://lms.example:8443", "https://xn--lms-example.evil",
])  # fmt: skip
def test_an_issuer_elsewhere_needs_the_districts_word(school, lms, issuer):
    lms.serve(issuer=issuer)
    assert refused(school, lms) == "LTI_REG_ISSUER"
    assert lms.asked == []
    named = lms.invited(school, "A", hosts=(urlsplit(issuer).netloc,))
    assert lms.opens(school, named).status_code == 200
    assert pending(school, named.ref).issuer == issuer


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize("host", [
    "evil.example", "evillms.example", "lms.example.evil.example", "example", "lms.example:8443", "127.0.0.1", "[::1]",
    "169.254.169.254", "sub.lms.example:8443", "lms",
])  # fmt: skip
def test_a_configuration_that_points_to_another_host(school, lms, name, host):
    lms.serve(**{name: f"https://{host}/x"})
    assert refused(school, lms) == "LTI_REG_ENDPOINT"
    assert tried(lms) == [("GET", CONFIGURATION)]
    assert lms.tokens == []


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_a_name_beneath_the_host_is_its_own_and_one_that_the_district_names_too(school, lms, name):
    for host, hosts in (("sso.lms.example", ()), ("auth.example", ("auth.example",))):
        one = Registrant(lms.wire, Platform()).serve(**{name: f"https://{host}/x"})
        assert one.opens(school, one.invited(school, "A", hosts=hosts)).status_code == 200


@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_endpoint_without_tls(school, lms, name):
    lms.serve(**{name: "http://lms.example/x"})
    assert refused(school, lms) == "LTI_REG_ADDRESS"
    assert lms.asked == []


@pytest.mark.parametrize("url", [
    "http://lms.example/c", "http://lms.example:443/c", "ftp://lms.example/c", "file:///etc/passwd", "lms.example",
    "https://u:p@lms.example/c", "https://lms.example/c#x", "javascript:alert(1)", "https:///c",
])  # fmt: skip
def test_an_address_of_a_configuration_that_is_none(school, lms, url):
    lms.wire.assert_all_requests_are_fired = False
    assert refused(school, lms, openid_configuration=url) == "LTI_REG_ADDRESS"
    assert lms.asked == []


WRONG = {
    "empty": {}, "list": [], "text": "x", "null": None, "number": 7, "deep": json.loads("[" * 90 + "]" * 90),
}  # fmt: skip


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_a_configuration_that_is_not_one(school, lms, body):
    lms.wire.upsert("GET", CONFIGURATION, json=body)
    assert refused(school, lms) == "LTI_REG_CONFIGURATION"


@pytest.mark.parametrize("raw", [
    b"", b"<html>", b"{", b'{"a": NaN}', b"\xff\xfe", b"[" * 20_000, b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
])  # fmt: skip
def test_a_configuration_that_is_not_json_or_nested_without_end(school, lms, raw):
    lms.wire.upsert("GET", CONFIGURATION, body=raw, content_type="application/json")
    assert refused(school, lms) == "LTI_REG_CONFIGURATION"


def test_a_configuration_that_is_too_long(school, lms):
    lms.serve(padding="x" * registration.MAX_ANSWER)
    assert refused(school, lms) == "LTI_REG_CONFIGURATION"


MUST = [*ENDPOINTS, "issuer", "scopes_supported", "token_endpoint_auth_methods_supported",
        "id_token_signing_alg_values_supported", PLATFORM]  # fmt: skip


@pytest.mark.parametrize("name", MUST)
@pytest.mark.parametrize("value", [None, 7, True, {"a": 1}, [1], [[]], "", "\x00", "\ud800", "x" * 3000, ["a\nb"]],
                         ids=repr)  # fmt: skip
def test_a_member_that_is_missing_or_of_another_type(school, lms, name, value):
    lms.serve(**{name: value})
    assert refused(school, lms) == "LTI_REG_CONFIGURATION"
    assert lms.asked == []


@pytest.mark.parametrize("changes", [
    {"variables": "Context.id"}, {"messages_supported": ["LtiResourceLinkRequest"]},
    {"messages_supported": {"type": "x"}}, {"messages_supported": None}, {"product_family_code": "a\x1b[31m"},
    {"messages_supported": [{"type": "x"}] * 101}, {"variables": ["x"] * 501},
])  # fmt: skip
def test_a_platform_configuration_of_another_form(school, lms, changes):
    lms.serve(**{PLATFORM: lms.configuration()[PLATFORM] | changes})
    assert refused(school, lms) == "LTI_REG_CONFIGURATION"


@pytest.mark.parametrize("issuer", ["https://lms.example/?a=b", "http://lms.example", "https://lms.example/#x"])
def test_an_issuer_that_is_none(school, lms, issuer):
    lms.serve(issuer=issuer)
    assert refused(school, lms) == "LTI_REG_CONFIGURATION"


@pytest.mark.parametrize("changes", [
    {"id_token_signing_alg_values_supported": ["HS256", "none"]},
    {"token_endpoint_auth_methods_supported": ["client_secret_basic"]},
    {"token_endpoint_auth_signing_alg_values_supported": ["ES256"]}, {"response_types_supported": ["code"]},
    {PLATFORM: {"messages_supported": [{"type": "LtiDeepLinkingRequest"}]}},
])  # fmt: skip
def test_an_lms_that_cannot_do_what_is_needed(school, lms, changes):
    lms.serve(**changes)
    assert refused(school, lms) == "LTI_REG_UNSUPPORTED"
    assert lms.asked == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_neither_a_configuration_nor_a_registration_is_sent_on(school, lms, status):
    to = {"Location": "https://evil.example/x"}
    lms.wire.upsert("POST", ENDPOINT, status=status, headers=to)
    assert refused(school, lms) == "LTI_REG_ADDRESS"
    lms.wire.upsert("GET", CONFIGURATION, status=status, headers=to)
    assert refused(school, lms) == "LTI_REG_ADDRESS"
    assert not any("evil" in url for _, url in tried(lms))


def test_an_lms_that_cannot_be_reached(school, lms):
    lms.wire.upsert("POST", ENDPOINT, body=requests.ConnectionError())
    assert refused(school, lms) == "LTI_REG_UNREACHABLE"
    lms.wire.upsert("GET", CONFIGURATION, body=requests.ReadTimeout())
    assert refused(school, lms) == "LTI_REG_UNREACHABLE"


# --- the answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [
    {"client_id": None}, {"client_id": ""}, {"client_id": 7}, {"client_id": "x" * 256}, {"client_id": "a\nb"},
    {"client_id": "\u202ex"}, {"scope": 7}, {"scope": "a\x1b"}, {TOOL: []}, {TOOL: {"deployment_id": "x" * 256}},
    {TOOL: {"deployment_id": True}}, {TOOL: {"claims": "sub"}}, {TOOL: {"messages": [7]}},
    {TOOL: {"custom_parameters": "x"}}, {"redirect_uris": "https://x"}, {"client_name": "\x00"},
], ids=str)  # fmt: skip
def test_an_answer_of_another_form(school, lms, change):
    lms.serve(lambda asked: granted(lms.lms)(asked) | change)
    assert refused(school, lms) == "LTI_REG_ANSWER"


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b"null", b"[" * 20_000, b"x" * (registration.MAX_ANSWER + 1)])
def test_an_answer_that_is_none(school, lms, raw):
    lms.wire.upsert("POST", ENDPOINT, body=raw, content_type="application/json")
    assert refused(school, lms) == "LTI_REG_ANSWER"


def test_what_an_lms_complains_of_is_told_without_its_token(school, lms):
    said = {"error": "invalid_client_metadata", "error_description": "Missing\x1b placements <b>"}
    lms.wire.upsert("POST", ENDPOINT, json=said, status=422)
    page = lms.opens(school, lms.invited(school, "A")).text
    assert "status 422, invalid_client_metadata: Missing  placements &lt;b&gt;" in page
    for body in (said | {"error_description": f"bad {lms.token}"}, said | {"error": f"x {lms.token}"}, [lms.token]):
        lms.wire.upsert("POST", ENDPOINT, json=body, status=400)
        page = lms.opens(school, lms.invited(school, "A"))
        assert refusal_of(page) == "LTI_REG_ANSWER"
        assert lms.token not in page.text


def test_a_failed_attempt_can_be_repeated_at_the_same_address(school, lms):
    invited = lms.invited(school, "A")
    lms.wire.upsert("POST", ENDPOINT, status=500)
    page = lms.opens(school, invited)
    assert "open the same registration address in the LMS again" in page.text
    assert lms.serve().opens(school, invited).status_code == 200


def test_what_is_another_districts_is_refused_without_a_word(school, lms):
    other = World(school.office, school.clock)
    other.onboard("A")
    theirs = Registrant(lms.wire, Platform().register(other, "A"))
    mine = Registrant(lms.wire, Platform(client_id=theirs.lms.client_id)).serve()
    invited = mine.invited(school, "A")
    page = mine.opens(school, invited)
    assert refusal_of(page) == "LTI_REG_ANSWER"
    mine.wire.upsert("POST", ENDPOINT, json={})
    plain = mine.opens(school, invited)
    assert "these do not fit" in plain.text
    for word in ("district", "somebody", "belongs", "registered already"):
        assert word not in page.text.replace("The LMS did not register", "")


def test_the_token_and_the_invite_are_nowhere_but_where_they_belong(school, lms, caplog):
    invited = lms.invited(school, "A")
    secret = invited.url.partition("invite=")[2]
    with capture_logs() as lines:
        page = lms.opens(school, invited)
    (tokens,) = lms.tokens
    assert tokens == f"Bearer {lms.token}"
    got = next(call.request for call in lms.wire.calls if call.request.method == "GET")
    for text in (str(dict(got.headers)), got.url, page.text, str(page.headers), json.dumps(lines), caplog.text):
        assert lms.token not in text
        assert secret not in text
    assert secret not in json.dumps(lms.asked)
    with school.office.database.open_identity() as session:
        (row,) = session.rows("SELECT * FROM lms_invite WHERE invite = %(i)s", i=invited.ref)
    assert lms.token not in str(row)
    assert secret not in str(row)
    assert school.client.get("/lti/register").headers["Referrer-Policy"] == "no-referrer"


# --- where it may lead, judged by listeners -----------------------------------------------------------


@contextmanager
def trapped(patch: pytest.MonkeyPatch, own: int = 0) -> Iterator[Trap]:
    """Every dial ends at a listener, but those to the test's own port."""
    with closing(Trap().set(patch, own)) as trap:
        yield trap


def led(patch: pytest.MonkeyPatch, name: str, *addresses: str) -> None:
    """Let a name lead to an address, as a name server of somebody else's may: one after the other, and the last."""
    real, left = socket.getaddrinfo, list(addresses)

    def found(host: str, port: int, *more: Any, **named: Any) -> Any:
        if host == name:
            address = left.pop(0) if len(left) > 1 else left[0]
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            return [(family, socket.SOCK_STREAM, 6, "", (address, port))]
        return real(host, port, *more, **named)

    patch.setattr(socket, "getaddrinfo", found)


def opens(world: World, url: str) -> str:
    """The code with which an invite is refused whose LMS says that its configuration is there; at the flow itself,
    because an address may not knock so often."""
    invited = registration_desk.invite(world.office, world.by, "An LMS", [world.refs["A"]], None, ())
    said = {"invite": invited.url.partition("invite=")[2], "openid_configuration": url, "registration_token": "t" * 40}
    return refused_with(registration.register, world.parts, said)


def with_vendor(world: World) -> World:
    onboarding.add_vendor(world.office, world.by, "An LMS", "lms", "lms@example.org", None)
    return world


def test_there_are_enough_hostile_addresses():
    assert len({*HOSTILE_ADDRESSES, *SPELLINGS, *TRICKS}) >= 350


def test_no_configuration_is_fetched_from_a_name_that_leads_inside(school, monkeypatch):
    with_vendor(school)
    for address in HOSTILE_ADDRESSES:
        with monkeypatch.context() as patch, trapped(patch) as trap:
            led(patch, "lms.hostile", address)
            assert opens(school, "https://lms.hostile/c") == "LTI_REG_ADDRESS", address
            assert trap.seen() == [], address


def test_no_configuration_is_fetched_from_a_spelling_of_an_inner_address(school, monkeypatch):
    with_vendor(school)
    with monkeypatch.context() as patch, trapped(patch) as trap:
        for host in SPELLINGS:
            for url in (f"https://{host}/c", f"http://{host}/c", f"https://{host}:8443/c"):
                said = opens(school, url)
                assert said in ("LTI_REG_ADDRESS", "LTI_REG_UNREACHABLE", "LTI_REG_REQUEST"), url
        assert trap.seen() == []


def test_the_trap_works_a_public_address_is_connected(school, monkeypatch):
    with_vendor(school)
    with monkeypatch.context() as patch, trapped(patch) as trap:
        led(patch, "lms.public", "93.184.216.34")
        assert opens(school, "https://lms.public/c").startswith("LTI_REG_")
        assert trap.seen() == [b""]


def peer(said: Callable[[str], dict[str, Any]], heard: list[str]) -> Callable[[str], Flask]:
    """An LMS on loopback whose configuration is what `said` makes of its address."""

    def build(url: str) -> Flask:
        app = Flask("peer")

        @app.route("/<path:what>", methods=["GET", "POST"])
        def answer(what: str) -> Response:
            heard.append(f"{request.method} {what}")
            return Response(json.dumps(said(url)), mimetype="application/json")

        return app

    return build


@pytest.mark.parametrize("name", ENDPOINTS)
def test_no_endpoint_of_a_configuration_leads_inside(world, monkeypatch, name):
    """In the sandbox, where a configuration can be served without TLS: what it points to is not even dialled."""
    with_vendor(world.onboard("A"))
    heard: list[str] = []
    now: dict[str, str] = {}

    def said(url: str) -> dict[str, Any]:
        base = Registrant(responses.RequestsMock()).configuration()
        own = dict.fromkeys(ENDPOINTS, f"{url}/x") | {"issuer": url}
        return base | own | {name: now["url"]}

    hosts = [f"[{a}]" if ":" in a else a for a in NOT_LOOPBACK] + SPELLINGS
    with running(peer(said, heard)) as url, monkeypatch.context() as patch:
        port = urlsplit(url).port or 0
        with trapped(patch, port) as trap:
            for target in [f"http://{host}/x" for host in hosts if host != "127.0.0.1"] + TRICKS:
                now["url"] = target
                said_no = opens(world, f"{url}/c")
                assert said_no in ("LTI_REG_ENDPOINT", "LTI_REG_CONFIGURATION", "LTI_REG_ADDRESS"), target
                assert trap.seen() == [], target
    assert set(heard) == {"GET c"}
    assert len(heard) > 200


def test_a_name_that_leads_inside_by_the_second_call_is_not_called(world, monkeypatch):
    """Its configuration was read; then its name leads elsewhere: nothing is connected, no token is sent."""
    with_vendor(world.onboard("A"))
    heard: list[str] = []

    def said(url: str) -> dict[str, Any]:
        there = f"http://lms.peer:{urlsplit(url).port}"
        base = Registrant(responses.RequestsMock()).configuration(issuer=there)
        return base | dict.fromkeys(ENDPOINTS, f"{there}/x")

    with running(peer(said, heard)) as url:
        port = urlsplit(url).port or 0
        for address in NOT_LOOPBACK:
            with monkeypatch.context() as patch, trapped(patch, port) as trap:
                led(patch, "lms.peer", "127.0.0.1", address)
                assert opens(world, f"http://lms.peer:{port}/c") == "LTI_REG_ADDRESS", address
                assert trap.seen() == [], address
    assert heard == ["GET c"] * len(NOT_LOOPBACK)
