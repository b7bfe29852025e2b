"""What every answer carries: a request id, headers that keep it in its place, and a log line without people."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, g, request

from gateway.web.contract import running

_CSP = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {}"
_log = structlog.get_logger()


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    g.began = time.perf_counter()
    g.request_id = running().parts.ids.new("req")


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Permissions-Policy"] = "interest-cohort=()"
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("Content-Security-Policy", _CSP.format(_framed_by()) + _scripts())
    if urlsplit(running().parts.settings.url).scheme == "https":
        response.headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    _log.info(
        "request", method=request.method, route=str(request.url_rule or "-"), status=response.status_code,
        ms=round((time.perf_counter() - g.get("began", time.perf_counter())) * 1000, 1), code=g.get("refusal"),
        request_id=g.get("request_id"),
    )  # fmt: skip
    return response


def script_nonce() -> str:
    """Let the one script of this answer run that bears this word; no page has another."""
    if "script_nonce" not in g:
        g.script_nonce = running().parts.ids.secret()
    return str(g.script_nonce)


def _scripts() -> str:
    return f"; script-src 'nonce-{g.script_nonce}'" if "script_nonce" in g else ""


def _framed_by() -> str:
    """Pages of a launch may stand in an LMS's frame; nothing else may be framed."""
    if request.path.startswith(("/lti/", "/teacher/")):
        return "https:" if not running().parts.settings.sandbox else "*"
    return "'none'"
