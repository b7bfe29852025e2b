"""A client that districts share at one LMS: none of them changes its addresses; an operator does, for all at once."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from gateway.errors import Refused
from gateway.flows import courses, registration_desk, shared_clients
from gateway.flows.parts import Office
from gateway.store import registrations
from gateway.store.tenant import Place
from tests.gradebooks import Gradebook
from tests.journeys.test_grades import PUPILS
from tests.platforms import HOST, LTI, Platform, application, public_jwk, refusal_of, rsa_key
from tests.registrants import refused_with
from tests.test_cli import desk
from tests.worlds import World

__all__ = ["desk"]
NEW = {"auth_url": f"{HOST}/new/auth", "token_url": f"{HOST}/new/token", "jwks_url": f"{HOST}/new/jwks"}


@dataclass
class Town:
    """Two districts with one client at one LMS: a deployment each, told apart by its id."""

    worlds: tuple[World, World]
    lmss: tuple[Platform, Platform]
    office: Office  # of a machine whose operator is the second district's administrator

    @property
    def by(self) -> Any:
        return self.worlds[1].by

    def move(self, **said: str) -> shared_clients.Plan:
        lms = self.lmss[0]
        return shared_clients.move(self.office, self.by, lms.issuer, lms.client_id, said)

    def launch(self, which: int, **claims: Any) -> Any:
        lms = self.lmss[which]
        return lms.launch(self.worlds[0], lms.message("tA", "Instructor") | claims)

    def rows(self) -> list[Any]:
        with self.office.database.open_identity() as session:
            return sorted(registrations.by_issuer(session, HOST, self.lmss[0].client_id), key=lambda r: r.home_district)

    def grants(self) -> list[list[tuple[str, Any]]]:
        """What the ledgers say of registrations: of A and B of the first district, and of the other's A and B."""
        return [[(one["outcome"], one["actor"]["ref"]) for one in world.ledger(org) if one["type"] == "grant"]
                for world in self.worlds for org in ("A", "B")]  # fmt: skip


@pytest.fixture
def town(public_world, wire) -> Town:
    first = public_world.standing()
    second = World(first.office, first.clock).standing()
    lmss = [Platform(deployment_id="one"), Platform(deployment_id="two")]
    lmss[1].client_id = lmss[0].client_id
    for world, lms in zip((first, second), lmss, strict=True):
        application(world, "A")
        lms.register(world, "A").link(world, "A", "kA")
    lmss[0].serve_keys(wire)
    settings = replace(first.office.settings, operators=f"st_somebody {second.by.ref}")
    return Town((first, second), (lmss[0], lmss[1]), replace(first.office, settings=settings))


def test_a_district_cannot_and_is_told_who_can(town):
    world, lms = town.worlds[0], town.lmss[0]
    with pytest.raises(Refused, match="schoolgate lms move") as refused:
        registration_desk.update(world.office, world.by, lms.deployment, {"token_url": NEW["token_url"]}, ())
    assert refused.value.reason.code == "REQ_CONFLICT"


def test_the_plan_says_what_and_whom_and_changes_nothing(town):
    before = town.rows()
    lms = town.lmss[0]
    found = shared_clients.plan(town.office, town.by, lms.issuer, lms.client_id, NEW)
    assert found.addresses == {
        "auth_url": (f"{HOST}/auth", NEW["auth_url"]), "token_url": (f"{HOST}/token", NEW["token_url"]),
        "token_audience": (f"{HOST}/token", NEW["token_url"]), "jwks_url": (lms.jwks_url, NEW["jwks_url"]),
    }  # fmt: skip
    assert [(one.registration, len(one.schools)) for one in found.touched] == [(r.registration, 1) for r in before]
    assert all(one.district.startswith("Test District (di_") for one in found.touched)
    assert (town.rows(), town.grants()) == (before, [[], [], [], []])


def test_all_of_them_change_at_once_and_every_school_concerned_is_told(town):
    town.move(**NEW, token_audience="urn:new")
    for row in town.rows():
        assert (row.auth_url, row.token_url, row.jwks_url) == tuple(NEW.values())
        assert (row.token_audience, row.hosts) == ("urn:new", ["lms.example"])
    told = [("recorded", town.by.ref)]
    assert town.grants() == [told, [], told, []]


