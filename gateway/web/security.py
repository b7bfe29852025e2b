"""What every answer carries: a request id, headers that keep it in its place, and a log line without people."""

from __future__ import annotations

import time
from functools import cache
from urllib.parse import urlsplit

import structlog
from flask import Flask, Response, g, request

from gateway.web.contract import running

_CSP = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {}"
_SCRIPTED = _CSP.replace("form-action 'self'", "script-src 'self'; form-action {}")
# What no view says for itself: added as it is, where setting a header looks through all that are there.
_ALWAYS = (
    ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
    ("Permissions-Policy", "interest-cohort=()"),
)  # fmt: skip
_log = structlog.get_logger()


def scripted(response: Response, forms_to: str = "") -> Response:
    """Let a page run our own scripts, and its forms lead to this address besides ours, or wherever a launch may lead;
    return it. Browsers hold the addresses that a form is redirected to against this too."""
    address = urlsplit(forms_to)
    allowed = f"{address.scheme}://{address.netloc}" if address.netloc else _framed_by()
    response.headers["Content-Security-Policy"] = _SCRIPTED.format(f"'self' {allowed}", _framed_by())
    return response


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    g.began = time.perf_counter()
    g.request_id = running().parts.ids.new("req")


def _finish(response: Response) -> Response:
    headers, url = response.headers, running().parts.settings.url
    headers.extend([("X-Request-Id", g.get("request_id", "")), *_ALWAYS])
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("Content-Security-Policy", _plain(_framed_by()))
    if url.lower().startswith("https:"):
        headers.add("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    _log.info(
        "request", method=request.method, route=str(request.url_rule or "-"), status=response.status_code,
        ms=round((time.perf_counter() - g.get("began", time.perf_counter())) * 1000, 1), code=g.get("refusal"),
        request_id=g.get("request_id"),
    )  # fmt: skip
    return response


@cache
def _plain(framed_by: str) -> str:
    return _CSP.format(framed_by)


def _framed_by() -> str:
    """Pages of a launch may stand in an LMS's frame; nothing else may be framed."""
    if request.path.startswith(("/lti/", "/teacher/")):
        return "https:" if not running().parts.settings.sandbox else "*"
    return "'none'"
