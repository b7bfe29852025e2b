"""NRPS 2.0 and AGS 2.0 to the last verb, at the HTTP layer: what is asked for, with which scope, and what is made of
answers that are odd."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import pytest
import responses
from joserfc.jwk import RSAKey

from connectors.egress import Reach, open_session
from connectors.errors import (
    AnswerRefused,
    AnswerUnreadable,
    ColumnCoupled,
    ConnectorError,
    CredentialsRefused,
    NotOffered,
)
from connectors.lti_advantage import Course, LtiAdvantage
from connectors.tokens import ProcessCache, TokenBroker
from gateway.errors import VOCABULARY
from gateway.flows.lanes import Event, classify
from mappings import lti, lti_groups, vocabulary
from mappings._seal import SEAL
from mappings.cleared import Cleared
from mappings.products import product

TOKEN = "https://lms.example/token"
MEMBERS = "https://lms.example/course/3/members?type_id=1"
ITEMS = "https://lms.example/course/3/lineitems?type_id=1"
ITEM = "https://lms.example/course/3/lineitems/9/lineitem?type_id=1"
EVERY = (lti.SCOPE_LINE_ITEM, lti.SCOPE_LINE_ITEM_READ, lti.SCOPE_RESULT, lti.SCOPE_SCORE)
LEARNER = "http://purl.imsglobal.org/vocab/lis/v2/membership#Learner"
INSTRUCTOR = "http://purl.imsglobal.org/vocab/lis/v2/membership#Instructor"


@pytest.fixture(scope="module")
def key() -> RSAKey:
    return RSAKey.generate_key(2048, private=True)


class Lms:
    """An LMS that gives a new token each time, named after the scopes it was asked for."""

    def __init__(self, wire: responses.RequestsMock, key: RSAKey) -> None:
        self.wire, self.key, self.broker, self.bodies = wire, key, TokenBroker(ProcessCache()), [b""]
        self.tokens: list[str] = []
        wire.add_callback("POST", TOKEN, callback=self._token)

    def _token(self, request: Any) -> tuple[int, dict[str, str], str]:
        asked = parse_qs(request.body)["scope"][0]
        self.tokens.append(" ".join(sorted(one.rpartition("/")[2] for one in asked.split())))
        return 200, {}, json.dumps({"access_token": f"t{len(self.tokens)}", "expires_in": 3600})

    def course(self, *scopes: str, deployment: str = "1", **more: Any) -> LtiAdvantage:
        said = {"ags": {"scope": list(scopes or EVERY), "lineitems": ITEMS}} | {
            "nrps": {"context_memberships_url": MEMBERS}
        }
        course = Course(
            "1:1", "re_1", "client", deployment, TOKEN, TOKEN, "k", frozenset({"lms.example"}), **said | more
        )
        return LtiAdvantage(
            course, self.key, self.broker, lambda hosts, **caps: open_session(Reach(frozenset(hosts), **caps))
        )

    def answers(self, method: str, url: str, body: Any = None, status: int = 200, **more: Any) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        query = urlsplit(url).query
        asked = responses.matchers.query_param_matcher(dict(parse_qsl(query)))
        self.wire.add(method, url.partition("?")[0], "" if body is None else text, status=status, match=[asked], **more)

    @property
    def asked(self) -> list[tuple[str, str, str]]:
        """Method, address and token of each call of a service."""
        calls = [call.request for call in self.wire.calls if call.request.url != TOKEN]
        return [(c.method or "", c.url or "", c.headers["Authorization"].removeprefix("Bearer ")) for c in calls]


@pytest.fixture
def lms(wire, key) -> Lms:
    return Lms(wire, key)


def page(*members: dict[str, Any]) -> dict[str, Any]:
    return {"id": MEMBERS, "context": {"id": "3"}, "members": list(members)}


def one(sub: str, *roles: str, **more: Any) -> dict[str, Any]:
    return {"user_id": sub, "roles": list(roles)} | more


# --- members -----------------------------------------------------------------------------------------


def test_a_role_is_asked_for_and_looked_for_here_too(lms):
    """This platform takes no notice of the question, and calls roles by their short names."""
    lms.answers(
        "GET", f"{MEMBERS}&role={quote(LEARNER)}", page(one("5", "Learner"), one("2", "Instructor"), one("6", LEARNER))
    )
    for spelled in ("Learner", LEARNER, "urn:lti:role:ims/lis/Learner"):
        assert [m["user_id"] for m in lms.course().read_members(role=spelled).members] == ["5", "6"]
    assert {parse_qs(urlsplit(url).query)["type_id"][0] for _, url, _ in lms.asked} == {"1"}


def test_a_page_is_as_large_as_asked_for(lms):
    following = f"{MEMBERS}&limit=2&from=2"
    lms.answers("GET", f"{MEMBERS}&limit=2", page(one("1"), one("2")), headers={"Link": f'<{following}>; rel="next"'})
    lms.answers("GET", following, page(one("3")))
    assert [m["user_id"] for m in lms.course().read_members(limit=2).members] == ["1", "2", "3"]


def test_a_link_is_asked_for_and_each_message_is_read(lms):
    custom = {lti.CLAIM + "message_type": "LtiResourceLinkRequest", lti.CLAIM + "custom": {"due": "2026-11-02"}, "x": 1}
    lms.answers("GET", f"{MEMBERS}&rlid=link-1", page(one("5", message=[custom]), one("6")))
    first, second = lms.course().read_members(resource_link="link-1").members
    assert first["message"] == [{"message_type": "LtiResourceLinkRequest", "custom": {"due": "2026-11-02"}}]
    assert "message" not in second


def test_an_unknown_link_is_no_empty_list(lms):
    lms.answers("GET", f"{MEMBERS}&rlid=other", {"errors": "unknown"}, 404)
    with pytest.raises(AnswerRefused):
        lms.course().read_members(resource_link="other")


def test_what_changed_since_is_read_from_where_the_platform_says(lms):
    told = "https://lms.example/course/3/members?type_id=1&Since=AbC"
    links = f'<{MEMBERS}&p=2>; rel="next", <{told}>; rel="differences"'
    lms.answers("GET", MEMBERS, page(one("1")), headers={"Link": links})
    lms.answers(
        "GET", f"{MEMBERS}&p=2", page(one("2")), headers={"Link": f'<{told}Later>; rel="differences"'}
    )  # fmt: skip
    lms.answers("GET", told, page(one("1", status="Deleted"), one("2", status="Inactive"), one("9", status="active")),
                headers={"Link": '<?Since=Def>; rel="differences"'})  # fmt: skip
    found = lms.course().read_members()
    assert found.differences == told
    changed = lms.course().read_changes(found.differences)
    assert {m["user_id"]: m["status"] for m in changed.members} == {"1": "Deleted", "2": "Inactive", "9": "Active"}
    assert changed.differences == "https://lms.example/course/3/members?Since=Def"


@pytest.mark.parametrize(
    "told", ["https://evil.example/since", "http://lms.example/since", "//evil.example/", "nonsense:"]
)
def test_a_list_of_changes_elsewhere_is_none(lms, told):
    lms.answers("GET", MEMBERS, page(one("1")), headers={"Link": f'<{told}>; rel="differences"'})
    assert lms.course().read_members().differences == ""
    with pytest.raises(ConnectorError):
        lms.course().read_changes(told)
    assert not [url for _, url, _ in lms.asked if "since" in url]


def test_a_next_that_never_ends_is_no_list(lms):
    """Blackboard, from a thousand members on: the last page again and again, under ever new addresses."""

    def endless(request: Any) -> tuple[int, dict[str, str], str]:
        offset = int(parse_qs(urlsplit(request.url).query).get("offset", ["0"])[0])
        members = [one(str(min(offset, 20) + n)) for n in range(10)]
        link = f'<{MEMBERS}&offset={offset + 10}>; rel="next"'
        return 200, {"Link": link}, json.dumps(page(*members) | {"id": f"page {offset}"})

    lms.wire.add_callback("GET", MEMBERS.partition("?")[0], callback=endless)
    with pytest.raises(AnswerUnreadable, match="brings nothing new"):
        lms.course().list_members()
    assert len(lms.asked) == 5


def test_somebody_on_two_pages_is_one_member(lms):
    lms.answers("GET", MEMBERS, page(one("1"), one("2")), headers={"Link": f'<{MEMBERS}&p=2>; rel="next"'})
    lms.answers("GET", f"{MEMBERS}&p=2", page(one("2"), one("3")))
    assert [m["user_id"] for m in lms.course().list_members()] == ["1", "2", "3"]


@pytest.mark.parametrize("said", [None, "", "Active", "active", "http://purl.imsglobal.org/vocab/lis/v2/status#Active"])
def test_active_is_said_in_many_ways(said):
    assert vocabulary.member_status(said) == "Active"


def test_a_status_nobody_knows_is_not_made_active():
    assert vocabulary.member_status("Suspended") == "Suspended"


_V = "http://purl.imsglobal.org/vocab/lis/v2/"


@pytest.mark.parametrize(
    ("spelled", "uri", "word"),
    [
        ("Learner", LEARNER, "student"),
        ("Instructor", INSTRUCTOR, "teacher"),
        (" Instructor ", INSTRUCTOR, "teacher"),
        ("TeachingAssistant", _V + "membership/Instructor#TeachingAssistant", "aide"),
        (INSTRUCTOR.replace("http", "https"), INSTRUCTOR, "teacher"),
        (_V + "membership/Instructor", INSTRUCTOR, "teacher"),
        (_V + "/membership#Instructor", INSTRUCTOR, "teacher"),
        ("urn:lti:role:ims/lis/Instructor", INSTRUCTOR, "teacher"),
        ("urn:lti:role:ims/lis/Learner/Instructor", _V + "membership/Learner#Instructor", "student"),
        (_V + "membership/Learner#Instructor", _V + "membership/Learner#Instructor", "student"),
        (_V + "membership/Mentor#Instructor", _V + "membership/Mentor#Instructor", None),
        (_V + "membership/Instructor#TeachingAssistant", _V + "membership/Instructor#TeachingAssistant", "aide"),
        (_V + "person#Administrator", _V + "institution/person#Administrator", None),
        ("urn:lti:instrole:ims/lis/Instructor", _V + "institution/person#Instructor", None),
        ("urn:lti:sysrole:ims/lis/SysAdmin", _V + "system/person#SysAdmin", None),
        (_V + "institution/person#Instructor", _V + "institution/person#Instructor", None),
        ("https://evil.example/membership#Instructor", "https://evil.example/membership#Instructor", None),
        ("made-up#Instructor", "made-up#Instructor", None),
        (vocabulary.TEST_USER, vocabulary.TEST_USER, None),
        ("", "", None),
    ],
)
def test_a_role_is_read_however_it_is_spelled(spelled, uri, word):
    assert (vocabulary.role_uri(spelled), vocabulary.course_role(spelled)) == (uri, word)


GROUPS, SETS = "https://lms.example/course/3/groups", "https://lms.example/course/3/sets"
GROUP_CLAIM = {"scope": [lti_groups.SCOPE], "context_groups_url": GROUPS, "context_group_sets_url": SETS}


def test_groups_come_with_the_names_of_their_sets_page_by_page(lms):
    first = {"id": GROUPS, "groups": [{"id": "1", "name": "Herons", "set_id": "s", "hidden": "no"}]}
    lms.answers("GET", GROUPS, first, headers={"Link": f'<{GROUPS}?p=2>; rel="next"'})
    lms.answers("GET", f"{GROUPS}?p=2", {"groups": [{"id": 2, "name": None}, {"id": "3"}]})
    lms.answers("GET", SETS, {"sets": [{"id": "s", "name": "Teams"}]})
    assert lms.course(groups=GROUP_CLAIM).list_groups() == [
        {"id": "1", "name": "Herons", "set": "Teams"}, {"id": "2", "name": None, "set": None},
        {"id": "3", "name": None, "set": None},
    ]  # fmt: skip
    assert lms.tokens == ["contextgroup.readonly"]
    assert {call.request.headers["Accept"] for call in lms.wire.calls[1:]} == {lti_groups.CONTAINER}


def test_sets_are_not_asked_for_where_none_are_offered(lms):
    lms.answers("GET", GROUPS, {"groups": [{"id": "1", "name": "Herons", "set_id": "s"}]})
    claim = {name: value for name, value in GROUP_CLAIM.items() if value != SETS}
    assert lms.course(groups=claim).list_groups() == [{"id": "1", "name": "Herons", "set": None}]
    assert [url for _, url, _ in lms.asked] == [GROUPS]


def test_members_are_asked_for_with_their_groups(lms):
    lms.answers("GET", f"{MEMBERS}&groups=true", page(one("5", group_enrollments=[{"group_id": "1", "x": 1}])))
    (member,) = lms.course().read_members(groups=True).members
    assert member["group_enrollments"] == [{"group_id": "1"}]
    assert lms.tokens == ["contextmembership.readonly"]


@pytest.mark.parametrize(
    "body", [[], {}, {"groups": {}}, {"groups": [{}]}, {"groups": [{"id": ""}]}, "x", {"groups": None}]
)
def test_groups_that_are_none_are_not_read(lms, body):
    lms.answers("GET", GROUPS, json.dumps(body))
    lms.answers("GET", SETS, {"sets": []})
    with pytest.raises(AnswerUnreadable):
        lms.course(groups=GROUP_CLAIM).list_groups()
    lms.wire.upsert("GET", SETS, json={"sets": body})
    with pytest.raises(AnswerUnreadable):
        lms.course(groups=GROUP_CLAIM).list_groups()


@pytest.mark.parametrize("claim", [{}, {"scope": [lti_groups.SCOPE]}, {"scope": [], "context_groups_url": GROUPS}])
def test_groups_that_are_not_offered_or_granted_cost_no_call(lms, claim):
    with pytest.raises(NotOffered):
        lms.course(groups=claim).list_groups()
    assert len(lms.wire.calls) == 0


# --- columns -----------------------------------------------------------------------------------------


def item(number: int, **more: Any) -> dict[str, Any]:
    url = f"https://lms.example/course/3/lineitems/{number}/lineitem?type_id=1"
    return {"id": url, "label": f"Unit {number}", "scoreMaximum": 4, "tag": "", "resourceId": ""} | more


def test_columns_are_asked_for_and_looked_for_here_too(lms):
    every = [item(1), item(2, tag="t"), item(3, tag="t", resourceId="a"), item(4, resourceLinkId="l", tag="t")]
    for query in ("&tag=t", "&tag=t&resource_id=a", "&resource_link_id=l&limit=50", ""):
        lms.answers("GET", ITEMS + query, every)
    course = lms.course()
    assert [c["label"] for c in course.list_columns(tag="t")] == ["Unit 2", "Unit 3", "Unit 4"]
    assert [c["label"] for c in course.list_columns(tag="t", resource_id="a")] == ["Unit 3"]
    assert [c["label"] for c in course.list_columns(resource_link="l", limit=50)] == ["Unit 4"]
    assert course.list_columns()[0] == {"id": item(1)["id"], "label": "Unit 1", "scoreMaximum": 4.0}


def test_a_column_is_made_read_changed_and_deleted(lms):
    course, made = lms.course(), item(9, resourceId="a")
    lms.answers("POST", ITEMS, made, 201)
    assert course.create_column("Unit 9", 4, resourceId="a", tag="x")["id"] == ITEM
    sent = json.loads(lms.wire.calls[-1].request.body)
    assert sent == {"label": "Unit 9", "scoreMaximum": 4, "resourceId": "a", "tag": "x"}
    assert lms.wire.calls[-1].request.headers["Content-Type"] == "application/vnd.ims.lis.v2.lineitem+json"
    lms.answers("GET", ITEM, made | {"gradesReleased": False, "submissionReview": {"label": "See"}, "vendor": 1})
    lms.answers("PUT", ITEM, made | {"label": "Ninth"})
    assert course.update_column(ITEM, label="Ninth", endDateTime="2026-12-01T00:00:00Z")["label"] == "Ninth"
    assert json.loads(lms.wire.calls[-1].request.body) == {
        "id": ITEM, "label": "Ninth", "scoreMaximum": 4.0, "resourceId": "a", "gradesReleased": False,
        "submissionReview": {"label": "See"}, "endDateTime": "2026-12-01T00:00:00Z",
    }  # fmt: skip
    lms.answers("DELETE", ITEM, None, 204)
    course.delete_column(ITEM)
    assert [(method, url) for method, url, _ in lms.asked] == [
        ("POST", ITEMS), ("GET", ITEM), ("PUT", ITEM), ("DELETE", ITEM)
    ]  # fmt: skip


def test_a_change_that_is_answered_with_nothing_is_read_back(lms):
    lms.answers("GET", ITEM, item(9))
    lms.answers("PUT", ITEM, None, 204)
    assert lms.course().update_column(ITEM, label="Ninth")["label"] == "Unit 9"


@pytest.mark.parametrize("status", [401, 403, 409])
def test_a_column_of_a_link_is_the_lmss_to_delete(lms, status):
    lms.answers("DELETE", ITEM, {"errors": "no"}, status)
    lms.answers("GET", ITEM, item(9, resourceLinkId="link-1"))
    with pytest.raises(ColumnCoupled) as refused:
        lms.course().delete_column(ITEM)
    assert (refused.value.status, refused.value.code) == (status, "GRD_COLUMN_COUPLED")
    assert VOCABULARY[refused.value.code].owner == "the teacher"


@pytest.mark.parametrize(("status", "error"), [(401, CredentialsRefused), (403, AnswerRefused), (500, AnswerRefused)])
def test_another_columns_refusal_stays_what_it_is(lms, status, error):
    lms.answers("DELETE", ITEM, None, status)
    lms.answers("GET", ITEM, item(9))
    with pytest.raises(error) as refused:
        lms.course().delete_column(ITEM)
    assert type(refused.value) is error


@pytest.mark.parametrize("body", [[1], [{}], {"id": ITEM}, [{"id": "https://evil.example/1"}], [{"id": 7}], "<html>"])
def test_a_list_of_columns_that_is_none_is_unreadable(lms, body):
    lms.answers("GET", ITEMS, body)
    with pytest.raises(AnswerUnreadable):
        lms.course().list_columns()
    with pytest.raises(AnswerUnreadable):
        lms.course().make_column("a", "Unit 1", 4) if body != [{"id": "https://evil.example/1"}] else _find(lms)


def _find(lms: Lms) -> None:
    lms.answers("GET", f"{ITEMS}&resource_id=a", [{"id": "https://evil.example/1", "resourceId": "a"}])
    lms.course().find_column("a")


# --- scores and results ------------------------------------------------------------------------------


def cleared(record: dict[str, Any]) -> Cleared[bytes]:
    return Cleared(json.dumps(record).encode(), "tr_1", frozenset(), SEAL)


def test_results_of_one_user_are_asked_for_and_looked_for_here_too(lms):
    results = f"{ITEM.partition('?')[0]}/results?type_id=1"
    marks = [{"userId": who, "resultScore": 3, "resultMaximum": 4} for who in ("5", "6")]
    lms.answers("GET", f"{results}&user_id=5", marks)
    lms.answers("GET", results, marks)
    assert [r["userId"] for r in lms.course().read_results(ITEM, user="5")] == ["5"]
    assert [r["userId"] for r in lms.course().read_results(ITEM)] == ["5", "6"]


def test_a_score_says_when_the_work_was_handed_in_and_who_graded_it():
    at = datetime(2026, 11, 2, 9, 0, 0, 250_000, tzinfo=UTC)
    said = lti.score("5", 3, 4, at, comment="Well done", scorer="2", submitted_at=at)
    assert lti.ScoreSchema().validate(said) == {}
    assert said["submission"] == {"submittedAt": "2026-11-02T09:00:00.250Z"}
    assert (said["comment"], said["scoringUserId"]) == ("Well done", "2")
    assert not {"comment", "scoringUserId", "submission"} & set(lti.score("5", 3, 4, at))
    assert "activityProgress" in lti.ScoreSchema().validate(said | {"activityProgress": "Done"})


def test_a_score_is_taken_away_by_saying_none(lms):
    scores = f"{ITEM.partition('?')[0]}/scores?type_id=1"
    lms.answers("POST", scores, None, 204)
    lms.course().push_score(ITEM, cleared(lti.no_score("5", datetime(2026, 11, 2, tzinfo=UTC))))
    sent = json.loads(lms.wire.calls[-1].request.body)
    assert sent == {
        "userId": "5", "timestamp": "2026-11-02T00:00:00.000Z", "activityProgress": "Initialized",
        "gradingProgress": "NotReady",
    }  # fmt: skip


# --- scopes and tokens -------------------------------------------------------------------------------


def use_all(lms: Lms, course: LtiAdvantage) -> None:
    path = ITEM.partition("?")[0]
    lms.answers("GET", MEMBERS, page(one("1")))
    lms.answers("GET", ITEM, item(9))
    lms.answers("GET", f"{path}/results?type_id=1", [])
    lms.answers("POST", f"{path}/scores?type_id=1", None, 200)
    lms.answers("POST", ITEMS, item(9), 201)
    course.list_members()
    course.read_column(ITEM)
    course.read_results(ITEM)
    course.push_score(ITEM, cleared(lti.no_score("5", datetime(2026, 11, 2, tzinfo=UTC))))
    course.create_column("Unit", 4)


def test_each_call_asks_for_the_least_scope(lms):
    use_all(lms, lms.course())
    assert lms.tokens == ["contextmembership.readonly", "lineitem.readonly", "result.readonly", "score", "lineitem"]
    use_all(lms, lms.course())
    assert len(lms.tokens) == 5  # each is kept


def test_where_reading_is_not_granted_by_itself_writing_reads(lms):
    use_all(lms, lms.course(lti.SCOPE_LINE_ITEM, lti.SCOPE_RESULT, lti.SCOPE_SCORE))
    assert lms.tokens == ["contextmembership.readonly", "lineitem", "result.readonly", "score"]


@pytest.mark.parametrize(
    ("granted", "call"),
    [
        (lti.SCOPE_SCORE, lambda c: c.read_results(ITEM)),
        (lti.SCOPE_SCORE, lambda c: c.find_column("a")),
        (lti.SCOPE_SCORE, lambda c: c.list_columns()),
        (lti.SCOPE_LINE_ITEM_READ, lambda c: c.create_column("Unit", 4)),
        (lti.SCOPE_LINE_ITEM_READ, lambda c: c.update_column(ITEM, label="x")),
        (lti.SCOPE_LINE_ITEM_READ, lambda c: c.delete_column(ITEM)),
        (lti.SCOPE_LINE_ITEM, lambda c: c.push_score(ITEM, cleared({}))),
    ],
)
def test_what_is_not_granted_is_not_asked_for(lms, granted, call):
    with pytest.raises(NotOffered) as refused:
        call(lms.course(granted))
    assert (refused.value.code, refused.value.sent) == ("SRC_NOT_OFFERED", False)
    assert classify(refused.value, product("generic")) is Event.SAID_NO
    assert len(lms.wire.calls) == 0


def test_a_column_names_its_link_and_a_platform_in_trouble_is_asked_once(lms):
    lms.answers("GET", ITEMS, [])
    lms.answers("POST", ITEMS, item(9, resourceId="a"), 201)
    assert lms.course().make_column("a", "Unit", 4, "link-1") == ITEM
    sent = json.loads(lms.wire.calls[-1].request.body)
    assert sent == {
        "label": "Unit", "scoreMaximum": 4, "resourceId": "a", "tag": "schoolgate", "resourceLinkId": "link-1"
    }  # fmt: skip
    lms.wire.upsert("POST", ITEMS, status=503)
    with pytest.raises(AnswerRefused):
        lms.course().make_column("a", "Unit", 4, "link-1")
    assert [method for method, url, _ in lms.asked].count("POST") == 2


def test_a_column_is_not_made_where_only_reading_is_granted(lms):
    lms.answers("GET", ITEMS, [])
    with pytest.raises(AnswerUnreadable):
        lms.course(lti.SCOPE_LINE_ITEM_READ).make_column("a", "Unit", 4)


@pytest.mark.parametrize("missing", ["ags", "nrps"])
def test_a_course_without_the_service_says_so(lms, missing):
    course = lms.course(**{missing: {"scope": list(EVERY)}})
    with pytest.raises(NotOffered):
        course.list_members() if missing == "nrps" else course.list_columns()


def test_a_token_that_is_refused_is_renewed_once(lms):
    refuse = re.compile(re.escape(MEMBERS.partition("?")[0]))
    lms.wire.add("GET", refuse, status=401)
    lms.wire.add("GET", refuse, json=page(one("1")))
    assert len(lms.course().list_members()) == 1
    assert [token for *_, token in lms.asked] == ["t1", "t2"]
    lms.wire.upsert("GET", refuse, status=401)
    with pytest.raises(CredentialsRefused):
        lms.course().list_members()
    assert [token for *_, token in lms.asked] == ["t1", "t2", "t2", "t3"]


def test_a_token_refused_between_two_pages_does_not_begin_the_list_again(lms):
    lms.answers("GET", MEMBERS, page(one("1")), headers={"Link": f'<{MEMBERS}&p=2>; rel="next"'})
    lms.answers("GET", f"{MEMBERS}&p=2", None, 401)
    lms.answers("GET", f"{MEMBERS}&p=2", page(one("2")))
    assert [m["user_id"] for m in lms.course().list_members()] == ["1", "2"]
    assert [token for *_, token in lms.asked] == ["t1", "t1", "t2"]


def test_two_deployments_of_one_registration_share_no_token(lms):
    lms.answers("GET", MEMBERS, page(one("1")))
    lms.course(deployment="1").list_members()
    lms.course(deployment="2").list_members()
    assert [token for *_, token in lms.asked] == ["t1", "t2"]
