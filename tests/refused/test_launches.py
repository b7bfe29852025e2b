"""Hostile logins and launches, named by the check of the launch gate (LI, LV) that each of them tries.

Each is refused with its own code; nobody is let in, nobody else is called, and the answer tells nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from gateway.app import create_app
from gateway.clock import Ids
from gateway.errors import VOCABULARY
from gateway.flows import launch, on_file
from gateway.identity.states import States
from gateway.store import on_file as store
from gateway.store import tables
from gateway.store.secrets import Vault
from gateway.web import limits
from tests.platforms import HOST, LTI, ROLE, Login, Platform, application, refusal_of
from tests.refused.gate import ABSENT, EVIL, URL, Attack, Gate, cookie_header, flipped, open_gate
from tests.refused.hostile_tokens import hostile_tokens
from tests.worlds import World

SCRIPT = "<script>alert(1)</script>"
TEST_USER = "http://purl.imsglobal.org/vocab/lti/system/person#TestUser"


@pytest.fixture(scope="module")
def gate(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with open_gate(addresses, tmp_path_factory.mktemp("launches")) as made:
        yield made


# --- states, browsers, forms -------------------------------------------------------------------------


def state(spoil: Callable[[Gate, Login], str | None], seconds: float = 0) -> Attack:
    """A good token of a true login, posted with another state, or so many seconds later."""

    def attack(gate: Gate) -> TestResponse:
        login = gate.lms.login(gate.world)
        gate.world.clock.forward(seconds=seconds)
        answer = gate.post(gate.token(login, {}), login, state=spoil(gate, login))
        gate.world.clock.forward(seconds=-seconds)
        return answer

    return attack


def of_another_key(gate: Gate, login: Login) -> str:
    forged = States(Vault(bytes(32)), gate.world.clock.clock, Ids())
    at_home = gate.world.parts.registrations.platform(HOST, gate.lms.client_id)
    state, word = forged.make(at_home, "1", f"{URL}/lti/launch")
    login.cookies |= dict([forged.cookie(state)])
    return word


STATES: dict[str, Attack] = {
    "LV-03 made up": state(lambda gate, login: "x" * 43), "LV-03 empty": state(lambda gate, login: ""),
    "LV-03 in other letters": state(lambda gate, login: "stàte"), "LI-6 of another gateway": state(of_another_key),
    "LI-6 tampered at the head": state(lambda gate, login: flipped(login.asked["state"], 12)),
    "LI-6 tampered at the tail": state(lambda gate, login: flipped(login.asked["state"], -3)),
    "LI-6 cut": state(lambda gate, login: login.asked["state"][:-1]),
    "LI-6 ten minutes old": state(lambda gate, login: login.asked["state"], 601),
    "LI-6 from the future": state(lambda gate, login: login.asked["state"], -5),
}  # fmt: skip


def browser(cookies: Callable[[Gate, Login], dict[str, str]]) -> Attack:
    def attack(gate: Gate) -> TestResponse:
        login = gate.lms.login(gate.world)
        return gate.post(gate.token(login, {}), login, cookies(gate, login))

    return attack


BROWSERS: dict[str, Attack] = {
    "LV-04 without a cookie": browser(lambda gate, login: {}),
    "LV-04 with another login's cookie": browser(lambda gate, login: gate.lms.login(gate.world).cookies),
    "LV-04 with another value": browser(lambda gate, login: dict.fromkeys(login.cookies, "0" * 52)),
    "LV-04 with an empty value": browser(lambda gate, login: dict.fromkeys(login.cookies, "")),
    "LV-04 with a cookie of its own naming": browser(lambda gate, login: {"state": login.asked["state"]}),
    "LV-03 with the state of another login": state(lambda gate, login: gate.lms.login(gate.world).asked["state"]),
}  # fmt: skip


def form(write: Callable[[str, str], dict[str, Any]]) -> Attack:
    """A true login's token and state, sent by its own browser in this way."""

    def attack(gate: Gate) -> TestResponse:
        login = gate.lms.login(gate.world)
        sent = {"method": "POST", "headers": cookie_header(login)} | write(gate.token(login, {}), login.asked["state"])
        return gate.world.client.open("/lti/launch", base_url=URL, **sent)

    return attack


