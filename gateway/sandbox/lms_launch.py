"""A message to a tool: who is signed in, where its login begins, and what is signed (LTI 1.3)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from flask import Response, redirect, request
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from gateway.sandbox import lms_services as services
from gateway.sandbox.campus import Course, Launch, Tool, User
from gateway.sandbox.lms_services import campus, course
from gateway.sandbox.loopback import RefusalError, page

_LTI = "https://purl.imsglobal.org/spec/lti/claim/"
_GROUPS = "https://purl.imsglobal.org/spec/lti-gs/claim/groupsservice"
_NOTICES = f"{_LTI}platformnotificationservice"
DEEP_LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"
PICKING, REVIEW, PRIVACY = "LtiDeepLinkingRequest", "LtiSubmissionReviewRequest", "LtiDataPrivacyLaunchRequest"
_ABSENT = {PICKING: ("resource_link",), PRIVACY: ("resource_link", "context")}  # claims a message does not have
_FIELD = Markup('<input type="hidden" name="{}" value="{}">')
_FORM = Markup(
    '<form method="post" action="{}" data-auto-submit>{}<button>Continue</button></form>'
    "<script>document.forms[0].submit()</script>"
)


def signed_in() -> User:
    """Return who is signed in; RefusalError 403."""
    user = campus().sessions.get(request.cookies.get("lms_session", ""))
    if user is None:
        raise RefusalError(403, "sign_in_first")
    return user


def teacher() -> User:
    """Return the teacher who is signed in; RefusalError 403."""
    if signed_in().person.role != "teacher":
        raise RefusalError(403, "not_a_teacher")
    return signed_in()


def own_course(course_id: str) -> Course:
    """Return a course of whoever is signed in; RefusalError 403 or 404."""
    if signed_in().id not in course(course_id).members:
        raise RefusalError(403, "not_a_member")
    return course(course_id)


# 1EdTech Security Framework 1.0 §5.1.1


def start(launch: Launch) -> AnyResponse:
    """Begin at the tool's login URL: by redirect, or by a form where this make of LMS does so."""
    tool, profile = launch.tool, campus().profile
    asked = {
        "iss": campus().issuer,
        "login_hint": launch.user.id,
        "target_link_uri": launch.target,
        "lti_message_hint": campus().begin(launch),
        "client_id": tool.client_id,
        "lti_deployment_id": tool.deployment_id,
        **profile.login_extras,
    }
    if profile.login_by_form:
        return post_form(tool.login_url, asked)
    return redirect(f"{tool.login_url}{'&' if '?' in tool.login_url else '?'}{urlencode(asked)}")


def post_form(action: str, values: dict[str, str]) -> Response:
    """Return a page that posts itself; without JavaScript a person presses Continue."""
    hidden = Markup("").join(_FIELD.format(name, value) for name, value in values.items())
    return page("One moment", _FORM.format(action, hidden))


def auth() -> Response:
    """Answer an authentication request by form post; an unregistered redirect_uri gets nothing."""
    asked = request.values
    tool, back = campus().tools.get(asked.get("client_id", "")), asked.get("redirect_uri", "")
    if tool is None or back not in tool.redirect_uris:
        raise RefusalError(400, "invalid_request", "client_id or redirect_uri is not registered.")
    launch = campus().launches.get(asked.get("lti_message_hint", ""))
    wrong = _objection(tool, launch)
    if wrong or launch is None:
        values = {"error": wrong, "error_description": wrong}
    else:
        values = {"id_token": campus().sign(claims_of(launch, asked["nonce"]), {})}
    return post_form(back, values | {"state": asked.get("state", "")})


def _objection(tool: Tool, launch: Launch | None) -> str:
    asked = request.values
    must = {
        "response_type": "id_token",
        "response_mode": "form_post",
        "scope": "openid",
        "prompt": "none",
    }
    if any(asked.get(name) != value for name, value in must.items()) or not asked.get("nonce"):
        return "invalid_request"
    if launch is None or launch.tool.client_id != tool.client_id:
        return "invalid_request"
    user = campus().sessions.get(request.cookies.get("lms_session", ""))
    if user is None or not user.id == launch.user.id == asked.get("login_hint"):
        return "login_required"
    return ""


