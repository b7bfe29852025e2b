"""LTI Advantage services of an LMS: members by NRPS 2.0, grades by AGS 2.0.

PyLTI1p3 does the talking: its `ServiceConnector` with our session, our tokens and our paging, its
`AssignmentsGradesService`, `LineItem` and address rules as they are. Addresses come from verified launches and
are followed only on the hosts of the registration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import requests
from joserfc.jwk import RSAKey
from pylti1p3.assignments_grades import AssignmentsGradesService
from pylti1p3.exception import LtiException
from pylti1p3.lineitem import LineItem
from pylti1p3.registration import Registration
from pylti1p3.service_connector import ServiceConnector

from connectors.egress import GuardedSession, answer_json, origin_of, require_success
from connectors.errors import AnswerRefused, AnswerUnreadable, CredentialsRefused
from connectors.paging import pages, parse_link
from connectors.tokens import Token, TokenBroker, TokenKey, private_key_jwt
from mappings import lti
from mappings.cleared import Cleared

MAX_PAGES = 400
_SCORE = "application/vnd.ims.lis.v1.score+json"
_MEMBERS = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
_RESULTS = "application/vnd.ims.lis.v2.resultcontainer+json"


@dataclass(frozen=True, slots=True)
class Course:
    """One course of one registration, and where its services are."""

    tenant: str
    registration: str
    client_id: str
    deployment_id: str
    token_url: str
    token_audience: str
    kid: str
    hosts: frozenset[str]
    ags: dict[str, Any]
    nrps: dict[str, Any]


class _Connector(ServiceConnector):  # type: ignore[misc]
    """PyLTI1p3's connector on our line: tokens from the broker, one refresh on 401, `next` as it was written."""

    def __init__(self, course: Course, key: RSAKey, broker: TokenBroker, open_line: Callable[[], GuardedSession]):
        super().__init__(Registration().set_client_id(course.client_id), open_line())
        self.read: set[str] = set()
        self._course, self._key, self._broker, self._open_line = course, key, broker, open_line

    def line(self, url: str, scopes: Sequence[str]) -> tuple[GuardedSession, Token]:
        """Return the session, with a token for these scopes on its way to this address only."""
        token = self._token(scopes)
        self._requests_session.authorize(url, lambda: token.header)
        return self._requests_session, token

    def _name(self, scopes: Sequence[str]) -> TokenKey:
        course = self._course
        return TokenKey(
            course.tenant, course.registration, course.token_url, course.token_audience, tuple(sorted(scopes))
        )

    def _token(self, scopes: Sequence[str]) -> Token:
        course, name = self._course, self._name(scopes)
        fetch = private_key_jwt(
            self._open_line, name, course.client_id, self._key, course.kid, deployment_id=course.deployment_id
        )
        return self._broker.token(name, fetch)

    def forget(self, scopes: Sequence[str], token: Token) -> None:
        self._broker.forget(self._name(scopes), token)

    def get_access_token(self, scopes: Sequence[str]) -> str:
        return self._token(scopes).value

    def make_service_request(
        self,
        scopes: Sequence[str],
        url: str,
        is_post: bool = False,
        data: str | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        case_insensitive_headers: bool = False,  # noqa: ARG002 - PyLTI1p3's signature
    ) -> dict[str, Any]:
        if not is_post:
            self._once(url)
        response = self.call(scopes, url, data if is_post else None, content_type, accept)
        following = parse_link(response.headers.get("Link", "")).get("next")
        body = answer_json(response) if response.content else None
        return {"headers": dict(response.headers), "body": body, "next_page_url": following}

    def _once(self, url: str) -> None:
        """A list that leads back to a page already read never ends."""
        if url in self.read or len(self.read) >= MAX_PAGES:
            raise AnswerUnreadable("the pages go round in a circle")
        self.read.add(url)

    def whole(self, scopes: Sequence[str], url: str, read: Callable[[requests.Response], Any], accept: str) -> Any:
        """Return all pages of a list; a token that is not accepted is renewed once."""
        for last in (False, True):
            line, token = self.line(url, scopes)
            try:
                return list(chain.from_iterable(pages(line, url, read, max_pages=MAX_PAGES, accept=accept)))
            except AnswerRefused as refused:
                if refused.status != 401 or last:
                    raise
                self.forget(scopes, token)
        raise AssertionError("unreachable")

    def call(
        self, scopes: Sequence[str], url: str, data: str | None, content_type: str, accept: str
    ) -> requests.Response:
        """One call; a token that is not accepted is renewed once."""
        for last in (False, True):
            line, token = self.line(url, scopes)
            headers = {"Accept": accept} | ({"Content-Type": content_type} if data is not None else {})
            response = line.request("POST" if data is not None else "GET", url, data=data, headers=headers)
            if response.status_code != 401:
                return require_success(response)
            self.forget(scopes, token)
            if last:
                raise CredentialsRefused("the LMS does not accept our token")
        raise AssertionError("unreachable")


