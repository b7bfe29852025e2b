"""Two districts whose LMS has one issuer and one client id (Blackboard gives every customer the same): what tells them
apart is the deployment, and neither may get, see or lead away what is the other's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from werkzeug.test import TestResponse

from gateway.flows import launch, onboarding, registration_desk
from tests.platforms import AGS, HOST, LTI, Platform, application, code_of, public_jwk, refusal_of, rsa_key
from tests.registrants import refused_with
from tests.worlds import Caller, World

MINE, THEIRS, NOBODYS = "dep-mine", "dep-theirs", "dep-nobodys"


@dataclass
class District:
    """One of the two: its world, its registration of the client, its application."""

    world: World
    lms: Platform
    app: Caller

    def inside(self) -> int:
        return len(self.world.ledger("A"))

    def waits(self) -> list[str]:
        return [one.row.deployment_id for one in launch.waiting(self.world.office, self.world.by)]

    def failed(self) -> list[str]:
        return [one.code for one in launch.failures(self.world.office, self.world.by)]


@dataclass
class Two:
    """Both, behind one gateway. `door` is the world whose gateway it is."""

    mine: District
    theirs: District
    admin: psycopg.Connection[Any]

    @property
    def door(self) -> World:
        return self.mine.world

    def launch(self, sub: str, of: str, named: str | None, key: int = 0, **claims: Any) -> TestResponse:
        """A launch with a token of one deployment after a login that names another, or none."""
        lms = self.mine.lms
        begun = lms.login(self.door, lti_deployment_id=named)
        said = lms.message(sub, "Instructor" if sub == "tA" else "Learner") | {LTI + "deployment_id": of} | claims
        return lms.post(self.door, replace(lms, key=rsa_key(key)).sign(lms.complete(self.door, said, begun)), begun)

    def later(self) -> None:
        self.door.clock.forward(seconds=31)  # what a process remembers of registrations is read again


def district(world: World, lms: Platform) -> District:
    made = lms.register(world, "A").link(world, "A", "kA")
    return District(world, made, application(world, "A"))


@pytest.fixture
def two(public_world: World, addresses: Any, wire: Any) -> Iterator[Two]:
    first = public_world.standing()
    second = World(first.office, first.clock)
    second.parts, second.app, second.client = first.parts, first.app, first.client
    one = Platform(deployment_id=MINE)
    mine = district(first, one.serve_keys(wire))
    theirs = district(second.standing(), replace(one, deployment_id=THEIRS, deployment="", places=()))
    database = conninfo_to_dict(addresses.owner)["dbname"]
    with psycopg.connect(addresses.admin, dbname=database, autocommit=True) as admin:
        yield Two(mine, theirs, admin)


# --- each gets its own ---------------------------------------------------------------------------------


@pytest.mark.parametrize("naming", [True, False], ids=["the login names it", "only the token does"])
@pytest.mark.parametrize("whose", ["mine", "theirs"])
def test_a_launch_comes_to_the_district_of_its_deployment(two, whose, naming):
    own, other = (two.mine, two.theirs) if whose == "mine" else (two.theirs, two.mine)
    before = other.inside()
    code = code_of(two.launch("p0", own.lms.deployment_id, own.lms.deployment_id if naming else None))
    assert other.app.call("POST", "/v1/launches/exchange", json={"code": code}).status_code == 404
    told = own.app.call("POST", "/v1/launches/exchange", json={"code": code})
    assert (told.status_code, told.json["class"]["title"]) == (200, "Class kA")
    assert [e["operation"] for e in own.world.ledger("A")[-2:]] == ["launch.handover"] * 2
    assert other.inside() == before


def test_a_state_holds_no_more_than_is_known(two):
    """A login that names no deployment of a shared client is nobody's yet."""
    refs = {named: two.door.parts.states.open(
        two.mine.lms.login(two.door, lti_deployment_id=named).asked["state"]).registration
        for named in (None, NOBODYS, MINE, THEIRS)}  # fmt: skip
    assert refs[None] == refs[NOBODYS] == ""
    assert len({refs[MINE], refs[THEIRS], ""}) == 3


