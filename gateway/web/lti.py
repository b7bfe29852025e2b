"""The LTI face: login initiation, launch, our key set."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import Blueprint, Response, g, make_response, render_template, request, url_for

from gateway import errors
from gateway.errors import Refused
from gateway.flows import launch, notices, registration
from gateway.identity import keys
from gateway.identity.launch import PROOF, Unproven
from gateway.identity.states import STATE_SECONDS, bind
from gateway.web.contract import Audience, declares, running
from gateway.web.security import scripted
from mappings.text import is_text

blueprint = Blueprint("lti", __name__)

_LOGIN = (
    errors.LTI_LOGIN_ISS, errors.LTI_LOGIN_HINT, errors.LTI_LOGIN_TARGET, errors.LTI_LOGIN_PARAMETER,
    errors.LTI_ISSUER_UNKNOWN, errors.LTI_REGISTRATION_AMBIGUOUS, errors.LTI_REGISTRATION_DISABLED,
    errors.LTI_TARGET_NOT_ALLOWED, errors.LTI_STORAGE_TARGET,
)  # fmt: skip
_LAUNCH = tuple(
    reason for code, reason in errors.VOCABULARY.items()
    if code.startswith("LTI_") and not code.startswith(("LTI_REG_", "LTI_NOTICE")) and reason not in _LOGIN
)  # fmt: skip
_REGISTRATION = tuple(reason for code, reason in errors.VOCABULARY.items() if code.startswith("LTI_REG_"))


_FRAMES = frozenset({"iframe", "frame", "embed", "object", "fencedframe"})


def _single(values: Any, refusal: errors.Reason) -> dict[str, str]:
    """Return parameters that each stand once. Raises Refused."""
    if any(len(values.getlist(name)) > 1 for name in values):
        raise Refused(refusal)
    return dict(values.items())


@blueprint.route("/lti/login", methods=["GET", "POST"])
@declares(Audience.PLATFORM, refusals=_LOGIN, summary="Third-party login initiation (LTI Security 5.1.1)")
def login() -> Response:
    """Begin a launch: by GET or by POST, the same. In a frame a page finds out first how this browser can be known."""
    said = _single(request.args if request.method == "GET" else request.form, errors.LTI_LOGIN_PARAMETER)
    begun = launch.begin(running().parts, said)
    if request.headers.get("Sec-Fetch-Dest") in _FRAMES:
        page = render_template("probe.html", begun=begun, again=url_for("lti.login"), said=said)
        response = scripted(make_response(page))
    else:
        response = _sent_on(begun.url, 302)
    bind(response, *begun.cookie, STATE_SECONDS)
    return response


def _sent_on(url: str, status: int = 303) -> Response:
    """Send the browser on; a page that says so, which no browser shows, is not written."""
    return Response(status=status, headers={"Location": url})


def _resumed(form: dict[str, str]) -> dict[str, str]:
    """The form that was posted first, with what the LMS kept, where the browser comes back from asking it. Only our own
    page can bring that: of another site's it would prove that site's browser, not this one (login CSRF)."""
    if form.keys() != {"put_away", PROOF}:
        return {name: value for name, value in form.items() if name != PROOF}
    if request.headers.get("Sec-Fetch-Site") != "same-origin":
        raise Refused(errors.LTI_BROWSER)
    return (running().parts.states.take_back(form["put_away"]) or {}) | {PROOF: form[PROOF]}


@blueprint.route("/lti/launch", methods=["POST"])
@declares(Audience.PLATFORM, refusals=_LAUNCH, summary="The launch itself: an id_token and its state")
def arrive() -> Response:
    """Let a message in: a launch goes on to the application with a one-time code; others show their page."""
    if request.args.keys() - {"activity"}:
        raise Refused(errors.LTI_FORM)
    form = _resumed(_single(request.form, errors.LTI_FORM))
    if "state" not in form or ("id_token" not in form and "error" not in form):
        raise Refused(errors.LTI_FORM)
    try:
        door = launch.arrive(running().parts, form, request.cookies, g.request_id)
    except Unproven as asked:
        put_away = running().parts.states.put_away(form)
        return scripted(make_response(render_template("prove.html", storage=asked.storage, put_away=put_away)))
    if isinstance(door, launch.Unlinked):
        return make_response(render_template("link.html", page=door))
    if isinstance(door, launch.Privacy):
        return make_response(render_template("privacy.html", page=door))
    response = _sent_on(door.url)
    if door.teacher:
        bind(response, *door.teacher, launch.LAUNCH_HOURS * 3600)
    return response


@blueprint.route("/lti/notices", methods=["POST"])
@declares(Audience.LMS, refusals=(errors.LTI_NOTICE,), summary="Signed notices (Platform Notification Service 1.0)")
def notice() -> Response:
    """Take what is genuine. Nobody is told which of them were: what was refused is on record for the district."""
    listed = request.form.get("notices")
    body = request.get_data() if listed is None else b'{"notices": ' + listed.encode() + b"}"
    notices.take(running().parts, body, g.request_id)
    return Response(status=200)


@blueprint.route("/lti/link", methods=["POST"])
@declares(
    Audience.TEACHER, refusals=(errors.LTI_STATE, errors.LTI_CONTEXT_LINKED, errors.LTI_PERSON),
    summary="A teacher links a course to a class of their own",
)  # fmt: skip
def link() -> Response:
    """The signed word of the choice is its own authority; everything in it is looked up again."""
    title = launch.link(running().parts, request.form.get("class", ""))
    return make_response(render_template("linked.html", title=title))


@blueprint.route("/lti/pick/<key>", methods=["GET"])
@declares(Audience.TEACHER, refusals=(errors.LTI_CODE,), summary="Pick what to link (Deep Linking 2.0)")
def picker(key: str) -> Response:
    """Show what can be picked."""
    return _offered(key)


def _offered(key: str, *, slipped: bool = False) -> Response:
    page = launch.open_picker(running().parts, key, request.cookies)
    shown = render_template("picker.html", page=page, action=request.path, slipped=slipped)
    return scripted(make_response(shown), page.launch_url)


@blueprint.route("/lti/pick/<key>", methods=["POST"])
@declares(
    Audience.TEACHER, refusals=(errors.LTI_CODE, errors.LTI_ITEM_NOT_ACCEPTED, errors.OWN_NOT_ASSOCIATED),
    summary="Hand what was picked to the LMS, once",
)  # fmt: skip
def pick(key: str) -> Response:
    """Add, cancel, or go on to the application. Who adds nothing has slipped: that is no answer to the LMS."""
    deed, chosen = request.form.get("do", "add"), request.form.getlist("item")
    if deed == "add" and not chosen:
        return _offered(key, slipped=True)
    done = launch.pick(running().parts, key, deed, chosen, request.form.get("shown", ""), request.cookies)
    if isinstance(done, str):
        return _sent_on(done)
    return scripted(make_response(render_template("picked.html", answer=done)), done.url)


@blueprint.route("/lti/register", methods=["GET"])
@declares(Audience.PLATFORM, refusals=_REGISTRATION, summary="An LMS registers itself (LTI Dynamic Registration 1.0)")
def register() -> Response:
    """Register at the LMS whose administrator opened an invite's address; it waits for a person of the district."""
    if request.method != "GET":  # HEAD: whoever only looks uses nothing up
        return Response()
    landed = registration.register(running().parts, _single(request.args, errors.LTI_REG_REQUEST))
    page = render_template("registered.html", landed=landed, request_id=g.get("request_id", ""))
    return scripted(make_response(page), running().parts.settings.url)


