"""The LMS: people sign in, open the tool from a course, and an OIDC launch goes out (LTI 1.3)."""

from __future__ import annotations

import argparse
import secrets
from dataclasses import asdict, fields, replace
from typing import Any

from flask import Blueprint, Flask, Response, jsonify, redirect, request
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from gateway.sandbox import lms_members, lms_messages, lms_notices
from gateway.sandbox import lms_services as services
from gateway.sandbox.campus import (
    ABSENT,
    NOT_GRADABLE,
    TUTOR,
    Campus,
    Launch,
    Tool,
    user_id,
)
from gateway.sandbox.district import CAST
from gateway.sandbox.lms_launch import auth, claims_of, context_of, own_course, signed_in, start
from gateway.sandbox.lms_registration import open_desk
from gateway.sandbox.lms_services import campus, course
from gateway.sandbox.loopback import Faults, RefusalError, page, refusal, serve
from gateway.sandbox.products import PROFILES, behaviour

bp = Blueprint("lms", __name__)

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
    app.register_blueprint(lms_messages.bp)
    app.register_blueprint(lms_notices.bp)
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
    user, here = signed_in(), own_course(course_id)
    links = [_COURSE.format(user.name, here.id, t.client_id, t.title) for t in campus().tools.values()]
    return page(here.title, Markup("").join([*links, lms_messages.offered(user, here)]))


@bp.get("/courses/<course_id>/open")
def open_tool(course_id: str) -> AnyResponse:
    """Open the tool's own link, or one that was picked."""
    user, here, asked = signed_in(), own_course(course_id), request.args
    tool = campus().tools[asked.get("tool", campus().profile.client_id)]
    wanted = asked.get("link", here.link)
    if not campus().is_link(here, wanted):
        raise RefusalError(404, "not_found", "No such link.")
    return start(Launch(user, here, tool, link=campus().links.get(wanted)))


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
    return jsonify(id_token=_minted(claims_of(launch, wish.get("nonce", "")), wish))


def _minted(claims: dict[str, Any], wish: dict[str, Any]) -> str:
    """Sign claims otherwise than they are, as somebody wishes."""
    claims |= wish.get("claims", {})
    for name in wish.get("remove", []):
        claims.pop(name, None)
    return campus().sign(claims, wish.get("header", {}), wish.get("key", ""))


@bp.get("/_sandbox/notices")
def notices() -> Response:
    """Every notice that was sent, in order, with the status it was answered."""
    return jsonify(campus().noticed)


@bp.post("/_sandbox/notice")
def notice() -> Response:
    """Send one notice to whoever handles its "type": {"type", "course", "tool", "claims", "remove", "header", "key"};
    without a course, of none."""
    wish, profile = request.get_json(), campus().profile
    tool = campus().tools[wish.get("tool", profile.client_id)]
    about = {"context": context_of(course(wish["course"]))} if "course" in wish else {}
    said = lms_notices.notice(wish["type"], about)
    return jsonify(lms_notices.post(tool, said, _minted(lms_notices.claims_of(tool, said), wish)))


def main() -> None:
    """Serve the LMS on loopback."""
    asked = argparse.ArgumentParser(description=main.__doc__)
    asked.add_argument("--port", type=int, default=0)
    asked.add_argument("--profile", choices=sorted(PROFILES), default="plain")
    given = asked.parse_args()
    serve(given.port, lambda url: create_app(url, given.profile))


if __name__ == "__main__":
    main()
