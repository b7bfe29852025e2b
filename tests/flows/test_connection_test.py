"""Nine checks of a connection: what each sees, and who must mend it. Over `responses`, and once over loopback sockets
against the sandbox's LMS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
import requests
import responses
from click.testing import CliRunner
from psycopg.types.json import Jsonb

from connectors.egress import GuardedSession, Reach, open_session
from gateway.cli import main
from gateway.errors import Refused
from gateway.flows import connection_test, launch, onboarding, registration_desk
from gateway.flows.checks import Check, State
from gateway.flows.parts import Parts
from gateway.identity import staff
from gateway.identity.keys import PlatformKeys
from gateway.sandbox import lms as sandbox_lms
from gateway.sandbox.loopback import running
from gateway.store import registrations
from mappings import lti, lti_messages
from tests.gradebooks import Gradebook
from tests.platforms import AGS, HOST, NRPS, Platform, application, public_jwk, rsa_key
from tests.worlds import World

NAMES = ["address", "tls", "keys", "issuer", "token", "audience", "scopes", "members", "column"]
LMS, SCHOOL = "the administrator of the LMS", "the school or district"
EVERY = ["lineitem", "lineitem.readonly", "result.readonly", "score"]


class Bench:
    """A registered LMS, its services, and a gateway to whom `lms.example` is a public name."""

    def __init__(self, world: World, wire: responses.RequestsMock, **platform: Any) -> None:
        self.world, self.wire, self.leads = world.standing(), wire, "93.184.216.34"
        self.app = application(world, "A")
        make = platform.pop("product", "generic")
        self.lms = Platform(**platform).register(world, "A", product=make).link(world, "A", "kA").serve_keys(wire)
        self.tokens: list[dict[str, str]] = []
        self.grants: str | None = None
        wire.get(f"{HOST}/token", status=405)
        self.book = Gradebook(self.lms, scopes=EVERY, members=["tA", "p0", "p2"]).serve(wire)

    def launched(self, **claims: Any) -> Bench:
        self.lms.launch(self.world, self.lms.message("tA", "Instructor", **(self.book.claims() | claims)))
        return self

    @property
    def parts(self) -> Parts:
        def open_line(hosts: Any, **caps: Any) -> GuardedSession:
            return open_session(Reach(frozenset(hosts), **caps), resolver=lambda *_: [self.leads])

        parts = self.world.parts
        keys = PlatformKeys(parts.database, parts.cache, parts.clock, open_line)
        return replace(parts, open_line=open_line, keys=keys)

    def test(self) -> dict[str, Check]:
        found = connection_test.run(self.parts, self.world.by, self.lms.deployment)
        assert [check.name for check in found] == NAMES
        assert all(check.seen.endswith(".") and not check.seen[0].islower() for check in found)
        assert {check.who for check in found if check.state == "ok"} <= {""}
        assert all(check.who for check in found if check.state == "failed")
        return {check.name: check for check in found}

    def serve_token(self, answer: Any) -> None:
        """Answer token requests so; `answer` sees what was asked and the assertion's claims."""

        def callback(request: Any) -> tuple[int, dict[str, str], str]:
            asked = {name: value[0] for name, value in parse_qs(request.body).items()}
            claims = jwt.decode(asked["client_assertion"], options={"verify_signature": False})
            status, body = answer(asked, claims)
            return status, {"Content-Type": "application/json"}, json.dumps(body)

        self.wire.remove("POST", f"{HOST}/token")
        self.wire.add_callback("POST", f"{HOST}/token", callback=callback)


@pytest.fixture
def bench(public_world, wire) -> Bench:
    return Bench(public_world, wire)


def states(found: dict[str, Check]) -> dict[str, str]:
    return {name: check.state for name, check in found.items() if check.state != "ok"}


def test_all_nine_are_ok_and_no_name_is_told(bench):
    bench.launched()
    bench.book.columns["x"] = {"id": f"{bench.book.base}/7", "label": "Check"}
    bench.wire.get(f"{bench.book.base}/7", json=bench.book.columns["x"])
    bench.wire.calls.reset()
    found = bench.test()
    assert states(found) == {}
    assert found["members"].seen == "The first page has 3 members, 3 with a SIS id."
    assert found["audience"].seen == f"The assertion had aud {HOST}/token, which is the token URL."
    assert "column can be read" in found["column"].seen
    said = " ".join(check.seen for check in found.values())
    assert not any(word in said for word in ("lms-p0", "Given", "tok "))
    written = [c.request for c in bench.wire.calls if c.request.method != "GET" and c.request.url != f"{HOST}/token"]
    assert written == []