@blueprint.route("/.well-known/jwks.json", methods=["GET"])
@declares(Audience.PUBLIC, summary="The public keys of this gateway's LTI registrations")
def key_set() -> Response:
    """Our public keys; platforms may keep them for ten minutes."""
    parts = running().parts
    with parts.database.open_identity() as session:
        body = keys.public_set(session, parts.clock.now())
    return _kept(body)


@blueprint.route("/lti/keys/<name>.json", methods=["GET"])
@declares(Audience.PUBLIC, refusals=(errors.REQ_NOT_FOUND,), summary="The public keys of one LTI registration")
def key_set_of(name: str) -> Response:
    """The keys that this gateway signs with at one platform."""
    parts = running().parts
    if not is_text(name):
        raise Refused(errors.REQ_NOT_FOUND)
    with parts.database.open_identity() as session:
        body = keys.public_set_of(session, name, parts.clock.now())
    return _kept(body)


def _kept(body: bytes) -> Response:
    """A key set that may be kept for ten minutes and asked for again by its tag (RFC 9110, section 13)."""
    tag = hashlib.sha256(body).hexdigest()[:32]
    known = request.if_none_match.contains_weak(tag)
    response = Response(b"" if known else body, 304 if known else 200, mimetype="application/json")
    response.headers["Cache-Control"] = "public, max-age=600"
    response.set_etag(tag)
    return response
