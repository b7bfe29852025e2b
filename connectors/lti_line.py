"""The line to one LMS course: PyLTI1p3's `ServiceConnector` on our session, with our tokens and our paging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from joserfc.jwk import RSAKey
from pylti1p3.registration import Registration
from pylti1p3.service_connector import ServiceConnector

from connectors.egress import GuardedSession, Reach, answer_json, origin_of, require_success
from connectors.errors import AddressRefused, AnswerUnreadable, CredentialsRefused, NotOffered
from connectors.paging import Reading, all_of, pages
from connectors.tokens import Token, TokenBroker, TokenKey, private_key_jwt
from mappings import lti

MAX_PAGES = 400
ITEM = "application/vnd.ims.lis.v2.lineitem+json"
ITEMS = "application/vnd.ims.lis.v2.lineitemcontainer+json"
_SHAPES: dict[str, Callable[[Any], Any]] = {ITEM: lti.read_line_item, ITEMS: lti.read_line_items}

Read = Callable[[requests.Response], Sequence[dict[str, Any]]]


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
    notices: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Any] = field(default_factory=dict)

    def token_key(self, scopes: Sequence[str]) -> TokenKey:
        """What a token of this course is for. Its deployment is part of whose it is: one platform's registration may
        serve several institutions, told apart by that alone (Blackboard)."""
        whose = f"{self.tenant}:{self.deployment_id}"
        return TokenKey(whose, self.registration, self.token_url, self.token_audience, tuple(scopes))

    def owns(self, url: Any) -> bool:
        """Whether an address that the platform names is on a host of this registration."""
        try:
            origin = origin_of(url) if isinstance(url, str) else None
        except AddressRefused:
            return False
        return origin is not None and f"{origin.host}:{origin.port}" in Reach(self.hosts).hosts


class CourseLine(ServiceConnector):  # type: ignore[misc]
    """PyLTI1p3's connector on our line: tokens from the broker, one refresh on 401, `next` as it was written, the
    least scope that is granted for each call."""

    def __init__(self, course: Course, key: RSAKey, broker: TokenBroker, open_line: Callable[[], GuardedSession]):
        super().__init__(Registration().set_client_id(course.client_id), open_line())
        self._course, self._key, self._broker, self._open_line = course, key, broker, open_line
        self._reading: Reading | None = None

    # --- tokens ----------------------------------------------------------------------------------

    def scope(self, *wanted: str, of: str = "ags") -> list[str]:
        """The first of these scopes that the course's claim of a service grants. Raises NotOffered."""
        for scope in wanted:
            if scope in getattr(self._course, of).get("scope", ()):
                return [scope]
        raise NotOffered(f"the LMS does not grant {wanted[0].rpartition('/')[2]} for this course")

    def _token(self, scopes: Sequence[str]) -> Token:
        course, name = self._course, self._course.token_key(scopes)
        fetch = private_key_jwt(
            self._open_line, name, course.client_id, self._key, course.kid, deployment_id=course.deployment_id
        )
        return self._broker.token(name, fetch)

    def get_access_token(self, scopes: Sequence[str]) -> str:
        return self._token(scopes).value

    # --- calls -----------------------------------------------------------------------------------

    def call(
        self, method: str, scopes: Sequence[str], url: str, accept: str, data: str | None = None, kind: str = ""
    ) -> requests.Response:
        """One call; a token that is not accepted is renewed once. What may not be called costs not even a token."""
        line: GuardedSession = self._requests_session
        line.adapter.admit(url)
        headers = {"Accept": accept} | ({"Content-Type": kind} if kind else {})
        for _attempt in range(2):
            token = self._token(scopes)
            line.authorize(url, lambda token=token: token.header)  # type: ignore[misc]
            response = line.request(method, url, data=data, headers=headers)
            if response.status_code != 401:
                return require_success(response)
            self._broker.forget(self._course.token_key(scopes), token)
        raise CredentialsRefused("the LMS does not accept our token")

    def pages(self, scopes: Sequence[str], url: str, read: Read, accept: str) -> Any:
        """The pages of a list, as `read` reads each."""
        return pages(lambda page: self.call("GET", scopes, page, accept), url, read, max_pages=MAX_PAGES)

    def whole(self, scopes: Sequence[str], url: str, read: Read, accept: str, name: str) -> list[dict[str, Any]]:
        """All entries of a list, each once by its `name`. Raises ConnectorError when it is not whole."""
        return all_of(self.pages(scopes, url, read, accept), name)

    # --- what PyLTI1p3 calls: line items only ----------------------------------------------------

    def begin(self) -> None:
        """A list is read from its beginning."""
        self._reading = None

    def make_service_request(
        self,
        scopes: Sequence[str],  # noqa: ARG002 - PyLTI1p3 names all that is granted; the least of it is asked for
        url: str,
        is_post: bool = False,
        data: str | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        case_insensitive_headers: bool = False,  # noqa: ARG002 - PyLTI1p3's signature
    ) -> dict[str, Any]:
        if is_post:
            response = self.call("POST", self.scope(lti.SCOPE_LINE_ITEM), url, accept, data, content_type)
            return {"headers": dict(response.headers), "body": shaped(response, accept), "next_page_url": None}
        self._reading = self._reading or Reading(url, MAX_PAGES)
        self._reading.ask(url)
        response = self.call("GET", self.scope(lti.SCOPE_LINE_ITEM_READ, lti.SCOPE_LINE_ITEM), url, accept)
        following = self._reading.following(response, url)
        return {"headers": dict(response.headers), "body": shaped(response, accept), "next_page_url": following}


def shaped(response: requests.Response, accept: str) -> Any:
    """The body of an answer, as its media type says it is. Raises AnswerUnreadable."""
    body = answer_json(response)
    try:
        return _SHAPES.get(accept, lambda whole: whole)(body)
    except ValueError as error:
        raise AnswerUnreadable(str(error)) from None