def test_each_signs_with_its_own_key(two):
    addresses = [registration_desk.key_address(d.world.office, d.world.by, d.lms.deployment) for d in
                 (two.mine, two.theirs)]  # fmt: skip
    kids = [{key["kid"] for key in two.door.client.get(url.partition("example")[2]).json["keys"]} for url in addresses]
    assert all(kids)
    assert not kids[0] & kids[1]


def test_one_that_is_switched_off_stands_in_nobodys_way(two):
    with two.mine.world.office.database.open_district(two.mine.world.by.district) as session:
        session.run("UPDATE registration SET status = 'disabled' WHERE home_district = %(district)s")
    two.later()
    for answer in (two.mine.lms.login(two.door).answer, two.launch("p0", MINE, None)):
        assert refusal_of(answer) == "LTI_ISSUER_UNKNOWN"
    assert two.launch("p0", THEIRS, None).status_code == two.launch("p0", THEIRS, THEIRS).status_code == 303


# --- and nothing of the other's ------------------------------------------------------------------------


@pytest.mark.parametrize(("of", "named"), [(MINE, THEIRS), (THEIRS, MINE), (MINE, NOBODYS), (NOBODYS, THEIRS)])
def test_a_token_of_another_deployment_than_the_logins_is_nobodys(two, of, named):
    before = two.mine.inside(), two.theirs.inside()
    assert refusal_of(two.launch("p0", of, named)) == "LTI_DEPLOYMENT"
    assert (two.mine.inside(), two.theirs.inside()) == before
    assert two.mine.waits() == two.theirs.waits() == []


