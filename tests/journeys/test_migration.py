"""From LTI 1.1 to 1.3: an LMS that has the old secret says who somebody was, and they are who they were."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner
from psycopg.conninfo import conninfo_to_dict

from gateway.cli import main
from gateway.errors import Refused
from gateway.flows.onboarding import migration
from tests.journeys.test_grades import Lesson
from tests.platforms import LTI, refusal_of

KEY, SECRET = "179248902", "my-lti11-secret"
LIST = "lti11_user_id,sourcedId\r\nold-p2,p2\r\nold-p1,p1\r\nold-x,nobody\r\n"


def sign(secret: str, *parts: Any) -> str:
    said = "&".join(map(str, parts)).encode()
    return base64.b64encode(hmac.digest(secret.encode(), said, hashlib.sha256)).decode()


def test_the_signature_is_that_of_the_migration_guide():
    """Its own example."""
    made = sign(SECRET, KEY, "689302", "https://lmsvendor.com", "PM48OJSfGDTAzAo", 1551290856, "172we8671fd8z")
    assert made == "lWd54kFo5qU7xshAna6v8BwoBm6tmUjc6GTax6+12ps="


@pytest.fixture
def lesson(public_world, wire) -> Lesson:
    made = Lesson(public_world, wire)
    office, by, deployment = public_world.office, public_world.by, made.lms.deployment
    migration.migrate(office, by, deployment, KEY, SECRET)
    assert migration.migrate_users(office, by, deployment, LIST) == migration.Migrated(1, 2)
    return made


Spoil = Callable[[dict[str, Any]], dict[str, Any]]


def launch(lesson: Lesson, spoil: Spoil = lambda claim: claim, user: str = "old-p2", secret: str = SECRET) -> Any:
    """A launch by somebody of whom the LMS sends no SIS id, with a claim of who they were."""
    login, lms = lesson.lms.login(lesson.world), lesson.lms
    claims = lms.complete(lesson.world, lms.message("p2") | {LTI + "lis": None}, login)
    made = sign(secret, KEY, lms.deployment_id, lms.issuer, lms.client_id, claims["exp"], claims["nonce"])
    claim = {"user_id": user, "oauth_consumer_key": KEY, "oauth_consumer_key_sign": made}
    return lms.post(lesson.world, lms.sign(claims | {LTI + "lti1p1": spoil(claim)}), login)


def evidence(lesson: Lesson) -> list[tuple[str, str]]:
    with lesson.world.office.database.open_school(lesson.world.places["A"]) as session:
        rows = session.rows("SELECT person_id, evidence FROM lms_identity WHERE sub = 'lms-p2' AND evidence <> 'nrps'")
    return [(row.person_id, row.evidence) for row in rows]


@pytest.fixture
def unknown(lesson: Lesson) -> Lesson:
    """Nothing else has said who the user is."""
    with lesson.world.office.database.open_erasure(lesson.world.places["A"]) as session:
        session.run("DELETE FROM lms_identity WHERE sub = 'lms-p2'")
    return lesson


def test_who_was_known_in_1_1_is_known_and_stays_so(unknown):
    assert launch(unknown).status_code == 303
    assert evidence(unknown) == [("p2", "migrated")]
    assert launch(unknown, lambda claim: {}).status_code == 303


def without(*names: str) -> Spoil:
    return lambda claim: {name: value for name, value in claim.items() if name not in names}


@pytest.mark.parametrize(
    "spoil",
    [
        without("oauth_consumer_key_sign"), without("oauth_consumer_key"), without("user_id"),
        lambda claim: claim | {"oauth_consumer_key_sign": ""}, lambda claim: claim | {"oauth_consumer_key_sign": None},
        lambda claim: claim | {"oauth_consumer_key_sign": claim["oauth_consumer_key_sign"].upper()},
        lambda claim: claim | {"oauth_consumer_key_sign": "é"}, lambda claim: claim | {"oauth_consumer_key": "another"},
        lambda claim: claim | {"user_id": "old-p1"}, lambda claim: claim | {"user_id": "p2"}, lambda claim: None,
    ],
)  # fmt: skip
def test_what_is_not_proved_joins_nobody(unknown, spoil):
    """Nor does the right proof for who is no pupil of this school."""
    assert refusal_of(launch(unknown, spoil)) == "LTI_PERSON"
    assert evidence(unknown) == []


def test_another_secret_or_the_proof_of_another_launch_joins_nobody(unknown):
    assert refusal_of(launch(unknown, secret="guessed")) == "LTI_PERSON"
    seen: list[dict[str, Any]] = []
    assert launch(unknown, lambda claim: (seen.append(claim), claim)[1]).status_code == 303
    with unknown.world.office.database.open_erasure(unknown.world.places["A"]) as session:
        session.run("DELETE FROM lms_identity WHERE sub = 'lms-p2'")
    assert refusal_of(launch(unknown, lambda claim: seen[0])) == "LTI_PERSON"
    assert evidence(unknown) == []


@pytest.mark.parametrize("claim", ["x", {"user_id": 7}, [], {"oauth_consumer_key_sign": {}}])
def test_a_claim_that_is_none_lets_nobody_in(unknown, claim):
    assert refusal_of(launch(unknown, lambda _: claim)) == "LTI_CLAIM"


def test_a_sis_id_says_more_than_the_days_of_1_1(lesson):
    lms = lesson.lms
    assert lms.launch(lesson.world, lms.message("p0")).status_code == 303
    with lesson.world.office.database.open_school(lesson.world.places["A"]) as session:
        row = session.row("SELECT person_id, evidence FROM lms_identity WHERE sub = 'lms-p0'")
    assert row is not None
    assert row.person_id == "p0"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "first line"), ("user,id\n", "first line"), ("lti11_user_id,sourcedId\nx\n", "line 2"),
        ("lti11_user_id,sourcedId\nx,\n", "line 2"), ("lti11_user_id,sourcedId\nx,p2\nx,p0\n", "line 3"),
        ("lti11_user_id,sourcedId\nx,p2,more\n", "line 2"), ('lti11_user_id,sourcedId\n"x,p2\n', "CSV"),
        (f"lti11_user_id,sourcedId\n{'x' * 256},p2\n", "line 2"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_read_changes_nothing(lesson, text, why):
    with pytest.raises(Refused, match=why) as refused:
        migration.migrate_users(lesson.world.office, lesson.world.by, lesson.lms.deployment, text)
    assert refused.value.reason.code == "REQ_INVALID"


def test_the_commands_read_the_secret_from_the_environment_and_print_none(lesson, tmp_path, addresses):
    office = lesson.world.office
    (tmp_path / "users.csv").write_text(LIST)
    environment = {
        "SCHOOLGATE_INSTANCE": str(office.settings.instance), "DATABASE_URL": office.database.url,
        "SCHOOLGATE_URL": office.settings.url, "SCHOOLGATE_TOKEN": lesson.world.token, "REDIS_URL": "",
        "SCHOOLGATE_LTI11_SECRET": "an0ther-secret",
    }  # fmt: skip
    desk, deployment = CliRunner(env=environment), lesson.lms.deployment
    done = desk.invoke(main, ["lms", "migrate", deployment, "--consumer-key", "k2"], prog_name="schoolgate")
    assert (done.exit_code, "an0ther" in done.output) == (0, False), done.output
    done = desk.invoke(main, ["lms", "migrate-users", deployment, str(tmp_path / "users.csv")], prog_name="schoolgate")
    assert "1 users are known from now on; 2 are in no roster" in done.output
    database = conninfo_to_dict(addresses.owner)["dbname"]
    with psycopg.connect(addresses.admin, dbname=database) as admin:
        sealed = [bytes(row[0]) for row in admin.execute("SELECT secret FROM lti1p1_key").fetchall()]
    assert len(sealed) >= 2
    assert not [one for one in sealed if b"secret" in one]
    with pytest.raises(Refused, match="SCHOOLGATE_LTI11_SECRET"):
        migration.migrate(office, lesson.world.by, deployment, "k3", "")
