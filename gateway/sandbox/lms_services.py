"""LTI Advantage as the LMS offers it: tokens, line items and scores (AGS 2.0), and how its lists have pages."""

from __future__ import annotations

import json
import math
import time
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlencode

import requests
from flask import Blueprint, Response, current_app, jsonify, request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact
from markupsafe import escape

from gateway.sandbox.campus import NOT_GRADABLE, Campus, Column, Course, Tool
from gateway.sandbox.loopback import RefusalError
from gateway.sandbox.wire import fetch

bp = Blueprint("services", __name__)

_AGS = "https://purl.imsglobal.org/spec/lti-ags/scope/"
ITEMS, ITEMS_READ = f"{_AGS}lineitem", f"{_AGS}lineitem.readonly"
SCORE, RESULTS = f"{_AGS}score", f"{_AGS}result.readonly"
MEMBERS = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
GROUPS = "https://purl.imsglobal.org/spec/lti-gs/scope/contextgroup.readonly"
HANDLERS = "https://purl.imsglobal.org/spec/lti/scope/noticehandlers"
_OFFERED = {ITEMS, ITEMS_READ, SCORE, RESULTS, MEMBERS, GROUPS, HANDLERS}
_ITEM = "application/vnd.ims.lis.v2.lineitem+json"
_ITEM_LIST = "application/vnd.ims.lis.v2.lineitemcontainer+json"
_RESULT_LIST = "application/vnd.ims.lis.v2.resultcontainer+json"
_SCORE = "application/vnd.ims.lis.v1.score+json"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ACTIVITY = {"Initialized", "Started", "InProgress", "Submitted", "Completed"}
_GRADING = {"FullyGraded", "Pending", "PendingManual", "Failed", "NotReady"}


def campus() -> Campus:
    """Return the LMS this request came to."""
    return cast("Campus", current_app.extensions["campus"])


def course(course_id: str) -> Course:
    """Return a course; RefusalError 404."""
    if course_id not in campus().courses:
        raise RefusalError(404, "not_found", "No such course.")
    return campus().courses[course_id]


# 1EdTech Security Framework 1.0 §4.1, RFC 7523


def token() -> Response:
    form = request.form
    if form.get("grant_type") != "client_credentials":
        raise RefusalError(400, "unsupported_grant_type")
    if form.get("client_assertion_type") != _ASSERTION:
        raise RefusalError(400, "invalid_request", "client_assertion_type is not jwt-bearer.")
    tool = _asserted(form.get("client_assertion", ""))
    granted = _OFFERED & set(form.get("scope", "").split())
    if not granted:
        raise RefusalError(400, "invalid_scope")
    profile = campus().profile
    return jsonify(campus().tokens.issue(tool.client_id, granted, profile.bearer_seconds, profile.token_type))


def _asserted(assertion: str) -> Tool:
    """Return the tool that signed this assertion; its key set is fetched anew each time."""
    try:
        tool, claims = signed_by(assertion)
    except (JoseError, requests.RequestException, ValueError, LookupError, TypeError) as error:
        raise RefusalError(401, "invalid_client", f"assertion: {error!r}") from error
    _check_assertion(claims, tool)
    return tool


def signed_by(token: str) -> tuple[Tool, dict[str, Any]]:
    """Return the tool that a token names as its issuer, and its claims, verified by that tool's keys of now."""
    tool = campus().tools[json.loads(extract_compact(token.encode()).payload)["iss"]]
    keys = KeySet.import_key_set(fetch("GET", tool.jwks_url).json())
    return tool, jwt.decode(token, keys, algorithms=["RS256"]).claims