FORMS: tuple[tuple[str, str, Callable[[str, str], dict[str, Any]]], ...] = (
    ("LV-01 by GET", "REQ_METHOD", lambda t, s: {"method": "GET", "query_string": {"id_token": t, "state": s}}),
    ("LV-01 by PUT", "REQ_METHOD", lambda t, s: {"method": "PUT", "data": {"id_token": t, "state": s}}),
    ("LV-01 all in the query", "LTI_FORM", lambda t, s: {"query_string": {"id_token": t, "state": s}}),
    ("LV-01 state in the query", "LTI_FORM", lambda t, s: {"query_string": {"state": s}, "data": {"id_token": t}}),
    ("LV-01 more in the query", "LTI_FORM", lambda t, s: {"query_string": "a=1", "data": {"id_token": t, "state": s}}),
    ("LV-01 two tokens", "LTI_FORM", lambda t, s: {"data": {"id_token": [t, t], "state": s}}),
    ("LV-01 two states", "LTI_FORM", lambda t, s: {"data": {"id_token": t, "state": [s, s]}}),
    ("LV-01 no token", "LTI_FORM", lambda t, s: {"data": {"state": s}}),
    ("LV-01 no state", "LTI_FORM", lambda t, s: {"data": {"id_token": t}}),
    ("LV-01 nothing", "LTI_FORM", lambda t, s: {}),
    ("LV-01 as JSON", "LTI_FORM", lambda t, s: {"json": {"id_token": t, "state": s}}),
    ("LV-06 of 1 MB", "REQ_TOO_LARGE", lambda t, s: {"data": {"id_token": t + "x" * (1 << 20), "state": s}}),
    ("LV-02 login_required", "LTI_PLATFORM_ERROR", lambda t, s: {"data": {"error": "login_required", "state": s}}),
    ("LV-02 beside a token", "LTI_PLATFORM_ERROR", lambda t, s: {"data": {"error": "x", "id_token": t, "state": s}}),
    ("LV-02 with a script", "LTI_PLATFORM_ERROR", lambda t, s: {"data": {"error": SCRIPT, "state": s}}),
    ("LV-02 without state", "LTI_FORM", lambda t, s: {"data": {"error": "login_required"}}),
    ("LV-02 with a foreign state", "LTI_STATE", lambda t, s: {"data": {"error": "x", "state": "x" * 43}}),
)  # fmt: skip

# --- logins and people -------------------------------------------------------------------------------


def login(method: str = "GET", **changes: Any) -> Attack:
    return lambda gate: gate.lms.login(gate.world, method, **changes).answer


def switched_off(gate: Gate) -> TestResponse:
    lms = Platform(issuer="https://off.example").register(gate.world, "A")
    gate.admin.execute("UPDATE registration SET status = 'disabled' WHERE client_id = %s", (lms.client_id,))
    return lms.login(gate.world).answer


def posted_in_the_query(gate: Gate) -> TestResponse:
    return gate.world.client.post("/lti/login", query_string=gate.lms.parameters(gate.world), base_url=URL)