def test_before_a_launch_there_is_no_course_to_look_into(bench):
    found = bench.test()
    assert states(found) == {"members": "skipped", "column": "skipped"}
    assert (found["members"].seen, found["members"].who) == ("No linked course was launched yet.", SCHOOL)


@pytest.mark.parametrize("leads", ["10.0.0.1", "169.254.169.254", "127.0.0.1"])
def test_a_name_that_leads_inside_is_not_called(bench, leads):
    bench.leads = leads
    bench.wire.calls.reset()
    found = bench.test()
    assert states(found) == {name: "failed" if name == "address" else "skipped" for name in NAMES}
    assert found["address"].who == SCHOOL
    assert found["address"].seen.startswith("Lms.example: ")
    assert leads not in found["address"].seen
    assert len(bench.wire.calls) == 0


def test_a_certificate_that_is_not_valid(bench):
    bench.wire.upsert("GET", bench.lms.jwks_url, body=requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"))
    found = bench.test()
    assert (found["tls"].state, found["tls"].who) == ("failed", LMS)
    assert "certificate" in found["tls"].seen
    assert found["keys"].seen == "Not tried, because tls is not ok."


def test_an_lms_that_does_not_answer(bench):
    bench.wire.upsert("GET", bench.lms.jwks_url, body=requests.ConnectionError("no"))
    found = bench.test()
    assert found["tls"] == Check("tls", State.FAILED, "Lms.example does not answer.", LMS)


@pytest.mark.parametrize(
    ("reply", "seen"),
    [
        ({"json": {"keys": [public_jwk(rsa_key(9, 1024), kid="k1")]}}, "None of 1 key can be used"),
        ({"json": {"keys": []}}, "None of 0 keys can be used"),
        ({"json": {"no": 1}}, "no key set"),
        ({"status": 404}, "It answered with status 404."),
        ({"status": 429}, "It asks to be called again later (status 429): try in a minute."),
        ({"body": "<html>", "content_type": "text/html"}, "A web page came"),
    ],
)
def test_a_key_set_that_cannot_be_used(bench, reply, seen):
    bench.wire.upsert("GET", bench.lms.jwks_url, **reply)
    check = bench.test()["keys"]
    assert (check.state, check.who) == ("failed", LMS)
    assert check.seen.startswith(seen) or seen in check.seen


# --- issuer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", ["https://elsewhere.example", "nonsense", "https://lms.example.evil.test"])
def test_an_issuer_at_another_site(public_world, wire, issuer):
    check = Bench(public_world, wire, issuer=issuer).test()["issuer"]
    assert (check.state, check.who) == ("failed", SCHOOL)
    assert "another site" in check.seen


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("lms.example", "lms.example", True), ("blackboard.com", "developer.blackboard.com", True),
        ("school.brightspace.com", "auth.brightspace.com", True), ("a.school.k12.ca.us", "b.school.k12.ca.us", True),
        ("a.co.uk", "b.co.uk", False), ("lms.example", "lms.test", False), ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "0.0.0.1", False), ("", "", False), ("evilblackboard.com", "blackboard.com", False),
    ],
)  # fmt: skip
def test_names_of_one_site(one, other, same):
    assert connection_test._same_site(one, other) is same


def test_an_issuer_of_the_cloud_is_known_by_its_product():
    sites = connection_test.product("canvas").domains
    assert any(connection_test._within("sso.canvaslms.com", site) for site in sites)
    assert connection_test.product("moodle").domains == connection_test.product("nobody").domains == frozenset()


@pytest.mark.parametrize(
    ("more", "state", "seen"),
    [
        ({}, "ok", "says the same"),
        ({"token_endpoint": f"{HOST}/other"}, "failed", "another token_endpoint than"),
        ({"issuer": f"{HOST}/"}, "failed", "another issuer than"),
    ],
)
def test_the_lmss_own_description_is_compared(bench, more, state, seen):
    told = {"issuer": HOST, "jwks_uri": bench.lms.jwks_url, "token_endpoint": f"{HOST}/token"} | more
    bench.wire.get(f"{HOST}/.well-known/openid-configuration", json=told)
    check = bench.test()["issuer"]
    assert check.state == state
    assert seen in check.seen