def _check_assertion(claims: dict[str, Any], tool: Tool) -> None:
    now, aud = time.time(), claims.get("aud")
    missing = [name for name in ("sub", "aud", "exp", "iat", "jti") if name not in claims]
    if missing and campus().profile.claim_missing != 401:
        raise RefusalError(campus().profile.claim_missing, "invalid_request", f"missing claims: {' '.join(missing)}")
    audience = campus().profile.token_audience or campus().token_url
    seen = (tool.client_id, str(claims.get("jti")))
    faults = {
        "sub": claims.get("sub") != tool.client_id,
        "aud": audience not in (aud if isinstance(aud, list) else [aud]),
        "exp": not now < finite(claims.get("exp")) <= now + 3600,
        "iat": not now - 3600 < finite(claims.get("iat")) < now + 60,
        "jti": "jti" not in claims,
    }
    with campus().lock:
        faults["jti"] |= seen in campus().seen
        if any(faults.values()):
            wrong = " ".join(name for name, bad in faults.items() if bad)
            raise RefusalError(401, "invalid_client", f"assertion claims: {wrong}")
        campus().seen.add(seen)


def finite(value: object) -> float:
    """Return a finite number, or NaN, which no comparison accepts."""
    proper = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if proper else math.nan  # type: ignore[arg-type]


def page_of(rows: list[Any], url: str, *, endless: bool = False) -> tuple[list[Any], dict[str, str]]:
    """Return this page of the rows, and links by relation. An endless list always has a next page."""
    asked, profile = request.args.to_dict(), campus().profile
    size = max(1, int(asked.get("limit") or profile.page_size))
    size = min(size, profile.largest_page or size)
    start = int(asked.get("from") or 0)
    if endless:
        start = min(start, max(0, len(rows) - size))
    elif start + size >= len(rows):
        return rows[start:], {}
    following = urlencode(asked | {"limit": size, "from": int(asked.get("from") or 0) + size})
    return rows[start : start + size], {"next": f"{url}?{following}"}


def link_header(links: dict[str, str]) -> dict[str, str]:
    """Return the Link header of these relations (RFC 8288)."""
    return {"Link": ", ".join(f'<{url}>; rel="{name}"' for name, url in links.items())} if links else {}


def _curly(links: dict[str, str]) -> dict[str, str]:
    """The same in curly quotes, UTF-8 read as Latin-1, and escaped for HTML."""
    word = "“{}”".encode().decode("latin-1")
    return {"Link": ", ".join(f"<{escape(url)}>; rel={word.format(name)}" for name, url in links.items())}


