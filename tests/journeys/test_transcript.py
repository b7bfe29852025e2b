"""A transcript goes to one addressee by a direction that names it: those bytes, nothing else, to nobody else."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from gateway.flows import on_file, rights_request
from tests.platforms import application
from tests.worlds import Caller, World

DOCUMENT = {"title": "Mastery record", "issued_on": "2026-10-01",
            "competencies": [{"name": "Algebra", "level": "proficient", "on": "2026-09-30"}]}  # fmt: skip


class Desk:
    """The application, a college that is addressed and one that is not."""

    def __init__(self, world: World) -> None:
        self.world = world.standing()
        self.app = application(world, "A")
        self.state, self.other = (self.college(name) for name in ("State", "Other"))
        reader = world.reader("A", name="App's ids")
        assert reader.read("students").status_code == 200
        with world.office.database.open_schools(world.by.district, [world.places["A"].school]) as session:
            rows = session.rows(
                "SELECT a.sourced_id, a.alias FROM alias a JOIN access_grant g USING (district, access_grant) "
                "WHERE a.district = %(district)s AND kind = 'user' AND 'results.write' = ANY(g.scopes)"
            )
        self.ids = {row.sourced_id: f"pe_{row.alias.hex}" for row in rows}

    def college(self, name: str) -> Caller:
        self.world.agree(name, "higher_ed", ("TRN",), ("transcript.deliver",), ("transcript_delivery",), ["A"],
                         directed=False)  # fmt: skip
        return self.world.connect(name, "transcripts.read", schools=["A"])

    def issue(self, who: str = "p0", status: int = 201, changes: dict[str, Any] | None = None) -> Any:
        answer = self.app.call(
            "POST", "/v1/transcripts", json={"person": self.ids.get(who, who), "document": DOCUMENT | (changes or {})}
        )
        assert answer.status_code == status, answer.text
        return answer.json

    def direct(self, ref: str, version: int = 1, to: str = "State") -> str:
        return self.world.direct(self.world.agreements[to], "transcript.deliver", ["A"], record=f"{ref}@{version}")


@pytest.fixture
def desk(world) -> Desk:
    return Desk(world)


def get(caller: Caller, ref: str) -> Any:
    return caller.get(f"/v1/transcripts/{ref}")


def shape(answer: Any) -> Any:
    return answer.status_code, {k: v for k, v in answer.json.items() if k not in ("request_id", "type")}


def test_the_addressee_gets_those_bytes(desk):
    ref = desk.issue()["id"]
    desk.direct(ref)
    answer = get(desk.state, ref)
    assert answer.json == DOCUMENT | {"pupil": "Givenp0 Familyp0", "school": "School A"}
    assert get(desk.state, ref).data == answer.data
    (first, _) = (e for e in desk.world.ledger("A") if e.get("operation") == "transcript.deliver")
    assert (first["basis"], first["payload_bytes"], first["subjects"]) == ("direction", len(answer.data), 1)
    assert first["elements"] == ["transcript.competencies", "transcript.identity"]


def test_to_anybody_else_there_is_no_such_document(desk):
    ref = desk.issue()["id"]
    nothing = shape(get(desk.other, "ts_0000000000000000"))
    assert shape(get(desk.other, ref)) == nothing
    assert shape(get(desk.state, ref)) == nothing
    desk.direct(ref)
    assert shape(get(desk.other, ref)) == nothing
    assert (nothing[0], nothing[1]["code"]) == (404, "RCP_NOT_ADDRESSEE")


def test_without_a_direction_it_stays(desk):
    ref = desk.issue()["id"]
    assert get(desk.state, ref).status_code == 404
    assert desk.world.denials("A") == ["DIR_MISSING"]


def test_a_direction_for_another_document_or_version_does_not_count(desk):
    first, second = desk.issue()["id"], desk.issue()["id"]
    desk.direct(first, version=2)
    desk.direct(second)
    assert get(desk.state, first).status_code == 404
    assert get(desk.state, second).status_code == 200
    assert desk.world.denials("A") == ["DIR_SCOPE_MISMATCH"]


def test_a_standing_direction_without_a_document_sends_none(desk):
    ref = desk.issue()["id"]
    desk.world.direct(desk.world.agreements["State"], "transcript.deliver", ["A"])
    assert get(desk.state, ref).status_code == 404


def test_a_revoked_direction_ends_it(desk):
    ref = desk.issue()["id"]
    direction = desk.direct(ref)
    assert get(desk.state, ref).status_code == 200
    on_file.end(desk.world.office, desk.world.by, "direction", direction)
    assert get(desk.state, ref).status_code == 404


def test_a_family_that_refuses_is_heard(desk):
    ref, world = desk.issue()["id"], desk.world
    desk.direct(ref)
    code, _ = rights_request.issue_code(world.office, world.by, world.places["A"], "p0")
    rights_request.refuse(world.office, code)
    assert shape(get(desk.state, ref)) == shape(get(desk.state, "ts_0000000000000000"))
    assert "RET_RESTRICTED" in world.denials("A")


@pytest.mark.parametrize(
    "changes",
    [
        {"notes": "private"}, {"usage": {"clicks": 3}}, {"competencies": []}, {"title": ""}, {"issued_on": "yesterday"},
        {"competencies": [{"name": "A", "level": "b", "on": "2026-01-01", "ip": "10.0.0.1"}]},
        {"pupil": "Somebody Else"}, {"school": "Another School"},
    ],
    ids=lambda c: json.dumps(c)[:40],
)  # fmt: skip
def test_a_document_with_anything_else_in_it_is_refused(desk, changes):
    assert desk.issue(status=422, changes=changes)["code"] == "REQ_INVALID"


def test_only_a_pupil_of_the_school_has_one(desk):
    for who in ("tA", "p1", "pe_" + "0" * 32, "p0"):
        asked = who if who.startswith("pe_") else desk.ids.get(who, who)
        status = 201 if who == "p0" else 404
        assert desk.issue(asked, status=status)


def test_the_applications_credential_is_not_a_colleges(desk):
    ref = desk.issue()["id"]
    answer = desk.app.get(f"/v1/transcripts/{ref}")
    assert (answer.status_code, answer.json["code"]) == (403, "SCP_MISSING")
    answer = desk.state.call("POST", "/v1/transcripts", json={})
    assert (answer.status_code, answer.json["code"]) == (403, "ACT_WRONG_SCHOOL")


def test_nothing_leaves_beside_the_document(desk):
    """No file name, cookie, size of the past, address or product in the headers; in the body the document, byte for
    byte."""
    ref = desk.issue()["id"]
    desk.direct(ref)
    answer = get(desk.state, ref)
    assert set(answer.headers.keys()) <= {
        "Content-Type", "Content-Length", "Redisclosure-Notice", "X-Request-Id", "X-Content-Type-Options",
        "Referrer-Policy", "Permissions-Policy", "Cache-Control", "Content-Security-Policy",
    }  # fmt: skip
    whole = DOCUMENT | {"pupil": "Givenp0 Familyp0", "school": "School A"}
    assert answer.data == orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)
    for word in ("Givenp0", "p0", ref):
        assert word not in str(answer.headers)