TARGETS = (
    f"{EVIL}/lti/launch", "https://gateway.example@evil.example/lti/launch", "//evil.example/lti/launch", URL,
    f"{URL}.evil.example/lti/launch", f"{URL}/lti/launch/../x", f"{URL}/lti/launch?next={EVIL}", f"{URL}/lti/launch#x",
    "http://gateway.example/lti/launch", "javascript:alert(1)", f"{URL}/lti/login", f"{URL}:8443/lti/launch",
    f" {URL}/lti/launch", f"{URL}/LTI/launch", f"{URL}/lti/launch\0",
)  # fmt: skip
NEEDED = {"iss": "LTI_LOGIN_ISS", "login_hint": "LTI_LOGIN_HINT", "target_link_uri": "LTI_LOGIN_TARGET"}
WORSE = {"no": None, "an empty": "", "a long": "x" * 2049}
LOGINS: tuple[tuple[str, str, Attack], ...] = (
    ("LI-1 by PUT", "REQ_METHOD", login("PUT")),
    ("LI-1 by POST, all in the query", "LTI_LOGIN_ISS", posted_in_the_query),
    *((f"LI-2 {what} {name} by {method}", code, login(method, **{name: value}))
      for name, code in NEEDED.items() for what, value in WORSE.items() for method in ("GET", "POST")),
    ("LI-2 a long hint", "LTI_LOGIN_PARAMETER", login(lti_message_hint="x" * 8193)),
    ("LI-2 two issuers", "LTI_LOGIN_PARAMETER", login(iss=[HOST, EVIL])),
    ("LI-2 two clients by POST", "LTI_LOGIN_PARAMETER", login("POST", client_id=["x", "y"])),
    ("LI-3 an unknown issuer", "LTI_ISSUER_UNKNOWN", login(iss=EVIL)),
    ("LI-3 an issuer with a slash", "LTI_ISSUER_UNKNOWN", login(iss=HOST + "/")),
    ("LI-3 an issuer with a NUL", "LTI_ISSUER_UNKNOWN", login(iss=HOST + "\0")),
    ("LI-3 an unknown client", "LTI_ISSUER_UNKNOWN", login(client_id="nobody")),
    ("LI-3 a client with a NUL", "LTI_ISSUER_UNKNOWN", login(client_id="\0")),
    ("LI-3 a client of another issuer", "LTI_ISSUER_UNKNOWN", lambda g: login(client_id=g.strange.client_id)(g)),
    ("LI-3 two registrations, no client, no deployment", "LTI_REGISTRATION_AMBIGUOUS",
     login(client_id=None, lti_deployment_id=None)),
    ("LI-3 a registration switched off", "LTI_ISSUER_UNKNOWN", switched_off),
    *((f"LI-4 {url!r}", "LTI_TARGET_NOT_ALLOWED", login(target_link_uri=url)) for url in TARGETS),
    *((f"LI-9 {frame!r}", "LTI_STORAGE_TARGET", login(lti_storage_target=frame))
      for frame in ('"><script>', "", "a b", "x" * 65, "_parent\n")),
)  # fmt: skip


def person(sub: str, *, by: str = "lms", deployment: str = "", **changes: Any) -> Attack:
    """A true launch of somebody: `by` which LMS, of which deployment that its login did not name."""
    names = {name: LTI + name for name in ("lis", "context", "roles")}
    said = {"sub": sub, **{names.get(name, name): value for name, value in changes.items()}}
    if not deployment:
        return lambda gate: gate.launch(said, getattr(gate, by))
    said[LTI + "deployment_id"] = deployment
    return lambda gate: gate.launch(said, getattr(gate, by), lti_deployment_id=None)


def sis(value: Any) -> dict[str, Any]:
    return {"person_sourcedid": value}


def course(name: str) -> dict[str, Any]:
    return {"id": name}


