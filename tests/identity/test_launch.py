"""Good launches: from the login to the application's exchange of its code, and what a second library says of tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.test import TestResponse

from gateway.flows import onboarding, rights_request
from tests.deliveries import two_schools
from tests.platforms import AGS, HOST, LTI, NRPS, ROLE, Platform, code_of, public_jwk, refusal_of, rsa_key
from tests.refused.gate import ABSENT, GOOD, URL, Gate, open_gate, signed
from tests.worlds import Caller

ASSISTANT = "http://purl.imsglobal.org/vocab/lis/v2/membership/Instructor#TeachingAssistant"
LIS, ROLES = LTI + "lis", LTI + "roles"


@pytest.fixture(scope="module")
def gate(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    """The gate, with an assistant `a1` in class kA and an application of its own at school B."""
    with open_gate(addresses, tmp_path_factory.mktemp("launch")) as made:
        roster = two_schools().person("a1", "aide", "A").enroll("a1", "kA", "A", "proctor")
        assert made.world.deliver(roster).state == "published"
        yield made


@pytest.fixture(scope="module")
def other(gate: Gate) -> Caller:
    operations, purposes = ("launch.handover",), ("assessment_delivery",)
    gate.world.agree(
        "Other App", "application", ("SNM", "ENR", "SCH"), operations, purposes, ("B",), launch_url=f"{HOST}/go?x=1"
    )
    return gate.world.connect("Other App", "launch.read", schools=("B",))


def launch(gate: Gate, who: str, role: str = "Learner", **claims: Any) -> TestResponse:
    """Launch as this person of the roster, who is `role` in the LMS."""
    said = {"sub": f"lms-{who}", LIS: {"person_sourcedid": who}, ROLES: [ROLE + role]}
    return gate.launch(said | claims)


def exchange(caller: Caller, code: str) -> TestResponse:
    return caller.call("POST", "/v1/launches/exchange", json={"code": code})


def entered(gate: Gate, who: str, role: str = "Learner", **claims: Any) -> dict[str, Any]:
    """What the application learns of a launch."""
    answer = exchange(gate.app, code_of(launch(gate, who, role, **claims)))
    assert answer.status_code == 200, answer.text
    return answer.json


def cookies_of(answer: TestResponse) -> dict[str, str]:
    """The cookies an answer sets: everything after the name, by name."""
    return dict(line.split("=", 1) for line in answer.headers.getlist("Set-Cookie"))


# --- the login ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_login_by_either_method_sends_the_browser_to_the_platform_with_exactly_these_words(
    gate: Gate, method: str
) -> None:
    hints = {"login_hint": "ü 1&2=3", "lti_message_hint": '{"launchid": "a/b+c", "é": [1]}'}
    sent = gate.lms.login(gate.world, method, lti_storage_target="_parent", **hints).answer
    where = urlsplit(sent.headers["Location"])
    asked = parse_qs(where.query, strict_parsing=True)
    secrets = {name: asked.pop(name)[0] for name in ("state", "nonce")}
    assert f"{where.scheme}://{where.netloc}{where.path}" == f"{HOST}/auth"
    assert {name: value for name, (value,) in asked.items()} == hints | {
        "scope": "openid", "response_type": "id_token", "response_mode": "form_post", "prompt": "none",
        "client_id": gate.lms.client_id, "redirect_uri": f"{URL}/lti/launch",
    }  # fmt: skip
    assert len(secrets["nonce"]) == 43


def test_no_two_logins_share_a_state_a_nonce_or_a_cookie(gate: Gate) -> None:
    states = gate.world.parts.states
    platform = gate.world.parts.registrations.platform(HOST, gate.lms.client_id)
    made = [states.make(platform, "1", URL) for _ in range(2000)]
    for few in (
        {s.nonce for s, _ in made},
        {s.id for s, _ in made},
        {w for _, w in made},
        {states.cookie(s) for s, _ in made},
    ):
        assert len(few) == 2000


def test_an_authorization_endpoint_with_a_query_of_its_own_keeps_it(gate: Gate) -> None:
    said = onboarding.Lms("https://query.example", "q", "1", f"{HOST}/auth?tenant=7", f"{HOST}/token", f"{HOST}/keys")
    onboarding.add_lms(gate.world.office, gate.world.by, f"LMS {gate.lms.client_id}", said, [gate.world.refs["A"]])
    sent = Platform(issuer="https://query.example", client_id="q").login(gate.world)
    assert (sent.asked["tenant"], sent.asked["client_id"]) == ("7", "q")
    assert sent.answer.headers["Location"].count("?") == 1


def test_every_cookie_is_the_hosts_own_secure_partitioned_and_out_of_reach_of_scripts(gate: Gate) -> None:
    login = cookies_of(gate.lms.login(gate.world).answer)
    teacher = cookies_of(launch(gate, "tA", "Instructor"))
    assert len(login) == len(teacher) == 1
    for name, rest in (login | teacher).items():
        flags = {word.strip().lower() for word in rest.split(";")[1:]}
        assert name.startswith("__Host-")
        assert {"secure", "httponly", "path=/", "samesite=none", "partitioned"} <= flags
        assert not [flag for flag in flags if flag.startswith("domain")]
    assert "Max-Age=600" in next(iter(login.values()))


# --- the launch --------------------------------------------------------------------------------------


def test_a_launch_leads_to_the_application_with_a_one_time_code_and_nothing_else(gate: Gate) -> None:
    answer = launch(gate, "p2")
    assert answer.status_code == 303
    assert re.fullmatch(r"https://app\.example/launch\?code=[A-Za-z0-9_-]{43}", answer.headers["Location"])
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_the_course_decides_the_school_and_the_school_the_application(gate: Gate, other: Caller) -> None:
    answer = launch(gate, "p1", **{LTI + "context": {"id": "course-b"}})
    assert answer.headers["Location"].startswith(f"{HOST}/go?x=1&code=")
    assert exchange(other, code_of(answer)).json["person"].keys() >= {"id"}


ROSTER_DECIDES = {
    "a teacher": ("tA", [ROLE + "Instructor"], "teacher"),
    "a teacher whom the LMS calls a pupil": ("tA", [ROLE + "Learner"], "teacher"),
    "a teacher of whom the LMS says nothing": ("tA", [], "teacher"),
    "a pupil": ("p2", [ROLE + "Learner"], "student"),
    "a pupil whom the LMS calls a teacher": ("p2", [ROLE + "Instructor"], "student"),
    "a pupil whom the LMS calls everything": ("p2", [ROLE + "Administrator", "Instructor"], "student"),
    "a teaching assistant": ("a1", [ASSISTANT], "proctor"),
    "a teaching assistant whom the LMS calls a teacher": ("a1", [ROLE + "Instructor", ASSISTANT], "proctor"),
}  # fmt: skip


@pytest.mark.parametrize("who", ROSTER_DECIDES)
def test_the_role_is_the_rosters_and_only_a_teacher_gets_a_teachers_cookie(gate: Gate, who: str) -> None:
    person, claimed, role = ROSTER_DECIDES[who]
    answer = launch(gate, person, **{ROLES: claimed})
    told = exchange(gate.app, code_of(answer)).json
    assert (told["person"]["role"], told["can"]["members"]) == (role, role == "teacher")
    assert [name[:15] for name in cookies_of(answer)] == (["__Host-teacher-"] if role == "teacher" else [])


def test_a_teaching_assistants_course_roles_name_no_teacher(gate: Gate) -> None:
    told = entered(gate, "a1", **{ROLES: [ROLE + "Instructor", ASSISTANT]})
    row = gate.admin.execute("SELECT facts FROM launch WHERE launch = %s", (told["id"],)).fetchone()
    assert row[0]["course_roles"] == ["aide"]


def test_a_person_once_known_by_the_sis_id_is_known_by_the_subject(gate: Gate) -> None:
    first = entered(gate, "p4")
    again = entered(gate, "p4", **{LIS: ABSENT, "email": "somebody@else.example"})
    assert first["person"] == again["person"]
    assert first["id"] != again["id"]


def now(gate: Gate, more: float = 0) -> float:
    return int(gate.world.clock.at.timestamp()) + more


def us(gate: Gate) -> str:
    return gate.lms.client_id


LET_IN: dict[str, dict[str, Any]] = {
    "expired 59 seconds ago": {"exp": lambda gate: now(gate, -59)},
    "issued ten minutes ago": {"iat": lambda gate: now(gate, -600)},
    "issued a minute ahead": {"iat": lambda gate: now(gate, 60)},
    "valid in a minute": {"nbf": lambda gate: now(gate, 60)},
    "valid for a day": {"exp": lambda gate: now(gate, 86_400)},
    "fractions of seconds": {"iat": lambda gate: now(gate, -0.5), "exp": lambda gate: now(gate, 59.5)},
    "a list of us": {"aud": lambda gate: [us(gate)]}, "azp that is us": {"azp": us},
    "us twice, with azp": {"aud": lambda gate: [us(gate), us(gate)], "azp": us},
    "no roles": {ROLES: []}, "short and unknown roles": {ROLES: ["Learner", "urn:x:y", "Jedi"]},
    "no name at all": {"name": ABSENT}, "an unknown claim": {"https://lms.example/claim": {"deep": [{"a": 1}]}},
    "255 characters": {LTI + "resource_link": {"id": "r" * 255}, "sub": "s" * 255},
    "custom numbers and variables": {LTI + "custom": {"activity": 7, "user": "$User.id"}},
    "services": {AGS + "claim/endpoint": {"scope": [], "lineitems": f"{HOST}/ags"},
                 NRPS + "claim/namesroleservice": {"context_memberships_url": "https://LMS.example/nrps"}},
}  # fmt: skip


@pytest.mark.parametrize("what", LET_IN)
def test_what_the_standard_allows_is_let_in(gate: Gate, what: str) -> None:
    assert launch(gate, "p2", **LET_IN[what]).status_code == 303


IGNORED: dict[str, dict[str, Any]] = {
    "typ": {"typ": "anything"}, "jku": {"jku": "https://evil.example/keys"}, "x5u": {"x5u": "https://evil.example/x"},
    "jwk": {"jwk": public_jwk(rsa_key(7))}, "x5t": {"x5t": "dGh1bWI"}, "x5c": {"x5c": ["MIIB" * 400]},
    "a word of the platform's own": {"region": "eu"},
}  # fmt: skip


@pytest.mark.parametrize("what", IGNORED)
def test_what_else_a_header_says_is_ignored(gate: Gate, what: str) -> None:
    """LV-07: keys named in the token are never used, and a token signed by the true key stays good."""
    login = gate.lms.login(gate.world)
    assert gate.post(signed(GOOD | IGNORED[what], gate.said(login, {})), login).status_code == 303
    assert not [call for call in gate.wire.calls if "evil" in call.request.url]


# --- the exchange ------------------------------------------------------------------------------------


def test_the_application_learns_what_it_may_and_what_was_withheld(gate: Gate) -> None:
    shown = {"return_url": f"{HOST}/back", "locale": "de"}
    told = entered(gate, "p2", **{LTI + "custom": {"activity": "fractions-1"}, LTI + "launch_presentation": shown})
    assert re.fullmatch(r"pe_[0-9a-f]{32}", told["person"].pop("id"))
    assert re.fullmatch(r"cl_[0-9a-f]{32}", told["class"].pop("id"))
    assert re.fullmatch(r"la_[0-9a-z]{16}", told.pop("id"))
    assert told == {
        "kind": "resource_link", "expires_at": "2026-11-02T17:00:00+00:00", "return_url": f"{HOST}/back",
        "person": {"role": "student", "name": "Givenp2 Familyp2"}, "class": {"title": "Class kA", "matched": "sis"},
        "activity": {"your_id": "fractions-1", "column": "none"}, "withheld": ["person.email", "person.locale"],
        "can": {"members": False, "grades": False, "read_back": False},
    }  # fmt: skip


def test_a_code_is_good_once(gate: Gate) -> None:
    code = code_of(launch(gate, "p2"))
    assert exchange(gate.app, code).status_code == 200
    again = exchange(gate.app, code)
    assert (again.status_code, again.json["code"]) == (404, "LTI_CODE")


@pytest.mark.parametrize(("seconds", "status"), [(59, 200), (61, 404)])
def test_a_code_is_good_for_a_minute(gate: Gate, seconds: int, status: int) -> None:
    code = code_of(launch(gate, "p2"))
    gate.app.sign_in()
    gate.world.clock.forward(seconds=seconds)
    assert exchange(gate.app, code).status_code == status
    gate.world.clock.forward(seconds=-seconds)


def test_a_code_is_good_for_its_own_application_only_and_a_strangers_try_does_not_use_it_up(
    gate: Gate, other: Caller
) -> None:
    code = code_of(launch(gate, "p2"))
    tried = exchange(other, code)
    assert (tried.status_code, tried.json["code"]) == (404, "LTI_CODE")
    assert exchange(gate.app, code).status_code == 200


@pytest.mark.parametrize("code", ["x" * 43, "x" * 20])
def test_a_made_up_code_opens_nothing(gate: Gate, code: str) -> None:
    assert exchange(gate.app, code).json["code"] == "LTI_CODE"


def test_the_exchange_is_in_the_ledger_with_the_names_of_elements_and_no_values(gate: Gate) -> None:
    before = len(gate.world.ledger("A"))
    told = entered(gate, "p2")
    noted, sent = gate.world.ledger("A")[before:]
    assert (noted["type"], noted["outcome"], sent["type"], sent["outcome"]) == (
        "decision",
        "partial",
        "intent",
        "partial",
    )
    assert sent["elements"] == ["class.section", "launch.context", "person.name.full", "person.role", "record.alias"]
    assert {one["element"] for one in sent["withheld"]} == set(told["withheld"])
    assert (sent["operation"], sent["subjects"]) == ("launch.handover", 1)
    for value in ('"p2"', told["person"]["id"], told["id"], "lms-p2", "course-1", gate.lms.client_id, "Class kA"):
        assert value not in json.dumps([noted, sent])


def test_what_is_kept_of_a_launch_names_nobody(gate: Gate) -> None:
    told = entered(gate, "p2", email="p2@pupils.example")
    row = gate.admin.execute("SELECT l::text FROM launch l WHERE launch = %s", (told["id"],)).fetchone()
    assert not [word for word in ("Name of", "Given", "Family", "pupils.example", "eyJ") if word in row[0]]


# --- a pupil whose family said no --------------------------------------------------------------------


def refuse(gate: Gate, pupil: str) -> None:
    code, _ = rights_request.issue_code(gate.world.office, gate.world.by, gate.world.places["A"], pupil)
    rights_request.refuse(gate.world.office, code)


def as_seen(answer: TestResponse) -> tuple[int, str, list[str]]:
    """An answer as its reader sees it, but for the support number."""
    return answer.status_code, re.sub(r"req_\w+", "", answer.text), [name for name, _ in answer.headers]


def test_a_denied_pupil_sees_what_an_unknown_person_sees(gate: Gate) -> None:
    unknown = launch(gate, "p99")
    refuse(gate, "p6")
    denied = launch(gate, "p6")
    assert refusal_of(denied) == "LTI_PERSON"
    assert as_seen(denied) == as_seen(unknown)
    assert gate.world.denials("A")[-2:] == ["OWN_NOT_ASSOCIATED", "RET_RESTRICTED"]


def test_a_refusal_between_launch_and_exchange_counts(gate: Gate) -> None:
    code = code_of(launch(gate, "p8"))
    refuse(gate, "p8")
    answer = exchange(gate.app, code)
    assert (answer.status_code, answer.json["code"]) == (404, "OWN_NOT_ASSOCIATED")
    assert "RET" not in answer.text
    assert gate.world.denials("A")[-1] == "RET_RESTRICTED"
    assert exchange(gate.app, code).json["code"] == "LTI_CODE"
