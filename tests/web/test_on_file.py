"""What is on file, through the door of the school's own people."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.flows import onboarding
from tests.flows.test_on_file import MAKE, OTHER, Papers, papers, version
from tests.worlds import World

__all__ = ["papers"]


def call(world: World, method: str, path: str, token: str | None = None, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {world.token if token is None else token}"}
    return world.client.open(f"/v1/on_file/{path}", method=method, headers=headers, **more)


@pytest.mark.parametrize("kind", MAKE)
def test_papers_are_planned_put_on_file_listed_and_ended(papers, kind):
    world = papers.world
    if kind == "direction":
        call(world, "POST", "agreement", json={"lines": [papers.agreement()], "apply": True})
    lines = [MAKE[kind](papers, status="given") if kind == "consent" else MAKE[kind](papers)]
    before = call(world, "GET", kind).json["data"]
    planned = call(world, "POST", kind, json={"lines": lines})
    assert (planned.status_code, planned.json["new"], planned.json["applied"]) == (200, 1, False)
    assert call(world, "GET", kind).json["data"] == before
    done = call(world, "POST", kind, json={"lines": lines, "apply": True})
    assert (done.json["new"], done.json["faults"]) == (1, [])
    mine = [row for row in call(world, "GET", kind).json["data"] if row["number"] == lines[0]["number"]]
    assert len(mine) == 1
    assert not {"district", "school", "body"} & set(mine[0])
    ended = call(world, "POST", f"{kind}/{mine[0][kind]}/end")
    assert ended.json == {"schools": 1}
    assert call(world, "POST", f"{kind}/{mine[0][kind]}/end").status_code == 404


def test_a_line_at_fault_is_a_problem_with_its_row_and_nothing_is_put_on_file(papers):
    world = papers.world
    lines = [papers.agreement(), papers.agreement(number="A-2", document=None, **OTHER["agreement"])]
    planned = call(world, "POST", "agreement", json={"lines": lines}).json
    assert [(f["row"], f["code"]) for f in planned["faults"]] == [(2, "AGR_UNSIGNED")]
    refused = call(world, "POST", "agreement", json={"lines": lines, "apply": True})
    assert (refused.status_code, refused.mimetype) == (422, "application/problem+json")
    assert [(e["row"], e["code"]) for e in refused.json["errors"]] == [(2, "AGR_UNSIGNED")]
    assert "A-1" not in [row["number"] for row in call(world, "GET", "agreement").json["data"]]


def test_policies_have_the_same_door(papers):
    world = papers.world
    lines = {"source_policy": [{"policy": "class_trak"}], "policy_version": [version(papers)],
             "policy_word": [{"policy": "strictest", "version": 2, "word": "noticed"}]}  # fmt: skip
    for kind, said in lines.items():
        count = len(call(world, "GET", kind).json["data"])
        assert call(world, "POST", kind, json={"lines": said}).json["new"] == 1
        assert len(call(world, "GET", kind).json["data"]) == count
        assert call(world, "POST", kind, json={"lines": said, "apply": True}).json["new"] == 1
        assert len(call(world, "GET", kind).json["data"]) > count
    assert call(world, "POST", "source_policy/now/end").json == {"schools": 2}
    assert call(world, "POST", "policy_version/2/end").json["code"] == "REQ_CONFLICT"


def test_what_is_no_request_is_refused(papers):
    world = papers.world
    for body in ({}, {"lines": []}, {"lines": [1]}, {"lines": [{}], "apply": "maybe"}, {"lines": [{}], "more": 1}):
        assert call(world, "POST", "agreement", json=body).json["code"] == "REQ_INVALID"
    assert call(world, "GET", "secret").json["code"] == "REQ_NOT_FOUND"
    assert call(world, "POST", "agreement/ag_x/end", json={}).json["code"] == "REQ_INVALID"
    assert call(world, "POST", "agreement/ag_x/end").json["code"] == "REQ_UNKNOWN"


def test_it_is_for_named_people_who_may(papers):
    world = papers.world
    for token in ("", "none", "x" * 10_000):
        assert call(world, "GET", "consent", token).json["code"] == "AUT_STAFF_UNKNOWN"
    _, token = onboarding.add_staff(world.office, world.by, "B. Admin", "school_admin", world.refs["B"])
    for school in ("School A", "School B"):
        world.file("consent", **papers.consent(number=f"C-{school[-1]}", school=school))
    assert [row["school_name"] for row in call(world, "GET", "consent", token).json["data"]] == ["School B"]
    assert len(call(world, "GET", "consent").json["data"]) == 2
    lines = [Papers.consent(papers)]
    answer = call(world, "POST", "consent", token, json={"lines": lines, "apply": True})
    assert [error["code"] for error in answer.json["errors"]] == ["ACT_NOT_STAFF"]