TEACHER, TESTER = [ROLE + "Instructor"], [ROLE + "Learner", TEST_USER]
PEOPLE: tuple[tuple[str, str, Attack], ...] = (
    ("LV-24 an unknown deployment", "LTI_DEPLOYMENT", person("x", deployment="9")),
    ("LV-24 of another client", "LTI_DEPLOYMENT", person("x", deployment="2")),
    ("LV-24 of another district", "LTI_DEPLOYMENT", person("x", deployment="3")),
    ("LV-24 ours, from a stranger's LMS", "LTI_DEPLOYMENT", person("x", by="strange", deployment="1")),
    ("LV-24 half a surrogate", "LTI_DEPLOYMENT", person("x", deployment="\ud800")),
    ("LV-29 no course", "LTI_CONTEXT", person("x", context=ABSENT)),
    ("a course that is not linked", "LTI_CONTEXT_UNLINKED", person("x", context=course("course-9"))),
    ("a course linked for another client", "LTI_CONTEXT_UNLINKED", person("x", context=course("course-2"))),
    ("our course, from a stranger's LMS", "LTI_CONTEXT_UNLINKED", person("x", by="strange")),
    ("a school without the application", "AGR_NONE", person("x", context=course("course-b"), lis=sis("p1"))),
    *((what, "LTI_PERSON", attack) for what, attack in (
        ("nobody of the roster", person("x", lis=sis("p99"))),
        ("a pupil of the other school", person("x", lis=sis("p1"))),
        ("a teacher of the other school", person("x", lis=sis("tB"), roles=TEACHER)),
        ("known by e-mail only", person("x", lis=ABSENT, email="p2@pupils.example")),
        ("a teacher known by e-mail only", person("x", lis=ABSENT, email="tA@schools.example", roles=TEACHER)),
        ("known by e-mail beside a wrong id", person("x", lis=sis("p99"), email="p2@pupils.example")),
        ("known by name only", person("x", lis=ABSENT, given_name="Givenp2", family_name="Familyp2")),
        ("an e-mail for an id", person("x", lis=sis("p2@pupils.example"))),
        ("a user name for an id", person("x", lis=sis("u.p2"))),
        ("an id in capitals", person("x", lis=sis("P2"))),
        ("an unresolved variable", person("x", lis=sis("$Person.sourcedId"))),
        ("an id only as subject", person("p2", lis=ABSENT)),
        ("an administrator by claim", person("x", lis=ABSENT, roles=[ROLE + "Administrator"])),
        ("a subject that another client knows", person("lms-p2", by="second", lis=ABSENT)),
        ("a test user", person("x", lis=ABSENT, roles=TESTER)),
        ("a test user with a pupil's id", person("tester", lis=sis("p2"), roles=TESTER)),
    )),
)  # fmt: skip

CASES = [
    *(pytest.param(attack, code, id=what) for what, code, attack in (*hostile_tokens(), *LOGINS, *PEOPLE)),
    *(pytest.param(attack, "LTI_STATE", id=what) for what, attack in STATES.items()),
    *(pytest.param(attack, "LTI_BROWSER", id=what) for what, attack in BROWSERS.items()),
    *(pytest.param(form(write), code, id=what) for what, code, write in FORMS),
]  # fmt: skip
CANARIES = ("Name of", "lms-p2", "Givenp2", "pupils.example", "School A", "Test District", "eyJ", SCRIPT)


@pytest.mark.parametrize(("attack", "code"), CASES)
def test_a_hostile_login_or_launch_is_refused_with_its_own_code(gate: Gate, attack: Attack, code: str) -> None:
    """LV-35: and neither the page nor the log tells of the person, the token or the school."""
    before = gate.inside()
    with capture_logs() as log:
        answer = attack(gate)
    assert refusal_of(answer) == code
    assert answer.status_code == VOCABULARY[code].http
    assert gate.inside() == before
    assert {urlsplit(call.request.url).netloc for call in gate.wire.calls} <= {"lms.example"}
    assert not [word for word in CANARIES if word in answer.text + str(log)]
    assert (answer.headers["Referrer-Policy"], answer.headers["Cache-Control"]) == ("no-referrer", "no-store")
    assert "Location" not in answer.headers


# --- what takes more than one step -------------------------------------------------------------------


def test_a_token_posted_again_is_refused_and_so_is_another_of_the_same_login(gate: Gate) -> None:
    """LV-05, LV-21."""
    login = gate.lms.login(gate.world)
    good = gate.token(login, {})
    assert gate.post(good, login).status_code == 303
    before = gate.inside()
    assert refusal_of(gate.post(good, login)) == "LTI_REPLAYED"
    assert refusal_of(gate.post(gate.token(login, {"email": "x@y.example"}), login)) == "LTI_REPLAYED"
    assert gate.inside() == before