def outwardly(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, refusal_of(answer)


def test_an_unknown_deployment_is_answered_alike_whoever_else_is_there(two):
    """And it is shown to neither: whose it is nobody can tell."""
    answers = {outwardly(two.launch("p0", NOBODYS, named)) for named in (None, NOBODYS)}
    assert answers == {(403, "LTI_DEPLOYMENT")}
    assert two.mine.waits() == two.theirs.waits() == two.mine.failed() == two.theirs.failed() == []


@pytest.mark.parametrize("of", [MINE, THEIRS, NOBODYS])
def test_without_the_platforms_key_nobody_learns_which_deployments_there_are(two, of):
    for named in (of, None):
        assert two.mine.lms.login(two.door, lti_deployment_id=named).answer.status_code == 302
        assert outwardly(two.launch("p0", of, named, key=3)) == (403, "LTI_SIGNATURE")


@pytest.mark.parametrize("said", [None, 7, ["x"], {"a": 1}, "", "x" * 300, "a\0b", "\ud800"])
def test_what_is_no_deployment_is_refused_as_one_that_is_unknown(two, said):
    assert refusal_of(two.launch("p0", said, None)) in ("LTI_DEPLOYMENT", "LTI_TOKEN")


def test_what_one_is_excused_from_the_other_is_not(two):
    world = two.theirs.world
    until = (world.clock.at + timedelta(days=30)).date().isoformat()
    launch.relax(world.office, world.by, two.theirs.lms.deployment, "no_resource_link", "agreed", until)
    two.later()
    assert two.launch("p0", THEIRS, None, **{LTI + "resource_link": None}).status_code == 303
    assert refusal_of(two.launch("p0", MINE, None, **{LTI + "resource_link": None})) == "LTI_RESOURCE_LINK"


def test_where_one_is_served_the_other_is_not(two):
    """A host that one of them registered lends no address to the other's launches."""
    world, lms = two.theirs.world, two.theirs.lms
    registration_desk.update(world.office, world.by, lms.deployment, {}, ["elsewhere.example"])
    two.later()
    service = {AGS + "claim/endpoint": {"scope": [], "lineitems": "https://elsewhere.example/items"}}
    assert two.launch("p0", THEIRS, None, **service).status_code == 303
    assert refusal_of(two.launch("p0", MINE, None, **service)) == "LTI_SERVICE_URL"


def test_a_failure_is_shown_to_the_district_whose_launch_it_was(two):
    assert refusal_of(two.launch("p99", MINE, None)) == "LTI_PERSON"
    assert (two.mine.failed(), two.theirs.failed()) == (["LTI_PERSON"], [])


def test_a_notice_comes_to_the_district_of_its_deployment(two):
    def send(of: str) -> None:
        now = int(two.door.clock.at.timestamp())
        claims = {
            "iss": HOST, "aud": two.mine.lms.client_id, "iat": now, "exp": now + 60, "nonce": of, LTI + "version":
            "1.3.0", LTI + "deployment_id": of, LTI + "context": {"id": f"copy-{of}", "title": "Again"},
            LTI + "notice": {"id": "n1", "timestamp": "2026-11-02T09:00:00Z", "type": "LtiContextCopyNotice"},
            LTI + "origin_contexts": ["course-1"],
        }  # fmt: skip
        said = {"notices": [{"jwt": two.mine.lms.sign(claims)}]}
        assert two.door.client.post("/lti/notices", base_url=HOST, json=said).status_code == 200

    for of in (THEIRS, NOBODYS):
        send(of)
    assert (two.mine.waits(), two.theirs.waits()) == ([], [THEIRS])
    assert two.mine.failed() == two.theirs.failed() == []


# --- registering, and changing what is shared ----------------------------------------------------------


def add(two: Two, by: District, **changes: Any) -> str:
    said = replace(by.lms.as_typed(), **changes)
    world = by.world
    return onboarding.add_lms(world.office, world.by, f"LMS {by.lms.client_id}", said, [world.refs["A"]])


@pytest.mark.parametrize("of", [MINE, THEIRS])
def test_a_deployment_belongs_to_one_district(two, of):
    assert refused_with(lambda: add(two, two.theirs, deployment_id=of)) == "REQ_CONFLICT"
    assert add(two, two.theirs, deployment_id=NOBODYS)
    assert refused_with(lambda: add(two, two.mine, deployment_id=NOBODYS)) == "REQ_CONFLICT"


OTHER = dict.fromkeys(("auth_url", "token_url", "token_audience", "jwks_url"), f"{HOST}/other")


@pytest.mark.parametrize("name", OTHER)
def test_addresses_of_a_shared_client_are_the_same_for_all(two, name):
    """Else one of them led the others' people to a sign-in of its own, or gathered what signs for all."""
    third = World(two.door.office, two.door.clock).onboard("A")
    onboarding.add_vendor(third.office, third.by, "Another", "lms", "lms@example.org", None)

    def register(**changes: str) -> str:
        said = replace(two.mine.lms.as_typed(), deployment_id="third", **changes)
        return onboarding.add_lms(third.office, third.by, "Another", said, [third.refs["A"]])

    assert refused_with(lambda: register(**{name: OTHER[name]})) == "REQ_CONFLICT"
    deployment = register()
    for by, of in ((third, deployment), (two.mine.world, two.mine.lms.deployment)):
        change = {name: OTHER[name]}
        assert refused_with(registration_desk.update, by.office, by.by, of, change, ()) == "REQ_CONFLICT"
    with two.admin.cursor() as cursor:
        cursor.execute("SELECT count(DISTINCT (auth_url, token_url, token_audience, jwks_url)) FROM registration "
                       "WHERE client_id = %s", [two.mine.lms.client_id])  # fmt: skip
        assert cursor.fetchone() == (1,)


def test_a_registration_that_waits_shares_nothing_yet(two, wire):
    """A district that has not approved one leaves the others' addresses theirs to change."""
    with two.theirs.world.office.database.open_district(two.theirs.world.by.district) as session:
        session.run("UPDATE registration SET status = 'pending' WHERE home_district = %(district)s")
    world = two.mine.world
    wire.get(f"{HOST}/other", json={"keys": [public_jwk(rsa_key(), kid="k1")]})
    registration_desk.update(world.office, world.by, two.mine.lms.deployment, {"jwks_url": f"{HOST}/other"}, ())
    two.later()
    assert two.launch("p0", MINE, None).status_code == 303
    assert refusal_of(two.launch("p0", THEIRS, None)) == "LTI_ISSUER_UNKNOWN"


def test_a_shared_client_lists_no_deployment_that_nobody_has(public_world, wire):
    """Of a make with one client for all, what is unknown is likely another's: not even its one district hears of it."""
    world = public_world.standing()
    lms = Platform().register(world, "A", product="blackboard").serve_keys(wire)
    begun = lms.login(world, lti_deployment_id=None)
    said = lms.complete(world, lms.message("p0") | {LTI + "deployment_id": NOBODYS}, begun)
    assert refusal_of(lms.post(world, lms.sign(said), begun)) == "LTI_DEPLOYMENT"
    assert launch.waiting(world.office, world.by) == []
