"""LTI Advantage services of an LMS: members by NRPS 2.0, grades by AGS 2.0.

PyLTI1p3's `AssignmentsGradesService`, `LineItem` and address rules do what they can; `connectors/lti_line.py` is the
line beneath them. Addresses come from verified launches and are followed only on the hosts of the registration.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any
from urllib.parse import urlencode, urljoin

import requests
from joserfc.jwk import RSAKey
from pylti1p3.assignments_grades import AssignmentsGradesService
from pylti1p3.exception import LtiException
from pylti1p3.lineitem import LineItem

from connectors.contract import Membership
from connectors.egress import GuardedSession, answer_json
from connectors.errors import AnswerRefused, AnswerUnreadable, ColumnCoupled, CredentialsRefused, NotOffered
from connectors.lti_line import ITEM, ITEMS, Course, CourseLine, shaped
from connectors.paging import parse_link
from connectors.tokens import TokenBroker
from mappings import lti, lti_groups, lti_notices
from mappings.cleared import Cleared
from mappings.vocabulary import role_uri

__all__ = ["Course", "LtiAdvantage"]

_JSON = "application/json"
_SCORE = "application/vnd.ims.lis.v1.score+json"
_MEMBERS = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
_RESULTS = "application/vnd.ims.lis.v2.resultcontainer+json"
_LINKS_ITSELF = frozenset({400, 404, 409, 412, 422})  # to a column that names a link, where only the LMS ties them
_MAY_MEAN_COUPLED = frozenset({400, 403, 405, 409, 422})  # beside 401, Canvas's


class LtiAdvantage:
    """The services of one course. Implements ListsMembers, ListsGroups, TakesScores, KeepsColumns and
    SendsNotices."""

    def __init__(
        self, course: Course, key: RSAKey, broker: TokenBroker, open_line: Callable[..., GuardedSession]
    ) -> None:
        self.course = course
        self._line = CourseLine(course, key, broker, lambda: open_line(course.hosts))

    # --- members (NRPS 2.0) ----------------------------------------------------------------------

    def list_members(self) -> Sequence[dict[str, Any]]:
        """Return every member of the course. Raises ConnectorError when the list is not whole."""
        return self.read_members().members

    def read_members(
        self, *, role: str = "", limit: int = 0, resource_link: str = "", groups: bool = False
    ) -> Membership:
        """Return the members of the course: of one role, where asked for, whatever the platform makes of the question;
        with what each would be sent in a launch of `resource_link`, and which groups each is in. `limit` is the size of
        a page (section 2.4)."""
        url = _asked(
            self._members_url(), role=role and role_uri(role), limit=limit or "", rlid=resource_link,
            groups="true" if groups else "",
        )  # fmt: skip
        found = self._membership(url)
        if not role:
            return found
        return Membership([one for one in found.members if lti.has_role(one, role)], found.differences)

    def read_changes(self, differences: str) -> Membership:
        """Return who changed since the reading that gave this address; who left has the status `Deleted`
        (section 2.4.6). The address is the platform's: it is called only on a host of the registration."""
        return self._membership(differences)

    def sample_members(self) -> Sequence[dict[str, Any]]:
        """Return the members on the first page."""
        (page,) = islice(self._line.pages([lti.SCOPE_MEMBERS], self._members_url(), _read_members, _MEMBERS), 1)
        return page  # type: ignore[no-any-return]

    def _members_url(self) -> str:
        url: str = self.course.nrps.get("context_memberships_url") or ""
        if not url:
            raise NotOffered("the LMS offers no membership service for this course")
        return url

    def _membership(self, url: str) -> Membership:
        told: list[str] = []

        def read(response: requests.Response) -> list[dict[str, Any]]:
            told.append(parse_link(response.headers.get("Link", "")).get("differences", ""))
            return _read_members(response)

        members = self._line.whole([lti.SCOPE_MEMBERS], url, read, _MEMBERS, "user_id")
        # Of several pages the first one's: what changes while the others are read is told again, never missed.
        said = next((_resolved(url, one) for one in told if one), "")
        return Membership(members, said if self.course.owns(said) else "")

    # --- groups (Course Groups 1.0) --------------------------------------------------------------

    def list_groups(self) -> Sequence[dict[str, Any]]:
        """Return every group of the course: `id`, `name`, and the name of its `set`. Raises ConnectorError when a list
        is not whole."""
        url: str = self.course.groups.get("context_groups_url") or ""
        if not url:
            raise NotOffered("the LMS offers no groups service for this course")
        scope = self._line.scope(lti_groups.SCOPE, of="groups")
        listed: str = self.course.groups.get("context_group_sets_url") or ""
        sets = self._line.whole(scope, listed, _read_sets, lti_groups.CONTAINER, "id") if listed else []
        found = self._line.whole(scope, url, _read_groups, lti_groups.CONTAINER, "id")
        names = {one["id"]: one["name"] for one in sets}
        return [{"id": one["id"], "name": one["name"], "set": names.get(one["set_id"])} for one in found]

    # --- notices (Platform Notification Service 1.0) ---------------------------------------------

    def read_notice_handlers(self) -> dict[str, str]:
        """Return where the platform sends each kind of notice of this deployment, by its type; "" for nowhere."""
        url, scope = self._notices()
        response = self._line.call("GET", scope, url, _JSON)
        try:
            return lti_notices.read_handlers(answer_json(response))
        except ValueError as error:
            raise AnswerUnreadable(str(error)) from None

    def send_notices(self, notice_type: str, handler: str) -> None:
        """Let the platform send one kind of notice to an address of ours from now on."""
        url, scope = self._notices()
        self._line.call("PUT", scope, url, _JSON, json.dumps(lti_notices.wanted(notice_type, handler)), _JSON)

    def _notices(self) -> tuple[str, list[str]]:
        url: str = self.course.notices.get("platform_notification_service_url") or ""
        if not url:
            raise NotOffered("the LMS offers no notification service for this course")
        return url, self._line.scope(lti_notices.SCOPE, of="notices")

    # --- columns (AGS 2.0, section 3.2) ----------------------------------------------------------

    def _service(self, **asked: str) -> AssignmentsGradesService:
        """PyLTI1p3's service on this course's list of columns, or on what the platform finds in it."""
        self._line.begin()
        self._line.scope(lti.SCOPE_LINE_ITEM_READ, lti.SCOPE_LINE_ITEM)
        data = {"scope": self.course.ags.get("scope", ()), "lineitems": _asked(self._columns_url(), **asked)}
        return AssignmentsGradesService(self._line, data)

    def _columns_url(self) -> str:
        url: str = self.course.ags.get("lineitems") or ""
        if not url:
            raise NotOffered("the LMS offers no list of columns for this course")
        return url

    def list_columns(
        self, *, resource_link: str = "", resource_id: str = "", tag: str = "", limit: int = 0
    ) -> Sequence[dict[str, Any]]:
        """Return the columns that are all of what is asked for, whatever the platform makes of the question."""
        wanted = {"resourceLinkId": resource_link, "resourceId": resource_id, "tag": tag}
        url = _asked(
            self._columns_url(), resource_link_id=resource_link, resource_id=resource_id, tag=tag, limit=limit or ""
        )
        found = self._line.whole(self._reading_scope(), url, _read_columns, ITEMS, "id")
        return [self._ours(one) for one in found if all(one.get(k) == v for k, v in wanted.items() if v)]

    def sample_columns(self) -> Sequence[dict[str, Any]]:
        """Return the columns on the first page of a list that is asked for one."""
        url = _asked(self._columns_url(), limit=1)
        (page,) = islice(self._line.pages(self._reading_scope(), url, _read_columns, ITEMS), 1)
        return [self._ours(one) for one in page]

    def _reading_scope(self) -> list[str]:
        """Moodle wants `lineitem.readonly` asked for by that name; others grant `lineitem` alone."""
        return self._line.scope(lti.SCOPE_LINE_ITEM_READ, lti.SCOPE_LINE_ITEM)

    def find_column(self, resource_id: str) -> str | None:
        """Return the address of the column of this activity."""
        try:
            found = self._service(resource_id=resource_id).find_lineitem_by_resource_id(resource_id)
        except LtiException as error:
            raise AnswerUnreadable("the LMS offers no list of columns") from error
        return self._own(found.get_id()) if found else None

    def make_column(self, resource_id: str, title: str, maximum: float, resource_link: str = "") -> str:
        """Make a column for this activity, or return the one that is there: the whole list is looked through, because
        a platform that searches badly must not get a second one. It belongs to `resource_link` where that is known and
        the platform lets a tool say so (AGS 2.0, resourceLinkId)."""
        item = LineItem().set_resource_id(resource_id).set_label(title).set_score_maximum(maximum)
        item.set_tag("schoolgate")
        if resource_link:
            try:
                return self._find_or_make(item.set_resource_link_id(resource_link))
            except AnswerRefused as refused:
                if refused.status not in _LINKS_ITSELF:
                    raise
        return self._find_or_make(item.set_resource_link_id(""))

    def _find_or_make(self, item: LineItem) -> str:
        try:
            made = self._service().find_or_create_lineitem(item, find_by="resource_id")
        except LtiException as error:
            raise AnswerUnreadable("the LMS does not let us make a column") from error
        return self._own(made.get_id())

    def create_column(self, title: str, maximum: float, **more: str) -> dict[str, Any]:
        """Make a column, whether or not there is one like it. `more` is of AGS's words: resourceId, tag,
        resourceLinkId, startDateTime, endDateTime."""
        item = LineItem({**more, "label": title}).set_score_maximum(maximum)
        scope = self._line.scope(lti.SCOPE_LINE_ITEM)
        return self._column("POST", scope, self._columns_url(), item.get_value())

    def read_column(self, column: str) -> dict[str, Any]:
        """Return one column."""
        return self._column("GET", self._reading_scope(), self._own(column))

    def update_column(self, column: str, **changes: Any) -> dict[str, Any]:
        """Change what is named, in AGS's words, and keep the rest: a PUT replaces a column as a whole, so it is read
        first (section 3.2.9)."""
        scope = self._line.scope(lti.SCOPE_LINE_ITEM)
        held = self.read_column(column)
        sent = held | changes | {"id": held["id"]}
        return self._column("PUT", scope, column, json.dumps({k: v for k, v in sent.items() if v is not None}))

    def delete_column(self, column: str) -> None:
        """Delete a column with what is in it. Raises ColumnCoupled where it belongs to a link of the LMS: Canvas says
        401 to that, as if our token were bad, so a refusal is looked into."""
        scope = self._line.scope(lti.SCOPE_LINE_ITEM)
        try:
            self._line.call("DELETE", scope, self._own(column), "*/*")
        except CredentialsRefused:
            self._refuse_coupled(column, 401)
            raise
        except AnswerRefused as refused:
            if refused.status in _MAY_MEAN_COUPLED:
                self._refuse_coupled(column, refused.status)
            raise

    def _refuse_coupled(self, column: str, status: int) -> None:
        if self.read_column(column).get("resourceLinkId"):
            raise ColumnCoupled(status, "the column belongs to a link of the LMS")

    def _column(self, method: str, scope: list[str], url: str, body: str | None = None) -> dict[str, Any]:
        response = self._line.call(method, scope, url, ITEM, body, ITEM if body is not None else "")
        if method == "PUT" and not response.content:
            return self.read_column(url)
        return self._ours(shaped(response, ITEM))

    def _ours(self, item: dict[str, Any]) -> dict[str, Any]:
        self._own(item["id"])
        return item

    def _own(self, url: Any) -> str:
        """A column's address, on a host of this registration."""
        if not self.course.owns(url):
            raise AnswerUnreadable("the LMS names a column on another host", sent=False)
        return str(url)

    # --- scores and results (sections 3.4 and 3.5) -----------------------------------------------

    def push_score(self, column: str, score: Cleared[bytes]) -> None:
        """Post one score. Raises ConnectorError."""
        if not isinstance(score, Cleared):
            raise PermissionError("only a cleared score may leave")
        url = AssignmentsGradesService._add_url_path_ending(column, "scores")  # noqa: SLF001 - its address rule
        scope = self._line.scope(lti.SCOPE_SCORE)
        self._line.call("POST", scope, url, "application/json", score.payload.decode(), _SCORE)

    def read_results(self, column: str, *, user: str = "") -> Sequence[dict[str, Any]]:
        """Return all results of a column, or those of one LMS user. No `limit`: Moodle fails on it."""
        url = AssignmentsGradesService._add_url_path_ending(column, "results")  # noqa: SLF001 - its address rule
        scope = self._line.scope(lti.SCOPE_RESULT)
        found = self._line.whole(scope, _asked(url, user_id=user), _read_results, _RESULTS, "userId")
        return [one for one in found if user in ("", one["userId"])]