# --- tokens ------------------------------------------------------------------------------------------


def test_credentials_that_are_refused_say_what_the_lms_must_know(bench):
    bench.serve_token(lambda *_: (401, {"error": "invalid_client", "error_description": "secret of the platform"}))
    found = bench.launched().test()
    assert states(found) == {"token": "failed", "audience": "skipped", "scopes": "skipped", "members": "skipped",
                             "column": "skipped"}  # fmt: skip
    assert "(invalid_client)" in found["token"].seen
    assert bench.lms.client_id in found["token"].seen
    address = registration_desk.key_address(bench.world.office, bench.world.by, bench.lms.deployment)
    assert (
        f"read our keys at {address}." in found["token"].seen
    )  # those of this registration, as its administrator was told
    assert bench.world.client.get(address.removeprefix("https://gateway.example")).status_code == 200
    assert "secret" not in found["token"].seen
    assert found["audience"].seen.startswith(f"The assertion had aud {HOST}/token;")


def test_the_audience_that_the_lms_wants_is_found(bench):
    """D2L and Blackboard want another audience than their token URL; this one wants its issuer."""
    bench.serve_token(
        lambda _, claims: (200, {"access_token": "x"}) if claims["aud"] == HOST else (400, {"error": "invalid_client"})
    )
    found = bench.test()
    assert (found["audience"].state, found["audience"].who) == ("failed", SCHOOL)
    assert found["audience"].seen == (
        f"The assertion had aud {HOST}/token; the LMS accepts {HOST}: register that as token audience."
    )


def test_the_audience_that_its_make_is_known_to_want_is_found(public_world, wire):
    """A Brightspace that registered itself without saying so (lti.md, section 4.4)."""
    bench, wanted = Bench(public_world, wire, product="brightspace"), "https://api.brightspace.com/auth/token"
    bench.serve_token(
        lambda _, said: (200, {"access_token": "x"}) if said["aud"] == wanted else (400, {"error": "invalid_client"})
    )
    assert f"the LMS accepts {wanted}: register" in bench.test()["audience"].seen


# --- clocks ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "state", "seen"),
    [
        (0, "ok", "1 key can be used."), (9, "ok", "1 key can be used."), (-9, "ok", "1 key can be used."),
        (14, "ok", "1 key can be used; its clock is 14 seconds ahead of ours, and launches may fail from 60 on."),
        (-59, "ok", "1 key can be used; its clock is 59 seconds behind ours, and launches may fail from 60 on."),
        (60, "failed", "Its clock is 60 seconds ahead of ours, and launches may fail from 60 on: set both clocks."),
    ],
)  # fmt: skip
def test_a_clock_that_goes_wrong_is_told_before_launches_fail_for_it(bench, ahead, state, seen):
    shown = format_datetime(bench.world.clock.at + timedelta(seconds=ahead), usegmt=True)
    keys = {"keys": [public_jwk(bench.lms.key, kid="k1")]}
    bench.wire.upsert("GET", bench.lms.jwks_url, json=keys, headers={"Date": shown})
    check = bench.test()["keys"]
    assert (check.state, check.seen) == (state, seen)
    assert check.who == (LMS if state == "failed" else "")


def test_a_clock_that_is_excused_or_not_told_is_no_failure(bench):
    keys = {"keys": [public_jwk(bench.lms.key, kid="k1")]}
    shown = format_datetime(bench.world.clock.at - timedelta(seconds=75), usegmt=True)
    bench.wire.upsert("GET", bench.lms.jwks_url, json=keys, headers={"Date": shown})
    assert bench.test()["keys"].state == "failed"
    office, by = bench.world.office, bench.world.by
    launch.relax(office, by, bench.lms.deployment, "clock_skew", "agreed", "2026-12-01", "90")
    assert bench.test()["keys"].seen.endswith("75 seconds behind ours, and launches may fail from 90 on.")
    for headers in ({"Date": shown, "Age": "75"}, {"Date": "yesterday"}, {}):
        bench.wire.upsert("GET", bench.lms.jwks_url, json=keys, headers=headers)
        assert bench.test()["keys"].seen == "1 key can be used."

    bench.serve_token(lambda *_: (500, {}))
    found = bench.test()
    assert (found["token"].state, found["audience"].state) == ("failed", "skipped")
    assert found["audience"].seen == "Not tried, because token is not ok."


