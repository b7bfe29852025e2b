"""The OneRoster service of the SIS of Alder Valley, at `/<make>`: pages, filters, tokens and signatures as that make
has them, and every way in which one page may go wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from flask import Blueprint, Flask, Response, current_app, jsonify, request

from gateway.sandbox.loopback import RefusalError, Tokens
from gateway.sandbox.sis_makes import MAKES, Make, changed
from gateway.sandbox.sis_objects import objects, spoil_types

CLIENT_ID, CLIENT_SECRET = "alder-sis-rest", "rest-secret-for-loopback-only"
bp = Blueprint("rest", __name__)
_FILTER = re.compile(r"dateLastModified>=?'([^']+)'")


@dataclass
class Desk:
    """The makes as they behave now, and the tokens that were given out."""

    url: str
    tonight: dict[str, Any]
    makes: dict[str, Make] = field(default_factory=lambda: dict(MAKES))
    tokens: Tokens = field(default_factory=Tokens)
    asked: int = 0


def open_rest(app: Flask, url: str, tonight: dict[str, Any]) -> None:
    """Let the SIS answer OneRoster questions too."""
    app.extensions["rest"] = Desk(url, tonight)
    app.extensions["announce"] |= {"rest_client_id": CLIENT_ID, "rest_client_secret": CLIENT_SECRET}
    app.register_blueprint(bp)


def _desk() -> Desk:
    desk: Desk = current_app.extensions["rest"]
    return desk


def _make(name: str) -> Make:
    if name not in _desk().makes:
        raise RefusalError(404, "unknown_make")
    return _desk().makes[name]


@bp.post("/_sandbox/make")
def habits() -> Response:
    """Take {"make", ...habits}: what is not said becomes as its file says again."""
    said = request.get_json()
    name = said.pop("make")
    _desk().makes[name] = changed(MAKES[name], said)
    return jsonify(make=name)


@bp.post("/<make>/<path:rest>")
def token(make: str, rest: str) -> Response:
    """The token endpoint of RFC 6749 section 4.4."""
    known = _make(make)
    if known.auth != "oauth2" or rest != known.token:
        raise RefusalError(404, "not_found")
    who, form = request.authorization, request.form
    header = (who.username, who.password) if who else None
    body = (form["client_id"], form.get("client_secret")) if "client_id" in form else None
    shown = {"header": header, "body": body, "either": header or body}[known.credentials_in]
    if shown != (CLIENT_ID, CLIENT_SECRET):
        raise RefusalError(401, "invalid_client")
    if form.get("grant_type") != "client_credentials":
        raise RefusalError(400, "unsupported_grant_type")
    if known.scope_needed and not form.get("scope"):
        raise RefusalError(400, "invalid_scope")
    return jsonify(_desk().tokens.issue(CLIENT_ID, (form.get("scope") or "all").split()))


@bp.get("/<make>/<path:rest>")
def collection(make: str, rest: str) -> Response:
    """One page of a collection."""
    known = _make(make)
    path = rest.removeprefix(known.base + "/")
    if path == rest or "/" in path:
        raise RefusalError(404, "not_found")
    _require(known)
    tonight = _desk().tonight
    found = _all(known, _desk().url, tonight["night"], few=tonight["few"]).get(path)
    if found is None or path in known.lacks:
        raise RefusalError(404, "unknownobject", "There is no such collection, or it is not licensed.")
    _desk().asked += 1
    return _page(known, path, found)


@lru_cache(maxsize=8)
def _all(make: Make, url: str, night: int, *, few: bool) -> dict[str, list[dict[str, Any]]]:
    return objects(make, f"{url}/{make.name}", night, few=few)


# --- who asks -------------------------------------------------------------------------------------------


def _require(make: Make) -> None:
    said = request.headers.get("Authorization", "")
    if make.auth == "bearer" and said == f"Bearer {CLIENT_SECRET}":
        return
    if make.auth == "oauth2":
        _desk().tokens.require()
        return
    if make.auth == "oauth1" and _signed(make, said):
        return
    raise RefusalError(401, "unauthorisedrequest")


def _signed(make: Make, said: str) -> bool:
    """RFC 5849 section 3.4: every parameter of the query is signed."""
    if not said.startswith("OAuth "):
        return False
    given = {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', said)}
    signature = given.pop("oauth_signature", "")
    given.pop("realm", None)
    pairs = [*given.items(), *parse_qsl(urlsplit(request.url).query, keep_blank_values=True)]
    plain = "&".join(f"{key}={value}" for key, value in sorted((_enc(k), _enc(v)) for k, v in pairs))
    text = "&".join((request.method, _enc(request.base_url), _enc(plain)))
    mine = hmac.new(f"{_enc(CLIENT_SECRET)}&".encode(), text.encode(), getattr(hashlib, make.digest)).digest()
    known = given.get("oauth_consumer_key") == CLIENT_ID
    return known and hmac.compare_digest(base64.b64encode(mine).decode(), signature)


def _enc(text: str) -> str:
    return quote(text, safe="~")


# --- one page -------------------------------------------------------------------------------------------


def _page(make: Make, path: str, found: list[dict[str, Any]]) -> Response:
    if "filter" in request.args:
        if not make.filters:
            raise RefusalError(400, "invalid_filter_field")
        since = _FILTER.fullmatch(request.args["filter"])
        found = [one for one in found if since and one["dateLastModified"] >= since[1][:19]]
    if "sort" in request.args and not make.sorts:
        raise RefusalError(400, "invalid_sort_field")
    wrong = make.wrong if make.at == path else ""
    offset, limit = int(request.args.get("offset", 0)), int(request.args.get("limit", 100))
    limit = min(limit, make.largest_page or limit)
    if wrong == "empty":
        found = []
    first = {"repeat": 0, "gap": offset + bool(offset)}.get(wrong, offset)
    page = found[first : first + limit]
    headers = _headers(make, path, len(found), offset, limit, wrong)
    return Response(_body(path, page, wrong), headers=headers, mimetype="application/json")


def _body(path: str, page: list[Any], wrong: str) -> str:
    page = spoil_types(page) if wrong == "odd-types" else page
    text = json.dumps({"items" if wrong == "no-envelope" else path: page}, ensure_ascii=False)
    return text[: len(text) // 2] if wrong == "cut" else text


def _headers(make: Make, path: str, count: int, offset: int, limit: int, wrong: str) -> dict[str, str]:
    headers = {}
    if make.total:
        headers["X-Total-Count"] = str(count + _desk().asked if wrong == "moving-total" else count)
    if make.revision:
        headers[make.revision] = str(_desk().tonight["night"])
    root = f"/{make.name}" if make.links == "relative" else f"{_desk().url}/{make.name}"
    if wrong == "elsewhere":
        root = "https://sis.elsewhere.example"
    if make.links != "none" and (offset + limit < count or wrong in ("loop", "elsewhere")):
        asked = request.args.to_dict() | {
            "limit": str(limit),
            "offset": "0" if wrong == "loop" else str(offset + limit),
        }
        headers["Link"] = f'<{root}/{make.base}/{path}?{urlencode(asked)}>; rel="next"'
    elif make.links != "none":
        headers["Link"] = f'<{root}/{make.base}/{path}?limit={limit}&offset=0>; rel="first"'
    return headers
