"""Notices of the LMS: a tool says which kinds it wants and where, and is told (Platform Notification Service 1.0)."""

from __future__ import annotations

import uuid
from typing import Any
from urllib.parse import urlsplit

import requests
from flask import Blueprint, Response, jsonify, request

from gateway.sandbox.campus import Course, Tool
from gateway.sandbox.lms_launch import context_of
from gateway.sandbox.lms_services import HANDLERS, campus, counted, throttled
from gateway.sandbox.loopback import RefusalError
from gateway.sandbox.wire import fetch

bp = Blueprint("notices", __name__)
bp.before_request(throttled)
bp.after_request(counted)

_LTI = "https://purl.imsglobal.org/spec/lti/claim/"
HELLO, COPY = "LtiHelloWorldNotice", "LtiContextCopyNotice"


# --- who wants to know -------------------------------------------------------------------------------


@bp.get("/notice-handlers/<client_id>")
def handlers(client_id: str) -> Response:
    """Where each kind of notice is sent for a tool, "" for nowhere."""
    tool, kinds = _caller(client_id), campus().profile.notices
    listed = [campus().handlers.get((client_id, kind), {"notice_type": kind, "handler": ""}) for kind in kinds]
    return jsonify(client_id=client_id, deployment_id=tool.deployment_id, notice_handlers=listed)


@bp.put("/notice-handlers/<client_id>")
def handle(client_id: str) -> Response:
    """Take where a tool wants one kind of notice, in place of what it said before; who asks for a hello gets one."""
    tool, wish = _caller(client_id), _wish()
    _check_handler(tool, wish)
    campus().handlers[client_id, wish["notice_type"]] = wish
    if wish["notice_type"] == HELLO:
        _tell(tool, notice(HELLO, {}))
    return jsonify(wish)


def _caller(client_id: str) -> Tool:
    if campus().tokens.require(HANDLERS) != client_id:
        raise RefusalError(403, "forbidden", "These are another tool's handlers.")
    if not campus().profile.notices:
        raise RefusalError(404, "not_found", "This LMS sends no notices.")
    return campus().tools[client_id]


def _wish() -> dict[str, Any]:
    said = request.get_json(silent=True)
    known = ("notice_type", "handler", "max_batch_size")
    return {name: said[name] for name in known if name in said} if isinstance(said, dict) else {}


def _check_handler(tool: Tool, wish: dict[str, Any]) -> None:
    """A kind that there is, an address of the tool's own, or "" for no more. RefusalError 400."""
    kind, address, most = wish.get("notice_type"), wish.get("handler"), wish.get("max_batch_size", 1)
    if kind not in campus().profile.notices:
        raise RefusalError(400, "bad_handler", f"notice_type is none of {campus().profile.notices}.")
    if not isinstance(address, str) or (address and _site(address) != _site(tool.login_url)):
        raise RefusalError(400, "bad_handler", "handler is no address at the tool's own site.")
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise RefusalError(400, "bad_handler", "max_batch_size is not a number above zero.")


def _site(url: str) -> tuple[str, str]:
    return urlsplit(url).scheme, urlsplit(url).netloc


# --- what is told ------------------------------------------------------------------------------------


def copied(made: Course) -> None:
    """Tell every tool that asked that a course was made from another."""
    for tool in list(campus().tools.values()):
        _tell(tool, notice(COPY, {"context": context_of(made), "origin_contexts": [*made.origins[:1]]}))


def notice(kind: str, about: dict[str, Any]) -> dict[str, Any]:
    """Return what happened now, under an id that it has once and for all."""
    said = {"id": str(uuid.uuid4()), "timestamp": campus().now().isoformat(timespec="seconds"), "type": kind}
    return {"notice": said, **about}


def claims_of(tool: Tool, said: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of a token that brings a notice to a tool: nobody is its subject."""
    ours, now = campus(), int(campus().now().timestamp())
    return {
        "iss": ours.issuer, "aud": tool.client_id, "azp": tool.client_id, "nonce": str(uuid.uuid4()),
        "iat": now, "exp": now + ours.profile.token_seconds,
        f"{_LTI}version": "1.3.0", f"{_LTI}deployment_id": tool.deployment_id,
        **{f"{_LTI}{name}": value for name, value in said.items()},
    }  # fmt: skip


def _tell(tool: Tool, said: dict[str, Any]) -> None:
    """Send a notice if the tool wants its kind, as often as this make sends each: every time in a token of its own."""
    if _handler(tool, said["notice"]["type"]):
        for _ in range(campus().profile.notice_copies):
            _try(tool, said, campus().sign(claims_of(tool, said), {}))


def _try(tool: Tool, said: dict[str, Any], token: str) -> None:
    """Send one token until the tool takes it, as often as this make tries."""
    for _ in range(campus().profile.notice_tries):
        if 200 <= post(tool, said, token)["status"] < 300:
            return


def _handler(tool: Tool, kind: str) -> str:
    return str(campus().handlers.get((tool.client_id, kind), {}).get("handler", ""))


def post(tool: Tool, said: dict[str, Any], token: str) -> dict[str, Any]:
    """Send one token to the tool's handler, alone, which is within any max_batch_size; keep how that was answered,
    status 0 where nobody did. RefusalError 404 where none is wanted."""
    kind = said["notice"]["type"]
    address = _handler(tool, kind)
    if not address:
        raise RefusalError(404, "not_found", "The tool has no handler for these.")
    try:
        status = fetch("POST", address, json={"notices": [{"jwt": token}]}).status_code
    except requests.RequestException:
        status = 0
    sent = {"id": said["notice"]["id"], "type": kind, "handler": address, "jwt": token, "status": status}
    campus().noticed.append(sent)
    return sent
