"""Hostile notices: what a platform tells us by itself is held to what its launches are held to (LV-33).

Outside, a batch of them is answered as any other is; what was refused is on record, and nothing came of it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from gateway.flows import launch
from tests.platforms import HOST, LTI, rsa_key
from tests.refused.gate import ABSENT, EVIL, GOOD, URL, Gate, flipped, open_gate, sealed, signed, text

COPY = "LtiContextCopyNotice"
Spoil = Callable[[Gate, dict[str, Any]], str]


@pytest.fixture(scope="module")
def gate(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with open_gate(addresses, tmp_path_factory.mktemp("notices")) as made:
        yield made


_numbers = iter(range(1, 10_000))


def said(gate: Gate, **changes: Any) -> dict[str, Any]:
    """The claims of a good notice that a linked course was copied, but for these changes."""
    now, number = int(gate.world.clock.at.timestamp()), next(_numbers)
    good = {
        "iss": HOST, "aud": gate.lms.client_id, "azp": gate.lms.client_id, "iat": now, "exp": now + 3600,
        "nonce": f"n{number}", "version": "1.3.0", "deployment_id": gate.lms.deployment_id,
        "notice": {"id": f"notice-{number}", "timestamp": "2026-11-02T09:00:00Z", "type": COPY},
        "context": {"id": f"copy-{number}", "title": "Algebra again"}, "origin_contexts": ["course-1"],
    } | changes  # fmt: skip
    long = ("version", "deployment_id", "notice", "context", "origin_contexts")
    return {LTI + name if name in long else name: value for name, value in good.items() if value is not ABSENT}


def send(gate: Gate, *tokens: Any, **how: Any) -> TestResponse:
    body = {"notices": [{"jwt": token} for token in tokens]}
    return gate.world.client.post("/lti/notices", base_url=URL, **(how or {"json": body}))


def waiting(gate: Gate) -> set[str]:
    rows = gate.admin.execute("SELECT context_id FROM waiting_link WHERE copied_from <> '{}'").fetchall()
    return {row[0] for row in rows}


def kept(gate: Gate) -> Counter[str]:
    """What is on record as refused, by code."""
    return Counter(row[0] for row in gate.admin.execute("SELECT code FROM failed_launch").fetchall())


def changed(**changes: Any) -> Spoil:
    """Truly signed, with these claims otherwise; what is callable is asked of the gate."""
    return lambda gate, _: signed(GOOD, said(gate, **{k: v(gate) if callable(v) else v for k, v in changes.items()}))


def at(seconds: int) -> Callable[[Gate], int]:
    return lambda gate: int(gate.world.clock.at.timestamp()) + seconds


def of(**notice: Any) -> dict[str, Any]:
    whole = {"id": "n", "timestamp": "2026-11-02T09:00:00Z", "type": COPY} | notice
    return {name: value for name, value in whole.items() if value is not ABSENT}


def twice(claims: dict[str, Any]) -> bytes:
    return json.dumps(claims).encode()[:-1] + b', "iss": 1}'


# What is refused before anything vouches for it, and after its platform has signed it.
UNPROVEN: dict[str, tuple[str, Spoil]] = {
    "not signed": ("LTI_ALG", lambda g, c: f"{text({'alg': 'none', 'kid': 'k1'})}.{text(c)}.e30"),
    "no signature": ("LTI_TOKEN", lambda g, c: f"{text(GOOD)}.{text(c)}."),
    "a signature of another token": ("LTI_SIGNATURE", lambda g, c: flipped(signed(GOOD, c), -10)),
    "another's key": ("LTI_SIGNATURE", lambda g, c: signed(GOOD, c, rsa_key(7))),
    "the other client's key": ("LTI_KEY_UNKNOWN", lambda g, c: signed(GOOD | {"kid": "k2"}, c, rsa_key(1))),
    "an unknown key": ("LTI_KEY_UNKNOWN", lambda g, c: signed(GOOD | {"kid": "k9"}, c)),
    "a claim twice": ("LTI_TOKEN", lambda g, c: sealed(f"{text(GOOD)}.{text(twice(c))}")),
    "no issuer": ("LTI_ISS", changed(iss=ABSENT)),
    "an unknown issuer": ("LTI_ISSUER_UNKNOWN", changed(iss=EVIL)),
    "an unknown client": ("LTI_ISSUER_UNKNOWN", changed(aud="nobody", azp=ABSENT)),
    "no client": ("LTI_AUD", changed(aud=ABSENT)),
    "an object for a client": ("LTI_AUD", changed(aud={}, azp=ABSENT)),
    "a number for a token": ("LTI_TOKEN", lambda g, c: 7),  # type: ignore[dict-item]
    "an empty token": ("LTI_TOKEN", lambda g, c: ""),
}  # fmt: skip
PROVEN: dict[str, tuple[str, Spoil]] = {
    "another audience beside us": ("LTI_AUD_UNTRUSTED", changed(aud=lambda g: [g.lms.client_id, "x"])),
    "the azp of another": ("LTI_AZP", changed(azp="x")),
    "expired": ("LTI_EXP", changed(exp=at(-60))),
    "no expiry": ("LTI_EXP", changed(exp=ABSENT)),
    "601 seconds old": ("LTI_IAT", changed(iat=at(-601))),
    "of tomorrow": ("LTI_IAT", changed(iat=at(3600), exp=at(4000))),
    "good for a week": ("LTI_LIFETIME", changed(exp=at(604_800))),
    "not valid yet": ("LTI_NBF", changed(nbf=at(61))),
    "another version": ("LTI_VERSION", changed(version="1.2.0")),
    "no deployment": ("LTI_DEPLOYMENT", changed(deployment_id=ABSENT)),
    "an unknown deployment": ("LTI_DEPLOYMENT", changed(deployment_id="9")),
    "another client's deployment": ("LTI_DEPLOYMENT", changed(deployment_id="2")),
    "another district's deployment": ("LTI_DEPLOYMENT", changed(deployment_id="3")),
    "no notice": ("LTI_NOTICE", changed(notice=ABSENT)),
    "a word for a notice": ("LTI_NOTICE", changed(notice=COPY)),
    "no id": ("LTI_NOTICE", changed(notice=of(id=ABSENT))),
    "an empty id": ("LTI_NOTICE", changed(notice=of(id=""))),
    "a long id": ("LTI_NOTICE", changed(notice=of(id="n" * 256))),
    "no time": ("LTI_NOTICE", changed(notice=of(timestamp=ABSENT))),
    "a word for a time": ("LTI_NOTICE", changed(notice=of(timestamp="now"))),
    "an unknown type": ("LTI_NOTICE", changed(notice=of(type="LtiPartyNotice"))),
    "a list for a type": ("LTI_NOTICE", changed(notice=of(type=[COPY]))),
    "no course": ("LTI_NOTICE", changed(context=ABSENT)),
    "a course without an id": ("LTI_NOTICE", changed(context={"title": "x"})),
    "a NUL in a course": ("LTI_NOTICE", changed(context={"id": "c\0"})),
    "a word for origins": ("LTI_NOTICE", changed(origin_contexts="course-1")),
    "21 origins": ("LTI_NOTICE", changed(origin_contexts=["course-1"] * 21)),
}  # fmt: skip


@pytest.mark.parametrize("what", [*UNPROVEN, *PROVEN])
def test_a_hostile_notice_comes_to_nothing_and_its_sender_is_not_told(gate: Gate, what: str) -> None:
    """The good one beside it is taken."""
    code, spoil = (UNPROVEN | PROVEN)[what]
    claims, good = said(gate), said(gate)
    token, before, on_record = spoil(gate, claims), waiting(gate), kept(gate)
    with capture_logs() as log:
        answer = send(gate, token, signed(GOOD, good))
    assert (answer.status_code, answer.data, answer.headers["Cache-Control"]) == (200, b"", "no-store")
    assert waiting(gate) - before == {good[LTI + "context"]["id"]}
    assert [entry["code"] for entry in log if entry["event"] == "notice_refused"] == [code]
    assert kept(gate) - on_record == (Counter([code]) if what in PROVEN else Counter())
    assert not [word for word in ("eyJ", "Algebra", "course-1", "copy-") if word in str(log)]


def test_a_notice_counts_once_even_in_another_token_and_for_twenty_at_once(gate: Gate) -> None:
    claims = said(gate)
    token = signed(GOOD, claims)

    def post(_: int) -> int:
        client = gate.world.app.test_client(use_cookies=False)
        return client.post("/lti/notices", base_url=URL, json={"notices": [{"jwt": token}]}).status_code

    with capture_logs() as log, ThreadPoolExecutor(20) as crowd:
        assert set(crowd.map(post, range(20))) == {200}
    assert sorted(entry["state"] for entry in log if entry["event"] == "notice") == ["repeated"] * 19 + ["taken"]
    again = claims | {"nonce": "another", LTI + "context": {"id": "elsewhere"}}
    send(gate, signed(GOOD, again))
    assert "elsewhere" not in waiting(gate)


def test_another_platform_may_use_the_same_id(gate: Gate) -> None:
    claims = said(gate)
    send(gate, signed(GOOD, claims))
    theirs = claims | {"aud": gate.second.client_id, "azp": gate.second.client_id, LTI + "deployment_id": "2",
                       LTI + "context": {"id": "theirs"}, LTI + "origin_contexts": ["course-2"]}  # fmt: skip
    send(gate, signed(GOOD | {"kid": "k2"}, theirs, rsa_key(1)))
    assert "theirs" in waiting(gate)


def test_it_is_forgotten_when_its_token_can_no_longer_be_good(gate: Gate) -> None:
    """A day later; a token of ours lives for ten minutes from its issue."""
    before = {row[0] for row in gate.admin.execute("SELECT nonce_hash FROM launch_nonce").fetchall()}
    send(gate, signed(GOOD, said(gate)))
    rows = gate.admin.execute("SELECT nonce_hash, expires_at FROM launch_nonce").fetchall()
    (until,) = (at for name, at in rows if name not in before)
    assert (until - gate.world.clock.at).total_seconds() == 86_400


def test_a_registration_that_is_switched_off_midway_takes_no_notice(gate: Gate) -> None:
    token = signed(GOOD, said(gate))
    gate.admin.execute("UPDATE registration SET status = 'disabled' WHERE client_id = %s", (gate.lms.client_id,))
    before = waiting(gate)
    with capture_logs() as log:
        send(gate, token)
    gate.admin.execute("UPDATE registration SET status = 'active' WHERE client_id = %s", (gate.lms.client_id,))
    assert waiting(gate) == before
    assert [entry["code"] for entry in log if entry["event"] == "notice_refused"] == ["LTI_REGISTRATION_DISABLED"]
    send(gate, token)
    assert len(waiting(gate)) == len(before) + 1


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{}", b'{"notices": {}}', b'{"notices": []}', b'{"notices": [], "notices": [1]}', b"\xff", b"[" * 5000,
    json.dumps({"notices": [{"jwt": "x"}] * 101}).encode(),
])  # fmt: skip
def test_what_is_no_list_of_notices_is_said_to_be_none(gate: Gate, body: bytes) -> None:
    answer = send(gate, data=body, content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (400, "LTI_NOTICE")


def test_a_form_may_bring_the_list_too(gate: Gate) -> None:
    claims = said(gate)
    answer = send(gate, data={"notices": json.dumps([{"jwt": signed(GOOD, claims)}, "x"])})
    assert answer.status_code == 200
    assert claims[LTI + "context"]["id"] in waiting(gate)


def test_of_a_copy_of_what_nobody_linked_nothing_is_kept(gate: Gate) -> None:
    """An LMS tells of every course that is copied there; what nobody uses would push out what somebody waits for."""
    claims = [said(gate, origin_contexts=["course-77"]), said(gate, origin_contexts=ABSENT),
              said(gate, context={"id": "course-1"}),
              said(gate, origin_contexts=["course-2"])]  # fmt: skip
    before = waiting(gate)
    send(gate, *(signed(GOOD, one) for one in claims))
    assert waiting(gate) == before


def test_a_hello_is_taken(gate: Gate) -> None:
    with capture_logs() as log:
        send(gate, signed(GOOD, said(gate, notice=of(id="hello", type="LtiHelloWorldNotice"), context=ABSENT)))
    assert [entry["state"] for entry in log if entry["event"] == "notice"] == ["taken"]


def test_what_a_platform_signed_and_was_refused_is_listed_for_its_district(gate: Gate) -> None:
    send(gate, signed(GOOD, said(gate, origin_contexts="x")))
    rows = launch.failures(gate.world.office, gate.world.by, gate.lms.deployment)
    assert ("LTI_NOTICE", COPY) in [(row.code, row.facts["message_type"]) for row in rows]
