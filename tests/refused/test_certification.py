"""The payloads of the certification guide for tools (LTI Advantage conformance, section 6.1), by its own names.

A bad one is refused with the code of what is bad. A good one is always admitted by the gate; whether somebody then
comes in is the policy's: a launch of no course, and a person whom the roster does not know, are refused after it, in
words of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from gateway.identity.launch import GatewayLaunch
from tests.platforms import LTI, ROLE, Login, code_of, refusal_of
from tests.refused.gate import ABSENT, GOOD, Gate, open_gate, signed

LIS, ROLES, CONTEXT = LTI + "lis", LTI + "roles", LTI + "context"
PII = ("name", "given_name", "family_name", "middle_name", "email", "locale", "picture", "zoneinfo")


@pytest.fixture(scope="module")
def gate(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with open_gate(addresses, tmp_path_factory.mktemp("certification")) as made:
        yield made


# --- bad payloads --------------------------------------------------------------------------------------


def claims(*absent: str, **changed: Any) -> dict[str, Any]:
    return {LTI + name: ABSENT for name in absent} | {LTI + name: value for name, value in changed.items()}


BAD: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "no key id in the header": ("LTI_KID", {"kid": ABSENT}, {}),
    "an incorrect key id in the header": ("LTI_KEY_UNKNOWN", {"kid": "imstester_66067"}, {}),
    "the wrong LTI version": ("LTI_VERSION", {}, claims(version="11.3")),
    "no LTI version": ("LTI_VERSION", {}, claims("version")),
    "an invalid LTI message: a token of another kind": (
        "LTI_VERSION", {},
        claims("version", "message_type", "deployment_id", "target_link_uri", "roles", "resource_link", "context",
               "lis")),
    "an invalid LTI message: claims under other names": (
        "LTI_VERSION", {}, claims("version", "message_type") | {"version": "1.3.0", "message_type": "x"}),
    "missing LTI claims": ("LTI_DEPLOYMENT", {}, claims("deployment_id", "target_link_uri", "roles", "resource_link")),
    "incorrect timestamps: issued and expired long ago": ("LTI_EXP", {}, {"iat": 11_111, "exp": 22_222}),
    "incorrect timestamps: expired": ("LTI_EXP", {}, {"exp": 22_222}),
    "incorrect timestamps: issued long ago": ("LTI_IAT", {}, {"iat": 11_111}),
    "no message type": ("LTI_MESSAGE_TYPE", {}, claims("message_type")),
    "no roles": ("LTI_ROLES", {}, claims("roles")),
    "no deployment id": ("LTI_DEPLOYMENT", {}, claims("deployment_id")),
    "no resource link id": ("LTI_RESOURCE_LINK", {}, claims(resource_link={"title": "Check"})),
    "no resource link": ("LTI_RESOURCE_LINK", {}, claims("resource_link")),
    "no user": ("LTI_SUB", {}, {"sub": ABSENT}),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_payload_is_refused_with_the_code_of_what_is_bad(gate: Gate, what: str) -> None:
    code, header, changes = BAD[what]
    before, login = gate.inside(), gate.lms.login(gate.world)
    parts = {name: value for name, value in (GOOD | header).items() if value is not ABSENT}
    assert refusal_of(gate.post(signed(parts, gate.said(login, changes)), login)) == code
    assert gate.inside() == before


# --- good payloads -------------------------------------------------------------------------------------


def without(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, ABSENT)


VOCABULARY = "http://purl.imsglobal.org/vocab/lis/v2/"
PEOPLE = {"teacher": ("tA", "Instructor"), "student": ("p2", "Learner")}
NAMES = {"given_name": "Jane", "family_name": "Doe", "name": "Jane Doe"}
GOOD_ONES: dict[str, dict[str, Any]] = {
    "several roles": {ROLES: lambda role: [
        ROLE + role, f"{VOCABULARY}institution/person#{role}", f"{VOCABULARY}system/person#User"]},
    "a short role": {ROLES: lambda role: [role]},
    "an unknown role": {ROLES: lambda role: [f"{VOCABULARY}uknownrole/unknown#Helper"]},
    "no role": {ROLES: lambda role: []},
    "an e-mail only": without(*PII) | {"email": "jane@platform.example"},
    "names only": without(*PII) | NAMES,
    "nothing personal": without(*PII),
    "an e-mail without a course": without(*PII, CONTEXT) | {"email": "jane@platform.example"},
}  # fmt: skip
KNOWN = {"known": {}, "unknown": {LIS: ABSENT}}
CASES = [(who, what, known) for who in PEOPLE for what in GOOD_ONES for known in KNOWN]


def payload(who: str, what: str, known: str) -> dict[str, Any]:
    """The claims that differ from a plain launch; `unknown` is one whose SIS id the platform does not send."""
    person, role = PEOPLE[who]
    said = {name: value(role) if callable(value) else value for name, value in GOOD_ONES[what].items()}
    sub = f"{known}-{person}"
    return {"sub": sub, LIS: {"person_sourcedid": person}, ROLES: [ROLE + role]} | said | KNOWN[known]


def admitted(gate: Gate, token: str, login: Login) -> bool:
    """Whether the gate itself, before any policy, finds nothing wrong with it. Raises Refused."""
    form, parts = {"id_token": token, "state": login.asked["state"]}, gate.world.parts
    door = GatewayLaunch(form, login.cookies, parts.registrations, parts.states, parts.keys, parts.clock)
    return door.validate().admitted is not None


@pytest.mark.parametrize(("who", "what", "known"), CASES)
def test_a_good_payload_passes_the_gate_and_then_meets_the_policy(gate: Gate, who: str, what: str, known: str) -> None:
    login = gate.lms.login(gate.world)
    token = gate.token(login, payload(who, what, known))
    assert admitted(gate, token, login)
    answer = gate.post(token, login)
    after = "LTI_CONTEXT" if what == "an e-mail without a course" else "LTI_PERSON" if known == "unknown" else ""
    if after:
        assert (answer.status_code, refusal_of(answer)) == (403, after)
        return
    told = gate.app.call("POST", "/v1/launches/exchange", json={"code": code_of(answer)}).json
    assert told["person"]["role"] == who
