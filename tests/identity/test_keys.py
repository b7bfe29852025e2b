"""Keys: how long those of a platform are remembered, how often it is asked, and how our own are kept and published."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.test import TestResponse

from gateway.app import create_app, make_parts
from gateway.errors import Refused
from gateway.identity import keys
from gateway.store.secrets import Vault, WrongKey, open_vault
from tests.platforms import Platform, public_jwk, refusal_of, rsa_key
from tests.refused.gate import URL, Gate, cookie_header, open_gate, signed

K1, K2 = public_jwk(rsa_key(), kid="k1"), public_jwk(rsa_key(1), kid="k2")


@pytest.fixture(scope="module")
def gate(addresses: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    with open_gate(addresses, tmp_path_factory.mktemp("keys")) as made:
        yield made


@pytest.fixture
def lms(gate: Gate) -> Platform:
    """An LMS that was registered just now; its keys k1 are served and were never read."""
    made = Platform(issuer=f"https://lms{secrets.token_hex(4)}.example").register(gate.world, "A")
    return made.link(gate.world, "A", "kA").serve_keys(gate.wire, K1)


def now_serves(gate: Gate, lms: Platform, *keys: dict[str, Any], **reply: Any) -> None:
    """From now on the platform's key set is this, or answers like this."""
    gate.wire.upsert("GET", lms.jwks_url, **reply or {"json": {"keys": list(keys)}})


def fetches(gate: Gate, lms: Platform) -> int:
    return sum(call.request.url == lms.jwks_url for call in list(gate.wire.calls))


def launch(gate: Gate, lms: Platform, kid: str = "k1", key: Any = None) -> str:
    """Launch with a token signed by this key; say how it ended."""
    login = lms.login(gate.world)
    answer = gate.post(signed({"alg": "RS256", "kid": kid}, gate.said(login, {}, lms), key), login)
    return "in" if answer.status_code == 303 else refusal_of(answer)


# --- keys of platforms -------------------------------------------------------------------------------


def test_a_key_set_is_fresh_for_five_minutes(gate: Gate, lms: Platform) -> None:
    assert launch(gate, lms) == "in"
    gate.world.clock.forward(minutes=4, seconds=59)
    assert (launch(gate, lms), fetches(gate, lms)) == ("in", 1)
    gate.world.clock.forward(seconds=2)
    assert (launch(gate, lms), fetches(gate, lms)) == ("in", 2)


def test_a_withdrawn_key_is_refused_after_five_minutes_at_the_latest(gate: Gate, lms: Platform) -> None:
    assert launch(gate, lms) == "in"
    now_serves(gate, lms, K2)
    gate.world.clock.forward(minutes=5, seconds=1)
    assert launch(gate, lms) == "LTI_KEY_UNKNOWN"
    assert launch(gate, lms, "k2", rsa_key(1)) == "in"


def test_a_new_key_is_taken_at_once(gate: Gate, lms: Platform) -> None:
    assert launch(gate, lms) == "in"
    gate.world.clock.forward(seconds=31)
    now_serves(gate, lms, K1, K2)
    assert launch(gate, lms, "k2", rsa_key(1)) == "in"
    assert (launch(gate, lms), fetches(gate, lms)) == ("in", 2)


def test_unknown_keys_provoke_one_fetch_in_thirty_seconds(gate: Gate, lms: Platform) -> None:
    """LV-10."""
    assert launch(gate, lms) == "in"
    for fetched in (2, 3):
        gate.world.clock.forward(seconds=31)
        assert {launch(gate, lms, f"k-{secrets.token_hex(4)}") for _ in range(10)} == {"LTI_KEY_UNKNOWN"}
        assert fetches(gate, lms) == fetched
    gate.world.clock.forward(seconds=29)
    assert (launch(gate, lms, "k-late"), fetches(gate, lms)) == ("LTI_KEY_UNKNOWN", 3)


@pytest.mark.invariants
def test_ten_thousand_bogus_keys_provoke_one_fetch_in_thirty_seconds(gate: Gate, lms: Platform) -> None:
    """LV-10."""
    assert launch(gate, lms) == "in"
    gate.world.clock.forward(seconds=31)
    keys, platform = gate.world.parts.keys, gate.world.parts.registrations.platform(lms.issuer, lms.client_id)
    for _ in range(10_000):
        with pytest.raises(Refused) as refused:
            keys.key(platform.ref, platform.jwks_url, secrets.token_hex(8))
        assert refused.value.reason.code == "LTI_KEY_UNKNOWN"
    assert fetches(gate, lms) == 2