class LtiAdvantage:
    """The services of one course. Implements ListsMembers and TakesScores."""

    def __init__(
        self, course: Course, key: RSAKey, broker: TokenBroker, open_line: Callable[..., GuardedSession]
    ) -> None:
        self.course = course
        self._connector = _Connector(course, key, broker, lambda: open_line(course.hosts))

    # --- members ---------------------------------------------------------------------------------

    def list_members(self) -> Sequence[dict[str, Any]]:
        """Return every member of the course (NRPS 2.0). Raises ConnectorError when the list is not whole."""
        url = self.course.nrps.get("context_memberships_url")
        if not url:
            raise AnswerUnreadable("the LMS offers no membership service for this course")
        members: list[dict[str, Any]] = self._connector.whole([lti.SCOPE_MEMBERS], url, _read_members, _MEMBERS)
        return members

    # --- grades ----------------------------------------------------------------------------------

    @property
    def _scopes(self) -> list[str]:
        """Only what the course's claim grants is asked for."""
        wanted = (lti.SCOPE_LINE_ITEM, lti.SCOPE_RESULT, lti.SCOPE_SCORE)
        granted = [scope for scope in wanted if scope in self.course.ags.get("scope", ())]
        if not granted:
            raise AnswerUnreadable("the LMS grants no grade service for this course")
        return granted

    def _service(self) -> AssignmentsGradesService:
        self._connector.read.clear()
        return AssignmentsGradesService(self._connector, {**self.course.ags, "scope": self._scopes})

    def find_column(self, resource_id: str) -> str | None:
        """Return the address of the column of this activity."""
        try:
            found = self._service().find_lineitem_by_resource_id(resource_id)
        except (LtiException, KeyError) as error:
            raise AnswerUnreadable("the LMS offers no list of columns") from error
        return self._own(found.get_id()) if found else None

    def make_column(self, resource_id: str, title: str, maximum: float) -> str:
        """Make a column for this activity, or return the one that is there."""
        item = LineItem().set_resource_id(resource_id).set_label(title).set_score_maximum(maximum)
        try:
            made = self._service().find_or_create_lineitem(item.set_tag("schoolgate"), find_by="resource_id")
        except (LtiException, KeyError) as error:
            raise AnswerUnreadable("the LMS does not let us make a column") from error
        return self._own(made.get_id())

    def _own(self, url: Any) -> str:
        """A column's address, on a host of this registration."""
        if not isinstance(url, str) or origin_of(url).authority not in self.course.hosts:
            raise AnswerUnreadable("the LMS names a column on another host")
        return url

    def push_score(self, column: str, score: Cleared[bytes]) -> None:
        """Post one score (AGS 2.0, section 3.4). Raises ConnectorError."""
        if not isinstance(score, Cleared):
            raise PermissionError("only a cleared score may leave")
        url = AssignmentsGradesService._add_url_path_ending(column, "scores")  # noqa: SLF001 - its address rule
        self._connector.call(self._scopes, url, score.payload.decode(), _SCORE, "application/json")

    def read_results(self, column: str) -> Sequence[dict[str, Any]]:
        """Return all results of a column (AGS 2.0, section 3.5). No `limit`: Moodle fails on it."""
        url = AssignmentsGradesService._add_url_path_ending(column, "results")  # noqa: SLF001 - its address rule
        results: list[dict[str, Any]] = self._connector.whole(self._scopes, url, _read_results, _RESULTS)
        return results


def _read_members(response: requests.Response) -> list[dict[str, Any]]:
    return lti.read_members(_json(response))


def _read_results(response: requests.Response) -> list[dict[str, Any]]:
    return lti.read_results(_json(response))


def _json(response: requests.Response) -> Any:
    try:
        return json.loads(response.content)
    except ValueError as error:
        raise AnswerUnreadable("not JSON") from error