def _asked(url: str, **said: Any) -> str:
    """An address with more in its query; what it has there stays."""
    query = urlencode({name: value for name, value in said.items() if value not in ("", None)})
    return url + ("&" if "?" in url else "?") + query if query else url


def _resolved(url: str, target: str) -> str:
    """Where a link of an answer leads, "" where nobody can tell."""
    try:
        return urljoin(url, target)
    except ValueError:
        return ""


def _read_members(response: requests.Response) -> list[dict[str, Any]]:
    return lti.read_members(answer_json(response))


def _groups_or(read: Callable[[Any], list[dict[str, Any]]], response: requests.Response) -> list[dict[str, Any]]:
    try:
        return read(answer_json(response))
    except ValueError as error:
        raise AnswerUnreadable(str(error)) from None


def _read_groups(response: requests.Response) -> list[dict[str, Any]]:
    return _groups_or(lti_groups.read_groups, response)


def _read_sets(response: requests.Response) -> list[dict[str, Any]]:
    return _groups_or(lti_groups.read_sets, response)


def _read_columns(response: requests.Response) -> list[dict[str, Any]]:
    return lti.read_line_items(answer_json(response))


def _read_results(response: requests.Response) -> list[dict[str, Any]]:
    return lti.read_results(answer_json(response))
