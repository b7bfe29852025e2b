"""Names and roles as the LMS offers them (NRPS 2.0): pages, filters, and what has changed since."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from gateway.sandbox.campus import Course, Tool, User
from gateway.sandbox.lms_services import (
    GROUPS,
    MEMBERS,
    answer,
    campus,
    counted,
    course,
    link_header,
    page_of,
    throttled,
)
from gateway.sandbox.loopback import RefusalError

bp = Blueprint("members", __name__)
bp.before_request(throttled)
bp.after_request(counted)

_GROUPS = "application/vnd.ims.lti-gs.v1.contextgroupcontainer+json"
_MEDIA = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"


@bp.get("/courses/<course_id>/members")
def members(course_id: str) -> Response:
    """One page of a course's members; `role` and `rlid` choose, `limit` sizes, `since` asks for differences."""
    tool = campus().tools[campus().tokens.require(MEMBERS)]
    here, wanted = course(course_id), request.args.get("role")
    if not campus().is_link(here, request.args.get("rlid", here.link)):
        raise RefusalError(404, "not_found", "No such resource link.")
    people = _changed(here) if "since" in request.args else [(u, "Active") for u in here.members.values()]
    rows = [_member(u, status, tool) for u, status in people if wanted in (None, u.role(), u.role(short=True))]
    if request.args.get("groups") == "true" and campus().profile.groups:
        rows = [row | {"group_enrollments": _groups_of(here, row["user_id"])} for row in rows]
    if "rlid" in request.args:
        rows = [row | {"message": [_message(request.args["rlid"])]} for row in rows]
    url, above = f"{campus().url}{request.path}", campus().profile.endless_above
    chosen, links = page_of(rows, url, endless=bool(above) and len(rows) > above)
    if campus().profile.differences and "next" not in links:
        links["differences"] = f"{url}?since={len(campus().changes)}"
    body = {"id": url, "context": {"id": here.id, "label": here.title, "title": here.title}, "members": chosen}
    return answer(body, _MEDIA, link_header(links))


def _groups_of(here: Course, user: str) -> list[dict[str, str]]:
    return [{"group_id": key} for key, (_, pupils) in here.groups.items() if user in pupils]


@bp.get("/courses/<course_id>/groups")
def groups(course_id: str) -> Response:
    """The groups of a course (Course Groups 1.0), or those of one member."""
    here, only = _grouped(course_id), request.args.get("user_id")
    listed = [
        {"id": key, "name": name, "set_id": here.group_set} for key, (name, pupils) in here.groups.items()
        if only is None or only in pupils
    ]  # fmt: skip
    return _container("groups", listed)


@bp.get("/courses/<course_id>/groupsets")
def group_sets(course_id: str) -> Response:
    """The sets that the groups of a course stand in."""
    return _container("sets", [{"id": _grouped(course_id).group_set, "name": "Project teams"}])


def _grouped(course_id: str) -> Course:
    campus().tokens.require(GROUPS)
    if not campus().profile.groups:
        raise RefusalError(404, "not_found", "This LMS lists no groups.")
    return course(course_id)


def _container(name: str, listed: list[dict[str, Any]]) -> Response:
    url = f"{campus().url}{request.path}"
    rows, links = page_of(listed, url)
    return answer({"id": url, name: rows}, _GROUPS, link_header(links))


def _changed(here: Course) -> list[tuple[User, str]]:
    """Who came or left since a number of changes, each once, as they are now (section 2.4.2)."""
    if not campus().profile.differences or not request.args["since"].isdigit():
        raise RefusalError(404, "not_found", "No such differences.")
    later = campus().changes[int(request.args["since"]) :]
    return list({one.user.id: (one.user, one.status) for one in later if one.course == here.id}.values())


def _member(u: User, status: str, tool: Tool) -> dict[str, Any]:
    person, profile, named = u.person, campus().profile, tool.is_told("name")
    known = {
        "status": status,
        "name": u.name if named else "",
        "given_name": person.given if named else "",
        "family_name": person.family if named else "",
        "email": person.email if tool.is_told("email") else "",
        "user_id": u.id,
        "lis_person_sourcedid": person.sourced_id if profile.sis_ids and tool.is_told("sis_id") else "",
    }
    known = {k: v for k, v in known.items() if v}
    return known | {"roles": u.roles(profile, short=profile.short_roles)}


def _message(link: str) -> dict[str, Any]:
    """What a launch from the link would say of the member (section 3)."""
    claim = "https://purl.imsglobal.org/spec/lti/claim/"
    return {f"{claim}message_type": "LtiResourceLinkRequest", f"{claim}resource_link": {"id": link}}
