"""Replies as real products send them, one folder per product, each with its source, replayed at the HTTP layer."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import responses
from joserfc.jwk import RSAKey

from connectors.egress import Reach, open_session
from connectors.errors import ConnectorError
from connectors.lti_advantage import Course, LtiAdvantage
from connectors.tokens import ProcessCache, TokenBroker
from gateway.flows.lanes import Event, classify
from mappings import lti
from mappings._seal import SEAL
from mappings.cleared import Cleared
from mappings.products import product

FOLDER = Path(__file__).parent
PLACES = {
    "moodle": ("https://moodle.example/mod/lti/token.php", "https://moodle.example/mod/lti/services.php/3/lineitems?type_id=1",
               "https://moodle.example/mod/lti/services.php/CourseSection/3/bindings/1/memberships"),
    "canvas": ("https://sso.canvaslms.com/login/oauth2/token", "https://school.instructure.com/api/lti/courses/42/line_items",
               "https://school.instructure.com/api/lti/courses/42/names_and_roles"),
}  # fmt: skip
COLUMNS = {
    "moodle": "https://moodle.example/mod/lti/services.php/3/lineitems/9/lineitem?type_id=1",
    "canvas": "https://school.instructure.com/api/lti/courses/42/line_items/2",
}


def replay(wire: responses.RequestsMock, name: str, *replies: str) -> None:
    """Answer as the product does, in this order."""
    for reply in ("token", *replies):
        kept = json.loads((FOLDER / name / f"{reply}.json").read_text())
        body = kept["response"]["body"]
        wire.add(
            kept["request"]["method"], kept["request"]["url"], status=kept["response"]["status"],
            body=body if isinstance(body, str) else json.dumps(body), headers=kept["response"]["headers"],
            match=[responses.matchers.query_string_matcher(kept["request"]["url"].partition("?")[2])],
        )  # fmt: skip


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return RSAKey.generate_key(2048, private=True)


def line(name: str, key: RSAKey) -> LtiAdvantage:
    token_url, columns, members = PLACES[name]
    scopes = [lti.SCOPE_LINE_ITEM, lti.SCOPE_RESULT, lti.SCOPE_SCORE]
    hosts = frozenset(url.split("/")[2] for url in PLACES[name])
    course = Course(
        "1:1", "re_1", "client", "1", token_url, token_url, "k", hosts, {"scope": scopes, "lineitems": columns},
        {"context_memberships_url": members},
    )  # fmt: skip
    broker = TokenBroker(ProcessCache())
    return LtiAdvantage(course, key, broker, lambda hosts, **caps: open_session(Reach(frozenset(hosts), **caps)))


def score() -> Cleared[bytes]:
    record = lti.score("5", 3, 4, datetime(2026, 11, 2, 9, tzinfo=UTC))
    return Cleared(json.dumps(record).encode(), "tr_1", frozenset(), SEAL)


def test_every_reply_names_its_source():
    kept = [json.loads(p.read_text()) for p in FOLDER.glob("*/*.json")]
    assert len(kept) > 15
    assert all(len(one["source"]) > 20 for one in kept)


@pytest.mark.parametrize(("name", "replies", "people"), [
    ("moodle", ("members", "members_2"), {"2": "tA", "5": "p0", "6": None}),
    ("canvas", ("members",), {"u-2": "tA", "u-5": "p0", "u-9": None}),
])  # fmt: skip
def test_members_are_read_page_by_page(wire, key, name, replies, people):
    replay(wire, name, *replies)
    members = line(name, key).list_members()
    assert {m["user_id"]: lti.said(m.get("lis_person_sourcedid")) for m in members} == people


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_found_behind_the_products_own_links(wire, key, name):
    replay(wire, name, "columns", "columns_2")
    assert line(name, key).find_column("act_1") == COLUMNS[name]


@pytest.mark.parametrize("name", COLUMNS)
def test_a_score_goes_to_the_columns_own_address(wire, key, name):
    replay(wire, name, "score")
    line(name, key).push_score(COLUMNS[name], score())
    sent = wire.calls[-1].request
    assert sent.url.partition("?")[0].endswith("/scores")
    assert sent.headers["Content-Type"] == "application/vnd.ims.lis.v1.score+json"
    assert sent.headers["Authorization"] in ("Bearer m-token", "Bearer c-token")
    assert json.loads(sent.body)["timestamp"] == "2026-11-02T09:00:00.000Z"


@pytest.mark.parametrize("name", COLUMNS)
def test_results_are_read_whole_and_never_with_a_limit(wire, key, name):
    replay(wire, name, "results")
    (one,) = line(name, key).read_results(COLUMNS[name])
    assert lti.same_score(one, 3, 4)
    assert "limit" not in wire.calls[-1].request.url


@pytest.mark.parametrize(
    ("name", "reply", "event"),
    [
        ("moodle", "score_stale", Event.DOUBTFUL), ("moodle", "score_not_gradable", Event.SAID_NO),
        ("canvas", "score_stale", Event.DOUBTFUL), ("canvas", "score_not_a_student", Event.SAID_NO),
        ("canvas", "score_throttled", Event.NOT_APPLIED), ("canvas", "score_throttled_since", Event.NOT_APPLIED),
        ("canvas", "score_concluded", Event.SAID_NO),
    ],
)  # fmt: skip
def test_each_products_no_is_understood(wire, key, name, reply, event):
    replay(wire, name, reply)
    with pytest.raises(ConnectorError) as failed:
        line(name, key).push_score(COLUMNS[name], score())
    assert classify(failed.value, product(name)) is event


def test_the_token_never_goes_to_a_host_of_nobodys_registration(wire, key):
    replay(wire, "canvas", "columns")
    course: Any = line("canvas", key)
    with pytest.raises(ConnectorError):
        course.push_score("https://evil.example/line_items/2", score())
    assert not [call for call in wire.calls if "evil" in call.request.url]
