"""What else a course offers: a teacher picks in the tool, looks at a pupil's work, copies the course; anybody asks what
a tool holds."""

from __future__ import annotations

import secrets
from typing import Any

import requests
from flask import Blueprint, request
from joserfc.errors import JoseError
from markupsafe import Markup
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from gateway.sandbox.campus import OF_TOOL, Course, Launch, Link, Tool, User
from gateway.sandbox.lms_launch import PICKING, PRIVACY, REVIEW, own_course, signed_in, start, teacher
from gateway.sandbox.lms_notices import copied
from gateway.sandbox.lms_services import campus, finite, signed_by
from gateway.sandbox.loopback import RefusalError

bp = Blueprint("messages", __name__)

_LTI = "https://purl.imsglobal.org/spec/lti/claim/"
_DL = "https://purl.imsglobal.org/spec/lti-dl/claim/"
_TYPES = [OF_TOOL, "link", "file", "html", "image"]
_OPEN = Markup('<p><a href="/courses/{}/open?tool={}&amp;link={}">{}</a></p>')
_PLAIN = Markup('<p><a href="{}">{}</a></p>')
_PICK = Markup('<p><a href="/courses/{0}/pick?tool={1}">Add from {2}</a></p>')
_PRIVACY = Markup('<p><a href="/courses/{0}/privacy?tool={1}">Privacy of {2}</a></p>')
_COPY = Markup('<form method="post" action="/courses/{}/copy"><button>Copy the course</button></form>')
_REVIEW = Markup('<p><a href="/courses/{}/review?column={}&amp;user={}">Review {}: {}</a></p>')


def offered(user: User, here: Course) -> Markup:
    """Return what was picked for a course, and its page's links to these messages: what only a teacher may, for one."""
    tools = list(campus().tools.values())
    shown = [_show(one) for one in campus().links_of(here)]
    shown += [_PRIVACY.format(here.id, tool.client_id, tool.title) for tool in tools]
    if user.person.role == "teacher":
        shown += [_PICK.format(here.id, tool.client_id, tool.title) for tool in tools if picks(tool)]
        shown += [
            _REVIEW.format(here.id, number, who, here.members[who].name, column.body["label"])
            for number, column in campus().columns.items() if column.course == here
            for who in column.results if who in here.members
        ]  # fmt: skip
        shown.append(_COPY.format(here.id))
    return Markup("").join(shown)


def picks(tool: Tool) -> bool:
    """Whether content is chosen in a tool where a teacher adds it to a course."""
    return tool.begins(PICKING, "link_selection", "assignment_selection")


def _show(link: Link) -> Markup:
    if link.kind == OF_TOOL:
        return _OPEN.format(link.course, link.client_id, link.id, link.title)
    return _PLAIN.format(link.url, link.title)


def _tool() -> Tool:
    return campus().tools[request.args.get("tool", campus().profile.client_id)]


@bp.get("/courses/<course_id>/privacy")
def privacy(course_id: str) -> Response:
    """Somebody asks what the tool holds about them."""
    user = signed_in()
    return start(Launch(user, own_course(course_id), _tool(), PRIVACY, about=user.id))


@bp.get("/courses/<course_id>/review")
def review(course_id: str) -> Response:
    """A teacher looks at the work behind a score (Submission Review 1.0), from the link of its column."""
    user, here, asked = teacher(), own_course(course_id), request.args
    column = campus().columns.get(asked["column"])
    if column is None or column.course != here or asked["user"] not in column.results:
        raise RefusalError(404, "not_found", "There is no such score.")
    link = campus().links.get(column.body.get("resourceLinkId", ""))
    tool = campus().tools[column.client_id]
    return start(Launch(user, here, tool, REVIEW, link, asked["user"], asked["column"]))


@bp.post("/courses/<course_id>/copy")
def copy(course_id: str) -> Response:
    """A teacher makes a course of their own from another; the tools that asked for it are told."""
    made = campus().copy(own_course(course_id), teacher())
    copied(made)
    return redirect(f"/courses/{made.id}", 303)


# --- Deep Linking 2.0 ----------------------------------------------------------------------------------


@bp.get("/courses/<course_id>/pick")
def pick(course_id: str) -> Response:
    """A teacher chooses in the tool what the course shall link to."""
    user, here, data = teacher(), own_course(course_id), secrets.token_urlsafe(12)
    settings = {
        "deep_link_return_url": f"{campus().url}/courses/{here.id}/picked",
        "accept_types": _TYPES,
        "accept_presentation_document_targets": ["iframe", "window"],
        "accept_multiple": True,
        "accept_lineitem": True,
        "data": data,
    }
    campus().pickers[data] = Launch(user, here, _tool(), PICKING, settings=settings)
    return start(campus().pickers[data])


@bp.post("/courses/<course_id>/picked")
def picked(course_id: str) -> Response:
    """Take what was picked, once: links of the course, each with its column where it brings one."""
    tool, claims = _answered(request.form.get("JWT", ""))
    launch = campus().pickers.pop(str(claims.get(f"{_DL}data")), None)
    if launch is None or launch.course.id != course_id or launch.tool.client_id != tool.client_id:
        raise RefusalError(400, "invalid_request", "Nobody is picking with this data.")
    for item in claims.get(f"{_DL}content_items", []):
        _take(item, launch)
    return redirect(f"/courses/{course_id}", 303)


def _answered(token: str) -> tuple[Tool, dict[str, Any]]:
    """Check a deep linking response (section 4.5): signed by its tool, for us, fresh, once. RefusalError 400."""
    try:
        tool, said = signed_by(token)
    except (JoseError, requests.RequestException, ValueError, LookupError, TypeError) as error:
        raise RefusalError(400, "invalid_request", f"JWT: {error!r}") from error
    now, seen = campus().now().timestamp(), (tool.client_id, str(said.get("nonce")))
    wrong = {
        "aud": campus().issuer not in ([said["aud"]] if isinstance(said.get("aud"), str) else said.get("aud", [])),
        "exp": not now < finite(said.get("exp")) <= now + 3600,
        "iat": not now - 3600 < finite(said.get("iat")) < now + 60,
        "nonce": not said.get("nonce") or seen in campus().seen,
        "message_type": said.get(f"{_LTI}message_type") != "LtiDeepLinkingResponse",
        "version": said.get(f"{_LTI}version") != "1.3.0",
        "deployment_id": said.get(f"{_LTI}deployment_id") != tool.deployment_id,
    }
    if any(wrong.values()):
        raise RefusalError(400, "invalid_request", " ".join(name for name, bad in wrong.items() if bad))
    campus().seen.add(seen)
    return tool, said


def _take(item: dict[str, Any], launch: Launch) -> None:
    """Keep one item; one that brings a column gets it, tied to its link (section 3.2.1)."""
    if item.get("type") not in _TYPES:
        raise RefusalError(400, "invalid_request", f"Nobody asked for {item.get('type')}.")
    link = Link(
        f"picked-{secrets.token_hex(6)}", launch.course.id, launch.tool.client_id, item["type"],
        item.get("title") or launch.tool.title, item.get("url", ""), dict(item.get("custom", {})),
    )  # fmt: skip
    campus().links[link.id] = link
    if item["type"] == OF_TOOL and "lineItem" in item:
        body = {"label": link.title} | item["lineItem"] | {"resourceLinkId": link.id}
        campus().add_column(launch.course, launch.tool.client_id, body)