def test_hosts_follow_the_addresses_district_by_district(town):
    first, lms = town.worlds[0], town.lmss[0]
    registration_desk.update(first.office, first.by, lms.deployment, {}, ("api.example", "lms.example"))
    town.move(token_url="https://auth.example/token", jwks_url="https://auth.example/jwks")
    assert [row.hosts for row in town.rows()] == [["api.example", "auth.example"], ["auth.example"]]


def test_whoever_is_not_an_operator_learns_and_changes_nothing(town):
    before, lms, first = town.rows(), town.lmss[0], town.worlds[0]
    unnamed = replace(town.office, settings=replace(town.office.settings, operators=""))
    for office, by in ((town.office, first.by), (unnamed, town.by)):
        for act in (shared_clients.plan, shared_clients.move):
            for client in (lms.client_id, "nobody's"):
                assert refused_with(act, office, by, lms.issuer, client, NEW) == "ACT_NOT_STAFF"
    assert town.rows() == before


@pytest.mark.parametrize(("said", "code"), [
    ({}, "REQ_INVALID"), ({"auth_url": f"{HOST}/auth"}, "REQ_INVALID"),
    ({"auth_url": "not one"}, "SRC_ADDRESS_REFUSED"),
    ({"jwks_url": "http://lms.example/jwks"}, "SRC_ADDRESS_REFUSED"),
])  # fmt: skip
def test_what_is_no_change_or_no_address_is_refused(town, said, code):
    assert refused_with(lambda: town.move(**said)) == code


def test_a_client_that_nobody_shares_is_its_districts_own(town):
    alone = Platform().register(town.worlds[1], "A")
    move = shared_clients.move
    assert refused_with(move, town.office, town.by, alone.issuer, alone.client_id, NEW) == "REQ_CONFLICT"
    assert refused_with(move, town.office, town.by, HOST, "unknown", NEW) == "REQ_UNKNOWN"


def test_registrations_that_differ_are_made_the_same_or_refused(town):
    one, _ = town.rows()
    with town.office.database.open_district(one.home_district) as session:
        registrations.change(session, one.registration, auth_url=f"{HOST}/odd")
    assert refused_with(lambda: town.move(token_url=NEW["token_url"])) == "REQ_CONTRADICTORY"
    found = town.move(auth_url=f"{HOST}/auth")
    assert found.addresses == {"auth_url": (f"{HOST}/auth, {HOST}/odd", f"{HOST}/auth")}


def test_one_that_waits_for_approval_is_left_alone(town):
    _, other = town.rows()
    with town.office.database.open_district(other.home_district) as session:
        registrations.change(session, other.registration, status="pending")
    assert refused_with(lambda: town.move(**NEW)) == "REQ_CONFLICT"


def test_none_changes_where_one_ledger_cannot_be_written(town, addresses):
    before, place = town.rows(), town.worlds[1].places["A"]
    name = addresses.owner.rpartition("/")[2].partition("?")[0]
    with psycopg.connect(make_conninfo(addresses.admin, dbname=name)) as admin:
        admin.execute("SET session_replication_role = replica")  # past the trigger that keeps a log whole
        admin.execute("DELETE FROM ledger_head WHERE district = %s AND school = %s", (place.district, place.school))
    assert refused_with(lambda: town.move(**NEW)) == "LED_UNAVAILABLE"
    assert (town.rows(), town.grants()[0]) == (before, [])


# --- at once ------------------------------------------------------------------------------------------


def test_what_is_signed_by_keys_from_the_old_address_lets_nobody_in_from_that_moment_on(town, wire):
    """Though this process remembers the registration for half a minute, and its keys for five."""
    assert town.launch(0).status_code == 303
    wire.get(NEW["jwks_url"], json={"keys": [public_jwk(rsa_key(1), kid="k1")]})
    town.move(jwks_url=NEW["jwks_url"])
    assert refusal_of(town.launch(0)) == "LTI_KEY_UNKNOWN"
    assert refusal_of(town.launch(0)) == "LTI_SIGNATURE"  # by now it knows the new key of that name
    town.lmss[0].key = rsa_key(1)
    assert town.launch(0).status_code == 303