def answer(body: object, kind: str, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """Return JSON under its own media type; RefusalError 406 when the caller takes another."""
    if not request.accept_mimetypes.best_match([kind]):
        raise RefusalError(406, "not_acceptable", f"This is {kind}.")
    return Response(json.dumps(body, ensure_ascii=False), status, headers, content_type=kind)


def throttled() -> Response | None:
    """Refuse one call too many, in this make's words."""
    seconds = campus().wait()
    if not seconds:
        return None
    status, sentence = campus().profile.throttle
    headers = {"Retry-After": str(math.ceil(seconds))} if status == 429 else {}
    return Response(sentence, status, headers, mimetype="text/plain")


def counted(answered: Response) -> Response:
    """Say what is left, where this make does."""
    profile = campus().profile
    if profile.tells_what_is_left:
        left = max(0, profile.throttle_calls - campus().window.calls)
        answered.headers["X-Rate-Limit-Remaining"], answered.headers["X-Request-Cost"] = f"{left}.0", "1.0"
    return answered


bp.before_request(throttled)
bp.after_request(counted)


@bp.before_request
def _need_address() -> None:
    """Refuse an AGS address that is spelled otherwise, or lost the query string this make of LMS gave it."""
    profile = campus().profile
    if (request.view_args or {}).pop("items") != profile.items:
        raise RefusalError(404, "not_found", f"There is no such path; it is {profile.items}.")
    if profile.query and "type_id" not in request.args:
        raise RefusalError(404, "not_found", "type_id is missing.")


def items_url(here: Course) -> str:
    """Return the address of a course's line items."""
    return f"{campus().url}/courses/{here.id}/{campus().profile.items}{campus().profile.query}"


def item_url(number: str) -> str:
    """Return the address, which is the id, of a line item."""
    url = f"{campus().url}/courses/{campus().columns[number].course.id}/{campus().profile.items}/{number}"
    return f"{url}/lineitem{campus().profile.query}" if campus().profile.query else url


def _item(number: str) -> dict[str, Any]:
    return {"id": item_url(number)} | campus().columns[number].body


def columns_of(here: Course, client_id: str) -> list[str]:
    """Return the numbers of the line items a tool has in a course."""
    own = campus().columns.items()
    return [n for n, c in own if (c.course, c.client_id) == (here, client_id)]


def _column(course_id: str, number: str, *scopes: str) -> Column:
    """Return a line item of the caller's own; RefusalError 401, 403 or 404."""
    client, here = campus().tokens.require(*scopes), course(course_id)
    if number not in columns_of(here, client):
        raise RefusalError(404, "not_found", "No such line item.")
    return campus().columns[number]


_ALL = "/courses/<course_id>/<any(lineitems, lineItems):items>"


@bp.get(_ALL)
def list_items(course_id: str) -> Response:
    client = campus().tokens.require(ITEMS, ITEMS_READ)
    found = [_item(n) for n in columns_of(course(course_id), client)]
    for asked, name in (
        ("resource_id", "resourceId"),
        ("tag", "tag"),
        ("resource_link_id", "resourceLinkId"),
    ):
        if asked in request.args:
            found = [i for i in found if i.get(name) == request.args[asked]]
    rows, links = page_of(found, f"{campus().url}{request.path}")
    return answer(rows, _ITEM_LIST, _curly(links) if links and campus().profile.curly_links else link_header(links))


@bp.post(_ALL)
def create_item(course_id: str) -> Response:
    client, here = campus().tokens.require(ITEMS), course(course_id)
    number = campus().add_column(here, client, _item_body(here))
    return answer(_item(number), _ITEM, {"Location": item_url(number)}, 201)


def _item_body(here: Course) -> dict[str, Any]:
    body = _json_of(_ITEM)
    if not isinstance(body.get("label"), str) or not body["label"].strip():
        raise RefusalError(400, "bad_line_item", "label is missing.")
    if not finite(body.get("scoreMaximum")) > 0:
        raise RefusalError(400, "bad_line_item", "scoreMaximum is not above zero.")
    if "resourceLinkId" in body and not campus().profile.link_by_post:
        raise RefusalError(400, "bad_line_item", "resourceLinkId cannot be set.")
    if not campus().is_link(here, body.get("resourceLinkId", here.link)):
        raise RefusalError(404, "not_found", "No such resource link.")
    return {k: v for k, v in body.items() if k != "id"}


def _json_of(kind: str) -> dict[str, Any]:
    if request.mimetype != kind:
        raise RefusalError(415, "unsupported_media_type", f"Send {kind}.")
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise RefusalError(400, "bad_json")
    return body


_ONE = (f"{_ALL}/<number>", f"{_ALL}/<number>/lineitem")


@bp.get(_ONE[0])
@bp.get(_ONE[1])
def read_item(course_id: str, number: str) -> Response:
    _column(course_id, number, ITEMS, ITEMS_READ)
    return answer(_item(number), _ITEM)


@bp.put(_ONE[0])
@bp.put(_ONE[1])
def replace_item(course_id: str, number: str) -> Response:
    column = _column(course_id, number, ITEMS)
    fixed = {"resourceLinkId": column.body["resourceLinkId"]} if _belongs_to_a_link(column) else {}
    column.body = _item_body(column.course) | fixed
    return answer(_item(number), _ITEM)


def _belongs_to_a_link(column: Column) -> bool:
    return "resourceLinkId" in column.body and campus().profile.coupled_delete >= 400


@bp.delete(_ONE[0])
@bp.delete(_ONE[1])
def delete_item(course_id: str, number: str) -> Response:
    column, profile = _column(course_id, number, ITEMS), campus().profile
    if _belongs_to_a_link(column):
        raise RefusalError(profile.coupled_delete, "coupled", "This column belongs to a link.")
    del campus().columns[number]
    return Response(status=204)


@bp.post(f"{_ONE[0]}/scores")
@bp.post(f"{_ONE[1]}/scores")
def score(course_id: str, number: str) -> Response:
    """Keep every score that arrives, with the answer it got."""
    arrived = campus().now().isoformat()
    accepted = campus().profile.score_status
    entry = {"at": arrived, "course": course_id, "status": accepted}
    entry["lineitem"] = item_url(number) if number in campus().columns else number
    entry["body"] = request.get_json(force=True, silent=True)
    campus().received.append(entry)
    try:
        with campus().lock:
            _take_score(_column(course_id, number, SCORE), _json_of(_SCORE))
    except RefusalError as refused:
        entry["status"] = refused.status
        raise
    return Response(status=accepted)


def _take_score(column: Column, sent: dict[str, Any]) -> None:
    profile, stamp = campus().profile, _checked(sent)
    who = column.course.members.get(str(sent["userId"]))
    if who is None:
        raise RefusalError(profile.not_a_member[0], "not_a_member", profile.not_a_member[1])
    if who.person.role == "teacher" or who.person.sourced_id == NOT_GRADABLE:
        raise RefusalError(profile.not_gradable[0], "not_gradable", profile.not_gradable[1])
    if profile.own_clock:
        stamp = stamp.replace(microsecond=0)
    last = column.stamps.get(who.id)
    if last and (stamp < last or (profile.equal_is_stale and stamp == last)):
        raise RefusalError(profile.stale[0], "stale", profile.stale[1])
    _write(column, who.id, sent, campus().now().replace(microsecond=0) if profile.own_clock else stamp)


def _write(column: Column, who: str, sent: dict[str, Any], stamp: datetime) -> None:
    """Put a score on record; one not yet fully graded shows no number."""
    column.stamps[who] = stamp
    result = {"comment": sent["comment"]} if sent.get("comment") else {}
    if sent["gradingProgress"] == "FullyGraded" and sent.get("scoreGiven") is not None:
        most = column.body["scoreMaximum"]
        result["resultScore"] = sent["scoreGiven"] * most / sent["scoreMaximum"]
        result["resultMaximum"] = most
    column.results[who] = result


def _checked(sent: dict[str, Any]) -> datetime:
    """Return the timestamp of a well-formed score."""
    known = {"activityProgress": _ACTIVITY, "gradingProgress": _GRADING}
    wrong = [name for name, words in known.items() if sent.get(name) not in words]
    wrong += [] if isinstance(sent.get("userId"), str) else ["userId"]
    if campus().profile.maximum_always and "scoreMaximum" not in sent:
        wrong.append("scoreMaximum")
    if sent.get("scoreGiven") is not None:
        wrong += [] if finite(sent["scoreGiven"]) >= 0 else ["scoreGiven"]
        if not finite(sent.get("scoreMaximum")) > 0:
            raise RefusalError(campus().profile.no_maximum, "bad_score", "scoreMaximum")
    try:
        stamp = datetime.fromisoformat(str(sent.get("timestamp")))
    except ValueError:
        stamp = datetime.min  # noqa: DTZ901
    if wrong or stamp.tzinfo is None:
        raise RefusalError(400, "bad_score", " ".join(wrong) or "timestamp")
    return stamp


@bp.get(f"{_ONE[0]}/results")
@bp.get(f"{_ONE[1]}/results")
def results(course_id: str, number: str) -> Response:
    column, only = _column(course_id, number, RESULTS), request.args.get("user_id")
    if campus().profile.results_limit_fails and "limit" in request.args:
        return Response("<h1>Not found</h1>", 404, mimetype="text/html")
    base = item_url(number)
    path, _, query = base.partition("?")
    rows = [
        {"id": f"{path}/results/{who}{query and '?' + query}", "scoreOf": base, "userId": who} | r
        for who, r in column.results.items()
        if only in (None, who)
    ]
    if campus().profile.results_limit_fails:
        return answer(rows, _RESULT_LIST)
    chosen, links = page_of(rows, f"{campus().url}{request.path}")
    return answer(chosen, _RESULT_LIST, link_header(links))