@pytest.mark.parametrize("kid", ["k1", "unknown"])
def test_a_platform_that_is_down_is_asked_once_in_thirty_seconds_too(gate: Gate, lms: Platform, kid: str) -> None:
    """LV-10: each question would hold a launch, and those behind it, for seconds."""
    assert launch(gate, lms) == "in"
    now_serves(gate, lms, status=503)
    gate.world.clock.forward(minutes=6)
    assert {launch(gate, lms, kid) for _ in range(10)} == {"in" if kid == "k1" else "LTI_KEY_UNKNOWN"}
    assert fetches(gate, lms) == 2


def test_a_platform_never_heard_of_and_down_is_asked_once_in_thirty_seconds_too(gate: Gate, lms: Platform) -> None:
    now_serves(gate, lms, status=503)
    assert {launch(gate, lms) for _ in range(10)} == {"LTI_KEYS_UNREACHABLE"}
    assert fetches(gate, lms) == 1


@pytest.mark.parametrize(
    "down", [{"status": 503}, {"body": "<html>", "content_type": "text/html"}, {"body": TimeoutError()}]
)
def test_the_last_good_set_serves_for_a_day_while_the_platform_is_down(
    gate: Gate, lms: Platform, down: dict[str, Any]
) -> None:
    assert launch(gate, lms) == "in"
    now_serves(gate, lms, **down)
    gate.world.clock.forward(hours=23, minutes=59)
    assert launch(gate, lms) == "in"
    gate.world.clock.forward(minutes=2)
    assert launch(gate, lms) == "LTI_KEYS_UNREACHABLE"
    now_serves(gate, lms, K1)
    gate.world.clock.forward(seconds=31)
    assert launch(gate, lms) == "in"


def test_a_key_that_must_not_be_used_does_not_spoil_the_others(gate: Gate, lms: Platform) -> None:
    """LV-09."""
    weak, nameless = public_jwk(rsa_key(8, 1024), kid="weak"), public_jwk(rsa_key(1))
    now_serves(gate, lms, weak, nameless, {"kty": "OKP", "kid": "ok"}, K1)
    assert launch(gate, lms) == "in"


def test_fifty_keys_are_a_set(gate: Gate, lms: Platform) -> None:
    now_serves(gate, lms, *(K1 | {"kid": f"k{n}"} for n in range(50)))
    assert [launch(gate, lms, kid) for kid in ("k0", "k49", "k50")] == ["in", "in", "LTI_KEY_UNKNOWN"]


def test_one_kid_at_two_platforms_is_two_keys(gate: Gate, lms: Platform) -> None:
    """LV-09, LV-12: the key set is that of the registration, whatever its kids are called."""
    twin = Platform(issuer=lms.issuer + ".twin", key=rsa_key(1)).register(gate.world, "A").link(gate.world, "A", "kA")
    twin.serve_keys(gate.wire)
    assert [launch(gate, lms), launch(gate, twin, key=rsa_key(1))] == ["in", "in"]
    assert [launch(gate, lms, key=rsa_key(1)), launch(gate, twin)] == ["LTI_SIGNATURE", "LTI_SIGNATURE"]


def test_two_processes_share_what_one_has_fetched(gate: Gate, lms: Platform) -> None:
    assert launch(gate, lms) == "in"
    first = gate.world.client
    gate.world.client = create_app(make_parts(gate.world.office, gate.world.parts.sample)).test_client(
        use_cookies=False
    )
    try:
        assert [launch(gate, lms), launch(gate, lms, "k9")] == ["in", "LTI_KEY_UNKNOWN"]
    finally:
        gate.world.client = first
    assert fetches(gate, lms) == 1


def test_ten_first_launches_at_once_ask_the_platform_once(gate: Gate, lms: Platform) -> None:
    logins = [lms.login(gate.world) for _ in range(10)]
    forms = [{"id_token": gate.token(one, {}, lms), "state": one.asked["state"]} for one in logins]

    def post(number: int) -> TestResponse:
        client, cookies = gate.world.app.test_client(use_cookies=False), cookie_header(logins[number])
        return client.post("/lti/launch", base_url=URL, data=forms[number], headers=cookies)

    with ThreadPoolExecutor(10) as crowd:
        assert {answer.status_code for answer in crowd.map(post, range(10))} == {303}
    assert fetches(gate, lms) == 1