def test_one_token_posted_by_a_hundred_at_once_is_one_launch(gate: Gate) -> None:
    """LV-05, LV-21."""
    login = gate.lms.login(gate.world)
    good, (launches, codes, permits) = gate.token(login, {}), gate.inside()
    data = {"id_token": good, "state": login.asked["state"]}

    def post(_: int) -> TestResponse:
        client = gate.world.app.test_client(use_cookies=False)
        return client.post("/lti/launch", base_url=URL, data=data, headers=cookie_header(login))

    with ThreadPoolExecutor(100) as crowd:
        answers = list(crowd.map(post, range(100)))
    assert sorted(a.status_code for a in answers) == [303] + [403] * 99
    assert {refusal_of(a) for a in answers if a.status_code == 403} == {"LTI_REPLAYED"}
    assert gate.inside() == (launches + 1, codes + 1, permits + 1)


def test_a_refused_person_does_not_get_a_second_try_with_the_same_login(gate: Gate) -> None:
    login = gate.lms.login(gate.world)
    nobody = gate.token(login, {"sub": "y", LTI + "lis": sis("p99")})
    assert refusal_of(gate.post(nobody, login)) == "LTI_PERSON"
    assert refusal_of(gate.post(gate.token(login, {}), login)) == "LTI_REPLAYED"


def test_after_an_error_of_the_platform_its_login_is_over(gate: Gate) -> None:
    """LV-02: the state is consumed."""
    login = gate.lms.login(gate.world)
    error = {"error": "login_required", "state": login.asked["state"]}
    gate.world.client.post("/lti/launch", base_url=URL, data=error, headers=cookie_header(login))
    assert refusal_of(gate.post(gate.token(login, {}), login)) == "LTI_REPLAYED"


MIDWAY = {
    "the registration is switched off": (
        "UPDATE registration SET status = 'disabled' WHERE client_id = %(client)s",
        "LTI_ISSUER_UNKNOWN",
    ),
    "the deployment is switched off": (
        "UPDATE deployment SET status = 'disabled' WHERE deployment = %(deployment)s",
        "LTI_DEPLOYMENT",
    ),
    "the school is taken from it": (
        "DELETE FROM deployment_school WHERE deployment = %(deployment)s",
        "LTI_CONTEXT_UNLINKED",
    ),
    "the course is unlinked": ("DELETE FROM context_link WHERE deployment = %(deployment)s", "LTI_CONTEXT_UNLINKED"),
}


@pytest.mark.parametrize("what", MIDWAY)
def test_what_is_ended_between_login_and_launch_lets_nobody_in(gate: Gate, what: str) -> None:
    """LV-34."""
    statement, code = MIDWAY[what]
    lms = Platform(issuer="https://midway.example").register(gate.world, "A").link(gate.world, "A", "kA")
    lms.serve_keys(gate.wire)
    assert gate.launch({}, lms).status_code == 303
    login, before = lms.login(gate.world), gate.inside()
    gate.admin.execute(statement, {"client": lms.client_id, "deployment": lms.deployment})
    assert refusal_of(gate.post(gate.token(login, {}, lms), login)) == code
    assert gate.inside() == before


def end_agreement(world: World) -> None:
    on_file.end(world.office, world.by, "agreement", world.agreements["Mastery App"])


def revoke_direction(world: World) -> None:
    with world.office.database.open_school(world.places["A"]) as session:
        launches = [row for row in store.latest(session, "direction") if row.operation == "launch.handover"]
    on_file.end(world.office, world.by, "direction", launches[0].direction)


@pytest.mark.parametrize(("bound", "code"), [("app.example", None), ("other.example", "AGR_ENDPOINT_MISMATCH")])
def test_a_launch_goes_only_where_the_agreement_says(
    public_world: World, wire: Any, bound: str, code: str | None
) -> None:  # fmt: skip
    application(public_world.standing(), "A", endpoints=[bound])
    lms = Platform().register(public_world, "A").link(public_world, "A", "kA").serve_keys(wire)
    answer = lms.launch(public_world, lms.message("p2"))
    assert (refusal_of(answer) if code else None) == code
    assert public_world.denials("A") == ([code] if code else [])
    assert (answer.status_code == 303) is (code is None)


ENDS = {
    "the agreement is ended": (end_agreement, "AGR_REVOKED"),
    "the direction is revoked": (revoke_direction, "DIR_REVOKED"),
    "both have expired": (lambda world: world.clock.forward(days=1500), "DIR_EXPIRED"),
}


