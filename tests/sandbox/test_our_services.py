"""Our own connector against the sandbox's LMS, over loopback sockets: every verb, for each make."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import RSAKey

from connectors.egress import Reach, open_session
from connectors.errors import AnswerRefused, ConnectorError
from connectors.lti_advantage import Course, LtiAdvantage
from connectors.tokens import ProcessCache, TokenBroker
from gateway.sandbox.district import CAST
from mappings import lti, vocabulary
from mappings._seal import SEAL
from mappings.cleared import Cleared
from tests.sandbox.peers import KEY, Desk, desk_at

SCOPES = [lti.SCOPE_LINE_ITEM, lti.SCOPE_LINE_ITEM_READ, lti.SCOPE_RESULT, lti.SCOPE_SCORE]
NOW = datetime(2026, 9, 1, 10, tzinfo=UTC)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)  # fmt: skip


@pytest.fixture(scope="module", params=["plain", "moodle", "canvas"])
def desk(request) -> Iterator[Desk]:
    with desk_at(request.param) as desk:
        yield desk


@pytest.fixture
def course(desk) -> LtiAdvantage:
    told, here = desk.told, f"{desk.lms}/courses/{desk.told['cast']['course']}"
    query = "?type_id=1" if told["profile"] == "moodle" else ""
    said = Course(
        "1:1", "re_1", told["client_id"], told["deployment_id"], told["token_url"], told["token_url"], "tool-1",
        frozenset({desk.lms.partition("//")[2]}), {"scope": SCOPES, "lineitems": f"{here}/lineitems{query}"},
        {"context_memberships_url": f"{here}/members"},
    )  # fmt: skip
    return LtiAdvantage(
        said, RSAKey.import_key(PEM), TokenBroker(ProcessCache()),
        lambda hosts, **caps: open_session(Reach(frozenset(hosts), loopback=True, **caps)),
    )  # fmt: skip


def cleared(record: dict[str, Any]) -> Cleared[bytes]:
    return Cleared(json.dumps(record).encode(), "tr_1", frozenset(), SEAL)


def test_members_of_a_role_in_small_pages(desk, course):
    everybody = course.read_members(limit=5).members
    (teacher,) = course.read_members(role="Instructor", limit=5).members
    assert len(everybody) == len(course.list_members()) == len(course.read_members(role="Learner").members) + 1
    assert vocabulary.course_roles(teacher["roles"]) == {"teacher"}
    assert CAST["amara"] in {m["lis_person_sourcedid"] for m in everybody}
    assert len(course.read_members(resource_link=_link(desk)).members) == len(everybody)
    with pytest.raises(AnswerRefused):
        course.read_members(resource_link="nobody's")


def _link(desk: Desk) -> str:
    answer = desk.post("mint", nonce="n").json()["id_token"]
    claims = jwt.decode(answer, options={"verify_signature": False})
    return str(claims["https://purl.imsglobal.org/spec/lti/claim/resource_link"]["id"])


def test_a_column_is_made_found_changed_filled_emptied_and_deleted(desk, course):
    amara = desk.told["cast"]["amara"]
    made = course.create_column("Unit 1", 20, resourceId="u1", tag="t")
    for number in range(2, 5):
        course.create_column(f"Unit {number}", 20, tag="t")
    assert [c["label"] for c in course.list_columns(tag="t", limit=1)] == [f"Unit {n}" for n in range(1, 5)]
    assert course.find_column("u1") == course.make_column("u1", "Unit 1", 20) == made["id"]
    assert course.update_column(made["id"], label="First")["label"] == "First"
    assert course.read_column(made["id"]) == made | {"label": "First"}
    course.push_score(made["id"], cleared(lti.score(amara, 15, 20, NOW, submitted_at=NOW)))
    (result,) = course.read_results(made["id"], user=amara)
    assert lti.same_score(result, 15, 20)
    assert course.read_results(made["id"], user="somebody") == []
    course.delete_column(made["id"])
    with pytest.raises(ConnectorError):
        course.read_column(made["id"])


def test_a_score_that_is_taken_away_is_gone(desk, course):
    amara, column = desk.told["cast"]["amara"], course.create_column("Unit 9", 20)["id"]
    course.push_score(column, cleared(lti.score(amara, 15, 20, NOW)))
    if desk.told["profile"] == "moodle":
        time.sleep(1.1)  # its own clock, in whole seconds, refuses a second score within one
    course.push_score(column, cleared(lti.no_score(amara, datetime.now(UTC))))
    assert [one.get("resultScore") for one in course.read_results(column)] == [None]