# --- our own -----------------------------------------------------------------------------------------


def own_keys(gate: Gate) -> list[Any]:
    """Name, public half and sealed private half of every key of this district's registrations."""
    ours = "SELECT registration FROM registration WHERE home_district = %s"
    found = gate.admin.execute(
        f"SELECT kid, public, private FROM signing_key WHERE registration IN ({ours})", (gate.world.by.district,)
    )
    return found.fetchall()


def test_our_key_set_shows_public_members_and_nothing_else(gate: Gate, lms: Platform) -> None:
    answer = gate.world.client.get("/.well-known/jwks.json")
    shown = {key["kid"]: key for key in answer.json["keys"]}
    assert answer.headers["Cache-Control"] == "public, max-age=600"
    assert {frozenset(key) for key in shown.values()} == {frozenset({"kty", "n", "e", "kid", "alg", "use"})}
    assert {(key["kty"], key["alg"], key["use"]) for key in shown.values()} == {("RSA", "RS256", "sig")}
    assert {kid for kid, _, _ in own_keys(gate)} <= shown.keys()
    others = gate.admin.execute("SELECT kid FROM signing_key WHERE purpose <> 'lti'").fetchall()
    assert shown.keys().isdisjoint(kid for (kid,) in others)


def test_every_registration_has_a_key_of_its_own(gate: Gate, lms: Platform) -> None:
    missing = (
        "SELECT FROM registration r WHERE NOT EXISTS (SELECT FROM signing_key k WHERE k.registration = r.registration)"
    )
    assert gate.admin.execute(missing).fetchall() == []
    assert len({public["n"] for _, public, _ in own_keys(gate)}) == len(own_keys(gate)) > 2


def test_a_retired_key_is_no_longer_published(gate: Gate, lms: Platform) -> None:
    (kid,) = gate.admin.execute(
        "SELECT kid FROM signing_key JOIN registration USING (registration) WHERE client_id = %s", (lms.client_id,)
    ).fetchone()
    gate.admin.execute("UPDATE signing_key SET retired_at = %s WHERE kid = %s", (gate.world.clock.at, kid))
    shown = gate.world.client.get("/.well-known/jwks.json").text
    gate.admin.execute("UPDATE signing_key SET retired_at = NULL WHERE kid = %s", (kid,))
    assert kid not in shown


def test_a_private_key_is_sealed_where_it_lies_and_opens_for_its_own_name_only(gate: Gate, lms: Platform) -> None:
    vault, database = gate.world.office.vault, gate.world.office.database
    (kid, public, private), (other, _, _) = own_keys(gate)[:2]
    with database.open_identity() as session:
        ours = keys.tool_key(session, vault, kid).as_dict(private=True)
    assert ours["n"] == public["n"]
    with pytest.raises(WrongKey):
        vault.open(private, f"signing_key:{other}")
    with pytest.raises(WrongKey):
        Vault(bytes(32)).open(private, f"signing_key:{kid}")
    with pytest.raises(WrongKey):
        vault.open(private[:-1] + bytes([private[-1] ^ 1]), f"signing_key:{kid}")


def test_no_private_key_of_ours_can_be_read_in_the_database(gate: Gate, lms: Platform) -> None:
    for kid, public, private in own_keys(gate):
        with gate.world.office.database.open_identity() as session:
            ours = keys.tool_key(session, gate.world.office.vault, kid)
        numbers = ours.private_key.private_numbers()
        for part in (numbers.p, numbers.q, numbers.d):
            assert part.to_bytes((part.bit_length() + 7) // 8) not in private
        assert b"PRIVATE" not in private
        assert not {"d", "p", "q", "dp", "dq", "qi"} & public.keys()
        assert ours.as_dict(private=True)["d"] not in json.dumps(public)


def test_the_installations_key_is_readable_by_its_user_only(gate: Gate) -> None:
    path = gate.world.office.settings.keys / "kek"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert repr(open_vault(path.parent)) == "Vault(***)"