@pytest.mark.parametrize("what", ENDS)
def test_when_what_allowed_it_has_ended_nobody_is_let_in(public_world: World, wire: Any, what: str) -> None:
    end, code = ENDS[what]
    application(public_world.standing(), "A")
    lms = Platform().register(public_world, "A").link(public_world, "A", "kA").serve_keys(wire)
    assert lms.launch(public_world, lms.message("p2")).status_code == 303
    end(public_world)
    assert refusal_of(lms.launch(public_world, lms.message("p2"))) == code
    assert public_world.denials("A") == [code]


def without_support_number(page: str) -> str:
    return re.sub(r"req_[0-9a-z]+", "req", page)


def test_a_deployment_unknown_foreign_or_switched_off_is_refused_in_the_same_words(gate: Gate) -> None:
    """LV-36."""
    off = Platform(issuer="https://off2.example", deployment_id="7").register(gate.world, "A").serve_keys(gate.wire)
    gate.admin.execute("UPDATE deployment SET status = 'disabled' WHERE deployment = %s", (off.deployment,))
    answers = [person("x", deployment="9")(gate), person("x", deployment="3")(gate), gate.launch({}, off)]
    assert len({(a.status_code, without_support_number(a.text)) for a in answers}) == 1


def test_a_login_cannot_choose_where_the_browser_or_its_answer_goes(gate: Gate) -> None:
    """LI-5, LI-7."""
    more = {"auth_url": EVIL, "redirect_uri": EVIL, "authorization_endpoint": EVIL, "response_mode": "query",
            "login_hint": f"u1&redirect_uri={EVIL}&response_type=code", "lti_message_hint": f"m1#{EVIL}"}  # fmt: skip
    sent = urlsplit(gate.lms.login(gate.world, **more).answer.headers["Location"])
    asked = parse_qs(sent.query, strict_parsing=True)
    assert (sent.netloc, sent.path, sent.fragment) == ("lms.example", "/auth", "")
    assert {name: asked[name] for name in ("redirect_uri", "response_type", "response_mode")} == {
        "redirect_uri": [f"{URL}/lti/launch"], "response_type": ["id_token"], "response_mode": ["form_post"],
    }  # fmt: skip
    assert asked["login_hint"] == [more["login_hint"]]
    assert asked["lti_message_hint"] == [more["lti_message_hint"]]


def test_logins_that_nobody_finishes_leave_nothing_behind(gate: Gate) -> None:
    """LI-8."""
    unfinished(gate, 100)


@pytest.mark.invariants
def test_a_hundred_thousand_logins_that_nobody_finishes_leave_nothing_behind(gate: Gate) -> None:
    unfinished(gate, 100_000)


def unfinished(gate: Gate, count: int) -> None:

    def rows() -> list[Any]:
        return [
            gate.admin.execute(f'SELECT count(*) FROM "{t.name}"').fetchone()
            for t in (t for t in tables.metadata.tables.values() if not t.schema)
        ]

    before = rows()
    registrations, states = gate.world.parts.registrations, gate.world.parts.states
    own = [sys.getsizeof(vars(states)), len(registrations._memory)]
    if count <= 100:
        assert {gate.lms.login(gate.world).answer.status_code for _ in range(count)} == {302}
    else:  # past the rate limit of one address
        said = gate.lms.parameters(gate.world)
        assert all(launch.begin(gate.world.parts, said).url for _ in range(count))
    assert rows() == before
    assert own == [sys.getsizeof(vars(states)), len(registrations._memory)]


def test_a_flood_of_logins_is_held_back(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """LI-8. More than two windows' worth, so that a minute may end in between."""
    monkeypatch.setattr(limits, "LAUNCHES", "20 per minute")
    client = create_app(gate.world.parts).test_client(use_cookies=False)
    answers = [client.get("/lti/login", base_url=URL) for _ in range(41)]
    assert {a.status_code for a in answers} == {400, 429}
    held = next(a for a in answers if a.status_code == 429)
    assert (refusal_of(held), held.headers["Retry-After"].isdigit()) == ("RATE_LIMITED", True)
