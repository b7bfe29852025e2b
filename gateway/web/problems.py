"""The one translator of refusals into answers: `imsx_StatusInfo` on OneRoster paths, problem+json on the API, a
readable page for a person. What it does not know it answers with a sentence that says nothing."""

from __future__ import annotations

import re
from typing import Any

import structlog
from flask import Flask, Response, g, make_response, render_template, request
from markupsafe import Markup, escape
from werkzeug.exceptions import HTTPException

from gateway import errors
from gateway.errors import Owner, Reason, Refused
from gateway.flows import launch
from gateway.store.tenant import UNKEEPABLE, UNREACHABLE
from gateway.web.contract import running

_STATUS = {
    400: errors.REQ_INVALID,
    404: errors.REQ_NOT_FOUND,
    405: errors.REQ_METHOD,
    413: errors.REQ_TOO_LARGE,
    415: errors.REQ_INVALID,
    429: errors.RATE_LIMITED,
}
_MACHINES = ("/v1", "/district/v1", "/oauth2", "/healthz", "/readyz", "/.well-known", "/lti/keys", "/lti/notices")
_LAUNCHES = ("lti.login", "lti.arrive")
_log = structlog.get_logger()


def register(app: Flask) -> None:
    """Make every error of the application come out through here."""
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(HTTPException, _http)
    for failure in UNREACHABLE:
        app.register_error_handler(failure, _database)
    for kind in UNKEEPABLE:
        app.register_error_handler(kind, _unkeepable)
    app.register_error_handler(Exception, _unexpected)
    app.add_template_filter(_coded, "coded")
    app.add_template_filter(_whom, "whom")


def _refused(refused: Refused) -> Response:
    g.way_back = refused.facts.get("way_back", "")
    return answer(refused.reason, refused.detail, refused.facts.get("fields"))


def _http(error: HTTPException) -> Response:
    reason = _STATUS.get(error.code or 500, errors.INT_UNEXPECTED)
    response = answer(reason, reason.sentence)
    for name, value in error.get_headers(request.environ):
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _database(error: Exception) -> Response:
    _log.error("database", kind=type(error).__name__, request_id=g.get("request_id"))
    return answer(errors.INT_UNAVAILABLE, errors.INT_UNAVAILABLE.sentence)


def _unkeepable(_error: Exception) -> Response:
    return answer(errors.REQ_INVALID, "a value holds a character that cannot be kept")


def _unexpected(error: Exception) -> Response:
    _log.error("unexpected", kind=type(error).__name__, request_id=g.get("request_id"))
    return answer(errors.INT_UNEXPECTED, errors.INT_UNEXPECTED.sentence)


def answer(reason: Reason, detail: str, fields: Any = None) -> Response:
    """Return a refusal in the caller's own format."""
    g.refusal = reason.code
    if request.path.startswith("/ims/oneroster"):
        response = make_response(_imsx(reason), reason.http)
    elif request.path.startswith(_MACHINES):
        response = make_response(_problem(reason, detail, fields), reason.http)
        response.mimetype = "application/problem+json"
    else:
        response = _page(reason, detail)
    if reason.http == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="schoolgate"'
    if reason.http in (429, 503):
        response.headers.setdefault("Retry-After", str(g.get("retry_after", 60)) if reason.http == 429 else "5")
    return response


def _page(reason: Reason, detail: str) -> Response:
    """A page for a person. Of a login or launch that failed it shows how far it got, and no more than all may know."""
    if request.endpoint in _LAUNCHES and not reason.code.startswith("INT_"):
        said = launch.diagnose(Refused(reason, detail))
        back, support = g.get("way_back", ""), g.get("request_id", "")
        page = render_template("diagnosis.html", said=said, reason=said.reason, support=support, back=back)
        return make_response(page, said.reason.http)
    page = render_template("problem.html", reason=reason, detail=detail, request_id=g.get("request_id", ""))
    return make_response(page, reason.http)


def _coded(text: str) -> Markup:
    """Text of ours with its `commands` set as such."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first


def _whom(owner: Owner) -> str:
    """Who can mend it, said to the person who reads the page."""
    return "you" if owner is Owner.CALLER else str(owner)


def _problem(reason: Reason, detail: str, fields: Any) -> dict[str, Any]:
    """RFC 9457 problem details, with who can mend it and how."""
    return {
        "type": f"{running().parts.settings.url}/errors/{reason.code}",
        "title": reason.sentence,
        "status": reason.http,
        "code": reason.code,
        "detail": detail,
        "decision": {"who_can_fix": str(reason.owner), "next_step": reason.remedy},
        "request_id": g.get("request_id", ""),
        "errors": fields or [],
    }


def _imsx(reason: Reason) -> dict[str, Any]:
    """OneRoster 1.2 status information (imsx_StatusInfoDType); the spelling is the OpenAPI document's."""
    return {
        "imsx_codeMajor": "failure",
        "imsx_severity": "error",
        "imsx_description": f"{reason.sentence} {reason.remedy} [{reason.code}]",
        "imsx_CodeMinor": {
            "imsx_codeMinorField": [
                {"imsx_codeMinorFieldName": "TargetEndSystem", "imsx_codeMinorFieldValue": reason.imsx}
            ]
        },
    }
