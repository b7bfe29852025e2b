"""The services of an LMS at the HTTP layer: tokens, members, columns, scores and results, with faults on order."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import responses
from requests import PreparedRequest
from requests.exceptions import ReadTimeout

from tests.platforms import AGS, GS, HOST, NRPS, Platform

SCOPES = ["lineitem", "score", "result.readonly"]
Answer = tuple[int, dict[str, str], str]


@dataclass
class Gradebook:
    """One course's gradebook and member list. `faults` answer the next scores instead of the gradebook."""

    platform: Platform
    scopes: list[str] = field(default_factory=lambda: list(SCOPES))
    members: list[str] = field(default_factory=list)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    marks: dict[str, tuple[float, float]] = field(default_factory=dict)
    posted: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    faults: deque[Callable[[PreparedRequest], Answer]] = field(default_factory=deque)
    watch: Callable[[dict[str, Any]], None] | None = None
    readable: bool = True
    groups: dict[str, tuple[str, list[str]]] = field(default_factory=dict)  # by id: name, and whose they are
    group_status: int = 200
    ties_itself: int = 0  # the status of a column that names a link, where only the LMS ties them

    @property
    def base(self) -> str:
        return f"{HOST}/ags/{self.platform.client_id}/lineitems"

    @property
    def roster(self) -> str:
        return f"{HOST}/nrps/{self.platform.client_id}"

    def claims(self) -> dict[str, Any]:
        """The claims a launch from this course carries."""
        listed = {"context_groups_url": f"{self.roster}/groups", "context_group_sets_url": f"{self.roster}/sets",
                  "scope": [f"{GS}scope/contextgroup.readonly"], "service_versions": ["1.0"]}  # fmt: skip
        return ({GS + "claim/groupsservice": listed} if self.groups else {}) | {
            AGS + "claim/endpoint": {"scope": [f"{AGS}scope/{s}" for s in self.scopes], "lineitems": self.base},
            NRPS + "claim/namesroleservice": {"context_memberships_url": self.roster, "service_versions": ["2.0"]},
        }

    def serve(self, wire: responses.RequestsMock) -> Gradebook:
        one = re.escape(self.base) + r"/\d+"
        for method, url, answer in (
            ("POST", f"{HOST}/token", self._token),
            ("GET", self.roster, self._members),
            ("GET", f"{self.roster}/groups", self._groups), ("GET", f"{self.roster}/sets", self._sets),
            ("GET", re.compile(re.escape(self.base) + r"(\?.*)?$"), self._columns), ("POST", self.base, self._make),
            ("POST", re.compile(one + "/scores$"), self._score), ("GET", re.compile(one + "/results$"), self._results),
        ):  # fmt: skip
            wire.add_callback(method, url, callback=self._noting(answer), content_type=None)
        return self

    def _noting(self, answer: Callable[[PreparedRequest], Answer]) -> Callable[[PreparedRequest], Answer]:
        def noted(request: PreparedRequest) -> Answer:
            self.asked.append(f"{request.method} {request.url}")
            return answer(request)

        return noted

    # --- the services ----------------------------------------------------------------------------

    def _token(self, request: PreparedRequest) -> Answer:
        return said(200, {"access_token": "tok", "token_type": "Bearer", "expires_in": 3600})

    def _members(self, request: PreparedRequest) -> Answer:
        listed = [
            self._seeds(
                "lti_nrps", "Member", who, "name", "given_name", "family_name", "middle_name", "email", "picture"
            )
            | {"user_id": f"lms-{who}", "status": "Active", "roles": ["Learner"], "lis_person_sourcedid": who}
            | {"group_enrollments": self._enrolled(who, request.url or "")}
            for who in self.members
        ]
        return said(200, {"id": self.roster, "context": {"id": self.platform.context}, "members": listed})

    def _enrolled(self, who: str, url: str) -> list[dict[str, Any]]:
        """The groups of a member where they are asked for; where not, one that we did not ask for."""
        if not self.groups or "groups=true" not in url:
            return [self._seeds("lti_nrps", "Member.group_enrollments", who, "group_id")]
        return [{"group_id": key} for key, (_, people) in self.groups.items() if who in people]

    def _groups(self, request: PreparedRequest) -> Answer:
        listed = [{"id": key, "name": name, "set_id": "s1"} for key, (name, _) in self.groups.items()]
        return said(self.group_status, {"id": request.url, "groups": listed})

    def _sets(self, request: PreparedRequest) -> Answer:
        return said(200, {"id": request.url, "sets": [{"id": "s1", "name": "Teams"}]})

    def _seeds(self, binding: str, table: str, who: str, *names: str) -> dict[str, Any]:
        """A token in each of these texts about one person, which we did not ask for."""
        return {name: self.platform.token(binding, f"{table}.{name}", who) for name in names}

    def _columns(self, request: PreparedRequest) -> Answer:
        return said(200, list(self.columns.values()))

    def _make(self, request: PreparedRequest) -> Answer:
        column = json.loads(request.body) | {"id": f"{self.base}/{len(self.columns) + 1}"}
        if self.ties_itself and "resourceLinkId" in column:
            return said(self.ties_itself, {})
        self.columns[column["id"]] = column
        return said(201, column)

    def _score(self, request: PreparedRequest) -> Answer:
        score = json.loads(request.body)
        if self.watch:
            self.watch(score)
        if self.faults:
            return self.faults.popleft()(request)
        return self.take(request)

    def take(self, request: PreparedRequest) -> Answer:
        score = json.loads(request.body)
        self.posted.append(score)
        self.marks[score["userId"]] = (score["scoreGiven"], score["scoreMaximum"])
        return 204, {}, ""

    def _results(self, request: PreparedRequest) -> Answer:
        if not self.readable:
            return said(500, {})
        listed = [
            self._seeds("lti_ags", "Result", who, "comment", "scoringUserId", "scoreOf")
            | {"userId": who, "resultScore": s, "resultMaximum": m}
            for who, (s, m) in self.marks.items()
        ]
        return said(200, listed)

    # --- faults ----------------------------------------------------------------------------------

    def answer_next(self, status: int, body: Any = None, times: int = 1, **headers: str) -> None:
        """Answer the next scores with this status; nothing is applied."""
        self.faults.extend([lambda _request: said(status, body or {}, **headers)] * times)

    def lose_next(self, *, applied: bool) -> None:
        """Break the connection instead of answering the next score, with or without applying it."""

        def lose(request: PreparedRequest) -> Answer:
            if applied:
                self.take(request)
            raise ReadTimeout("no answer")

        self.faults.append(lose)


def said(status: int, body: Any, **headers: str) -> Answer:
    return status, {"Content-Type": "application/json"} | headers, json.dumps(body)
