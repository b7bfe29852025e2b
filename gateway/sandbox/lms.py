"""The LMS: people sign in, open the tool from a course, and an OIDC launch goes out (LTI 1.3)."""

from __future__ import annotations

import argparse
import secrets
from dataclasses import asdict, fields, replace
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, jsonify, redirect, request
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from gateway.sandbox import lms_members
from gateway.sandbox import lms_services as services
from gateway.sandbox.campus import (
    ABSENT,
    NOT_GRADABLE,
    TUTOR,
    Campus,
    Course,
    Launch,
    Tool,
    User,
    user_id,
)
from gateway.sandbox.district import CAST
from gateway.sandbox.lms_registration import open_desk
from gateway.sandbox.lms_services import campus, course
from gateway.sandbox.loopback import Faults, RefusalError, page, refusal, serve
from gateway.sandbox.products import PROFILES, behaviour

bp = Blueprint("lms", __name__)

_LTI = "https://purl.imsglobal.org/spec/lti/claim/"
_FIELD = Markup('<input type="hidden" name="{}" value="{}">')
_FORM = Markup(
    '<form method="post" action="{}" data-auto-submit>{}<button>Continue</button></form>'
    "<script>document.forms[0].submit()</script>"
)
_LOGIN = Markup('<form method="post"><label>User <input name="user"></label><button>Sign in</button></form>')
_ITEM = Markup('<li><a href="/courses/{}">{}</a></li>')
_COURSE = Markup('<p>Signed in as {}.</p><p><a href="/courses/{}/open?tool={}">{}</a></p>')


def create_app(url: str, profile: str = "plain") -> Flask:
    """Build the LMS that answers at `url` and behaves like the named make."""
    app, here = Flask("lms"), Campus(url, PROFILES[profile])
    tool = Tool(here.profile.client_id, here.profile.deployment_id)
    here.tools[tool.client_id] = tool
    app.extensions |= {"campus": here, "announce": announcement(here)}
    app.register_blueprint(bp)
    app.register_blueprint(services.bp)
    app.register_blueprint(lms_members.bp)
    app.add_url_rule(here.profile.auth, "auth", auth, methods=["GET", "POST"])
    app.add_url_rule(here.profile.token, "token", services.token, methods=["POST"])
    app.add_url_rule(here.profile.jwks, "jwks", jwks)
    open_desk(app)
    app.register_error_handler(RefusalError, refusal)
    Faults(app)
    return app


def announcement(here: Campus) -> dict[str, Any]:
    """Return what an administrator of the tool is told, and who plays in the story."""
    names = {"teacher": CAST["teacher"], "amara": CAST["amara"], "absent_pupil_sis_id": ABSENT}
    names |= {"not_gradable": NOT_GRADABLE, "tutor": TUTOR, "birch_teacher": CAST["birch_teacher"]}
    prefix = here.profile.subject_prefix
    cast = {name: key if "sis_id" in name else user_id(key, prefix) for name, key in names.items()}
    cast["course"] = here.course_of(CAST["class"]).id
    cast["birch_course"] = here.course_of(CAST["birch_class"]).id
    return {
        "lms": here.url,
        "profile": here.profile.name,
        "issuer": here.issuer,
        "client_id": here.profile.client_id,
        "deployment_id": here.profile.deployment_id,
        "registration_id": here.profile.registration_id,
        "auth_url": here.url + here.profile.auth,
        "token_url": here.token_url,
        "token_audience": here.profile.token_audience or here.token_url,
        "jwks_url": here.url + here.profile.jwks,
        "cast": cast,
    }


def signed_in() -> User:
    """Return who is signed in; RefusalError 403."""
    user = campus().sessions.get(request.cookies.get("lms_session", ""))
    if user is None:
        raise RefusalError(403, "sign_in_first")
    return user


@bp.get("/login")
def login_form() -> Response:
    return page("Sign in", _LOGIN)