def test_scopes_that_are_not_granted_are_named(bench):
    bench.serve_token(lambda *_: (200, {"access_token": "x", "scope": f"{lti.SCOPE_SCORE} {lti.SCOPE_LINE_ITEM}"}))
    check = bench.test()["scopes"]
    assert (check.state, check.who) == ("failed", LMS)
    assert check.seen == (
        "Of 5 scopes the LMS does not grant contextmembership.readonly, lineitem.readonly, result.readonly."
    )


def test_an_lms_that_refuses_all_for_one_scope_is_asked_one_by_one(bench):
    def answer(asked: dict[str, str], _claims: Any) -> tuple[int, Any]:
        alone = asked["scope"] in (lti.SCOPE_SCORE, lti.SCOPE_MEMBERS)
        return (200, {"access_token": "x"}) if alone else (400, {"error": "invalid_scope"})

    bench.serve_token(answer)
    found = bench.test()
    assert found["token"].state == "ok"
    assert found["scopes"].seen == "Of 5 scopes the LMS does not grant lineitem, lineitem.readonly, result.readonly."


def test_only_what_the_launched_course_grants_is_asked_for(bench):
    asked: list[str] = []
    bench.serve_token(lambda form, _: asked.append(form["scope"]) or (200, {"access_token": "x"}))
    bench.launched(**{AGS + "claim/endpoint": {"scope": [lti.SCOPE_SCORE], "lineitems": bench.book.base}})
    found = bench.test()
    assert set(asked[0].split()) == {lti.SCOPE_SCORE, lti.SCOPE_MEMBERS}
    assert (found["column"].state, found["column"].who) == ("failed", LMS)
    assert "does not grant lineitem.readonly" in found["column"].seen


# --- the course --------------------------------------------------------------------------------------


def test_members_without_sis_ids(bench):
    members = [
        {"user_id": "1", "lis_person_sourcedid": ""},
        {"user_id": "2", "lis_person_sourcedid": "$Person.sourcedId"},
    ]
    bench.launched()
    bench.wire.remove("GET", bench.book.roster)
    bench.wire.get(bench.book.roster, json={"members": members})
    check = bench.test()["members"]
    assert (check.state, check.who) == ("failed", LMS)
    assert check.seen == "The first page has 2 members and no SIS id, so nobody can be recognised."


def test_one_page_of_members_is_read_and_no_more(bench):
    bench.launched()
    bench.wire.remove("GET", bench.book.roster)
    bench.wire.get(bench.book.roster, json={"members": [{"user_id": "1", "lis_person_sourcedid": "p0"}]},
                   headers={"Link": f'<{bench.book.roster}?page=2>; rel="next"'})  # fmt: skip
    assert bench.test()["members"].seen == "The first page has 1 member, 1 with a SIS id."
    assert not [call for call in bench.wire.calls if "page=2" in (call.request.url or "")]


def test_services_that_are_not_switched_on(bench):
    bench.launched(**{NRPS + "claim/namesroleservice": None})
    found = bench.test()
    assert (found["members"].state, found["members"].who) == ("failed", LMS)
    assert found["column"].seen == "The list of columns can be read; it has none of ours yet."


# --- who may, and the command ------------------------------------------------------------------------


def test_only_the_districts_administrator_tests_what_is_the_districts(bench):
    _, token = onboarding.add_staff(
        bench.world.office, bench.world.by, "S. Admin", "school_admin", bench.world.refs["A"]
    )
    other = staff.person(bench.world.office.database, token, bench.world.clock.at)
    with pytest.raises(Refused, match="ACT_NOT_STAFF"):
        connection_test.run(bench.parts, other, bench.lms.deployment)
    with pytest.raises(Refused, match="REQ_UNKNOWN"):
        connection_test.run(bench.parts, bench.world.by, "nobody")