def test_a_launch_under_way_is_let_in_where_the_keys_stay_the_same(town, wire):
    assert town.launch(0).status_code == 303
    town.move(auth_url=NEW["auth_url"], token_url=NEW["token_url"])
    assert town.launch(0).status_code == 303
    town.worlds[0].clock.forward(minutes=1)
    assert town.lmss[0].login(town.worlds[0]).answer.headers["Location"].startswith(NEW["auth_url"])


def test_a_notice_by_an_old_key_is_not_taken(town, wire):
    world, lms = town.worlds[0], town.lmss[0]
    assert town.launch(0).status_code == 303
    town.move(jwks_url=NEW["jwks_url"])
    now = int(world.clock.at.timestamp())
    token = lms.sign({
        "iss": lms.issuer, "aud": lms.client_id, "iat": now, "exp": now + 3600, "nonce": "n", LTI + "version": "1.3.0",
        LTI + "deployment_id": lms.deployment_id,
        LTI + "notice": {"id": "n1", "timestamp": "2026-11-02T09:00:00Z", "type": "LtiHelloWorldNotice"},
    })  # fmt: skip
    assert world.client.post("/lti/notices", json={"notices": [{"jwt": token}]}).status_code == 200
    with world.office.database.open_district(world.by.district) as session:
        assert [row.code for row in session.rows("SELECT code FROM failed_launch")] == ["LTI_KEY_UNKNOWN"]


def test_a_token_from_the_old_address_is_not_used_any_more(town, wire):
    world, book = town.worlds[0], Gradebook(town.lmss[0], members=["tA", *PUPILS]).serve(wire)
    asked: list[str] = []

    def token(request: Any) -> tuple[int, dict[str, str], str]:
        asked.append(str(request.url))
        return 200, {}, json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": 3600})

    for url in (f"{HOST}/token", NEW["token_url"]):
        wire.remove("POST", url)
        wire.add_callback("POST", url, callback=token)
    assert town.launch(0, **book.claims()).status_code == 303
    place: Place = world.places["A"]
    for _ in range(2):
        assert courses.refresh_members(world.parts, place, "kA").people == {"tA", *PUPILS}
    town.move(token_url=NEW["token_url"])
    assert courses.refresh_members(world.parts, place, "kA").people == {"tA", *PUPILS}
    assert asked == [f"{HOST}/token", NEW["token_url"]]


# --- at the command line --------------------------------------------------------------------------------


def test_at_the_command_line(desk):
    client, tokens = f"shared-{desk.environment['SCHOOLGATE_TOKEN'][:8]}", []
    for number in range(2):
        if number:
            desk.begin()
        tokens.append(desk.environment["SCHOOLGATE_TOKEN"])
        desk.said("source", "add", "sis")
        desk.said("school", "add", "School A", "--source", "sis", "--org", "A")
        desk.said("vendor", "add", "An LMS", "--category", "lms", "--contact", "c@example.org")
        desk.said("lms", "add", "An LMS", "--issuer", "https://lms.example", "--client-id", client, "--deployment-id",
                  str(number), "--auth-url", "https://lms.example/a", "--token-url", "https://lms.example/t",
                  "--jwks-url", "https://lms.example/k")  # fmt: skip
    command = ("lms", "move", "https://lms.example", client, "--jwks-url", "https://lms.example/k2")
    refused = desk.run(*command)
    assert (refused.exit_code, "`operators` names" in refused.stderr, "ACT_NOT_STAFF" in refused.stderr) == (
        4,
        True,
        True,
    )
    (me,) = desk.said("staff", "list")
    desk.environment["SCHOOLGATE_OPERATORS"] = me["ref"]
    planned = desk.run(*command)
    assert "https://lms.example/k -> https://lms.example/k2" in planned.stdout
    assert (planned.stdout.count("schools: 1"), "add --apply" in planned.stdout) == (2, True)
    assert "Changed for all of them." in desk.run(*command, "--apply").stdout
    assert "REQ_INVALID" in desk.run(*command, "--apply").stderr
    said = desk.said(*command[:-1], "https://lms.example/k3", "--apply")
    assert said["addresses"] == {"jwks_url": {"before": "https://lms.example/k2", "after": "https://lms.example/k3"}}
    assert desk.run(*command, token=tokens[0]).exit_code == 4