@bp.post("/login")
def login() -> AnyResponse:
    sent = request.get_json(silent=True) or request.values
    user = campus().users.get(sent.get("user", ""))
    if user is None:
        return page("Sign in", Markup("<p>Unknown user.</p>") + _LOGIN, 403)
    session = secrets.token_urlsafe(16)
    campus().sessions[session] = user
    answer = redirect("/", 303)
    # The tool's answer to /auth may come as a cross-site POST, hence SameSite=None.
    answer.set_cookie("lms_session", session, secure=True, httponly=True, samesite="None")
    return answer


@bp.get("/")
def home() -> Response:
    user = signed_in()
    own = [c for c in campus().courses.values() if user.id in c.members]
    items = Markup("").join(_ITEM.format(c.id, c.title) for c in own)
    return page(f"Courses of {user.name}", Markup("<ul>{}</ul>").format(items))


@bp.get("/courses/<course_id>")
def course_page(course_id: str) -> Response:
    user, here = signed_in(), _own_course(course_id)
    links = (_COURSE.format(user.name, here.id, t.client_id, t.title) for t in campus().tools.values())
    return page(here.title, Markup("").join(links))


def _own_course(course_id: str) -> Course:
    if signed_in().id not in course(course_id).members:
        raise RefusalError(403, "not_a_member")
    return course(course_id)


# 1EdTech Security Framework 1.0 §5.1.1


@bp.get("/courses/<course_id>/open")
def open_tool(course_id: str) -> AnyResponse:
    """Begin at the tool's login URL: by redirect, or by a form where this make of LMS does so."""
    user, here, profile = signed_in(), _own_course(course_id), campus().profile
    tool = campus().tools[request.args.get("tool", profile.client_id)]
    hint = campus().begin(Launch(user, here, tool))
    asked = {
        "iss": campus().issuer,
        "login_hint": user.id,
        "target_link_uri": tool.target_link_uri,
        "lti_message_hint": hint,
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
    """Return the claims of a resource link launch."""
    user, here, tool = launch.user, launch.course, launch.tool
    ours, now = campus(), int(campus().now().timestamp())
    family = ours.profile.family or ours.profile.name
    lti = {
        "message_type": "LtiResourceLinkRequest",
        "version": "1.3.0",
        "deployment_id": tool.deployment_id,
        "target_link_uri": tool.target_link_uri,
        "roles": user.roles(ours.profile),
        "resource_link": {"id": here.link, "title": tool.title},
        "context": _context(here),
        "tool_platform": {"guid": ours.issuer, "name": "Alder Valley LMS", "product_family_code": family},
        "launch_presentation": {"document_target": "window", "locale": "en-US"}
        | {"return_url": f"{ours.url}/courses/{here.id}"},
        "custom": _custom(tool, launch),
    }
    if ours.profile.sis_ids:
        lti["lis"] = {"person_sourcedid": user.person.sourced_id, "course_section_sourcedid": here.sourced_id}
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
        **_names(user),
        **{f"{_LTI}{name}": value for name, value in lti.items()},
        **_service_claims(launch),
    }


def _names(user: User) -> dict[str, str]:
    person = user.person
    known = {"given_name": person.given, "family_name": person.family, "email": person.email}
    return {k: v for k, v in ({"name": user.name} | known).items() if v}


def _context(here: Course) -> dict[str, Any]:
    kind = "http://purl.imsglobal.org/vocab/lis/v2/course#CourseSection"
    return {"id": here.id, "label": here.title, "title": here.title, "type": [kind]}


def _custom(tool: Tool, launch: Launch) -> dict[str, Any]:
    """Return custom values with the variables this LMS knows; others stay as they are written."""
    known = {
        "$User.id": launch.user.id,
        "$Person.sourcedId": launch.user.person.sourced_id,
        "$CourseSection.sourcedId": launch.course.sourced_id,
        "$Context.id": launch.course.id,
        "$ResourceLink.id": launch.course.link,
    }
    values: dict[str, Any] = {k: known.get(v, v) for k, v in tool.custom.items()}
    if campus().profile.integers_in_custom:
        values = {k: int(v) if str(v).isdigit() else v for k, v in values.items()}
    return values