class Loopback:
    """The sandbox's LMS and this gateway, each at an address of its own on this machine."""

    def __init__(self, world: World, stack: ExitStack, profile: str) -> None:
        self.world, made = world.standing(), {}

        def build(url: str) -> Any:
            made["app"] = sandbox_lms.create_app(url, profile)
            return made["app"]

        self.url = stack.enter_context(running(build))
        self.told = made["app"].extensions["announce"]
        gateway = stack.enter_context(running(lambda _: world.app))
        requests.post(f"{self.url}/_sandbox/tool", json={"jwks_url": f"{gateway}/.well-known/jwks.json"}, timeout=5)
        onboarding.add_vendor(world.office, world.by, "LMS", "lms", "lms@example.org", None)
        said = {
            name: self.told[name]
            for name in ("issuer", "client_id", "deployment_id", "auth_url", "token_url", "jwks_url")
        }
        self.deployment = onboarding.add_lms(
            world.office, world.by, "LMS", onboarding.Lms(**said, product=profile.replace("plain", "generic")),
            [world.refs["A"]],
        )  # fmt: skip
        onboarding.link_class(world.office, world.by, self.deployment, "course", world.refs["A"], "kA")

    def launched(self) -> None:
        """Keep what a launch from the story's course names."""
        mint = requests.post(f"{self.url}/_sandbox/mint", json={"nonce": "n"}, timeout=5).json()["id_token"]
        claims = jwt.decode(mint, options={"verify_signature": False})
        services = {"ags": claims[lti_messages.AGS], "nrps": claims[lti_messages.NRPS]}
        with self.world.office.database.open_school(self.world.places["A"]) as session:
            session.run("UPDATE context_link SET services = %(s)s", s=Jsonb(services))

    def command(self, *more: str) -> Any:
        settings = self.world.office.settings
        environment = {
            "SCHOOLGATE_INSTANCE": str(settings.instance), "DATABASE_URL": self.world.office.database.url,
            "SCHOOLGATE_URL": settings.url, "SCHOOLGATE_SANDBOX": "1", "SCHOOLGATE_TOKEN": self.world.token,
            "NO_COLOR": "1", "REDIS_URL": "",
        }  # fmt: skip
        return CliRunner(env=environment).invoke(main, ["lms", "test", self.deployment, *more], prog_name="schoolgate")


def told(done: Any) -> Any:
    """What the command printed; before it stands what the gateway in this process logs of the key set it serves."""
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=["plain", "moodle"])
def loopback(world, request) -> Iterator[Loopback]:
    with ExitStack() as stack:
        yield Loopback(world, stack, request.param)


def test_the_sandbox_over_sockets(loopback):
    done = loopback.command("--json")
    said = told(done)
    assert (done.exit_code, said["ok"]) == (1, False)
    assert [check["name"] for check in said["checks"]] == NAMES
    assert {c["name"] for c in said["checks"] if c["state"] != "ok"} == {"members", "column"}
    loopback.launched()
    done = loopback.command("--json")
    said = {check["name"]: check for check in told(done)["checks"]}
    assert (done.exit_code, {check["state"] for check in said.values()}) == (0, {"ok"})
    assert "not https, which is allowed only in a sandbox" in said["tls"]["seen"]
    assert "members, " in said["members"]["seen"]
    assert loopback.command().stdout.count("ok") >= 9


def test_when_the_lms_told_something_last_stands_below(loopback):
    assert told(loopback.command("--json"))["last_notice"] is None
    assert "No notice came yet." in loopback.command().stdout
    world, when = loopback.world, loopback.world.clock.at
    with world.office.database.open_identity() as session:
        registrations.told(session, world.by.district, loopback.deployment, "LtiHelloWorldNotice", when)
    assert told(loopback.command("--json"))["last_notice"] == {"type": "LtiHelloWorldNotice", "at": when.isoformat()}
    said = f"The last notice came at {when:%Y-%m-%d %H:%M} UTC, of type LtiHelloWorldNotice."
    assert said in loopback.command().stdout


def test_a_person_reads_what_to_mend(loopback):
    requests.post(f"{loopback.url}/_sandbox/tool", json={"jwks_url": f"{loopback.url}/jwks"}, timeout=5)
    done = loopback.command()
    assert done.exit_code == 1
    assert "(invalid_client)" in done.stdout
    assert LMS in done.stdout