def claims_of(launch: Launch, nonce: str) -> dict[str, Any]:
    """Return the claims of a message."""
    user, here, tool = launch.user, launch.course, launch.tool
    ours, now = campus(), int(campus().now().timestamp())
    family = ours.profile.family or ours.profile.name
    lti = {
        "message_type": launch.message,
        "version": "1.3.0",
        "deployment_id": tool.deployment_id,
        "target_link_uri": launch.target,
        "roles": user.roles(ours.profile),
        "resource_link": {"id": launch.link_id, "title": launch.link.title if launch.link else tool.title},
        "context": context_of(here),
        "tool_platform": {"guid": ours.issuer, "name": "Alder Valley LMS", "product_family_code": family},
        "launch_presentation": {"document_target": "window", "locale": "en-US"}
        | {"return_url": f"{ours.url}/courses/{here.id}"},
        "custom": _custom(tool, launch),
    }
    for absent in _ABSENT.get(launch.message, ()):
        del lti[absent]
    if launch.about:
        lti["for_user"] = {"user_id": launch.about}
    if ours.profile.sis_ids and tool.is_told("sis_id"):
        known = {"person_sourcedid": user.person.sourced_id, "course_section_sourcedid": here.sourced_id}
        lti["lis"] = {name: value for name, value in known.items() if value}
    return {
        "iss": ours.issuer,
        "aud": tool.client_id,
        "azp": tool.client_id,
        "sub": user.id,
        "iat": now,
        "exp": now + ours.profile.token_seconds,
        **({"nbf": now} if ours.profile.not_before else {}),
        "nonce": nonce,
        **ours.profile.claims,
        **_names(user, tool),
        **{f"{_LTI}{name}": value for name, value in lti.items()},
        **({} if launch.message == PRIVACY else _service_claims(launch)),
        **({DEEP_LINKING: launch.settings} if launch.settings else {}),
    }


def _names(user: User, tool: Tool) -> dict[str, str]:
    person = user.person
    names = {"name": user.name, "given_name": person.given, "family_name": person.family}
    known = (names if tool.is_told("name") else {}) | ({"email": person.email} if tool.is_told("email") else {})
    return {k: v for k, v in known.items() if v}


def context_of(here: Course) -> dict[str, Any]:
    """Return the context claim."""
    kind = "http://purl.imsglobal.org/vocab/lis/v2/course#CourseSection"
    return {"id": here.id, "label": here.title, "title": here.title, "type": [kind]}


def _custom(tool: Tool, launch: Launch) -> dict[str, Any]:
    """Return custom values with the variables this LMS knows; others stay as they are written."""
    known = {
        "$User.id": launch.user.id,
        "$Person.sourcedId": launch.user.person.sourced_id,
        "$CourseSection.sourcedId": launch.course.sourced_id,
        "$Context.id": launch.course.id,
        "$Context.id.history": ",".join(quote(one, safe="") for one in launch.course.origins),
        "$ResourceLink.id": launch.link_id,
    }
    written = tool.custom | (launch.link.custom if launch.link else {})
    values: dict[str, Any] = {k: known.get(v, v) for k, v in written.items()}
    if campus().profile.integers_in_custom:
        values = {k: int(v) if str(v).isdigit() else v for k, v in values.items()}
    return values


def _service_claims(launch: Launch) -> dict[str, Any]:
    """Return the claims of services; `lineitem` only where one column belongs to the link."""
    here, link = launch.course, launch.link_id
    scopes = [services.ITEMS, services.ITEMS_READ, services.SCORE, services.RESULTS]
    endpoint: dict[str, Any] = {"scope": scopes, "lineitems": services.items_url(here)}
    own = services.columns_of(here, launch.tool.client_id)
    coupled = [n for n in own if campus().columns[n].body.get("resourceLinkId") == link]
    if launch.column or len(coupled) == 1:
        endpoint["lineitem"] = services.item_url(launch.column or coupled[0])
    members, url = f"{campus().url}/courses/{here.id}/members", f"{campus().url}/courses/{here.id}"
    offered = {"scope": [services.GROUPS], "service_versions": ["1.0"], "context_groups_url": f"{url}/groups"}
    offered |= {"context_group_sets_url": f"{url}/groupsets"}
    more = {_GROUPS: offered} if campus().profile.groups else {}
    if campus().profile.notices:
        more[_NOTICES] = {
            "platform_notification_service_url": f"{campus().url}/notice-handlers/{launch.tool.client_id}",
            "service_versions": ["1.0"],
            "scope": [services.HANDLERS],
            "notice_types_supported": campus().profile.notices,
        }
    return more | {
        "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint": endpoint,
        "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice": {
            "context_memberships_url": members,
            "service_versions": ["2.0"],
        },
    }