def _service_claims(launch: Launch) -> dict[str, Any]:
    """Return the AGS and NRPS claims; `lineitem` only where one column belongs to the link."""
    here, link = launch.course, launch.course.link
    scopes = [services.ITEMS, services.ITEMS_READ, services.SCORE, services.RESULTS]
    endpoint: dict[str, Any] = {"scope": scopes, "lineitems": services.items_url(here)}
    own = services.columns_of(here, launch.tool.client_id)
    coupled = [n for n in own if campus().columns[n].body.get("resourceLinkId") == link]
    if len(coupled) == 1:
        endpoint["lineitem"] = services.item_url(coupled[0])
    members = f"{campus().url}/courses/{here.id}/members"
    return {
        "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint": endpoint,
        "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice": {
            "context_memberships_url": members,
            "service_versions": ["2.0"],
        },
    }


def jwks() -> Response:
    return jsonify(keys=[campus().keys[-1].as_dict(private=False)])


@bp.post("/_sandbox/tool")
def register() -> Response:
    """Register or replace a tool; without client_id, the one announced at the start."""
    profile, known = campus().profile, {f.name for f in fields(Tool)}
    wish = {k: v for k, v in request.get_json().items() if k in known}
    own = {"client_id": profile.client_id, "deployment_id": profile.deployment_id}
    tool = Tool(**(own | wish))
    campus().tools[tool.client_id] = tool
    return jsonify(asdict(tool))


@bp.get("/_sandbox/scores")
def scores() -> Response:
    """Every score received, in order, with the status it was answered."""
    return jsonify(campus().received)


@bp.post("/_sandbox/page_size")
def page_size() -> Response:
    """Take {"size": n} for every list."""
    campus().profile = replace(campus().profile, page_size=int(request.get_json()["size"]))
    return jsonify(size=campus().profile.page_size)


@bp.post("/_sandbox/habits")
def habits() -> Response:
    """Take habits of this make by name, from now on."""
    wish = request.get_json()
    try:
        campus().profile = replace(campus().profile, **behaviour(wish))
    except KeyError as error:
        raise RefusalError(400, "no_such_habit", str(error.args[0])) from error
    return jsonify(wish)


@bp.post("/_sandbox/member")
def member() -> Response:
    """Somebody comes into a course or leaves it: {"course", "user", "status": "Active" or "Deleted"}."""
    wish = request.get_json()
    user = next(u for u in campus().everyone.values() if u.id == wish["user"])
    campus().member(course(wish["course"]), user, wish["status"])
    return jsonify(wish)


@bp.post("/_sandbox/grade")
def grade() -> Response:
    """A teacher types a score: {"lineitem": url, "user", "score"}."""
    wish = request.get_json()
    number = next(n for n in campus().columns if services.item_url(n) == wish["lineitem"])
    column = campus().columns[number]
    most = column.body["scoreMaximum"]
    column.results[wish["user"]] = {"resultScore": wish["score"], "resultMaximum": most}
    column.stamps[wish["user"]] = campus().now()
    return jsonify(column.results[wish["user"]])


@bp.post("/_sandbox/rotate")
def rotate() -> Response:
    """A new key signs; the old one leaves the key set."""
    campus().rotate()
    return jsonify(kid=campus().keys[-1].kid)


@bp.post("/_sandbox/mint")
def mint() -> Response:
    """Sign {"user", "course", "tool", "nonce", "claims", "remove", "header", "key"} into a token."""
    wish, cast = request.get_json(), announcement(campus())["cast"]
    user = campus().users[wish.get("user", cast["teacher"])]
    tool = campus().tools[wish.get("tool", campus().profile.client_id)]
    launch = Launch(user, course(wish.get("course", cast["course"])), tool)
    claims = claims_of(launch, wish.get("nonce", "")) | wish.get("claims", {})
    for name in wish.get("remove", []):
        claims.pop(name, None)
    token = campus().sign(claims, wish.get("header", {}), wish.get("key", ""))
    return jsonify(id_token=token)


def main() -> None:
    """Serve the LMS on loopback."""
    asked = argparse.ArgumentParser(description=main.__doc__)
    asked.add_argument("--port", type=int, default=0)
    asked.add_argument("--profile", choices=sorted(PROFILES), default="plain")
    given = asked.parse_args()
    serve(given.port, lambda url: create_app(url, given.profile))


if __name__ == "__main__":
    main()
